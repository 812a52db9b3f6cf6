//! What commands about the contracts of a network have in common: where these are, and how calls are sent or proposed.

use alloy::signers::k256::elliptic_curve::rand_core::{OsRng, RngCore};
use alloy_primitives::{Address, B256};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use dtn_bindings::{ContractAddresses, ResultRegistry, RewardDistributor};
use dtn_chain::{Account, Call, Chain, connection::ReadError, gas_ledger::GasRecord};
use dtn_settlement::{
    calls::{OpenCall, OwnersCall},
    deploy::Deployment,
    guard::Registry,
    multisig::{Multisig, ProposalStatus, WalletTransaction},
    rewards::Distributor,
};
use serde_json::json;

use crate::{
    commands::multisig::propose_transaction,
    context::{Context, Sender},
    failure::Coded,
    output,
};

/// A wallet, and who sends.
#[derive(Debug, Args)]
pub(crate) struct OfWallet {
    /// The wallet
    pub(crate) wallet: String,
    #[command(flatten)]
    pub(crate) sender: Sender,
}

/// A height, and who sends.
#[derive(Debug, Args)]
pub(crate) struct AtHeight {
    /// The height
    pub(crate) height: u64,
    #[command(flatten)]
    pub(crate) sender: Sender,
}

/// The contracts of a network, as they were deployed from here.
pub(crate) struct Desk {
    pub(crate) chain: Chain,
    pub(crate) deployment: Deployment,
    pub(crate) multisig: Multisig,
}

impl Desk {
    pub(crate) async fn open(context: &Context) -> Result<Self> {
        let chain = context.connect().await?;
        let deployment = context.deployment(&chain)?;
        // The owners may have handed over to another wallet since it was deployed.
        let wallet = match Distributor::new(chain.clone(), deployment.addresses.distributor).multisig().await {
            Err(ReadError::NotTheContract { .. }) => deployment.addresses.multisig,
            wallet => wallet?,
        };
        let multisig = Multisig::new(chain.clone(), wallet);
        if !chain.has_code(multisig.address()).await? {
            bail!(
                "there is no contract at {} on network `{}`. A development chain forgets everything when it restarts; \
                 run `dtn-cli deploy` again",
                multisig.address(),
                chain.network().name
            );
        }
        Ok(Self { chain, deployment, multisig })
    }

    pub(crate) async fn open_as(context: &Context, sender: &Sender) -> Result<(Self, Account)> {
        let desk = Self::open(context).await?;
        let account = sender.account(&desk.chain, context).await?;
        Ok((desk, account))
    }

    /// The same, as one on which the owners of the wallet decide in which something is proposed: most are one.
    pub(crate) async fn of_proposal(context: &Context, id: B256) -> Result<Self> {
        let mut desk = Self::open(context).await?;
        for wallet in desk.wallets().await? {
            let multisig = Multisig::new(desk.chain.clone(), wallet);
            if multisig.status(id).await?.0 != ProposalStatus::None {
                desk.multisig = multisig;
                break;
            }
        }
        Ok(desk)
    }

    /// The wallets that have a say: the one that pays, the registry's guardian, the one that is to take over, and the one that
    /// paid by the distributor before.
    pub(crate) async fn wallets(&self) -> Result<Vec<Address>> {
        let ContractAddresses { registry, distributor, .. } = self.deployment.addresses;
        let guardian = self.chain.read(registry, &ResultRegistry::guardianCall {}).await?;
        let heir = self.chain.read(distributor, &RewardDistributor::heirCall {}).await?;
        let mut wallets = vec![self.multisig.address()];
        // One that is closed has money to pass on.
        let predecessor = self.deployment.predecessor;
        let before = match predecessor.is_zero() {
            true => Address::ZERO,
            false => self.chain.read(predecessor, &RewardDistributor::multisigCall {}).await?,
        };
        for wallet in [guardian, heir, before, self.deployment.addresses.multisig] {
            if !wallet.is_zero() && !wallets.contains(&wallet) {
                wallets.push(wallet);
            }
        }
        Ok(wallets)
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::new(self.chain.clone(), self.deployment.addresses.registry)
    }

    pub(crate) fn distributor(&self) -> Distributor {
        Distributor::new(self.chain.clone(), self.deployment.addresses.distributor)
    }

    /// The call behind an id: as proposed from here, else as the chain tells it.
    pub(crate) async fn transaction(&self, context: &Context, id: B256) -> Result<WalletTransaction> {
        if let Some(known) = context.find_proposal(id)?.filter(|known| self.multisig.id(known) == id) {
            return Ok(known);
        }
        let proposals = self.multisig.proposals(Some(id), self.deployment.from_block).await?;
        let found = proposals.into_iter().find_map(|(_, transaction)| transaction);
        found.with_context(|| format!("nobody has proposed {id} in the multisig {}", self.multisig.address()))
    }
}

/// Tells apart proposals of the same call.
pub(crate) fn new_salt() -> B256 {
    let mut salt = B256::ZERO;
    OsRng.fill_bytes(salt.as_mut_slice());
    salt
}

/// Proposes to the owners of the wallet that can make it a call which nobody else can.
pub(crate) async fn propose(call: OwnersCall, sender: &Sender, context: &Context) -> Result<()> {
    let mut desk = Desk::open(context).await?;
    let contracts = &desk.deployment.addresses;
    let wallet = call.wallet(&desk.chain, contracts).await?;
    if wallet.is_zero() {
        bail!(Coded::argument("no wallet is to take over: `dtn-cli rewards hand-over propose` names one"));
    }
    let transaction = call.transaction(contracts, new_salt());
    desk.multisig = Multisig::new(desk.chain.clone(), wallet);
    propose_transaction(transaction, &desk, sender, context).await
}

/// Sends a call that anybody may make, or each account for itself.
pub(crate) async fn send_open(
    sender: &Sender,
    context: &Context,
    call: impl FnOnce(&Account) -> OpenCall,
) -> Result<()> {
    let (desk, account) = Desk::open_as(context, sender).await?;
    send(&account, &call(&account).call(&desk.deployment.addresses), context).await
}

/// Sends a call and says what it cost.
pub(crate) async fn send(account: &Account, call: &Call, context: &Context) -> Result<()> {
    let record: GasRecord = account.send(call).await?;
    if context.json {
        return output::json(&json!({ "transaction": record }));
    }
    done(account.chain(), &record)
}

/// Says what was done and what it cost, to people.
pub(crate) fn done(chain: &Chain, record: &GasRecord) -> Result<()> {
    output::line(format!("{} in {}, {} gas", record.function, record.tx, record.gas_used.unwrap_or(0)))?;
    match chain.network().transaction_url(record.tx) {
        Some(url) => output::line(url),
        None => Ok(()),
    }
}
