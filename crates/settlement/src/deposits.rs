//! What comes into a vault, stated in the ledger: how each validator says what it has seen on the settlement chain.
//!
//! Only irrevocable blocks count, in the order of the vault's numbers. The ledger says which deposit it is to be credited with
//! next; what is before that is done with, whoever has stated it. So nothing is written down here: after a restart the events
//! are read again, and what the ledger lacks is stated once more.

use std::{collections::BTreeMap, convert::Infallible, future::Future, time::Duration};

use alloy::{
    primitives::{Address, B256, U256},
    providers::Provider,
    transports::TransportError,
};
use dtn_bindings::{VAULT, Vault};
use dtn_chain::{
    Chain,
    connection::{ReadError, retrying},
    networks::Network,
    sender::Call,
};
use dtn_primitives::Deposit;
use tokio::time::Instant;

use crate::{
    guard::Erc20,
    passes::{Passes, forever},
    relayer::SourceError,
};

/// How many deposits are stated ahead of the one that comes next: half of what the ledger takes.
const AHEAD: u64 = 32;

/// A peer's own node, as it is told of deposits.
pub trait DepositTarget: Send + Sync {
    /// The number of the deposit that a vault is to be credited with next.
    fn next_deposit(&self, vault: Address) -> impl Future<Output = Result<u64, SourceError>> + Send;

    /// States a deposit by this validator's key; also one that it has stated before, which changes nothing.
    fn state(&self, deposit: Deposit) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// The vault that a validator watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultPlace {
    /// Its contract.
    pub vault: Address,
    /// The distributor to which its money has to go.
    pub distributor: Address,
    /// What the ledger's money is.
    pub token: Address,
    /// A block before which it did not exist.
    pub from_block: u64,
}

/// How a teller paces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TellerOptions {
    /// How often the chain is looked at.
    pub poll: Duration,
    /// How long it takes until a deposit is stated again that the ledger still lacks.
    pub again: Duration,
}

impl TellerOptions {
    /// What suits a network.
    pub fn for_network(network: &Network) -> Self {
        Self { poll: network.poll_interval(), again: Duration::from_secs(if network.is_local() { 2 } else { 30 }) }
    }
}

/// What deposits an amount for an account of the ledger: the call of a vault, after what allows it to take its token.
pub async fn deposit_calls(
    chain: &Chain,
    vault: Address,
    (sender, account): (Address, Address),
    amount: U256,
) -> Result<Vec<Call>, ReadError> {
    let token = chain.read(vault, &Vault::tokenCall {}).await?;
    if token.is_zero() {
        return Ok(vec![Call { value: amount, ..Call::new(VAULT, vault, &Vault::deposit_1Call { account }) }]);
    }
    let deposit = Call::new(VAULT, vault, &Vault::deposit_0Call { account, amount });
    let allowance = Erc20::allowanceCall { owner: sender, spender: vault };
    if chain.read(token, &allowance).await? >= amount {
        return Ok(vec![deposit]);
    }
    Ok(vec![Call::new("token", token, &Erc20::approveCall { spender: vault, amount }), deposit])
}

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TellerError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the node of the chain: {0}")]
    Rpc(#[from] TransportError),
    #[error("the ledger: {0}")]
    Ledger(SourceError),
    #[error("the vault {vault} {what}: its deposits are not stated")]
    OtherVault { vault: Address, what: &'static str },
}

/// Tells the ledger of one validator what has come into its vault.
#[derive(Debug)]
pub struct Teller<T> {
    chain: Chain,
    place: VaultPlace,
    target: T,
    options: TellerOptions,
    is_checked: bool,
    next_block: u64,
    /// What the ledger may lack, by number, and when it was stated last.
    open: BTreeMap<u64, (Deposit, Option<Instant>)>,
}

impl<T: DepositTarget> Teller<T> {
    /// One that watches a vault.
    pub fn new(chain: Chain, place: VaultPlace, target: T, options: TellerOptions) -> Self {
        let next_block = place.from_block;
        Self { chain, place, target, options, is_checked: false, next_block, open: BTreeMap::new() }
    }

    /// Works until it is dropped, through any failure of the chain and the ledger.
    pub async fn run(self) -> Infallible {
        forever(self).await
    }

    /// Money of another kind, or that goes elsewhere, is none of the ledger's.
    async fn check(&self) -> Result<(), TellerError> {
        let VaultPlace { vault, distributor, token, .. } = self.place;
        let other = |what| Err(TellerError::OtherVault { vault, what });
        if self.chain.read(vault, &Vault::distributorCall {}).await? != distributor {
            return other("pays another distributor");
        }
        if self.chain.read(vault, &Vault::tokenCall {}).await? != token {
            return other("takes another token than the genesis names");
        }
        Ok(())
    }

    /// Takes up the deposits of irrevocable blocks that are new.
    async fn read(&mut self) -> Result<(), TellerError> {
        let provider = self.chain.provider();
        let block = retrying(|| async { provider.get_block(self.chain.final_block()).await }).await?;
        let Some(head) = block.map(|block| block.header.number).filter(|head| *head >= self.next_block) else {
            return Ok(());
        };
        let vault = self.place.vault;
        let read = |event: Vault::Deposited, _, _: B256| {
            let Vault::Deposited { number, account, amount } = event;
            // The vault takes no more than 96 bits hold.
            Some(Deposit { vault, number, account, amount: amount.try_into().ok()? })
        };
        for deposit in self.chain.events(vault, self.next_block..=head, None, read).await? {
            self.open.insert(deposit.number, (deposit, None));
        }
        self.next_block = head + 1;
        Ok(())
    }
}

impl<T: DepositTarget> Passes for Teller<T> {
    const WHAT: &'static str = "looking for deposits";
    type Error = TellerError;

    fn poll(&self) -> Duration {
        self.options.poll
    }

    async fn pass(&mut self) -> Result<bool, TellerError> {
        if !self.is_checked {
            self.check().await?;
            self.is_checked = true;
        }
        self.read().await?;
        let next = self.target.next_deposit(self.place.vault).await.map_err(TellerError::Ledger)?;
        self.open = self.open.split_off(&next);
        let (now, again) = (Instant::now(), self.options.again);
        for (deposit, stated) in self.open.range_mut(..next.saturating_add(AHEAD)).map(|(_, open)| open) {
            if stated.is_none_or(|at| now.duration_since(at) >= again) {
                self.target.state(*deposit).await.map_err(TellerError::Ledger)?;
                *stated = Some(now);
            }
        }
        Ok(false)
    }
}
