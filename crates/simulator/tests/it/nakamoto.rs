//! Miners in a network: what work, luck and lies do to a chain whose blocks validators make final. `DTN_SEED` replays a
//! random run.

use std::time::{Duration, Instant};

use dtn_primitives::memo;
use dtn_simulator::{
    Crash, Durability, Group, Happening, Latency, Mined, Miners, Pace, Partition, RateChange, Report, Scenario,
    Signatures, Stop, Survival, Verdict, What, When, adversary::Kind, seed_or, shrink, watch,
};

const SECOND: Duration = Duration::from_secs(1);

/// Miners a constant delay apart, whose machines take no time.
fn miners(n: usize, seed: u64, mining: Miners, delay: Duration) -> Scenario {
    let mut scenario = Scenario::calm(n, seed);
    scenario.signatures = Signatures::Counted;
    scenario.links.latency = Some(Latency::Constant(delay));
    scenario.pace = Pace {
        view_timeout: None,
        housekeeping: None,
        gathering: Duration::ZERO,
        writing: Duration::ZERO,
        signing: Duration::ZERO,
        verifying: Duration::ZERO,
    };
    scenario.stop = Stop { after: None, ..Stop::default() };
    scenario.mining = Some(mining);
    scenario
}

fn every_second(confirmations: u64) -> Miners {
    Miners { block_interval: SECOND, confirmations, expected_hashes: 500, ..Miners::default() }
}

fn decided(scenario: &Scenario) -> Report {
    assert_eq!(scenario.check(), Ok(()));
    let report = dtn_simulator::play(scenario);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}\n{}", report.offence, scenario.to_toml());
    report
}

#[test]
fn miners_agree_under_latency_and_loss() {
    let mut scenario = miners(7, 1, every_second(3), SECOND);
    let (least, most) = (Duration::from_millis(5), Duration::from_millis(300));
    scenario.links.latency = Some(Latency::Uniform { least, most });
    (scenario.links.loss, scenario.links.duplication, scenario.links.reordering) = (0.2, 0.1, 0.2);
    (scenario.gst, scenario.load.blocks) = (Some(60 * SECOND), 20);
    let report = decided(&scenario);
    let Mined { reorganizations, finals, .. } = &report.measured.mined;
    // A vote that is lost is said again later and later, so few blocks are final before links are stable; but some are.
    let before = finals.len() as u64 - scenario.load.blocks;
    assert!(*reorganizations > 0 && before > 10, "{reorganizations} {before}");
    assert!(report.measured.mined.fork_rate().expect("final blocks") > 0.02);
}

#[test]
fn halves_without_a_quorum_go_their_ways_and_come_together_again() {
    let mut scenario = miners(8, 2, every_second(4), Duration::from_millis(20));
    let [from, until] = [20, 60].map(|seconds| seconds * SECOND);
    let groups = [[0, 1, 2, 3], [4, 5, 6, 7]].map(|group| Group::Replicas(group.into())).into();
    scenario.partitions.push(Partition::new(from, until, groups));
    scenario.load.blocks = 40;
    let Report { measured, .. } = decided(&scenario);
    let within = |at: &Duration| (from + SECOND..until).contains(at);
    assert!(measured.decisions.iter().all(|(at, ..)| !within(at)), "none of the halves is a quorum");
    assert!(measured.decisions.iter().any(|(at, ..)| *at < from));
    assert!(measured.mined.found.iter().any(|found| within(&found.at)), "and both work on");
    assert!(measured.mined.deepest > 4, "{} blocks were left", measured.mined.deepest);
    assert_eq!(measured.mined.below_checkpoint, 0);
}

#[test]
fn a_minority_that_is_cut_off_loses_its_work_and_catches_up() {
    let mut scenario = miners(7, 3, every_second(2), Duration::from_millis(20));
    let groups = vec![Group::Replicas(vec![5, 6])];
    scenario.partitions.push(Partition::new(10 * SECOND, 50 * SECOND, groups));
    scenario.load.blocks = 30;
    let Report { measured, .. } = decided(&scenario);
    let lost = measured
        .mined
        .finals
        .values()
        .filter(|of| of.found.miner > 4 && (12 * SECOND..50 * SECOND).contains(&of.found.at));
    assert_eq!(lost.count(), 0, "two of seven are no quorum");
    assert!(measured.mined.finals.values().any(|of| of.found.miner > 4 && of.found.at > 50 * SECOND));
}

#[test]
fn a_withholder_with_most_of_the_work_undoes_blocks_and_never_a_final_one() {
    let _remembering = memo::remember(1 << 18);
    let mut shares = Vec::new();
    for seed in 0..4 {
        let mining = Miners { shares: vec![70.0, 10.0, 10.0, 10.0], secret: Some(4), ..every_second(3) };
        let mut scenario = miners(4, seed, mining, Duration::from_millis(20));
        scenario.adversaries.insert(0, Kind::Withholder);
        scenario.load.blocks = 150;
        let mined = decided(&scenario).measured.mined;
        assert!(mined.reorganizations > 30 && mined.deepest >= 2, "{} {}", mined.reorganizations, mined.deepest);
        shares.push(mined.share(0).expect("final blocks"));
    }
    // Four times 150 blocks: one standard deviation is 0.02.
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    assert!(mean > 0.74, "more than its share of the work: {shares:?}");
}

#[test]
fn a_chain_that_is_released_after_the_others_is_final_is_shown_and_left() {
    let _remembering = memo::remember(1 << 18);
    let mining = Miners { shares: vec![70.0, 10.0, 10.0, 10.0], secret: Some(40), ..every_second(3) };
    let mut scenario = miners(4, 5, mining, Duration::from_millis(20));
    scenario.adversaries.insert(0, Kind::Withholder);
    scenario.load.blocks = 100;
    let mined = decided(&scenario).measured.mined;
    assert!(mined.below_checkpoint > 0, "nobody saw the secret chain");
    assert!(mined.share(0).expect("final blocks") < 0.2, "{:?}", mined.share(0));
    assert!(mined.deepest <= 3, "{}", mined.deepest);
}

/// Eyal & Sirer, equation 8: the share of the blocks of a selfish miner with this share of the work, if this share of the
/// others works on its block in a race.
fn selfish_share(alpha: f64, gamma: f64) -> f64 {
    let a = alpha;
    (a * (1.0 - a).powi(2) * (4.0 * a + gamma * (1.0 - 2.0 * a)) - a.powi(3)) / (1.0 - a * (1.0 + (2.0 - a) * a))
}

#[test]
fn a_selfish_miner_gets_the_share_of_the_closed_form() {
    let _remembering = memo::remember(1 << 18);
    for (alpha, wins) in [(0.2, false), (0.3, false), (0.42, true)] {
        let others = (1.0 - alpha) / 3.0;
        let mining = Miners {
            block_interval: 60 * SECOND,
            confirmations: 12,
            expected_hashes: 2_000,
            shares: vec![alpha, others, others, others],
            ..Miners::default()
        };
        let mut scenario = miners(4, 1, mining, Duration::from_millis(10));
        scenario.adversaries.insert(0, Kind::SelfishMiner);
        scenario.load.blocks = 4_000;
        let mined = decided(&scenario).measured.mined;
        // Its block is second wherever it races.
        let (share, expected) = (mined.share(0).expect("final blocks"), selfish_share(alpha, 0.0));
        println!("work {alpha}: {share:.4} of 4,000 final blocks, {expected:.4} by the closed form");
        // The work follows every block, so a long secret chain, which grows slower than the public one, has less work in
        // as many blocks: the more a miner withholds, the further it is below the closed form.
        let below = if wins { 0.06 } else { 0.025 };
        assert!((-below..0.025).contains(&(share - expected)), "work {alpha}: {share} of the blocks, not {expected}");
        assert_eq!(share > alpha, wins, "profitable above a third of the work: {share} for {alpha}");
    }
}

#[test]
fn chains_grow_and_fork_as_fast_as_delay_and_work_say() {
    let _remembering = memo::remember(1 << 18);
    let (n, delay) = (20, Duration::from_millis(200));
    let mining = Miners { expected_hashes: 20_000, ..every_second(3) };
    let mut scenario = miners(n, 1, mining, delay);
    scenario.load.blocks = 2_000;
    let Report { measured, elapsed, .. } = decided(&scenario);
    let mined = &measured.mined;
    let seconds = elapsed.as_secs_f64();
    let (alpha, growth) = (mined.found.len() as f64 / seconds, mined.finals.len() as f64 / seconds);
    // While a block is under way to the others, what these find does not make the chain longer; who found it goes on.
    let wasted = |share: f64| alpha / (1.0 + delay.as_secs_f64() * alpha * share);
    let (least, most) = (wasted(1.0), wasted(1.0 - 1.0 / n as f64));
    println!("{alpha:.4} found a second, {growth:.4} final, of {least:.4} to {most:.4}");
    let spread = 4.0 / (mined.finals.len() as f64).sqrt();
    assert!((least * (1.0 - spread)..most * (1.0 + spread)).contains(&growth), "{growth}: {least} to {most}");
    let (rate, expected) = (mined.fork_rate().expect("final blocks"), 1.0 - most / alpha);
    println!("fork rate {rate:.4}, of {expected:.4}");
    assert!((rate - expected).abs() < 0.025, "{rate} {expected}");
}

#[test]
fn blocks_come_in_their_interval_again_after_a_tenfold_jump_of_the_hash_rate() {
    let _remembering = memo::remember(1 << 18);
    let jump = 2_000 * SECOND;
    let changes = vec![RateChange { at: jump, factor: 10.0 }];
    let mining = Miners { block_interval: 10 * SECOND, confirmations: 2, changes, ..Miners::default() };
    let mut scenario = miners(4, 1, mining, Duration::from_millis(10));
    scenario.load.blocks = 1_400;
    let mined = decided(&scenario).measured.mined;
    let between = |from: u32, until: u32| {
        let in_time = |found: &&dtn_simulator::Found| (SECOND * from..SECOND * until).contains(&found.at);
        f64::from(until - from) / mined.found.iter().filter(in_time).count() as f64
    };
    let (before, right_after, settled) = (between(0, 2_000), between(2_000, 2_050), between(2_600, 10_000));
    println!("{before:.2} s a block before, {right_after:.2} s right after, {settled:.2} s once it has settled");
    assert!((8.5..12.0).contains(&before) && (9.3..11.2).contains(&settled), "{before} {settled}");
    assert!(right_after < 3.5, "{right_after}");
    let work = mined.found.last().expect("blocks").work;
    assert!((6_000..15_000).contains(&work), "{work} hashes a block");
}

#[test]
fn a_liar_of_any_kind_stops_and_splits_no_miners() {
    let _remembering = memo::remember(1 << 18);
    for kind in Kind::ALL.into_iter().chain(Kind::MINERS) {
        for seed in 0..2 {
            for (n, liars) in [(4, vec![seed as usize % 4]), (7, vec![0, 1 + seed as usize])] {
                let mut scenario = Scenario::calm(n, seed);
                scenario.mining = Some(Miners { expected_hashes: 50, ..every_second(2) });
                scenario.adversaries = liars.into_iter().map(|liar| (liar, kind)).collect();
                (scenario.gst, scenario.links.loss, scenario.load.blocks) = (Some(10 * SECOND), 0.05, 12);
                let report = decided(&scenario);
                assert!(report.size < 8 << 20, "{kind}, seed {seed}, n = {n}: {} bytes", report.size);
                match kind {
                    Kind::Forger => assert!(report.faults > 0, "its forgeries were not counted"),
                    Kind::Silent => {
                        let share = |liar: &usize| report.measured.mined.share(*liar as u16);
                        assert!(scenario.adversaries.keys().all(|liar| share(liar) == Some(0.0)), "who heard of them?");
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Plays the scenario of a seed; if it does not pass, what is left of it that does not.
fn play(seed: u64) -> Report {
    let scenario = Scenario::random_miners(seed);
    let report = dtn_simulator::play(&scenario);
    if report.verdict != Verdict::Pass {
        let kind = std::mem::discriminant(&report.verdict);
        let smallest =
            shrink(scenario, |smaller| std::mem::discriminant(&dtn_simulator::play(smaller).verdict) == kind);
        let again = dtn_simulator::play(&smallest);
        panic!(
            "DTN_SEED={seed}: {}: {:?}\nsmallest: {}\n{}: {:?}",
            report.verdict,
            report.offence,
            smallest.to_toml(),
            again.verdict,
            again.offence
        );
    }
    report
}

#[test]
fn miners_agree_and_go_on_whatever_happens_to_them() {
    let _remembering = memo::remember(1 << 20);
    let (first, began) = (seed_or(0), Instant::now());
    let runs = if std::env::var("DTN_SEED").is_ok() { 1 } else { 200 };
    let (mut events, mut reorganizations, mut below) = (0, 0, 0);
    for seed in first..first + runs {
        let report = play(seed);
        events += report.events;
        reorganizations += report.measured.mined.reorganizations;
        below += report.measured.mined.below_checkpoint;
    }
    println!(
        "{runs} runs from seed {first}, {events} events, {reorganizations} reorganizations, {below} chains below a \
         checkpoint, {:.1?}",
        began.elapsed()
    );
}

#[test]
fn the_same_scenario_of_miners_gives_the_same_run() {
    for seed in 3..6 {
        let scenario = Scenario::random_miners(seed);
        assert_eq!(Scenario::from_toml(&scenario.to_toml()).as_ref(), Ok(&scenario));
        let [first, second] = [(); 2].map(|()| dtn_simulator::play(&scenario));
        assert_eq!((first.digest, &first.measured), (second.digest, &second.measured), "seed {seed}");
    }
}

#[test]
fn a_power_cut_at_any_write_of_any_miner_splits_nobody() {
    let _remembering = memo::remember(1 << 20);
    let small = |durability, survival| {
        let mut scenario = Scenario::calm(4, 3);
        scenario.mining = Some(Miners { expected_hashes: 50, ..every_second(1) });
        (scenario.durability, scenario.survival) = (durability, survival);
        (scenario.gst, scenario.load.blocks) = (Some(8 * SECOND), 3);
        scenario
    };
    for durability in [Durability::Together, Durability::Each] {
        let writes = dtn_simulator::play(&small(durability, Survival::Nothing)).writes;
        for (replica, writes) in writes.into_iter().enumerate() {
            assert!(writes > 4, "replica {replica} writes only {writes} times");
            for number in 1..=writes.min(40) {
                for (durable, survival) in [(false, Survival::Nothing), (true, Survival::Any)] {
                    let mut scenario = small(durability, survival);
                    let (at, down) = (When::Write { number, durable }, Some(Duration::from_millis(500)));
                    scenario.crashes.push(Crash::new(replica, at, down));
                    decided(&scenario);
                }
            }
        }
    }
}

#[test]
fn all_miners_losing_power_at_once_lose_no_block_that_anybody_knew() {
    let mut scenario = miners(4, 6, every_second(3), Duration::from_millis(20));
    scenario.survival = Survival::Nothing;
    let at = 30 * SECOND;
    for replica in 0..4 {
        scenario.crashes.push(Crash::new(replica, When::At(at), Some(SECOND)));
    }
    scenario.load.blocks = 30;
    let mined = decided(&scenario).measured.mined;
    let known = mined.found.iter().filter(|found| found.at < at - SECOND).map(|found| found.height).max();
    let lost = mined.finals.values().filter(|of| Some(of.found.height) <= known && of.found.at > at);
    assert_eq!(lost.count(), 0, "heights were mined again");
}

#[test]
fn who_watches_miners_sees_what_is_counted() {
    let mining = Miners { shares: vec![7.0, 1.0, 1.0, 1.0], secret: Some(4), ..every_second(3) };
    let mut scenario = miners(4, 1, mining, Duration::from_millis(20));
    scenario.adversaries.insert(0, Kind::Withholder);
    let (mut found, mut reorganizations) = (0, 0);
    let watched = watch(&scenario, &mut |Happening { what, .. }| match what {
        What::Found { .. } => found += 1,
        What::Reorganized { .. } => reorganizations += 1,
        _ => {}
    });
    let plain = dtn_simulator::play(&scenario);
    assert_eq!((watched.digest, &watched.measured), (plain.digest, &plain.measured));
    assert_eq!((found, reorganizations), (plain.measured.mined.found.len(), plain.measured.mined.reorganizations));
}

#[test]
fn impossible_miners_are_refused_by_name() {
    let text = "nodes = 4\n[mining]\nblock_interval = \"10s\"\nconfirmations = 6\nexpected_hashes = 100\n";
    assert!(Scenario::from_toml(text).is_ok());
    for (from, to, place) in [
        ("\"10s\"", "\"10ms\"", "mining.block_interval"),
        ("confirmations = 6", "confirmations = 0", "mining.confirmations"),
        ("hashes = 100", "hashes = 0", "mining.expected_hashes"),
        ("hashes = 100", "hashes = 99999999999", "mining.expected_hashes"),
        ("hashes = 100", "hashes = 100\nhash_rate = -1.0", "mining.hash_rate"),
        ("hashes = 100", "hashes = 100\nhash_rate = nan", "mining.hash_rate"),
        ("hashes = 100", "hashes = 100\nshares = [1.0]", "mining.shares"),
        ("hashes = 100", "hashes = 100\nshares = [0.0, 0.0, 0.0, 0.0]", "mining.shares"),
        ("hashes = 100", "hashes = 100\nshares = [-1.0, 2.0, 1.0, 1.0]", "mining.shares"),
        ("hashes = 100", "hashes = 100\nsecret = 65", "mining.secret"),
        ("hashes = 100", "hashes = 100\n[[mining.change]]\nat = \"1s\"\nfactor = 1e9", "mining.change.0.factor"),
        (
            "[mining]\nblock_interval = \"10s\"\nconfirmations = 6\nexpected_hashes = 100",
            "[[byzantine]]\nreplica = 0\nbehaviour = \"withholder\"",
            "byzantine",
        ),
    ] {
        let said = Scenario::from_toml(&text.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(said.contains(place), "{to}: {said}");
    }
}
