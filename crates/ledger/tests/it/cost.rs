//! What a block costs; run by hand with `--ignored --nocapture`.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Instant};

use crate::common::*;

#[test]
#[ignore = "a measurement"]
fn the_cost_of_a_block() {
    measure("one append, then the block", false);
    measure("each record and the block durable on its own", true);
}

fn measure(what: &str, separately: bool) {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = open(&directory.path().join("ledger.redb"));
    let record = vec![7u8; 512];
    let (blocks, each) = (200u64, 20u64);
    let mut total = [0f64; 3];
    let before = ledger.store().durable_writes();
    for height in 1..=blocks {
        for transaction in 0..each {
            ledger.admit(note(5, (height - 1) * each + transaction)).unwrap();
        }
        let clock = Instant::now();
        let block = Arc::new(propose(&mut ledger, each as usize).unwrap());
        total[0] += clock.elapsed().as_secs_f64();
        let certificate = certificate(&block);
        let clock = Instant::now();
        for records in [(height, record.as_slice()); 3].chunks(if separately { 1 } else { 3 }) {
            ledger.store().append_journal(records.iter().copied()).unwrap();
        }
        total[1] += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        ledger.commit(block, &certificate).unwrap();
        if separately {
            ledger.store().sync().unwrap();
        }
        total[2] += clock.elapsed().as_secs_f64();
    }
    let [propose, journal, commit] = total.map(|seconds| seconds * 1e6 / blocks as f64);
    let writes = (ledger.store().durable_writes() - before) as f64 / blocks as f64;
    println!(
        "{what}: {each} transactions a block: propose {propose:.0} us, journal {journal:.0} us, commit {commit:.0} us, \
         {writes:.2} durable writes"
    );
}
