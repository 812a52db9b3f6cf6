//! Deploying the contracts to addresses that are known beforehand, so that a second run finds what is there.

use alloy::{
    primitives::{Address, B256, Bytes, U256, address, keccak256},
    providers::Provider,
    sol_types::SolConstructor,
};
use dtn_bindings::{
    AOW, AowChallenge, ContractAddresses, DISTRIBUTOR, MULTISIG, MultiSigWallet, REGISTRY, ResultRegistry,
    RewardDistributor,
};
use dtn_chain::{
    connection::{Chain, ReadError, retrying},
    gas_ledger::GasRecord,
    sender::{Account, Call, SendError},
};
use dtn_primitives::{Allotment, Genesis, GenesisError, Kind, deserialize_addresses};
use serde::{Deserialize, Serialize};

use crate::{aow::ClaimTerms, rewards::RewardTerms};

/// The deterministic deployment proxy, which is on nearly every chain at this address.
pub const DEPLOYER: Address = address!("4e59b44847b379578588920ca78fbf26c0b4956c");

/// The most owners that a wallet has in its lifetime: `MAX_OWNERS` in `Owners.sol`.
pub const MAX_OWNERS: usize = 200;

/// Why a plan is not one that can be deployed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The genesis.
    #[error("the genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The threshold.
    #[error("a threshold of {threshold} does not suit {owners} owners; it must be between 1 and their number")]
    Threshold {
        /// What was asked for.
        threshold: usize,
        /// How many owners there are.
        owners: usize,
    },
    /// Too many owners.
    #[error(
        "{0} owners are too many: the multisig takes at most {MAX_OWNERS} in its lifetime. Name fewer with --owners; \
         not every validator has to be one"
    )]
    TooManyOwners(usize),
    /// The owners.
    #[error("the owner {0} is listed twice")]
    DuplicateOwner(Address),
    /// The zero address.
    #[error("the zero address cannot be an owner")]
    ZeroOwner,
    /// The terms of claims.
    #[error("a claim needs a bond that covers gas at some price, and a window of four seconds or more")]
    Terms,
    /// The terms of distributions.
    #[error(
        "rewards need a delay of a second to 100 years, a claim period of a day to 100 years, and limits that fill again \
         within a second to 366 days"
    )]
    RewardTerms,
    /// A kind that the contract refuses.
    #[error("{0} is no custom kind of work, so the contract checks it or does not know it: leave it out")]
    ReservedKind(Kind),
}

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

/// What is to be deployed. The same plan gives the same addresses on every chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployPlan {
    /// The network's id, also the salt of the addresses: another network gets other contracts.
    pub network_id: B256,
    /// The chain on which the network settles.
    pub chain_id: u64,
    /// The number of the validator set.
    pub epoch: u64,
    /// In ascending order of address.
    #[serde(deserialize_with = "deserialize_addresses")]
    pub validators: Vec<Address>,
    /// The multisig's owners, in ascending order of address.
    #[serde(deserialize_with = "deserialize_addresses")]
    pub owners: Vec<Address>,
    /// Confirmations that the multisig asks for.
    pub threshold: u8,
    /// What each validator has to put at stake with the registry; an amount of zero for nothing.
    pub stakes: Allotment,
    /// On which terms sequential work is claimed.
    pub claims: ClaimTerms,
    /// On which terms rewards are distributed.
    pub rewards: RewardTerms,
}

impl DeployPlan {
    /// The contracts of a network. Without `owners` the validators are the owners; without `threshold` it is their
    /// quorum.
    pub fn new(genesis: &Genesis, owners: Option<Vec<Address>>, threshold: Option<usize>) -> Result<Self, PlanError> {
        let set = genesis.validator_set()?;
        let validators: Vec<_> = set.iter().map(|(_, validator)| validator.address).collect();
        let mut owners = owners.unwrap_or_else(|| validators.clone());
        owners.sort();
        if let Some(pair) = owners.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(PlanError::DuplicateOwner(pair[0]));
        }
        if owners.first().is_some_and(|owner| owner.is_zero()) {
            return Err(PlanError::ZeroOwner);
        }
        if owners.len() > MAX_OWNERS {
            return Err(PlanError::TooManyOwners(owners.len()));
        }
        let threshold = threshold.unwrap_or_else(|| dtn_primitives::quorum(owners.len()));
        let invalid = PlanError::Threshold { threshold, owners: owners.len() };
        if !(1..=owners.len()).contains(&threshold) {
            return Err(invalid);
        }
        Ok(Self {
            network_id: genesis.network_id(),
            chain_id: genesis.chain_id,
            epoch: set.epoch(),
            validators,
            owners,
            threshold: u8::try_from(threshold).map_err(|_| invalid)?,
            stakes: Allotment { token: Address::ZERO, amount: 0 },
            claims: ClaimTerms::for_chain(genesis.chain_id),
            rewards: RewardTerms {
                kinds: genesis.custom_kinds().collect(),
                ..RewardTerms::for_chain(genesis.chain_id)
            },
        })
    }

    /// The same with other terms for claims.
    pub fn with_claims(self, claims: ClaimTerms) -> Result<Self, PlanError> {
        match claims.bond.is_zero() || claims.window < 4 || claims.gas_price == 0 {
            true => Err(PlanError::Terms),
            false => Ok(Self { claims, ..self }),
        }
    }

    /// The same with other terms for distributions.
    pub fn with_rewards(self, rewards: RewardTerms) -> Result<Self, PlanError> {
        const DAY: u64 = 24 * 3600;
        const CENTURY: u64 = 100 * 365 * DAY;
        if let Some(reserved) = rewards.kinds.iter().find(|kind| !kind.is_custom()) {
            return Err(PlanError::ReservedKind(*reserved));
        }
        // The contract adds the first two to the time in 64 bits, and takes no less.
        let fits = (1..=CENTURY).contains(&rewards.delay)
            && (DAY..=CENTURY).contains(&rewards.claim_period)
            && (1..=366 * DAY).contains(&rewards.period);
        if fits { Ok(Self { rewards, ..self }) } else { Err(PlanError::RewardTerms) }
    }

    /// In the order in which they are deployed: each names those before it.
    fn contracts(&self) -> [(&'static str, Bytes, Address); 4] {
        let multisig = MultiSigWallet::constructorCall { owners_: self.owners.clone(), threshold_: self.threshold };
        let multisig = [&MultiSigWallet::BYTECODE[..], &multisig.abi_encode()].concat();
        let at_multisig = self.address_of(&multisig);
        let registry = ResultRegistry::constructorCall {
            networkId_: self.network_id,
            epoch_: self.epoch,
            validators_: self.validators.clone(),
            terms: ResultRegistry::RegistryTerms {
                guardian: at_multisig,
                stakeToken: self.stakes.token,
                stake: self.stakes.amount,
            },
        };
        let registry = [&ResultRegistry::BYTECODE[..], &registry.abi_encode()].concat();
        let at_registry = self.address_of(&registry);
        let aow = AowChallenge::constructorCall {
            registry_: at_registry,
            minimumBond_: self.claims.bond,
            window_: self.claims.window,
            gasPrice_: U256::from(self.claims.gas_price),
        };
        let aow = [&AowChallenge::BYTECODE[..], &aow.abi_encode()].concat();
        let at_aow = self.address_of(&aow);
        let caps = self.rewards.caps.iter();
        let distributor = RewardDistributor::constructorCall {
            registry_: at_registry,
            aow_: at_aow,
            multisig_: at_multisig,
            terms: RewardDistributor::Terms {
                firstHeight: self.rewards.first_height,
                predecessor: self.rewards.predecessor,
                kinds: self.rewards.kinds.iter().map(|kind| kind.number()).collect(),
                delay: self.rewards.delay,
                claimPeriod: self.rewards.claim_period,
                period: self.rewards.period,
                requesterCap: self.rewards.requester_cap.saturating_to(),
                caps: caps.map(|cap| RewardDistributor::Allotment { token: cap.token, amount: cap.amount }).collect(),
            },
        };
        let distributor = [&RewardDistributor::BYTECODE[..], &distributor.abi_encode()].concat();
        let at_distributor = self.address_of(&distributor);
        [
            (MULTISIG, multisig.into(), at_multisig),
            (REGISTRY, registry.into(), at_registry),
            (AOW, aow.into(), at_aow),
            (DISTRIBUTOR, distributor.into(), at_distributor),
        ]
    }

    /// The same with stakes of validators.
    pub fn with_stakes(self, stakes: Allotment) -> Self {
        Self { stakes, ..self }
    }

    fn address_of(&self, init_code: &[u8]) -> Address {
        DEPLOYER.create2(self.network_id, keccak256(init_code))
    }

    /// Where the contracts are or will be.
    pub fn addresses(&self) -> ContractAddresses {
        let [multisig, registry, aow, distributor] = self.contracts().map(|(_, _, address)| address);
        ContractAddresses { registry, aow, multisig, distributor }
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

/// Deploys a plan's wallet alone, for owners who are to take over from those of another one, unless it is there. Its address.
pub async fn deploy_wallet(account: &Account, plan: &DeployPlan) -> Result<(Address, Option<GasRecord>), DeployError> {
    let [(name, init_code, address), ..] = plan.contracts();
    match account.chain().has_code(address).await? {
        true => Ok((address, None)),
        false => Ok((address, Some(create(account, plan, name, init_code, address).await?))),
    }
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
    for (name, init_code, address) in plan.contracts() {
        // The address is a hash of the code and its arguments, so whatever is there is the right contract.
        let record = match chain.has_code(address).await? {
            true => None,
            false => Some(create(account, plan, name, init_code, address).await?),
        };
        let done = DeployedContract {
            contract: name.to_string(),
            address,
            tx: record.as_ref().map(|record| record.tx),
            block: record.as_ref().and_then(|record| record.block),
            gas_used: record.as_ref().and_then(|record| record.gas_used),
        };
        progress(&done);
        contracts.push(done);
    }
    check(chain, plan).await?;
    let all_new = contracts.iter().all(|contract| contract.tx.is_some());
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

async fn create(
    account: &Account,
    plan: &DeployPlan,
    name: &str,
    init_code: Bytes,
    address: Address,
) -> Result<GasRecord, DeployError> {
    let call = Call {
        contract: name.to_string(),
        function: "constructor".to_string(),
        to: DEPLOYER,
        value: U256::ZERO,
        data: [plan.network_id.as_slice(), &init_code].concat().into(),
        urgent: false,
    };
    let record = account.send(&call).await?;
    if account.chain().has_code(address).await? {
        Ok(record)
    } else {
        Err(DeployError::NotThere { contract: name.to_string(), address, tx: record.tx })
    }
}

/// Reads the contracts back: what they were deployed with is what they say.
async fn check(chain: &Chain, plan: &DeployPlan) -> Result<(), DeployError> {
    let at = plan.addresses();
    let expect = |matches: bool, contract: &str, address: Address, what: &'static str| {
        if matches { Ok(()) } else { Err(DeployError::Unexpected { contract: contract.to_string(), address, what }) }
    };
    let network_id = chain.read(at.registry, &ResultRegistry::networkIdCall {}).await?;
    expect(network_id == plan.network_id, REGISTRY, at.registry, "network id")?;
    let quorum: U256 = chain.read(at.registry, &ResultRegistry::quorumCall {}).await?;
    let expected = U256::from(dtn_primitives::quorum(plan.validators.len()));
    expect(quorum == expected, REGISTRY, at.registry, "quorum")?;
    let registry = chain.read(at.aow, &AowChallenge::registryCall {}).await?;
    expect(registry == at.registry, AOW, at.aow, "registry")?;
    let bond = chain.read(at.aow, &AowChallenge::minimumBondCall {}).await?;
    expect(bond == plan.claims.bond, AOW, at.aow, "bond")?;
    let window = chain.read(at.aow, &AowChallenge::windowCall {}).await?;
    expect(window == plan.claims.window, AOW, at.aow, "window")?;
    let aow = chain.read(at.distributor, &RewardDistributor::aowCall {}).await?;
    expect(aow == at.aow, DISTRIBUTOR, at.distributor, "contract for claims")?;
    let registry = chain.read(at.distributor, &RewardDistributor::registryCall {}).await?;
    expect(registry == at.registry, DISTRIBUTOR, at.distributor, "registry")?;
    let multisig = chain.read(at.distributor, &RewardDistributor::multisigCall {}).await?;
    expect(multisig == at.multisig, DISTRIBUTOR, at.distributor, "multisig")?;
    let delay = chain.read(at.distributor, &RewardDistributor::delayCall {}).await?;
    expect(delay == plan.rewards.delay, DISTRIBUTOR, at.distributor, "delay of distributions")?;
    let first_height = chain.read(at.distributor, &RewardDistributor::firstHeightCall {}).await?;
    expect(first_height == plan.rewards.first_height, DISTRIBUTOR, at.distributor, "first height")
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

#[cfg(test)]
mod tests {
    use dtn_primitives::SecretKey;

    use super::*;
    use dtn_chain::networks::LOCAL_CHAIN_ID;

    fn genesis(name: &str) -> Genesis {
        let key = |i: u8| SecretKey::from_bytes(&[i; 32]).expect("a valid scalar").public_key();
        Genesis {
            version: dtn_primitives::VERSION,
            name: name.into(),
            chain_id: 31337,
            timestamp: 1,
            max_block_bytes: 1 << 20,
            validators: (1..=4).map(key).collect(),
            requesters: Vec::new(),
            engine: dtn_primitives::Engine::Pbft,
            kinds: Vec::new(),
            training: None,
        }
    }

    #[test]
    fn addresses_depend_on_the_network_and_on_nothing_else() {
        let plan = |name| DeployPlan::new(&genesis(name), None, None).expect("valid");
        assert_eq!(plan("a").addresses(), plan("a").addresses());
        let (a, b) = (plan("a").addresses(), plan("b").addresses());
        assert!(a.registry != b.registry && a.multisig != b.multisig && a.distributor != b.distributor);
        assert_ne!(a.aow, b.aow);
    }

    #[test]
    fn terms_of_claims_change_where_they_are_made_and_must_make_sense() {
        let plan = || DeployPlan::new(&genesis("a"), None, None).expect("valid");
        let terms = ClaimTerms::for_chain(LOCAL_CHAIN_ID);
        let gas_price = 1_000_000_000;
        assert_eq!(terms, ClaimTerms { bond: U256::from(10_000_000_000_000_000u64), window: 4, gas_price });
        assert_eq!(ClaimTerms::for_chain(56), ClaimTerms { bond: terms.bond * U256::from(5), window: 3600, gas_price });
        let other = plan().with_claims(ClaimTerms { window: 5, ..terms }).expect("valid").addresses();
        let default = plan().addresses();
        assert!(other.aow != default.aow && other.distributor != default.distributor);
        assert_eq!((other.registry, other.multisig), (default.registry, default.multisig));
        let (zero, short) = (ClaimTerms { bond: U256::ZERO, ..terms }, ClaimTerms { window: 3, ..terms });
        for terms in [zero, short, ClaimTerms { gas_price: 0, ..terms }] {
            assert_eq!(plan().with_claims(terms), Err(PlanError::Terms));
        }
    }

    #[test]
    fn terms_of_distributions_change_where_the_distributor_is_and_nothing_else() {
        let plan = || DeployPlan::new(&genesis("a"), None, None).expect("valid");
        let token = Address::repeat_byte(9);
        let terms = RewardTerms::for_chain(LOCAL_CHAIN_ID).with_cap(Allotment { token, amount: 5 });
        assert_eq!((terms.cap_of(token), terms.caps.len()), (U256::from(5), 2));
        let other = plan().with_rewards(terms.clone()).expect("valid").addresses();
        let default = plan().addresses();
        assert_eq!(ContractAddresses { distributor: default.distributor, ..other }, default);
        assert_ne!(other.distributor, default.distributor);
        for bad in [
            RewardTerms { delay: u64::MAX, ..terms.clone() },
            RewardTerms { delay: 0, ..terms.clone() },
            RewardTerms { claim_period: 24 * 3600 - 1, ..terms.clone() },
            RewardTerms { period: 0, ..terms.clone() },
            RewardTerms { period: 367 * 24 * 3600, ..terms },
        ] {
            assert_eq!(plan().with_rewards(bad), Err(PlanError::RewardTerms));
        }
        let terms = |kind, first_height| {
            let default = RewardTerms::for_chain(LOCAL_CHAIN_ID);
            plan().with_rewards(RewardTerms { first_height, kinds: vec![kind], ..default }).map(|plan| plan.addresses())
        };
        let other = Kind::of_name("other").expect("a name");
        assert_ne!(terms(other, 1).expect("valid").distributor, terms(other, 2).expect("valid").distributor);
        assert_eq!(terms(Kind::RACE, 1), Err(PlanError::ReservedKind(Kind::RACE)));
    }

    #[test]
    fn validators_own_the_multisig_unless_others_are_named() {
        let plan = DeployPlan::new(&genesis("a"), None, None).expect("valid");
        assert_eq!((plan.owners.len(), plan.threshold), (4, 3));
        assert_eq!(plan.owners, plan.validators);
        let owners: Vec<_> = (1..=10).map(Address::repeat_byte).rev().collect();
        let plan = DeployPlan::new(&genesis("a"), Some(owners.clone()), Some(2)).expect("valid");
        assert_eq!((plan.owners[0], plan.threshold), (Address::repeat_byte(1), 2));
        let too_many = DeployPlan::new(&genesis("a"), Some(owners), Some(11));
        assert_eq!(too_many, Err(PlanError::Threshold { threshold: 11, owners: 10 }));
        let twice = DeployPlan::new(&genesis("a"), Some(vec![Address::repeat_byte(1); 2]), None);
        assert_eq!(twice, Err(PlanError::DuplicateOwner(Address::repeat_byte(1))));
        assert_eq!(DeployPlan::new(&genesis("a"), Some(vec![Address::ZERO]), None), Err(PlanError::ZeroOwner));
    }

    #[test]
    fn a_plan_has_no_more_owners_than_the_contract_takes() {
        let source = include_str!("../../../contracts/src/wallet/Owners.sol");
        assert!(source.contains(&format!("MAX_OWNERS = {MAX_OWNERS};")));
        let plan = |count: usize| {
            let owners = (1..=count).map(|i| Address::left_padding_from(&i.to_be_bytes())).collect();
            DeployPlan::new(&genesis("a"), Some(owners), None)
        };
        assert_eq!(plan(MAX_OWNERS).map(|plan| plan.threshold), Ok(134));
        assert_eq!(plan(MAX_OWNERS + 1), Err(PlanError::TooManyOwners(201)));
        // More than its threshold's type holds.
        assert_eq!(plan(1_000), Err(PlanError::TooManyOwners(1_000)));
    }
}
