//! What owners and validators can do about a lock that is stolen, lost or handed over, what validators have at stake, and how
//! a distributor ends, by the command line on a real anvil.

use std::fs;

use alloy::{
    primitives::{Address, U256},
    providers::Provider,
};
use dtn_chain::{amount::parse_amount, connection::AnvilOptions};
use dtn_primitives::SecretKey;
use serde_json::{Value, json};

use crate::desk::{Bench, text};

const DAY: u64 = 24 * 3600;
const STRANGER: &str = "0x1111111111111111111111111111111111111111";

/// Four validators with money who own the wallet, any two of whom decide.
async fn network(terms: &[&str]) -> (Bench, Vec<SecretKey>) {
    let bench = Bench::new(AnvilOptions::default()).await;
    let keys = bench.generate_keys(4);
    bench.write_genesis(&keys, 31337);
    let deploy = ["deploy", "--genesis", "genesis.json", "--threshold", "2", "--fund-distributor", "5ether"];
    bench.json(&[&deploy[..], terms].concat());
    bench.json(&["fund", "--amount", "2ether"]);
    (bench, keys)
}

async fn wait(bench: &Bench, seconds: u64) {
    let chain = bench.chain().await;
    let _: Value = chain.provider().raw_request("evm_increaseTime".into(), (seconds,)).await.expect("anvil can");
    let _: Value = chain.provider().raw_request("evm_mine".into(), ()).await.expect("anvil can");
}

/// Proposes by one owner. The proposal's id.
fn propose(bench: &Bench, arguments: &[&str]) -> String {
    let proposed = bench.json(&[arguments, &["--from", "owner-01"]].concat());
    text(&proposed["proposal"]["id"]).to_string()
}

fn execute(bench: &Bench, id: &str) {
    bench.json(&["execute", id, "--from", "owner-02"]);
}

/// Has two owners agree.
fn agree(bench: &Bench, arguments: &[&str]) {
    execute(bench, &propose(bench, arguments));
}

/// Has two owners propose what the contracts refuse when it is executed.
fn disagree(bench: &Bench, arguments: &[&str]) -> String {
    bench.failure(&["execute", &propose(bench, arguments), "--from", "owner-02"])
}

fn sign(bench: &Bench, file: &str, signers: &[&str]) {
    for key in signers {
        bench.json(&["registry", "sign", file, "--from", key]);
    }
}

/// Has a quorum resolve something.
fn resolve(bench: &Bench, what: &[&str], file: &str) {
    bench.json(&[&["registry", "resolve"], what, &["--out", file]].concat());
    sign(bench, file, &["owner-01", "owner-02", "owner-03"]);
    bench.json(&["registry", "post", file, "--from", "dev:0"]);
}

/// The code by which programs know a failure.
fn code(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.run(&[arguments, &["--json"]].concat());
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    text(&said["error"]["code"]).to_string()
}

fn amount(value: &Value) -> U256 {
    text(value).parse().expect("an amount")
}

fn ether(amount: &str) -> U256 {
    parse_amount(amount).expect("an amount")
}

fn new_wallet(bench: &Bench) -> String {
    let owners = ["--owners", "owner-03,owner-04", "--threshold", "1"];
    let deployed = bench.json(&[&["deploy", "--genesis", "genesis.json", "--wallet-only"], &owners[..]].concat());
    text(&deployed["wallet"]).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lock_is_paused_by_the_other_for_a_week_and_not_again_for_long() {
    let (bench, _) = network(&[]).await;
    bench.json(&["registry", "resolve", "pause-owners", "--out", "pause.json"]);
    sign(&bench, "pause.json", &["owner-01", "owner-02"]);
    let post = ["registry", "post", "pause.json", "--from", "dev:0"];
    assert_eq!(code(&bench, &post), "below_quorum");
    sign(&bench, "pause.json", &["owner-04"]);

    // The owners pause the validators, who agree to what they cannot keep from being paused by that.
    agree(&bench, &["registry", "pause"]);
    let shown = bench.json(&["registry", "show"]);
    assert!(shown["paused_until"].as_u64() > shown["now"].as_u64(), "{shown}");
    bench.json(&[
        "registry",
        "rotate",
        "--validators",
        &format!("owner-01,owner-02,owner-03,{STRANGER}"),
        "--out",
        "r.json",
    ]);
    sign(&bench, "r.json", &["owner-01", "owner-02", "owner-03"]);
    let rotate = ["registry", "post", "r.json", "--from", "dev:0"];
    assert!(bench.failure(&rotate).contains("LockPaused(until: "));
    assert!(disagree(&bench, &["registry", "pause"]).contains("PausedRecently(until: "));

    // And the validators pause the owners, which those cannot keep off.
    assert_eq!(code(&bench, &["registry", "veto", "pause-owners", "--from", "owner-01"]), "bad_argument");
    assert!(bench.failure(&["rewards", "pause-owners", "--from", "dev:0"]).contains("NotResolved(action: 0x"));
    bench.json(&post);
    assert!(bench.failure(&post).contains("AlreadyResolved(action: 0x"));
    bench.json(&["rewards", "pause-owners", "--from", "dev:0"]);
    let locks = bench.json(&["rewards", "show"])["locks"].clone();
    assert!(locks["paused_until"].as_u64() > locks["now"].as_u64() && locks["pauses"] == 1, "{locks}");
    let allow = ["rewards", "allow", STRANGER, "2ether"];
    let waiting = propose(&bench, &allow);
    assert!(bench.failure(&["execute", &waiting, "--from", "owner-02"]).contains("OwnersPaused(until: "));
    let shown = String::from_utf8(bench.run(&["rewards", "show"]).stdout).expect("text");
    assert!(shown.contains("The validators have paused the owners' lock until"), "{shown}");

    wait(&bench, 7 * DAY).await;
    bench.json(&rotate);
    execute(&bench, &waiting);
    assert_eq!(bench.json(&["registry", "show"])["epoch"], 1);
    let shown = bench.json(&["rewards", "show", "--requester", "0x2222222222222222222222222222222222222222"]);
    let allowances: Vec<_> = shown["allowances"].as_array().expect("a list").iter().collect();
    let caps: Vec<_> = allowances.iter().map(|one| (text(&one["requester"]), amount(&one["cap"]))).collect();
    assert_eq!(caps[0], (STRANGER, ether("2ether")), "what the owners have set is found");
    assert_eq!(caps[1].1, ether("5000ether"), "what nobody has set is the deployment's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_lock_goes_back_by_the_owners_and_a_third_of_the_validators_and_a_lost_one_after_a_long_silence() {
    let (bench, _) = network(&[]).await;
    let next = format!("owner-03,owner-04,{STRANGER},0x2222222222222222222222222222222222222222");
    bench.json(&["registry", "recover", "new", "--validators", &next, "--out", "next.json"]);
    let propose_it = ["registry", "recover", "propose", "next.json"];
    let missing = bench.failure(&[&propose_it[..], &["--from", "owner-01"]].concat());
    assert!(missing.contains("0 of 4 validators have signed, and 2 are needed"), "{missing}");
    sign(&bench, "next.json", &["owner-03", "owner-04"]);
    assert_eq!(code(&bench, &["registry", "post", "next.json", "--from", "dev:0"]), "not_valid");
    agree(&bench, &propose_it);
    let recovery = bench.json(&["registry", "show"])["recovery"].clone();
    assert_eq!(recovery["signed"], true, "{recovery}");
    let finish = ["registry", "recover", "finish", "next.json", "--from", "dev:0"];
    assert!(bench.failure(&finish).contains("StillOpenToVeto(until: "));
    agree(&bench, &["registry", "recover", "cancel"]);
    assert!(bench.failure(&finish).contains("NoRecovery(validatorsHash: "));

    agree(&bench, &propose_it);
    wait(&bench, 14 * DAY).await;
    bench.json(&finish);
    let shown = bench.json(&["registry", "show"]);
    let validators: Vec<_> =
        shown["validators"].as_array().expect("a list").iter().map(|one| text(&one["address"])).collect();
    assert!(shown["epoch"] == 1 && validators.contains(&STRANGER), "{shown}");

    // Nobody of the new ones answers: the owners alone name others, and wait for longer.
    let all = "owner-01,owner-02,owner-03,owner-04";
    bench.json(&["registry", "recover", "new", "--validators", all, "--out", "lost.json"]);
    agree(&bench, &["registry", "recover", "propose", "lost.json", "--unsigned"]);
    wait(&bench, 14 * DAY).await;
    let finish = ["registry", "recover", "finish", "lost.json", "--from", "dev:0"];
    assert!(bench.failure(&finish).contains("StillOpenToVeto(until: "));
    wait(&bench, 76 * DAY).await;
    bench.json(&finish);
    assert_eq!(bench.json(&["registry", "show"])["epoch"], 2);

    // What is no recovery is not taken for one.
    bench.json(&["registry", "resolve", "retract", "7", "--out", "retract.json"]);
    assert_eq!(code(&bench, &["registry", "recover", "finish", "retract.json"]), "not_valid");
    for wrong in [&["retract"][..], &["retract", "much"], &["close"], &["hand-over"]] {
        assert_eq!(code(&bench, &[&["registry", "resolve"], wrong, &["--out", "x.json"]].concat()), "bad_argument");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_wallet_guards_the_registry_if_the_owners_say_so_or_do_not_object() {
    let (bench, _) = network(&[]).await;
    let wallet = new_wallet(&bench);
    let replace = ["registry", "guardian", "replace", &wallet, "--from", "dev:0"];
    resolve(&bench, &["replace-guardian", &wallet], "guardian.json");
    wait(&bench, 90 * DAY).await;
    assert!(bench.failure(&replace).contains("NotAnnounced(next: 0x"), "nobody has seen the wallet");
    let announce = ["registry", "announce", "replace-guardian", &wallet, "--from", "dev:0"];
    bench.json(&announce);
    assert_eq!(text(&bench.json(&["registry", "show"])["next_guardian"]["address"]), wallet);
    let shown = String::from_utf8(bench.run(&["registry", "show"]).stdout).expect("text");
    let announced = format!("the validators have announced {wallet} as its next guardian");
    assert!(shown.to_lowercase().contains(&announced.to_lowercase()), "{shown}");
    assert!(bench.failure(&replace).contains("StillOpenToVeto(until: "));
    agree(&bench, &["registry", "veto", "replace-guardian", &wallet]);
    wait(&bench, 90 * DAY).await;
    assert!(bench.failure(&replace).contains("NotAnnounced(next: 0x"), "the owners have objected");
    assert!(bench.failure(&announce).contains("NotResolved(action: 0x"), "it counts once");
    assert_eq!(code(&bench, &["registry", "announce", "hand-over", &wallet, "--from", "dev:0"]), "bad_argument");

    agree(&bench, &["registry", "guardian", "set", &wallet]);
    assert_eq!(text(&bench.json(&["registry", "show"])["guardian"]), wallet);
    // What the guardian does is proposed in its wallet from now on, and what the distributor's does in the other one.
    let stranger = bench.failure(&["registry", "pause", "--from", "owner-01"]);
    assert!(stranger.contains("NotOwner"), "{stranger}");
    let proposed = bench.json(&["registry", "pause", "--from", "owner-03"]);
    let id = text(&proposed["proposal"]["id"]).to_string();
    let listed = bench.json(&["list"]);
    assert_eq!(text(&listed[0]["proposal"]["id"]), id, "it is found in either wallet");
    bench.json(&["execute", &id, "--from", "owner-03"]);
    let shown = bench.json(&["registry", "show"]);
    assert!(shown["paused_until"].as_u64() > shown["now"].as_u64(), "{shown}");
    agree(&bench, &["rewards", "allow", STRANGER, "1ether"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_certifies_two_distributions_of_a_number_loses_its_stake_and_the_reporter_has_its_share() {
    let (bench, keys) = network(&["--stake", "1ether"]).await;
    let guilty = keys[2].address();
    let earned = |name: &str, amount: &str| {
        let native = Address::ZERO;
        fs::write(bench.path(name), format!("account,token,cumulative\n{STRANGER},{native},{amount}\n"))
            .expect("writable");
    };
    for (earnings, amount, file) in [("one.csv", "1", "one.json"), ("other.csv", "2", "other.json")] {
        earned(earnings, amount);
        bench.json(&["rewards", "new", "--earnings", earnings, "--out", file]);
    }
    sign(&bench, "one.json", &["owner-01", "owner-02", "owner-03"]);
    // What a key has signed is known where it has signed it.
    let again = ["rewards", "sign", "other.json", "--from", "owner-03"];
    assert_eq!(code(&bench, &again), "would_contradict");
    bench.json(&[&again[..], &["--home", "elsewhere"]].concat());
    sign(&bench, "other.json", &["dev:7"]);

    // Nothing is certified before all have staked, and somebody has said so.
    let certify = ["rewards", "certify", "one.json", "--from", "dev:0"];
    assert!(bench.failure(&certify).contains("NotOpen()"));
    for key in ["owner-01", "owner-02", "owner-03"] {
        bench.json(&["stake", "add", "1ether", "--from", key]);
    }
    let open = ["registry", "open", "--from", "dev:0"];
    assert!(bench.failure(&open).contains(&format!("NotStaked(account: {}", keys[3].address())));
    bench.json(&["stake", "add", "0.5ether", "--from", "owner-04"]);
    bench.json(&["stake", "add", "0.5ether", "--from", "owner-04"]);
    bench.json(&open);
    bench.json(&certify);
    assert!(bench.failure(&["stake", "remove", "--from", "owner-04"]).contains("StillValidator(account: 0x"));

    let report = ["registry", "report", "one.json", "other.json", "--from", "dev:5"];
    let tried = bench.json(&[&report[..], &["--dry-run"]].concat());
    assert_eq!(tried["function"], "commit", "a report of what has a stake is committed to first: {tried}");
    let reported = bench.json(&report);
    assert!(reported[0]["transaction"]["tx"].is_string(), "{reported}");
    assert!(bench.json(&report)[0]["transaction"].is_null(), "once is enough");
    assert_eq!(code(&bench, &["registry", "report", "one.json", "one.json"]), "no_contradiction");
    assert_eq!(code(&bench, &["registry", "report", "one.json"]), "bad_argument");
    assert_eq!(code(&bench, &["registry", "report", "genesis.json"]), "not_valid");

    let reporter = dtn_keys::dev_key(5).expect("there").address();
    let shown = bench.json(&["stake", "show", &guilty.to_string(), &reporter.to_string(), "multisig", "owner-01"]);
    let stakes = shown["stakes"].as_array().expect("a list");
    let of = |index: usize| {
        (amount(&stakes[index]["amount"]), amount(&stakes[index]["credit"]), stakes[index]["barred"] == true)
    };
    assert_eq!(of(0), (U256::ZERO, U256::ZERO, true), "the guilty one");
    assert_eq!(of(1), (U256::ZERO, ether("0.25ether"), false), "the reporter");
    assert_eq!(of(2), (U256::ZERO, ether("0.75ether"), false), "the owners");
    assert_eq!(of(3), (ether("1ether"), U256::ZERO, false), "who has signed one of them");
    bench.json(&["stake", "collect", "--to", STRANGER, "--from", "dev:5"]);
    let chain = bench.chain().await;
    let held = chain.provider().get_balance(STRANGER.parse().expect("an address")).await.expect("a balance");
    assert_eq!(held, ether("0.25ether"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_validator_any_more_has_its_stake_back_after_three_weeks() {
    let (bench, _) = network(&[]).await;
    bench.json(&["stake", "add", "0.3ether", "--from", "owner-04"]);
    let next = format!("owner-01,owner-02,owner-03,{STRANGER}");
    bench.json(&["registry", "rotate", "--validators", &next, "--out", "r.json"]);
    sign(&bench, "r.json", &["owner-01", "owner-02", "owner-03"]);
    bench.json(&["registry", "post", "r.json", "--from", "dev:0"]);
    let reclaim = ["stake", "reclaim", "--to", STRANGER, "--from", "owner-04"];
    assert!(bench.failure(&reclaim).contains("NotFree(until: 0)"));
    bench.json(&["stake", "remove", "--from", "owner-04"]);
    wait(&bench, 20 * DAY).await;
    assert!(bench.failure(&reclaim).contains("NotFree(until: "));
    wait(&bench, DAY).await;
    bench.json(&reclaim);
    let chain = bench.chain().await;
    let held = chain.provider().get_balance(STRANGER.parse().expect("an address")).await.expect("a balance");
    assert_eq!(held, ether("0.3ether"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owners_lock_is_handed_over_and_a_closed_distributor_passes_its_money_on() {
    let (bench, _) = network(&[]).await;
    let wallet = new_wallet(&bench);
    let take = ["rewards", "hand-over", "take", "--from", "owner-03"];
    assert_eq!(code(&bench, &take), "bad_argument", "nobody is to take over");
    agree(&bench, &["rewards", "hand-over", "propose", &wallet]);
    agree(&bench, &["rewards", "hand-over", "cancel"]);
    agree(&bench, &["rewards", "hand-over", "propose", &wallet]);
    let locks = bench.json(&["rewards", "show"])["locks"].clone();
    assert_eq!(text(&locks["heir"][0]), wallet);
    let id = text(&bench.json(&take)["proposal"]["id"]).to_string();
    assert!(bench.failure(&["execute", &id, "--from", "owner-03"]).contains("TooEarly(until: "));
    wait(&bench, 2 * DAY).await;
    bench.json(&["execute", &id, "--from", "owner-03"]);
    assert_eq!(text(&bench.json(&["rewards", "show"])["locks"]["multisig"]), wallet);
    assert_eq!(text(&bench.json(&["show"])["multisig"]["address"]), wallet, "the wallet that pays is the wallet");

    // Whoever deploys once more finds all there, and hears who decides.
    let deploy = ["deploy", "--genesis", "genesis.json", "--threshold", "2"];
    let again = String::from_utf8(bench.run(&deploy).stdout).expect("text");
    assert!(again.to_lowercase().contains(&format!("it was handed over: the wallet {wallet}")), "{again}");
    let before = bench.json(&deploy)["deployment"].clone();

    // From now on one of its two owners decides.
    let agreed = |arguments: &[&str]| {
        let proposed = bench.json(&[arguments, &["--from", "owner-04"]].concat());
        text(&proposed["proposal"]["id"]).to_string()
    };
    let run = |arguments: &[&str]| bench.json(&["execute", &agreed(arguments), "--from", "owner-04"]);
    run(&["rewards", "close", "10"]);
    let old = bench.json(&["show"])["distributor"]["address"].clone();
    let shown = String::from_utf8(bench.run(&["rewards", "show"]).stdout).expect("text");
    assert!(shown.contains("It pays no block above 10."), "{shown}");
    // It shares the registry with the one before, and has the wallet that has a say by now.
    let other = bench.failure(&["deploy", "--genesis", "genesis.json", "--first-height", "11", "--after", "registry"]);
    assert!(other.contains("is no distributor"), "{other}");
    let next = ["deploy", "--genesis", "genesis.json", "--first-height", "11", "--after", "distributor"];
    let deployed = bench.json(&next)["deployment"].clone();
    assert_ne!(old, deployed["distributor"]);
    assert_eq!((&deployed["registry"], text(&deployed["multisig"])), (&before["registry"], wallet.as_str()));
    assert_eq!((deployed["owners"].as_array().expect("a list").len(), &deployed["threshold"]), (2, &json!(1)));
    assert_eq!(bench.json(&["show"])["distributor"]["address"], deployed["distributor"]);
    let terms = bench.run(&[&next[..], &["--threshold", "2"]].concat());
    let said = String::from_utf8_lossy(&terms.stderr);
    assert!(terms.status.code() == Some(2) && said.contains("cannot be used with"), "{said}");
    resolve(&bench, &["move-on", "distributor", "--of", text(&old)], "move.json");
    bench.json(&["registry", "announce", "move-on", "distributor", "--of", text(&old), "--from", "dev:0"]);
    let id = agreed(&["rewards", "move-on", "distributor", "--of", text(&old)]);
    assert!(bench.failure(&["execute", &id, "--from", "owner-04"]).contains("TooEarly(until: "));
    wait(&bench, 2 * DAY).await;
    bench.json(&["execute", &id, "--from", "owner-04"]);
    let holdings = bench.json(&["rewards", "show"])["holdings"].clone();
    assert_eq!(amount(&holdings[0]["free"]), ether("5ether"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_whose_owners_lost_their_keys_is_replaced_by_the_validators_and_a_claimer_takes_what_is_anothers() {
    let (bench, keys) = network(&["--reward-delay", "1h"]).await;
    let wallet = new_wallet(&bench);
    resolve(&bench, &["hand-over", &wallet], "heir.json");
    bench.json(&["rewards", "hand-over", "lost", &wallet, "--from", "dev:0"]);
    let again = bench.failure(&["rewards", "hand-over", "lost", &wallet, "--from", "dev:0"]);
    assert!(again.contains("NotResolved(action: 0x"), "it counts once: {again}");

    let account = keys[0].address();
    let native = Address::ZERO;
    fs::write(bench.path("e.csv"), format!("account,token,cumulative\n{account},{native},1ether\n")).expect("writable");
    bench.json(&["rewards", "new", "--earnings", "e.csv", "--out", "first.json"]);
    sign(&bench, "first.json", &["owner-01", "owner-02", "owner-03"]);
    bench.json(&["rewards", "certify", "first.json", "--from", "dev:0"]);
    agree(&bench, &["rewards", "schedule", "first.json"]);
    agree(&bench, &["rewards", "cancel"]);
    agree(&bench, &["rewards", "schedule", "first.json"]);
    wait(&bench, 3_600).await;
    bench.json(&["rewards", "activate", "first.json", "--from", "dev:0"]);
    let claim = ["rewards", "claim", "first.json", "--account", "owner-01", "--to", STRANGER, "--from", "dev:5"];
    assert!(bench.failure(&claim).contains("NotClaimer(account: 0x"));
    let claimer = dtn_keys::dev_key(5).expect("there").address().to_string();
    bench.json(&["rewards", "claimer", &claimer, "--from", "owner-01"]);
    bench.json(&claim);
    let chain = bench.chain().await;
    let held = chain.provider().get_balance(STRANGER.parse().expect("an address")).await.expect("a balance");
    assert_eq!(held, ether("1ether"));
    assert!(disagree(&bench, &["rewards", "sweep"]).contains("TooEarly(until: "));
    assert!(disagree(&bench, &["rewards", "write-off"]).contains("NothingToWriteOff(token: "));
    let withdraw = ["rewards", "withdraw", "--account", "owner-01", "--to", STRANGER, "--from", "dev:5"];
    assert!(bench.failure(&withdraw).contains("NoCredit(account: "));
    let unknown = format!("0x{}", "11".repeat(32));
    assert!(disagree(&bench, &["rewards", "cancel", "--batch", &unknown]).contains("NotApproved(id: "));

    wait(&bench, 90 * DAY).await;
    let id = text(&bench.json(&["rewards", "hand-over", "take", "--from", "owner-04"])["proposal"]["id"]).to_string();
    bench.json(&["execute", &id, "--from", "owner-04"]);
    assert_eq!(text(&bench.json(&["rewards", "show"])["locks"]["multisig"]), wallet);
}

/// The validators of a set, and one in the place of the fourth.
fn rotate(bench: &Bench, last: &str, file: &str) -> Value {
    let next = format!("owner-01,owner-02,owner-03,{last}");
    let arguments = ["registry", "rotate", "--validators", &next, "--out", file, "--json"];
    serde_json::from_slice(&bench.run(&arguments).stdout).expect("JSON")
}

/// How many validators are barred.
fn barred(bench: &Bench) -> usize {
    let shown = bench.json(&["registry", "show"]);
    shown["validators"].as_array().expect("a list").iter().filter(|one| one["barred"] == true).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_would_be_refused_is_not_made_and_a_second_one_is_not_signed() {
    let (bench, _) = network(&["--stake", "0.5ether"]).await;
    for key in ["owner-01", "owner-02", "owner-03", "owner-04"] {
        bench.json(&["stake", "add", "0.5ether", "--from", key]);
    }
    bench.json(&["registry", "open", "--from", "dev:0"]);
    let unfit = rotate(&bench, STRANGER, "a.json")["error"].clone();
    assert_eq!((text(&unfit["code"]), text(&unfit["data"]["validators"][0])), ("unfit_validators", STRANGER));
    assert!(text(&unfit["message"]).contains("has staked 0 of the 0.5ether"), "{unfit}");
    assert!(!bench.path("a.json").exists());

    for (key, file) in [("dev:5", "a.json"), ("dev:6", "b.json")] {
        let place = key.trim_start_matches("dev:").parse().expect("a number");
        bench.json(&["stake", "add", "0.5ether", "--from", key]);
        let made = rotate(&bench, &dtn_keys::dev_key(place).expect("there").address().to_string(), file);
        assert!(made["digest"].is_string(), "{made}");
    }
    sign(&bench, "a.json", &["owner-01", "owner-02", "owner-01"]);
    for key in ["owner-01", "owner-02"] {
        let output = bench.run(&["registry", "sign", "b.json", "--from", key, "--json"]);
        let error = serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["error"].clone();
        assert_eq!((text(&error["code"]), output.status.code()), ("would_contradict", Some(1)), "{error}");
        assert_eq!(error["data"]["slot"]["subject"], json!({ "rotation": { "epoch": 0 } }));
        assert!(text(&error["data"]["signed"]["file"]).ends_with("a.json"), "{error}");
    }
    let unsigned: Value = serde_json::from_slice(&fs::read(bench.path("b.json")).expect("there")).expect("JSON");
    assert_eq!(unsigned["signatures"], json!({}), "nothing was given out");
    // Who has signed neither may sign either.
    bench.json(&["registry", "sign", "b.json", "--from", "owner-03"]);
    assert_eq!(code(&bench, &["registry", "report", "a.json", "b.json", "--from", "dev:4"]), "would_revert");
    assert_eq!(barred(&bench), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distribution_that_was_signed_with_a_mistake_is_made_anew_under_the_next_number() {
    let (bench, _) = network(&[]).await;
    let earned = |file: &str, amount: &str| {
        let native = Address::ZERO;
        fs::write(bench.path("e.csv"), format!("account,token,cumulative\n{STRANGER},{native},{amount}\n"))
            .expect("writable");
        bench.json(&["rewards", "new", "--earnings", "e.csv", "--out", file]);
        let made: Value = serde_json::from_slice(&fs::read(bench.path(file)).expect("there")).expect("JSON");
        made["message"]["distribution"]["distribution"]["number"].clone()
    };
    let three = ["owner-01", "owner-02", "owner-03"];
    assert_eq!(earned("typo.json", "1ether"), 1);
    sign(&bench, "typo.json", &three);
    assert_eq!(earned("same.json", "1ether"), 1, "the same once more contradicts nothing");
    assert_eq!(earned("right.json", "0.1ether"), 2);
    sign(&bench, "right.json", &three);
    assert_eq!(code(&bench, &["registry", "report", "typo.json", "right.json", "--from", "dev:4"]), "no_contradiction");
    bench.json(&["rewards", "certify", "right.json", "--from", "dev:0"]);

    // Another registry of the network on the chain counts from one on, and its votes are the same.
    agree(&bench, &["rewards", "close", "49"]);
    let other = ["deploy", "--genesis", "genesis.json", "--threshold", "3", "--first-height", "50"];
    bench.json(&[&other[..], &["--fund-distributor", "1ether"]].concat());
    assert_eq!(bench.json(&["registry", "show"])["distribution"], 0, "that is another one");
    assert_eq!(earned("elsewhere.json", "0.2ether"), 3);
    sign(&bench, "elsewhere.json", &three);
    assert_eq!(barred(&bench), 0);
}
