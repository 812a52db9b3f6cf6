//! Golden vectors. `vectors.json` was written by `reference.py`, which is Python from the page on orders.
//! `encodings.json` holds the bytes of terms, calls and states; `UPDATE_VECTORS=1` rewrites it after a deliberate change.

use dtn_primitives::{Address, B256, Bytes, codec, merkle};
use dtn_training::*;
use serde_json::{Map, Value, json};

use crate::world::{Truth, WATCHER, World, run, score_terms, terms};

fn golden() -> Value {
    serde_json::from_str(include_str!("../vectors.json")).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn commitments_and_statements_are_those_of_an_independent_implementation() {
    let golden = golden();
    let [model, trace] = [B256::repeat_byte(4), B256::repeat_byte(5)];
    let reveal = Reveal { model, trace, point: 258, attempt: 65534, payee: Address::ZERO };
    let commitment = reveal.commitment(B256::repeat_byte(3), Address::repeat_byte(6));
    assert_eq!(commitment, read::<B256>(&golden["commitment"]));
    let statements = &golden["statements"];
    let (numbers, stated): (Vec<u16>, Vec<B256>) = (read(&statements["numbers"]), read(&statements["stated"]));
    assert_eq!(statements_root(&numbers, &stated), read::<B256>(&statements["root"]));
    for (number, path) in numbers.iter().zip(read::<Vec<Vec<B256>>>(&statements["paths"])) {
        assert_eq!(statement_path(&numbers, &stated, *number), Some(path));
    }
    assert_eq!(statement_path(&numbers, &stated, 1), None);
    assert_eq!(statements_root(&[], &[]), merkle::root(&[]));
}

#[test]
fn what_is_drawn_is_what_an_independent_implementation_draws() {
    let golden = golden();
    let mut world = World::new(&terms(1, 4, 2, 5), 10);
    world.claim(0, run(0, 0, 0));
    world.now_ms += 1;
    world.draw(B256::repeat_byte(0xbe));
    assert_eq!(world.order.drawn_rows(), read::<Vec<u32>>(&golden["rows"]));
    let members: Vec<_> = world.order.committee().iter().map(|member| member.account).collect();
    assert_eq!(members, read::<Vec<Address>>(&golden["committee"]));
    let mut world = World::new(&terms(1, 7, 3, 12), 7);
    world.reach_scoring([run(0, 170, 170)]);
    let segments: Vec<_> = (0..7).map(|member| world.order.segments_of(member)).collect();
    assert_eq!(segments, read::<Vec<Vec<u16>>>(&golden["segments"]));
}

/// Three claims, of which the second is the best, or forged in its fourth segment; `each` sees every state before it
/// changes.
fn life(money: Money, forged: bool, mut each: impl FnMut(&World, &str)) -> World {
    let mut terms = terms(3, 4, 2, 5);
    terms.deal.money = money;
    let mut world = World::new(&terms, 4);
    each(&world, "opened");
    let truth = Truth { forged: forged.then_some(3), ..run(1, 175, 174) };
    world.reach_scoring([run(0, 170, 171), truth, run(2, 100, 105)]);
    each(&world, "scoring");
    world.score_all();
    each(&world, "challenging");
    world.wait();
    world.trace().unwrap();
    each(&world, "auditing");
    if forged {
        let subject = Subject::Segment { claim: 1, segment: 3 };
        world.call(WATCHER, Call::Challenge { subject, path: Vec::new() }).unwrap();
        each(&world, "challenged");
        world.rule(subject);
        world.trace().unwrap();
    }
    (0..4).filter(|member| !forged || *member != 2).for_each(|member| world.audit(member));
    world.wait();
    while world.ending().is_none() {
        world.rule_all();
        world.wait();
    }
    each(&world, "ended");
    world
}

#[test]
fn what_is_paid_is_to_the_wei_what_an_independent_implementation_pays() {
    for case in golden()["paid"].as_array().unwrap() {
        let amount = |key: &str| case["money"][key].as_str().unwrap().parse::<u128>().unwrap();
        let [reward, deposit, worker, member, bond] = ["reward", "deposit", "worker", "member", "bond"].map(amount);
        let forged = case["forged"].as_bool().unwrap();
        let world = life(Money { reward, deposit, worker, member, bond }, forged, |_, _| {});
        let gains: Map<String, Value> = read(&case["gains"]);
        assert!(gains.len() >= 9);
        for (account, gain) in gains {
            assert_eq!(
                world.gain(account.parse().unwrap()).to_string(),
                gain.as_str().unwrap(),
                "{account}, forged: {forged}"
            );
        }
        assert_eq!(world.pot.to_string(), case["pot"].as_str().unwrap());
    }
}

fn calls() -> Vec<Call> {
    let [one, two] = [1, 2].map(B256::repeat_byte);
    let grades = run(1, 175, 174).grades;
    let evaluated = Subject::Evaluated { claim: 63, member: 15, statement: one };
    let audited = Subject::Audited { claim: 3, segment: 479, member: 2, statement: two };
    vec![
        Call::Claim { commitment: one },
        Call::Open { rows: two },
        Call::Reveal { claim: 3, reveal: run(3, 0, 0).reveal },
        Call::Scores { grades: vec![grades, Grades { hidden: None, ..grades }], statements: vec![one, two] },
        Call::Trace { claim: 3 },
        Call::Audit { claim: 3, statements: vec![one, two] },
        Call::Challenge { subject: evaluated, path: vec![two] },
        Call::Challenge { subject: audited, path: vec![one, two] },
        Call::Ruling { subject: Subject::Score { claim: 1 }, verdict: Verdict::Grades(grades) },
        Call::Ruling { subject: Subject::Segment { claim: 1, segment: 300 }, verdict: Verdict::Holds(false) },
    ]
}

fn encodings() -> Value {
    let hex = |bytes: Vec<u8>| json!(Bytes::from(bytes));
    let [trace, score] = [terms(3, 4, 2, 5), score_terms(2, 4)];
    let mut states = Map::new();
    life(trace.deal.money, true, |world, name| {
        states.insert(name.to_owned(), hex(codec::encode(&world.order)));
    });
    let calls: Vec<_> =
        calls().iter().map(|call| json!({ "name": call.name(), "bytes": hex(call.encode()) })).collect();
    json!({ "terms": [hex(trace.encode()), hex(score.encode())], "calls": calls, "states": states })
}

#[test]
fn the_bytes_of_terms_calls_and_states_are_the_golden_ones() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encodings.json");
    let computed = encodings();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&computed).unwrap() + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(computed, golden);
    for terms in [terms(3, 4, 2, 5), score_terms(2, 4)] {
        assert_eq!(Terms::decode(&terms.encode()), Ok(terms));
    }
    for call in calls() {
        assert_eq!(Call::decode(&call.encode()), Ok(call));
    }
}

#[test]
fn the_longest_calls_fit_into_a_transaction_and_no_bytes_make_reading_one_fail_otherwise_than_by_name() {
    let most = |count: usize| vec![B256::repeat_byte(0xff); count];
    let grade = Some(Grade { correct: 1_000_000, loss: u64::MAX });
    let longest = [
        Call::Audit { claim: 63, statements: most(MAX_SEGMENTS.into()) },
        Call::Scores {
            grades: vec![Grades { hidden: grade, fold: grade }; MAX_CLAIMS.into()],
            statements: most(MAX_CLAIMS.into()),
        },
    ];
    for call in longest {
        let bytes = call.encode();
        assert!(bytes.len() <= MAX_CALL_BYTES, "{} is {} bytes", call.name(), bytes.len());
        for cut in 0..bytes.len().min(400) {
            assert!(Call::decode(&bytes[..cut]).is_err());
        }
        assert!(Call::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}
