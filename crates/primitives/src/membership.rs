//! Who validates, epoch by epoch.
//!
//! Whatever checks a signature asks here for the set of the signature's epoch, and keeps no set of its own: a set that is
//! copied is one that somebody forgets to replace. A network has one epoch so far, that of its genesis.

use std::sync::Arc;

use crate::{KeyError, Validator, ValidatorIndex, ValidatorSet};

/// Where the validator sets of a network are found, by epoch.
pub trait Epochs {
    /// The set of an epoch, if there was such an epoch.
    fn of_epoch(&self, epoch: u64) -> Option<&ValidatorSet>;

    /// The set that signs now.
    fn now(&self) -> &ValidatorSet;

    /// The validator whose signature a message of `epoch` claims to carry.
    fn signer(&self, epoch: u64, index: ValidatorIndex) -> Result<&Validator, KeyError> {
        let found = self.of_epoch(epoch).and_then(|validators| validators.get(index));
        found.ok_or(KeyError::UnknownValidator { index: index.0, epoch })
    }
}

/// A set stands for its own epoch alone.
impl Epochs for ValidatorSet {
    fn of_epoch(&self, epoch: u64) -> Option<&ValidatorSet> {
        (epoch == self.epoch()).then_some(self)
    }

    fn now(&self) -> &ValidatorSet {
        self
    }
}

/// The validator sets of a network. Cheap to clone: all clones are one.
#[derive(Debug, Clone)]
pub struct Membership(Arc<ValidatorSet>);

impl Membership {
    /// That of a network which begins with this set.
    pub fn new(first: ValidatorSet) -> Self {
        Self(Arc::new(first))
    }
}

impl Epochs for Membership {
    fn of_epoch(&self, epoch: u64) -> Option<&ValidatorSet> {
        self.0.of_epoch(epoch)
    }

    fn now(&self) -> &ValidatorSet {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::SecretKey;

    #[test]
    fn a_signature_is_looked_up_in_the_set_of_its_epoch_and_in_no_other() {
        let keys = [1, 2].map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap().public_key());
        let membership = Membership::new(ValidatorSet::new(3, keys));
        let first = membership.now().get(ValidatorIndex(0)).unwrap();
        assert_eq!(membership.signer(3, ValidatorIndex(0)), Ok(first));
        for (epoch, index) in [(2, 0), (4, 0), (3, 2)] {
            let unknown = KeyError::UnknownValidator { index, epoch };
            assert_eq!(membership.signer(epoch, ValidatorIndex(index)), Err(unknown));
        }
    }
}
