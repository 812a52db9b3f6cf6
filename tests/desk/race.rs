//! Races that were won, for tests that begin with results.
#![allow(dead_code, reason = "no suite uses all of it")]

use dtn_pow::Puzzle;
use dtn_primitives::{
    Address, B256, Bytes, Claim, Domain, Kind, Order, Payload, Solution, Transaction, U256, Work, WorkResult, codec,
};

/// The result of a race and its solution.
pub(crate) type Race = (WorkResult, Solution);

/// The race of this number in a network, where every hash wins, and what shows that a worker has won it.
pub(crate) fn won(number: u64, accounts: (Address, Address), amount: U256, domain: &Domain) -> Race {
    claimed(number, 1, accounts, amount, domain)
}

/// The same with more work asked for, whether the claim shows it or not.
pub(crate) fn claimed(
    number: u64,
    expected_hashes: u64,
    (worker, payee): (Address, Address),
    amount: U256,
    domain: &Domain,
) -> Race {
    let requester = Address::repeat_byte(0x0e);
    let order = Order {
        nonce: number,
        dataset: "MNIST".into(),
        model: "LeNet-5".into(),
        metric: "accuracy >= 0.99".into(),
        reward: amount,
        work: Some(Work { expected_hashes }),
    };
    let order = Bytes::from(codec::encode(&Payload::Order(order)));
    let (id, race) = (Transaction::hash_of(requester, order.clone(), domain), B256::repeat_byte(0xc0));
    let hash = Puzzle::new(domain.network_id, race, id, worker, 1).expect("work").hash(number);
    let (started_at_us, ended_at_us) = (1_700_000_000_000_000, 1_700_000_000_500_000);
    let claim = Claim { order: id, race, payee, nonce: number, hash, started_at_us, ended_at_us, duration_us: 499_998 };
    let claim = Bytes::from(codec::encode(&Payload::Claim(claim)));
    certified(
        (
            WorkResult { kind: Kind::RACE, id, worker, payee, amount, digest: B256::ZERO },
            Solution { requester, order, claim },
        ),
        domain,
    )
}

/// With the hashes of the solution in the result, as only validators could have it.
pub(crate) fn certified((result, solution): Race, domain: &Domain) -> Race {
    let id = Transaction::hash_of(solution.requester, solution.order.clone(), domain);
    let digest = Transaction::hash_of(result.worker, solution.claim.clone(), domain);
    (WorkResult { id, digest, ..result }, solution)
}
