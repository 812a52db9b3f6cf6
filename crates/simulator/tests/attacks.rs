//! What faulty machines and people without a key do, each a scenario of `scenarios/`, under many seeds. `DTN_SEED` plays
//! one, and `DTN_SEEDS` says how many.

use std::time::Duration;

use dtn_primitives::memo;
use dtn_simulator::{Latency, Report, Scenario, Verdict, run_pbft, seed_or};

/// Seeds of each scenario in the normal tests.
const SEEDS: u64 = 12;

fn scenario(name: &str) -> Scenario {
    let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Plays a scenario under many seeds, as `DTN_SEEDS` says; `holds` gives what is wrong with a report.
fn play(mut scenario: Scenario, holds: impl Fn(&Report) -> Result<(), String>) {
    let _remembering = memo::remember(1 << 18);
    let seeds = std::env::var("DTN_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    let (first, seeds) = (seed_or(0), if std::env::var("DTN_SEED").is_ok() { 1 } else { seeds });
    for seed in first..first + seeds {
        scenario.seed = seed;
        let report = run_pbft(&scenario);
        if let Err(wrong) = holds(&report) {
            panic!("DTN_SEED={seed}, event {}: {wrong}; {}; {:?}", report.events, report.verdict, report.offence);
        }
    }
}

fn passes(report: &Report) -> Result<(), String> {
    if report.verdict == Verdict::Pass { Ok(()) } else { Err("it does not pass".into()) }
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
fn who_fills_the_queues_makes_clients_wait_at_most_twice_as_long() {
    let spammed = scenario("line-spammer");
    let mut calm = spammed.clone();
    calm.strangers.lines = 0;
    let most = worst(&run_pbft(&calm)).expect("all are final") * 2;
    play(spammed, |report| within(report, most));
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
    assert_eq!(run_pbft(&held).verdict, Verdict::NoProgress, "two of four have no links");
}
