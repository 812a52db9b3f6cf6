//! Streamlet whose leaders are drawn by lot, as in the paper, some of whom never say anything: how often something becomes final.
//!
//! A block is final when three epochs in a row have a leader that lives (§3, the paper's rule), so in a part p³ of all epochs where
//! a part p of the replicas does; the first time after (1 − p³) / (p³ (1 − p)) epochs on average, as for any three
//! successes in a row.

use std::collections::{BTreeSet, VecDeque};

use dtn_consensus::{
    Chained, ChainedConfig, Effect, Input, Memory, Protocol, Streamlet,
    chained::{Message, Timer},
    pbft::{Answer, Ask},
};
use dtn_primitives::{B256, ValidatorIndex, signatures};
use serde::Serialize;

use crate::Members;

/// Standard deviations that chance explains.
const CHANCE: f64 = 4.0;

/// How often something became final.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lots {
    /// Replicas.
    pub nodes: usize,
    /// Those that never say anything.
    pub dead: usize,
    /// Epochs.
    pub epochs: u64,
    /// Epochs that made something final.
    pub finalizing: u64,
    /// The part of all that they are.
    pub rate: f64,
    /// The same by the closed form.
    pub expected: f64,
    /// Epochs until something becomes final for the first time, on average; those after are counted anew.
    pub first: f64,
    /// The same by the closed form.
    pub expected_first: f64,
}

impl Lots {
    /// Whether chance explains how far it is from the closed forms.
    pub fn is_right(&self) -> bool {
        let live = self.live();
        let (third, count) = (live.powi(3), self.epochs as f64);
        // Two epochs next to each other, or with one between them, finalize for the same reasons.
        let variance = third * (1.0 - third) + 2.0 * (live.powi(4) + live.powi(5) - 2.0 * third * third);
        let is_rate = (self.rate - self.expected).abs() <= CHANCE * (variance / count).sqrt();
        let times = (count / self.expected_first).max(1.0);
        is_rate && (self.first - self.expected_first).abs() <= CHANCE * self.expected_first / times.sqrt()
    }

    fn live(&self) -> f64 {
        1.0 - self.dead as f64 / self.nodes as f64
    }
}

/// Replicas whose messages arrive in the order in which they are sent, before an epoch ends for anybody.
struct Network {
    members: Members,
    /// None in the place of a dead one.
    replicas: Vec<Option<Streamlet>>,
    queue: VecDeque<(ValidatorIndex, ValidatorIndex, Message)>,
    timers: Vec<BTreeSet<Timer>>,
    blocks: u64,
}

impl Network {
    fn new(members: Members, dead: usize) -> Self {
        let config = |me| ChainedConfig { replica: members.config(me), relays: false, lots: true, lapse: None };
        let replica = |index: usize| {
            let me = ValidatorIndex(index as u16);
            (index >= dead).then(|| Chained::new(config(me), None, None, Vec::new()))
        };
        let n = members.len();
        let replicas = (0..n).map(replica).collect();
        let mut network =
            Self { replicas, members, queue: VecDeque::new(), timers: vec![BTreeSet::new(); n], blocks: 0 };
        for replica in 0..n {
            network.input(replica, Input::Start { memory: Memory::NeverVoted, boot: 0 });
            // There is always something to do.
            network.input(replica, Input::Answer(Answer::Waiting(Some(B256::repeat_byte(1)))));
        }
        network
    }

    fn input(&mut self, index: usize, input: Input<Streamlet>) {
        let me = ValidatorIndex(index as u16);
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(replica) = &mut self.replicas[index] else { return };
            for effect in replica.handle(input) {
                match effect {
                    Effect::Send { to, message } => self.queue.push_back((me, to, message)),
                    Effect::Broadcast(message) => {
                        self.queue.extend(self.members.others(me).map(|to| (me, to, message.clone())));
                    }
                    Effect::SetTimer { timer, .. } => _ = self.timers[index].insert(timer),
                    Effect::CancelTimer(timer) => _ = self.timers[index].remove(&timer),
                    Effect::Ask(Ask::Propose { height, parent, .. }) => {
                        self.blocks += 1;
                        let block = self.members.block(height, parent, me, self.blocks);
                        inputs.push_back(Input::Answer(Answer::Proposal(block)));
                    }
                    Effect::Ask(Ask::Validate { block, .. }) => {
                        let block_hash = block.header.hash();
                        inputs.push_back(Input::Answer(Answer::Validated { block_hash, valid: true }));
                    }
                    Effect::Output(_) | Effect::Persist(_) | Effect::Fault { .. } => {}
                }
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((from, to, message)) = self.queue.pop_front() {
            self.input(to.as_usize(), Input::Message { from, message });
        }
    }

    fn expire(&mut self, timer: Timer) {
        for replica in 0..self.replicas.len() {
            if self.timers[replica].remove(&timer) {
                self.input(replica, Input::Timer(timer));
            }
        }
        self.deliver();
    }

    /// The last replica, which lives.
    fn witness(&self) -> Option<&Streamlet> {
        self.replicas.last().and_then(Option::as_ref)
    }

    /// Whether an epoch and the two before it have notarized one proposal on top of the other.
    fn finalizes(&self, epoch: u64) -> bool {
        let notarized = |back: u64| {
            let in_epoch = self.witness()?.notarized_in(epoch.checked_sub(back)?)?;
            Some((in_epoch.proposal.view, in_epoch.proposal.parent))
        };
        let three = notarized(0).zip(notarized(1)).zip(notarized(2));
        three.is_some_and(|(((_, parent), (second, grandparent)), (first, _))| (parent, grandparent) == (second, first))
    }
}

/// Plays so many epochs among `n` replicas of which `dead`, fewer than a third, never say anything. The seed is part of what lots are
/// drawn from.
pub fn lots(n: usize, dead: usize, epochs: u64, seed: u64) -> Lots {
    let _stand_in = signatures::stand_in();
    let members = Members::new(n, std::time::Duration::from_secs(1)).in_network(seed);
    let mut network = Network::new(members, dead);
    let (mut played, mut finalizing, mut firsts, mut since, mut seen) = (0, 0, 0u64, 0u64, 0);
    while played < epochs {
        network.deliver();
        network.expire(Timer::Propose);
        let epoch = network.witness().map_or(0, Chained::view);
        if epoch > seen {
            played += epoch - seen;
            since += epoch - seen;
            seen = epoch;
            if network.finalizes(epoch) {
                finalizing += 1;
                if since >= 3 {
                    (firsts, since) = (firsts + 1, 0);
                }
            }
        }
        network.expire(Timer::View);
        network.expire(Timer::Retransmit);
    }
    let live = 1.0 - dead as f64 / n as f64;
    let expected = live.powi(3);
    let expected_first = if dead == 0 { 3.0 } else { (1.0 - expected) / (expected * (1.0 - live)) };
    let first = (played - since) as f64 / firsts.max(1) as f64;
    let rate = finalizing as f64 / played as f64;
    Lots { nodes: n, dead, epochs: played, finalizing, rate, expected, first, expected_first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_final_by_lot_is_three_leaders_in_a_row_that_live() {
        let seed = crate::seed_or(1);
        for (n, dead) in [(4, 1), (10, 3)] {
            let found = lots(n, dead, 4_000, seed);
            assert!(found.is_right(), "seed {seed}: {found:?}");
        }
    }

    #[test]
    fn where_everybody_lives_each_epoch_makes_something_final() {
        let found = lots(4, 0, 100, 1);
        assert!(found.finalizing >= found.epochs - 2 && (found.first - 3.0).abs() < 1e-9, "{found:?}");
    }
}
