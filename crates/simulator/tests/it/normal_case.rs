//! What a calm network takes: counted from the messages that were sent, and the same in every run.

use std::time::Duration;

use dtn_simulator::{
    Happening, Latency, Measured, Rate, Region, Report, Scenario, Signatures, Traffic, Verdict, What, play, watch,
};

/// Long enough that nobody says anything twice.
fn patient(mut scenario: Scenario) -> Scenario {
    scenario.pace.view_timeout = Some(Duration::from_secs(1000));
    scenario.pace.housekeeping = Some(Duration::from_secs(1000));
    scenario
}

fn decided(scenario: &Scenario) -> Report {
    let report = play(scenario);
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
        assert_eq!(measured.rounds[&1], 4, "order, pre-prepare, prepare, commit");
        assert_eq!((measured.decisions.len() as u64, measured.replies.len(), measured.view), (n, 1, 0));
    }
}

#[test]
fn a_run_is_the_same_on_every_machine_and_another_seed_is_another_run() {
    let scenario = |seed| {
        let mut scenario = patient(Scenario::client(10, seed, 3, 5, 310));
        let (least, most) = (Duration::from_millis(35), Duration::from_millis(350));
        scenario.links.latency = Some(Latency::Uniform { least, most });
        scenario.links.bandwidth = Rate::mbps(8.0);
        scenario
    };
    let [first, again, other] = [1, 1, 2].map(|seed| decided(&scenario(seed)));
    assert_eq!((first.digest, &first.measured), (again.digest, &again.measured));
    assert_ne!(first.digest, other.digest);
    let digest = format!("{:032x}", first.digest);
    assert_eq!(digest, "df8ebfaf5cfde8f9af0ea252f2a68e31", "the trace of seed 1, as it was on another machine");
}

#[test]
fn a_saturated_uplink_sends_what_it_can_and_no_more() {
    let n = 7;
    let mut scenario = patient(Scenario::client(n, 3, 8, 100, 10_000));
    scenario.regions = vec![Region { name: "london".into(), nodes: n, up: Some(Rate::mbps(10.0)), down: None }];
    let report = decided(&scenario);
    // The primary's uplink is never idle once it has the order: what it sends takes its time.
    let sent = report.measured.sent.iter().map(|sent| sent.bytes).max().unwrap_or_default();
    let expected = sent as f64 / 1.25e6;
    let actual = report.elapsed.as_secs_f64();
    assert!((actual / expected - 1.0).abs() < 0.02, "{actual} s for {expected} s of bytes");
}

#[test]
fn a_saturated_downlink_takes_in_what_it_can_and_no_more() {
    let n = 7;
    let mut scenario = patient(Scenario::client(n, 3, 8, 100, 10_000));
    let region = |nodes, down| Region { name: "london".into(), nodes, up: None, down };
    scenario.regions = vec![region(1, None), region(n - 1, Some(Rate::mbps(10.0)))];
    let report = decided(&scenario);
    // From the first block on, every backup has something to take in until it has the last.
    let received = report.measured.received.iter().map(|received| received.bytes).max().unwrap_or_default();
    let (expected, actual) = (received as f64 / 1.25e6, report.elapsed.as_secs_f64());
    assert!((actual / expected - 1.0).abs() < 0.02, "{actual} s for {expected} s of bytes");
}

#[test]
fn a_client_on_slow_links_waits_as_long_as_it_has_news() {
    for (blocks, every) in [(30, 0), (40, 400)] {
        let mut scenario = Scenario { n: 4, ..Scenario::default() };
        scenario.links.bandwidth = Rate::mbps(1.0);
        (scenario.load.blocks, scenario.load.every) = (blocks, Duration::from_millis(every));
        let Report { measured, elapsed, .. } = decided(&scenario);
        assert_eq!((measured.kinds["order"].messages, measured.view), (blocks, 0), "nothing is said twice");
        // Three copies of 31 kB a block on the primary's uplink.
        let least = blocks as f64 * 3.0 * 31_000.0 * 8.0 / 1e6;
        assert!(elapsed.as_secs_f64() < 1.5 * least, "{elapsed:?}, {least} s of blocks");
    }
}

#[test]
fn what_is_lost_takes_its_time_on_the_uplink() {
    let mut scenario = patient(Scenario::client(4, 1, 1, 100, 310));
    scenario.links.latency = Some(Latency::Constant(Duration::from_millis(20)));
    scenario.links.bandwidth = Rate::mbps(0.1);
    let from_primary = |scenario: &Scenario| {
        let mut arrived = Vec::new();
        watch(scenario, &mut |Happening { at, what, .. }| {
            if matches!(what, What::Delivered { from: 0, to: 3, kind: "pre_prepare", .. }) {
                arrived.push(*at);
            }
        });
        arrived[0]
    };
    let whole = from_primary(&scenario);
    let (from, to) = (dtn_simulator::Group::Replicas(vec![0]), dtn_simulator::Group::Replicas(vec![1, 2]));
    scenario.routes.push(dtn_simulator::Route { from, to, latency: None, loss: Some(0.99) });
    scenario.stop.after = Some(Duration::from_secs(60));
    let lossy = from_primary(&scenario);
    let ratio = lossy.as_secs_f64() / whole.as_secs_f64();
    assert!((ratio - 1.0).abs() < 0.02, "{lossy:?} with loss, {whole:?} without");
}

#[test]
fn a_replica_without_power_sends_nothing_and_each_power_cut_lasts_as_long_as_it_says() {
    let mut scenario = Scenario::client(4, 1, 4, 100, 310);
    scenario.links.bandwidth = Rate::mbps(1.0);
    (scenario.pace.view_timeout, scenario.gst) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(60)));
    let crash = |at: &str, down: u64| {
        dtn_simulator::Crash::new(0, at.parse().expect("a time or a write"), Some(Duration::from_millis(down)))
    };
    scenario.crashes = vec![crash("1500ms", 3000), crash("write 9", 500)];
    let (mut down_since, mut outages) = (None, Vec::new());
    watch(&scenario, &mut |Happening { at, what, .. }| match what {
        What::Crashed(0) => down_since = Some(*at),
        What::Restarted(0) => outages.extend(down_since.take().map(|since| (*at - since).as_millis())),
        // What has left before is under way for up to 40 ms, and a frame takes 12 ms.
        What::Delivered { from: 0, kind, .. } => {
            let since = down_since.unwrap_or(*at);
            assert!(*at - since < Duration::from_millis(80), "{kind} at {at:?}, without power since {since:?}");
        }
        _ => {}
    });
    assert_eq!(outages, [3000, 500]);
}

#[test]
fn a_silent_primary_costs_a_view_and_no_more() {
    let mut scenario = Scenario::client(7, 5, 2, 10, 310);
    scenario.adversaries.insert(0, dtn_simulator::adversary::Kind::Silent);
    let report = decided(&scenario);
    assert_eq!(report.measured.view, 1);
    // The client waits for a view's time and tells everyone, who then wait for another one.
    let waited = report.elapsed.as_secs_f64() / scenario.view_timeout().as_secs_f64();
    assert!((2.0..3.0).contains(&waited), "{waited} timeouts");
}

#[test]
fn a_run_whose_signatures_are_counted_takes_the_time_of_one_in_which_they_are_real() {
    let mut scenario = patient(Scenario::client(7, 3, 3, 10, 310));
    scenario.adversaries.insert(3, dtn_simulator::adversary::Kind::Forger);
    (scenario.pace.signing, scenario.pace.verifying) = (Duration::from_micros(25), Duration::from_micros(45));
    let real = decided(&scenario);
    let counted = decided(&Scenario { signatures: Signatures::Counted, ..scenario.clone() });
    assert_eq!(real.measured.decisions.len(), counted.measured.decisions.len());
    assert_eq!(real.measured.kinds["commit"], counted.measured.kinds["commit"]);
    assert!(real.faults > 0 && counted.faults > 0, "forgeries are found out either way");
    scenario.adversaries.clear();
    let real = decided(&scenario);
    let counted = decided(&Scenario { signatures: Signatures::Counted, ..scenario.clone() });
    assert_eq!(real.measured, counted.measured);
    // Each checks its own pre-prepare, and of each quorum what it did not say itself, at the least.
    (scenario.pace.signing, scenario.pace.verifying) = (Duration::ZERO, Duration::ZERO);
    let free = decided(&scenario);
    assert!(real.elapsed > free.elapsed, "{:?} {:?}", real.elapsed, free.elapsed);
}

#[test]
fn who_watches_a_run_sees_every_message_that_it_counts_and_changes_nothing() {
    let scenario = patient(Scenario::client(7, 3, 2, 10, 310));
    let plain = decided(&scenario);
    let (mut delivered, mut decisions, mut last) = (0, 0, (0, Duration::ZERO));
    let watched = watch(&scenario, &mut |Happening { at, event, what }| {
        assert!((*event, *at) >= last, "in order");
        last = (*event, *at);
        match what {
            What::Delivered { sent, .. } => {
                assert!(sent <= at);
                delivered += 1;
            }
            What::Decided { .. } => decisions += 1,
            _ => {}
        }
    });
    assert_eq!((watched.digest, &watched.measured), (plain.digest, &plain.measured));
    let received: u64 = plain.measured.received.iter().map(|traffic| traffic.messages).sum();
    // Those that replicas received, and the replies of f + 1 or more.
    assert!(delivered >= received + 2 * 3, "{delivered} {received}");
    assert_eq!(decisions, 14);
}

#[test]
fn a_client_that_hands_in_block_by_block_is_measured_from_each() {
    let mut scenario = patient(Scenario::client(4, 1, 5, 10, 310));
    scenario.links.latency = Some(Latency::Constant(Duration::from_millis(10)));
    scenario.load.every = Duration::from_secs(1);
    let report = decided(&scenario);
    assert!(report.elapsed >= Duration::from_secs(4));
    let latencies: Vec<_> = report.measured.decision_latencies().map(|(_, latency)| latency).collect();
    assert_eq!(latencies.len(), 20);
    // Order, pre-prepare, prepare, commit: four ways of 10 ms, and what the machines take.
    assert!(latencies.iter().all(|latency| (40..80).contains(&latency.as_millis())), "{latencies:?}");
}

#[test]
fn replicas_that_never_come_back_are_not_waited_for_if_they_are_tolerated() {
    let mut scenario = Scenario::client(7, 5, 3, 10, 310);
    let crash = |replica| dtn_simulator::Crash::new(replica, dtn_simulator::When::At(Duration::from_millis(5)), None);
    scenario.crashes = vec![crash(0), crash(1)];
    let report = decided(&scenario);
    assert!(report.heights[2..].iter().all(|height| *height == 3), "{:?}", report.heights);
    scenario.crashes.push(crash(2));
    assert!(scenario.check().is_err());
    scenario.stop.after = Some(Duration::from_secs(60));
    let report = play(&scenario);
    let offence = report.offence.expect("it does not pass");
    assert_eq!(report.verdict, Verdict::NoProgress);
    assert!(offence.what.contains("bound on time") && offence.what.contains("at height 0"), "{}", offence.what);
    scenario.stop.events = 100;
    let offence = play(&scenario).offence.expect("it does not pass");
    assert!(offence.what.contains("bound on events"), "{}", offence.what);
}
