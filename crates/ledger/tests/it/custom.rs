//! A kind of work that the ledger does not know: its rules are the test's, the bounds and the money the ledger's.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dtn_ledger::{
    AdmissionError, BlockError, Call, Kinds, Ledger, LedgerError, MAX_RECORD_BYTES, MAX_RECORD_MS, MAX_SHARES, Record,
    RecordError, Records, Refusal, Rulebook, Share, WorkError, WorkKind, verify_result,
};
use dtn_primitives::*;
use serde::{Deserialize, Serialize};

use crate::common::{NOW, key, proposer};

const NAME: &str = "sum";
const REWARD: u64 = 100;

/// Asks for two numbers of a sum.
#[derive(Debug)]
struct Sum;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Ask {
    /// Opens a record for so long.
    Order { sum: u64, lifetime_ms: u64, bytes: usize },
    /// Closes it, if they are the numbers, with the reward in so many shares of this.
    Claim { order: B256, numbers: (u64, u64), shares: usize, amount: u64 },
    /// Opens and closes in one call.
    Both { sum: u64 },
}

impl WorkKind for Sum {
    fn name(&self) -> &str {
        NAME
    }

    fn check(&self, body: &[u8]) -> Result<(), WorkError> {
        codec::decode::<Ask>(body, body.len()).map(|_| ()).map_err(WorkError::new)
    }

    fn apply(&self, call: &Call<'_>, records: &mut Records<'_>) -> Result<(), WorkError> {
        let reward = U256::from(REWARD);
        match codec::decode(call.body, call.body.len()).map_err(WorkError::new)? {
            Ask::Order { sum, lifetime_ms, bytes } => {
                let value = [&sum.to_be_bytes()[..], &vec![0; bytes]].concat();
                Ok(records.open(reward, lifetime_ms, value)?)
            }
            Ask::Claim { order, numbers: (one, other), shares, amount } => {
                let sum = u64::from_be_bytes(*records.get(order)?.value.first_chunk().unwrap());
                if one.checked_add(other) != Some(sum) {
                    return Err(WorkError::new("another sum"));
                }
                let share = Share {
                    worker: call.sender,
                    payee: call.sender,
                    amount: U256::from(amount),
                    digest: keccak256(call.body),
                };
                Ok(records.close(order, vec![share; shares])?)
            }
            Ask::Both { sum } => {
                records.open(reward, 1, sum.to_be_bytes())?;
                Ok(records.open(reward, 1, sum.to_be_bytes())?)
            }
        }
    }

    /// The requester gets half of it for the trouble.
    fn expire(&self, record: &Record) -> Vec<Share> {
        let amount = record.reward / U256::from(2);
        vec![Share { worker: record.requester, payee: record.requester, amount, digest: B256::ZERO }]
    }
}

fn genesis() -> Genesis {
    Genesis { kinds: vec![NAME.into()], ..crate::common::genesis() }
}

fn rules() -> Rulebook {
    Rulebook { genesis: genesis(), kinds: Kinds::default().with(Sum).unwrap() }
}

fn sign(signer: u8, nonce: u64, ask: &Ask) -> Transaction {
    let custom = Custom { nonce, kind: Kind::of_name(NAME).unwrap(), body: codec::encode(ask).into() };
    Transaction::sign(Payload::Custom(custom), &key(signer), &genesis().domain())
}

fn order(nonce: u64, sum: u64) -> Transaction {
    sign(10, nonce, &Ask::Order { sum, lifetime_ms: 60_000, bytes: 0 })
}

fn claim(signer: u8, nonce: u64, order: B256, numbers: (u64, u64)) -> Transaction {
    sign(signer, nonce, &Ask::Claim { order, numbers, shares: 1, amount: REWARD })
}

/// Commits what waits in a block with this timestamp.
fn commit(ledger: &mut Ledger, now_ms: u64) -> Block {
    let block = ledger.propose(ledger.tip().hash, now_ms, proposer(), 1_000, true).unwrap();
    let (domain, validators) = (genesis().domain(), genesis().validator_set().unwrap());
    let votes: Vec<_> = (1..=3)
        .map(|number| {
            let index = validators.index_of(key(number).address()).unwrap();
            Vote::sign(VoteKind::Commit, (0, 0, block.header.height), block.header.hash(), index, &key(number), &domain)
        })
        .collect();
    ledger.commit(block.clone(), &Certificate::from_votes(&votes).unwrap()).unwrap();
    Arc::unwrap_or_clone(block)
}

fn admit(ledger: &mut Ledger, transaction: Transaction) -> B256 {
    ledger.admit(transaction).unwrap()
}

/// Why a call cannot be executed on top of the tip, as whoever sends it is told. A block with it is refused for the same.
fn refused(ledger: &mut Ledger, transaction: Transaction) -> String {
    let told = refusal(ledger, transaction.clone());
    let (parent, hashes) = (ledger.tip(), [transaction.hash(&genesis().domain())]);
    let header = Header {
        network_id: genesis().network_id(),
        chain_id: 31337,
        epoch: 0,
        height: parent.height + 1,
        timestamp: parent.timestamp + 1,
        proposer: proposer(),
        parent_hash: parent.hash,
        transactions_root: Block::transactions_root_of(hashes.into_iter().zip([&transaction])),
        results_root: B256::ZERO,
    };
    let block = Block { header, transactions: vec![transaction] };
    let judged = ledger.check_proposal(Arc::new(block), NOW, false);
    assert_eq!(judged, Err(BlockError::Execution { index: 0, refusal: told.clone() }));
    told.to_string()
}

/// Commits a call.
fn execute(ledger: &mut Ledger, transaction: Transaction) {
    admit(ledger, transaction);
    let now = ledger.tip().timestamp + 1;
    assert_eq!(commit(ledger, now).transactions.len(), 1);
}

fn refusal(ledger: &mut Ledger, transaction: Transaction) -> Refusal {
    match ledger.admit(transaction) {
        Err(AdmissionError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn work_of_a_custom_kind_is_ordered_claimed_and_provable() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("ledger.redb");
    let mut ledger = Ledger::open(&store, rules()).unwrap();
    let asked = admit(&mut ledger, order(0, 12));
    commit(&mut ledger, NOW);
    assert_eq!(ledger.store().reading().unwrap().answer(&Question::Order(asked)), Ok(Answer::OpenOrder { height: 1 }));

    // It is open after a restart, and its claim is executed by a peer that was not there when it came.
    drop(ledger);
    let mut ledger = Ledger::open(&store, rules()).unwrap();
    assert!(refused(&mut ledger, claim(20, 0, asked, (5, 6))).ends_with("another sum"));
    admit(&mut ledger, claim(21, 0, asked, (5, 7)));
    let block = commit(&mut ledger, NOW + 10);
    assert_eq!(block.transactions.len(), 1);
    let [result]: [FinalizedResult; 1] = ledger.finalized_results(0, 9).unwrap().try_into().unwrap();
    let worker = key(21).address();
    assert_eq!((result.result.id, result.result.worker, result.result.payee), (asked, worker, worker));
    assert_eq!((result.result.kind, result.result.amount), (Kind::of_name(NAME).unwrap(), U256::from(REWARD)));
    verify_result(&result, ledger.domain(), ledger.validators()).unwrap();
    let closed = ledger.store().reading().unwrap().answer(&Question::Order(asked)).unwrap();
    assert_eq!(closed, Answer::ClosedOrder { height: result.header.height, claim: result.result.digest });
    let late = refused(&mut ledger, claim(22, 0, asked, (4, 8)));
    assert!(late.contains(&RecordError::NotOpen(asked).to_string()), "{late}");
}

#[test]
fn every_peer_and_a_snapshot_come_to_the_same_records() {
    let (mut one, mut other) = (Ledger::in_memory(rules()).unwrap(), Ledger::in_memory(rules()).unwrap());
    for sum in 0..5 {
        admit(&mut one, order(sum, sum));
    }
    let empty = one.checkpoint().unwrap();
    let block = commit(&mut one, NOW);
    other.check_proposal(Arc::new(block.clone()), NOW, false).unwrap();
    let certificate = one.certificate(1).unwrap().unwrap();
    other.commit(Arc::new(block), &certificate).unwrap();
    assert_eq!(one.checkpoint(), other.checkpoint());
    assert_ne!(one.checkpoint().unwrap(), empty, "records are part of the state's root");
}

#[test]
fn a_record_whose_time_is_up_ends_as_its_kind_says_and_a_block_is_due_for_that() {
    let mut ledger = Ledger::in_memory(rules()).unwrap();
    let asked = admit(&mut ledger, order(0, 12));
    commit(&mut ledger, NOW);
    assert!(!ledger.is_due(NOW + 60_000) && ledger.is_due(NOW + 60_001));
    commit(&mut ledger, NOW + 60_000);
    assert_eq!(ledger.finalized_results(0, 9).unwrap().len(), 0, "its last moment");
    ledger.tell_time(NOW + 60_001);
    assert_eq!(ledger.oldest_executable(), Some(asked));
    commit(&mut ledger, NOW + 60_001);
    let results = ledger.finalized_results(0, 9).unwrap();
    assert_eq!((results[0].result.id, results[0].result.amount), (asked, U256::from(REWARD / 2)));
    assert!(!ledger.is_due(NOW + 1_000_000));
}

#[test]
fn a_reward_is_offered_by_requesters_alone_and_no_more_than_it_is_paid() {
    let mut ledger = Ledger::in_memory(rules()).unwrap();
    let strange = refused(&mut ledger, sign(20, 0, &Ask::Order { sum: 1, lifetime_ms: 9, bytes: 0 }));
    assert_eq!(strange, Refusal::NotRequester(key(20).address()).to_string());
    let asked = admit(&mut ledger, order(0, 12));
    commit(&mut ledger, NOW);
    let claim = |signer, shares, amount| sign(signer, 0, &Ask::Claim { order: asked, numbers: (5, 7), shares, amount });
    for (shares, amount) in [(1, REWARD + 1), (3, REWARD / 2)] {
        let told = refused(&mut ledger, claim(21, shares, amount));
        assert!(told.ends_with("wei are shared of the 100 that were offered"), "{told}");
    }
    let told = refused(&mut ledger, claim(23, MAX_SHARES + 1, 0));
    assert!(told.ends_with(&RecordError::TooManyShares(MAX_SHARES + 1).to_string()), "{told}");
    execute(&mut ledger, claim(24, 2, REWARD / 2));
    let ids: Vec<_> = ledger.finalized_results(0, 9).unwrap().iter().map(|result| result.result.id).collect();
    assert_eq!(ids, [asked, WorkResult::share_id(asked, 1)]);
}

#[test]
fn records_have_a_length_and_a_lifetime_and_a_call_opens_one() {
    let mut ledger = Ledger::in_memory(rules()).unwrap();
    let order = |lifetime_ms, bytes| sign(10, 0, &Ask::Order { sum: 1, lifetime_ms, bytes });
    let longest = MAX_RECORD_BYTES - 8;
    let cases = [
        (order(0, 0), RecordError::Lifetime(0)),
        (order(MAX_RECORD_MS + 1, 0), RecordError::Lifetime(MAX_RECORD_MS + 1)),
        (order(9, longest + 1), RecordError::TooLong(MAX_RECORD_BYTES + 1)),
        (sign(10, 0, &Ask::Both { sum: 1 }), RecordError::Opened),
    ];
    for (wrong, error) in cases {
        assert!(refused(&mut ledger, wrong).ends_with(&error.to_string()), "{error}");
    }
    execute(&mut ledger, order(MAX_RECORD_MS, longest));
}

#[test]
fn a_requester_has_no_more_records_open_than_its_share() {
    let mut ledger = Ledger::in_memory(rules()).unwrap();
    let share = 4_096;
    for nonce in 0..share {
        admit(&mut ledger, order(nonce, 1));
        if nonce % 500 == 499 || nonce + 1 == share {
            while ledger.ready().transactions > 0 {
                let now = ledger.tip().timestamp + 1;
                commit(&mut ledger, now);
            }
        }
    }
    let one_more = refused(&mut ledger, order(share, 1));
    let requester = key(10).address();
    assert_eq!(one_more, Refusal::TooManyOpen { requester, open: share as usize }.to_string());
}

#[test]
fn a_call_of_a_kind_that_the_network_or_the_program_does_not_have_is_refused_by_name() {
    let mut ledger = Ledger::in_memory(rules()).unwrap();
    let other = Kind::of_name("other").unwrap();
    let call = |kind| {
        let custom = Custom { nonce: 0, kind, body: Bytes::new() };
        Transaction::sign(Payload::Custom(custom), &key(10), &genesis().domain())
    };
    assert_eq!(refusal(&mut ledger, call(other)), Refusal::UnknownKind(other));
    assert_eq!(refusal(&mut ledger, call(Kind::RACE)), Refusal::Invalid(TransactionError::NotCustom(Kind::RACE)));
    let malformed = refusal(&mut ledger, call(Kind::of_name(NAME).unwrap()));
    assert!(matches!(malformed, Refusal::Work { .. }), "{malformed}");
    match Ledger::in_memory(genesis()) {
        Err(LedgerError::MissingKind(name)) => assert_eq!(name, NAME),
        other => panic!("{other:?}"),
    }
    let none = Ledger::in_memory(Rulebook { genesis: crate::common::genesis(), kinds: rules().kinds }).unwrap();
    assert_ne!(none.domain(), ledger.domain(), "kinds are part of what a network is");
}
