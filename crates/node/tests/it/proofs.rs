//! Proofs from a hostile validator, over real links: tampered with, endless, cut short. `DTN_WIRE_PROOFS=1000` tries more
//! than the few that every run of the tests does, `DTN_SEED` others. A peer looks at 1,024 of a validator in a round.

#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    env,
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use dtn_aow::{
    Delay, Start, Trace,
    mutation::{Fields, Mutation},
};
use dtn_api::ApiClient;
use dtn_node::{ROUND_SECURITY, peer_id};
use dtn_primitives::*;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{StreamProtocol, swarm::dial_opts::DialOpts};

use crate::common::*;

const LINK: StreamProtocol = StreamProtocol::new("/dtn/link/8");
const PROOF: StreamProtocol = StreamProtocol::new("/dtn/proof/8");

/// The least that is not undone by the verifier.
const STEPS: u64 = 2_100;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What is answered to the question for a digest, as it goes over the stream.
type Answers = Arc<Mutex<HashMap<B256, Vec<u8>>>>;

/// Connects as a validator; says on the link what comes in, and answers questions for proofs.
async fn attack(
    cluster: &Cluster,
    key: &SecretKey,
    victim: usize,
    mut frames: tokio::sync::mpsc::Receiver<Vec<u8>>,
    answers: Answers,
) {
    let mut swarm = swarm(key);
    let mut control = swarm.behaviour().new_control();
    let mut questions = control.accept(PROOF).unwrap();
    let to = peer_id(&cluster.keys[victim].public_key());
    let address = format!("/ip4/127.0.0.1/tcp/{}", cluster.ports[victim]).parse().unwrap();
    swarm.dial(DialOpts::peer_id(to).addresses(vec![address]).build()).unwrap();
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    tokio::spawn(async move {
        while let Some((_, mut stream)) = questions.next().await {
            let answers = answers.clone();
            tokio::spawn(async move {
                let mut question = [0; 36];
                stream.read_exact(&mut question).await.unwrap();
                let answer = answers.lock().unwrap().get(&B256::from_slice(&question[4..])).cloned();
                // It may have hung up.
                stream.write_all(&answer.unwrap_or(vec![0; 4])).await.ok();
                stream.close().await.ok();
            });
        }
    });
    let mut link = control.open_stream(to, LINK).await.unwrap();
    // What anybody says first.
    let hello = (5u8, VERSION, cluster.genesis.domain().network_id, "0.0.1", 1u64);
    link.write_all(&framed(&codec::encode(&hello))).await.unwrap();
    tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
            link.write_all(&[&length[..], &frame].concat()).await.unwrap();
            link.flush().await.unwrap();
        }
    });
}

fn framed(proof: &[u8]) -> Vec<u8> {
    [&u32::try_from(proof.len()).unwrap().to_be_bytes()[..], proof].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proof_that_was_tampered_with_on_its_way_is_accepted_and_the_peer_lives_on() {
    let (count, seed) = (number("DTN_WIRE_PROOFS", 150).min(1_000), number("DTN_SEED", 1));
    eprintln!("DTN_SEED={seed} DTN_WIRE_PROOFS={count}");
    let mut cluster = Cluster::start(4).await;
    cluster.stop(3).await;
    let hostile = cluster.keys[3].clone();
    let round = RoundOrder { nonce: 0, steps: STEPS, quorum: 4, duration_ms: MAX_ROUND_MS, reward: U256::ZERO };
    let round = Transaction::sign(Payload::Round(round), &cluster.requester, &cluster.genesis.domain());
    cluster.client(0).submit(round).await.unwrap();
    let open = until("an open round", || async { cluster.client(0).rounds().await.unwrap().open }).await;
    let start = Start {
        domain: cluster.genesis.domain(),
        round: 1,
        previous_block_hash: open.block_hash,
        node: hostile.address(),
        steps: STEPS,
    };
    let prove = |start: Start, context: B256| {
        let go_on = |_| ControlFlow::Continue(());
        let trace = Trace::run(Delay::default(), start.element(), start.steps, go_on).unwrap();
        (B128::new(trace.result().to_bytes()), trace.prove(context, ROUND_SECURITY).unwrap())
    };
    let (result, honest) = prove(start, start.context());
    let (_, another) = prove(Start { round: 2, ..start }, start.context());
    let originals = [honest, another].map(|proof| Fields::of(proof).unwrap());
    let (answers, (say, frames)) = (Answers::default(), tokio::sync::mpsc::channel(8));
    attack(&cluster, &hostile, 0, frames, answers.clone()).await;

    let client = cluster.client(0);
    // The others' honest completions are verified too.
    let of_hostile = async || {
        let found = client.verifications(1).await.unwrap();
        found.into_iter().filter(|it| it.node == hostile.address()).collect::<Vec<_>>()
    };
    for number in 0..count {
        let (mutation, _, tampered) = Mutation::number(seed, number, &originals);
        let digest = keccak256(&tampered);
        if tampered.is_empty() || tampered.len() > MAX_PROOF_BYTES {
            continue;
        }
        let before = of_hostile().await.len();
        // What was refused once is not looked at again.
        if answers.lock().unwrap().insert(digest, framed(&tampered)).is_some() {
            continue;
        }
        say.send(transactions(&cluster, &hostile, &completion(result, digest, number))).await.unwrap();
        until(&format!("a verdict on number {number}, {mutation:?}"), || async {
            (of_hostile().await.len() > before).then_some(())
        })
        .await;
    }
    let found = of_hostile().await;
    assert!(found.len() as u64 >= count * 9 / 10, "{} of {count}", found.len());
    assert_eq!(found.iter().filter(|it| it.valid).count(), 0);

    // Answers that are no message: longer than any, shorter than announced, and none at all.
    let announced = u32::try_from(MAX_PROOF_BYTES).unwrap();
    for (number, answer) in [
        (u64::MAX, [&u32::MAX.to_be_bytes()[..], &[7; 99]].concat()),
        (u64::MAX - 1, [&announced.to_be_bytes()[..], &[7; 99]].concat()),
        (u64::MAX - 2, Vec::new()),
    ] {
        let digest = keccak256(number.to_be_bytes());
        answers.lock().unwrap().insert(digest, answer);
        say.send(transactions(&cluster, &hostile, &completion(result, digest, number))).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(of_hostile().await.len(), found.len());
    let status = cluster.status(0).await;
    assert!(status.faults[3] >= found.len() as u64, "each counts as a fault");
    assert!(cluster.client(0).rounds().await.unwrap().open.unwrap().completed.len() < 4);
    cluster.shutdown().await;
}

fn completion(result: B128, proof_digest: B256, number: u64) -> Completion {
    let payee = Address::repeat_byte(9);
    Completion { round: 1, result, proof_digest, payee, started_at_us: number, compute_us: 1, prove_us: 1 }
}

/// The frame of transactions, the third kind.
fn transactions(cluster: &Cluster, key: &SecretKey, completion: &Completion) -> Vec<u8> {
    let payload = Payload::Completion(completion.clone());
    codec::encode(&(2u8, vec![Transaction::sign(payload, key, &cluster.genesis.domain())]))
}
