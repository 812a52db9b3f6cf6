//! Attacks that once broke a promise, and what faulty machines and people without a key do: each a scenario of
//! `scenarios/`, under many seeds from its own on. `DTN_SEED` plays one, and `DTN_SEEDS` says how many.

use std::time::Duration;

use dtn_primitives::memo;
use dtn_simulator::{Latency, Report, Scenario, Verdict, Work, seed_or};

/// Seeds of each scenario in the normal tests.
const SEEDS: u64 = 6;

fn scenario(name: &str) -> Scenario {
    let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Plays a scenario under some seeds, or as many as `DTN_SEEDS` says; `holds` gives what is wrong with a report.
fn play(scenario: Scenario, holds: impl Fn(&Report) -> Result<(), String>) {
    play_seeds(SEEDS, scenario, holds);
}

/// The same under so many seeds if `DTN_SEEDS` says nothing.
fn play_seeds(seeds: u64, mut scenario: Scenario, holds: impl Fn(&Report) -> Result<(), String>) {
    let _remembering = memo::remember(1 << 18);
    let seeds = std::env::var("DTN_SEEDS").ok().and_then(|value| value.parse().ok()).unwrap_or(seeds);
    let (first, seeds) = (seed_or(scenario.seed), if std::env::var("DTN_SEED").is_ok() { 1 } else { seeds });
    for seed in first..first + seeds {
        scenario.seed = seed;
        let report = dtn_simulator::play(&scenario);
        if let Err(wrong) = holds(&report) {
            panic!("DTN_SEED={seed}, event {}: {wrong}; {}; {:?}", report.events, report.verdict, report.offence);
        }
    }
}

fn passes(report: &Report) -> Result<(), String> {
    if report.verdict == Verdict::Pass { Ok(()) } else { Err("it does not pass".into()) }
}

/// Whatever happens to progress, nobody disagrees.
fn agrees(report: &Report) -> Result<(), String> {
    if matches!(report.verdict, Verdict::Diverged(_)) { Err("they disagree".into()) } else { Ok(()) }
}

/// The longest that a request took until it was final.
fn worst(report: &Report) -> Result<Duration, String> {
    let latencies = report.measured.request_latencies(None).ok_or("a request is not final")?;
    latencies.into_iter().max().ok_or("there is no request".into())
}

fn within(report: &Report, most: Duration) -> Result<(), String> {
    passes(report)?;
    let worst = worst(report)?;
    if worst <= most { Ok(()) } else { Err(format!("a request took {worst:?} until it was final, not {most:?}")) }
}

#[test]
fn a_block_whose_transactions_are_permuted_is_another_block() {
    play(scenario("permuter"), passes);
}

#[test]
fn what_a_replica_asked_for_before_it_lost_its_disk_counts_for_nothing_after() {
    play(scenario("amnesiac"), agrees);
}

#[test]
fn a_replica_that_lost_its_disk_just_after_it_voted_does_not_vote_again() {
    play(scenario("second-vote"), agrees);
}

#[test]
fn a_new_network_begins_whatever_height_a_liar_tells() {
    play(scenario("height-liar"), passes);
}

#[test]
fn a_latecomer_and_a_crash_do_not_stop_a_network_of_four() {
    play(scenario("late-starter"), passes);
}

#[test]
fn an_idle_network_heals() {
    play(scenario("idle-recovery"), passes);
}

#[test]
fn a_request_that_the_primary_withholds_is_final_within_two_views() {
    let scenario = scenario("censor");
    let most = scenario.view_timeout() * 2 + scenario.view_timeout() / 4;
    play(scenario, |report| within(report, most));
}

#[test]
fn a_primary_that_is_as_slow_as_it_may_be_costs_its_turn_and_no_more() {
    let scenario = scenario("slow-primary");
    // Sixteen blocks, of which four are under way at a time, and what has waited meanwhile.
    let most = scenario.view_timeout() * 8;
    play(scenario, |report| within(report, most));
}

#[test]
fn who_fills_the_queues_makes_clients_wait_at_most_twice_as_long() {
    let spammed = scenario("line-spammer");
    let mut calm = spammed.clone();
    calm.strangers.lines = 0;
    let most = worst(&dtn_simulator::play(&calm)).expect("all are final") * 2;
    play(spammed, |report| within(report, most));
}

#[test]
fn paid_orders_do_not_wait_for_other_work_and_nobody_keeps_more_of_it_open_than_its_share_or_for_ever() {
    let busy = scenario("hard-lines");
    let mut calm = busy.clone();
    let chores = |work: &mut Work| (work.hard_lines, work.easy_lines, work.hard_orders, work.notes) = (0, 0, 0, 0);
    calm.work.iter_mut().for_each(chores);
    let most = worst(&dtn_simulator::play(&calm)).expect("all have their winners") * 2;
    // Each takes an hour of block time.
    play_seeds(2, busy, |report| within(report, most));
}

#[test]
fn readers_that_slow_every_machine_tenfold_cost_no_view() {
    play(scenario("reader-flood"), |report| {
        passes(report)?;
        if report.measured.view_changes == 0 { Ok(()) } else { Err("a view was left".into()) }
    });
}

#[test]
fn a_replica_whose_links_are_held_back_stops_nobody() {
    let scenario = scenario("connection-holder");
    let most = scenario.view_timeout() * 3;
    play(scenario, |report| within(report, most));
}

#[test]
fn an_older_disk_in_the_place_of_its_own_makes_no_replica_contradict_itself() {
    play(scenario("restored-backup"), |report| {
        passes(report)?;
        if report.evidence.is_empty() { Ok(()) } else { Err(format!("{:?}", report.evidence)) }
    });
}

#[test]
fn blocks_of_a_megabyte_are_sent_once_to_each_on_a_hundred_megabits() {
    let wide = scenario("wide-area");
    let load = wide.load.clone();
    let once = (wide.n as u64 - 1) * load.blocks * (load.transactions * load.transaction_bytes) as u64;
    let report = dtn_simulator::play(&wide);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.offence);
    let (took, bytes) = (report.elapsed, report.measured.total().bytes);
    assert!(took <= Duration::from_secs(15), "{took:?}");
    assert!(bytes <= 2 * once, "{bytes} bytes, {once} for each block once to each");
}

#[test]
fn a_crashed_primary_on_busy_thin_links_is_followed_by_the_next_within_three_views() {
    let scenario = scenario("crash-on-thin-links");
    let most = scenario.view_timeout() * 3;
    play(scenario, |report| within(report, most));
}

#[test]
fn links_that_are_held_back_for_ever_are_told_apart_from_a_network_that_is_slow() {
    let mut held = scenario("connection-holder");
    held.strangers.holding = Duration::from_secs(3600);
    held.links.latency = Some(Latency::Constant(Duration::from_millis(5)));
    assert_eq!(dtn_simulator::play(&held).verdict, Verdict::NoProgress, "two of four have no links");
}
