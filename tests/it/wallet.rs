//! The command line of the chain side, on a real anvil.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, B256, U256},
    providers::Provider,
};
use dtn_chain::{
    amount::parse_amount,
    connection::{AnvilOptions, start_anvil},
};
use dtn_keys::{Keystore, Password, dev_key};
use dtn_primitives::SecretKey;
use serde_json::Value;

use crate::desk::{Bench, PASSWORD, failure, gas_on_chain, repository, text};

fn cast() -> PathBuf {
    let os = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    repository().join(format!("node_modules/@foundry-rs/cast-{os}-{arch}/bin/cast"))
}

/// A deployment whose wallet has four owners with money, and the wallet's address.
async fn wallet_of_four(threshold: usize) -> (Bench, Vec<SecretKey>, String) {
    let bench = Bench::new(AnvilOptions::default()).await;
    let keys = bench.generate_keys(4);
    bench.write_genesis(&keys, 31337);
    let threshold = threshold.to_string();
    let deployed = bench.json(&["deploy", "--genesis", "genesis.json", "--owners", "keys", "--threshold", &threshold]);
    bench.json(&["fund", "--amount", "1ether"]);
    let wallet: Address = text(&deployed["deployment"]["multisig"]).parse().expect("an address");
    (bench, keys, wallet.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_deploy_fund_agree_and_pay() {
    let bench = Bench::new(AnvilOptions::default()).await;
    let keys = bench.generate_keys(4);
    bench.write_genesis(&keys, 31337);

    let first = bench.json(&["deploy", "--genesis", "genesis.json", "--owners", "keys", "--threshold", "3"]);
    let first = &first["deployment"];
    assert!(first["contracts"].as_array().is_some_and(|all| all.iter().all(|contract| contract["tx"].is_string())));
    let again = bench.json(&["deploy", "--genesis", "genesis.json", "--fund-distributor", "2ether"]);
    let again = &again["deployment"];
    assert!(again["contracts"].as_array().is_some_and(|all| all.iter().all(|contract| contract["tx"].is_null())));
    for contract in ["registry", "aow", "multisig", "distributor"] {
        assert_eq!(first[contract], again[contract]);
    }
    assert_eq!(first["from_block"], again["from_block"]);

    // Other terms make another distributor, which knows nothing of what this one has paid.
    let other = ["deploy", "--genesis", "genesis.json", "--reward-delay", "9s"];
    let said = bench.failure(&other);
    let distributor = text(&first["distributor"]);
    assert!(
        said.to_lowercase().contains(distributor) && said.contains("2ether") && said.contains("--first-height"),
        "{said}"
    );
    let same_height = [&other[..], &["--first-height", "1"]].concat();
    assert!(bench.failure(&same_height).contains("would pay the same once more"));
    assert_eq!(bench.json(&["deploy", "--genesis", "genesis.json"])["deployment"]["distributor"], first["distributor"]);

    let wallet = text(&first["multisig"]);
    bench.json(&["fund", "--amount", "1ether"]);
    let funded = bench.json(&["fund", "--amount", "1ether"]);
    assert!(funded.as_array().is_some_and(|all| all.len() == 4 && all.iter().all(|one| one["transaction"].is_null())));
    bench.json(&["fund", "--amount", "3ether", "--to", wallet]);

    let payee = Address::repeat_byte(0x77);
    let propose = ["propose", "--from", "owner-01", "--to", &payee.to_string(), "--value", "0.5ether"];
    let proposed = bench.json(&propose);
    let id = text(&proposed["proposal"]["id"]);
    let too_early = bench.failure(&["execute", id, "--from", "owner-02"]);
    assert!(too_early.contains("BelowThreshold(have: 2, need: 3)"), "{too_early}");
    bench.json(&["confirm", id, "--from", "owner-02"]);
    let twice = bench.failure(&["confirm", id, "--from", "owner-02"]);
    assert!(twice.contains(&format!("AlreadyConfirmed(id: {id}, owner: {})", keys[1].address())), "{twice}");
    let stranger = bench.failure(&["confirm", id, "--from", "dev:5"]);
    assert!(stranger.contains("NotOwner(account: 0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc)"), "{stranger}");

    bench.json(&["confirm", id, "--from", "owner-03"]);
    let revoked = bench.json(&["revoke", id, "--from", "owner-02"]);
    assert_eq!(revoked["proposal"]["confirmed"].as_array().map(Vec::len), Some(2));
    let shown = String::from_utf8(bench.run(&["show", id]).stdout).expect("text");
    for part in ["2 of 3 confirmations", "0.5ether", "confirmed (proposer)", "missing"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    // What was proposed from here is remembered; without that the chain's events tell it.
    fs::remove_dir_all(bench.path(".dtn/proposals")).expect("there");
    bench.json(&["confirm", id, "--from", &keys[3].address().to_string()]);
    let executed = bench.json(&["execute", id, "--from", "owner-04"]);
    assert_eq!(text(&executed["proposal"]["status"]), "executed");
    assert_eq!(bench.json(&["list"]).as_array().map(Vec::len), Some(0), "nothing is pending");
    let chain = bench.chain().await;
    assert_eq!(chain.provider().get_balance(payee).await.expect("a balance"), parse_amount("0.5ether").expect("fine"));
    let repeated = bench.failure(&["execute", id, "--from", "owner-04"]);
    assert!(repeated.contains("AlreadyExecuted"), "{repeated}");

    let other = bench.json(&[&propose[..], &["--expires", "1h"]].concat());
    let other = text(&other["proposal"]["id"]).to_string();
    assert_ne!(other, id);
    let pending = bench.json(&["list"]);
    assert_eq!(text(&pending[0]["proposal"]["id"]), other);
    assert_eq!(pending[0]["proposal"]["missing"].as_array().map(Vec::len), Some(3));
    let said = String::from_utf8(bench.run(&["list"]).stdout).expect("text");
    let missing = said.lines().find_map(|line| line.trim().strip_prefix("missing: ")).expect("a line");
    assert!(said.contains("0.5ether to 0x7777") && missing.contains(&keys[1].address().to_string()), "{said}");
    let cancelled = bench.json(&["cancel", &other, "--from", "owner-01"]);
    assert_eq!(text(&cancelled["proposal"]["status"]), "cancelled");
    let all = bench.json(&["show"]);
    assert_eq!(all["proposals"].as_array().map(Vec::len), Some(2));
    assert_eq!(all["multisig"]["threshold"], 3);

    let gas = bench.json(&["gas", "--token-price", "600"]);
    let senders: Vec<_> = keys.iter().map(SecretKey::address).chain(dev_key(0).map(|key| key.address())).collect();
    assert_eq!(gas["total"]["gas"].as_u64(), Some(gas_on_chain(&chain, &senders).await));
    assert_eq!(gas["without_receipt"], 0);
    assert!(gas["total"]["cost"].as_f64().is_some_and(|cost| cost > 0.0));
    assert_eq!(text(&gas["hardfork"]), "osaka");
    let priced = bench.json(&["gas", "--gas-price", "3gwei", "--csv", "gas.csv", "--html", "gas.html"]);
    let fee: U256 = text(&priced["total"]["fee_wei"]).parse().expect("a number");
    assert_eq!(fee, U256::from(3_000_000_000u64) * U256::from(gas["total"]["gas"].as_u64().expect("a number")));
    let table = fs::read_to_string(bench.path("gas.csv")).expect("written");
    assert_eq!(table.lines().count(), 1 + gas["records"].as_array().map_or(0, Vec::len));
    assert!(
        table.starts_with("contract,function,from,to,nonce,tx,status,gas_used,effective_gas_price,block,"),
        "{table}"
    );
    let page = fs::read_to_string(bench.path("gas.html")).expect("written");
    assert!(
        page.contains("MultiSigWallet.confirmTransaction") && page.contains("Osaka rules") && page.contains("<svg")
    );
    let calls: Vec<_> = gas["summary"].as_array().into_iter().flatten().map(|row| text(&row["function"])).collect();
    for call in ["constructor", "fund", "proposeTransaction", "confirmTransaction", "executeTransaction"] {
        assert!(calls.contains(&call), "{call} in {calls:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_before_anything_is_signed() {
    let bench = Bench::new(AnvilOptions::default()).await;
    let keys = bench.generate_keys(4);
    bench.write_genesis(&keys, 31337);
    let deploy = ["deploy", "--genesis", "genesis.json"];

    fs::write(bench.path("wrong"), "wrong\n").expect("writable");
    let said =
        bench.failure(&["deploy", "--genesis", "genesis.json", "--from", "owner-01", "--password-file", "wrong"]);
    assert!(said.contains("wrong password for the key owner-01"), "{said}");
    let said = failure(bench.command(&["keys", "generate"]).env_remove("DTN_PASSWORD_FILE"));
    assert!(said.contains("--password-file"), "{said}");
    let said = bench.failure(&["deploy", "--genesis", "genesis.json", "--from", "nobody"]);
    assert!(said.contains("there is no key nobody") && said.contains("keys list"), "{said}");

    let said = bench.failure(&[&deploy[..], &["--network", "testnet", "--from", "owner-01"]].concat());
    assert!(said.contains("is chain 31337, but network `testnet` is chain 97"), "{said}");
    let said = bench.failure(&[&deploy[..], &["--network", "tesnet"]].concat());
    assert!(said.contains("known are local, mainnet, testnet"), "{said}");
    let said = bench.failure(&[&deploy[..], &["--rpc", "http://127.0.0.1:1"]].concat());
    assert!(said.contains("no answer from http://127.0.0.1:1") && said.contains("refused"), "{said}");
    let said = bench.failure(&[&deploy[..], &["--rpc", "localhost:8545"]].concat());
    assert!(said.contains("is not an HTTP endpoint"), "{said}");
    fs::write(bench.path("dtn.toml"), "[networks.local]\nchain_id = \"many\"\n").expect("writable");
    let said = bench.failure(&deploy);
    assert!(said.contains("networks.local.chain_id") && said.contains("dtn.toml"), "{said}");
    fs::remove_file(bench.path("dtn.toml")).expect("there");

    let said = bench.failure(&["show"]);
    assert!(said.contains("nothing was deployed on `local`"), "{said}");
    let said = bench.failure(&[&deploy[..], &["--from", "owner-01"]].concat());
    assert!(said.contains("holds 0 and cannot pay"), "{said}");
    let said = bench.failure(&[&deploy[..], &["--threshold", "5"]].concat());
    assert!(said.contains("a threshold of 5 does not suit 4 owners"), "{said}");
    for terms in [["--claim-bond", "0"], ["--claim-window", "0s"]] {
        let said = bench.failure(&[&deploy[..], &terms].concat());
        assert!(said.contains("a claim needs a bond"), "{said}");
    }
    bench.write_genesis(&keys, 97);
    let said = bench.failure(&deploy);
    assert!(said.contains("settles on chain 97"), "{said}");
    let said = bench.failure(&["deploy", "--genesis", "password"]);
    assert!(said.contains("is not a genesis"), "{said}");
    let said = bench.failure(&["anvil", "--port", &bench.anvil.port().to_string()]);
    assert!(said.contains("is taken"), "{said}");

    let secret = format!("0x{}", "07".repeat(32));
    let output = bench.run(&["fund", "--amount", "1ether", "--from", &secret]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(bench.run(&["fund", "--amount", "1apple"]).status.code(), Some(2));
    let nothing_sent = bench.chain().await.provider().get_block_number().await.expect("a number");
    assert_eq!(nothing_sent, 0);
}

/// Anvil signs for its own accounts by the same methods as programs that keep keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_signer_signs_transactions_and_calls_and_nobody_else_s() {
    let bench = Bench::new(AnvilOptions::default()).await;
    let keys = bench.generate_keys(4);
    bench.write_genesis(&keys, 31337);
    let (owner, stranger) = (dev_key(3).expect("there").address(), Address::repeat_byte(0x31));
    let owners = format!("{},{owner}", keys[0].address());
    let deploy = ["deploy", "--genesis", "genesis.json", "--owners", &owners, "--threshold", "2"];
    let deployed = bench.json(&deploy);
    let wallet: Address = text(&deployed["deployment"]["multisig"]).parse().expect("an address");
    bench.json(&["fund", "--amount", "1ether", "--to", &wallet.to_string()]);
    bench.json(&["fund", "--amount", "1ether"]);

    let remote = |account: Address| format!("remote:{account}@{}", bench.anvil.endpoint());
    let payee = Address::repeat_byte(0x78).to_string();
    let signer = remote(owner);
    let proposed = bench.json(&["propose", "--from", &signer, "--to", &payee, "--value", "0.5ether"]);
    assert_eq!(text(&proposed["transaction"]["from"]).parse(), Ok(owner));
    bench.json(&["execute", text(&proposed["proposal"]["id"]), "--from", "owner-01"]);

    bench.json(&["sign", "--from", "owner-01", "--to", &payee, "--value", "0.1ether", "--out", "call.json"]);
    bench.json(&["sign", "call.json", "--from", &signer]);
    bench.json(&["execute", "--signatures", "call.json", "--from", "dev:9"]);
    let balance = bench.chain().await.provider().get_balance(Address::repeat_byte(0x78)).await.expect("a balance");
    assert_eq!(balance, parse_amount("0.6ether").expect("fine"));

    let unknown = bench.failure(&["propose", "--from", &remote(stranger), "--to", &payee, "--value", "1"]);
    assert!(unknown.contains(&format!("the signer of {stranger}")) || unknown.contains("NotOwner"), "{unknown}");
    let nobody = format!("remote:{owner}@http://127.0.0.1:9");
    let away = bench.failure(&["propose", "--from", &nobody, "--to", &payee, "--value", "1"]);
    assert!(away.contains(&format!("the signer of {owner}")), "{away}");
    let kept = bench.failure(&["bls", "register", "--from", &signer]);
    assert!(kept.contains("signed by a key in the keystore"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_testnet_profile_runs_against_a_chain_like_it() {
    let bench = Bench::new(AnvilOptions { chain_id: Some(97), base_fee: Some(0), ..AnvilOptions::default() }).await;
    let keys = bench.generate_keys(4);
    bench.write_genesis(&keys, 97);
    let payer = dev_key(0).expect("the first");
    let password = Password::new(PASSWORD);
    Keystore::new(bench.path("keys")).store("payer", &payer, &password).expect("writable");

    let deploy = ["deploy", "--genesis", "genesis.json", "--network", "testnet"];
    let said = bench.failure(&[&deploy[..], &["--from", "dev:0"]].concat());
    assert!(said.contains("everyone knows the development keys"), "{said}");
    let deployed = bench.json(&[&deploy[..], &["--from", "payer", "--fund-distributor", "1ether"]].concat());
    let provider = bench.chain().await;
    let provider = provider.provider();
    for contract in deployed["deployment"]["contracts"].as_array().into_iter().flatten() {
        let tx: B256 = text(&contract["tx"]).parse().expect("a hash");
        let transaction = provider.get_transaction_by_hash(tx).await.expect("answered").expect("there");
        assert!(transaction.max_priority_fee_per_gas().is_some_and(|tip| tip >= 100_000_000));
        assert_eq!(transaction.chain_id(), Some(97));
    }
    let distributor = text(&deployed["deployment"]["distributor"]);
    let balance = Command::new(cast()).args(["balance", distributor, "--rpc-url", &bench.anvil.endpoint()]).output();
    assert_eq!(String::from_utf8_lossy(&balance.expect("cast runs").stdout).trim(), "1000000000000000000");
    let gas = bench.json(&["gas", "--network", "testnet"]);
    assert_eq!(gas["total"]["transactions"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn keystores_are_those_of_cast() {
    let bench = Bench::new(AnvilOptions::default()).await;
    let ours = bench.generate_keys(1).remove(0);
    let file = bench.path("keys/owner-01.json");
    let address = Command::new(cast())
        .args(["wallet", "address", "--password", PASSWORD, "--keystore"])
        .arg(&file)
        .output()
        .expect("cast runs");
    assert_eq!(String::from_utf8_lossy(&address.stdout).trim(), ours.address().to_string());

    let key = dev_key(3).expect("the fourth");
    let secret = alloy::hex::encode(key.to_bytes());
    let made = Command::new(cast())
        .args(["wallet", "import", "theirs", "--unsafe-password", PASSWORD, "--private-key", &secret, "--keystore-dir"])
        .arg(bench.path("foreign"))
        .output()
        .expect("cast runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let imported = bench.json(&["keys", "import", "theirs", "--file", "foreign/theirs"]);
    assert_eq!(text(&imported[0]["address"]).parse(), Ok(key.address()));
    let exported = bench.run(&["keys", "export-address", "theirs"]);
    assert_eq!(String::from_utf8_lossy(&exported.stdout).trim(), key.address().to_string());
    let said = bench.failure(&["keys", "import", "theirs", "--file", "foreign/theirs"]);
    assert!(said.contains("there is a key theirs already"), "{said}");
    assert!(!fs::read_to_string(bench.path("keys/theirs.json")).expect("there").contains(&secret));
    let said = bench.failure(&["keys", "list", "--keys", "nowhere"]);
    assert!(said.contains("there is no folder nowhere") && said.contains("keys generate"), "{said}");
    fs::create_dir(bench.path("nowhere")).expect("writable");
    assert_eq!(bench.json(&["keys", "list", "--keys", "nowhere"]), serde_json::json!([]), "one that is empty is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_keys_is_changed_and_what_they_hold_is_listed() {
    let bench = Bench::new(AnvilOptions::default()).await;
    let keys = bench.generate_keys(2);
    bench.json(&["fund", "--to", "owner-01", "--amount", "1.5ether"]);
    let listed = bench.json(&["keys", "list", "--balances"]);
    assert_eq!((text(&listed[0]["balance_wei"]), text(&listed[1]["balance_wei"])), ("0x14d1120d7b160000", "0x0"));
    let shown = String::from_utf8(bench.run(&["keys", "list", "--balances"]).stdout).expect("text");
    assert!(shown.contains(&keys[0].address().to_string()) && shown.contains("1.5"), "{shown}");

    fs::write(bench.path("new.txt"), "another one\n").expect("writable");
    let change = ["keys", "password", "owner-01", "owner-02", "--new-password-file", "new.txt"];
    let wrong = bench.failure(&[&change[..], &["--password-file", "new.txt"]].concat());
    assert!(wrong.contains("wrong password for the key owner-01"), "{wrong}");
    let absent = bench.failure(&["keys", "password", "owner-01", "--new-password-file", "nowhere.txt"]);
    assert!(absent.contains("nowhere.txt"), "{absent}");
    bench.json(&change);
    let public = ["keys", "export-address", "owner-02", "--public-key"];
    assert!(bench.failure(&public).contains("wrong password"), "the old one opens nothing any more");
    bench.json(&[&public[..], &["--password-file", "new.txt"]].concat());
    let address = Command::new(cast())
        .args(["wallet", "address", "--password", "another one", "--keystore"])
        .arg(bench.path("keys/owner-01.json"))
        .output()
        .expect("cast runs");
    assert_eq!(String::from_utf8_lossy(&address.stdout).trim(), keys[0].address().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_offered_for_gas_is_what_was_said() {
    let bench = Bench::new(AnvilOptions::default()).await;
    bench.generate_keys(1);
    let fund = |amount: &str, more: &[&str]| {
        let arguments = [&["fund", "--to", "owner-01", "--amount", amount][..], more].concat();
        let done = bench.json(&arguments);
        text(&done[0]["transaction"]["tx"]).parse::<B256>().expect("a hash")
    };
    let sent = async |tx: B256| {
        let sent = bench.chain().await.provider().get_transaction_by_hash(tx).await.expect("answered").expect("there");
        (sent.max_fee_per_gas(), sent.max_priority_fee_per_gas(), sent.gas_limit())
    };
    let gwei = 1_000_000_000;
    let said = ["--gas-price", "9gwei", "--priority-gas-price", "2gwei", "--gas-limit", "30000"];
    assert_eq!(sent(fund("1ether", &said)).await, (9 * gwei, Some(2 * gwei), 30_000));
    let (max, tip, _) = sent(fund("2ether", &["--priority-gas-price", "3gwei"])).await;
    assert!(max > 3 * gwei && tip == Some(3 * gwei));

    let refused =
        |more: &[&str]| bench.failure(&[&["fund", "--to", "owner-01", "--amount", "3ether"][..], more].concat());
    let above = refused(&["--gas-price", "1gwei", "--priority-gas-price", "2gwei"]);
    assert!(above.contains("a tip of 2 gwei is more than the 1 gwei"), "{above}");
    let cheap = refused(&["--gas-price", "1wei"]);
    assert!(cheap.contains("gas costs 0.") && cheap.contains("at the least on network `local`"), "{cheap}");
    let vast = refused(&["--gas-limit", "999999999"]);
    assert!(vast.contains("a transaction may use 16777216 gas at most"), "{vast}");
    let little = bench.run(&["fund", "--to", "owner-01", "--amount", "3ether", "--gas-limit", "20999"]);
    let said = String::from_utf8_lossy(&little.stderr);
    assert!(little.status.code() == Some(2) && said.contains("20999 is not in 21000"), "{said}");
    bench.write_genesis(&bench.generate_keys(3), 31337);
    let deploy = ["deploy", "--genesis", "genesis.json", "--owners", "owner-01", "--gas-limit", "30000"];
    let short = bench.failure(&deploy);
    assert!(short.contains("more than the limit of 30000 that was given: it was not sent"), "{short}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_failure() {
    let bench = Bench::new(AnvilOptions::default()).await;
    let mut command = bench.command(&["completions", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_happen_and_does_nothing() {
    let (bench, keys, _) = wallet_of_four(3).await;
    let height = async || bench.chain().await.provider().get_block_number().await.expect("a number");

    let payee = Address::repeat_byte(0x77).to_string();
    let propose = ["propose", "--from", "owner-01", "--to", &payee, "--value", "1ether", "--salt", &"07".repeat(32)];
    let quote = bench.json(&[&propose[..], &["--dry-run"]].concat());
    assert_eq!(text(&quote["function"]), "proposeTransaction");
    assert_eq!(text(&quote["from"]).parse(), Ok(keys[0].address()));
    assert!(quote["gas"].as_u64().is_some_and(|gas| (40_000..60_000).contains(&gas)), "{quote}");
    let said = String::from_utf8(bench.run(&[&propose[..], &["--dry-run"]].concat()).stdout).expect("text");
    assert!(said.contains("Nothing was signed or sent") && said.contains("value: 1000000000000000000"), "{said}");
    let refused = bench.failure(&["confirm", &B256::ZERO.to_string(), "--from", "owner-01", "--dry-run"]);
    assert!(refused.contains("nobody has proposed"), "{refused}");
    let deploy = ["deploy", "--genesis", "genesis.json", "--fund-distributor", "1ether", "--dry-run"];
    let quote = bench.json(&deploy);
    assert_eq!((text(&quote["function"]), &quote["not_priced"]), ("fund", &0.into()));
    let others = ["deploy", "--genesis", "genesis.json", "--threshold", "2", "--first-height", "9", "--dry-run"];
    let both = bench.failure(&others);
    assert!(both.contains("pays blocks from 9 on as well") && both.contains("rewards close 8"), "{both}");
    let close = bench.json(&["rewards", "close", "8", "--from", "owner-01"]);
    let id = text(&close["proposal"]["id"]);
    for owner in ["owner-02", "owner-03"] {
        bench.json(&["confirm", id, "--from", owner]);
    }
    bench.json(&["execute", id, "--from", "owner-01"]);
    fs::remove_dir_all(bench.path(".dtn/proposals")).expect("that was one");
    let before = height().await;
    let quote = bench.json(&[&others[..], &["--fund-distributor", "1ether"]].concat());
    // Another multisig, the three contracts that depend on it, and the money.
    assert_eq!(quote["not_priced"], 4, "{quote}");
    let fund = bench.json(&["fund", "--amount", "2ether", "--dry-run"]);
    assert_eq!(fund["not_priced"], 3, "four keys hold one ether each: {fund}");
    let (recorded, aside) = (bench.path(".dtn/deployments/local.json"), bench.path("local.json"));
    fs::rename(&recorded, &aside).expect("it was deployed");
    let found = bench.json(&["deploy", "--genesis", "genesis.json", "--threshold", "3", "--dry-run"]);
    assert!(found["funded"].is_null() && !recorded.exists(), "what is found is not written down: {found}");
    fs::rename(&aside, &recorded).expect("writable");
    for held_back in [&["sign", "payment.json"][..], &["rewards", "sign", "a.json"], &["l1", "init"], &["show"]] {
        let refused = bench.run(&[held_back, &["--dry-run"]].concat());
        assert_eq!(refused.status.code(), Some(2), "{held_back:?}");
    }
    assert!(!bench.path(".dtn/genesis.json").exists());
    assert_eq!(height().await, before);
    assert!(!bench.path(".dtn/proposals").exists());
    assert_eq!(bench.json(&["gas"])["without_receipt"], 0);

    bench.json(&propose);
    assert_eq!(height().await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_proposed_by_its_signature_and_arguments() {
    let (bench, _, wallet) = wallet_of_four(1).await;

    let propose = ["propose", "--from", "owner-01", "--to", &wallet, "--call", "changeThreshold(uint8)"];
    let proposed = bench.json(&[&propose[..], &["2"]].concat());
    let id = text(&proposed["proposal"]["id"]);
    let shown = String::from_utf8(bench.run(&["show", id]).stdout).expect("text");
    assert!(shown.contains("changeThreshold(threshold_: 2)"), "{shown}");
    bench.json(&["execute", id, "--from", "owner-01"]);
    assert_eq!(bench.json(&["show"])["multisig"]["threshold"], 2);

    let said = bench.failure(&propose);
    assert!(said.contains("takes 1 arguments, and 0 were given"), "{said}");
    let said = bench.failure(&[&propose[..], &["300"]].concat());
    assert!(said.contains("argument 1 of changeThreshold(uint8), `300`, is no uint8"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_signed_without_a_connection_and_sent_by_anybody_at_once() {
    let (bench, keys, wallet) = wallet_of_four(3).await;
    bench.json(&["fund", "--amount", "3ether", "--to", &wallet]);
    let payee = Address::repeat_byte(0x77);
    let payment = ["--to", &payee.to_string(), "--value", "0.5ether"];
    let offline = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        let output = command.env("DTN_RPC_URL", "http://127.0.0.1:1").output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let shown = offline(&[&["sign", "--from", "owner-01", "--nonce", "0", "--out", "a.json"][..], &payment].concat());
    for part in ["0.5ether to", "nonce 0", "domain hash 0x", "struct hash 0x", &wallet] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    offline(&["sign", "a.json", "--from", "owner-02", "--out", "b.json"]);
    fs::copy(bench.path("a.json"), bench.path("c.json")).expect("copied");
    offline(&["sign", "c.json", "--from", "owner-03"]);
    let secret = alloy::hex::encode_prefixed(keys[2].to_bytes());
    let sign = ["wallet", "sign", "--data", "--from-file", "a.json", "--private-key", &secret];
    let theirs = Command::new(cast()).current_dir(bench.path(".")).args(sign).output().expect("cast runs");
    let ours: Value = serde_json::from_str(&fs::read_to_string(bench.path("c.json")).expect("there")).expect("JSON");
    let signatures = ours["signatures"].as_object().expect("signatures");
    let signature = signatures.values().find(|signature| *signature == String::from_utf8_lossy(&theirs.stdout).trim());
    assert!(signature.is_some(), "{signatures:?}, cast: {theirs:?}");

    let too_few = bench.failure(&["execute", "--signatures", "b.json", "--from", "dev:5"]);
    assert!(too_few.contains("2 of the owners have signed, and the wallet asks for 3"), "{too_few}");
    let combined = bench.json(&["combine", "a.json", "b.json", "c.json", "--out", "all.json"]);
    assert_eq!(combined["signers"].as_array().map(Vec::len), Some(3));
    let executed = bench.json(&["execute", "--signatures", "all.json", "--from", "dev:5"]);
    let gas = executed["transaction"]["gas_used"].as_u64().expect("gas");
    assert!(gas <= 80_000, "{gas} gas with three signatures, 34,300 of it for money to a new account");
    let chain = bench.chain().await;
    assert_eq!(chain.provider().get_balance(payee).await.expect("a balance"), parse_amount("0.5ether").expect("fine"));
    let again = bench.failure(&["execute", "--signatures", "all.json", "--from", "dev:5"]);
    assert!(again.contains("nonce 0 and the wallet is at 1: it was executed"), "{again}");

    // What was signed cannot be changed, and nothing else is signed.
    let text = fs::read_to_string(bench.path("all.json")).expect("there");
    fs::write(bench.path("more.json"), text.replace("500000000000000000", "600000000000000000")).expect("writable");
    let changed = bench.failure(&["execute", "--signatures", "more.json", "--from", "dev:5"]);
    assert!(changed.contains("is not of that account, or of another call"), "{changed}");
    fs::write(bench.path("permit.json"), text.replace("Execution", "Permit")).expect("writable");
    let other = bench.failure(&["sign", "permit.json", "--from", "owner-01"]);
    assert!(other.contains("Nothing else is signed"), "{other}");
    bench.json(&[&["sign", "--from", "owner-01", "--out", "next.json"][..], &payment].concat());
    let mixed = bench.failure(&["combine", "all.json", "next.json", "--out", "mixed.json"]);
    assert!(mixed.contains("about different calls"), "{mixed}");
    let missing = bench.failure(&["sign", "--from", "owner-01"]);
    assert!(missing.contains("--to"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_checked_before_it_is_used() {
    let like_bsc = AnvilOptions { chain_id: Some(97), base_fee: Some(0), ..AnvilOptions::default() };
    let bench = Bench::new(like_bsc).await;
    let check = ["network", "check", "--network", "testnet"];
    let rich = dev_key(0).expect("there").address().to_string();
    let found = bench.json(&[&check[..], &["--account", &rich]].concat());
    let network = &found["network"];
    assert_eq!((network["chain_id"].as_u64(), text(&network["hardfork"])), (Some(97), "osaka"));
    assert_eq!(network["base_fee"], 0);
    let precompiles = network["precompiles"].as_array().expect("a list");
    assert!(precompiles.len() == 5 && precompiles.iter().all(|precompile| precompile[1] == true));
    assert!(found["findings"].as_array().is_some_and(Vec::is_empty), "{found}");

    let poor = Address::repeat_byte(0x77).to_string();
    let said = bench.failure(&[&check[..], &["--account", &poor]].concat());
    assert!(said.contains("not ready: 1 of the findings"), "{said}");
    let said = bench.failure(&["network", "check"]);
    assert!(said.contains("is chain 97, but network `local` is chain 31337"), "{said}");

    let options = AnvilOptions { hardfork: Some("shanghai".into()), ..AnvilOptions::default() };
    let old = start_anvil(&repository(), options).await.expect("anvil");
    let output = bench.run(&["network", "check", "--rpc", &old.endpoint()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("its rules are Shanghai; the contracts need Cancun's at least"), "{said}");
    assert_eq!(output.status.code(), Some(1));

    let listed = bench.json(&["network", "list"]);
    assert_eq!(listed["mainnet"]["chain_id"], 56);
    assert!(listed["testnet"]["rpc"].as_array().is_some_and(|nodes| nodes.len() == 3));
}

#[tokio::test]
async fn a_clone_of_the_wallet_costs_a_tenth_and_decides_as_any_other() {
    let bench = Bench::new(AnvilOptions::default()).await;
    let keys = bench.generate_keys(5);
    bench.write_genesis(&keys, 31337);
    let deploy = ["deploy", "--genesis", "genesis.json", "--owners", "keys", "--threshold", "3", "--clone"];
    let deployed = &bench.json(&deploy)["deployment"];
    let gas = |name: &str| {
        let contracts = deployed["contracts"].as_array().unwrap();
        contracts.iter().find(|contract| contract["contract"] == name).unwrap()["gas_used"].as_u64().unwrap()
    };
    assert!(gas("MultiSigWallet") <= 130_000 && gas("WalletTemplate") > 1_000_000, "{deployed}");
    // The same again finds all of it, and without the word it would be another wallet.
    assert_eq!(bench.json(&deploy)["deployment"]["multisig"], deployed["multisig"]);
    assert!(bench.failure(&deploy[..7]).contains("--first-height"));

    bench.json(&["fund", "--amount", "1ether"]);
    bench.json(&["fund", "--amount", "1ether", "--to", "multisig"]);
    let payee = Address::repeat_byte(0x77);
    let propose = ["propose", "--from", "owner-01", "--to", &payee.to_string(), "--value", "0.5ether"];
    let id = text(&bench.json(&propose)["proposal"]["id"]).to_string();
    assert!(bench.failure(&["execute", &id, "--from", "owner-02"]).contains("BelowThreshold(have: 2, need: 3)"));
    bench.json(&["confirm", &id, "--from", "owner-02"]);
    bench.json(&["execute", &id, "--from", "owner-03"]);
    let balance = bench.chain().await.provider().get_balance(payee).await.unwrap();
    assert_eq!(balance, U256::from(500_000_000_000_000_000u64));
}
