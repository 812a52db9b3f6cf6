//! A protocol that no crate of ours knows, in trials: what it promises holds under every liar, and what is wrong with it is found.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dtn_consensus::{Effect, Input, Memory, Protocol, Standalone};
use dtn_primitives::{ValidatorIndex, quorum};
use dtn_simulator::{
    Crash, DiskAfter, Durability, Group, Partition, Survival, When,
    adversary::{Adversary, Context, Outgoing},
    seed_or,
    standalone::{Liar, Oracle, Report, Setting, Trial, Verdict},
};
use serde::{Deserialize, Serialize};

const MINUTE: Duration = Duration::from_secs(60);

/// Who is told what to vote for.
const PROPOSER: ValidatorIndex = ValidatorIndex(0);

/// What is wrong with a replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Bug {
    #[default]
    None,
    /// One vote less than a quorum is enough for it.
    Weak,
    /// It does not remember its vote.
    Forgets,
    /// It says its vote before it is durable.
    Hasty,
    /// It takes a vote that comes again for a lie.
    Touchy,
    /// It says nothing again by itself: nothing but a channel that opens has it do so.
    Mute,
}

/// Everybody votes for the first value that replica 0 votes for, once its host has found that to be one. A quorum of votes
/// makes it everybody's.
#[derive(Debug)]
struct Once {
    n: usize,
    bug: Bug,
    mine: Option<u64>,
    votes: BTreeMap<ValidatorIndex, u64>,
    is_done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Vote(u64);

#[derive(Debug, Clone, Copy)]
enum Answer {
    Propose(u64),
    Checked(u64),
}

#[derive(Debug, thiserror::Error)]
#[error("it voted for {0} and for {1}")]
struct Twofold(u64, u64);

impl Once {
    fn vote(&mut self, value: u64) -> Vec<Effect<Self>> {
        if self.mine.is_some() {
            return Vec::new();
        }
        self.mine = Some(value);
        let mut effects = vec![Effect::Broadcast(Vote(value))];
        match self.bug {
            Bug::Forgets => {}
            Bug::Hasty => effects.push(Effect::Persist(Vote(value))),
            _ => effects.insert(0, Effect::Persist(Vote(value))),
        }
        effects
    }

    fn count(&mut self) -> Vec<Effect<Self>> {
        let Some(value) = self.mine.or(self.votes.values().next().copied()) else { return Vec::new() };
        let needed = quorum(self.n) - usize::from(self.bug == Bug::Weak);
        let votes = self.votes.values().chain(&self.mine).filter(|vote| **vote == value).count();
        if votes < needed || std::mem::replace(&mut self.is_done, true) {
            return Vec::new();
        }
        vec![Effect::Output(value)]
    }
}

impl Protocol for Once {
    type Message = Vote;
    type Record = Vote;
    type Timer = ();
    type Fault = Twofold;
    type Ask = u64;
    type Answer = Answer;
    type Output = u64;

    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>> {
        let again = Effect::SetTimer { timer: (), after: Duration::from_millis(500) };
        let mut effects = match input {
            // Who may have forgotten its vote does not vote.
            Input::Start { memory: Memory::Lost, .. } => {
                self.mine = Some(u64::MAX);
                Vec::new()
            }
            Input::Start { .. } if self.bug == Bug::Mute => Vec::new(),
            Input::Start { .. } => vec![again],
            Input::Connected(to) => {
                self.mine.map(|vote| Effect::Send { to, message: Vote(vote) }).into_iter().collect()
            }
            Input::Timer(()) => {
                self.mine.map(|vote| Effect::Broadcast(Vote(vote))).into_iter().chain([again]).collect()
            }
            Input::Answer(Answer::Propose(value)) => vec![Effect::Ask(value)],
            Input::Answer(Answer::Checked(value)) => self.vote(value),
            Input::Message { from, message: Vote(value) } => match self.votes.insert(from, value) {
                Some(before) if before != value || self.bug == Bug::Touchy => {
                    vec![Effect::Fault { from, fault: Twofold(before, value) }]
                }
                _ if from == PROPOSER => vec![Effect::Ask(value)],
                _ => Vec::new(),
            },
        };
        effects.extend(self.count());
        effects
    }
}

impl Standalone for Once {
    const NAME: &'static str = "once/1";

    fn kind(_: &Vote) -> &'static str {
        "vote"
    }

    fn slot(_: &Vote) -> u64 {
        0
    }
}

/// All come to the same, everybody correct does where the proposer is, and nobody votes twice.
#[derive(Debug)]
struct Agreement {
    correct: BTreeSet<ValidatorIndex>,
    is_live: bool,
    votes: BTreeMap<ValidatorIndex, u64>,
    came: BTreeMap<ValidatorIndex, u64>,
}

impl Oracle<Once> for Agreement {
    fn comes(&mut self, replica: ValidatorIndex, output: &u64) -> Result<(), String> {
        self.came.insert(replica, *output);
        let other = self.came.iter().find(|(_, came)| *came != output);
        other.map_or(Ok(()), |(other, came)| Err(format!("{replica} comes to {output}, and {other} to {came}")))
    }

    fn says(&mut self, replica: ValidatorIndex, Vote(value): &Vote) -> Result<(), String> {
        match self.votes.insert(replica, *value) {
            Some(before) if before != *value => Err(format!("{replica} votes for {before} and {value}")),
            _ => Ok(()),
        }
    }

    fn is_content(&self) -> bool {
        !self.is_live || self.correct.iter().all(|replica| self.came.contains_key(replica))
    }
}

/// The first replica proposes 7, and its twin, if it has one, 8.
fn trial(setting: Setting, bug: Bug) -> Trial<'static, Once> {
    let create = move |members: &dtn_simulator::Members, _, records: Vec<Vote>| {
        let mine = records.last().map(|Vote(value)| *value);
        Once { n: members.len(), bug, mine, votes: BTreeMap::new(), is_done: false }
    };
    let checked =
        |_, value: &u64, _: &mut _| (*value < 9).then_some((Duration::from_millis(1), Answer::Checked(*value)));
    let at = Duration::from_millis(1);
    let trial = Trial::new(setting, create).answering(checked);
    trial.told(0, at, Answer::Propose(7)).twin_told(0, at, Answer::Propose(8))
}

fn play(trial: Trial<'_, Once>) -> Report {
    let correct: BTreeSet<_> = trial.correct().into_iter().collect();
    let is_live = correct.contains(&PROPOSER);
    trial.play(&mut Agreement { correct, is_live, votes: BTreeMap::new(), came: BTreeMap::new() })
}

/// One that knows the protocol: it votes for what everybody else does not, differently each time.
struct Contrarian;

impl Adversary<Vote> for Contrarian {
    fn instead(&mut self, to: ValidatorIndex, Vote(value): Vote, _context: &mut Context<'_>) -> Vec<Outgoing<Vote>> {
        vec![Outgoing::new(to, Vote(value ^ u64::from(to.0 % 2)))]
    }

    fn heard(&mut self, from: ValidatorIndex, _: &Vote, _context: &mut Context<'_>) -> Vec<Outgoing<Vote>> {
        vec![Outgoing::new(from, Vote(u64::from(from.0)))]
    }
}

/// Every liar in the place of a replica, by number.
fn liar(number: u64) -> Option<Liar<Vote>> {
    Some(match number % 6 {
        0 => Liar::Silent,
        1 => Liar::Slow,
        2 => Liar::Replayer,
        3 => Liar::Twins,
        4 => Liar::Own(Box::new(Contrarian)),
        _ => return None,
    })
}

/// The trial of a seed: what chance says happens to the replicas, and one of them lies, or none.
fn random(seed: u64, bug: Bug) -> Report {
    let n = 4 + seed as usize % 4;
    let trial = trial(Setting::random(n, seed), bug);
    play(match liar(seed) {
        Some(liar) => trial.with((seed / 6) as usize % n, liar),
        None => trial,
    })
}

#[test]
fn a_strangers_protocol_keeps_its_promises_under_every_liar_and_whatever_happens_to_the_replicas() {
    let seed = seed_or(1);
    let reports: Vec<_> = (seed..seed + 2_000).map(|seed| random(seed, Bug::None)).collect();
    for report in &reports {
        assert!(report.passes(), "{report}");
    }
    assert!(reports.iter().any(|report| report.faults > 0), "twins and contrarians are found out");
    let writes: u64 = reports.iter().flat_map(|report| &report.writes).sum();
    println!("{} runs from DTN_SEED={seed}, {writes} writes", reports.len());
}

#[test]
fn a_run_is_the_same_again_and_another_seed_is_another_run() {
    let all: Vec<_> = (0..200).map(|seed| random(seed, Bug::None)).collect();
    let again: Vec<_> = (0..200).map(|seed| random(seed, Bug::None)).collect();
    assert_eq!(all, again);
    let digests: BTreeSet<_> = all.iter().map(|report| report.digest).collect();
    assert_eq!(digests.len(), all.len());
}

#[test]
fn what_is_wrong_with_a_protocol_is_found_and_told_with_its_seed() {
    for (bug, promise) in [
        (Bug::Weak, " comes to "),
        (Bug::Forgets, " votes for "),
        (Bug::Hasty, " votes for "),
        (Bug::Touchy, "which is correct: it voted for 7 and for 7"),
    ] {
        let found = (0..5_000).map(|seed| random(seed, bug)).find(|report| !report.passes());
        let report = found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: {report}");
        assert!(matches!(&report.verdict, Verdict::Broken(what) if what.contains(promise)), "{bug:?}: {report}");
        assert!(report.to_string().starts_with(&format!("DTN_SEED={}: broken: ", report.seed)), "{report}");
    }
}

#[test]
fn twins_split_whom_a_quorum_too_small_lets_and_nobody_else() {
    let seed = seed_or(1);
    // Nothing was promised of what a liar proposes, so the run would be over at once.
    let setting = |seed| Setting { gst: Some(Duration::from_secs(2)), ..Setting::calm(4, seed) };
    let run = |seed, bug| play(trial(setting(seed), bug).with(0, Liar::Twins));
    for seed in seed..seed + 200 {
        let report = run(seed, Bug::None);
        assert!(report.passes(), "{report}");
    }
    let split = (seed..seed + 200).filter(|seed| !run(*seed, Bug::Weak).passes()).count();
    assert!(split > 0, "from DTN_SEED={seed}");
    println!("{split} of 200 runs are split");
}

#[test]
fn a_channel_opens_again_after_a_partition_and_after_a_power_cut_and_only_then() {
    let until = Duration::from_secs(1);
    let partition =
        Partition::new(Duration::ZERO, until, vec![Group::Replicas(vec![0]), Group::Replicas(vec![1, 2, 3])]);
    let crash = |replica| Crash::new(replica, When::At(Duration::from_millis(1)), Some(until));
    let calm = || Setting { patience: MINUTE, ..Setting::calm(4, seed_or(9)) };
    for setting in [
        Setting { partitions: vec![partition], ..calm() },
        Setting { crashes: (1..4).map(crash).collect(), ..calm() },
        Setting { crashes: vec![crash(0)], ..calm() },
    ] {
        let report = play(trial(setting.clone(), Bug::Mute));
        assert!(report.passes(), "{report} {setting:?}");
    }
    let lossy = play(trial(Setting { loss: 1.0, ..calm() }, Bug::Mute));
    assert_eq!(lossy.verdict, Verdict::NoProgress);
}

#[test]
fn a_power_cut_at_any_write_breaks_no_promise_and_costs_no_progress() {
    let setting =
        |durability| Setting { durability, gst: Some(Duration::from_secs(3)), ..Setting::calm(4, seed_or(5)) };
    for durability in [Durability::Together, Durability::Each] {
        let writes = play(trial(setting(durability), Bug::None)).writes;
        assert_eq!(writes, [1; 4]);
        for replica in 0..4 {
            for (durable, survival) in [(true, Survival::Nothing), (false, Survival::Nothing), (false, Survival::Any)] {
                let (at, down) = (When::Write { number: 1, durable }, Some(Duration::from_millis(20)));
                let crashes = vec![Crash::new(replica, at, down)];
                let report = play(trial(Setting { survival, crashes, ..setting(durability) }, Bug::None));
                assert!(report.passes(), "{report}");
                // What is lost is written once more.
                let lost = !durable && survival == Survival::Nothing;
                assert!(report.writes[replica] == 1 + u64::from(lost) || survival == Survival::Any, "{report:?}");
            }
        }
    }
}

#[test]
fn whoever_stays_away_or_loses_its_disk_is_no_correct_replica_and_an_old_disk_is_put_back_unsaid() {
    let crash = |down, disk| Crash { disk, ..Crash::new(3, When::At(Duration::from_millis(300)), down) };
    let down = Some(Duration::from_millis(50));
    let setting =
        |crash| Setting { crashes: vec![crash], gst: Some(Duration::from_secs(1)), ..Setting::calm(4, seed_or(6)) };
    let of = |trial: &Trial<'_, Once>| trial.correct().len();
    for (crash, correct) in [
        (crash(down, DiskAfter::Kept), 4),
        (crash(None, DiskAfter::Kept), 3),
        (crash(down, DiskAfter::Lost), 3),
        (crash(down, DiskAfter::AsOf(When::At(Duration::ZERO))), 3),
    ] {
        let trial = trial(setting(crash.clone()), Bug::None);
        assert_eq!(of(&trial), correct, "{crash:?}");
        let report = play(trial);
        assert!(report.passes(), "{crash:?}: {report}");
        // Who has an older disk votes once more, and who knows that it has forgotten does not.
        let writes = match crash.disk {
            DiskAfter::AsOf(_) => 2,
            DiskAfter::Kept | DiskAfter::Lost => 1,
        };
        assert_eq!(report.writes[3], writes, "{crash:?}");
    }
}

#[test]
fn what_is_not_answered_brings_no_progress_and_what_is_said_is_counted() {
    let calm = || Setting { patience: MINUTE, ..Setting::calm(4, seed_or(7)) };
    let report = play(trial(calm(), Bug::None).answering(|_, _, _| None));
    assert_eq!(report.verdict, Verdict::NoProgress);
    assert!(report.elapsed <= MINUTE && report.sent.is_empty(), "{report}");
    let report = play(trial(calm(), Bug::None));
    let votes = report.sent["vote"];
    assert_eq!((report.verdict.clone(), votes.messages, votes.bytes), (Verdict::Pass, 12, 12), "{report}");
    assert!((2..=3).contains(&report.rounds), "the proposer's vote, the others', and theirs who heard those first");
}
