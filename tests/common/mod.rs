//! What the tests on real processes share: a network in a folder of its own, run by the built command line, and what
//! must be true of it in the end.

#![allow(dead_code, clippy::unwrap_used)] // Each test target uses its part; a test fails by a panic.

pub(crate) mod clocks;
pub(crate) mod lan;
pub(crate) mod links;
pub(crate) mod race;

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dtn_api::{ApiClient, CertifiedHeader, MAX_WAIT_MS, Status};
use dtn_ledger::Ledger;
use dtn_primitives::{B256, Block, Genesis, Payload, SecretKey, Transaction};
use jsonrpsee::http_client::HttpClientBuilder;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// An order that asks for nothing but its place in a block.
pub(crate) const ORDER: &str = r#"{"dataset":"MNIST","model":"LeNet-5","metric":"accuracy >= 0.99"}"#;

/// How long a condition may take to come true. Far longer than it takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

const POLL: Duration = Duration::from_millis(100);

/// An order that is final, as `l1 submit --json` tells.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) transaction: B256,
    pub(crate) height: u64,
}

/// A folder of its own; every peer that was started in it is stopped in the end, whatever the test did.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    /// What the commands are run by, as `ip netns exec NAME`; nothing on the machine itself.
    inside: Vec<String>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::inside(Vec::new())
    }

    /// One whose commands are run by another command.
    pub(crate) fn inside(command: Vec<String>) -> Self {
        Self { folder: TempDir::new().unwrap(), inside: command }
    }

    /// One with a network of so many peers that are up.
    pub(crate) fn up(nodes: usize) -> Self {
        let scene = Self::new();
        scene.init(nodes);
        scene.ok(&["l1", "up"]);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("net")
    }

    pub(crate) fn peer(&self, index: usize) -> PathBuf {
        self.home().join("peers").join(index.to_string())
    }

    pub(crate) fn genesis(&self) -> Genesis {
        serde_json::from_str(&fs::read_to_string(self.home().join("genesis.json")).unwrap()).unwrap()
    }

    // Commands.

    fn program(&self, inside: &[String]) -> Command {
        let program = env!("CARGO_BIN_EXE_dtn-cli");
        let mut command = match inside {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.current_dir(ROOT).env("DTN_HOME", self.home()).env_remove("RUST_LOG");
        command
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&self.inside);
        command.args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed and gives its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        succeed(&mut self.command(arguments))
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Runs a command that must fail with exit code 1 and gives its standard error.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "dtn-cli {arguments:?}\n{}\n{stderr}", text(&output.stdout));
        assert!(!stderr.contains("panicked"), "{stderr}");
        stderr
    }

    pub(crate) fn init(&self, nodes: usize) {
        self.init_with(nodes, &[]);
    }

    pub(crate) fn init_with(&self, nodes: usize, options: &[&str]) {
        let port = free_port_range(2 * nodes as u16);
        let network = ["l1", "init", "--nodes", &nodes.to_string(), "--base-port", &port.to_string()];
        self.ok(&[&network, options].concat());
    }

    /// Writes orders and gives the file.
    pub(crate) fn orders(&self, name: &str, lines: &[&str]) -> String {
        let file = self.path(name);
        fs::write(&file, lines.join("\n")).unwrap();
        file.to_str().unwrap().to_string()
    }

    /// The address of the account that hands in orders.
    pub(crate) fn client(&self) -> String {
        let keys = self.json(&["keys", "list", "--keys", self.home().join("keys").to_str().unwrap()]);
        let client = keys.as_array().unwrap().iter().find(|key| key["name"] == "client").unwrap();
        client["address"].as_str().unwrap().to_string()
    }

    /// What the account's next transaction has to have, as a quorum says; nothing while no quorum does.
    pub(crate) fn next_nonce(&self, account: &str) -> Option<u64> {
        let read = self.run(&["l1", "read", "nonce", account, "--json"]);
        serde_json::from_slice::<Value>(&read.stdout).ok()?["answer"]["nonce"].as_u64()
    }

    /// Hands in so many orders and waits until they are final.
    pub(crate) fn submit(&self, count: usize) -> Vec<Accepted> {
        let orders = self.orders(&format!("{count}.jsonl"), &vec![ORDER; count]);
        let accepted: Vec<Accepted> = serde_json::from_value(self.json(&["l1", "submit", &orders])).unwrap();
        assert_eq!(accepted.len(), count);
        accepted
    }

    /// Hands in so many transactions to the first peer, each after the one before it is final: each has its own block.
    pub(crate) fn submit_one_by_one(&self, count: u64) -> Vec<Accepted> {
        let domain = self.genesis().domain();
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let api = self.api(0);
        let submit = async move {
            let peer = HttpClientBuilder::default().build(format!("http://{api}")).unwrap();
            let mut accepted = Vec::new();
            for nonce in 0..count {
                let payload = Payload::Data { nonce, items: vec![[1]].into() };
                let hash = peer.submit(Transaction::sign(payload, &key, &domain)).await.unwrap();
                let reply = peer.reply(hash, MAX_WAIT_MS).await.unwrap().expect("it is final within a minute");
                accepted.push(Accepted { transaction: hash, height: reply.height });
            }
            accepted
        };
        tokio::runtime::Runtime::new().unwrap().block_on(submit)
    }

    // Peers.

    pub(crate) fn nodes(&self) -> usize {
        self.genesis().validators.len()
    }

    /// Where a peer serves its API.
    pub(crate) fn api(&self, index: usize) -> String {
        let config = fs::read_to_string(self.peer(index).join("node.toml")).unwrap();
        config.lines().find_map(|line| line.strip_prefix("api = ")).unwrap().trim_matches('"').to_string()
    }

    /// Sets a key that a peer's `node.toml` has.
    pub(crate) fn set_key(&self, index: usize, key: &str, value: &str) {
        let file = self.peer(index).join("node.toml");
        let config = fs::read_to_string(&file).unwrap();
        let is_key = |line: &&str| line.split(" = ").next() == Some(key);
        let line = config.lines().find(is_key).unwrap_or_else(|| panic!("no {key} in {config}"));
        fs::write(&file, config.replace(line, &format!("{key} = {value}"))).unwrap();
    }

    /// Starts one peer by itself, run by another command and with more variables, as `l1 up` does otherwise. The other
    /// commands take it for one that `l1 up` started.
    pub(crate) fn start(&self, index: usize, inside: &[String], variables: &[(&str, &str)]) -> Child {
        let folder = self.peer(index);
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = self.program(inside);
        command.args(["l1", "node"]).arg(&folder).envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        fs::write(folder.join("pid"), child.id().to_string()).unwrap();
        child
    }

    fn signal(&self, signal: &str, peers: &[usize]) {
        let pid = |peer: &usize| fs::read_to_string(self.peer(*peer).join("pid")).unwrap().trim().to_string();
        let pids: Vec<_> = peers.iter().map(pid).collect();
        self::signal(signal, &pids);
        wait_until("the processes are gone", || pids.iter().all(|pid| has_ended(pid)));
    }

    /// Kills a peer as a crash would.
    pub(crate) fn kill(&self, index: usize) {
        self.signal("-9", &[index]);
    }

    /// Kills several peers at once.
    pub(crate) fn kill_all(&self, peers: &[usize]) {
        self.signal("-9", peers);
    }

    /// Stops a peer as its operator would, and waits for its end.
    pub(crate) fn stop(&self, index: usize) {
        self.signal("-TERM", &[index]);
    }

    /// What a peer has logged since it was first started.
    pub(crate) fn log(&self, index: usize) -> String {
        text(&fs::read(self.peer(index).join("log")).unwrap_or_default())
    }

    /// How all peers are doing; `None` for those that do not answer.
    pub(crate) fn statuses(&self) -> Vec<Option<Status>> {
        let output = self.run(&["l1", "status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
    }

    /// The status of a peer that must answer.
    pub(crate) fn status(&self, index: usize) -> Status {
        self.statuses().swap_remove(index).unwrap_or_else(|| panic!("peer {index} does not answer"))
    }

    /// Waits until no block is on its way any more, where blocks come to an end: peers that are stopped one after the other
    /// would have one more or less.
    fn let_rest(&self) {
        let heights = || -> Vec<_> { self.statuses().iter().flatten().map(|status| status.height).collect() };
        let mut before = Vec::new();
        for _ in 0..50 {
            let now = heights();
            if now == before && now.iter().all(|height| *height == now[0]) {
                return;
            }
            before = now;
            thread::sleep(POLL);
        }
    }

    /// Waits for what the statuses of all peers must tell.
    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn(&[Option<Status>]) -> bool) {
        let mut last = Vec::new();
        let came = comes_true(|| {
            last = self.statuses();
            condition(&last)
        });
        if !came {
            let logs: Vec<_> =
                (0..self.nodes()).map(|peer| format!("peer {peer}:\n{}", tail(&self.log(peer)))).collect();
            panic!("never: {what}\n{last:#?}\n{}", logs.join("\n"));
        }
    }

    /// The view that most of some peers are in, and its primary.
    pub(crate) fn view(&self, peers: &[usize]) -> (u64, usize) {
        let statuses = self.statuses();
        let mut views: Vec<_> = peers.iter().filter_map(|peer| statuses[*peer].as_ref()).collect();
        views.sort_by_key(|status| status.view);
        let middle = views.get(views.len() / 2).expect("one of the peers answers");
        (middle.view, usize::from(middle.primary))
    }

    /// Waits until all peers are linked to all.
    pub(crate) fn wait_for_links(&self) {
        self.wait_for("all peers are linked", |statuses| {
            let linked = |status: &Option<Status>| status.as_ref().is_some_and(|s| s.connected.len() + 1 == s.nodes);
            statuses.iter().all(linked)
        });
    }

    pub(crate) fn certificate(&self, height: u64) -> CertifiedHeader {
        serde_json::from_value(self.json(&["l1", "certificate", &height.to_string()])).unwrap()
    }

    // The end.

    /// What every test ends with: all peers have one tip and nothing left to do, nobody was caught lying, and no correct
    /// peer has a fault to report of another.
    pub(crate) fn assert_agreement(&self, incorrect: &[usize]) {
        self.wait_for("all peers have the same tip and nothing left to do", |statuses| {
            let tip = |status: &Status| (status.height, status.block_hash);
            let Some(first) = statuses[0].as_ref().map(tip) else { return false };
            let done = |status: &Option<Status>| {
                status.as_ref().is_some_and(|s| tip(s) == first && s.pending_transactions == 0)
            };
            statuses.iter().all(done)
        });
        for (peer, status) in self.statuses().into_iter().enumerate().filter(|(peer, _)| !incorrect.contains(peer)) {
            let status = status.unwrap();
            assert!(status.evidence.is_empty(), "peer {peer}: {status:#?}\n{}", self.log(peer));
            let faults =
                status.faults.iter().enumerate().filter(|(other, count)| **count > 0 && !incorrect.contains(other));
            assert_eq!(faults.count(), 0, "peer {peer}: {status:#?}\n{}", self.log(peer));
        }
    }

    /// Stops the network and reads every peer's store: all hold the same chain, and each of these orders, and nothing
    /// else, is in it exactly once and where the client was told.
    pub(crate) fn assert_final_once(&self, accepted: &[Accepted]) {
        let blocks = self.assert_one_chain(accepted);
        let transactions: usize = blocks.iter().map(|block| block.transactions.len()).sum();
        let kept = accepted.iter().filter(|order| order.height >= blocks[0].header.height);
        assert_eq!(transactions, kept.count(), "there is something that nobody submitted");
    }

    /// Stops the network and reads every peer's store: all hold the same chain, and each of these orders is in it exactly
    /// once and where the client was told, as far as blocks are kept. Gives those.
    pub(crate) fn assert_one_chain(&self, accepted: &[Accepted]) -> Vec<Block> {
        self.let_rest();
        self.ok(&["l1", "down"]);
        let genesis = self.genesis();
        let domain = genesis.domain();
        let mut chain: BTreeMap<u64, Block> = BTreeMap::new();
        let mut tips = Vec::new();
        for peer in 0..self.nodes() {
            let ledger = Ledger::open(self.peer(peer).join("ledger.redb"), genesis.clone()).unwrap();
            tips.push(ledger.tip().height);
            // A peer that took over the state has none of the first ones.
            for block in (1..=ledger.tip().height).filter_map(|height| ledger.block(height).unwrap()) {
                let height = block.header.height;
                let known = chain.entry(height).or_insert_with(|| block.clone());
                assert_eq!(*known, block, "peer {peer} has another block at {height}");
            }
        }
        assert!(tips.iter().all(|tip| *tip == tips[0]), "{tips:?}");
        let first = tips[0] + 1 - chain.len() as u64;
        assert_eq!(chain.keys().next(), Some(&first), "a block between two others is missing");
        let mut found: HashMap<B256, u64> = HashMap::new();
        for (height, block) in &chain {
            for transaction in &block.transactions {
                let twice = found.insert(transaction.hash(&domain), *height);
                assert_eq!(twice, None, "a transaction of height {height} is there twice");
            }
        }
        let mut kept = accepted.iter().filter(|order| order.height >= first);
        let wrong = kept.find(|order| found.get(&order.transaction) != Some(&order.height));
        assert_eq!(wrong.map(|order| order.height), None);
        chain.into_values().collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if self.home().join("client.toml").exists() {
            self.run(&["l1", "down"]);
        }
    }
}

/// Orders that are handed in, batch after batch, while something else happens.
pub(crate) struct Load {
    stop: AtomicBool,
    accepted: Mutex<Vec<Accepted>>,
}

impl Load {
    /// Hands in orders for as long as `during` takes, and gives those that became final, which all must.
    pub(crate) fn while_doing(scene: &Scene, batch: usize, during: impl FnOnce(&Load)) -> Vec<Accepted> {
        let load = Self { stop: AtomicBool::new(false), accepted: Mutex::new(Vec::new()) };
        thread::scope(|scope| {
            let _stops = Stop(&load.stop);
            scope.spawn(|| {
                let _stops = Stop(&load.stop);
                while !load.stop.load(Ordering::Relaxed) {
                    let accepted = scene.submit(batch);
                    load.accepted.lock().unwrap().extend(accepted);
                }
            });
            during(&load);
        });
        load.accepted.into_inner().unwrap()
    }

    fn count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Waits until so many more orders are final. They were handed in before or after now.
    pub(crate) fn wait_for_more(&self, orders: usize) {
        let goal = self.count() + orders;
        wait_until("orders go on being final", || {
            assert!(!self.stop.load(Ordering::Relaxed), "the orders' thread has failed");
            self.count() >= goal
        });
    }
}

/// Tells the other thread to stop, also when this one fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Runs a command that must succeed and gives its standard output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}

/// Sends a signal to processes.
pub(crate) fn signal(signal: &str, pids: &[String]) {
    assert!(Command::new("kill").arg(signal).args(pids).status().unwrap().success(), "{signal} {pids:?}");
}

/// Waits until something holds; fails if it never does.
pub(crate) fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    assert!(comes_true(holds), "never: {what}");
}

fn comes_true(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// Whether a process has ended and let go of its files and ports. One that nobody waits for stays as a zombie; before that
/// its command line is empty for a while in which its ports are still taken (Linux: `do_exit`).
pub(crate) fn has_ended(pid: &str) -> bool {
    let process = Path::new("/proc").join(pid);
    let Ok(status) = fs::read_to_string(process.join("status")) else { return true };
    status.contains("State:\tZ") && fs::read_dir(process.join("task")).is_ok_and(|threads| threads.count() == 1)
}

/// Says that a test does not run here, past what the harness captures of a test that passes.
pub(crate) fn skip(test: &str, why: &str) {
    writeln!(std::io::stderr(), "skipped: {test}: {why}").ok();
}

/// The first of a run of ports that are free now and that no other test of this process is given. They are below those of
/// outgoing connections (Linux: from 32768 on), so that a peer that is down for a while finds its ports again, and above
/// those that a command takes which looks for free ones itself.
pub(crate) fn free_port_range(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let offset = NEXT.fetch_add(count, Ordering::Relaxed);
        let base = 24_000 + (std::process::id() as u16).wrapping_mul(64).wrapping_add(offset) % 8_000;
        if (base..base + count).all(free) {
            return base;
        }
    }
}
