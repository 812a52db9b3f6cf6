//! What the chain side does among hostile nodes, accounts, signers, files and second processes: a table of cases, made by
//! running them.

use std::{env, fs, path::Path, process::Output};

use alloy::{
    primitives::{Address, B256, Bytes, hex},
    providers::Provider,
};
use dtn_chain::{Chain, connection::AnvilOptions};
use dtn_keys::dev_key;
use dtn_primitives::SecretKey;
use dtn_settlement::execution::SignedExecution;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{
    common::ROOT,
    desk::{Bench, text},
    proxy::{self, Habit, Proxy},
};

const PAGE: &str = "docs/reference/failures.md";

const INTRODUCTION: &str = "# What goes wrong, and what comes of it

Cases that users of comparable tools have reported, as `tests/it/hostile.rs` plays them on a real chain behind a faulty node:
`UPDATE_DOCS=1 cargo test --release --locked --workspace --test it -- hostile` writes this page. `code` is the field of the failure under
`--json`; [the codes](../start/cli.md#failures) are listed.

| what is wrong | command | exit code | code | and then |
|---|---|---|---|---|
";

const ETHER: u128 = 1_000_000_000_000_000_000;

/// A wallet of three owners, two of whom decide, with ten ether, and the table so far.
struct World {
    bench: Bench,
    chain: Chain,
    keys: Vec<SecretKey>,
    rows: Vec<String>,
    /// The cases that ended otherwise.
    otherwise: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let bench = Bench::new(AnvilOptions::default()).await;
        let keys = bench.generate_keys(4);
        bench.write_genesis(&keys, 31337);
        let owners = ["--owners", "owner-01", "--owners", "owner-02", "--owners", "owner-03"];
        bench.json(&[&["deploy", "--genesis", "genesis.json", "--threshold", "2"], &owners[..]].concat());
        bench.json(&["fund", "--amount", "1ether", "--to", "owner-01", "--to", "owner-02", "--to", "owner-03"]);
        bench.json(&["fund", "--amount", "10ether", "--to", "multisig"]);
        let quick = "[networks.local]\nchain_id = 31337\nrpc = \"http://127.0.0.1:1\"\nreceipt_timeout_ms = 2000\n";
        fs::write(bench.path("dtn.toml"), quick).unwrap();
        Self { chain: bench.chain().await, bench, keys, rows: Vec::new(), otherwise: Vec::new() }
    }

    async fn node(&self) -> Proxy {
        Proxy::before(self.bench.anvil.endpoint()).await
    }

    fn run(&self, rpc: &str, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut command = self.bench.command(arguments);
        let Output { status, stdout, .. } = command.arg("--json").env("DTN_RPC_URL", rpc).output().unwrap();
        (status.code(), serde_json::from_slice(&stdout).unwrap_or(Value::Null))
    }

    /// Runs a command, which must end so, and writes down what holds then.
    fn case(&mut self, wrong: &str, rpc: &str, arguments: &[&str], ends: (i32, &str), then: &str) -> Value {
        let (status, answer) = self.run(rpc, arguments);
        let code = answer["error"]["code"].as_str().unwrap_or("");
        if (status, code) != (Some(ends.0), ends.1) {
            self.otherwise.push(format!("{wrong}: {arguments:?}: {ends:?} and not {status:?}: {answer:#}"));
        }
        let command = arguments.iter().take_while(|word| !word.starts_with('-') && !word.starts_with("0x"));
        let command = command.take(2).filter(|word| !word.contains('.')).copied().collect::<Vec<_>>().join(" ");
        let code = if code.is_empty() { String::new() } else { format!("`{code}`") };
        self.rows.push(format!("| {wrong} | `{command}` | {} | {code} | {then} |", ends.0));
        answer
    }

    async fn balance(&self, account: Address) -> u128 {
        self.chain.provider().get_balance(account).await.unwrap().to()
    }

    fn anvil(&self) -> String {
        self.bench.anvil.endpoint()
    }

    fn propose(&self, to: Address) -> String {
        let to = to.to_string();
        let (status, answer) =
            self.run(&self.anvil(), &["propose", "--from", "owner-01", "--to", &to, "--value", "1ether"]);
        assert_eq!(status, Some(0), "{answer:#}");
        text(&answer["proposal"]["id"]).to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_surroundings_end_as_the_table_says() {
    let mut world = World::new().await;
    nodes(&mut world).await;
    addresses(&mut world).await;
    signatures(&mut world).await;
    recipients(&mut world).await;
    processes(&mut world).await;
    files(&mut world).await;
    assert!(world.otherwise.is_empty(), "{}", world.otherwise.join("\n"));
    let page = format!("{INTRODUCTION}{}\n", world.rows.join("\n"));
    let file = Path::new(ROOT).join(PAGE);
    match env::var_os("UPDATE_DOCS") {
        Some(_) => fs::write(file, page).unwrap(),
        None => assert_eq!(fs::read_to_string(file).unwrap(), page, "UPDATE_DOCS=1 writes it"),
    }
}

async fn nodes(world: &mut World) {
    let id = world.propose(Address::repeat_byte(0x61));
    let _: Value = proxy::anvil(&world.chain, "anvil_mine", json!([2_000])).await;
    // As for an owner on another machine.
    fs::remove_dir_all(world.bench.path(".dtn/proposals")).unwrap();
    let narrow = world.node().await;
    narrow.never(Habit::LooksThrough(300));
    let wrong = "2,000 blocks after the deployment, the node looks through 300 at once";
    world.case(wrong, &narrow.url, &["list"], (0, ""), "everything is listed");
    world.case(wrong, &narrow.url, &["confirm", &id, "--from", "owner-02"], (0, ""), "the proposal is found");
    fs::remove_dir_all(world.bench.path(".dtn/logs")).unwrap();
    let without = world.node().await;
    without.never(Habit::Refuses("eth_getLogs", -32005));
    let both = format!("{},{}", without.url, world.anvil());
    world.case("the first of two nodes has no logs", &both, &["show"], (0, ""), "the second is asked");
    let page = world.node().await;
    for (status, wrong) in
        [(StatusCode::BAD_GATEWAY, "a page with HTTP 502 answers"), (StatusCode::OK, "a page answers")]
    {
        page.never(Habit::Page(status));
        world.case(wrong, &page.url, &["show"], (1, "not_a_node"), "what it says is shown in one line");
    }
    world.case("nothing listens", "http://127.0.0.1:1", &["show"], (1, "chain_unreachable"), "");
    let old = world.node().await;
    old.never(Habit::Refuses("eth_feeHistory", -32601));
    let account = ["network", "check", "--account", "owner-01"];
    world.case("the node lacks a method that sending needs", &old.url, &account, (1, ""), "the method is named");
}

async fn addresses(world: &mut World) {
    let typo = "0x70997970C51812dc3A010C7d01b50e0d17dc79C9";
    let wrong = "an address with a typing error in it";
    let (anvil, nothing) = (world.anvil(), "nothing is sent");
    let propose = ["propose", "--from", "owner-01", "--to"];
    world.case(wrong, &anvil, &[&propose[..], &[typo]].concat(), (1, "bad_argument"), nothing);
    let call = ["registry", "--call", "transfer(address,uint256)", typo, "1"];
    world.case(
        &format!("{wrong}, as an argument of a call"),
        &anvil,
        &[&propose[..], &call].concat(),
        (1, "bad_argument"),
        nothing,
    );
    world.case(wrong, &anvil, &["fund", "--to", typo, "--amount", "1ether"], (1, "bad_argument"), nothing);
    world.case(wrong, &anvil, &["rewards", "show", "--token", typo], (2, "usage"), "");
    let after = ["deploy", "--genesis", "genesis.json", "--first-height", "9", "--after", typo];
    world.case(wrong, &anvil, &after, (1, "bad_argument"), "nothing is deployed");
    let remote = format!("remote:{typo}@http://127.0.0.1:1");
    world.case(
        wrong,
        &anvil,
        &["confirm", &format!("0x{}", "11".repeat(32)), "--from", &remote],
        (2, "usage"),
        nothing,
    );
    fs::write(world.bench.path("earned.csv"), format!("account,token,cumulative\n{typo},{},1\n", Address::ZERO))
        .unwrap();
    let new = ["rewards", "new", "--earnings", "earned.csv", "--out", "typo.json"];
    world.case(&format!("{wrong}, in a table"), &anvil, &new, (1, "not_valid"), "nothing is written");
    assert!(!world.bench.path("typo.json").exists());
}

async fn signatures(world: &mut World) {
    let (anvil, payee) = (world.anvil(), Address::repeat_byte(0x62));
    let to = payee.to_string();
    let sign = ["sign", "--from", "owner-01", "--to", &to, "--value", "1ether", "--out", "payment.json"];
    world.bench.json(&sign);
    world.bench.json(&["sign", "payment.json", "--from", "owner-02"]);
    let file = world.bench.path("payment.json");
    let mut signed: SignedExecution = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    signed.sign(&dev_key(7).unwrap());
    let mut document = serde_json::to_value(&signed).unwrap();
    for signature in document["signatures"].as_object_mut().unwrap().values_mut() {
        // 0 and 1 in place of 27 and 28, as some hardware wallets have it.
        let mut bytes = hex::decode(text(signature)).unwrap();
        *bytes.last_mut().unwrap() -= 27;
        *signature = json!(Bytes::from(bytes));
    }
    fs::write(&file, document.to_string()).unwrap();
    let execute = ["execute", "--signatures", "payment.json", "--from", "dev:0"];
    let wrong = "a file with v = 0 or 1 in its signatures, one of them a stranger's";
    world.case(wrong, &anvil, &execute, (0, ""), "the owners' are sent in the form that the wallet takes");
    assert_eq!(world.balance(payee).await, ETHER);
    world.bench.json(&["sign", "--from", "owner-01", "--to", &to, "--value", "1ether", "--out", "one.json"]);
    let execute = ["execute", "--signatures", "one.json", "--from", "dev:0"];
    world.case("too few owners have signed", &anvil, &execute, (1, "failed"), "those that are missing are named");
}

async fn recipients(world: &mut World) {
    let refuser = Address::repeat_byte(0x63);
    let _: Value = proxy::anvil(&world.chain, "anvil_setCode", json!([refuser, "0x5f5ffd"])).await;
    let [first, last] = [0x64, 0x65].map(Address::repeat_byte);
    let words: Vec<_> = [first, refuser, last].iter().map(ToString::to_string).collect();
    let fund = ["fund", "--amount", "1ether", "--to", &words[0], "--to", &words[1], "--to", &words[2]];
    let answer =
        world.case("one of three accounts refuses money", &world.anvil(), &fund, (1, ""), "the others have it");
    assert!(answer[1]["error"]["code"] == "would_revert" && answer[0]["transaction"]["tx"].is_string(), "{answer:#}");
    assert_eq!([world.balance(first).await, world.balance(last).await], [ETHER, ETHER]);
    let poor = ["fund", "--from", "owner-04", "--amount", "1ether", "--to", &words[1], "--dry-run"];
    world.case("a dry run for an account that cannot pay", &world.anvil(), &poor, (1, "insufficient_funds"), "");
}

async fn processes(world: &mut World) {
    let (anvil, payee) = (world.anvil(), Address::repeat_byte(0x66));
    let to = payee.to_string();
    let chain = world.chain.clone();
    let _: Value = proxy::anvil(&chain, "evm_setAutomine", json!([false])).await;
    let fund = ["fund", "--from", "owner-01", "--amount", "0.1ether", "--to", &to];
    world.case("no block comes in time", &anvil, &fund, (1, ""), "it may still come, and is kept");
    world.case(
        "the same command again",
        &anvil,
        &fund,
        (1, "under_way"),
        "what is under way is sent again, and nothing else",
    );
    let propose = ["propose", "--from", "owner-01", "--to", &to, "--value", "1ether"];
    world.case("another command of that account", &anvil, &propose, (1, "under_way"), "nothing is proposed");
    let (_, open) = world.run(&anvil, &["tx", "list"]);
    let tx = text(&open[0]["tx"]).to_owned();
    let _: Value = proxy::anvil(&chain, "evm_setAutomine", json!([true])).await;
    let _: Value = proxy::anvil(&chain, "anvil_mine", json!([1])).await;
    world.case("the same command after a block came", &anvil, &fund, (0, ""), "it was paid once");
    assert_eq!(world.balance(payee).await, ETHER / 10);
    world.case("it is over", &anvil, &["tx", "raise", &tx, "--from", "owner-01"], (1, "not_under_way"), "");

    let _: Value = proxy::anvil(&chain, "evm_setAutomine", json!([false])).await;
    let more = ["fund", "--from", "owner-01", "--amount", "0.2ether", "--to", &to];
    assert_eq!(world.run(&anvil, &more).0, Some(1));
    let (_, open) = world.run(&anvil, &["tx", "list"]);
    let tx = text(&open[0]["tx"]).to_owned();
    let miner = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
        let _: Value = proxy::anvil(&chain, "evm_setAutomine", json!([true])).await;
        let _: Value = proxy::anvil(&chain, "anvil_mine", json!([1])).await;
    });
    world.case(
        "a transaction is stuck",
        &anvil,
        &["tx", "cancel", &tx, "--from", "owner-01"],
        (0, ""),
        "its place is taken",
    );
    miner.await.unwrap();
    assert_eq!(world.balance(payee).await, ETHER / 10);
}

async fn files(world: &mut World) {
    let anvil = world.anvil();
    let other = world.keys[1].address();
    let path = world.bench.path("keys/owner-01.json");
    let whole = fs::read(&path).unwrap();
    let mut keystore: Value = serde_json::from_slice(&whole).unwrap();
    keystore["address"] = json!(hex::encode(Address::repeat_byte(0x67)));
    fs::write(&path, keystore.to_string()).unwrap();
    let propose = ["propose", "--from", "owner-01", "--to", &other.to_string()];
    world.case(
        "a keystore states another address than its key has",
        &anvil,
        &propose,
        (1, "keystore"),
        "nothing is signed",
    );
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    world.case("a keystore that is cut off", &anvil, &propose, (1, "keystore"), "the reason is said");
    let import = ["keys", "import", "again", "--file", "keys/owner-01.json"];
    world.case("a keystore that is cut off", &anvil, &import, (1, "keystore"), "the reason is said");
    fs::write(&path, &whole).unwrap();
    let password = fs::read(world.bench.path("password")).unwrap();
    fs::write(world.bench.path("password"), [b"\xef\xbb\xbf", &password[..]].concat()).unwrap();
    world.case("a file of the password with the mark of an editor", &anvil, &propose, (0, ""), "it opens the key");
    fs::write(world.bench.path("password"), password).unwrap();

    // No file may grow beyond a kilobyte, as on a full disk.
    let signed = world.bench.path("one.json");
    let before = fs::read(&signed).unwrap();
    let command =
        format!("trap '' XFSZ; ulimit -f 1; exec '{}' sign one.json --from owner-02", env!("CARGO_BIN_EXE_dtn-cli"));
    let mut shell = std::process::Command::new("bash");
    let shell = shell.args(["-c", &command]).current_dir(signed.parent().unwrap()).env("DTN_PASSWORD_FILE", "password");
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(before.len() > 1_024 && fs::read(&signed).unwrap() == before, "the signatures that were there are there");
    world.rows.push("| the disk is full | `sign` | 1 | `file` | the file is as it was |".into());

    for amount in ["_ether", "1e18", "0.1wei"] {
        let fund = ["fund", "--to", "owner-01", "--amount", amount];
        world.case(&format!("`{amount}` as an amount"), &anvil, &fund, (2, "usage"), "");
    }
    let soon = ["propose", "--from", "owner-01", "--to", "multisig", "--expires", "0s"];
    world.case("a proposal that is over at once", &anvil, &soon, (1, "bad_argument"), "nothing is sent");
    let id = B256::with_last_byte(1).to_string();
    world.case("a proposal that nobody made", &anvil, &["show", &id], (1, "failed"), "");
}
