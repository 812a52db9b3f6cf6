//! The distributor's terms, what it holds for whom, and distributions of rewards on their way through it.

use std::collections::BTreeMap;

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, U256},
    providers::Provider,
    sol_types::SolCall,
};
use dtn_bindings::{DISTRIBUTOR, RewardDistributor};
use dtn_chain::{
    amount::format_amount,
    connection::{Chain, ReadError, retrying},
    networks::LOCAL_CHAIN_ID,
    sender::Call,
};
use dtn_primitives::{Allotment, Distribution, Earning, Earnings, FinalizedResult, Kind};
use serde::{Deserialize, Serialize};

use crate::multisig::WalletTransaction;

/// How people know a token.
pub fn token_name(token: Address) -> String {
    if token.is_zero() { "native".into() } else { token.to_string() }
}

/// An amount of a token as people read it: of the native currency in its units, else in the token's smallest.
pub fn amount_of(token: Address, amount: U256) -> String {
    if token.is_zero() { format_amount(amount) } else { amount.to_string() }
}

const ETHER: u128 = 1_000_000_000_000_000_000;

/// On which terms rewards are paid. They are fixed at deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewardTerms {
    /// The first height whose results are paid: 1, or where the distributor before this one ends, so that nothing is paid by
    /// both.
    pub first_height: u64,
    /// The custom kinds of work, which are paid by the certificate alone.
    pub kinds: Vec<Kind>,
    /// The distributor that this one takes over from, which must be closed below the first height; zero if there is none.
    #[serde(default)]
    pub predecessor: Address,
    /// Seconds from scheduling a distribution or approving a batch until it can take effect, in which people may look at it
    /// and the owners may cancel it.
    pub delay: u64,
    /// Seconds without a further distribution after which the unclaimed may be swept.
    pub claim_period: u64,
    /// Seconds in which an empty bucket fills: what is left of a cap, and of an allowance.
    pub period: u64,
    /// What one requester's races may be paid at once, in wei, if the owners have not said otherwise.
    pub requester_cap: U256,
    /// What may leave of each token at once. Others cannot be paid out.
    pub caps: Vec<Allotment>,
}

impl RewardTerms {
    /// What suits a chain: seconds on a development chain, two days where people have to look; a year to claim; ten ether
    /// at once, which fill again in a day, five of them for one requester, and no tokens. A development chain has a
    /// thousand times that.
    pub fn for_chain(chain_id: u64) -> Self {
        const DAY: u64 = 24 * 3600;
        let (delay, ether) = if chain_id == LOCAL_CHAIN_ID { (4, 1_000 * ETHER) } else { (2 * DAY, ETHER) };
        Self {
            first_height: 1,
            kinds: Vec::new(),
            predecessor: Address::ZERO,
            delay,
            claim_period: 365 * DAY,
            period: DAY,
            requester_cap: U256::from(5 * ether),
            caps: vec![Allotment { token: Address::ZERO, amount: 10 * ether }],
        }
    }

    /// The same with another cap for one token. No requester is given more than what may leave at once.
    pub fn with_cap(mut self, cap: Allotment) -> Self {
        self.caps.retain(|other| other.token != cap.token);
        self.caps.push(cap);
        self.caps.sort_by_key(|cap| cap.token);
        if cap.token.is_zero() {
            self.requester_cap = self.requester_cap.min(U256::from(cap.amount));
        }
        self
    }

    /// The most that may leave of a token at once.
    pub fn cap_of(&self, token: Address) -> U256 {
        self.caps.iter().find(|cap| cap.token == token).map_or(U256::ZERO, |cap| U256::from(cap.amount))
    }
}

/// Why there are no allotments for earnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was earned of {0} adds up to more than 128 bits hold")]
pub struct TooMuch(pub Address);

/// What claims may take of each token since the beginning: what they might before, and what the earnings add. What an account
/// had less of before counts from there: it may have claimed all of it.
pub fn totals(earnings: &Earnings, before: &[Allotment], earned: &[Earning]) -> Result<Vec<Allotment>, TooMuch> {
    let had: BTreeMap<_, _> =
        earned.iter().map(|earning| ((earning.account, earning.token), earning.cumulative)).collect();
    let mut totals: BTreeMap<Address, U256> =
        before.iter().map(|allotment| (allotment.token, U256::from(allotment.amount))).collect();
    for Earning { account, token, cumulative } in earnings.as_slice() {
        let before = had.get(&(*account, *token)).copied().unwrap_or_default();
        let sum = totals.entry(*token).or_default();
        *sum = sum.checked_add(cumulative.saturating_sub(before)).ok_or(TooMuch(*token))?;
    }
    let allotment = |(token, amount): (Address, U256)| {
        Ok(Allotment { token, amount: amount.try_into().map_err(|_| TooMuch(token))? })
    };
    totals.into_iter().filter(|(_, amount)| !amount.is_zero()).map(allotment).collect()
}

/// What a distributor holds of a token, in the token's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// The token; zero for the native currency.
    pub token: Address,
    /// Owed to nobody.
    pub free: U256,
    /// What claims of distributions may still take.
    pub allotted: U256,
    /// What accounts may withdraw.
    pub credited: U256,
    /// The most that may leave at once.
    pub cap: U256,
    /// What may leave now: what is free, or less if the limit leaves less.
    pub available: U256,
}

/// What one requester's races may still be paid, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Allowance {
    /// Whose.
    pub requester: Address,
    /// What it is when nothing of it is used.
    pub cap: U256,
    /// What is left of it now.
    pub left: U256,
}

/// Where the owners' lock stands. Times are in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LockState {
    /// The wallet whose owners it is.
    pub multisig: Address,
    /// Until when what they agree to waits; past if it does not.
    pub paused_until: u64,
    /// How often the validators have paused it.
    pub pauses: u32,
    /// The wallet that is to take over, and from when on it can.
    pub heir: Option<(Address, u64)>,
    /// The last height that is paid; `None` while there is none.
    pub last_height: Option<u64>,
    /// The chain's time.
    pub now: u64,
}

/// Which distribution is in effect, and which is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DistributionState {
    /// The number of the one in effect; 0 before the first.
    pub number: u32,
    /// Its root, against which claims are made.
    pub root: B256,
    /// The hash of the one that waits, or zero.
    pub scheduled: B256,
    /// When that one can take effect, in Unix time.
    pub effective_at: u64,
    /// From when on the unclaimed may be swept, in Unix time.
    pub expires_at: u64,
}

/// A deployed distributor.
#[derive(Debug, Clone)]
pub struct Distributor {
    chain: Chain,
    address: Address,
}

impl Distributor {
    /// The distributor at an address.
    pub fn new(chain: Chain, address: Address) -> Self {
        Self { chain, address }
    }

    async fn read<C: SolCall>(&self, call: &C) -> Result<C::Return, ReadError> {
        self.chain.read(self.address, call).await
    }

    /// The wallet whose owners are its second lock.
    pub async fn multisig(&self) -> Result<Address, ReadError> {
        self.read(&RewardDistributor::multisigCall {}).await
    }

    /// Where the owners' lock stands.
    pub async fn locks(&self) -> Result<LockState, ReadError> {
        let heir = self.read(&RewardDistributor::heirCall {}).await?;
        let from = self.read(&RewardDistributor::heirAtCall {}).await?;
        let last_height = self.read(&RewardDistributor::lastHeightCall {}).await?;
        Ok(LockState {
            multisig: self.multisig().await?,
            paused_until: self.read(&RewardDistributor::pausedUntilCall {}).await?.into(),
            pauses: self.read(&RewardDistributor::pausesCall {}).await?,
            heir: (!heir.is_zero()).then_some((heir, from)),
            last_height: (last_height != u64::MAX).then_some(last_height),
            now: self.chain.clock().await?,
        })
    }

    /// The requesters to whom the owners have given an allowance of their own, from a block on.
    pub async fn allowed(&self, from_block: u64) -> Result<Vec<Address>, ReadError> {
        let provider = self.chain.provider();
        let head = retrying(|| async { provider.get_block_number().await }).await?;
        let read = |event: RewardDistributor::AllowanceSet, _, _| Some(event.requester);
        self.chain.events(self.address, from_block..=head.max(from_block), None, read).await
    }

    /// The first height whose results it pays.
    pub async fn first_height(&self) -> Result<u64, ReadError> {
        self.read(&RewardDistributor::firstHeightCall {}).await
    }

    /// Where distributions stand.
    pub async fn state(&self) -> Result<DistributionState, ReadError> {
        Ok(DistributionState {
            number: self.read(&RewardDistributor::numberCall {}).await?,
            root: self.read(&RewardDistributor::rootCall {}).await?,
            scheduled: self.read(&RewardDistributor::scheduledCall {}).await?,
            effective_at: self.read(&RewardDistributor::effectiveAtCall {}).await?,
            expires_at: self.read(&RewardDistributor::expiresAtCall {}).await?,
        })
    }

    /// What it holds of a token.
    pub async fn holdings(&self, token: Address) -> Result<Holdings, ReadError> {
        let free = self.read(&RewardDistributor::freeCall { token }).await?;
        let cap = self.read(&RewardDistributor::capOfCall { token }).await?;
        let available = self.read(&RewardDistributor::availableCall { token }).await?;
        let reserve = self.read(&RewardDistributor::reserveOfCall { token }).await?;
        let (allotted, credited) = (U256::from(reserve.allotted), U256::from(reserve.credited));
        Ok(Holdings { token, free, allotted, credited, cap: U256::from(cap), available })
    }

    /// How far what the ledger states of earnings has got.
    pub async fn earned(&self) -> Result<RewardDistributor::EarnedState, ReadError> {
        self.read(&RewardDistributor::earnedCall {}).await
    }

    /// What statements of the ledger may have taken of a token since the beginning, and what claims may still take of it.
    pub async fn earned_of(&self, token: Address) -> Result<(u128, U256), ReadError> {
        let of = self.read(&RewardDistributor::earnedOfCall { token }).await?;
        Ok((of.total, U256::from(of.left)))
    }

    /// What an account has claimed since the beginning of what it has earned in the ledger.
    pub async fn earned_claimed(&self, account: Address, token: Address) -> Result<U256, ReadError> {
        self.earned_claimed_at(account, token, BlockId::latest()).await
    }

    /// The same, as of a block.
    pub(crate) async fn earned_claimed_at(
        &self,
        account: Address,
        token: Address,
        block: BlockId,
    ) -> Result<U256, ReadError> {
        let call = RewardDistributor::earnedClaimedCall { account, token };
        self.chain.read_at(self.address, &call, block).await
    }

    /// The most that may leave of a token at once.
    pub async fn cap_of(&self, token: Address) -> Result<u128, ReadError> {
        self.read(&RewardDistributor::capOfCall { token }).await
    }

    /// The multisig's transaction that schedules what the ledger has stated, with so much money since the beginning.
    pub fn schedule_earned(&self, statement: &FinalizedResult, amount: u128, salt: B256) -> WalletTransaction {
        let call = RewardDistributor::scheduleEarnedCall {
            header: (&statement.header).into(),
            result: (&statement.result).into(),
            proof: statement.proof.clone(),
            amount: U256::from(amount).saturating_to(),
        };
        WalletTransaction { to: self.address, value: U256::ZERO, data: call.abi_encode().into(), expiry: 0, salt }
    }

    /// What puts the statement that waits into effect. Anyone may send it.
    pub fn activate_earned(&self) -> Call {
        Call::new(DISTRIBUTOR, self.address, &RewardDistributor::activateEarnedCall {})
    }

    /// What pays an account what it has earned in the ledger and not had. Anyone may send it.
    pub fn claim_earned(&self, earning: &Earning, proof: Vec<B256>) -> Call {
        let Earning { account, token, cumulative } = *earning;
        let call = RewardDistributor::claimEarnedCall { account, token, cumulative, proof };
        Call::new(DISTRIBUTOR, self.address, &call)
    }

    /// The same, to another account, by the account itself or its claimer.
    pub fn claim_earned_to(&self, earning: &Earning, proof: Vec<B256>, to: Address) -> Call {
        let Earning { account, token, cumulative } = *earning;
        let call = RewardDistributor::claimEarnedToCall { account, token, cumulative, proof, to };
        Call::new(DISTRIBUTOR, self.address, &call)
    }

    /// What an allotment, which is a total, adds to what was allotted before.
    pub async fn added(&self, allotment: &Allotment) -> Result<U256, ReadError> {
        let before = RewardDistributor::totalAllottedCall { token: allotment.token };
        let before = U256::from(self.chain.read(self.address, &before).await?);
        Ok(U256::from(allotment.amount).saturating_sub(before))
    }

    /// Seconds in which an empty bucket fills.
    pub async fn period(&self) -> Result<u64, ReadError> {
        self.read(&RewardDistributor::periodCall {}).await
    }

    /// What is left of a requester's allowance.
    pub async fn allowance(&self, requester: Address) -> Result<Allowance, ReadError> {
        let of = self.read(&RewardDistributor::allowanceOfCall { requester }).await?;
        Ok(Allowance { requester, cap: U256::from(of.cap), left: of.left })
    }

    /// What an account has claimed of a token since the beginning.
    pub async fn claimed(&self, account: Address, token: Address) -> Result<U256, ReadError> {
        self.read(&RewardDistributor::claimedOfCall { account, token }).await
    }

    /// What an account may withdraw of a token.
    pub async fn credit(&self, account: Address, token: Address) -> Result<U256, ReadError> {
        self.read(&RewardDistributor::creditOfCall { account, token }).await
    }

    /// The multisig's transaction that schedules a certified distribution.
    pub fn schedule(&self, distribution: &Distribution, salt: B256) -> WalletTransaction {
        let data = RewardDistributor::scheduleCall { distribution: distribution.into() }.abi_encode().into();
        WalletTransaction { to: self.address, value: U256::ZERO, data, expiry: 0, salt }
    }

    /// What puts a scheduled distribution into effect. Anyone may send it.
    pub fn activate(&self, distribution: &Distribution) -> Call {
        let call = RewardDistributor::activateCall { distribution: distribution.into() };
        Call::new(DISTRIBUTOR, self.address, &call)
    }

    /// What pays an account what it has earned and not had. Anyone may send it.
    pub fn claim(&self, earning: &Earning, proof: Vec<B256>) -> Call {
        let Earning { account, token, cumulative } = *earning;
        Call::new(DISTRIBUTOR, self.address, &RewardDistributor::claimCall { account, token, cumulative, proof })
    }

    /// What pays to another account what the sender has earned, or somebody whose claimer it is.
    pub fn claim_to(&self, earning: &Earning, proof: Vec<B256>, to: Address) -> Call {
        let Earning { account, token, cumulative } = *earning;
        let call = RewardDistributor::claimToCall { account, token, cumulative, proof, to };
        Call::new(DISTRIBUTOR, self.address, &call)
    }

    /// What sends the sender's credit of a token to an account.
    pub fn withdraw(&self, token: Address, to: Address) -> Call {
        Call::new(DISTRIBUTOR, self.address, &RewardDistributor::withdrawCall { token, to })
    }
}
