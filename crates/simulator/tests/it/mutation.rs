//! Every field of every message, spoiled in every way that bytes can be: refused, counted, survived. A fuzzer that runs
//! everywhere; those of `fuzz/` dig deeper. `DTN_SEED` chooses the bits.

use std::{fmt::Debug, sync::Arc, time::Duration};

use dtn_consensus::{
    Effect, Input, Message, NewView, Pbft, PreparedCertificate, Protocol, Record, Timer, ViewChange,
    pbft::{Answer, Ask},
};
use dtn_primitives::{
    Address, B256, Block, Certificate, CheckpointCertificate, Genesis, Header, Order, Payload, Transaction, U256,
    ValidatorIndex, Vote, VoteKind, Work, codec, memo,
};
use dtn_simulator::{Chain, Members, Subject, seed_or};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Serialize, de::DeserializeOwned};

/// The height that is decided in the beginning.
const BASE: u64 = 127;
const LIMIT: usize = 1 << 20;

fn members() -> Members {
    Members::new(4, Duration::from_secs(1))
}

/// The primaries of views 0 and 1 at the next height, another replica, and the one that is spoken to.
fn roles(members: &Members) -> [ValidatorIndex; 4] {
    let first = members.validators().primary(0, BASE + 1).0;
    let roles = [0, 1, 2, 3].map(|after| ValidatorIndex((first + after) % 4));
    assert_eq!(roles[1], members.validators().primary(1, BASE + 1));
    roles
}

/// The replica that is spoken to: at height [`BASE`], in view 0.
fn replica(members: &Members) -> Pbft {
    let [.., me] = roles(members);
    let mut replica = Pbft::create(members, me, &Chain::new(members, members.base(BASE)), None, vec![]);
    replica.handle(Input::Answer(Answer::Waiting(Some(B256::repeat_byte(1))))).into_iter().for_each(drop);
    replica
}

fn next_block(members: &Members) -> Arc<Block> {
    let parent = members.base(BASE).expect("above the genesis").certificate.block_hash;
    members.block(BASE + 1, parent, ValidatorIndex(0), 0)
}

/// One message of each type that the replica acts on, and who sends it.
fn messages(members: &Members) -> Vec<(ValidatorIndex, Message)> {
    let [primary, next, other, _] = roles(members);
    let (block, root) = (next_block(members), B256::repeat_byte(5));
    let hash = block.header.hash();
    let vote = |kind, view, by| members.vote(kind, (view, BASE + 1), hash, by);
    let checkpoint = |by| members.vote(VoteKind::Checkpoint, (0, BASE + 1), root, by);
    let prepared = PreparedCertificate {
        header: block.header.clone(),
        pre_prepare: vote(VoteKind::PrePrepare, 0, primary),
        prepares: vec![vote(VoteKind::Prepare, 0, next), vote(VoteKind::Prepare, 0, other)],
    };
    let decided = members.base(BASE).map(|base| base.certificate);
    let change = |by: ValidatorIndex| {
        let signer = (members.key(by), members.domain(), 0);
        ViewChange::sign(1, by, decided.clone(), vec![prepared.clone()], signer)
    };
    let proposal = vote(VoteKind::PrePrepare, 1, next);
    let mut changes = [primary, next, other].map(change).to_vec();
    changes.sort_by_key(|change| change.validator);
    let new_view = NewView::sign(1, changes, vec![proposal], (members.key(next), members.domain(), 0));
    let stable = CheckpointCertificate::from_votes([primary, next, other].map(checkpoint).iter().map(Arc::as_ref))
        .expect("checkpoints");
    vec![
        (primary, Message::PrePrepare { vote: vote(VoteKind::PrePrepare, 0, primary), block: block.clone() }),
        (other, Message::Announce(vote(VoteKind::PrePrepare, 0, primary))),
        (other, Message::Vote(vote(VoteKind::Prepare, 0, other))),
        (other, Message::Vote(vote(VoteKind::Commit, 0, other))),
        (other, Message::ViewChange(change(other))),
        (next, Message::NewView(new_view)),
        (other, Message::Checkpoint(checkpoint(other))),
        (other, Message::Stable(stable)),
    ]
}

/// What a replica does about a message; its host finds no block valid that is not whole.
fn hear(members: &Members, replica: &mut Pbft, from: ValidatorIndex, message: Message) -> (usize, Vec<String>) {
    let mut inputs = vec![Input::Message { from, message }];
    let (mut faults, mut done) = (0, Vec::new());
    while let Some(input) = inputs.pop() {
        for effect in replica.handle(input) {
            match effect {
                Effect::Ask(Ask::Validate { block, .. }) => {
                    let root = Block::transactions_root(&block.transactions, members.domain());
                    let valid = root == block.header.transactions_root;
                    inputs.push(Input::Answer(Answer::Validated { block_hash: block.header.hash(), valid }));
                }
                Effect::Fault { .. } => faults += 1,
                other => done.push(format!("{other:?}")),
            }
        }
    }
    (faults, done)
}

/// Every byte of an encoding with one bit flipped, and replaced.
fn spoiled(bytes: &[u8], rng: &mut StdRng) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for position in 0..bytes.len() {
        for change in [1u8 << rng.random_range(0..8), rng.random_range(1..=255)] {
            let mut other = bytes.to_vec();
            other[position] ^= change;
            all.push(other);
        }
    }
    all
}

#[test]
fn no_spoiled_message_moves_a_replica() {
    let _remembering = memo::remember(1 << 16);
    let (seed, members) = (seed_or(1), members());
    println!("DTN_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let messages = messages(&members);
    let fresh = replica(&members);
    let before = format!("{fresh:?}");
    for (from, message) in &messages {
        let mut good = fresh.clone();
        let (faults, expected) = hear(&members, &mut good, *from, message.clone());
        let after = format!("{good:?}");
        assert!(faults == 0 && after != before, "the message itself moves it: {message:?}");

        let bytes = codec::encode(message);
        let (mut malformed, mut counted, mut ignored, mut replaced) = (0, 0, 0, 0);
        for bytes in spoiled(&bytes, &mut rng) {
            let Ok(spoiled) = codec::decode::<Message>(&bytes, LIMIT) else {
                malformed += 1;
                continue;
            };
            if spoiled == *message {
                continue;
            }
            let mut replica = fresh.clone();
            let (faults, done) = hear(&members, &mut replica, *from, spoiled.clone());
            let state = format!("{replica:?}");
            if faults == 0 && state == after && done == expected {
                // What was spoiled is a proof of what is proven, which took its place.
                replaced += 1;
                continue;
            }
            assert!(done.is_empty(), "DTN_SEED={seed}: {spoiled:?} makes it do {done:?}");
            assert_eq!(state, before, "DTN_SEED={seed}: {spoiled:?} changes it");
            if faults > 0 { counted += 1 } else { ignored += 1 }
        }
        println!(
            "{} bytes: {malformed} malformed, {counted} faults, {ignored} of another time, {replaced} with a proof that is \
             not needed",
            bytes.len()
        );
        let proves = matches!(message, Message::ViewChange(_) | Message::NewView(_));
        assert!(replaced == 0 || proves, "{replaced} spoiled ones are taken for {message:?}");
        assert!(counted > bytes.len() / 8, "{counted} of {} were counted", 2 * bytes.len());
    }
}

#[test]
fn the_same_message_a_thousand_times_is_the_message_once() {
    let _remembering = memo::remember(1 << 16);
    let members = members();
    for (from, message) in messages(&members) {
        let mut replica = replica(&members);
        hear(&members, &mut replica, from, message.clone());
        let once = replica.size();
        for _ in 0..1_000 {
            let (faults, _) = hear(&members, &mut replica, from, message.clone());
            assert_eq!(faults, 0, "saying something again is no fault: {message:?}");
        }
        assert_eq!(replica.size(), once, "{message:?}");
    }
}

#[test]
fn lists_longer_than_any_correct_replica_sends_are_faults_and_are_not_kept() {
    let _remembering = memo::remember(1 << 16);
    let members = members();
    let [_, next, ..] = roles(&members);
    let signer = |by: ValidatorIndex| (members.key(by), members.domain(), 0);
    for (from, message) in messages(&members) {
        let giants = match message {
            Message::ViewChange(change) => {
                let prepared = vec![change.prepared[0].clone(); 1_000];
                let long =
                    ViewChange::sign(1, change.validator, change.decided.clone(), prepared, signer(change.validator));
                let mut wide = change.clone();
                wide.prepared[0].prepares = vec![wide.prepared[0].prepares[0].clone(); 1_000];
                [long, wide].map(Message::ViewChange).into()
            }
            Message::NewView(new_view) => {
                let changes = vec![new_view.view_changes[0].clone(); 1_000];
                let proposals = vec![new_view.proposals[0].clone(); 1_000];
                vec![
                    Message::NewView(NewView::sign(1, changes, new_view.proposals.clone(), signer(next))),
                    Message::NewView(NewView::sign(1, new_view.view_changes, proposals, signer(next))),
                ]
            }
            Message::Stable(mut stable) => {
                stable.signatures = vec![stable.signatures[0]; 1_000];
                vec![Message::Stable(stable)]
            }
            _ => vec![],
        };
        for giant in giants {
            let mut replica = replica(&members);
            let before = replica.size();
            let (faults, done) = hear(&members, &mut replica, from, giant);
            assert_eq!((faults, replica.size()), (1, before), "{done:?}");
        }
    }
}

#[test]
fn a_proof_that_nobody_looks_at_is_not_kept() {
    let _remembering = memo::remember(1 << 16);
    let members = members();
    for (from, message) in messages(&members) {
        let mut giant = message.clone();
        let decided = match &mut giant {
            Message::ViewChange(change) => &mut change.decided,
            Message::NewView(new_view) => &mut new_view.view_changes[1].decided,
            _ => continue,
        };
        let signatures = decided.as_mut().map(|decided| &mut decided.signatures).expect("it has decided");
        *signatures = vec![signatures[0]; 1_000];
        let [mut one, mut other] = [(); 2].map(|()| replica(&members));
        hear(&members, &mut one, from, message);
        hear(&members, &mut other, from, giant);
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

/// No change of an encoding makes its decoder panic, and what it still decodes encodes to what decodes the same.
fn decode_spoiled<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, rng: &mut StdRng) {
    let bytes = codec::encode(value);
    assert_eq!(codec::decode::<T>(&bytes, LIMIT).as_ref(), Ok(value));
    for length in 0..bytes.len() {
        assert!(codec::decode::<T>(&bytes[..length], LIMIT).is_err(), "{length} of {} bytes are enough", bytes.len());
    }
    assert!(codec::decode::<T>(&[bytes.as_slice(), &[0]].concat(), LIMIT).is_err());
    assert!(codec::decode::<T>(&bytes, bytes.len() - 1).is_err());
    for bytes in spoiled(&bytes, rng) {
        if let Ok(other) = codec::decode::<T>(&bytes, LIMIT) {
            assert_eq!(codec::decode::<T>(&codec::encode(&other), 2 * LIMIT), Ok(other));
        }
    }
}

#[test]
fn no_decoder_panics_and_none_takes_less_or_more_than_a_value() {
    let (seed, members) = (seed_or(2), members());
    println!("DTN_SEED={seed}");
    let rng = &mut StdRng::seed_from_u64(seed);
    let (block, me) = (next_block(&members), ValidatorIndex(0));
    for (_, message) in messages(&members) {
        decode_spoiled(&message, rng);
        match &message {
            Message::Vote(vote) | Message::Checkpoint(vote) | Message::Announce(vote) => {
                decode_spoiled::<Vote>(vote, rng);
                decode_spoiled(&Record::Checkpoint(vote.clone()), rng);
            }
            Message::PrePrepare { vote, block } => {
                decode_spoiled(&Record::Accepted { vote: vote.clone(), block: block.clone() }, rng);
            }
            Message::ViewChange(change) => {
                decode_spoiled::<ViewChange>(change, rng);
                decode_spoiled(&Record::Prepared(change.prepared[0].clone()), rng);
                decode_spoiled::<Certificate>(change.decided.as_ref().expect("it has decided"), rng);
            }
            Message::NewView(new_view) => decode_spoiled::<NewView>(new_view, rng),
            Message::Stable(stable) => decode_spoiled::<CheckpointCertificate>(stable, rng),
            Message::Body(_) | Message::Want(_) | Message::Recall { .. } | Message::Greeting(_) => {}
        }
    }
    for effect in replica(&members).handle(Input::Timer(Timer::ViewChange)) {
        if let Effect::Persist(record) = effect {
            decode_spoiled::<Record>(&record, rng);
        }
    }
    decode_spoiled::<Header>(&block.header, rng);
    let [dataset, model, metric] = ["iris", "tree", "accuracy"].map(String::from);
    let order =
        Order { nonce: 1, dataset, model, metric, reward: U256::from(5), work: Some(Work { expected_hashes: 9 }) };
    let transaction = Transaction::sign(Payload::Order(order), members.key(me), members.domain());
    decode_spoiled::<Transaction>(&transaction, rng);
    decode_spoiled(&Block { header: block.header.clone(), transactions: vec![transaction; 3] }, rng);
}

#[test]
fn a_spoiled_genesis_is_an_error_or_another_network() {
    let (seed, members) = (seed_or(3), members());
    println!("DTN_SEED={seed}");
    let rng = &mut StdRng::seed_from_u64(seed);
    let genesis = Genesis {
        version: dtn_primitives::VERSION,
        name: "spoiled".into(),
        chain_id: 56,
        timestamp: 1,
        max_block_bytes: 1 << 20,
        validators: members.validators().iter().map(|(_, validator)| validator.public_key).collect(),
        requesters: vec![Address::repeat_byte(1)],
        engine: dtn_primitives::Engine::Pbft,
        kinds: Vec::new(),
        training: None,
    };
    let text = serde_json::to_vec_pretty(&genesis).expect("a genesis is JSON");
    for length in 0..text.len() {
        assert!(serde_json::from_slice::<Genesis>(&text[..length]).is_err());
    }
    for text in spoiled(&text, rng) {
        if let Ok(other) = serde_json::from_slice::<Genesis>(&text)
            && other != genesis
            && other.validator_set().is_ok()
        {
            assert_ne!(other.network_id(), genesis.network_id());
        }
    }
}
