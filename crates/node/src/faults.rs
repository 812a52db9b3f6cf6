//! What faulty messages cost their sender. One may be an accident of an operator's; a peer that goes on is cut off, and
//! nothing more that it has said is looked at.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{bucket::TokenBucket, network::Remote};

/// Faults of one peer that are forgiven in a second. No correct peer sends any; one that is configured or upgraded wrongly
/// sends as many as it has messages.
const FORGIVEN_PER_SECOND: u64 = 1;

/// How long it takes until all are forgiven, and so, with the rate above, how many may come at once.
const MEMORY: Duration = Duration::from_secs(32);

/// For how long nothing is looked at that a peer said before it was cut off. If it is still linked then, it begins anew.
const SHUNNED: Duration = Duration::from_secs(5);

/// Peers whose faults are remembered while they are not forgiven; observers change their keys as they like.
const MAX_PEERS: usize = 1024;

/// Each peer's budget of faults.
#[derive(Debug, Default)]
pub(crate) struct FaultBudget {
    left: HashMap<Remote, TokenBucket>,
    /// Those whose budget is spent, and until when they are not heard.
    shunned: HashMap<Remote, Instant>,
}

impl FaultBudget {
    /// A peer sent what no correct peer sends: whether it is to be cut off for it.
    pub(crate) fn charge(&mut self, peer: Remote, now: Instant) -> bool {
        if self.is_shunned(peer, now) {
            return false;
        }
        if self.left.len() >= MAX_PEERS {
            self.left.retain(|_, left| {
                left.take(0, now);
                !left.is_relaxed()
            });
        }
        if self.left.len() >= MAX_PEERS {
            self.left.retain(|peer, _| peer.validator().is_some());
        }
        let left = self.left.entry(peer).or_insert_with(|| TokenBucket::new(FORGIVEN_PER_SECOND, MEMORY, now));
        let spent = !left.take(1, now).is_zero();
        if spent {
            self.left.remove(&peer);
            self.shunned.retain(|_, until| *until > now);
            self.shunned.insert(peer, now + SHUNNED);
        }
        spent
    }

    /// Whether what it says is not looked at any more.
    pub(crate) fn is_shunned(&self, peer: Remote, now: Instant) -> bool {
        self.shunned.get(&peer).is_some_and(|until| *until > now)
    }

    /// Its link is gone.
    pub(crate) fn disconnected(&mut self, peer: Remote) {
        self.shunned.remove(&peer);
    }
}

#[cfg(test)]
mod tests {
    use dtn_primitives::ValidatorIndex;
    use libp2p::PeerId;

    use super::*;

    #[test]
    fn a_few_faults_are_forgiven_in_time_and_many_at_once_are_not() {
        let peer = Remote::Validator(ValidatorIndex(1));
        let mut now = Instant::now();
        let mut budget = FaultBudget::default();
        for _ in 0..1000 {
            assert!(!budget.charge(peer, now), "one a second is no reason to cut a peer off");
            now += Duration::from_secs(1);
        }
        let taken = (1..).find(|_| budget.charge(peer, now));
        assert_eq!(taken, Some(33));
        assert!(budget.is_shunned(peer, now) && !budget.charge(peer, now), "it is cut off once");
        assert!(!budget.is_shunned(Remote::Validator(ValidatorIndex(2)), now));
        assert!(!budget.is_shunned(peer, now + SHUNNED), "should it still be linked");
        budget.disconnected(peer);
        assert!(!budget.is_shunned(peer, now) && !budget.charge(peer, now));
    }

    #[test]
    fn peers_with_ever_new_keys_take_up_no_more_room() {
        let now = Instant::now();
        let mut budget = FaultBudget::default();
        for _ in 0..3 * MAX_PEERS {
            let observer = Remote::Observer(PeerId::random());
            (0..20).for_each(|_| _ = budget.charge(observer, now));
        }
        assert!(budget.left.len() <= MAX_PEERS);
    }
}
