//! That no record of where money is, and nothing else that was there, is replaced without being asked for.

use std::{
    fs,
    process::{Command, Stdio},
};

use alloy::providers::Provider;
use dtn_chain::connection::AnvilOptions;
use dtn_primitives::Genesis;
use serde_json::Value;

use crate::{
    common::{free_port_range, skip},
    desk::{Bench, genesis, text},
};

/// The code by which programs know a failure.
fn code(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.run(&[arguments, &["--json"]].concat());
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    text(&said["error"]["code"]).to_string()
}

/// Where the peers of the home are told that their money is, each once.
fn told(bench: &Bench) -> Vec<String> {
    let mut told = Vec::new();
    for peer in 0..4 {
        let file = bench.path(&format!(".dtn/peers/{peer}/node.toml"));
        let config = fs::read_to_string(file).expect("a configuration");
        told.extend(config.lines().filter(|line| line.starts_with("distributor")).map(str::to_string));
    }
    told.dedup();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_has_one_distributor_on_a_chain_whatever_the_chain_is_called_and_wherever_that_is_written() {
    let bench = Bench::new(AnvilOptions::default()).await;
    let ports = free_port_range(10).to_string();
    let made = bench.run(&["l1", "init", "--nodes", "4", "--base-port", &ports]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let deployed = bench.json(&["deploy"])["deployment"].clone();
    let (record, before) = (bench.path(".dtn/deployments/local.json"), told(&bench));
    assert_eq!(before.len(), 1);

    // By another name it is the same chain.
    let network = format!("[networks.alias]\nchain_id = 31337\nrpc = \"{}\"\n", bench.anvil.endpoint());
    fs::write(bench.path("dtn.toml"), network).expect("writable");
    let other = ["deploy", "--threshold", "2"];
    let alias = ["--network", "alias", "--from", "dev:0"];
    assert_eq!(code(&bench, &[&other[..], &alias].concat()), "would_replace");
    bench.json(&[&["deploy"][..], &alias].concat());
    fs::remove_file(bench.path(".dtn/deployments/alias.json")).expect("the same contracts were recorded");

    // What the peers are told is a record, too.
    let aside = bench.path("local.json");
    fs::rename(&record, &aside).expect("it was deployed");
    assert_eq!(code(&bench, &other), "would_replace");
    assert!(!record.exists() && told(&bench) == before);
    fs::rename(&aside, &record).expect("writable");

    // Another network does not take its place.
    let keys: Vec<_> = (1..=4).map(|place| dtn_keys::dev_key(place).expect("there")).collect();
    let mut sorted = keys.clone();
    sorted.sort_by_key(dtn_primitives::SecretKey::address);
    let stranger = Genesis { name: "stranger".into(), ..genesis(&sorted, 31337) };
    fs::write(bench.path("genesis.json"), serde_json::to_string(&stranger).expect("JSON")).expect("writable");
    let strange = ["deploy", "--genesis", "genesis.json"];
    let kept = fs::read(&record).expect("there");
    assert_eq!(code(&bench, &strange), "occupied");
    assert!(fs::read(&record).expect("there") == kept && told(&bench) == before);
    // Unless the chain has forgotten all of it.
    let (chain, distributor) = (bench.chain().await, text(&deployed["distributor"]));
    let _: Value = chain.provider().raw_request("anvil_setCode".into(), (distributor, "0x")).await.expect("anvil can");
    bench.json(&strange);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_deployments_at_once_with_other_terms_one_is_refused() {
    let bench = Bench::new(AnvilOptions::default()).await;
    let keys = bench.generate_keys(4);
    bench.write_genesis(&keys, 31337);
    let start = |threshold: &str, from: &str| {
        let arguments = ["deploy", "--genesis", "genesis.json", "--threshold", threshold, "--from", from, "--json"];
        let mut command = bench.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
    };
    let both = [start("2", "dev:0"), start("3", "dev:1")].map(|child| child.wait_with_output().expect("it ends"));
    let [one, other] = both.each_ref().map(|output| output.status.success());
    assert_ne!(one, other, "{both:?}");
    let failed = both.iter().find(|output| !output.status.success()).expect("one has");
    let said: Value = serde_json::from_slice(&failed.stdout).expect("JSON");
    assert_eq!(said["error"]["code"], "would_replace", "{said}");
}

#[test]
fn an_option_that_names_a_file_to_write_replaces_nothing() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("there");
    fs::write(&file, "what somebody needs").expect("writable");
    for arguments in [
        "deploy --plan there",
        "train run digits --linear --out there",
        "sim pbft --nodes 4 --html there",
        "sim mining --delay 0.1 --html there",
        "analyze --html there",
        "gas --csv there",
        "bls keys --out there",
        "demo --json there",
        "pow ledger --out there",
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dtn-cli"));
        let output = command.args(arguments.split(' ')).current_dir(folder.path()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments}: {said}");
        assert!(said.contains("there is there already"), "{arguments}: {said}");
        assert_eq!(fs::read_to_string(&file).expect("there"), "what somebody needs", "{arguments}");
    }
}

#[test]
fn what_cannot_be_shown_is_not_signed() {
    let name = "what_cannot_be_shown_is_not_signed";
    let Ok(full) = fs::File::options().write(true).open("/dev/full") else {
        return skip(name, "this system has no /dev/full");
    };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let wallet = "0x1111111111111111111111111111111111111111";
    let deployment = serde_json::json!({
        "network": "local", "chain_id": 31337, "network_id": format!("0x{}", "07".repeat(32)), "epoch": 0,
        "registry": wallet, "aow": wallet, "multisig": wallet, "distributor": wallet, "vault": wallet,
        "predecessor": "0x0000000000000000000000000000000000000000",
        "owners": [], "threshold": 1, "from_block": 0, "contracts": [],
    });
    fs::create_dir_all(folder.path().join(".dtn/deployments")).expect("writable");
    fs::write(folder.path().join(".dtn/deployments/local.json"), deployment.to_string()).expect("writable");
    let sign = |stderr: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dtn-cli"));
        let arguments = ["sign", "--from", "dev:0", "--nonce", "0", "--to", wallet, "--out", "a.json", "--json"];
        command.args(arguments).current_dir(folder.path()).stderr(stderr).output().expect("it runs")
    };
    let refused = sign(full.into());
    let said: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!((refused.status.code(), &said["error"]["code"]), (Some(1), &"not_shown".into()), "{said}");
    assert!(!folder.path().join("a.json").exists());
    let signed = sign(Stdio::piped());
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
}
