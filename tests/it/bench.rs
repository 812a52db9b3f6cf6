//! The benchmark on real processes. How fast it is depends on the machine and is no test; that it measures is.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dtn-cli")).arg("bench").args(arguments).env_remove("RUST_LOG").output().unwrap()
}

#[test]
fn a_short_load_is_finished_to_the_last_transaction_and_reported() {
    let folder = TempDir::new().unwrap();
    let [json, html, home] = ["report.json", "report.html", "net"].map(|name| folder.path().join(name));
    let [json_path, html_path, home_path] = [&json, &html, &home].map(|path| path.to_str().unwrap());
    let load = ["--rates", "50,100", "--size", "512", "--seconds", "3", "--warm-up", "0.5"];
    let files = ["--json", json_path, "--html", html_path, "--home", home_path];
    let output = bench(&[&["l1"], &load[..], &files[..]].concat());
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);

    let report: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((report["parameters"]["nodes"].as_u64(), report["parameters"]["size"].as_u64()), (Some(4), Some(512)));
    assert!(report["verified_ceiling"].as_f64().unwrap() > 0.0 && report["machine"]["cores"].as_u64() > Some(0));
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for (run, rate) in runs.iter().zip([50, 100]) {
        assert_eq!(run["due"].as_u64(), Some(3 * rate), "{run}");
        assert_eq!(run["done"], run["due"], "every transaction is final\n{run}\n{stderr}");
        let latency = |name: &str| run["latency"][name].as_f64().unwrap();
        assert!(0.0 < latency("p50") && latency("p50") <= latency("p99") && latency("p99") <= latency("max"), "{run}");
        assert!(run["commits_per_second"].as_f64().unwrap() > 0.0);
        let peers = run["peers"].as_array().unwrap();
        assert!(peers.len() == 4 && peers.iter().all(|peer| peer["memory_peak_bytes"].as_u64() > Some(0)), "{run}");
    }
    let page = fs::read_to_string(html).unwrap();
    assert!(page.contains("<svg") && page.contains("commits/s") && !page.contains("http"), "{page}");
    assert!(stdout.contains("Ceiling"), "the figures come with what bounds them\n{stdout}");
    assert!(home.join("genesis.json").exists(), "a folder that was named is kept");
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_starts() {
    let cases: [(&[&str], &str); 6] = [
        (&["--crash", "2"], "tolerate 1"),
        (&["--size", "10"], "128"),
        (&["--opaque", "--items", "99"], "share a signature"),
        (&["--rate", "0"], "a rate is"),
        (&["--rates", "10,20", "--crash-primary"], "one rate"),
        (&["--seconds", "NaN"], "--seconds is"),
    ];
    for (arguments, reason) in cases {
        let output = bench(&[&["l1"], arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason) && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}
