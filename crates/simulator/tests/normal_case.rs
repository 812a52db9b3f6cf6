//! What a calm network takes: counted from the messages that were sent, and the same in every run.

use std::time::Duration;

use dtn_consensus::Pbft;
use dtn_primitives::memo;
use dtn_simulator::{Bandwidth, Latency, Measured, Report, Scenario, Traffic, Verdict, run};

/// Long enough that nobody says anything twice.
fn patient(mut scenario: Scenario) -> Scenario {
    scenario.pace.view_timeout = Duration::from_secs(1000);
    scenario.pace.housekeeping = Duration::from_secs(1000);
    scenario
}

fn decided(scenario: &Scenario) -> Report {
    let _remembering = memo::remember(1 << 16);
    let report = run::<Pbft>(scenario);
    assert_eq!(report.verdict, Verdict::Pass);
    report
}

#[test]
fn a_block_takes_the_messages_that_the_paper_says() {
    for n in [4, 7, 10, 31] {
        let Report { measured, .. } = decided(&patient(Scenario::client(n, 1, 1, 10, 310)));
        let Measured { kinds, .. } = &measured;
        let messages = |kind| kinds.get(kind).map_or(0, |traffic: &Traffic| traffic.messages);
        let n = n as u64;
        // OSDI '99, §4.2: one pre-prepare to each backup, a prepare of each backup to all, a commit of each to all.
        assert_eq!(
            ["order", "pre_prepare", "prepare", "commit", "reply"].map(messages),
            [1, n - 1, (n - 1) * (n - 1), n * (n - 1), n],
            "{n} replicas"
        );
        assert_eq!(measured.total().messages, kinds.values().map(|traffic| traffic.messages).sum::<u64>());
        let sent: u64 = measured.sent.iter().map(|traffic| traffic.messages).sum();
        assert_eq!(sent + 1, measured.total().messages, "all but the client's order is a replica's");
        assert_eq!((measured.decisions.len() as u64, measured.replies.len(), measured.view), (n, 1, 0));
    }
}

#[test]
fn a_run_is_the_same_on_every_machine_and_another_seed_is_another_run() {
    let scenario = |seed| {
        let mut scenario = patient(Scenario::client(10, seed, 3, 5, 310));
        let (least, most) = (Duration::from_millis(35), Duration::from_millis(350));
        scenario.links.latency = Latency::Uniform { least, most };
        scenario.links.bandwidth = Bandwidth::Shared { up: vec![1e6; 10], down: vec![1e6; 10] };
        scenario
    };
    let [first, again, other] = [1, 1, 2].map(|seed| decided(&scenario(seed)));
    assert_eq!((first.digest, &first.measured), (again.digest, &again.measured));
    assert_ne!(first.digest, other.digest);
    let digest = format!("{:032x}", first.digest);
    assert_eq!(digest, "d05cf53b7781bc1c8228c04068704800", "the trace of seed 1, as it was on another machine");
}

#[test]
fn a_saturated_uplink_sends_what_it_can_and_no_more() {
    let n = 7;
    let rate = 1.25e6;
    let mut scenario = patient(Scenario::client(n, 3, 8, 100, 10_000));
    scenario.links.bandwidth = Bandwidth::Shared { up: vec![rate; n], down: vec![f64::INFINITY; n] };
    let report = decided(&scenario);
    // The primary's uplink is never idle once it has the order: what it sends takes its time.
    let sent = report.measured.sent.iter().map(|sent| sent.bytes).max().unwrap_or_default();
    let expected = sent as f64 / rate;
    let actual = report.elapsed.as_secs_f64();
    assert!((actual / expected - 1.0).abs() < 0.02, "{actual} s for {expected} s of bytes");
}

#[test]
fn a_silent_primary_costs_a_view_and_no_more() {
    let mut scenario = Scenario::client(7, 5, 2, 10, 310);
    scenario.adversaries.insert(0, dtn_simulator::adversary::Kind::Silent);
    let report = decided(&scenario);
    assert_eq!(report.measured.view, 1);
    // The client waits for a view's time and tells everyone, who then wait for another one.
    let waited = report.elapsed.as_secs_f64() / scenario.pace.view_timeout.as_secs_f64();
    assert!((2.0..3.0).contains(&waited), "{waited} timeouts");
}
