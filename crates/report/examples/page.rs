//! Writes a page with every chart and made-up figures: `cargo run -p dtn-report --example page > page.html`.

use dtn_report::{Bars, Chart, Distribution, NetworkMap, Page, Sequence, Sign, Steps, Table, left, right, units};

const REGIONS: [&str; 5] = ["us-east-1", "eu-central-1", "ap-southeast-1", "sa-east-1", "ap-northeast-1"];

/// Between zero and one, and the same in every run.
fn chance(seed: u32) -> f64 {
    f64::from(seed.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519)) / f64::from(u32::MAX)
}

fn latencies(seed: u32, least: f64) -> impl Iterator<Item = f64> {
    (0..2_000).map(move |index| least - 180.0 * (1.0 - chance(seed + index) * 0.998).ln())
}

fn map(nodes: u32) -> NetworkMap {
    let mut map = NetworkMap::new();
    (0..nodes).for_each(|node| _ = map.node(node.to_string(), REGIONS[(node % 5) as usize]));
    map.note(0, Sign::Ring, "primary").note(3, Sign::Diamond, "liar").note(7, Sign::Cross, "crashed");
    for (index, from) in REGIONS.iter().enumerate() {
        for (other, to) in REGIONS.iter().enumerate() {
            let weight = chance((index * 5 + other) as u32 + 9).powi(3);
            map.flow(from, to, weight, units::bytes((weight * 1e8) as u64));
        }
    }
    map
}

fn sequence() -> Sequence {
    let mut sequence = Sequence::new(["client", "replica 0", "replica 1", "replica 2", "replica 3"]);
    let mut seed = 0;
    let mut took = || {
        seed += 1;
        35.0 + 30.0 * chance(seed)
    };
    sequence.arrow(0, 1, 0.0, Some(took()), "request");
    for to in 2..=4 {
        sequence.arrow(1, to, 60.0, Some(60.0 + took()), "pre-prepare");
        for other in (1..=4).filter(|other| *other != to) {
            let lost = to == 4 && other == 1;
            sequence.arrow(to, other, 125.0, (!lost).then(|| 125.0 + took()), "prepare");
        }
    }
    for from in 1..=3 {
        for to in (1..=4).filter(|to| *to != from) {
            sequence.arrow(from, to, 195.0, Some(195.0 + took()), "commit");
        }
        sequence.mark(from, 262.0, "decided 1").arrow(from, 0, 262.0, Some(262.0 + took()), "reply");
    }
    sequence.mark(4, 190.0, "crash");
    sequence
}

fn main() {
    let mut page = Page::new("30 replicas in 5 regions");
    page.paragraph("A primary on one continent and liars on another: figures of a run that never happened.");
    let facts = [("verdict", "pass"), ("decided by all", "612 ms"), ("throughput", "1,634 tx/s"), ("sent", "81.4 MiB")];
    page.facts(facts.into_iter().chain([("messages", "2,610"), ("views", "1")]));

    page.heading("Network").figure("What the regions sent to each other", &map(30));
    let mut bytes = Bars::new(["bytes"]);
    for (kind, count) in
        [("pre-prepare", 61_300_000_u64), ("prepare", 9_120_000), ("commit", 9_300_000), ("reply", 900)]
    {
        bytes.row(kind, [(count as f64, units::bytes(count))]);
    }
    let mut bandwidth = Steps::new("Mbit/s");
    for (index, name) in ["sent by the primary", "sent by the others"].into_iter().enumerate() {
        let load = |second: u32| 28.0 * chance(second / 3 + 50 * index as u32) / (1.0 + 2.0 * index as f64);
        bandwidth.series(name, (0..120).map(|tick| (f64::from(tick) / 10.0, load(tick))));
    }
    page.figure("Bytes by type", &bytes).figure("Bandwidth", bandwidth.until(12.0));

    page.heading("Latency");
    let mut latency = Distribution::new("from request to decision");
    latency.series("PBFT", latencies(1, 380.0)).series("FPBFT", latencies(9, 250.0)).series("none", []);
    let mut runs = Bars::new(["PBFT", "FPBFT"]);
    for (index, nodes) in [4, 10, 30, 100].into_iter().enumerate() {
        let bar = |factor: f64| (factor * f64::from(nodes), units::duration((factor * f64::from(nodes) * 1e4) as u64));
        runs.row(format!("{nodes} replicas"), [bar(9.0 + index as f64), bar(6.0)]);
    }
    page.figure("Until a replica decides", &latency).figure("Until all replicas decide", &runs);
    page.figure("The messages of the first block", &sequence());

    page.heading("Scale").figure("A thousand replicas", &map(1_000)).figure("Four replicas", &map(4));
    let mut load = Chart::new("transactions a second", "latency, ms");
    load.line("p50", [(900.0, 3.1), (9_000.0, 6.0), (19_000.0, 41.0)]);
    load.line("p99", [(900.0, 9.9), (9_000.0, 31.0), (19_000.0, 310.0)]);
    page.figure("Latency against load", &load);
    let columns = ["replicas", "transactions", "first", "all", "messages", "sent", "view"].map(right);
    let mut table = Table::new("Runs", [left("model"), left("behaviour")].into_iter().chain(columns));
    for (model, nodes) in [("PBFT", "4"), ("PBFT", "100"), ("FPBFT", "100")] {
        table.row([model, "equivocator", nodes, "1,000", "501.2 ms", "612.0 ms", "20,100", "81.4 MiB", "0"]);
    }
    table.note("The same options and seed give the same run on every machine.");
    println!("{}", page.table(&table));
}
