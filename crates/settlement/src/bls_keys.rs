//! The BLS keys of validators in the registry: registered once by each, and published together for an epoch.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, U256},
    providers::Provider,
};
use dtn_primitives::{BlsPublicKey, BlsSecretKey, Domain};

use dtn_bindings::{REGISTRY, ResultRegistry};
use dtn_chain::{
    connection::{Chain, ReadError, retrying},
    sender::Call,
};

/// The BLS side of a registry, for reading.
#[derive(Debug, Clone)]
pub struct BlsKeys {
    chain: Chain,
    registry: Address,
    /// A block before which the registry did not exist.
    from_block: u64,
}

impl BlsKeys {
    /// Those of a registry.
    pub fn new(chain: Chain, registry: Address, from_block: u64) -> Self {
        Self { chain, registry, from_block }
    }

    /// What registers an account's key. The account itself has to send it.
    pub fn register(&self, key: &BlsSecretKey, account: Address, domain: &Domain) -> Call {
        let call = ResultRegistry::registerKeyCall {
            key: key.public_key().to_bytes().into(),
            proof: key.prove_possession(account, domain).to_bytes().into(),
        };
        Call::new(REGISTRY, self.registry, &call)
    }

    /// The current validators in ascending order, and the epoch.
    pub async fn validators(&self) -> Result<(u64, Vec<Address>), ReadError> {
        let epoch = self.chain.read(self.registry, &ResultRegistry::epochCall {}).await?;
        Ok((epoch, self.chain.read(self.registry, &ResultRegistry::validatorsCall {}).await?))
    }

    /// The keys that were registered, whoever did it. A registered key is a point of the group: the registry has checked it.
    pub async fn registered(&self) -> Result<BTreeMap<Address, BlsPublicKey>, ReadError> {
        let head = retrying(|| async { self.chain.provider().get_block_number().await }).await?;
        let read = |event: ResultRegistry::KeyRegistered, _, _| {
            Some((event.account, BlsPublicKey::from_bytes(&event.key).ok()?))
        };
        let blocks = self.from_block..=head.max(self.from_block);
        Ok(self.chain.events(self.registry, blocks, None, read).await?.into_iter().collect())
    }

    /// The keys of current validators that are published, with which they can sign together.
    pub async fn published(&self) -> Result<BTreeMap<Address, BlsPublicKey>, ReadError> {
        let (epoch, validators) = self.validators().await?;
        let keyed: U256 = self.chain.read(self.registry, &ResultRegistry::keyedOfCall { epoch_: epoch }).await?;
        if keyed.is_zero() {
            return Ok(BTreeMap::new());
        }
        let registered = self.registered().await?;
        let published = validators.iter().enumerate().filter(|(place, _)| keyed.bit(*place));
        Ok(published.filter_map(|(_, validator)| Some((*validator, *registered.get(validator)?))).collect())
    }

    /// What publishes all registered keys of the current validators, and how many they are. `None` if there is none
    /// that is not published.
    pub async fn publish(&self) -> Result<Option<(Call, usize)>, ReadError> {
        let (epoch, validators) = self.validators().await?;
        let registered = self.registered().await?;
        let (mut keyed, mut keys) = (U256::ZERO, Vec::new());
        for (place, validator) in validators.iter().enumerate() {
            if let Some(key) = registered.get(validator) {
                keyed.set_bit(place, true);
                keys.extend(key.to_bytes());
            }
        }
        let published: U256 = self.chain.read(self.registry, &ResultRegistry::keyedOfCall { epoch_: epoch }).await?;
        let (count, before) = (keyed.count_ones(), published.count_ones());
        let call = ResultRegistry::publishKeysCall { keyed, keys: keys.into() };
        Ok((count > before).then(|| (Call::new(REGISTRY, self.registry, &call), count)))
    }
}
