//! End to end on real processes: the demo, a peer that is killed, peers that are restarted, and what users get wrong.

#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    fs,
    io::BufRead,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::common::{ORDER, ROOT, Scene, free_port_range, has_ended, signal, text, wait_until};

fn cast(arguments: &[&str]) -> String {
    let output = Command::new(Path::new(ROOT).join("node_modules/.bin/cast")).args(arguments).output();
    let output = output.expect("scripts/setup installs cast");
    assert!(output.status.success(), "cast {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_string()
}

fn read_json(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

fn amount(value: &Value) -> u128 {
    string(value).parse().unwrap()
}

/// What a report must say about any run of these orders: each reward paid once, to whom the work names. And of its round:
/// that all but one have completed it, who accepted whom, and what became of each claim on chain.
fn assert_paid_once(report: &Value, orders: usize, nodes: usize) {
    let rewards = orders + nodes - 1;
    let payouts = report["settlement"]["payouts"].as_array().unwrap();
    let round = &report["rounds"][0];
    let completions = round["completions"].as_array().unwrap();
    let [missing] = round["missing"].as_array().unwrap().as_slice() else { panic!("one cheats: {round}") };
    assert_eq!(completions.len(), nodes - 1);
    let verifications = round["verifications"].as_array().unwrap();
    for verification in verifications {
        assert_eq!(verification["valid"], verification["node"] != *missing, "{verification}");
    }
    let refusals = verifications.iter().filter(|verification| verification["node"] == *missing).count();
    assert_eq!(refusals, nodes - 1, "everybody looked at what the cheat claims, and nobody accepts it");
    let claims = report["claims"].as_array().unwrap();
    assert_eq!(claims.len(), nodes);
    for claim in claims {
        assert_eq!(claim["slashed"].is_object(), claim["node"] == *missing, "{claim}");
    }
    let work = report["work"].as_array().unwrap();
    assert_eq!(payouts.len(), rewards, "one payout a reward");
    let mut results: Vec<_> = payouts.iter().map(|payout| string(&payout["result"])).collect();
    results.sort_unstable();
    results.dedup();
    assert_eq!(results.len(), rewards, "a result was paid twice");
    for payout in payouts {
        assert_eq!(payout["amount_wei"], payout["balance_delta_wei"], "{payout}");
        let of_round = string(&payout["result"]).starts_with("0x00000000");
        let winners = work.iter().filter(|entry| entry["transaction"] == payout["result"]).count();
        assert_eq!(winners, usize::from(!of_round), "one winner");
    }
    let agreement = &report["agreement"];
    assert_eq!(agreement["nodes"], nodes);
    let quorum = agreement["quorum"].as_u64().unwrap();
    let certificates = agreement["certificates"].as_array().unwrap();
    assert_eq!(certificates.len() as u64, agreement["height"].as_u64().unwrap());
    for certificate in certificates {
        assert!(certificate["signers"].as_array().unwrap().len() as u64 >= quorum, "{certificate}");
    }
    // Results of one block are paid by one transaction.
    let gas = report["gas"].as_array().unwrap();
    for payout in payouts {
        let paid = |entry: &&Value| entry["tx"] == payout["tx"] && entry["function"] == "executeTransaction";
        assert_eq!(gas.iter().filter(paid).count(), 1, "the gas of every payout is in the report once: {payout}");
    }
}

#[test]
fn the_demo_pays_every_reward_once_and_cast_reads_the_same() {
    let scene = Scene::new();
    let file = scene.path("report.json");
    let home = scene.home();
    let shown = scene.ok(&["demo", "--keep", "--home", home.to_str().unwrap(), "--json", file.to_str().unwrap()]);
    let report = read_json(&file);
    assert_paid_once(&report, 4, 4);
    let trained = report["training"].as_array().unwrap();
    assert!(trained.len() == 2 && !report["earned"].as_array().unwrap().is_empty(), "{trained:#?}");

    let rpc = shown.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let settlement = &report["settlement"];
    let mut earned: HashMap<&str, u128> = HashMap::new();
    for payout in settlement["payouts"].as_array().unwrap() {
        *earned.entry(string(&payout["payee"])).or_default() += amount(&payout["amount_wei"]);
    }
    for (payee, amount) in &earned {
        assert_eq!(cast(&["balance", payee, "--rpc-url", rpc]), amount.to_string(), "{payee}");
    }
    let distributor = string(&settlement["distributor"]);
    // What it held beside the rewards is what eight accounts had deposited, an ether each, less what they were paid of it.
    let earned = report["earned"].as_array().unwrap().iter().map(|entry| amount(&entry["earned_wei"]));
    let left = 8_000_000_000_000_000_000 - earned.sum::<u128>();
    assert_eq!(
        cast(&["balance", distributor, "--rpc-url", rpc]),
        left.to_string(),
        "it held exactly the rewards and deposits"
    );

    let registry = string(&settlement["registry"]);
    let height = cast(&["call", registry, "latestHeight()(uint64)", "--rpc-url", rpc]);
    let on_chain = cast(&["call", registry, "finalizedHash(uint64)(bytes32)", &height, "--rpc-url", rpc]);
    let certified = scene.json(&["l1", "certificate", &height]);
    assert_eq!(certified["certificate"]["block_hash"], on_chain.as_str(), "registry and peers agree on the block");

    let paid = &settlement["payouts"][0];
    let read = scene.json(&["l1", "read", "order", string(&paid["result"])]);
    assert!(read["answers"].as_u64() >= Some(3), "a quorum answers alike: {read}");
    assert!(read["answer"]["closed-order"]["claim"].is_string(), "{read}");
    let unknown = format!("0x{}", "ab".repeat(32));
    assert_eq!(scene.json(&["l1", "read", "order", &unknown])["answer"], "unknown-order");
    let nobody = format!("0x{}", "ab".repeat(20));
    assert_eq!(scene.json(&["l1", "read", "nonce", &nobody])["answer"]["nonce"], 0);

    let statuses = scene.json(&["l1", "status"]);
    let heights: Vec<_> = statuses.as_array().unwrap().iter().map(|status| &status["height"]).collect();
    assert_eq!(heights.len(), 4);
    assert!(heights.iter().all(|height| **height == report["agreement"]["height"]), "{heights:?}");
    assert!(scene.ok(&["l1", "down"]).contains("4 peers stopped"));
}

#[test]
fn seven_peers_pay_every_reward_once_too() {
    let scene = Scene::new();
    let file = scene.path("report.json");
    scene.ok(&["demo", "--nodes", "7", "--json", file.to_str().unwrap()]);
    let report = read_json(&file);
    assert_paid_once(&report, 4, 7);
    assert_eq!(report["agreement"]["quorum"], 5);
}

#[test]
fn with_one_peer_killed_in_mid_run_every_reward_is_still_paid_once() {
    let scene = Scene::new();
    let file = scene.path("report.json");
    let output = scene.run(&["demo", "--crash", "--json", file.to_str().unwrap()]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("was killed"), "{stderr}");
    assert_paid_once(&read_json(&file), 4, 4);
}

#[test]
fn killed_peers_are_restarted_rejoin_and_catch_up() {
    let scene = Scene::up(4);
    let orders = scene.orders("orders.jsonl", &[ORDER; 5]);
    scene.ok(&["l1", "submit", &orders]);
    scene.kill(3);
    let accepted = scene.json(&["l1", "submit", &orders]);
    assert_eq!(accepted.as_array().unwrap().len(), 5, "three of four go on");
    scene.kill(2);
    let statuses = scene.json(&["l1", "status"]);
    assert_eq!(statuses.as_array().unwrap().iter().filter(|status| status.is_null()).count(), 2);

    // All come back, the last with an empty disk; nothing is final again until a quorum is there.
    fs::remove_file(scene.peer(3).join("ledger.redb")).unwrap();
    scene.ok(&["l1", "up"]);
    let accepted = scene.json(&["l1", "submit", &orders]);
    let height = accepted[4]["height"].as_u64().unwrap();
    let block = scene.json(&["l1", "block", &height.to_string()]);
    assert_eq!(block["header"]["height"], height);
    let reached = |statuses: &Value| {
        statuses.as_array().unwrap().iter().all(|status| status["height"].as_u64().is_some_and(|h| h >= height))
    };
    let all = (0..200).any(|_| {
        let done = reached(&scene.json(&["l1", "status"]));
        if !done {
            std::thread::sleep(Duration::from_millis(50));
        }
        done
    });
    assert!(all, "{}", scene.ok(&["l1", "status"]));
}

#[test]
fn hundreds_of_orders_are_handed_in_at_once() {
    let scene = Scene::up(4);
    let orders = scene.orders("orders.jsonl", &[ORDER; 300]);
    let accepted = scene.json(&["l1", "submit", &orders]);
    let heights: Vec<_> = accepted.as_array().unwrap().iter().map(|order| order["height"].as_u64().unwrap()).collect();
    assert_eq!(heights.len(), 300);
    assert!(heights.is_sorted(), "the answers are in the order of the file: {heights:?}");
}

#[test]
fn a_network_that_is_down_is_not_waited_for_for_ever() {
    let scene = Scene::up(4);
    (0..3).for_each(|peer| scene.kill(peer));
    let order = scene.orders("order.jsonl", &[r#"{"dataset":"MNIST","model":"LeNet-5","metric":"accuracy"}"#]);
    let message = scene.refused(&["l1", "submit", &order]);
    assert!(message.contains("1 of 4 peers answer") && message.contains("l1 status"), "{message}");
}

#[test]
fn peers_that_run_survive_one_that_cannot_start_and_a_second_demo() {
    let scene = Scene::up(4);
    scene.kill(3);
    let store = scene.peer(3).join("ledger.redb");
    fs::write(&store, vec![0x5a; 10_000]).unwrap();
    let pids = || [0, 1, 2].map(|peer| fs::read_to_string(scene.peer(peer).join("pid")).unwrap());
    let before = pids();
    let up = scene.run(&["l1", "up"]);
    let said = text(&up.stderr);
    assert!(
        up.status.success() && said.contains("warning: ") && said.contains("ledger.redb"),
        "three are enough: {said}"
    );
    assert!(scene.refused(&["demo", "--home", scene.home().to_str().unwrap()]).contains("already"));
    assert_eq!(pids(), before);
    let statuses = scene.json(&["l1", "status"]);
    assert_eq!(statuses.as_array().unwrap().iter().filter(|status| !status.is_null()).count(), 3);

    // However the folder is spelled, its peers are recognized.
    fs::remove_file(&store).unwrap();
    let command = |spelled: &str, command: &str| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_dtn-cli"));
        let output =
            process.current_dir(scene.folder.path()).args(["l1", command, "--home", spelled]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    command("./net", "up");
    assert_eq!(pids(), before);
    assert!(command("net", "down").contains("4 peers stopped"));
}

#[test]
fn up_waits_for_observers_and_names_one_that_cannot_start() {
    let scene = Scene::new();
    scene.ok(&["l1", "init", "--observers", "1", "--base-port", &free_port_range(10).to_string()]);
    let observer = scene.home().join("observers/0");
    let pid = || fs::read_to_string(observer.join("pid")).unwrap();
    let runs = |pid: &str| !has_ended(pid);
    let up = || {
        let up = scene.run(&["l1", "up"]);
        assert!(up.status.success(), "{}", text(&up.stderr));
        text(&up.stderr)
    };
    let kill = || {
        let before = pid();
        signal("-9", std::slice::from_ref(&before));
        wait_until("it is gone", || !runs(&before));
        before
    };
    assert!(!up().contains("warning") && runs(&pid()));
    let before = kill();
    assert!(!up().contains("warning") && runs(&pid()) && pid() != before);

    kill();
    let config = fs::read_to_string(observer.join("node.toml")).unwrap();
    let api = config.lines().find_map(|line| line.strip_prefix("api = ")).unwrap().trim_matches('"');
    let taken = TcpListener::bind(api).unwrap();
    let said = up();
    assert!(said.contains("warning: ") && said.contains("observers/0") && said.contains("in use"), "{said}");
    drop(taken);
    assert!(!up().contains("warning") && runs(&pid()));
}

#[test]
fn an_interrupted_demo_stops_what_it_started() {
    let scene = Scene::new();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_dtn-cli"))
        .current_dir(ROOT)
        .args(["demo", "--home", scene.home().to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        scene.peer(3).join("pid").exists()
    });
    assert!(started);
    assert!(Command::new("kill").arg(demo.id().to_string()).status().unwrap().success());
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    assert!(scene.ok(&["l1", "down"]).contains("0 peers stopped"));
    let held = fs::File::open(scene.home().join("chain/pid")).unwrap();
    assert!(held.try_lock().is_ok(), "its chain is stopped too");
}

#[test]
fn a_failed_init_is_in_nobodys_way() {
    let scene = Scene::new();
    assert!(scene.refused(&["l1", "init", "--base-port", "65529"]).contains("65536"));
    assert!(scene.refused(&["l1", "init", "--base-port", "0"]).contains("nobody can dial"));
    assert!(scene.refused(&["l1", "init", "--name", " "]).contains("needs a name"));
    let unused = ["l1", "init", "--engine", "pbft", "--block-interval", "1s"];
    assert!(scene.refused(&unused).contains("--engine nakamoto"));
    assert_eq!(scene.run(&["l1", "init", "--block-interval", "1s"]).status.code(), Some(2), "of which engine?");
    let password = scene.path("password");
    assert!(
        scene.refused(&["l1", "init", "--password-file", password.to_str().unwrap()]).contains("password"),
        "there is no such file"
    );
    // The last port that exists.
    scene.ok(&["l1", "init", "--base-port", "65528"]);
    let mut made: Vec<_> = fs::read_dir(scene.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    made.sort();
    assert_eq!(made, ["client.toml", "genesis.json", "keys", "password", "peers"]);
}

#[test]
fn a_peer_whose_chain_is_another_one_says_so_and_ends() {
    let scene = Scene::new();
    scene.init(4);
    let port = free_port_range(1).to_string();
    let mut chain = Command::new(env!("CARGO_BIN_EXE_dtn-cli"))
        .current_dir(ROOT)
        .args(["anvil", "--port", &port])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(chain.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let rpc = format!("http://127.0.0.1:{port}");
    let deployed = scene.run(&["deploy", "--rpc", &rpc]);
    for peer in 0..4 {
        let file = scene.peer(peer).join("node.toml");
        let config = fs::read_to_string(&file).unwrap();
        fs::write(&file, config.replace("chain_id = 31337", "chain_id = 97")).unwrap();
    }
    let up = scene.run(&["l1", "up"]);
    assert!(Command::new("kill").arg(chain.id().to_string()).status().unwrap().success());
    chain.wait().unwrap();
    assert!(deployed.status.success(), "{}", text(&deployed.stderr));
    assert!(text(&deployed.stdout).contains("once they are started: dtn-cli l1 up"), "{}", text(&deployed.stdout));
    let message = text(&up.stderr);
    assert!(!up.status.success() && message.contains("is chain 31337") && message.contains("node.toml"), "{message}");
}

#[test]
fn a_bad_transactions_file_is_refused_with_its_line_before_anything_starts() {
    let scene = Scene::new();
    let good = r#"{"dataset":"MNIST","model":"LeNet-5","metric":"accuracy"}"#;
    let bad = scene.orders("bad.jsonl", &[good, r#"{"dataset":"MNIST"}"#]);
    for command in [&["demo", "--transactions", &bad][..], &["l1", "submit", &bad]] {
        let message = scene.refused(command);
        assert!(message.contains("bad.jsonl:2:") && message.contains("nothing was submitted"), "{message}");
    }
    assert!(scene.refused(&["demo", "--transactions", "no/such/file"]).contains("no/such/file"));
    assert!(scene.refused(&["demo", "--nodes", "3"]).contains("4 to 255"));
}

#[test]
fn what_is_missing_taken_or_broken_is_said_with_what_to_do() {
    let scene = Scene::new();
    assert!(scene.refused(&["l1", "status"]).contains("l1 init"));
    scene.init(4);
    assert!(scene.refused(&["l1", "init"]).contains("already"));
    assert!(scene.refused(&["l1", "certificate", "1"]).contains("l1 status"), "nobody is up yet");

    // A port that somebody else has.
    let config = fs::read_to_string(scene.peer(1).join("node.toml")).unwrap();
    let api = config.lines().find_map(|line| line.strip_prefix("api = ")).unwrap().trim_matches('"').to_string();
    let taken = TcpListener::bind(&api).unwrap();
    // Three of four are a quorum: they are started, and the fourth is told.
    let up_without_one = || {
        let up = scene.run(&["l1", "up"]);
        let said = text(&up.stderr);
        assert!(up.status.success() && said.starts_with("warning: "), "{said}");
        assert!(scene.ok(&["l1", "down"]).contains("3 peers stopped"));
        said
    };
    let message = up_without_one();
    assert!(message.contains(&api) && message.contains("in use"), "{message}");
    drop(taken);

    // A password that does not open the keystore.
    let password = fs::read_to_string(scene.home().join("password")).unwrap();
    fs::write(scene.home().join("password"), "wrong\n").unwrap();
    assert!(scene.refused(&["l1", "up"]).to_lowercase().contains("password"));
    fs::write(scene.home().join("password"), password).unwrap();

    // A store that is no store.
    fs::write(scene.peer(2).join("ledger.redb"), vec![0x5a; 10_000]).unwrap();
    let message = up_without_one();
    assert!(message.contains("ledger.redb"), "{message}");
    fs::remove_file(scene.peer(2).join("ledger.redb")).unwrap();

    // A key that is nobody's here.
    let (keys, other) = (scene.home().join("keys"), scene.peer(2).join("node.toml"));
    let config = fs::read_to_string(&other).unwrap();
    let keystore = config.lines().find(|line| line.starts_with("keystore")).unwrap();
    fs::write(&other, config.replace(keystore, &format!("keystore = '{}'", keys.join("client.json").display())))
        .unwrap();
    assert!(up_without_one().contains("not a validator"));
    fs::write(&other, config).unwrap();

    // Its store is gone, so the others let some empty blocks pass for its sake.
    scene.ok(&["l1", "up"]);
    assert!(scene.refused(&["l1", "block", "1000"]).contains("no final block at height 1000"));
    let gift = ["l1", "submit", "--dataset", "MNIST", "--model", "m", "--metric", "a", "--reward", "1ether"];
    assert_eq!(scene.run(&gift).status.code(), Some(2), "a reward needs --expected-hashes");
}
