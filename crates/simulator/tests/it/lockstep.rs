//! Rounds of events: what they cost against theory, and who gains by cheating.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dtn_consensus::{
    Lockstep, Party,
    lockstep::{Answer, Config, Evidence, Gather, History, Limits, Mode, Outcome, Output, Rules},
};
use dtn_primitives::{ValidatorIndex, signatures};
use dtn_simulator::{
    Latency, Members, Rate, Region,
    property::lockstep::{Cheat, Table, choice, event},
    round_trip, seed_or,
    standalone::{Liar, Oracle, Report, Setting, Trial},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

const SEVEN: [&str; 7] = ["virginia", "california", "frankfurt", "sao-paulo", "johannesburg", "singapore", "sydney"];

fn party(members: &Members, me: ValidatorIndex) -> Party {
    Party::new(me, members.key(me).clone(), members.validators().clone(), members.domain().network_id, 1)
}

/// Sees how far everybody gets.
struct Rounds {
    correct: Vec<ValidatorIndex>,
    last: u64,
    over: BTreeMap<ValidatorIndex, u64>,
    outcomes: BTreeMap<u64, Outcome>,
    /// Late events, by their round.
    late: BTreeMap<u64, u64>,
    excluded: BTreeSet<ValidatorIndex>,
    evidence: Vec<Evidence>,
}

impl Rounds {
    fn until(last: u64, correct: impl IntoIterator<Item = ValidatorIndex>) -> Self {
        Self {
            correct: correct.into_iter().collect(),
            last,
            over: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            late: BTreeMap::new(),
            excluded: BTreeSet::new(),
            evidence: Vec::new(),
        }
    }
}

impl Oracle<Lockstep<History>> for Rounds {
    fn comes(&mut self, replica: ValidatorIndex, output: &Output) -> Result<(), String> {
        match output {
            Output::Round(outcome) => {
                self.over.insert(replica, outcome.round);
                self.outcomes.entry(outcome.round).or_insert_with(|| outcome.clone());
            }
            Output::Late(_, round) => *self.late.entry(*round).or_default() += 1,
            Output::Excluded(peer, _) => _ = self.excluded.insert(*peer),
            Output::Evidence(evidence) => self.evidence.push((**evidence).clone()),
            Output::Dropped(..) | Output::LeftOut(..) => {}
        }
        Ok(())
    }

    fn is_content(&self) -> bool {
        self.correct.iter().all(|peer| self.over.get(peer).is_some_and(|over| *over >= self.last))
    }
}

fn everybody(n: usize) -> impl Iterator<Item = ValidatorIndex> + Clone {
    (0..n as u16).map(ValidatorIndex)
}

/// The same number of peers in each of these regions, of which each can send so much.
fn in_regions(names: &[&str], n: usize, up: Option<Rate>) -> Setting {
    let nodes = |place: usize| n / names.len() + usize::from(place < n % names.len());
    let region = |(place, name): (usize, &&str)| Region { name: (*name).into(), nodes: nodes(place), up, down: None };
    let regions = names.iter().enumerate().map(region).collect();
    let (latency, writing) = (Latency::Regions, Duration::ZERO);
    let (patience, events) = (Duration::from_secs(100_000), u64::MAX);
    Setting { latency, writing, regions, patience, events, ..Setting::calm(n, seed_or(1)) }
}

/// Plays rounds without events, which take this long to gather.
fn play(setting: Setting, config: Config, gathering: Duration, rounds: &mut Rounds) -> Report {
    let _stand_in = signatures::stand_in();
    let create =
        |members: &Members, me, records| Lockstep::new(party(members, me), config, History::default(), records);
    let events = move |_, Gather(round): &Gather, _: &mut StdRng| Some((gathering, Answer::Events(*round, Vec::new())));
    Trial::new(setting, create).answering(events).play(rounds)
}

fn one_way(from: &str, to: &str) -> f64 {
    round_trip(from, to).unwrap().as_secs_f64() / 2.0
}

/// The longest mean one-way time of a pair of regions.
fn largest(names: &[&str]) -> f64 {
    let pairs = names.iter().flat_map(|one| names.iter().map(move |other| (one, other)));
    pairs.map(|(one, other)| f64::midpoint(one_way(one, other), one_way(other, one))).fold(0.0, f64::max)
}

fn near(actual: f64, expected: f64, tolerance: f64) -> bool {
    (actual - expected).abs() <= tolerance * expected
}

/// Seconds of a round.
fn round_time(names: &[&str], n: usize, (pipeline, gathering): (u64, Duration), up: Option<Rate>) -> f64 {
    let last = 40 * pipeline;
    let config = Config { pipeline, rounds: last, ..Config::new(Mode::Strict) };
    let report = play(in_regions(names, n, up), config, gathering, &mut Rounds::until(last, everybody(n)));
    assert!(report.passes(), "{report}");
    report.elapsed.as_secs_f64() / last as f64
}

#[test]
fn a_strict_round_takes_twice_the_largest_one_way_time_and_what_its_events_take() {
    for (names, n) in [(&SEVEN[..2], 4), (&SEVEN[..4], 8), (&SEVEN[..], 7), (&SEVEN[..], 64)] {
        for gathering in [Duration::ZERO, Duration::from_millis(30)] {
            let (measured, theory) =
                (round_time(names, n, (1, gathering), None), 2.0 * largest(names) + gathering.as_secs_f64());
            println!("n = {n} in {} regions: {measured:.4} s a round, {theory:.4} in theory", names.len());
            assert!(near(measured, theory, 0.02), "{measured} {theory}");
        }
    }
}

#[test]
fn a_pipeline_of_p_has_p_times_as_many_rounds_until_the_links_are_full() {
    let (names, n) = (&SEVEN[..], 7);
    let theory = 2.0 * largest(names);
    for pipeline in [1, 2, 4, 8, 16, 32] {
        let measured = round_time(names, n, (pipeline, Duration::ZERO), None);
        println!("pipeline {pipeline}: {:.2} rounds/s, {:.2} in theory", 1.0 / measured, pipeline as f64 / theory);
        assert!(near(measured, theory / pipeline as f64, 0.02), "{pipeline}: {measured}");
    }
    // A commitment and a reveal to each of the others.
    let (rate, commit, reveal) = (Rate::mbps(0.1), 132, 132 + 2);
    let full = (n - 1) as f64 * f64::from(commit + reveal) * 8.0 / 0.1e6;
    for pipeline in [1, 32] {
        let measured = round_time(names, n, (pipeline, Duration::ZERO), Some(rate));
        println!("pipeline {pipeline} at 0.1 Mbit/s: {measured:.4} s a round; the links need {full:.4}");
        assert!(if pipeline == 1 { measured > theory } else { near(measured, full, 0.1) }, "{pipeline}: {measured}");
    }
}

#[test]
fn a_bucket_loses_what_takes_longer_than_its_delay() {
    let (n, last) = (7, 600);
    let (median, sigma) = (Duration::from_millis(100), 0.5);
    for (delay, expected) in [(100, 0.5), (150, 0.208_6), (200, 0.082_8), (300, 0.014_0)] {
        let (tick, delay) = (Duration::from_millis(50), Duration::from_millis(delay));
        let config = Config { rounds: last, ..Config::new(Mode::Bucket { tick, delay }) };
        let setting = Setting { latency: Latency::LogNormal { median, sigma }, ..in_regions(&SEVEN, n, None) };
        let mut rounds = Rounds::until(last, everybody(n));
        play(setting, config, Duration::ZERO, &mut rounds);
        // Of the last rounds not all that is late has come when the run ends.
        let counted = last - 100;
        let late: u64 = rounds.late.range(..=counted).map(|(_, late)| late).sum();
        let loss = late as f64 / (counted * (n * (n - 1)) as u64) as f64;
        println!("delay {delay:?}: {:.2} % lost, {:.2} % in theory", loss * 100.0, expected * 100.0);
        assert!((loss - expected).abs() <= 0.01, "{delay:?}: {loss}");
    }
}

/// The seconds of a round by max-plus recursion: each half of a round begins when what all on whom a peer depends have said
/// in the half before has come.
fn recursion(delay: &dyn Fn(usize, usize) -> f64, depends: &[Vec<usize>]) -> f64 {
    let (n, halves) = (depends.len(), 400);
    let mut times = vec![0.0; n];
    for _ in 0..halves {
        let next = |it: usize| depends[it].iter().map(|on| times[*on] + delay(*on, it)).fold(times[it], f64::max);
        times = (0..n).map(next).collect();
    }
    2.0 * times.iter().sum::<f64>() / (n * halves) as f64
}

#[test]
fn who_depends_on_fewer_waits_less() {
    let (n, elapsed) = (32, Duration::from_secs(12));
    let setting = in_regions(&SEVEN, n, None);
    let place = |peer: usize| {
        let mut end = 0;
        setting
            .regions
            .iter()
            .find(|region| {
                end += region.nodes;
                peer < end
            })
            .unwrap()
            .name
            .clone()
    };
    let places: Vec<_> = (0..n).map(place).collect();
    let delay = |from: usize, to: usize| one_way(&places[from], &places[to]);
    let mut rng = StdRng::seed_from_u64(seed_or(3));
    let mut before = 0.0;
    for density in [0.0, 0.01, 0.03, 0.1, 1.0] {
        let whom = |me: usize, rng: &mut StdRng| (0..n).filter(|it| *it != me && rng.random_bool(density)).collect();
        let depends: Vec<Vec<usize>> = (0..n).map(|me| whom(me, &mut rng)).collect();
        let theory = recursion(&delay, &depends);
        let _stand_in = signatures::stand_in();
        let create = |members: &Members, me, records| {
            Lockstep::new(party(members, me), Config::new(Mode::Async), History::default(), records)
        };
        let gathering = Duration::from_millis(200);
        let events = move |_, Gather(round): &Gather, _: &mut StdRng| Some((gathering, Answer::Events(*round, vec![])));
        let setting = Setting { patience: elapsed, ..setting.clone() };
        let trial =
            depends.iter().enumerate().fold(Trial::new(setting, create).answering(events), |trial, (me, whom)| {
                let whom = whom.iter().map(|it| ValidatorIndex(*it as u16)).collect();
                trial.told(me, Duration::ZERO, Answer::DependsOn(whom))
            });
        let mut rounds = Rounds::until(u64::MAX, everybody(n));
        trial.play(&mut rounds);
        let done: u64 = rounds.over.values().sum();
        let waits = elapsed.as_secs_f64() / (done as f64 / n as f64) - gathering.as_secs_f64();
        println!("density {density}: {waits:.3} s of waiting a round, {theory:.3} by recursion");
        assert!(waits >= before - 0.005 && near(waits + 0.2, theory + 0.2, 0.08), "{density}: {waits} {theory}");
        before = waits;
    }
}

/// What came of 10,000 rounds with liars.
struct Game {
    /// Rounds of the liar that all had, and those in which it had the parity of the victim's choice.
    rounds: u64,
    wins: u64,
    seen: Rounds,
}

impl Game {
    fn rate(&self) -> f64 {
        self.wins as f64 / self.rounds as f64
    }
}

/// Who lies, and how.
#[derive(Clone, Copy)]
enum Lie {
    Slow,
    Silent,
    Replayer,
    Cheat(Cheat),
}

/// The last ones of so many lie, and would like to know what the first one chooses.
fn game(n: usize, liars: &[usize], lie: Lie, config: Config) -> Game {
    let _stand_in = signatures::stand_in();
    let table = Table { seed: seed_or(5), config, victim: ValidatorIndex(0), rules: Rules::default() };
    let (patience, events) = (Duration::from_secs(100_000), 40_000_000);
    let setting = Setting { patience, events, ..Setting::calm(n, table.seed) };
    let members = Members::new(n, Duration::ZERO);
    let answer = |me: ValidatorIndex, gather: &Gather, rng: &mut StdRng| Some(table.answer(me, *gather, rng));
    let create = |members: &Members, me, records| table.create(party(members, me), records);
    let trial = liars.iter().fold(Trial::new(setting, create).answering(answer), |trial, liar| {
        let me = party(&members, ValidatorIndex(*liar as u16));
        let lie = match lie {
            Lie::Slow => Liar::Slow,
            Lie::Silent => Liar::Silent,
            Lie::Replayer => Liar::Replayer,
            Lie::Cheat(cheat) => Liar::Own(cheat.adversary(me, table.clone())),
        };
        trial.with(*liar, lie)
    });
    let correct = trial.correct();
    let mut seen = Rounds::until(config.rounds, correct);
    trial.play(&mut seen);
    let (mut rounds, mut wins) = (0, 0);
    for outcome in seen.outcomes.values() {
        let right = choice(table.seed, table.victim, outcome.round);
        let own = outcome.events.iter().find(|it| liars.contains(&it.by.as_usize()));
        let guess = own.and_then(|own| own.data.get(1));
        rounds += u64::from(guess.is_some());
        wins += u64::from(guess.is_some_and(|guess| guess % 2 == right % 2));
        for peer in seen.correct.iter() {
            let events: Vec<_> = outcome.events.iter().filter(|it| it.by == *peer).map(|it| it.data.clone()).collect();
            let bucket = matches!(config.mode, Mode::Bucket { .. });
            assert!(bucket || events == [event(table.seed, *peer, outcome.round)], "{peer} in {}", outcome.round);
        }
    }
    Game { rounds, wins, seen }
}

const ROUNDS: u64 = 10_000;

fn strict(pipeline: u64) -> Config {
    Config { pipeline, rounds: ROUNDS, ..Config::new(Mode::Strict) }
}

fn timed() -> Config {
    Config { rounds: ROUNDS, ..Config::new(Mode::Timed { deadline: Duration::from_millis(400) }) }
}

#[test]
fn nobody_who_looks_ahead_delays_or_colludes_wins_more_than_half_and_without_commitments_everybody_would() {
    let cases: [(&str, usize, &[usize], Lie, Config); 7] = [
        ("look-ahead", 4, &[3], Lie::Cheat(Cheat::Peeker), strict(1)),
        ("look-ahead, with deadlines", 4, &[3], Lie::Cheat(Cheat::Peeker), timed()),
        ("late commitment in the pipeline", 4, &[3], Lie::Cheat(Cheat::Peeker), strict(3)),
        ("collusion", 5, &[3, 4], Lie::Cheat(Cheat::Peeker), strict(1)),
        ("fixed delay", 4, &[3], Lie::Slow, strict(1)),
        ("replay of all rounds", 4, &[3], Lie::Replayer, strict(1)),
        ("another state", 4, &[3], Lie::Cheat(Cheat::Desynced), strict(1)),
    ];
    for (name, n, liars, lie, config) in cases {
        let game = game(n, liars, lie, config);
        println!("{name}: wins {} of {} rounds", game.wins, game.rounds);
        assert!(game.rounds >= ROUNDS * 9 / 10 && (game.rate() - 0.5).abs() <= 0.01, "{name}: {}", game.rate());
    }
    let (tick, delay) = (Duration::from_millis(100), Duration::from_millis(300));
    let bucket = Config { rounds: ROUNDS, ..Config::new(Mode::Bucket { tick, delay }) };
    let game = game(4, &[3], Lie::Cheat(Cheat::Peeker), bucket);
    println!("look-ahead without commitments: wins {} of {} rounds", game.wins, game.rounds);
    assert!(game.rounds >= ROUNDS * 9 / 10 && game.rate() == 1.0, "{}", game.rate());
}

#[test]
fn who_says_two_things_another_s_or_nothing_is_excluded_and_named_and_the_others_go_on() {
    let _stand_in = signatures::stand_in();
    for (name, lie, is_named) in [
        ("two commitments", Lie::Cheat(Cheat::TwoFaced), true),
        ("replay of another's commitment", Lie::Cheat(Cheat::Copier), true),
        ("suppressed updates", Lie::Silent, false),
        ("refusal to reveal", Lie::Cheat(Cheat::Refuser), false),
    ] {
        let game = game(4, &[3], lie, timed());
        let seen = &game.seen;
        println!(
            "{name}: {} rounds of the liar, {:?} excluded, {} proofs",
            game.rounds,
            seen.excluded,
            seen.evidence.len()
        );
        assert!(seen.is_content(), "{name}: {:?}", seen.over);
        assert_eq!(seen.excluded, [ValidatorIndex(3)].into(), "{name}");
        assert!(game.rounds <= 1, "{name}");
        let members = Members::new(4, Duration::ZERO);
        let observer = party(&members, ValidatorIndex(0));
        let proves = |it: &Evidence| it.accused() == ValidatorIndex(3) && it.verify(&observer);
        assert!(
            seen.evidence.iter().all(proves) && (!is_named || !seen.evidence.is_empty()),
            "{name}: {:?}",
            seen.evidence
        );
    }
}

#[test]
fn a_peer_with_another_state_is_named_by_everybody() {
    let config = Config { rounds: 3, limits: Limits { events: 1, bytes: 8 }, ..Config::new(Mode::Strict) };
    let seen = game(4, &[2], Lie::Cheat(Cheat::Desynced), config).seen;
    assert!(seen.is_content());
    let named = |it: &Evidence| matches!(it, Evidence::FalseState(commit, _) if commit.by == ValidatorIndex(2));
    assert!(!seen.evidence.is_empty() && seen.evidence.iter().all(named), "{:?}", seen.evidence);
}
