//! `dtn-cli aow`, as a user runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn aow(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dtn-cli")).arg("aow").args(arguments).output().expect("dtn-cli runs")
}

fn json(arguments: &[&str]) -> Value {
    let output = aow(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_published_vectors_come_out_of_the_command_line() {
    let run = json(&["iterate", "--modulus", "1000003", "--start", "123", "--steps", "1000", "--trace"]);
    assert_eq!((&run["result"], run["trace"].as_array().map(Vec::len)), (&"270750".into(), Some(1001)));
    let bn254 = "21888242871839275222246405745257275088548364400416034343698204186575808495617";
    let run = json(&["iterate", "--modulus", bn254, "--text", "hello world", "--steps", "1"]);
    assert_eq!(run["start"], "18149469767584732552991861025120904666601524803017597654373315627649680264678");
}

#[test]
fn slow_steps_are_undone_fast() {
    let run = json(&["iterate", "--start", "123", "--steps", "20000", "--check"]);
    let [slow, fast] = ["ms", "check_ms"].map(|figure| run[figure].as_f64().expect("a number"));
    assert!(slow > 5.0 * fast, "{slow} ms of work, undone in {fast} ms");
}

#[test]
fn what_makes_no_map_is_refused_with_the_reason() {
    let huge = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    for (arguments, reason) in [
        (vec!["--modulus", huge, "--start", "1", "--steps", "1"], "modulus"),
        (vec!["--modulus", "1000004", "--start", "1", "--steps", "1"], "not a prime"),
        (vec!["--modulus", "1000003", "--start", "1000003", "--steps", "1"], "not below the field"),
        (vec!["--modulus", "1000003", "--exponent", "1", "--start", "1", "--steps", "1"], "makes no work"),
        (vec!["--start", "340282366920938463463374557953744961537", "--steps", "1"], "not below the field"),
        (vec!["--start", "1", "--steps", "0"], "give 1 to 2^32"),
        (vec!["--steps", "5"], "--start"),
    ] {
        let refused = aow(&[&["iterate"], &arguments[..]].concat());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(reason), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
