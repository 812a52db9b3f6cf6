//! The registry's guard, who validates there, and what they have at stake.

use alloy::{
    primitives::{Address, B256, U256},
    sol,
    sol_types::SolCall,
};
use serde::Serialize;

use dtn_bindings::{REGISTRY, ResultRegistry};
use dtn_chain::{
    connection::{Chain, ReadError},
    sender::Call,
};

sol! {
    /// What a token is asked for.
    interface Erc20 {
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
    }
}

/// What a registry requires of each validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StakeTerms {
    /// In which token; zero for the native currency.
    pub token: Address,
    /// How much, in the token's unit; zero for nothing.
    pub required: U256,
}

/// What an account has at stake, in the token's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stake {
    /// Whose.
    pub address: Address,
    /// How much.
    pub amount: U256,
    /// When it can be taken back, in Unix seconds; `None` if nobody has asked for that.
    pub free_at: Option<u64>,
    /// What evidence has brought the account.
    pub credit: U256,
    /// Whether it is proven to have contradicted itself.
    pub barred: bool,
}

/// The validators that are to take over from a set whose lock was stolen or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// The hash of their addresses.
    pub hash: B256,
    /// When they can, in Unix seconds.
    pub effective_at: u64,
    /// The greatest height that was final when it was proposed. If nobody has signed it, a later block ends it.
    pub height: u64,
    /// Whether validators have signed it.
    pub signed: bool,
}

/// A wallet that validators have announced as the next guardian, to which the guardian can object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NextGuardian {
    /// The wallet.
    pub address: Address,
    /// When it can be the guardian, in Unix seconds.
    pub effective_at: u64,
}

/// Where a registry stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegistryState {
    /// The number of the validator set.
    pub epoch: u64,
    /// Signatures that a certificate needs.
    pub quorum: usize,
    /// The greatest height that is final there.
    pub latest_height: u64,
    /// The number of the latest certified distribution.
    pub distribution: u32,
    /// The wallet of the owners, who are the other lock.
    pub guardian: Address,
    /// The wallet that validators have announced as the next guardian.
    pub next_guardian: Option<NextGuardian>,
    /// Whether the stakes that it requires are there, without which no certificate is taken.
    pub open: bool,
    /// Until when no certificate is taken, in Unix seconds; past if none is held up.
    pub paused_until: u64,
    /// When the guardian can pause again, in Unix seconds.
    pub pause_allowed_at: u64,
    /// What is to become of a lock that is stolen or lost.
    pub recovery: Option<Recovery>,
    /// What each validator has to put at stake.
    pub stake: StakeTerms,
    /// In ascending order of address.
    pub validators: Vec<Stake>,
}

/// A deployed registry, for reading.
#[derive(Debug, Clone)]
pub struct Registry {
    chain: Chain,
    address: Address,
}

impl Registry {
    /// The registry at an address.
    pub fn new(chain: Chain, address: Address) -> Self {
        Self { chain, address }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.address
    }

    async fn read<C: SolCall>(&self, call: &C) -> Result<C::Return, ReadError> {
        self.chain.read(self.address, call).await
    }

    /// Where it stands.
    pub async fn state(&self) -> Result<RegistryState, ReadError> {
        let recovery = self.read(&ResultRegistry::recoveryCall {}).await?;
        let (hash, effective_at, height, signed) =
            (recovery.hash, recovery.effectiveAt, recovery.height, recovery.isSigned);
        let mut validators = Vec::new();
        for validator in self.read(&ResultRegistry::validatorsCall {}).await? {
            validators.push(self.stake(validator).await?);
        }
        Ok(RegistryState {
            epoch: self.read(&ResultRegistry::epochCall {}).await?,
            quorum: self.read(&ResultRegistry::quorumCall {}).await?.saturating_to(),
            latest_height: self.read(&ResultRegistry::latestHeightCall {}).await?,
            distribution: self.read(&ResultRegistry::distributionNumberCall {}).await?,
            guardian: self.read(&ResultRegistry::guardianCall {}).await?,
            next_guardian: self.next_guardian().await?,
            open: self.read(&ResultRegistry::isOpenCall {}).await?,
            paused_until: self.read(&ResultRegistry::pausedUntilCall {}).await?,
            pause_allowed_at: self.read(&ResultRegistry::pauseAllowedAtCall {}).await?,
            recovery: (!hash.is_zero()).then_some(Recovery { hash, effective_at, height, signed }),
            stake: self.stake_terms().await?,
            validators,
        })
    }

    async fn next_guardian(&self) -> Result<Option<NextGuardian>, ReadError> {
        let address = self.read(&ResultRegistry::nextGuardianCall {}).await?;
        let effective_at = self.read(&ResultRegistry::nextGuardianAtCall {}).await?;
        Ok((!address.is_zero()).then_some(NextGuardian { address, effective_at }))
    }

    /// The number of the validator set.
    pub async fn epoch(&self) -> Result<u64, ReadError> {
        self.read(&ResultRegistry::epochCall {}).await
    }

    /// What each validator has to put at stake.
    pub async fn stake_terms(&self) -> Result<StakeTerms, ReadError> {
        let token = self.read(&ResultRegistry::stakeTokenCall {}).await?;
        let required = U256::from(self.read(&ResultRegistry::stakeRequiredCall {}).await?);
        Ok(StakeTerms { token, required })
    }

    /// What an account has at stake.
    pub async fn stake(&self, account: Address) -> Result<Stake, ReadError> {
        let stake = self.read(&ResultRegistry::stakeOfCall { account }).await?;
        let (amount, free_at) = (U256::from(stake.amount), (stake.freeAt != 0).then_some(stake.freeAt));
        let credit = self.read(&ResultRegistry::creditOfCall { account }).await?;
        let barred = self.read(&ResultRegistry::isBarredCall { validator: account }).await?;
        Ok(Stake { address: account, amount, free_at, credit, barred })
    }

    /// What puts more of an account's money at stake: of a token the registry is allowed to take it first, unless it is.
    pub async fn stake_calls(&self, account: Address, amount: u128) -> Result<Vec<Call>, ReadError> {
        let token = self.stake_terms().await?.token;
        let stake = Call::new(REGISTRY, self.address, &ResultRegistry::stakeCall { amount });
        let amount = U256::from(amount);
        if token.is_zero() {
            return Ok(vec![Call { value: amount, ..stake }]);
        }
        let allowance = Erc20::allowanceCall { owner: account, spender: self.address };
        if self.chain.read(token, &allowance).await? >= amount {
            return Ok(vec![stake]);
        }
        let approve = Erc20::approveCall { spender: self.address, amount };
        Ok(vec![Call::new("token", token, &approve), stake])
    }
}
