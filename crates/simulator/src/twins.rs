//! Twins (Bano et al., 2020): a Byzantine replica is two correct ones with one key.
//!
//! Whatever a replica can do by equivocating, forgetting or going back, two correct replicas that share its key do when
//! the network shows one of them to some and the other to others. So a scenario is a twin and a few rounds; in each, who
//! hears whom, what kind of message is lost, after how many deliveries the round is cut off, and whose timers expire.
//! Views follow each other with the timers, so these and the place of the twin are the schedule of the primaries. Then
//! the network heals, and the others have to go on.

use std::{collections::BTreeMap, sync::Arc};

use dtn_consensus::{
    Effect, Input, Memory, Message, Pbft, Protocol, Timer,
    pbft::{Answer, Ask, Output},
};
use dtn_primitives::{B256, ValidatorIndex, VoteKind};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{Chain, Members};

/// The replicas of a scenario; the twin is one more instance.
const REPLICAS: usize = 4;
const INSTANCES: usize = REPLICAS + 1;

/// Rounds after the network has healed.
const FAIR_ROUNDS: usize = 12;

/// Deliveries in a round of a healed network.
const FAIR_DELIVERIES: usize = 2_000;

/// The heights that may be proposed, so that a scenario ends.
const HEIGHTS: u64 = 2;

/// What is lost in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing but what the partition keeps back.
    Nothing,
    /// Every `COMMIT`: blocks are prepared and not decided.
    Commits,
    /// Every `PREPARE`.
    Prepares,
    /// Every `NEW-VIEW`: the view passes without its primary.
    NewViews,
}

/// One round of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The group of each instance; messages pass within a group. The twin is the last instance.
    pub groups: [u8; INSTANCES],
    /// What is lost besides.
    pub lost: Lost,
    /// The round ends after so many deliveries.
    pub deliveries: usize,
    /// Whose view timers expire at its end, if they run.
    pub expire: [bool; INSTANCES],
}

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Seeds the order of deliveries.
    pub seed: u64,
    /// The replica that has a twin.
    pub twin: usize,
    /// What happens before the network heals.
    pub rounds: Vec<Round>,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn random(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let twin = rng.random_range(0..REPLICAS);
        let rounds = (0..rng.random_range(2..=6)).map(|_| Round::random(&mut rng)).collect();
        Self { seed, twin, rounds }
    }

    /// Scenarios in which less happens.
    fn smaller(&self) -> Vec<Self> {
        let without = |round: usize| {
            let mut smaller = self.clone();
            smaller.rounds.remove(round);
            smaller
        };
        let calmer = |round: usize| {
            let mut smaller = self.clone();
            smaller.rounds[round].lost = Lost::Nothing;
            smaller
        };
        let rounds = 0..self.rounds.len();
        rounds.clone().map(without).chain(rounds.map(calmer)).filter(|smaller| smaller != self).collect()
    }

    /// The smallest scenario found that ends as badly as this one.
    pub fn shrink(mut self, world: &World, outcome: &Outcome) -> Self {
        let alike = |other: &Outcome| std::mem::discriminant(other) == std::mem::discriminant(outcome);
        while let Some(smaller) = self.smaller().into_iter().find(|smaller| alike(&world.play(smaller))) {
            self = smaller;
        }
        self
    }
}

impl Round {
    fn random(rng: &mut StdRng) -> Self {
        let lost = match rng.random_range(0..8) {
            0 | 1 => Lost::Commits,
            2 => Lost::Prepares,
            3 => Lost::NewViews,
            _ => Lost::Nothing,
        };
        let groups =
            if rng.random_bool(0.2) { [0; INSTANCES] } else { std::array::from_fn(|_| rng.random_range(0..2)) };
        let deliveries = if rng.random() { rng.random_range(4..60) } else { FAIR_DELIVERIES };
        Self { groups, lost, deliveries, expire: std::array::from_fn(|_| rng.random_bool(0.8)) }
    }
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All replicas without a twin decided alike, and went on.
    Pass,
    /// They did not go on.
    NoProgress,
    /// Two decided or executed differently, or one out of order or without a quorum.
    Diverged,
    /// One was accused, though it has no twin.
    Accused,
}

struct Instance {
    replica: Pbft,
    chain: Chain,
    /// Its view timer runs.
    armed: bool,
}

/// What every scenario begins with.
pub struct World {
    members: Members,
}

impl Default for World {
    fn default() -> Self {
        Self { members: Members::new(REPLICAS, std::time::Duration::from_secs(1)) }
    }
}

impl World {
    /// Plays a scenario to its end. Signatures repeat from one to the next: remember them
    /// (`dtn_primitives::memo::remember`).
    pub fn play(&self, scenario: &Scenario) -> Outcome {
        Play::new(self, scenario).run().err().unwrap_or(Outcome::Pass)
    }
}

struct Play<'a> {
    members: &'a Members,
    scenario: &'a Scenario,
    instances: Vec<Instance>,
    in_flight: Vec<(u8, u8, Arc<Message>)>,
    /// Blocks and the states after them.
    decided: BTreeMap<u64, (B256, B256)>,
    rng: StdRng,
}

impl<'a> Play<'a> {
    fn new(world: &'a World, scenario: &'a Scenario) -> Self {
        let members = &world.members;
        let instance = |index: usize| {
            let me = ValidatorIndex(if index == REPLICAS { scenario.twin } else { index } as u16);
            let chain = Chain::new(members, None);
            Instance { replica: Pbft::new(members.config(me), None, None, []), chain, armed: false }
        };
        let instances = (0..INSTANCES).map(instance).collect();
        let rng = StdRng::seed_from_u64(scenario.seed);
        Self { members, scenario, instances, in_flight: Vec::new(), decided: BTreeMap::new(), rng }
    }

    fn validator(&self, instance: usize) -> ValidatorIndex {
        ValidatorIndex(if instance == REPLICAS { self.scenario.twin } else { instance } as u16)
    }

    fn is_correct(&self, instance: usize) -> bool {
        instance != REPLICAS && instance != self.scenario.twin
    }

    fn run(&mut self) -> Result<(), Outcome> {
        for instance in 0..INSTANCES {
            self.input(instance, Input::Answer(Answer::Waiting(Some(B256::repeat_byte(1)))))?;
            self.input(instance, Input::Start { memory: Memory::NeverVoted, boot: 0 })?;
        }
        for (number, round) in self.scenario.rounds.iter().enumerate() {
            if number > 0 {
                self.retransmit()?;
            }
            self.round(round, HEIGHTS)?;
        }
        let goal = HEIGHTS.min(self.decided.len() as u64 + 1);
        let fair = Round {
            groups: [0; INSTANCES],
            lost: Lost::Nothing,
            deliveries: FAIR_DELIVERIES,
            expire: [true; INSTANCES],
        };
        for _ in 0..FAIR_ROUNDS {
            self.catch_up()?;
            if self.all_decided(goal) {
                return Ok(());
            }
            self.retransmit()?;
            self.round(&fair, goal)?;
        }
        Err(Outcome::NoProgress)
    }

    /// Whether all replicas without a twin have decided up to a height.
    fn all_decided(&self, height: u64) -> bool {
        (0..INSTANCES).filter(|instance| self.is_correct(*instance)).all(|instance| self.height(instance) >= height)
    }

    fn retransmit(&mut self) -> Result<(), Outcome> {
        (0..INSTANCES).try_for_each(|instance| self.input(instance, Input::Timer(Timer::Retransmit)))
    }

    fn height(&self, instance: usize) -> u64 {
        self.instances[instance].chain.height()
    }

    /// Plays one round, which ends early once all have decided up to a height.
    fn round(&mut self, round: &Round, goal: u64) -> Result<(), Outcome> {
        for _ in 0..round.deliveries {
            if self.in_flight.is_empty() || self.all_decided(goal) {
                break;
            }
            let pick = self.rng.random_range(0..self.in_flight.len());
            let (from, to, message) = self.in_flight.swap_remove(pick);
            if round.groups[from as usize] != round.groups[to as usize] || is_lost(round.lost, &message) {
                continue;
            }
            let from = self.validator(from as usize);
            self.input(to as usize, Input::Message { from, message: message.as_ref().clone() })?;
        }
        self.in_flight.clear();
        for instance in (0..INSTANCES).filter(|instance| round.expire[*instance]) {
            if std::mem::take(&mut self.instances[instance].armed) {
                self.input(instance, Input::Timer(Timer::ViewChange))?;
            }
        }
        Ok(())
    }

    /// Those that fell behind take over what others decided.
    fn catch_up(&mut self) -> Result<(), Outcome> {
        let highest = (0..INSTANCES).max_by_key(|instance| self.height(*instance)).unwrap_or(0);
        let longest = self.instances[highest].chain.above(0, HEIGHTS as usize).to_vec();
        let Some(last) = longest.last().map(|last| last.certificate.clone()) else { return Ok(()) };
        for instance in 0..INSTANCES {
            let missing: Vec<_> = longest.iter().skip(self.height(instance) as usize).cloned().collect();
            if missing.is_empty() {
                continue;
            }
            for decision in missing {
                let (height, hash) = (decision.certificate.height, decision.certificate.block_hash);
                let follows = self.instances[instance].chain.append(decision);
                let state = self.instances[instance].chain.state();
                if !follows || self.decided.get(&height) != Some(&(hash, state)) {
                    return if self.is_correct(instance) { Err(Outcome::Diverged) } else { Ok(()) };
                }
            }
            self.input(instance, Input::Answer(Answer::CaughtUp(last.clone())))?;
        }
        Ok(())
    }

    fn input(&mut self, instance: usize, input: Input<Pbft>) -> Result<(), Outcome> {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.instances[instance].replica.handle(input) {
                match effect {
                    Effect::Send { to, message } => self.send(instance, Some(to), message),
                    Effect::Broadcast(message) => self.send(instance, None, message),
                    Effect::SetTimer { timer, .. } => self.instances[instance].armed |= timer == Timer::ViewChange,
                    Effect::CancelTimer(_) => self.instances[instance].armed = false,
                    Effect::Ask(Ask::Propose { height, parent, .. }) if height <= HEIGHTS => {
                        // Twins propose different blocks, and everyone another one in another view.
                        let salt = self.instances[instance].replica.view() * INSTANCES as u64 + instance as u64;
                        let block = self.members.block(height, parent, self.validator(instance), salt);
                        self.instances[instance].chain.judge(&block);
                        inputs.push(Input::Answer(Answer::Proposal(block)));
                    }
                    Effect::Ask(Ask::Validate { block, .. }) => {
                        let valid = self.instances[instance].chain.judge(&block);
                        inputs.push(Input::Answer(Answer::Validated { block_hash: block.header.hash(), valid }));
                    }
                    Effect::Output(Output::Decide(decision)) => {
                        let (height, hash) = (decision.certificate.height, decision.certificate.block_hash);
                        let follows = self.instances[instance].chain.append(decision.clone());
                        let proven =
                            || decision.certificate.verify(self.members.domain(), self.members.validators()).is_ok();
                        // The twin's own word counts for nothing, but a quorum's certificate does, whoever holds it.
                        let state_root = self.instances[instance].chain.state();
                        let first = *self.decided.entry(height).or_insert((hash, state_root));
                        if first != (hash, state_root) || (self.is_correct(instance) && !(follows && proven())) {
                            return Err(Outcome::Diverged);
                        }
                        if height.is_multiple_of(dtn_consensus::CHECKPOINT_INTERVAL) {
                            inputs.push(Input::Answer(Answer::Checkpoint { height, state_root }));
                        }
                    }
                    Effect::Output(Output::Evidence(evidence))
                        if evidence.first.validator != self.validator(REPLICAS) =>
                    {
                        return Err(Outcome::Accused);
                    }
                    Effect::Ask(Ask::Propose { .. })
                    | Effect::Persist(_)
                    | Effect::Output(_)
                    | Effect::Fault { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// To a replica, and to its twin; to all without a recipient.
    fn send(&mut self, from: usize, to: Option<ValidatorIndex>, message: Message) {
        let message = Arc::new(message);
        for instance in (0..INSTANCES).filter(|instance| *instance != from) {
            if to.is_none_or(|to| to == self.validator(instance)) {
                self.in_flight.push((from as u8, instance as u8, message.clone()));
            }
        }
    }
}

fn is_lost(lost: Lost, message: &Message) -> bool {
    match (lost, message) {
        (Lost::Commits, Message::Vote(vote)) => vote.kind == VoteKind::Commit,
        (Lost::Prepares, Message::Vote(vote)) => vote.kind == VoteKind::Prepare,
        (Lost::NewViews, Message::NewView(_)) => true,
        _ => false,
    }
}
