//! Rounds of sequential work among real peers: what is completed, verified, refused and recorded.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use dtn_aow::{Delay, Start, attack::Claim};
use dtn_api::{ApiClient, Verification};
use dtn_node::ROUND_SECURITY;
use dtn_primitives::*;

use crate::common::*;

/// Enough for a real proof.
const STEPS: u64 = 6000;

/// So many that peers can be killed while they work.
const LONG: u64 = 50 * STEPS;

impl Cluster {
    fn round(&self, nonce: u64, quorum: u16, duration_ms: u64) -> Transaction {
        self.round_of(STEPS, nonce, quorum, duration_ms)
    }

    fn round_of(&self, steps: u64, nonce: u64, quorum: u16, duration_ms: u64) -> Transaction {
        let round = RoundOrder { nonce, steps, quorum, duration_ms, reward: U256::ZERO };
        Transaction::sign(Payload::Round(round), &self.requester, &self.genesis.domain())
    }

    async fn open(&self, at: usize, round: Transaction) {
        self.client(at).submit(round).await.unwrap();
    }

    /// Waits until a peer has closed a round.
    async fn closed(&self, at: usize, number: u64) -> Round {
        let what = format!("peer {at} to close round {number}");
        until(&what, || async { self.client(at).round(number).await.unwrap().filter(|round| round.closing.is_some()) })
            .await
    }

    /// What a peer found, once it has checked the proofs of so many others.
    async fn verifications(&self, at: usize, round: u64, count: usize) -> Vec<Verification> {
        let what = format!("peer {at} to verify {count} proofs of round {round}");
        until(&what, || async {
            Some(self.client(at).verifications(round).await.unwrap()).filter(|found| found.len() >= count)
        })
        .await
    }

    fn validators(&self) -> ValidatorSet {
        self.genesis.validator_set().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_peer_verifies_every_other_before_a_round_closes() {
    let cluster = Cluster::start(4).await;
    let mut beacons = Vec::new();
    for number in 1..=2 {
        cluster.open(number as usize, cluster.round(number - 1, 4, 60_000)).await;
        let mut rounds = Vec::new();
        for peer in 0..4 {
            rounds.push(cluster.closed(peer, number).await);
            let found = cluster.verifications(peer, number, 3).await;
            assert!(found.iter().all(|it| it.valid && it.bytes > 10_000 && it.verify_us > 0), "{found:?}");
            let mut nodes: Vec<_> = found.iter().map(|it| it.node).collect();
            nodes.push(cluster.keys[peer].address());
            nodes.sort();
            let all: Vec<_> = cluster.validators().iter().map(|(_, validator)| validator.address).collect();
            assert_eq!(nodes, all, "the others, and nobody twice");
        }
        assert!(rounds.iter().all(|round| *round == rounds[0]), "the same record everywhere");
        let round = &rounds[0];
        assert_eq!(round.closing.as_ref().unwrap().missing, Vec::<Address>::new());
        for completed in &round.completed {
            let start = Start {
                domain: cluster.genesis.domain(),
                round: number,
                previous_block_hash: round.block_hash,
                node: completed.node,
                steps: STEPS,
            };
            let result = Delay::default().iterate(start.element(), STEPS);
            assert_eq!(completed.completion.result.0, result.to_bytes(), "the work was really done");
            assert!(completed.completion.compute_us > 0 && completed.completion.prove_us > 0);
        }
        let opening = cluster.client(0).block(round.height).await.unwrap().unwrap();
        assert_eq!(round.block_hash, opening.hash);
        beacons.push(round.closing.as_ref().unwrap().beacon);
    }
    assert_ne!(beacons[0], beacons[1]);
    assert_eq!(cluster.client(3).rounds().await.unwrap().beacon, beacons[1]);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_the_work_is_accepted_by_nobody_and_the_round_names_who_is_missing() {
    let cluster = Cluster::start_with(4, |index, config| config.half_work = index == 2).await;
    cluster.open(0, cluster.round(0, 4, 8_000)).await;
    let cheater = cluster.keys[2].address();
    for peer in [0, 1, 3] {
        let found = cluster.verifications(peer, 1, 3).await;
        let of_cheater: Vec<_> = found.iter().filter(|it| it.node == cheater).collect();
        assert!(!of_cheater.is_empty() && of_cheater.iter().all(|it| !it.valid && it.reason.is_some()), "{found:?}");
        assert_eq!(found.iter().filter(|it| it.valid).count(), 2);
        assert!(cluster.status(peer).await.faults[2] > 0, "it counts as a fault");
    }
    let round = cluster.closed(0, 1).await;
    assert_eq!(round.closing.unwrap().missing, [cheater]);
    assert_eq!(round.completed.len(), 3);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_closes_at_its_deadline_without_those_who_are_down() {
    let mut cluster = Cluster::start(4).await;
    cluster.stop(3).await;
    cluster.open(0, cluster.round(0, 4, 4_000)).await;
    let round = cluster.closed(1, 1).await;
    let closing = round.closing.clone().unwrap();
    assert_eq!(closing.missing, [cluster.keys[3].address()]);
    assert!(closing.timestamp_ms > round.deadline_ms);
    // The next round is open to all again, also to who was away.
    let node = dtn_node::Node::start(cluster.config(3)).await.unwrap();
    cluster.nodes[3] = Some(node);
    cluster.votes(3).await;
    cluster.open(2, cluster.round(1, 4, 60_000)).await;
    assert_eq!(cluster.closed(3, 2).await.completed.len(), 4);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_whose_proof_nobody_gives_is_voted_for_by_nobody() {
    let mut cluster = Cluster::start(4).await;
    let absent = cluster.keys[3].clone();
    cluster.stop(3).await;
    cluster.open(0, cluster.round(0, 4, 8_000)).await;
    let open = until("an open round", || async { cluster.client(0).rounds().await.unwrap().open }).await;
    let start = Start {
        domain: cluster.genesis.domain(),
        round: 1,
        previous_block_hash: open.block_hash,
        node: absent.address(),
        steps: STEPS,
    };
    let Claim { result, proof } = Claim::honest(&start, ROUND_SECURITY).unwrap();
    let result = B128::new(result.to_bytes());
    let completion = Completion {
        round: 1,
        result,
        proof_digest: keccak256(&proof),
        payee: Address::repeat_byte(9),
        started_at_us: 1,
        compute_us: 1,
        prove_us: 1,
    };
    let transaction = Transaction::sign(Payload::Completion(completion), &absent, &cluster.genesis.domain());
    let error = cluster.client(0).submit(transaction).await.unwrap_err().to_string();
    assert!(error.contains("has not been verified here"), "{error}");
    let round = cluster.closed(0, 1).await;
    assert_eq!(round.closing.unwrap().missing, [absent.address()], "true as it is");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_is_finished_by_peers_that_were_killed_in_the_middle_of_it() {
    let mut cluster = Cluster::start(4).await;
    cluster.open(0, cluster.round_of(LONG, 0, 4, 60_000)).await;
    until("an open round", || async { cluster.client(1).rounds().await.unwrap().open }).await;
    for peer in [1, 2] {
        cluster.stop(peer).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        cluster.nodes[peer] = Some(dtn_node::Node::start(cluster.config(peer)).await.unwrap());
    }
    let round = cluster.closed(1, 1).await;
    assert_eq!(round.completed.len(), 4);
    assert_eq!(cluster.closed(3, 1).await, round);
    cluster.shutdown().await;
}
