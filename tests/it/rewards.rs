//! Distributions of rewards by the command line, on a real anvil: certificates, both locks, claims and their refusals.

use std::fs;

use alloy::{
    primitives::{Address, U256},
    providers::Provider,
};
use dtn_chain::{amount::parse_amount, connection::AnvilOptions};
use dtn_primitives::SecretKey;
use serde_json::Value;

use crate::desk::{Bench, failure, text};

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);

/// Four validators with money who own the wallet, any two of whom decide, and a distributor with 5 ether.
async fn network() -> (Bench, Vec<SecretKey>) {
    let bench = Bench::new(AnvilOptions::default()).await;
    let keys = bench.generate_keys(4);
    bench.write_genesis(&keys, 31337);
    let deploy = ["deploy", "--genesis", "genesis.json", "--threshold", "2", "--fund-distributor", "5ether"];
    bench.json(&[&deploy[..], &["--reward-delay", "1h", "--reward-cap", "2ether"]].concat());
    bench.json(&["fund", "--amount", "1ether"]);
    (bench, keys)
}

/// A file of earnings in native currency.
fn earned(bench: &Bench, name: &str, earnings: &[(Address, &str)]) {
    let line = |(account, amount): &(Address, &str)| {
        format!("{account},{},{}\n", Address::ZERO, parse_amount(amount).expect("an amount"))
    };
    let lines: String = earnings.iter().map(line).collect();
    fs::write(bench.path(name), format!("account,token,cumulative\n{lines}")).expect("writable");
}

/// Has the first three validators sign a distribution.
fn sign(bench: &Bench, file: &str) {
    for key in ["owner-01", "owner-02", "owner-03"] {
        bench.json(&["rewards", "sign", file, "--from", key]);
    }
}

/// Has two owners agree that a distribution takes effect.
fn schedule(bench: &Bench, file: &str) {
    let proposed = bench.json(&["rewards", "schedule", file, "--from", "owner-01"]);
    bench.json(&["execute", text(&proposed["proposal"]["id"]), "--from", "owner-02"]);
}

async fn wait_an_hour(bench: &Bench) {
    let chain = bench.chain().await;
    let _: Value = chain.provider().raw_request("evm_increaseTime".into(), (3_600,)).await.expect("anvil can");
    let _: Value = chain.provider().raw_request("evm_mine".into(), ()).await.expect("anvil can");
}

async fn balance(bench: &Bench, account: Address) -> U256 {
    bench.chain().await.provider().get_balance(account).await.expect("a balance")
}

fn amount(value: &Value) -> U256 {
    text(value).parse().expect("an amount")
}

fn ether(amount: &str) -> U256 {
    parse_amount(amount).expect("an amount")
}

#[tokio::test(flavor = "multi_thread")]
async fn earnings_become_claims_through_a_certificate_the_owners_and_a_delay() {
    let (bench, keys) = network().await;
    earned(&bench, "earned.csv", &[(ALICE, "1ether"), (BOB, "0.5ether")]);
    bench.json(&["rewards", "new", "--earnings", "earned.csv", "--out", "first.json"]);

    // Two of four are no quorum, and a stranger does not make it one.
    for key in ["owner-01", "owner-02", "dev:7"] {
        bench.json(&["rewards", "sign", "first.json", "--from", key]);
    }
    let missing = bench.failure(&["rewards", "certify", "first.json", "--from", "dev:0"]);
    assert!(missing.contains("2 of 4 validators have signed, and 3 are a quorum"), "{missing}");
    assert!(missing.contains(&keys[2].address().to_string()) && missing.contains(&keys[3].address().to_string()));
    let offline = bench.failure(&["verify-certificate", "first.json", "--genesis", "genesis.json"]);
    assert!(offline.contains("2 of 4 validators have signed"), "{offline}");

    let over = bench.failure(&["rewards", "new", "--earnings", "earned.csv", "--out", "first.json"]);
    assert!(over.contains("first.json is there already"), "what was signed stays: {over}");
    bench.json(&["rewards", "new", "--earnings", "earned.csv", "--out", "third.json"]);
    bench.json(&["rewards", "sign", "third.json", "--from", "owner-03"]);
    let combined = bench.json(&["rewards", "combine", "first.json", "third.json", "--out", "first.json"]);
    assert_eq!(combined["signers"].as_array().map(Vec::len), Some(4), "three validators and a stranger");
    let verified = bench.json(&["verify-certificate", "first.json", "--genesis", "genesis.json"]);
    assert_eq!(verified["signers"], 3);

    let uncertified = bench.json(&["rewards", "schedule", "first.json", "--from", "owner-01"]);
    let id = text(&uncertified["proposal"]["id"]).to_string();
    let refused = bench.failure(&["execute", &id, "--from", "owner-02"]);
    assert!(refused.contains("NotCertified(number: 1"), "the first lock: {refused}");
    bench.json(&["rewards", "certify", "first.json", "--from", "dev:0"]);
    let again = bench.failure(&["rewards", "certify", "first.json", "--from", "dev:0"]);
    assert!(again.contains("StaleDistribution(current: 1, given: 1)"), "{again}");
    let unscheduled = bench.failure(&["rewards", "activate", "first.json", "--from", "dev:0"]);
    assert!(unscheduled.contains("NotScheduled"), "the second lock: {unscheduled}");
    bench.json(&["execute", &id, "--from", "owner-02"]);
    let early = bench.failure(&["rewards", "activate", "first.json", "--from", "dev:0"]);
    assert!(early.contains("TooEarly(until: "), "the delay: {early}");
    wait_an_hour(&bench).await;
    bench.json(&["rewards", "activate", "first.json", "--from", "dev:0"]);

    let claim = |account: Address| {
        let account = account.to_string();
        ["rewards", "claim", "first.json", "--account", &account, "--from", "dev:0"].map(String::from)
    };
    let alice = claim(ALICE);
    bench.json(&alice.each_ref().map(String::as_str));
    assert_eq!(balance(&bench, ALICE).await, ether("1ether"));
    let twice = bench.failure(&alice.each_ref().map(String::as_str));
    assert!(twice.contains(&format!("NothingToClaim(account: {ALICE}")), "{twice}");
    let stranger = bench.failure(&claim(Address::repeat_byte(0xcc)).each_ref().map(String::as_str));
    assert!(stranger.contains("states nothing that"), "{stranger}");
    let shown = bench.json(&["rewards", "show", "--account", &ALICE.to_string()]);
    assert_eq!((shown["state"]["number"].as_u64(), shown["certified"].as_u64()), (Some(1), Some(1)));
    assert_eq!(amount(&shown["holdings"][0]["allotted"]), ether("0.5ether"), "Bob's");

    // The next one states more for Alice and less for Bob, who has not claimed: he gets what the latest root states.
    earned(&bench, "later.csv", &[(ALICE, "1.2ether"), (BOB, "0.1ether")]);
    let new = ["rewards", "new", "--earnings", "later.csv", "--previous", "first.json", "--out", "second.json"];
    bench.json(&new);
    let second: Value = serde_json::from_slice(&fs::read(bench.path("second.json")).expect("written")).expect("JSON");
    let distribution = &second["message"]["distribution"]["distribution"];
    assert_eq!(distribution["number"], 2);
    assert_eq!(amount(&distribution["allotments"][0]["amount"]), ether("1.7ether"), "what was added too");
    sign(&bench, "second.json");
    bench.json(&["rewards", "certify", "second.json", "--from", "dev:0"]);
    schedule(&bench, "second.json");
    wait_an_hour(&bench).await;
    bench.json(&["rewards", "activate", "second.json", "--from", "dev:0"]);
    let old = bench.failure(&claim(BOB).each_ref().map(String::as_str));
    assert!(old.contains("NotIncluded(leaf: "), "the former root is void: {old}");
    for account in [ALICE, BOB] {
        bench.json(&["rewards", "claim", "second.json", "--account", &account.to_string(), "--from", "dev:0"]);
    }
    assert_eq!((balance(&bench, ALICE).await, balance(&bench, BOB).await), (ether("1.2ether"), ether("0.1ether")));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_distribution_takes_more_than_its_cap_and_none_is_used_that_was_tampered_with() {
    let (bench, _) = network().await;
    earned(&bench, "earned.csv", &[(ALICE, "3ether")]);
    let new = ["rewards", "new", "--earnings", "earned.csv", "--out", "first.json"];
    let refused = bench.failure(&new);
    assert!(
        refused.contains("it adds 3000000000000000000") && refused.contains("may add 2000000000000000000"),
        "{refused}"
    );
    assert!(!bench.path("first.json").exists(), "no number is used");
    earned(&bench, "earned.csv", &[(ALICE, "1ether")]);
    bench.json(&new);
    sign(&bench, "first.json");

    let file = fs::read_to_string(bench.path("first.json")).expect("written");
    let tampered = |from: &str, to: &str| {
        assert!(file.contains(from), "{from} in {file}");
        fs::write(bench.path("tampered.json"), file.replacen(from, to, 1)).expect("writable");
        bench.failure(&["verify-certificate", "tampered.json", "--genesis", "genesis.json"])
    };
    assert!(tampered("\"chain_id\": 31337", "\"chain_id\": 56").contains("is not of that account"));
    assert!(tampered("\"epoch\": 0", "\"epoch\": 1").contains("is not of that account"));
    let earning = tampered("\"cumulative\": \"0xde0b6b3a7640000", "\"cumulative\": \"0xde0b6b3a7640001");
    assert!(earning.contains("the earnings have the root"), "{earning}");
    fs::write(bench.path("tampered.json"), &file[..file.len() / 2]).expect("writable");
    assert!(
        bench.failure(&["verify-certificate", "tampered.json", "--genesis", "genesis.json"]).contains("is not valid")
    );

    for (line, what) in [("account,token,cumulative\n0x12,0x0,5\n", "not valid"), ("a,b,c\n1,2,3\n", "not valid")] {
        fs::write(bench.path("bad.csv"), line).expect("writable");
        let said = bench.failure(&["rewards", "new", "--earnings", "bad.csv", "--out", "bad.json"]);
        assert!(said.contains(what), "{said}");
    }
    earned(&bench, "twice.csv", &[(ALICE, "1ether"), (ALICE, "2ether")]);
    let twice = bench.failure(&["rewards", "new", "--earnings", "twice.csv", "--out", "bad.json"]);
    assert!(twice.contains("stated twice"), "{twice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn validators_certify_by_one_aggregate_signature_once_their_keys_are_published() {
    let (bench, keys) = network().await;
    earned(&bench, "earned.csv", &[(ALICE, "1ether")]);
    bench.json(&["rewards", "new", "--earnings", "earned.csv", "--out", "first.json"]);
    sign(&bench, "first.json");
    let certify = ["rewards", "certify", "first.json", "--certificate", "bls", "--from", "dev:0"];
    assert!(bench.failure(&certify).contains("no BLS keys of epoch 0 are published"));

    let stranger = bench.json(&["bls", "register", "--from", "dev:5"]);
    assert!(stranger["transaction"]["tx"].is_string(), "anybody may become a validator later");
    assert!(bench.failure(&["bls", "publish", "--from", "dev:0"]).contains("are published already"));
    for key in ["owner-01", "owner-02"] {
        bench.json(&["bls", "register", "--from", key]);
    }
    let twice = bench.failure(&["bls", "register", "--from", "owner-01"]);
    assert!(twice.contains(&format!("KeyAlreadyRegistered(account: {})", keys[0].address())), "{twice}");
    bench.json(&["bls", "publish", "--from", "dev:0"]);
    let few = bench.failure(&certify);
    assert!(few.contains("2 of 4 validators have signed, and 3 are a quorum"), "{few}");
    bench.json(&["bls", "register", "--from", "owner-03"]);
    bench.json(&["bls", "publish", "--from", "dev:0"]);
    let shown = bench.json(&["bls", "keys", "--out", "keys.json"]);
    assert_eq!(shown["published"].as_array().map(Vec::len), Some(3));

    let verify = ["verify-certificate", "first.json", "--genesis", "genesis.json", "--bls-keys", "keys.json"];
    assert_eq!(bench.json(&verify)["signers"], 3);
    bench.json(&certify);
    assert_eq!(bench.json(&["rewards", "show"])["certified"], 1);

    // A signature under another validator's name is no signature of that validator.
    let mut file: Value = serde_json::from_slice(&fs::read(bench.path("first.json")).expect("written")).expect("JSON");
    let signatures = file["bls_signatures"].as_object_mut().expect("signatures");
    let names: Vec<_> = signatures.keys().cloned().collect();
    signatures[&names[0]] = signatures[&names[1]].clone();
    fs::write(bench.path("first.json"), file.to_string()).expect("writable");
    assert!(bench.failure(&verify).contains("2 of 4 validators have signed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn spending_waits_where_gas_is_too_dear_or_the_day_s_budget_is_spent() {
    let (bench, _) = network().await;
    let fund = ["fund", "--amount", "2ether", "--to", "owner-01"];
    let with = |name: &str, value: &str| {
        let mut command = bench.command(&fund);
        command.env(format!("DTN_NETWORKS__LOCAL__{name}"), value);
        command
    };
    let dear = failure(&mut with("MAX_FEE_PER_GAS", "1"));
    assert!(dear.contains("more than the 0.000000001 gwei of max_fee_per_gas"), "{dear}");
    let spent = failure(&mut with("DAILY_BUDGET", "1gwei"));
    assert!(spent.contains("of the daily_budget of 1gwei on network `local` are spent"), "{spent}");
    let bad = failure(&mut with("DAILY_BUDGET", "much"));
    assert!(bad.contains("much"), "{bad}");
    for (name, value) in [("MAX_FEE_PER_GAS", "100gwei"), ("DAILY_BUDGET", "1ether")] {
        let output = with(name, value).output().expect("the command runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_set_hands_over_to_the_next_and_certifies_nothing_any_more() {
    let (bench, keys) = network().await;
    earned(&bench, "earned.csv", &[(ALICE, "1ether")]);
    bench.json(&["rewards", "new", "--earnings", "earned.csv", "--out", "late.json"]);
    sign(&bench, "late.json");

    let next = "owner-01,owner-02,dev:6,dev:7";
    let unknown = bench.failure(&["registry", "rotate", "--validators", next, "--out", "r.json"]);
    assert!(unknown.contains("dev:6"), "{unknown}");
    let newcomer = Address::repeat_byte(0x11).to_string();
    let next = format!("owner-01,owner-02,owner-03,{newcomer}");
    let few = bench.failure(&["registry", "rotate", "--validators", "owner-01,owner-02", "--out", "r.json"]);
    assert!(few.contains("2 validators; there must be 4 to 255"), "{few}");
    bench.json(&["registry", "rotate", "--validators", &next, "--out", "r.json"]);
    for key in ["owner-02", "owner-04"] {
        bench.json(&["registry", "sign", "r.json", "--from", key]);
    }
    let below = bench.failure(&["registry", "post", "r.json", "--from", "dev:0"]);
    assert!(below.contains("2 of 4 validators have signed"), "{below}");
    bench.json(&["registry", "sign", "r.json", "--from", "owner-03"]);
    assert_eq!(bench.json(&["verify-certificate", "r.json", "--genesis", "genesis.json"])["signers"], 3);
    bench.json(&["registry", "post", "r.json", "--from", "dev:0"]);

    let shown = bench.json(&["registry", "show"]);
    assert_eq!((&shown["epoch"], &shown["quorum"]), (&1.into(), &3.into()));
    let validators: Vec<Address> = shown["validators"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| text(&one["address"]).parse().expect("an address"))
        .collect();
    assert!(validators.contains(&Address::repeat_byte(0x11)) && !validators.contains(&keys[3].address()));
    for file in ["late.json", "r.json"] {
        let late = bench.failure(&["registry", "post", file, "--from", "dev:0"]);
        assert!(late.contains("is of epoch 0, and the registry is at 1"), "{late}");
    }
    // Those of the new epoch certify from now on.
    bench.json(&["rewards", "new", "--earnings", "earned.csv", "--out", "new.json"]);
    sign(&bench, "new.json");
    bench.json(&["rewards", "certify", "new.json", "--from", "dev:0"]);
    assert_eq!(bench.json(&["registry", "show"])["distribution"], 1);
}
