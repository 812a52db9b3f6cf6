//! `dtn-cli sim`, as a user runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dtn-cli")).arg("sim").args(arguments).output().expect("dtn-cli runs")
}

fn json(arguments: &[&str]) -> Value {
    let output = sim(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_run_tells_what_it_took_and_is_the_same_again() {
    let arguments = ["pbft", "--nodes", "20", "--latency", "350ms", "--bandwidth", "30mbps", "--seed", "7"];
    let [first, again] = [json(&arguments), json(&arguments)];
    assert_eq!((&first["verdict"], &first["view"]), (&"pass".into(), &0.into()));
    assert_eq!(first["digest"], again["digest"]);
    assert_eq!(first["by_kind"]["commit"]["messages"], 20 * 19);
    let [first, all, client] =
        ["decided_first_ms", "decided_all_ms", "replied_ms"].map(|figure| first[figure].as_f64().expect("a number"));
    assert!(first < all && first < client && client < 5_000.0, "{first} {all} {client}");
    assert_ne!(json(&["pbft", "--nodes", "20", "--seed", "8"])["digest"], again["digest"]);
}

#[test]
fn liars_that_are_tolerated_are_survived_and_more_are_refused() {
    for behaviour in ["equivocator", "silent", "slow", "forger", "false-certifier"] {
        let run = json(&["pbft", "--nodes", "7", "--byzantine", "2", "--behaviour", behaviour, "--blocks", "5"]);
        assert_eq!(run["verdict"], "pass", "{behaviour}");
    }
    let refused = sim(&["pbft", "--nodes", "7", "--byzantine", "3"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("tolerate 2 liars at most"));
}

#[test]
fn impossible_networks_are_refused_by_name() {
    for (argument, reason) in [
        ("--nodes=0", "4 to 1000"),
        ("--nodes=1001", "4 to 1000"),
        ("--latency=-5ms", "latency"),
        ("--latency=1h", "more than 60 s"),
        ("--bandwidth=fast", "no bandwidth"),
        ("--loss=1", "share"),
        ("--behaviour=kind", "equivocator"),
        ("--blocks=0", "at most 10,000 blocks"),
        ("--view-timeout=0s", "a view must last"),
        ("--view-timeout=500000000years", "30 days at most"),
        ("--transaction-bytes=99999999999", "1 GiB"),
    ] {
        let refused = sim(&["pbft", argument]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(reason), "{argument}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn the_published_table_is_reproduced_where_its_links_are_slow() {
    let cells = json(&["pot-table"]);
    let mut compared = 0;
    for cell in cells.as_array().expect("cells") {
        let (Some(published), Some(ours)) = (cell["published_s"].as_f64(), cell["fpbft_s"].as_f64()) else { continue };
        // The row that is labelled 5,000 has the times of 500; and nothing explains 7.215 s for 10,000 at 30 Mbit/s.
        let transactions = cell["transactions"].as_u64().expect("a number");
        if transactions >= 5000 {
            continue;
        }
        let tolerated = if cell["mbps"] == 0.1 { 0.05 } else { 0.20 };
        assert!((ours / published - 1.0).abs() <= tolerated, "{cell}");
        compared += 1;
    }
    assert_eq!(compared, 18);
}
