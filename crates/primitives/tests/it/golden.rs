//! Golden vectors: the formats of `docs/reference/formats.md` byte for byte. The forge tests check the same file, so Rust
//! and Solidity cannot drift apart unnoticed. `UPDATE_VECTORS=1` rewrites the file after a deliberate change of format.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "bls")]

use alloy_primitives::{b256, hex};
use dtn_pow::{Cancel, Puzzle, mine};
use dtn_primitives::*;
use serde_json::{Value, json};

use crate::{
    earnings::{distribution, distribution_vector},
    messages::{recovery_vector, resolution_vector, rotation, rotation_vector},
};

pub(crate) const CHAIN_ID: u64 = 31337;

pub(crate) fn keys() -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=4).map(|i| SecretKey::from_bytes(&[i; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::address);
    keys
}

pub(crate) fn genesis() -> Genesis {
    Genesis {
        version: dtn_primitives::VERSION,
        name: "golden".into(),
        chain_id: CHAIN_ID,
        timestamp: 1_700_000_000_000,
        max_block_bytes: 1 << 20,
        validators: keys().iter().map(SecretKey::public_key).collect(),
        requesters: vec![Address::repeat_byte(0x22), Address::repeat_byte(0x11)],
        engine: dtn_primitives::Engine::Pbft,
        kinds: Vec::new(),
        training: None,
    }
}

/// Of each kind there is evidence. That of nullifications is against commits.
pub(crate) const KINDS: [VoteKind; 6] = [
    VoteKind::PrePrepare,
    VoteKind::Prepare,
    VoteKind::Commit,
    VoteKind::Checkpoint,
    VoteKind::Notarize,
    VoteKind::Nullify,
];

/// A vote of one of the validators in view 2 at height 128. What has no view, height or hash is without.
pub(crate) fn vote(kind: VoteKind, validator: u16, hash: u8) -> Vote {
    let view = if kind == VoteKind::Checkpoint { 0 } else { 2 };
    let height = if matches!(kind, VoteKind::Notarize | VoteKind::Nullify) { 0 } else { 128 };
    let hash = if kind == VoteKind::Nullify { B256::ZERO } else { B256::repeat_byte(hash) };
    let key = &keys()[usize::from(validator)];
    Vote::sign(kind, (0, view, height), hash, ValidatorIndex(validator), key, &genesis().domain())
}

pub(crate) fn contradiction(kind: VoteKind, validator: u16) -> Evidence {
    let other = if kind == VoteKind::Nullify { VoteKind::Commit } else { kind };
    Evidence::new(&vote(other, validator, 0xe1), &vote(kind, validator, 0xe0))
}

/// The signatures of the first three validators, who are a quorum.
pub(crate) fn certificate(message: &SettlementMessage) -> EcdsaCertificate {
    certificate_of(3, message)
}

/// Those of so many.
pub(crate) fn certificate_of(count: usize, message: &SettlementMessage) -> EcdsaCertificate {
    EcdsaCertificate::new(keys()[..count].iter().map(|key| message.sign(key, &genesis().domain())))
}

/// The BLS keys of the validators, by place.
fn bls_keys() -> Vec<BlsSecretKey> {
    (0xb1..=0xb4).map(|i| BlsSecretKey::from_seed(&[i; 32])).collect()
}

/// The same by one signature of all but the second of the validators, who are a quorum as well.
pub(crate) fn aggregate(message: &SettlementMessage) -> BlsCertificate {
    let (keys, digest) = (bls_keys(), message.digest(&genesis().domain()));
    let signatures = [0, 2, 3].map(|place: u16| (ValidatorIndex(place), keys[usize::from(place)].sign(digest)));
    BlsCertificate::aggregate(&signatures.into()).unwrap()
}

fn bls_vector(commit: &SettlementMessage) -> Value {
    let (domain, bls_keys) = (genesis().domain(), bls_keys());
    let accounts = keys().into_iter().map(|key| key.address());
    json!({
        "keys": accounts.zip(&bls_keys).map(|(account, key)| json!({
            "account": account,
            "key": hex::encode_prefixed(key.public_key().to_bytes()),
            "digest": key.public_key().possession_digest(account, &domain),
            "possession": hex::encode_prefixed(key.prove_possession(account, &domain).to_bytes()),
        })).collect::<Vec<_>>(),
        "digest": commit.digest(&domain),
        "signature": hex::encode_prefixed(bls_keys[0].sign(commit.digest(&domain)).to_bytes()),
        "certificate": hex::encode_prefixed(aggregate(commit).to_bytes()),
    })
}

fn batch_vector() -> Value {
    let payout = |account, amount| Payout { account: Address::repeat_byte(account), amount };
    let payouts = vec![payout(0xa1, U96::from(10u64.pow(18))), payout(0xa2, U96::MAX), payout(0, U96::ZERO)];
    let batch = Batch { token: Address::repeat_byte(0x70), payouts };
    json!({
        "token": batch.token,
        "payouts": batch.words(),
        "total": batch.total().to_string(),
        "hash": batch.hash(),
    })
}

/// A race that a worker has won with the least nonce that does it.
fn race(i: u8, worker: Address, expected_hashes: u64) -> (WorkResult, Solution, Claim) {
    let (domain, requester, payee) = (genesis().domain(), Address::repeat_byte(0x11), Address::repeat_byte(0xa0 + i));
    let order = Order {
        nonce: u64::from(i),
        dataset: "MNIST".into(),
        model: "multilayer perceptron".into(),
        metric: "accuracy >= 0.97".into(),
        reward: U256::from(u64::from(i) * 10u64.pow(16)),
        work: Some(Work { expected_hashes }),
    };
    let amount = order.reward;
    let order = Bytes::from(codec::encode(&Payload::Order(order)));
    let id = Transaction::hash_of(requester, order.clone(), &domain);
    let race = B256::repeat_byte(0xc0 + i);
    let puzzle = Puzzle::new(domain.network_id, race, id, worker, expected_hashes).unwrap();
    let found = mine(&puzzle, 0..=u64::MAX, std::num::NonZeroUsize::MIN, &Cancel::new()).solution.unwrap();
    let claim = Claim {
        order: id,
        race,
        payee,
        nonce: found.nonce,
        hash: found.hash,
        started_at_us: 1_700_000_000_000_000,
        ended_at_us: 1_700_000_000_500_000,
        duration_us: 499_998,
    };
    let encoded = Bytes::from(codec::encode(&Payload::Claim(claim.clone())));
    let digest = Transaction::hash_of(worker, encoded.clone(), &domain);
    (
        WorkResult { kind: Kind::RACE, id, worker, payee, amount, digest },
        Solution { requester, order, claim: encoded },
        claim,
    )
}

fn vectors() -> Value {
    let (genesis, keys) = (genesis(), keys());
    let domain = genesis.domain();
    let races = [(1, 1), (2, 1_000), (3, 100_000)]
        .map(|(i, expected)| (expected, race(i, keys[usize::from(i)].address(), expected)));
    let results = races.clone().map(|(_, (result, ..))| result);
    let transactions: Vec<_> = [
        Payload::Order(Order {
            nonce: 7,
            dataset: "MNIST".into(),
            model: "multilayer perceptron".into(),
            metric: "accuracy >= 0.97".into(),
            reward: U256::from(10u64.pow(16)),
            work: Some(Work { expected_hashes: 1_000_000 }),
        }),
        Payload::Claim(Claim {
            order: B256::repeat_byte(0x0d),
            race: B256::repeat_byte(0x0c),
            payee: Address::repeat_byte(0xaa),
            nonce: 42,
            hash: B256::repeat_byte(0x0e),
            started_at_us: 1_700_000_000_000_000,
            ended_at_us: 1_700_000_000_500_000,
            duration_us: 499_998,
        }),
    ]
    .map(|payload| Transaction::sign(payload, &keys[0], &domain))
    .into();
    let items = [&b"opaque"[..], &[0xff]].into_iter().collect();
    let data = Transaction::sign(Payload::Data { nonce: 8, items }, &keys[0], &domain);
    let line = Line { nonce: 10, data: Bytes::from_static(b"caf\xc3\xa9 \xff"), expected_hashes: 65_536 };
    let content = line.content();
    let kind = Kind::of_name("matrix-product").unwrap();
    let custom = Custom { nonce: 11, kind, body: Bytes::from_static(b"its own") };
    let custom = Transaction::sign(Payload::Custom(custom), &keys[0], &domain);
    let line = Transaction::sign(Payload::Line(line), &keys[0], &domain);
    let completion = Completion {
        round: 3,
        result: B128::repeat_byte(0x7e),
        proof_digest: B256::repeat_byte(0xf0),
        payee: Address::repeat_byte(0xaa),
        started_at_us: 1_700_000_000_000_000,
        compute_us: 1_000_000,
        prove_us: 900_000,
    };
    let rounds: Vec<_> = [
        Payload::Round(RoundOrder {
            nonce: 9,
            steps: 1 << 20,
            quorum: 3,
            duration_ms: 60_000,
            reward: U256::from(10u64.pow(16)),
        }),
        Payload::Completion(completion.clone()),
        Payload::CloseRound { round: 3 },
    ]
    .map(|payload| Transaction::sign(payload, &keys[0], &domain))
    .into();
    let node = keys[0].address();
    let round = Round {
        number: 3,
        height: 7,
        block_hash: B256::repeat_byte(0x0b),
        steps: 1 << 20,
        quorum: 3,
        reward: U256::from(10u64.pow(16)),
        opened_at_ms: 1_700_000_000_000,
        deadline_ms: 1_700_000_060_000,
        completed: vec![Completed { node, height: 9, timestamp_ms: 1_700_000_001_234, completion: completion.clone() }],
        closing: None,
    };
    let header = Header {
        network_id: domain.network_id,
        chain_id: CHAIN_ID,
        epoch: 0,
        height: 9,
        timestamp: 1_700_000_001_234,
        proposer: keys[1].address(),
        parent_hash: B256::repeat_byte(0x0a),
        transactions_root: Block::transactions_root(&transactions, &domain),
        results_root: WorkResult::root(&results),
    };
    let hash = header.hash();
    let votes: Vec<_> = [VoteKind::PrePrepare, VoteKind::Prepare, VoteKind::Commit]
        .iter()
        .zip(&keys)
        .enumerate()
        .map(|(index, (kind, key))| Vote::sign(*kind, (0, 2, 9), hash, ValidatorIndex(index as u16), key, &domain))
        .collect();
    let commits: Vec<_> = keys[..3]
        .iter()
        .enumerate()
        .map(|(index, key)| Vote::sign(VoteKind::Commit, (0, 2, 9), hash, ValidatorIndex(index as u16), key, &domain))
        .collect();
    let certificate = Certificate::from_votes(&commits).unwrap();
    let evidence = KINDS.map(|kind| contradiction(kind, 3));
    let reply = Reply::sign(transactions[0].hash(&domain), 9, hash, ValidatorIndex(0), &keys[0], &domain);
    let leaves: Vec<_> = results.iter().map(WorkResult::leaf).collect();
    let block = Block { header: header.clone(), transactions: transactions.clone() };
    json!({
        "network": {
            "version": genesis.version,
            "name": genesis.name,
            "chain_id": genesis.chain_id,
            "timestamp": genesis.timestamp,
            "max_block_bytes": genesis.max_block_bytes,
            "validators": keys.iter().map(SecretKey::address).collect::<Vec<_>>(),
            "requesters": [Address::repeat_byte(0x11), Address::repeat_byte(0x22)],
            "network_id": domain.network_id,
            "domain_separator": domain.separator(),
        },
        "transactions": transactions.iter().map(|transaction| json!({
            "hash": transaction.hash(&domain),
            "encoded": hex::encode_prefixed(codec::encode(transaction)),
        })).collect::<Vec<_>>(),
        "data": { "hash": data.hash(&domain), "encoded": hex::encode_prefixed(codec::encode(&data)) },
        "line": {
            "hash": line.hash(&domain),
            "encoded": hex::encode_prefixed(codec::encode(&line)),
            "content": content,
        },
        "custom": { "kind": kind.number(), "hash": custom.hash(&domain), "encoded": hex::encode_prefixed(codec::encode(&custom)) },
        "rounds": rounds.iter().map(|transaction| json!({
            "hash": transaction.hash(&domain),
            "encoded": hex::encode_prefixed(codec::encode(transaction)),
        })).collect::<Vec<_>>(),
        "round": {
            "number": round.number,
            "height": round.height,
            "steps": round.steps,
            "node": node,
            "result": completion.result,
            "id": Round::id(round.number, node),
            "outcome": round.outcome(node, completion.result),
            "beacon": round.beacon(B256::repeat_byte(0xbe)),
        },
        "header": {
            "network_id": header.network_id,
            "chain_id": header.chain_id,
            "epoch": header.epoch,
            "height": header.height,
            "timestamp": header.timestamp,
            "proposer": header.proposer,
            "parent_hash": header.parent_hash,
            "transactions_root": header.transactions_root,
            "results_root": header.results_root,
            "hash": hash,
        },
        "block": hex::encode_prefixed(codec::encode(&block)),
        "votes": votes.iter().chain(&[VoteKind::Notarize, VoteKind::Nullify].map(|kind| vote(kind, 1, 0xe2))).map(|vote| json!({
            "kind": vote.kind,
            "epoch": vote.epoch,
            "view": vote.view,
            "height": vote.height,
            "block_hash": vote.block_hash,
            "digest": Vote::digest(&domain, vote.kind, (vote.epoch, vote.view, vote.height), vote.block_hash),
            "signer": keys[vote.validator.as_usize()].address(),
            "signature": vote.signature,
            "encoded": hex::encode_prefixed(codec::encode(vote)),
        })).collect::<Vec<_>>(),
        "evidence": evidence.iter().map(|evidence| json!({
            "kind": evidence.kind() as u8,
            "epoch": evidence.first.epoch,
            "view": evidence.first.view,
            "height": evidence.second.height,
            "validator": evidence.validator(),
            "address": keys[evidence.validator().as_usize()].address(),
            "first_hash": evidence.first.block_hash,
            "second_hash": evidence.second.block_hash,
            "first_signature": evidence.first.signature,
            "second_signature": evidence.second.signature,
            "id": evidence.id(),
            "encoded": hex::encode_prefixed(codec::encode(evidence)),
        })).collect::<Vec<_>>(),
        "reply": { "signature": reply.signature, "encoded": hex::encode_prefixed(codec::encode(&reply)) },
        "view_change": view_change_digest(&domain, 0, 3, (8, B256::repeat_byte(0x0a)), &[(2, hash), (1, B256::repeat_byte(0x0b))]),
        "view_change_with_nothing": view_change_digest(&domain, 0, 1, (0, B256::ZERO), &[]),
        "checkpoint": Vote::digest(&domain, VoteKind::Checkpoint, (0, 0, 128), B256::repeat_byte(0x0c)),
        "new_view": new_view_digest(&domain, 0, 3, &[B256::repeat_byte(1), B256::repeat_byte(2)]),
        "certificate": {
            "view": certificate.view,
            "signatures": hex::encode_prefixed(certificate.signature_bytes()),
            "signers": keys[..3].iter().map(SecretKey::address).collect::<Vec<_>>(),
            "encoded": hex::encode_prefixed(codec::encode(&certificate)),
        },
        "results": results.iter().zip(&leaves).map(|(result, leaf)| json!({
            "kind": result.kind.number(),
            "id": result.id,
            "worker": result.worker,
            "payee": result.payee,
            "amount": result.amount.to_string(),
            "digest": result.digest,
            "leaf": leaf,
        })).collect::<Vec<_>>(),
        "solutions": races.iter().map(|(expected, (_, solution, claim))| json!({
            "requester": solution.requester,
            "order": solution.order,
            "claim": solution.claim,
            "race": claim.race,
            "nonce": claim.nonce,
            "hash": claim.hash,
            "expected_hashes": expected,
            "target": B256::from(U256::MAX / U256::from(*expected)),
        })).collect::<Vec<_>>(),
        "results_root": header.results_root,
        "bls": bls_vector(&SettlementMessage::Commit { epoch: 0, view: 2, height: 9, block_hash: hash }),
        "distribution": distribution_vector(),
        "rotation": rotation_vector(), "resolution": resolution_vector(), "recovery": recovery_vector(),
        "batch": batch_vector(),
        "proofs": (0..leaves.len()).map(|index| merkle::proof(&leaves, index).unwrap()).collect::<Vec<_>>(),
    })
}

#[test]
fn the_formats_are_the_golden_ones() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors.json");
    let computed = vectors();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&computed).unwrap() + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (name, value) in golden.as_object().unwrap() {
        assert_eq!(&computed[name], value, "the format of `{name}` has changed");
    }
    assert_eq!(computed, golden);
}

#[test]
fn the_golden_certificates_pass_in_either_encoding() {
    let (genesis, keys) = (genesis(), bls_keys());
    let (domain, validators) = (genesis.domain(), genesis.validator_set().unwrap());
    let keys: Vec<_> = keys.iter().map(|key| Some(key.public_key())).collect();
    for message in [SettlementMessage::Rotation(rotation()), SettlementMessage::of_distribution(0, &distribution())] {
        let (digest, ecdsa, bls) = (message.digest(&domain), certificate(&message), aggregate(&message));
        for certificate in [SettlementCertificate::from(ecdsa), SettlementCertificate::from(bls)] {
            assert_eq!(certificate.verify(digest, &validators, &keys), Ok(()));
        }
    }
    assert_eq!((rotation().validate(), distribution().validate()), (Ok(()), Ok(())));
}

#[test]
fn a_signature_of_one_kind_network_view_height_or_chain_is_no_other() {
    let (genesis, keys) = (genesis(), keys());
    let (domain, validators) = (genesis.domain(), genesis.validator_set().unwrap());
    let vote = Vote::sign(VoteKind::Prepare, (0, 1, 5), B256::ZERO, ValidatorIndex(0), &keys[0], &domain);
    vote.verify(&domain, &validators).unwrap();
    let changes: [fn(&mut Vote); 7] = [
        |vote| vote.kind = VoteKind::Commit,
        |vote| vote.kind = VoteKind::PrePrepare,
        |vote| vote.epoch = 1,
        |vote| vote.view = 2,
        |vote| vote.height = 6,
        |vote| vote.block_hash = B256::repeat_byte(1),
        |vote| vote.validator = ValidatorIndex(1),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut changed = vote.clone();
        change(&mut changed);
        assert!(changed.verify(&domain, &validators).is_err(), "change {index} passes");
    }
    assert!(vote.verify(&Domain::new(B256::repeat_byte(9), CHAIN_ID), &validators).is_err(), "another network");
    assert!(vote.verify(&Domain::new(domain.network_id, 97), &validators).is_err(), "another chain");
    let stranger = Vote { validator: ValidatorIndex(4), ..vote };
    assert!(matches!(stranger.verify(&domain, &validators), Err(KeyError::UnknownValidator { index: 4, .. })));
}

#[test]
fn a_certificate_needs_a_quorum_of_distinct_signers_over_the_same_thing() {
    let (genesis, keys) = (genesis(), keys());
    let (domain, validators) = (genesis.domain(), genesis.validator_set().unwrap());
    let commit = |index: u16, height| {
        let key = &keys[usize::from(index)];
        Vote::sign(VoteKind::Commit, (0, 0, height), B256::ZERO, ValidatorIndex(index), key, &domain)
    };
    let good = Certificate::from_votes(&[commit(2, 1), commit(0, 1), commit(3, 1)]).unwrap();
    good.verify(&domain, &validators).unwrap();

    let below = Certificate::from_votes(&[commit(0, 1), commit(1, 1)]).unwrap();
    assert_eq!(below.verify(&domain, &validators), Err(CertificateError::BelowQuorum { have: 2, need: 3 }));
    let twice = Certificate::from_votes(&[commit(0, 1), commit(1, 1), commit(1, 1)]).unwrap();
    assert_eq!(twice.verify(&domain, &validators), Err(CertificateError::NotAscending));
    let mixed = Certificate::from_votes(&[commit(0, 1), commit(1, 1), commit(2, 2)]).unwrap();
    assert!(matches!(mixed.verify(&domain, &validators), Err(CertificateError::Signature { .. })));
    let foreign = Certificate { epoch: 1, ..good.clone() };
    assert_eq!(foreign.verify(&domain, &validators), Err(CertificateError::WrongEpoch { have: 1, need: 0 }));
    let unknown = Certificate {
        signatures: [&good.signatures[..2], &[(ValidatorIndex(9), good.signatures[2].1)]].concat(),
        ..good
    };
    assert!(matches!(unknown.verify(&domain, &validators), Err(CertificateError::Signature { .. })));
}

#[test]
fn a_genesis_that_cannot_work_is_refused() {
    let good = genesis();
    assert!(good.validator_set().is_ok());
    let few = Genesis { validators: good.validators[..3].to_vec(), ..good.clone() };
    assert_eq!(few.validator_set().unwrap_err(), GenesisError::ValidatorCount(3));
    let mut twice = good.clone();
    twice.validators[1] = twice.validators[0];
    assert_eq!(twice.validator_set().unwrap_err(), GenesisError::DuplicateValidator);
    for version in [UNVERSIONED - 1, VERSION + 1] {
        let other = Genesis { version, ..good.clone() };
        assert_eq!(other.validator_set().unwrap_err(), GenesisError::Version(version));
    }
    let nowhere = Genesis { chain_id: 0, ..good.clone() };
    assert_eq!(nowhere.validator_set().unwrap_err(), GenesisError::NoChain);
    let tiny = Genesis { max_block_bytes: 10, ..good };
    assert_eq!(tiny.validator_set().unwrap_err(), GenesisError::BlockLimit(10));
}

#[test]
fn orders_claims_data_and_lines_that_make_no_sense_are_refused() {
    let (genesis, keys) = (genesis(), keys());
    let domain = genesis.domain();
    let order = Order {
        nonce: 0,
        dataset: "MNIST".into(),
        model: "MLP".into(),
        metric: "accuracy".into(),
        reward: U256::ZERO,
        work: None,
    };
    let refused = |payload| Transaction::sign(payload, &keys[0], &domain).validate(&domain).unwrap_err();
    assert!(Transaction::sign(Payload::Order(order.clone()), &keys[0], &domain).validate(&domain).is_ok());
    let empty = Order { dataset: String::new(), ..order.clone() };
    assert_eq!(refused(Payload::Order(empty)), TransactionError::EmptyText("dataset"));
    let long = Order { metric: "x".repeat(MAX_TEXT_BYTES + 1), ..order.clone() };
    assert!(matches!(refused(Payload::Order(long)), TransactionError::TextTooLong { field: "metric", .. }));
    let gift = Order { reward: U256::from(1), ..order.clone() };
    assert_eq!(refused(Payload::Order(gift)), TransactionError::RewardWithoutWork);
    let idle = Order { work: Some(Work { expected_hashes: 0 }), ..order.clone() };
    assert_eq!(refused(Payload::Order(idle)), TransactionError::NoWork);

    let data = |items| Payload::Data { nonce: 0, items };
    let item = Bytes::from_static(&[0]);
    let full = Transaction::sign(data(vec![item.clone(); MAX_DATA_ITEMS].into()), &keys[0], &domain);
    assert!(full.validate(&domain).is_ok());
    assert_eq!(refused(data(Items::default())), TransactionError::ItemCount(0));
    let too_many = vec![item.clone(); MAX_DATA_ITEMS + 1];
    assert_eq!(refused(data(too_many.into())), TransactionError::ItemCount(MAX_DATA_ITEMS + 1));
    assert_eq!(refused(data(vec![item, Bytes::new()].into())), TransactionError::EmptyItem);

    let line =
        |length, expected_hashes| Payload::Line(Line { nonce: 0, data: vec![b'\n'; length].into(), expected_hashes });
    for longest in [1, MAX_LINE_BYTES] {
        assert!(Transaction::sign(line(longest, 1), &keys[0], &domain).validate(&domain).is_ok());
    }
    assert_eq!(refused(line(0, 1)), TransactionError::LineLength(0));
    assert_eq!(refused(line(MAX_LINE_BYTES + 1, 1)), TransactionError::LineLength(MAX_LINE_BYTES + 1));
    assert_eq!(refused(line(1, 0)), TransactionError::NoWork);
    let too_much = |max| TransactionError::TooMuchWork { actual: max + 1, max };
    assert_eq!(refused(line(1, MAX_LINE_HASHES + 1)), too_much(MAX_LINE_HASHES));
    let endless = Order { work: Some(Work { expected_hashes: MAX_ORDER_HASHES + 1 }), ..order.clone() };
    assert_eq!(refused(Payload::Order(endless)), too_much(MAX_ORDER_HASHES));

    let mut forged = Transaction::sign(Payload::Order(order), &keys[0], &domain);
    forged.sender = keys[1].address();
    assert!(matches!(forged.validate(&domain), Err(TransactionError::Signature(_))));
}

#[test]
fn a_genesis_without_a_version_keeps_the_network_id_that_it_had() {
    let with = genesis();
    let mut value = serde_json::to_value(&with).unwrap();
    assert_eq!(value["version"], VERSION);
    assert_eq!(value["engine"], json!({ "kind": "pbft" }));
    value.as_object_mut().unwrap().remove("version");
    value.as_object_mut().unwrap().remove("engine");
    let without: Genesis = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(without.version, UNVERSIONED);
    assert!(without.validator_set().is_ok(), "what its network owes can still be proven");
    let before = b256!("9466c84d4b7d5a05201af35c0bfa9c61916876724e63eee7b5bf7e83204d25ce");
    assert_eq!(without.network_id(), before);
    assert_ne!(with.network_id(), before);
    assert_eq!(serde_json::to_value(&without).unwrap(), value);
}

#[test]
fn a_genesis_names_its_engine_and_one_that_is_unknown_is_refused_by_name() {
    let mining = Mining { block_interval_ms: 1_000, confirmations: 3, expected_hashes: 20 };
    let mined = Genesis { engine: Engine::Nakamoto(mining), ..genesis() };
    let named = json!({ "kind": "nakamoto", "block_interval_ms": 1_000, "confirmations": 3, "expected_hashes": 20 });
    let value = serde_json::to_value(&mined).unwrap();
    assert_eq!(value["engine"], named);
    assert_eq!(serde_json::from_value::<Genesis>(value.clone()).unwrap(), mined);
    // Before engines had names, the presence of `mining` said which one it was. The id of the network is the same.
    let mut old = value.clone();
    old.as_object_mut().unwrap().remove("engine");
    assert_eq!(serde_json::from_value::<Genesis>(old.clone()).unwrap(), genesis());
    old["mining"] = serde_json::to_value(mining).unwrap();
    assert_eq!(serde_json::from_value::<Genesis>(old).unwrap().network_id(), mined.network_id());
    assert_ne!(mined.network_id(), genesis().network_id());

    let read = |engine: Value, mining: Option<Mining>| {
        let mut value = value.clone();
        value["engine"] = engine;
        if let Some(mining) = mining {
            value["mining"] = serde_json::to_value(mining).unwrap();
        }
        Genesis::try_from(serde_json::from_value::<GenesisFile>(value).unwrap())
    };
    let unknown = read(json!({ "kind": "tower", "stake": { "of": "everybody" } }), None).unwrap_err();
    assert_eq!(unknown, GenesisError::UnknownEngine("tower".into()));
    assert_eq!(
        unknown.to_string(),
        "no engine is called \"tower\": this program knows pbft, nakamoto, streamlet, simplex, hotstuff2; run one that \
         knows it, or make a network with one of these"
    );
    assert_eq!(read(named, Some(mining)), Err(GenesisError::TwoEngines));
    for (engine, said) in [
        (json!({ "kind": "pbft", "confirmations": 3 }), "the engine pbft has no \"confirmations\""),
        (json!({ "kind": "nakamoto", "confirmations": 3 }), "the engine nakamoto needs \"block_interval_ms\""),
        (
            json!({ "kind": "nakamoto", "block_interval_ms": "soon" }),
            "the engine nakamoto needs a number for \"block_interval_ms\"",
        ),
    ] {
        assert_eq!(read(engine, None).unwrap_err().to_string(), said);
    }
}
