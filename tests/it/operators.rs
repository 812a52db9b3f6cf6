//! Bugs that operators of other networks had, tried on real processes: a network named in another way, two networks on the
//! same ports, stale and false pid files, a copied peer, a terminal that is closed, text that a terminal would obey.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Read,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use crate::common::{ORDER, Scene, free_port_range, links::Links, signal, skip, succeed, text, wait_until};

/// Runs a command on a network that is named in this way, in this folder.
fn named(folder: &Path, home: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtn-cli"));
    command.current_dir(folder).args(arguments).args(["--home", home]).env_remove("RUST_LOG").output().unwrap()
}

/// The process ids of the peers that answer, as they tell.
fn answering(scene: &Scene) -> Vec<u32> {
    scene.statuses().into_iter().flatten().map(|status| status.vitals.pid).collect()
}

/// Ends a process of the test, whatever became of it.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Ends {
    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

#[test]
fn a_network_is_the_same_however_it_is_named_and_without_its_pid_files() {
    let scene = Scene::up(4);
    let pids = answering(&scene);
    assert_eq!(pids.len(), 4);
    let sub = scene.path("sub");
    fs::create_dir(&sub).unwrap();
    std::os::unix::fs::symlink(scene.home(), scene.path("link")).unwrap();
    for (folder, home) in [(&sub, "../net"), (&sub, "../sub/../link"), (&scene.home(), ".")] {
        let up = named(folder, home, &["l1", "up"]);
        assert!(up.status.success(), "{}", text(&up.stderr));
        assert_eq!(answering(&scene), pids, "no double was started by {home}");
    }
    // A clean-up script: the peers hold their keystores too.
    (0..4).for_each(|peer| fs::remove_file(scene.peer(peer).join("pid")).unwrap());
    scene.ok(&["l1", "up"]);
    assert_eq!(answering(&scene), pids);
    let down = named(&sub, "../link", &["l1", "down"]);
    assert!(text(&down.stdout).contains("4 peers stopped"), "{}", text(&down.stdout));
    assert!(answering(&scene).is_empty());
}

#[test]
fn peers_that_others_run_are_read_counted_and_stopped() {
    let scene = Scene::new();
    scene.init(4);
    scene.set_key(2, "view_timeout_ms", "1500");
    let run = |peer: usize| {
        let mut command = scene.command(&["l1", "node", scene.peer(peer).to_str().unwrap()]);
        Ends(command.stderr(Stdio::null()).spawn().unwrap())
    };
    let mut peers: Vec<_> = (0..4).map(run).collect();
    scene.wait_for_links();
    let pids = answering(&scene);
    assert_eq!(pids, peers.iter().map(|peer| peer.0.id()).collect::<Vec<_>>());
    let height = scene.submit(1)[0].height.to_string();

    // Their stores are locked, and nobody but they knows of them.
    assert!(scene.ok(&["l1", "block", &height]).contains("MNIST"));
    assert_eq!(scene.json(&["pow", "ledger"]).as_array().map(Vec::len), Some(0));
    assert_eq!(scene.json(&["pow", "report"])["races"], 0);
    let status = scene.ok(&["l1", "status"]);
    assert!(status.contains("view_timeout_ms differs between the peers (1500, 2000)"), "{status}");
    let report = scene.json(&["l1", "doctor"]);
    assert_eq!(report["findings"][0]["check"], "timeouts", "{report}");

    scene.ok(&["l1", "up"]);
    assert_eq!(answering(&scene), pids, "no double was started");
    assert!(scene.ok(&["l1", "down"]).contains("4 peers stopped"));
    // The last that a process does is to give back what it holds, and then it ends.
    wait_until("they have ended", || peers.iter_mut().all(|peer| !peer.is_alive()));
    assert!(scene.ok(&["l1", "block", &height]).contains("MNIST"), "from a store, now that nobody has it");
}

#[test]
fn the_success_of_another_network_on_the_same_ports_is_not_reported() {
    let (scene, other) = (Scene::new(), Scene::new());
    let port = free_port_range(8).to_string();
    for scene in [&scene, &other] {
        scene.ok(&["l1", "init", "--base-port", &port]);
    }
    scene.ok(&["l1", "up"]);
    let pids = answering(&scene);
    let said = other.refused(&["l1", "up"]);
    assert!(said.contains("of 4 peers cannot be started") && said.contains("in use"), "{said}");
    for command in [&["l1", "status"][..], &["l1", "block", "1"]] {
        let said = other.refused(command);
        assert!(!said.is_empty(), "{said}");
    }
    let status = other.run(&["l1", "status"]);
    assert!(text(&status.stdout).contains("a peer of another network answers"), "{}", text(&status.stdout));
    assert!(text(&status.stderr).contains("its addresses are taken"), "{}", text(&status.stderr));
    assert!(other.ok(&["l1", "down"]).contains("0 peers stopped"));
    assert_eq!(answering(&scene), pids, "the first network was left alone");
}

#[test]
fn no_process_is_stopped_for_what_a_file_or_its_arguments_say() {
    let scene = Scene::new();
    scene.init(4);
    // In a group of its own, so that a signal to the group reaches nobody else.
    let sleep = |arguments: &[&str]| {
        Ends(Command::new("sh").args(["-c", "sleep 600"]).args(arguments).process_group(0).spawn().unwrap())
    };
    let (mut grouped, mut lookalike) = (sleep(&[]), sleep(&[scene.peer(1).to_str().unwrap()]));
    fs::write(scene.peer(0).join("pid"), format!("-{}", grouped.0.id())).unwrap();
    fs::write(scene.peer(1).join("pid"), lookalike.0.id().to_string()).unwrap();
    fs::write(scene.peer(2).join("pid"), "0").unwrap();
    fs::write(scene.peer(3).join("pid"), "99999999999999999999\n\u{1b}[2J").unwrap();
    assert!(scene.ok(&["l1", "down"]).contains("0 peers stopped"));
    assert!(grouped.is_alive() && lookalike.is_alive());
    scene.ok(&["l1", "up"]);
    assert!(scene.ok(&["l1", "down"]).contains("4 peers stopped"));
    assert!(grouped.is_alive() && lookalike.is_alive());
}

#[test]
fn a_key_is_used_by_one_process_of_a_machine() {
    let scene = Scene::up(4);
    let pid = answering(&scene)[3].to_string();
    // The same folder again, and a copy of it with ports of its own.
    let original = scene.peer(3);
    let copy = scene.home().join("peers/3b");
    fs::create_dir(&copy).unwrap();
    fs::copy(original.join("node.toml"), copy.join("node.toml")).unwrap();
    let port = free_port_range(2);
    let (listen, api) = (format!("listen=/ip4/127.0.0.1/tcp/{port}"), format!("api=127.0.0.1:{}", port + 1));
    let said = scene.refused(&["l1", "node", original.to_str().unwrap(), "--set", &listen, "--set", &api]);
    assert!(said.contains(&format!("process {pid} runs in")), "{said}");
    let said = scene.refused(&["l1", "node", copy.to_str().unwrap(), "--set", &listen, "--set", &api]);
    assert!(said.contains(&format!("process {pid} uses the keystore")) && said.contains("contradict"), "{said}");
    // It ends with its holder, however that ends.
    scene.kill(3);
    let mut node = scene.command(&["l1", "node", copy.to_str().unwrap(), "--set", &listen, "--set", &api]);
    let mut node = Ends(node.stderr(Stdio::null()).spawn().unwrap());
    wait_until("the copy runs", || std::net::TcpStream::connect(("127.0.0.1", port + 1)).is_ok());
    signal("-TERM", &[node.0.id().to_string()]);
    assert_eq!(node.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_terminal_ends_a_network_of_a_command_and_nohup_keeps_it() {
    if catches_or_ignores("SigIgn:", "self") {
        return skip("a closed terminal", "whoever runs the tests has SIGHUP ignored, as nohup does");
    }
    let scene = Scene::new();
    let temporary = scene.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let first = free_port_range(3);
    let ports = format!("{},{},{}", first, first + 1, first + 2);
    let serve = |before: &str, messages: &str| {
        let script = format!("{before} exec {} pow serve --ports {ports}", env!("CARGO_BIN_EXE_dtn-cli"));
        let said = fs::File::create(scene.path(messages)).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env("TMPDIR", &temporary).stdin(Stdio::null()).stdout(Stdio::null());
        let mut serving = Ends(command.stderr(said).spawn().unwrap());
        wait_until("it takes in lines", || {
            let said = fs::read_to_string(scene.path(messages)).unwrap();
            assert!(serving.is_alive(), "{said}");
            said.contains("waiting for lines")
        });
        serving
    };
    let mut serving = serve("", "first");
    let said = fs::read_to_string(scene.path("first")).unwrap();
    assert!(said.contains("the network of this run is in ") && said.contains(temporary.to_str().unwrap()), "{said}");
    signal("-HUP", &[serving.0.id().to_string()]);
    assert_eq!(serving.0.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "its folder is removed, so its peers are gone");

    let mut serving = serve("trap '' HUP;", "second");
    // Whoever had it ignore the signal wants it to go on: SIGHUP is not among what it catches.
    assert!(!catches_or_ignores("SigCgt:", &serving.0.id().to_string()));
    signal("-INT", &[serving.0.id().to_string()]);
    assert_eq!(serving.0.wait().unwrap().code(), Some(0));
}

/// Whether SIGHUP, the lowest bit, is among the signals of a line of a process's status.
fn catches_or_ignores(line: &str, pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let signals = status.lines().find_map(|found| found.strip_prefix(line)).unwrap().trim();
    u64::from_str_radix(signals, 16).unwrap() & 1 == 1
}

#[test]
fn a_terminal_obeys_nothing_that_a_client_has_put_into_a_block() {
    let scene = Scene::up(4);
    let dataset = "A\u{1b}]0;PWNED\u{7}\u{1b}[31mB\u{9b}2J\u{202e}";
    let order = serde_json::json!({ "dataset": dataset, "model": "m\nheight 9", "metric": "a" }).to_string();
    let orders = scene.orders("orders.jsonl", &[&order]);
    let submitted = scene.ok(&["l1", "submit", &orders]);
    let is_empty =
        |height: &u64| scene.json(&["l1", "block", &height.to_string()])["transactions"] == serde_json::json!([]);
    let height = (1..).find(|height| !is_empty(height)).unwrap().to_string();
    let block = scene.ok(&["l1", "block", &height]);
    for shown in [&submitted, &block] {
        assert!(shown.contains("A\\u{1b}]0;PWNED\\u{7}") && shown.contains("m\\nheight 9"), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{shown:?}");
    }
    let exact = scene.json(&["l1", "block", &height]);
    assert_eq!(exact["transactions"][0]["payload"]["order"]["dataset"], dataset, "{exact}");
    // Of a file, in an error.
    let bad = scene.orders("bad.jsonl", &["{\"\\u001b[2J\": 1}"]);
    let said = scene.refused(&["l1", "submit", &bad]);
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn who_interrupts_a_submission_is_told_which_orders_may_become_final_yet_and_how_to_find_out() {
    let scene = Scene::new();
    scene.init(4);
    let links = Links::between_peers_of(&scene, None);
    scene.ok(&["l1", "up"]);
    // No quorum is linked, so nothing becomes final; all answer.
    links.split(&[2, 3]);
    let waiting = scene.orders("waiting.jsonl", &[ORDER; 3]);
    let mut submit = scene.command(&["l1", "submit", &waiting, "--json"]);
    let mut submit = Ends(submit.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    wait_until("the orders are handed in", || scene.status(0).pending_transactions == 3);
    signal("-INT", &[submit.0.id().to_string()]);
    let (mut said, mut told) = (String::new(), String::new());
    submit.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    submit.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(submit.0.wait().unwrap().code(), Some(1));
    let error = &serde_json::from_str::<Value>(&told).unwrap()["error"];
    let orders = &error["data"]["orders"];
    assert_eq!(
        (error["code"].as_str(), orders["unknown"].as_array().unwrap().len()),
        (Some("interrupted"), 3),
        "{told}"
    );
    let named = |order: &Value| said.contains(order["transaction"].as_str().unwrap());
    assert!(orders["unknown"].as_array().unwrap().iter().all(named), "{told}{said}");
    assert!(said.contains("0 of 3 orders") && said.contains("l1 read order"), "{said}");
    let told =
        |nonce: usize| said.split(&format!("nonce {nonce}: ")).nth(1).unwrap().lines().next().unwrap().to_string();
    let of = |hash: &str| scene.json(&["l1", "read", "order", hash])["answer"].clone();
    assert_eq!(of(&told(2)), "unknown-order");
    links.heal();
    wait_until("they are final all the same", || of(&told(2)).get("recorded-order").is_some());
    assert!(of(&told(0)).get("recorded-order").is_some());
}

#[test]
fn a_submission_that_fails_halfway_says_what_is_final_and_what_may_be() {
    let scene = Scene::up(4);
    let (orders, client) = (scene.orders("orders.jsonl", &[ORDER; 4_000]), scene.client());
    let printed = scene.path("printed");
    let mut submit = scene.command(&["l1", "submit", &orders, "--json"]);
    let out = fs::File::create(&printed).unwrap();
    let mut submit = Ends(submit.stdout(out).stderr(Stdio::piped()).spawn().unwrap());
    // It hands in no more than 32 before it knows that those before are final.
    wait_until("it knows that some are final", || scene.next_nonce(&client).is_some_and(|nonce| nonce > 64));
    scene.kill_all(&[0, 1, 2, 3]);
    let mut said = String::new();
    submit.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(submit.0.wait().unwrap().code(), Some(1), "{said}");
    let number = |what: &str| -> usize {
        let line = said.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no `{what}`: {said}"));
        line.split(' ').next().unwrap().parse().unwrap()
    };
    let (done, open) = (number("are final"), number("may become final yet"));
    assert_eq!(done + open + number("were not handed in"), 4_000, "{said}");
    assert!(done > 0 && open > 0, "{said}");
    let error = &serde_json::from_str::<Value>(&fs::read_to_string(&printed).unwrap()).unwrap()["error"];
    let count = |fate: &str| error["data"]["orders"][fate].as_array().unwrap().len();
    assert_eq!((count("final"), count("unknown")), (done, open), "{error}");
    assert_eq!((error["code"].as_str(), error["data"]["need"].as_u64()), (Some("too_few_answers"), Some(2)), "{error}");
    assert!(said.trim_end().lines().last().unwrap().starts_with("error: 0 of 4 peers answer"), "{said}");
    let told: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("nonce ")?.split_once(": ")).collect();
    assert_eq!(told.len(), done + open, "{said}");
    // What it called final is.
    scene.ok(&["l1", "up"]);
    let last = told.iter().filter_map(|(_, what)| what.split_once(" in block ")).next_back().unwrap();
    let read = scene.json(&["l1", "read", "order", last.0]);
    assert_eq!(read["answer"]["recorded-order"]["height"].to_string(), last.1);
}

#[test]
fn what_is_interrupted_or_impossible_leaves_no_keys_behind() {
    let scene = Scene::new();
    let mut init = Ends(scene.command(&["l1", "init", "--nodes", "60"]).stderr(Stdio::null()).spawn().unwrap());
    let drafts = || fs::read_dir(scene.home()).map_or(0, |entries| entries.count());
    wait_until("it has begun", || drafts() == 1);
    signal("-INT", &[init.0.id().to_string()]);
    assert_eq!(init.0.wait().unwrap().code(), Some(1));
    assert_eq!(drafts(), 0, "neither a draft nor a network");

    let temporary = scene.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let sync = scene.command(&["aow", "sync", "--steps", "0"]).env("TMPDIR", &temporary).output().unwrap();
    assert!(sync.status.code() == Some(1) && text(&sync.stderr).contains("steps"), "{}", text(&sync.stderr));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "nothing was begun");
}

#[test]
fn a_variable_or_setting_that_is_wrong_is_blamed_itself() {
    let scene = Scene::new();
    scene.init(4);
    let folder = scene.peer(0);
    let folder = folder.to_str().unwrap();
    let variable = scene.command(&["l1", "node", folder]).env("DTN_NODE_PORT", "tcp://10.0.0.1:80").output().unwrap();
    let said = text(&variable.stderr);
    assert!(said.contains("the variable DTN_NODE_PORT is not valid: unknown field"), "{said}");
    let said = scene.refused(&["l1", "node", folder, "--set", "listen=nowhere"]);
    assert!(said.contains("--set listen is not valid") && !said.contains("alloc::"), "{said}");

    // A genesis that an editor has put its mark before is as good.
    let genesis = scene.home().join("genesis.json");
    let marked = format!("\u{feff}{}", fs::read_to_string(&genesis).unwrap());
    fs::write(&genesis, marked).unwrap();
    succeed(&mut scene.command(&["l1", "up"]));
    let statuses: Value = scene.json(&["l1", "status"]);
    assert!(statuses.as_array().unwrap().iter().all(Value::is_object), "{statuses}");
}
