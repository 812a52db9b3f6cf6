//! Clients submit and read while a nemesis does to the peers whatever operators have had to live with, and worse. What
//! the clients were told must have one order (Jepsen's question), nothing may be final twice, and nothing that was
//! refused at all.
//!
//! `DTN_NEMESIS=600` goes on for so many seconds, `DTN_SEED` has a run's faults come in the same order once more.

#![allow(clippy::unwrap_used)]

mod history;

use std::{
    collections::HashSet,
    env, fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dtn_keys::{Keystore, Password};
use dtn_primitives::{Address, Block, Payload};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::Value;

use crate::common::{Accepted, Scene, clocks::Clocks, links::Links, signal, skip, text, wait_until};
use history::{Asked, History, Told};

const PEERS: usize = 4;

/// How long it goes on unless told otherwise.
const SECONDS: u64 = 40;

/// Groups of clients that share accounts, each so small, and each account's life so short, that every order of events can
/// be tried.
const TEAMS: usize = 2;
const TEAM: usize = 3;
const CALLS: usize = 12;

#[test]
fn what_clients_are_told_has_one_order_whatever_befalls_the_peers() {
    let seed = env::var("DTN_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    let seconds = env::var("DTN_NEMESIS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    println!("DTN_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let scene = Scene::new();
    scene.init(PEERS);
    let clients = Clients::new(&scene);
    let mut nemesis = Nemesis::new(&scene, StdRng::from_rng(&mut random));
    scene.wait_for_links();
    let blamed = thread::scope(|scope| {
        let _stops = Stop(&clients.stop);
        for team in 0..TEAMS {
            for _ in 0..TEAM {
                let (clients, random) = (&clients, StdRng::from_rng(&mut random));
                scope.spawn(move || clients.work(team, random));
            }
        }
        nemesis.rage(Duration::from_secs(seconds));
        nemesis.blamed.clone()
    });
    clients.look_once_more();
    scene.assert_agreement(&blamed);
    clients.assert_consistent();
    drop(nemesis);
}

/// Tells the clients to end, also when the nemesis has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An account with a folder from which `l1 submit` takes its key.
struct Account {
    home: PathBuf,
    address: Address,
    left: AtomicUsize,
    history: History,
}

/// Some programs that submit and read, and what came of it.
struct Clients<'a> {
    scene: &'a Scene,
    stop: AtomicBool,
    accounts: Mutex<Vec<(usize, Arc<Account>)>>,
    accepted: Mutex<Vec<Accepted>>,
    refused: Mutex<HashSet<String>>,
}

impl<'a> Clients<'a> {
    fn new(scene: &'a Scene) -> Self {
        let (stop, accounts, accepted, refused) = Default::default();
        Self { scene, stop, accounts, accepted, refused }
    }

    /// One client, until it is told to stop.
    fn work(&self, team: usize, mut random: StdRng) {
        while !self.stop.load(Ordering::Relaxed) {
            let account = self.account_of(team);
            match random.random_range(0..10) {
                0 => self.submit(&account, Some(Duration::from_millis(random.random_range(0..1_000)))),
                1..4 => self.submit(&account, None),
                _ => self.read(&account),
            }
        }
    }

    /// The account that a team works on; a new one once enough has happened to the last.
    fn account_of(&self, team: usize) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap();
        let take = |left: usize| left.checked_sub(1);
        if let Some((_, account)) = accounts.iter().rev().find(|(of, _)| *of == team)
            && account.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
        {
            return account.clone();
        }
        let net = self.scene.home();
        let name = format!("account-{}", accounts.len());
        let password = Password::from_file(&net.join("password")).unwrap();
        let (key, _) = Keystore::new(net.join("keys")).generate(&name, &password).unwrap();
        let home = self.scene.path(&name);
        fs::create_dir(&home).unwrap();
        fs::copy(net.join("genesis.json"), home.join("genesis.json")).unwrap();
        let config = fs::read_to_string(net.join("client.toml")).unwrap();
        let config = config.replace("keys/client.json", key.path.to_str().unwrap());
        fs::write(home.join("client.toml"), config.replace("\"password\"", &format!("{:?}", net.join("password"))))
            .unwrap();
        let (left, history) = (AtomicUsize::new(CALLS - 1), History::default());
        let account = Arc::new(Account { home, address: key.address.unwrap(), left, history });
        accounts.push((team, account.clone()));
        account
    }

    /// Submits an order. Who is interrupted does not know what came of it.
    fn submit(&self, account: &Account, interrupted_after: Option<Duration>) {
        let call = account.history.invoke(Asked::Order);
        let name = format!("{} {call}", account.address);
        let order = ["l1", "submit", "--dataset", &name, "--model", "m", "--metric", "a", "--json"];
        let mut command = self.scene.command(&order);
        let mut child =
            command.env("DTN_HOME", &account.home).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if let Some(after) = interrupted_after {
            thread::sleep(after);
            child.kill().ok();
        }
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            self.accepted.lock().unwrap().push(serde_json::from_value(told[0].clone()).unwrap());
            // It says so if reads may not show it yet.
            if told[0]["by_quorum"] == true {
                account.history.complete(call, Told::Final);
            }
        } else if said(&output).contains("the network refuses") {
            self.refused.lock().unwrap().insert(name);
            account.history.complete(call, Told::Refused);
        }
    }

    fn read(&self, account: &Account) {
        let call = account.history.invoke(Asked::Nonce);
        let read = self.scene.run(&["l1", "read", "nonce", &account.address.to_string(), "--json"]);
        if read.status.success() {
            let told: Value = serde_json::from_slice(&read.stdout).unwrap();
            account.history.complete(call, Told::Next(told["answer"]["nonce"].as_u64().unwrap()));
        } else {
            assert!(!said(&read).contains("panicked"), "{}", said(&read));
        }
    }

    /// One more read of each account, now that nothing is in its way.
    fn look_once_more(&self) {
        for (_, account) in &*self.accounts.lock().unwrap() {
            let before = account.history.completed();
            self.read(account);
            assert!(account.history.completed() > before, "a network that nothing happens to is read");
        }
    }

    /// What was said is true.
    fn assert_consistent(&self) {
        let accounts = self.accounts.lock().unwrap();
        let (accepted, refused) = (self.accepted.lock().unwrap(), self.refused.lock().unwrap());
        let calls: usize = accounts.iter().map(|(_, account)| account.history.completed()).sum();
        println!(
            "{} accounts, {calls} calls completed, of them {} orders final and {} refused",
            accounts.len(),
            accepted.len(),
            refused.len()
        );
        for (_, account) in &*accounts {
            let contradiction = account.history.contradiction();
            assert!(contradiction.is_none(), "no order explains {}:\n{}", account.address, contradiction.unwrap());
        }
        assert!(calls > 0 && !accepted.is_empty());
        for block in self.scene.assert_one_chain(&accepted) {
            let wrong = orders_of(&block).find(|name| refused.contains(*name));
            assert_eq!(wrong, None, "an order that was refused is final in block {}", block.header.height);
        }
    }
}

fn orders_of(block: &Block) -> impl Iterator<Item = &String> {
    block.transactions.iter().filter_map(|transaction| match &transaction.payload {
        Payload::Order(order) => Some(&order.dataset),
        _ => None,
    })
}

fn said(output: &Output) -> String {
    text(&output.stderr)
}

/// What befalls peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Some crash at once, perhaps all.
    Kill,
    /// Some hang for a while.
    Pause,
    /// The links between some and the others let nothing pass.
    Cut,
    /// A clock goes wrong.
    Clock,
    /// A disk takes nothing more.
    Disk,
    /// One crashes, and its disk damages its store.
    Bits,
}

/// Who does it, one thing after the other.
struct Nemesis<'a> {
    scene: &'a Scene,
    random: StdRng,
    links: Links,
    clocks: Option<Clocks>,
    peers: Vec<Child>,
    faults: Vec<Fault>,
    /// Peers that the others rightly find fault with.
    blamed: Vec<usize>,
}

impl<'a> Nemesis<'a> {
    /// Starts the peers.
    fn new(scene: &'a Scene, random: StdRng) -> Self {
        let mut faults = vec![Fault::Kill, Fault::Pause, Fault::Cut, Fault::Bits];
        let clocks = Clocks::new();
        match &clocks {
            Ok(_) => faults.push(Fault::Clock),
            Err(why) => skip("the nemesis' clocks", why),
        }
        match Command::new("prlimit").arg("--version").output() {
            Ok(_) => faults.push(Fault::Disk),
            Err(error) => skip("the nemesis' full disk", &format!("prlimit: {error}")),
        }
        let links = Links::between_peers_of(scene, None);
        let (clocks, peers, blamed) = (clocks.ok(), Vec::new(), Vec::new());
        let mut nemesis = Self { scene, random, links, clocks, peers, faults, blamed };
        for peer in 0..PEERS {
            let started = nemesis.start(peer);
            nemesis.peers.push(started);
        }
        nemesis
    }

    fn start(&self, peer: usize) -> Child {
        // A write that the disk does not take is an error then, and not the end.
        let inside = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""].map(String::from);
        let variables = self.clocks.as_ref().map(|clocks| clocks.variables(peer)).unwrap_or_default();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.scene.start(peer, &inside, &variables)
    }

    fn restart(&mut self, peer: usize) {
        self.peers[peer] = self.start(peer);
    }

    /// Every kind of fault in any order, again and again; each once at least, however long that takes.
    fn rage(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut faults = self.faults.clone();
        for round in 0.. {
            faults.shuffle(&mut self.random);
            for fault in &faults {
                if round > 0 && Instant::now() > end {
                    return;
                }
                self.wait(500..1_500);
                // Some while the network is cut.
                if matches!(fault, Fault::Kill | Fault::Pause | Fault::Clock) && self.random.random_bool(0.3) {
                    self.commit(Fault::Cut);
                }
                self.commit(*fault);
                self.links.heal();
            }
        }
    }

    fn wait(&mut self, milliseconds: std::ops::Range<u64>) {
        thread::sleep(Duration::from_millis(self.random.random_range(milliseconds)));
    }

    /// Some peers, as many as this at the most.
    fn some(&mut self, most: usize) -> Vec<usize> {
        let mut peers: Vec<_> = (0..PEERS).collect();
        peers.shuffle(&mut self.random);
        peers.truncate(self.random.random_range(1..=most));
        peers
    }

    fn pids(&self, peers: &[usize]) -> Vec<String> {
        peers.iter().map(|peer| self.peers[*peer].id().to_string()).collect()
    }

    fn crash(&mut self, peers: &[usize]) {
        signal("-9", &self.pids(peers));
        for peer in peers {
            self.peers[*peer].wait().unwrap();
        }
    }

    fn commit(&mut self, fault: Fault) {
        let most = match fault {
            Fault::Kill => PEERS,
            Fault::Pause | Fault::Cut => PEERS / 2,
            Fault::Clock | Fault::Disk | Fault::Bits => 1,
        };
        let peers = self.some(most);
        println!("{fault:?} {peers:?}");
        match fault {
            Fault::Cut => {
                self.links.split(&peers);
                self.wait(500..5_000);
            }
            Fault::Kill => {
                self.crash(&peers);
                self.wait(0..2_000);
                peers.iter().for_each(|peer| self.restart(*peer));
            }
            Fault::Pause => {
                signal("-STOP", &self.pids(&peers));
                self.wait(500..4_000);
                signal("-CONT", &self.pids(&peers));
            }
            Fault::Clock => self.turn_the_clock(peers[0]),
            Fault::Disk => self.fill_the_disk(peers[0]),
            Fault::Bits => self.damage_the_store(peers[0]),
        }
    }

    fn turn_the_clock(&mut self, peer: usize) {
        let ahead = self.random.random_range(-3_600..3_600);
        let clocks = self.clocks.as_ref().expect("else this is no fault that happens");
        clocks.set(peer, &format!("{ahead:+}"));
        self.blamed.push(peer);
        self.wait(500..4_000);
        self.clocks.as_ref().expect("as before").set(peer, "+0");
    }

    /// From now on no byte beyond the first few of a file can be written.
    fn fill_the_disk(&mut self, peer: usize) {
        let pid = self.peers[peer].id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, "--fsize=4096"]).status().unwrap().success());
        wait_until("a peer whose disk is full ends", || self.peers[peer].try_wait().unwrap().is_some());
        self.wait(0..2_000);
        self.restart(peer);
    }

    /// A peer whose store has a wrong bit on every page says so and does not start. Without its store it is silent, and
    /// heals.
    fn damage_the_store(&mut self, peer: usize) {
        const PAGE: usize = 4096;
        self.crash(&[peer]);
        let store = self.scene.peer(peer).join("ledger.redb");
        let mut bytes = fs::read(&store).unwrap();
        for page in bytes.chunks_mut(PAGE) {
            page[self.random.random_range(0..page.len())] ^= 1 << self.random.random_range(0..8);
        }
        fs::write(&store, bytes).unwrap();
        let before = self.scene.log(peer).len();
        self.restart(peer);
        wait_until("a peer with a damaged store ends", || self.peers[peer].try_wait().unwrap().is_some());
        let log = self.scene.log(peer).split_off(before);
        assert!(log.contains("error: ") && log.contains("ledger.redb") && !log.contains("panicked"), "{log}");
        fs::remove_file(store).unwrap();
        self.restart(peer);
        self.scene.wait_for("the peer that lost its store votes again", |statuses| {
            statuses[peer].as_ref().is_some_and(|status| !status.silent)
        });
    }
}

impl Drop for Nemesis<'_> {
    fn drop(&mut self) {
        for peer in &mut self.peers {
            peer.kill().ok();
            peer.wait().ok();
        }
    }
}
