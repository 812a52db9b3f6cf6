//! What is deployed for a network, at addresses that follow from it.

use alloy::{
    primitives::{Address, B256, Bytes, U256, address, keccak256},
    sol_types::SolConstructor,
};
use dtn_bindings::{
    AOW, AowChallenge, ContractAddresses, DISTRIBUTOR, MULTISIG, MultiSigClone, MultiSigWallet, REGISTRY,
    ResultRegistry, RewardDistributor, TEMPLATE, VAULT, Vault, WalletTemplate,
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
    /// Whether the multisig runs the code of a template that all networks of a chain share, for a tenth of the price.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clone: bool,
    /// What each validator has to put at stake with the registry; an amount of zero for nothing.
    pub stakes: Allotment,
    /// On which terms sequential work is claimed.
    pub claims: ClaimTerms,
    /// On which terms rewards are distributed.
    pub rewards: RewardTerms,
    /// What can be deposited, if the network has money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultTerms>,
    /// What is there and goes on, for a distributor that takes over from another one. Terms of these contracts are not looked
    /// at then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
}

/// The contracts that a distributor shares with the one that it takes over from, whoever owns them by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Existing {
    /// The registry.
    pub registry: Address,
    /// The contract for claims.
    pub aow: Address,
    /// The multisig that has a say.
    pub multisig: Address,
}

/// What a vault takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultTerms {
    /// What the ledger's money is; zero for the native currency.
    pub token: Address,
    /// The least deposit, in its unit.
    pub minimum: U256,
}

impl VaultTerms {
    /// Those of a genesis: of the native currency 0.001 at least, of a token one of its unit.
    fn of(genesis: &Genesis) -> Option<Self> {
        let of = |token: Address| {
            let least: u64 = if token.is_zero() { 1_000_000_000_000_000 } else { 1 };
            Self { token, minimum: U256::from(least) }
        };
        genesis.training.map(|terms| of(terms.token))
    }
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
            clone: false,
            stakes: Allotment { token: Address::ZERO, amount: 0 },
            claims: ClaimTerms::for_chain(genesis.chain_id),
            rewards: RewardTerms {
                kinds: genesis.custom_kinds().collect(),
                ..RewardTerms::for_chain(genesis.chain_id)
            },
            vault: VaultTerms::of(genesis),
            existing: None,
        })
    }

    /// The distributor alone, for contracts that are there. `owners` and `threshold` are those of their multisig.
    pub fn with_existing(self, existing: Existing, owners: Vec<Address>, threshold: u8) -> Self {
        Self { existing: Some(existing), owners, threshold, ..self }
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

    /// The multisig, after the template whose code it runs if it is a clone.
    pub(crate) fn wallet(&self) -> (Option<Part>, Part) {
        let (owners_, threshold_) = (self.owners.clone(), self.threshold);
        if !self.clone {
            let arguments = MultiSigWallet::constructorCall { owners_, threshold_ }.abi_encode();
            return (None, Part::new(MULTISIG, self.network_id, &MultiSigWallet::BYTECODE, &arguments));
        }
        let template = Part::new(TEMPLATE, B256::ZERO, &WalletTemplate::BYTECODE, &[]);
        let arguments = MultiSigClone::constructorCall { template: template.address, owners_, threshold_ }.abi_encode();
        let clone = Part::new(MULTISIG, self.network_id, &MultiSigClone::BYTECODE, &arguments);
        (Some(template), clone)
    }

    /// The registry of a multisig, and the contract for claims of that registry.
    fn base(&self, at_multisig: Address) -> [Part; 2] {
        let part = |name, code: &Bytes, arguments: &[u8]| Part::new(name, self.network_id, code, arguments);
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
        let registry = part(REGISTRY, &ResultRegistry::BYTECODE, &registry.abi_encode());
        let aow = AowChallenge::constructorCall {
            registry_: registry.address,
            minimumBond_: self.claims.bond,
            window_: self.claims.window,
            gasPrice_: U256::from(self.claims.gas_price),
        };
        let aow = part(AOW, &AowChallenge::BYTECODE, &aow.abi_encode());
        [registry, aow]
    }

    fn distributor(&self, of: Existing) -> Part {
        let caps = self.rewards.caps.iter();
        let distributor = RewardDistributor::constructorCall {
            registry_: of.registry,
            aow_: of.aow,
            multisig_: of.multisig,
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
        Part::new(DISTRIBUTOR, self.network_id, &RewardDistributor::BYTECODE, &distributor.abi_encode())
    }

    /// The vault whose money goes to a distributor.
    fn vault_of(&self, distributor: Address) -> Option<Part> {
        self.vault.map(|VaultTerms { token, minimum }| {
            let minimum_ = minimum.saturating_to();
            let vault = Vault::constructorCall { distributor_: distributor, token_: token, minimum_ };
            Part::new(VAULT, self.network_id, &Vault::BYTECODE, &vault.abi_encode())
        })
    }

    /// In the order in which they are deployed: each names those before it.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let of = self.existing.unwrap_or_else(|| {
            let (template, multisig) = self.wallet();
            let [registry, aow] = self.base(multisig.address);
            let of = Existing { registry: registry.address, aow: aow.address, multisig: multisig.address };
            parts.extend(template.into_iter().chain([multisig, registry, aow]));
            of
        });
        let distributor = self.distributor(of);
        let vault = self.vault_of(distributor.address);
        parts.extend([distributor].into_iter().chain(vault));
        parts
    }

    /// The same with a multisig that is a clone, or not.
    pub fn with_clone(self, clone: bool) -> Self {
        Self { clone, ..self }
    }

    /// The same with stakes of validators.
    pub fn with_stakes(self, stakes: Allotment) -> Self {
        Self { stakes, ..self }
    }

    /// Where the contracts are or will be.
    pub fn addresses(&self) -> ContractAddresses {
        let Existing { registry, aow, multisig } = self.existing.unwrap_or_else(|| {
            let multisig = self.wallet().1.address;
            let [registry, aow] = self.base(multisig).map(|part| part.address);
            Existing { registry, aow, multisig }
        });
        let distributor = self.distributor(Existing { registry, aow, multisig }).address;
        let vault = self.vault_of(distributor).map_or(Address::ZERO, |part| part.address);
        ContractAddresses { registry, aow, multisig, distributor, vault }
    }
}

/// A contract that a plan deploys.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) salt: B256,
    /// Its code and the arguments of its constructor.
    pub(crate) init_code: Bytes,
    pub(crate) address: Address,
}

impl Part {
    fn new(name: &'static str, salt: B256, code: &[u8], arguments: &[u8]) -> Self {
        let init_code: Bytes = [code, arguments].concat().into();
        let address = DEPLOYER.create2(salt, keccak256(&init_code));
        Self { name, salt, init_code, address }
    }
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
    fn a_network_with_money_has_a_vault_and_one_without_has_none() {
        let plan = |genesis: &Genesis| DeployPlan::new(genesis, None, None).expect("valid");
        assert_eq!((plan(&genesis("a")).addresses().vault, plan(&genesis("a")).parts().len()), (Address::ZERO, 4));
        let with = |token| {
            let terms = dtn_primitives::TrainingTerms { token, ..Default::default() };
            plan(&Genesis { training: Some(terms), ..genesis("a") })
        };
        let (native, token) = (with(Address::ZERO), with(Address::repeat_byte(7)));
        let vault = native.parts().pop().map(|part| (part.name, part.address));
        assert_eq!(vault, Some((VAULT, native.addresses().vault)));
        let minimum = |plan: &DeployPlan| plan.vault.expect("a vault").minimum;
        assert!(minimum(&native) > minimum(&token) && minimum(&token) > U256::ZERO);
        let elsewhere = DeployPlan { vault: token.vault, ..native.clone() };
        assert_ne!(elsewhere.addresses().vault, native.addresses().vault);
    }

    #[test]
    fn what_takes_over_is_a_distributor_for_the_contracts_that_are_there() {
        let plan = DeployPlan::new(&genesis("a"), None, None).expect("valid");
        let [registry, aow, multisig] = [0xa1, 0xa2, 0xa3].map(Address::repeat_byte);
        let next = plan.clone().with_existing(Existing { registry, aow, multisig }, vec![Address::repeat_byte(1)], 1);
        let at = next.addresses();
        assert_eq!((at.registry, at.aow, at.multisig), (registry, aow, multisig));
        assert_ne!(at.distributor, plan.addresses().distributor);
        assert_eq!(
            next.parts().iter().map(|part| (part.name, part.address)).collect::<Vec<_>>(),
            [(DISTRIBUTOR, at.distributor)]
        );
        let written = serde_json::to_string(&next).expect("JSON");
        assert_eq!(serde_json::from_str::<DeployPlan>(&written).expect("the same"), next);
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
    fn a_clone_is_another_multisig_of_one_template_for_all_networks() {
        let plan = || DeployPlan::new(&genesis("a"), None, None).expect("valid");
        let (own, clone) = (plan().addresses(), plan().with_clone(true).addresses());
        assert!(own.multisig != clone.multisig && own.registry != clone.registry, "the registry has it as guardian");
        let other = DeployPlan { network_id: B256::repeat_byte(9), ..plan() }.with_clone(true);
        let template = |plan: &DeployPlan| plan.parts()[0].address;
        assert_eq!(template(&other), template(&plan().with_clone(true)));
        assert_ne!(other.addresses().multisig, clone.multisig);
        let json = |plan: &DeployPlan| serde_json::to_value(plan).expect("encodes");
        assert!(json(&plan()).get("clone").is_none() && json(&other)["clone"] == true);
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
