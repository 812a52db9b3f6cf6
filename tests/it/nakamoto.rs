//! Mined blocks on real processes: they become final, survive kills, and pay on chain.

#![allow(clippy::unwrap_used)]

use std::fs;

use serde_json::Value;

use crate::common::{Scene, wait_until};

/// Blocks that come fast and are final soon, on whatever machine.
const MINING: [&str; 8] =
    ["--engine", "nakamoto", "--block-interval", "500ms", "--confirmations", "3", "--block-work", "2000000"];

/// An order that asks for work.
const WORK: &str =
    r#"{"dataset":"MNIST","model":"LeNet-5","metric":"accuracy","reward":"1 wei","work":{"expected_hashes":100000}}"#;

/// Starts four peers that all vote: one that finds blocks final when it first starts takes its memory for lost, and does
/// not vote for a while.
fn up(scene: &Scene) {
    scene.init_with(4, &MINING);
    scene.ok(&["l1", "up"]);
    scene.wait_for("all vote", |statuses| statuses.iter().flatten().filter(|status| !status.silent).count() == 4);
}

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
    up(&scene);
    let orders = scene.orders("orders.jsonl", &[WORK; 5]);
    let accepted = scene.json(&["l1", "submit", &orders]);
    let last = accepted[4]["height"].as_u64().unwrap();
    let certificate = scene.json(&["l1", "certificate", &last.to_string()]);
    assert!(certificate["certificate"]["signatures"].as_array().unwrap().len() >= 3, "{certificate}");
    // Those that have not told the client of it yet follow.
    wait_until("three blocks are on top of the last one at every peer", || {
        mining(&scene).iter().all(|mined| height(mined) >= last + 3)
    });
    assert!(mining(&scene).iter().all(|mined| mined["confirmations"] == 3));

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

/// The hash of a final block.
fn hash_at(scene: &Scene, height: u64) -> Value {
    scene.json(&["l1", "certificate", &height.to_string()])["certificate"]["block_hash"].clone()
}

#[test]
fn a_chain_that_a_peer_mined_alone_undoes_no_final_block_and_the_peer_says_what_it_lost() {
    const ALONE: u64 = 20;
    let scene = Scene::new();
    up(&scene);
    let order = scene.orders("order.jsonl", &[WORK]);
    scene.ok(&["l1", "submit", &order]);

    scene.kill_all(&[0, 1, 2]);
    let common = height(&mining(&scene)[3]);
    wait_until("it has mined alone", || height(&mining(&scene)[3]) > common + ALONE);
    scene.kill(3);

    let mut others: Vec<_> = (0..3).map(|index| scene.start(index, &[], &[])).collect();
    scene.wait_for("the others are final beyond what all had", |statuses| {
        statuses[..3].iter().flatten().filter(|status| status.height > common + 1).count() == 3
    });
    let heights = 1..=common + 2;
    let before: Vec<_> = heights.clone().map(|height| hash_at(&scene, height)).collect();

    scene.ok(&["l1", "up"]);
    wait_until("it left its chain for the final one, and says so", || {
        let own = &mining(&scene)[3];
        own["deepest_reorganization"].as_u64() >= Some(ALONE)
    });
    let told = scene.ok(&["l1", "status"]);
    assert!(told.contains("reorganizations, the deepest left"), "{told}");
    assert!(scene.log(3).contains("reorganized"), "{}", scene.log(3));
    let accepted = scene.json(&["l1", "submit", &order]);
    let last = accepted[0]["height"].as_u64().unwrap();
    scene.wait_for("all have the same chain", |statuses| {
        statuses.iter().flatten().filter(|it| it.height >= last).count() == 4
    });
    let after: Vec<_> = heights.map(|height| hash_at(&scene, height)).collect();
    assert_eq!(before, after);

    scene.ok(&["l1", "down"]);
    others.iter_mut().for_each(|other| _ = other.wait().unwrap());
}

#[test]
fn results_in_mined_blocks_are_paid_through_the_same_registry() {
    let scene = Scene::new();
    let file = scene.path("report.json");
    scene.ok(&[&["demo", "--steps", "65536", "--json", file.to_str().unwrap()], &MINING[..]].concat());
    let report: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let payouts = report["settlement"]["payouts"].as_array().unwrap();
    assert_eq!(payouts.len(), 4 + 3, "every reward once");
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
