//! Mined blocks on real processes: they become final, survive kills, and pay on chain.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use serde_json::Value;

use common::{Scene, wait_until};

/// Blocks that come fast and are final soon, on whatever machine.
const MINING: [&str; 8] =
    ["--engine", "nakamoto", "--block-interval", "500ms", "--confirmations", "3", "--block-work", "2000000"];

/// An order that asks for work.
const WORK: &str =
    r#"{"dataset":"MNIST","model":"LeNet-5","metric":"accuracy","reward":"1 wei","work":{"expected_hashes":100000}}"#;

fn mining(scene: &Scene) -> Vec<Value> {
    let statuses = scene.json(&["l1", "status"]);
    statuses.as_array().unwrap().iter().map(|status| status["mining"].clone()).collect()
}

fn height(status: &Value) -> u64 {
    status["height"].as_u64().unwrap_or_default()
}

#[test]
fn mined_blocks_become_final_with_certificates_and_killed_peers_catch_up() {
    let scene = Scene::new();
    scene.init_with(4, &MINING);
    scene.ok(&["l1", "up"]);
    let orders = scene.orders("orders.jsonl", &[WORK; 5]);
    let accepted = scene.json(&["l1", "submit", &orders]);
    let last = accepted[4]["height"].as_u64().unwrap();
    let certificate = scene.json(&["l1", "certificate", &last.to_string()]);
    assert!(certificate["certificate"]["signatures"].as_array().unwrap().len() >= 3, "{certificate}");
    for mined in mining(&scene) {
        assert!(height(&mined) >= last + 3, "a block is final once three are on top of it: {mined}");
        assert_eq!(mined["confirmations"], 3);
    }

    // One is killed and comes back with what it has, one with nothing.
    scene.kill(2);
    scene.kill(3);
    fs::remove_file(scene.peer(3).join("ledger.redb")).unwrap();
    scene.ok(&["l1", "up"]);
    let accepted = scene.json(&["l1", "submit", &orders]);
    let last = accepted[4]["height"].as_u64().unwrap();
    wait_until("all peers have the last orders", || {
        let statuses = scene.json(&["l1", "status"]);
        statuses.as_array().unwrap().iter().all(|status| height(status) >= last)
    });
    for order in accepted.as_array().unwrap() {
        let order = order["transaction"].as_str().unwrap();
        wait_until("the race has its winner", || {
            scene.json(&["l1", "read", "order", order])["answer"]["closed-order"].is_object()
        });
    }
    let statuses = scene.json(&["l1", "status"]);
    for status in statuses.as_array().unwrap() {
        assert_eq!(status["faults"].as_array().unwrap().iter().filter(|count| **count != 0).count(), 0, "{status}");
    }
}

#[test]
fn results_in_mined_blocks_are_paid_through_the_same_registry() {
    let scene = Scene::new();
    let file = scene.path("report.json");
    scene.ok(&[&["demo", "--steps", "65536", "--json", file.to_str().unwrap()], &MINING[..]].concat());
    let report: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let payouts = report["settlement"]["payouts"].as_array().unwrap();
    assert_eq!(payouts.len(), 8 + 3, "every reward once");
    for payout in payouts {
        assert_eq!(payout["amount_wei"], payout["balance_delta_wei"], "{payout}");
    }
}

#[test]
fn a_network_keeps_the_engine_that_it_was_made_with() {
    let scene = Scene::new();
    scene.init(4);
    let refused = scene.refused(&["l1", "up", "--engine", "nakamoto"]);
    assert!(refused.contains("part of its genesis"), "{refused}");
    let fast = Scene::new();
    let refused = fast.refused(&["l1", "init", "--engine", "nakamoto", "--block-interval", "1ms"]);
    assert!(refused.contains("block_interval_ms 1 is not in"), "{refused}");
    let idle = fast.refused(&["l1", "init", "--engine", "nakamoto", "--block-work", "0"]);
    assert!(idle.contains("at least 1 hash"), "{idle}");
    let unburied = fast.refused(&["l1", "init", "--engine", "nakamoto", "--confirmations", "0"]);
    assert!(unburied.contains("confirmations 0 is not in"), "{unburied}");
}
