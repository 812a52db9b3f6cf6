//! Deploying the contracts to addresses that are known beforehand, so that a second run finds what is there.

use alloy::{
    primitives::{Address, B256, U256},
    providers::Provider,
};
use dtn_bindings::{
    AOW, AowChallenge, ContractAddresses, DISTRIBUTOR, REGISTRY, ResultRegistry, RewardDistributor, TEMPLATE, VAULT,
    Vault,
};
use dtn_chain::{
    connection::{Chain, ReadError, retrying},
    gas_ledger::GasRecord,
    sender::{Account, Call, SendError},
};
use serde::{Deserialize, Serialize};

use crate::plan::Part;
pub use crate::plan::{DEPLOYER, DeployPlan, Existing, MAX_OWNERS, PlanError, VaultTerms};

/// Why the contracts were not deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The network settles elsewhere.
    #[error(
        "the genesis settles on chain {genesis}, but this is chain {chain}: its blocks would be refused here. \
         Choose the network that the genesis names, or make a genesis for this one"
    )]
    WrongChain {
        /// In the genesis.
        genesis: u64,
        /// Connected to.
        chain: u64,
    },
    /// What is to be taken over from is something else.
    #[error("{0} is no distributor, so there is nothing to take over from: `dtn-cli show` lists what was deployed")]
    NoDistributor(Address),
    /// What is to be taken over from is of another network.
    #[error(
        "the distributor {distributor} is of network {theirs}, and this genesis is of another one: nothing was sent"
    )]
    OtherNetwork {
        /// The distributor.
        distributor: Address,
        /// The id of its network.
        theirs: B256,
    },
    /// What is to be taken over from has not come to its end.
    #[error(
        "the distributor {distributor} pays blocks from {first} on as well: have its owners close it first, by \
         `dtn-cli rewards close {}` or a lower height",
        first.saturating_sub(1)
    )]
    StillPays {
        /// The distributor.
        distributor: Address,
        /// The first height of the one that takes over.
        first: u64,
    },
    /// No deployment proxy.
    #[error(
        "there is no deterministic deployment proxy at {DEPLOYER} on network `{0}`; deploy it first, see \
         https://github.com/Arachnid/deterministic-deployment-proxy"
    )]
    NoDeployer(String),
    /// A transaction.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The node.
    #[error("the node: {0}")]
    Rpc(#[from] alloy::transports::TransportError),
    /// The contract is not where it should be.
    #[error("{contract} is not at {address} after its deployment in {tx}")]
    NotThere {
        /// The contract.
        contract: String,
        /// Where it should be.
        address: Address,
        /// The transaction.
        tx: B256,
    },
    /// The contract is there and says something else than it was deployed with.
    #[error("{contract} at {address} has another {what} than it was deployed with")]
    Unexpected {
        /// The contract.
        contract: String,
        /// Where it is.
        address: Address,
        /// What differs.
        what: &'static str,
    },
}

impl Part {
    /// Deploys it, unless it is there. The address is a hash of the code and its arguments, so whatever is there is the right
    /// contract.
    async fn deploy(&self, account: &Account) -> Result<Option<GasRecord>, DeployError> {
        match account.chain().has_code(self.address).await? {
            true => Ok(None),
            false => create(account, self).await.map(Some),
        }
    }
}

/// A contract that a run deployed or found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedContract {
    /// The contract's name.
    pub contract: String,
    /// Where it is.
    pub address: Address,
    /// The deploying transaction, if it was this run's.
    pub tx: Option<B256>,
    /// Its block.
    pub block: Option<u64>,
    /// Its gas.
    pub gas_used: Option<u64>,
}

/// What is deployed for a network on a chain. Kept in a file by those who use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The settlement network's name.
    pub network: String,
    /// Its chain id.
    pub chain_id: u64,
    /// The DTN network's id.
    pub network_id: B256,
    /// The number of the validator set.
    pub epoch: u64,
    /// Where the contracts are.
    #[serde(flatten)]
    pub addresses: ContractAddresses,
    /// The multisig's owners when it was deployed.
    pub owners: Vec<Address>,
    /// The multisig's threshold when it was deployed.
    pub threshold: usize,
    /// The distributor that this one takes over from; zero if there is none.
    #[serde(default)]
    pub predecessor: Address,
    /// A block before which the contracts did not exist, for reading events.
    pub from_block: u64,
    /// One by one.
    pub contracts: Vec<DeployedContract>,
}

/// What a distributor shares with that of a plan, which takes over from it, as it is now.
///
/// # Errors
///
/// If it is of another network, or still pays what the plan's would pay.
pub async fn existing(chain: &Chain, distributor: Address, plan: &DeployPlan) -> Result<Existing, DeployError> {
    let registry = match chain.read(distributor, &RewardDistributor::registryCall {}).await {
        Err(ReadError::NotTheContract { .. } | ReadError::Revert { .. }) => {
            return Err(DeployError::NoDistributor(distributor));
        }
        registry => registry?,
    };
    let theirs = chain.read(registry, &ResultRegistry::networkIdCall {}).await?;
    if theirs != plan.network_id {
        return Err(DeployError::OtherNetwork { distributor, theirs });
    }
    closed(chain, distributor, plan).await?;
    let aow = chain.read(distributor, &RewardDistributor::aowCall {}).await?;
    let multisig = chain.read(distributor, &RewardDistributor::multisigCall {}).await?;
    Ok(Existing { registry, aow, multisig })
}

/// Makes sure that a distributor pays no block that the plan's would pay.
///
/// # Errors
///
/// If it does.
pub async fn closed(chain: &Chain, distributor: Address, plan: &DeployPlan) -> Result<(), DeployError> {
    let first = plan.rewards.first_height;
    match chain.read(distributor, &RewardDistributor::lastHeightCall {}).await? {
        last if last >= first => Err(DeployError::StillPays { distributor, first }),
        _ => Ok(()),
    }
}

/// Deploys a plan's wallet alone, for owners who are to take over from those of another one, unless it is there. Its address.
pub async fn deploy_wallet(account: &Account, plan: &DeployPlan) -> Result<(Address, Option<GasRecord>), DeployError> {
    let (template, wallet) = plan.wallet();
    if let Some(template) = template {
        template.deploy(account).await?;
    }
    Ok((wallet.address, wallet.deploy(account).await?))
}

/// Deploys what is not there yet. `progress` hears of each contract as it is done.
pub async fn deploy(
    account: &Account,
    plan: &DeployPlan,
    mut progress: impl FnMut(&DeployedContract),
) -> Result<Deployment, DeployError> {
    let chain = account.chain();
    if plan.chain_id != chain.chain_id() {
        return Err(DeployError::WrongChain { genesis: plan.chain_id, chain: chain.chain_id() });
    }
    if !chain.has_code(DEPLOYER).await? {
        return Err(DeployError::NoDeployer(chain.network().name.clone()));
    }
    let from_block = retrying(|| async { chain.provider().get_block_number().await }).await?;
    let mut contracts = Vec::new();
    for part in plan.parts() {
        let record = part.deploy(account).await?;
        let done = DeployedContract {
            contract: part.name.to_string(),
            address: part.address,
            tx: record.as_ref().map(|record| record.tx),
            block: record.as_ref().and_then(|record| record.block),
            gas_used: record.as_ref().and_then(|record| record.gas_used),
        };
        progress(&done);
        contracts.push(done);
    }
    let found = |name| contracts.iter().any(|contract| contract.contract == name && contract.tx.is_none());
    check(chain, plan, found(DISTRIBUTOR)).await?;
    // A template is older than the network, as far as others have deployed it.
    let all_new = contracts.iter().all(|contract| contract.tx.is_some() || contract.contract == TEMPLATE);
    Ok(Deployment {
        network: chain.network().name.clone(),
        chain_id: plan.chain_id,
        network_id: plan.network_id,
        epoch: plan.epoch,
        addresses: plan.addresses(),
        owners: plan.owners.clone(),
        threshold: plan.threshold.into(),
        predecessor: plan.rewards.predecessor,
        from_block: if all_new { from_block } else { 0 },
        contracts,
    })
}

async fn create(account: &Account, part: &Part) -> Result<GasRecord, DeployError> {
    let Part { name, salt, init_code, address } = part;
    let call = Call {
        contract: name.to_string(),
        function: "constructor".to_string(),
        to: DEPLOYER,
        value: U256::ZERO,
        data: [salt.as_slice(), init_code].concat().into(),
        urgent: false,
    };
    let record = account.send(&call).await?;
    if account.chain().has_code(*address).await? {
        Ok(record)
    } else {
        Err(DeployError::NotThere { contract: name.to_string(), address: *address, tx: record.tx })
    }
}

/// Reads the contracts back: what they were deployed with is what they say. Of what was there, the wallet may be another one by
/// now, and so may be the validators.
async fn check(chain: &Chain, plan: &DeployPlan, was_there: bool) -> Result<(), DeployError> {
    let at = plan.addresses();
    let expect = |matches: bool, contract: &str, address: Address, what: &'static str| {
        if matches { Ok(()) } else { Err(DeployError::Unexpected { contract: contract.to_string(), address, what }) }
    };
    let network_id = chain.read(at.registry, &ResultRegistry::networkIdCall {}).await?;
    expect(network_id == plan.network_id, REGISTRY, at.registry, "network id")?;
    let registry = chain.read(at.aow, &AowChallenge::registryCall {}).await?;
    expect(registry == at.registry, AOW, at.aow, "registry")?;
    if plan.existing.is_none() {
        let quorum: U256 = chain.read(at.registry, &ResultRegistry::quorumCall {}).await?;
        let expected = U256::from(dtn_primitives::quorum(plan.validators.len()));
        expect(was_there || quorum == expected, REGISTRY, at.registry, "quorum")?;
        let bond = chain.read(at.aow, &AowChallenge::minimumBondCall {}).await?;
        expect(bond == plan.claims.bond, AOW, at.aow, "bond")?;
        let window = chain.read(at.aow, &AowChallenge::windowCall {}).await?;
        expect(window == plan.claims.window, AOW, at.aow, "window")?;
    }
    let aow = chain.read(at.distributor, &RewardDistributor::aowCall {}).await?;
    expect(aow == at.aow, DISTRIBUTOR, at.distributor, "contract for claims")?;
    let registry = chain.read(at.distributor, &RewardDistributor::registryCall {}).await?;
    expect(registry == at.registry, DISTRIBUTOR, at.distributor, "registry")?;
    let multisig = chain.read(at.distributor, &RewardDistributor::multisigCall {}).await?;
    expect(was_there || multisig == at.multisig, DISTRIBUTOR, at.distributor, "multisig")?;
    let delay = chain.read(at.distributor, &RewardDistributor::delayCall {}).await?;
    expect(delay == plan.rewards.delay, DISTRIBUTOR, at.distributor, "delay of distributions")?;
    let first_height = chain.read(at.distributor, &RewardDistributor::firstHeightCall {}).await?;
    expect(first_height == plan.rewards.first_height, DISTRIBUTOR, at.distributor, "first height")?;
    if let Some(terms) = plan.vault {
        let distributor = chain.read(at.vault, &Vault::distributorCall {}).await?;
        expect(distributor == at.distributor, VAULT, at.vault, "distributor")?;
        let token = chain.read(at.vault, &Vault::tokenCall {}).await?;
        expect(token == terms.token, VAULT, at.vault, "token")?;
    }
    Ok(())
}

/// Brings an account's balance up to an amount. `None` if it has that much already.
pub async fn top_up(account: &Account, to: Address, amount: U256) -> Result<Option<GasRecord>, SendError> {
    let balance = retrying(|| async { account.chain().provider().get_balance(to).await }).await?;
    match amount.saturating_sub(balance) {
        missing if missing.is_zero() => Ok(None),
        missing => account.send(&Call::transfer("fund", to, missing)).await.map(Some),
    }
}

/// Brings several accounts' balances up to an amount each, in the order of `accounts`; `None` for those that had enough.
pub async fn fund(account: &Account, accounts: &[Address], amount: U256) -> Result<Vec<Option<GasRecord>>, SendError> {
    fund_each(account, accounts, amount, |_| ()).await.into_iter().collect()
}

/// Brings several accounts' balances up to an amount each, with all transfers on their way at once. In the order of
/// `accounts`; `None` for those that had enough. One that refuses does not stop the others; after a failure that is not one
/// account's the rest is left out. `progress` hears of each as it is done.
pub async fn fund_each(
    account: &Account,
    accounts: &[Address],
    amount: U256,
    mut progress: impl FnMut(Address),
) -> Vec<Result<Option<GasRecord>, SendError>> {
    let provider = account.chain().provider();
    let mut submitted = Vec::new();
    for to in accounts {
        let submit = async || {
            let balance = retrying(|| async { provider.get_balance(*to).await }).await?;
            let missing = amount.saturating_sub(balance);
            match missing.is_zero() {
                true => Ok(None),
                false => account.submit(&Call::transfer("fund", *to, missing)).await.map(Some),
            }
        };
        submitted.push(submit().await);
        // One that refuses is no reason to leave out the next; what holds for all is.
        if submitted.last().is_some_and(|last| last.as_ref().is_err_and(|error| error.revert().is_none())) {
            break;
        }
    }
    let mut ends = Vec::new();
    for (to, submitted) in accounts.iter().zip(submitted) {
        ends.push(match submitted {
            Ok(Some(submitted)) => submitted.wait().await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        });
        progress(*to);
    }
    ends
}
