//! What shows that a race was won, and what does not. `solutions.json` holds cases of both with what is said of each here;
//! the forge tests have the contract say the same. `UPDATE_VECTORS=1` rewrites the file after a deliberate change.

#![allow(clippy::unwrap_used)]

use dtn_ledger::{ResultError, SolutionError, check_solution, verify_result};
use dtn_pow::{PowError, Puzzle};
use dtn_primitives::*;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::*;

type Case = (WorkResult, Solution);

fn order_payload(order: Order) -> Bytes {
    codec::encode(&Payload::Order(order)).into()
}

fn claim_payload(claim: Claim) -> Bytes {
    codec::encode(&Payload::Claim(claim)).into()
}

/// Gives a result the hashes of what is shown for it, as only validators could.
fn certified((result, solution): Case) -> Case {
    let domain = genesis().domain();
    let id = Transaction::hash_of(solution.requester, solution.order.clone(), &domain);
    let digest = Transaction::hash_of(result.worker, solution.claim.clone(), &domain);
    (WorkResult { id, digest, ..result }, solution)
}

/// A race with these numbers, which its worker has won or not.
fn race(nonce: u64, expected_hashes: u64, reward: U256, time: u64) -> (Case, Claim) {
    let (worker, payee, requester) = (key(2).address(), key(3).address(), key(10).address());
    let order = order_payload(Order { nonce, reward, ..order_of(0, 0, Some(expected_hashes)) });
    let id = Transaction::hash_of(requester, order.clone(), &genesis().domain());
    let race = B256::repeat_byte(0xc0);
    let hash = Puzzle::new(genesis().network_id(), race, id, worker, 1).unwrap().hash(nonce);
    let claim =
        Claim { order: id, race, payee, nonce, hash, started_at_us: time, ended_at_us: time, duration_us: time };
    let solution = Solution { requester, order, claim: claim_payload(claim.clone()) };
    let result = WorkResult { kind: Kind::RACE, id, worker, payee, amount: reward, digest: B256::ZERO };
    (certified((result, solution)), claim)
}

fn changed(bytes: &Bytes, change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    bytes.into()
}

const NUMBERS: [u64; 11] = [0, 1, 127, 128, 16_383, 16_384, 1 << 32, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX];

/// Numbers that are none: overlong, above 64 bits, of eleven bytes, without an end.
const NO_NUMBERS: [&[u8]; 9] = [
    &[0x80, 0],
    &[0x81, 0],
    &[0x80, 0x80, 1, 0],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    &[0x80],
    &[0xff, 0xff],
];

/// Solutions that hold and that do not. Those whose orders are changed before the reward and certified are left out: the
/// contract does not look there, and says of some only that the claim is for another order.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for number in NUMBERS {
        cases.push(race(number, 1, U256::from(7), 1_700_000_000_000_000).0);
        cases.push(race(5, number, U256::from(7), 1).0);
        cases.push(race(5, 1, U256::from(number) << 192, 1).0);
        cases.push(race(5, 1, U256::from(7), number).0);
    }
    cases.extend((0..8).map(|nonce| race(nonce, 2, U256::from(7), 1).0));
    let (good, claim) = race(300, 1, U256::from(7), 1_700_000_000_000_000);
    let (result, solution) = &good;
    let other = key(4).address();
    cases.extend([
        (WorkResult { worker: other, ..result.clone() }, solution.clone()),
        (WorkResult { id: B256::repeat_byte(1), ..result.clone() }, solution.clone()),
        (WorkResult { digest: B256::repeat_byte(1), ..result.clone() }, solution.clone()),
        (result.clone(), Solution { requester: other, ..solution.clone() }),
    ]);
    let mut push = |result: WorkResult, solution: Solution| cases.push(certified((result, solution)));
    push(WorkResult { worker: other, ..result.clone() }, solution.clone());
    push(WorkResult { payee: other, ..result.clone() }, solution.clone());
    push(WorkResult { amount: U256::from(8), ..result.clone() }, solution.clone());
    push(result.clone(), Solution { requester: other, ..solution.clone() });
    for claim in [
        Claim { order: B256::repeat_byte(1), ..claim.clone() },
        Claim { race: B256::repeat_byte(1), ..claim.clone() },
        Claim { payee: other, ..claim.clone() },
        Claim { nonce: claim.nonce + 1, ..claim.clone() },
        Claim { hash: B256::ZERO, ..claim.clone() },
    ] {
        push(result.clone(), Solution { claim: claim_payload(claim), ..solution.clone() });
    }
    let idle = order_payload(Order { reward: U256::from(7), ..order_of(0, 0, None) });
    let data = codec::encode(&Payload::Data { nonce: 0, items: vec![[1; 100]].into() });
    for order in [idle, data.into(), solution.claim.clone(), Bytes::new()] {
        push(result.clone(), Solution { order, ..solution.clone() });
    }
    for claim in [solution.order.clone(), Bytes::new()] {
        push(result.clone(), Solution { claim, ..solution.clone() });
    }
    // The order ends in the length of the reward, the reward, the mark of the work and one byte of it.
    let work = solution.order.len() - 1;
    for no_number in NO_NUMBERS {
        let order = changed(&solution.order, |bytes| _ = bytes.splice(work.., no_number.iter().copied()));
        push(result.clone(), Solution { order, ..solution.clone() });
        for number in [88, solution.claim.len() - 8, solution.claim.len() - 16, solution.claim.len() - 24] {
            let length = solution.claim[number..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
            let change = |bytes: &mut Vec<u8>| _ = bytes.splice(number..number + length, no_number.iter().copied());
            push(result.clone(), Solution { claim: changed(&solution.claim, change), ..solution.clone() });
        }
    }
    for bit in 0..8 {
        for place in [work - 34, work - 33, work - 2, work - 1, work] {
            let order = changed(&solution.order, |bytes| bytes[place] ^= 1 << bit);
            push(result.clone(), Solution { order, ..solution.clone() });
        }
        for place in 0..solution.claim.len() {
            if place % 11 == bit || [0, 1, 34, 67, 90].contains(&place) {
                let claim = changed(&solution.claim, |bytes| bytes[place] ^= 1 << bit);
                push(result.clone(), Solution { claim, ..solution.clone() });
            }
        }
    }
    for cut in [1, 2, 8, 24, 25, 57, 58, 59, 60, 100] {
        let claim = changed(&solution.claim, |bytes| bytes.truncate(bytes.len() - cut));
        push(result.clone(), Solution { claim, ..solution.clone() });
    }
    for more in [0, 1, 0x80] {
        let order = changed(&solution.order, |bytes| bytes.push(more));
        push(result.clone(), Solution { order, ..solution.clone() });
        let claim = changed(&solution.claim, |bytes| bytes.push(more));
        push(result.clone(), Solution { claim, ..solution.clone() });
    }
    cases
}

/// What the contract calls it.
fn name(outcome: Result<(), SolutionError>) -> &'static str {
    match outcome {
        Ok(()) => "",
        Err(SolutionError::WrongOrder { .. }) => "WrongOrder",
        Err(SolutionError::WrongClaim { .. }) => "WrongClaim",
        Err(SolutionError::MalformedOrder) => "MalformedOrder",
        Err(SolutionError::MalformedClaim) => "MalformedClaim",
        Err(SolutionError::ForeignClaim { .. }) => "ForeignClaim",
        Err(SolutionError::WrongPayee { .. }) => "WrongPayee",
        Err(SolutionError::WrongAmount { .. }) => "WrongAmount",
        Err(SolutionError::Work(PowError::WrongHash { .. })) => "WrongHash",
        Err(SolutionError::Work(_)) => "WorkMissing",
    }
}

fn vectors() -> Value {
    let domain = genesis().domain();
    let shown = |(result, solution): Case| {
        let error = name(check_solution(&result, &solution, &domain));
        let WorkResult { id, worker, payee, amount, digest, .. } = result;
        let Solution { requester, order, claim } = solution;
        json!({ "id": id, "worker": worker, "payee": payee, "amount": amount.to_string(), "digest": digest,
            "requester": requester, "order": order, "claim": claim, "error": error })
    };
    let cases: Vec<_> = cases().into_iter().map(shown).collect();
    json!({ "network_id": domain.network_id, "chain_id": domain.chain_id, "cases": cases })
}

#[test]
fn what_is_said_of_solutions_is_what_the_contract_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/solutions.json");
    let computed = vectors();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string(&computed).unwrap() + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(computed, golden);
    let cases = golden["cases"].as_array().unwrap();
    let count = |error: &str| cases.iter().filter(|case| case["error"] == error).count();
    for error in ["", "WrongOrder", "WrongClaim", "MalformedOrder", "MalformedClaim", "ForeignClaim", "WrongPayee"] {
        assert!(count(error) > 0, "no case of {error:?}");
    }
    for error in ["WrongAmount", "WrongHash", "WorkMissing"] {
        assert!(count(error) > 0, "no case of {error:?}");
    }
}

/// A closed race and what a peer shows for it.
fn shown() -> (FinalizedResult, Domain, ValidatorSet) {
    let mut ledger = ledger();
    let (ordered, other) = (order(0), order(1));
    commit_all(&mut ledger, [ordered.clone(), other.clone()]);
    win(&mut ledger, [claim(hash(&ordered), 2), claim(hash(&other), 3)]);
    let shown = ledger.finalized_result(hash(&ordered)).unwrap().expect("closed");
    (shown, *ledger.domain(), ledger.validators().clone())
}

#[test]
fn a_result_is_shown_with_what_was_signed_for_it() {
    let (shown, domain, validators) = shown();
    let solution = shown.solution.clone().expect("of a race");
    let payload = order(0).payload;
    assert_eq!((solution.requester, &solution.order[..]), (key(10).address(), &codec::encode(&payload)[..]));
    let claimed: Payload = codec::decode(&solution.claim, MAX_TRANSACTION_BYTES).unwrap();
    assert!(matches!(claimed, Payload::Claim(claim) if claim.order == shown.result.id));
    assert_eq!(verify_result(&shown, &domain, &validators), Ok(()));
    let text = serde_json::to_string(&shown).unwrap();
    assert_eq!(serde_json::from_str::<FinalizedResult>(&text).unwrap(), shown, "as peers answer");
    let bytes = codec::encode(&shown);
    assert_eq!(codec::decode::<FinalizedResult>(&bytes, bytes.len()), Ok(shown));
}

#[test]
fn a_result_with_anything_changed_is_not_believed() {
    let (good, domain, validators) = shown();
    let refused = |change: fn(&mut FinalizedResult)| {
        let mut changed = good.clone();
        change(&mut changed);
        verify_result(&changed, &domain, &validators).unwrap_err()
    };
    let id = good.result.id;
    assert_eq!(refused(|it| it.header.height += 1), ResultError::Mismatch);
    assert_eq!(refused(|it| it.certificate.height += 1), ResultError::Mismatch);
    assert!(matches!(refused(|it| _ = it.certificate.signatures.pop()), ResultError::Certificate(_)));
    assert_eq!(refused(|it| it.proof.clear()), ResultError::NotIncluded(id));
    assert_eq!(refused(|it| it.result.amount += U256::from(1)), ResultError::NotIncluded(id));
    assert_eq!(refused(|it| it.solution = None), ResultError::SolutionOf(id));
    let requester = refused(|it| it.solution.as_mut().unwrap().requester = Address::ZERO);
    assert!(matches!(requester, ResultError::Solution { error: SolutionError::WrongOrder { .. }, .. }));
    let claim = refused(|it| it.solution.as_mut().unwrap().claim = Bytes::new());
    assert!(matches!(claim, ResultError::Solution { error: SolutionError::WrongClaim { .. }, .. }));
    let elsewhere = Domain::new(B256::repeat_byte(9), 31337);
    assert_eq!(verify_result(&good, &elsewhere, &validators), Err(ResultError::Mismatch));
}

proptest! {
    #[test]
    fn whatever_bytes_are_certified_no_solution_panics_and_none_with_another_order_or_worker_holds(
        order in prop::collection::vec(any::<u8>(), 0..200), claim in prop::collection::vec(any::<u8>(), 0..200),
        place in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let domain = genesis().domain();
        let ((result, solution), _) = race(300, 1, U256::from(7), 1_700_000_000_000_000);
        let wild = Solution { order: order.into(), claim: claim.into(), ..solution.clone() };
        let (wild_result, wild) = certified((result.clone(), wild));
        prop_assert!(check_solution(&wild_result, &wild, &domain).is_err());

        let flip = |bytes: &mut Vec<u8>| {
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
        };
        let flipped = Solution { order: changed(&solution.order, flip), ..solution.clone() };
        let (flipped_result, flipped) = certified((result.clone(), flipped));
        prop_assert!(check_solution(&flipped_result, &flipped, &domain).is_err());
        let (other, solution) = certified((WorkResult { worker: key(5).address(), ..result }, solution));
        let refused = check_solution(&other, &solution, &domain);
        let is_wrong_hash = matches!(refused, Err(SolutionError::Work(PowError::WrongHash { .. })));
        prop_assert!(is_wrong_hash);
    }
}
