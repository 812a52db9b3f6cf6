//! A thousand races at once among real processes, one of which is killed in the middle and comes back.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    ops::Range,
    thread,
};

use crate::common::{Scene, free_port_range, race::Serving};

const RACES: usize = 1_000;

/// How many lines the one that is killed takes in before.
const BEFORE: usize = 250;

/// Sends lines to a port, each after the one before it is taken: as often as it is told to send it again.
fn send(port: u16, lines: Range<usize>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    for line in lines {
        let answer = loop {
            stream.write_all(format!("line {line}\n").as_bytes()).unwrap();
            let answer = answers.next().unwrap().unwrap();
            if !answer.ends_with("send it again later") {
                break answer;
            }
        };
        assert_eq!(answer, "Transaction received. Processing POW...");
    }
}

#[test]
fn of_a_thousand_races_each_has_one_entry_on_every_peer_though_one_is_killed_in_the_middle() {
    let scene = Scene::new();
    let first = free_port_range(4);
    let ports = [first, first + 1, first + 2, first + 3];
    let mut serving = Serving::start(&scene, &ports, 1);
    thread::scope(|scope| {
        // Every line comes in by three ports that stay, and by one that is gone for a while.
        for port in &ports[..3] {
            scope.spawn(|| send(*port, 0..RACES));
        }
        scope.spawn(|| {
            send(ports[3], 0..BEFORE);
            scene.kill(3);
            scene.ok(&["l1", "up"]);
            send(ports[3], BEFORE..RACES);
        });
    });
    let entries = serving.wait_for(RACES);
    let data = |entry: &serde_json::Value| entry["payload"]["line"]["data"].as_str().unwrap().to_string();
    let distinct: BTreeSet<_> = entries.iter().map(data).collect();
    assert_eq!(distinct.len(), RACES);
    scene.wait_for("nothing is left to do", |statuses| {
        let done = |open: usize, pending: usize| open == 0 && pending == 0;
        statuses.iter().all(|it| it.as_ref().is_some_and(|it| done(it.open_orders, it.pending_transactions)))
    });
    scene.assert_agreement(&[]);
    assert_eq!(serving.wait_for(RACES).len(), RACES, "no line has a second entry");
    let ledgers = ["0", "1", "2", "3"].map(|peer| scene.ok(&["pow", "ledger", "--peer", peer, "--format", "jsonl"]));
    assert_eq!(ledgers[0].lines().count(), RACES);
    assert!(ledgers.iter().all(|ledger| *ledger == ledgers[0]), "all peers have one ledger");
    serving.stop();
    let file = scene.path("ledger.jsonl");
    std::fs::write(&file, &ledgers[3]).unwrap();
    let genesis = scene.home().join("genesis.json");
    let check = ["pow", "ledger", "--check", file.to_str().unwrap(), "--genesis", genesis.to_str().unwrap()];
    assert!(scene.ok(&check).contains("1000 entries are right"));
}
