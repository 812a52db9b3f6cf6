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

/// A directory of one's own, and a path in it.
fn scratch(name: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(name).display().to_string();
    (directory, path)
}

/// What a command that has to fail says.
fn refused(arguments: &[&str]) -> String {
    let output = aow(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_proof_in_a_file_holds_until_something_in_it_changes() {
    let (_directory, file) = scratch("work.json");
    let proven = json(&["prove", "--start", "123", "--steps", "5000", "--out", &file]);
    assert_eq!((&proven["security"], &proven["proven_bits"]), (&"proven-128".into(), &128.into()));
    let verified = json(&["verify", &file, "--start", "123", "--steps", "5000"]);
    assert_eq!(verified["result"], proven["result"]);
    let iterated = json(&["iterate", "--start", "123", "--steps", "5000"]);
    assert_eq!(verified["result"], iterated["result"]);

    assert!(refused(&["verify", &file, "--security", "proven-100"]).contains("other options"));
    assert!(refused(&["verify", &file, "--steps", "5001"]).contains("number of steps is 5000"));
    assert!(refused(&["verify", &file, "--start", "124"]).contains("start is 123"));
    assert!(refused(&["verify", &file, "--alpha", "6"]).contains("alpha is 5"));

    let text = std::fs::read_to_string(&file).expect("the file");
    let good: Value = serde_json::from_str(&text).expect("JSON");
    for (field, value) in [
        ("start", Value::from("124")),
        ("steps", 5001.into()),
        ("steps", 0.into()),
        ("alpha", "5000000".into()),
        ("result", "1".into()),
        ("result", "340282366920938463463374557953744961537".into()),
        ("context", format!("0x{}", "01".repeat(32)).into()),
        ("version", 2.into()),
        ("proof", "0x".into()),
        ("proof", "0x00".into()),
        ("more", 1.into()),
    ] {
        let mut other = good.clone();
        other[field] = value.clone();
        std::fs::write(&file, other.to_string()).expect("written");
        refused(&["verify", &file]);
    }
    std::fs::write(&file, &text[..text.len() / 2]).expect("written");
    assert!(refused(&["verify", &file]).contains("no proof file"));
}

#[test]
fn work_of_a_round_is_accepted_for_that_round_only() {
    let (_directory, file) = scratch("round.json");
    let (network, block) = (format!("0x{}", "07".repeat(32)), format!("0x{}", "09".repeat(32)));
    let node = format!("0x{}", "11".repeat(20));
    let round = |number| {
        let fixed = ["--node", &node, "--chain-id", "97", "--network-id", &network, "--block-hash", &block];
        [&["--round", number], &fixed[..]].concat()
    };
    json(&[&["prove", "--steps", "3000", "--security", "fast", "--out", &file], &round("3")[..]].concat());
    json(&[&["verify", &file, "--security", "fast"], &round("3")[..]].concat());
    let other = refused(&[&["verify", &file, "--security", "fast"], &round("4")[..]].concat());
    assert!(other.contains("not made for this round"), "{other}");
}

#[test]
fn nobody_accepts_any_of_the_eight_ways_out_of_the_work() {
    let attempts = json(&["attack", "--steps", "4098", "--security", "proven-100"]);
    let accepted: Vec<_> = attempts.as_array().expect("attempts").iter().map(|attempt| &attempt["accepted"]).collect();
    assert_eq!(accepted, [4, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_fuzz_that_was_stopped_goes_on_and_accepts_nothing() {
    let (_directory, state) = scratch("state.json");
    for proofs in ["300", "500"] {
        let outcome = json(&["fuzz", "--proofs", proofs, "--seed", "3", "--state", &state]);
        assert_eq!((&outcome["accepted"], &outcome["panicked"]), (&0.into(), &0.into()));
        assert_eq!(outcome["done"].to_string(), proofs);
        let refused =
            outcome["mutations"].as_object().expect("counts").values().map(|counts| counts["refused"].as_u64());
        assert_eq!(refused.map(Option::unwrap_or_default).sum::<u64>().to_string(), proofs);
    }
    assert!(refused(&["fuzz", "--proofs", "600", "--seed", "4", "--state", &state]).contains("of seed 3"));
}

#[test]
fn the_sets_of_options_say_what_is_proven_of_them() {
    let document = json(&["params"]);
    let bits: Vec<_> = document["sets"].as_array().expect("sets").iter().map(|set| &set["proven_bits"]).collect();
    assert_eq!(bits, [68, 101, 128]);
}

#[test]
fn a_chain_of_events_is_appended_to_proven_checked_and_pruned() {
    let (_directory, file) = scratch("events.json");
    assert!(refused(&["chain", "append", &file, "--event", "first"]).contains("give --steps"));
    json(&["chain", "append", &file, "--event", "first", "--steps", "2100"]);
    json(&["chain", "append", &file, "--event", "second"]);
    let chain = json(&["chain", "append", &file, "--event", "third"]);
    assert_eq!((&chain["height"], &chain["steps"]), (&3.into(), &2100.into()));
    json(&["chain", "verify", &file]);
    assert!(refused(&["chain", "verify", &file, "--proofs"]).contains("no proof"));
    json(&["chain", "prove", &file, "--security", "fast", "--from", "1"]);
    json(&["chain", "verify", &file, "--security", "fast", "--proofs", "--from", "1"]);
    json(&["chain", "prune", &file, "--below", "1"]);
    let chain = json(&["chain", "verify", &file, "--security", "fast", "--proofs"]);
    assert_eq!((&chain["first"], &chain["proofs"]), (&1.into(), &2.into()));
    let text = std::fs::read_to_string(&file).expect("the file");
    // "third" in hexadecimal, and another word.
    std::fs::write(&file, text.replace("7468697264", "7468697265")).expect("written");
    assert!(refused(&["chain", "verify", &file]).contains("link 2"));
    assert!(refused(&["chain", "verify", &file, "--security", "fast", "--proofs"]).contains("link 2"));
}

#[test]
fn each_command_teaches_by_examples() {
    for command in ["prove", "verify", "params", "attack", "fuzz", "bench"] {
        let help = aow(&[command, "--help"]);
        let text = String::from_utf8_lossy(&help.stdout);
        assert!(text.contains("Examples") && text.contains(&format!("dtn-cli aow {command}")), "{text}");
    }
}
