//! How long a checkpoint holds up whoever votes, in a state of many accounts:
//! `cargo run --release -p dtn-ledger --example checkpoint -- 1000000`
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/it/common/mod.rs"]
mod common;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use dtn_ledger::{Earned, Ledger, Manifest, Rest};
use dtn_primitives::*;

use common::*;

const BUCKETS: usize = 1 << 16;

/// The height of the state to begin with.
const HEIGHT: u64 = 128;

/// Blocks, with a checkpoint after each.
const BLOCKS: u64 = 40;

/// Transactions of a block, each of an account of its own.
const EACH: u8 = 200;

fn main() {
    let accounts: u64 = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().expect("a number of accounts"));
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path().join("ledger.redb"), genesis()).unwrap();
    let (manifest, chunks) = state_of(accounts);
    let clock = Instant::now();
    ledger.install(&manifest, &chunks).unwrap();
    println!("{accounts} accounts in {} parts, taken over in {:.1} s", chunks.len(), clock.elapsed().as_secs_f64());

    let (mut commits, mut pauses, mut computing, mut writing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for nonce in 0..BLOCKS {
        for signer in 0..EACH {
            ledger.admit(note(signer.wrapping_add(20), nonce)).unwrap();
        }
        let block = Arc::new(propose(&mut ledger, EACH.into()).unwrap());
        let certificate = certificate(&block);
        let clock = Instant::now();
        ledger.commit(block, &certificate).unwrap();
        commits.push(clock.elapsed());
        let (clock, before) = (Instant::now(), on_processor());
        ledger.checkpoint().unwrap();
        pauses.push(clock.elapsed());
        computing.push(on_processor() - before);
        let clock = Instant::now();
        ledger.store().finish_snapshot().unwrap();
        writing.push(clock.elapsed());
    }
    for (what, times) in [
        ("a commit", &mut commits),
        ("a checkpoint", &mut pauses),
        ("of that on a processor", &mut computing),
        ("a snapshot, beside", &mut writing),
    ] {
        times.sort();
        let at = |place: usize| times[place].as_secs_f64() * 1e3;
        println!("{what}: median {:.3} ms, longest {:.3} ms", at(times.len() / 2), at(times.len() - 1));
    }
    let clock = Instant::now();
    drop(ledger);
    Ledger::open(directory.path().join("ledger.redb"), genesis()).unwrap();
    println!("opened again in {:.1} s", clock.elapsed().as_secs_f64());
}

/// How long this thread had a processor so far, whatever else the machine does; zero where the system does not tell.
fn on_processor() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(times.split_whitespace().next().map_or(0, |nanos| nanos.parse().unwrap()))
}

/// The lists of a bucket that are not of accounts.
const OTHER_LISTS: usize = 6;

/// A state of many accounts under a quorum's signatures, laid out as docs/reference/formats.md says.
fn state_of(accounts: u64) -> (Manifest, Vec<Vec<u8>>) {
    let mut buckets: BTreeMap<u16, BTreeMap<Address, (u64, u64)>> = BTreeMap::new();
    for number in 0..accounts {
        let account = Address::from_slice(&keccak256(number.to_be_bytes())[12..]);
        let bucket = u16::from_be_bytes([account[0], account[1]]);
        buckets.entry(bucket).or_default().insert(account, (number, 1));
    }
    let encode = |(number, nonces): (u16, BTreeMap<Address, (u64, u64)>)| {
        let nonces: Vec<_> = nonces.into_iter().collect();
        (number, Bytes::from(codec::encode(&(nonces, [[(); 0].as_slice(); OTHER_LISTS]))))
    };
    let buckets: BTreeMap<u16, Bytes> = buckets.into_iter().map(encode).collect();
    let mut nodes = vec![B256::ZERO; BUCKETS];
    for (number, bucket) in &buckets {
        nodes[usize::from(*number)] = keccak256(bucket);
    }
    let length: usize = buckets.values().map(|bucket| bucket.len() + 8).sum();
    let parts = length.div_ceil(900 * 1024).next_power_of_two();
    let over = |pair: &[B256]| if pair == [B256::ZERO; 2] { B256::ZERO } else { keccak256(pair.concat()) };
    let above = |level: Vec<B256>| level.chunks(2).map(over).collect::<Vec<_>>();
    while nodes.len() > parts {
        nodes = above(nodes);
    }
    let (chunks, mut top) = (nodes.clone(), nodes);
    while top.len() > 1 {
        top = above(top);
    }
    let block = Block {
        header: Header {
            network_id: genesis().network_id(),
            chain_id: genesis().chain_id,
            epoch: 0,
            height: HEIGHT,
            timestamp: NOW - 1,
            proposer: proposer(),
            parent_hash: B256::ZERO,
            transactions_root: B256::ZERO,
            results_root: B256::ZERO,
        },
        transactions: Vec::new(),
    };
    let header = block.header.clone();
    let rest = Rest { rounds: Rounds::default(), next_work: 0, floor: 0, pot: 0, earned: Earned::default() };
    let head = codec::encode(&(HEIGHT, header.hash(), header.timestamp, &rest, parts as u64));
    let checkpoint = checkpoint_of(HEIGHT, keccak256([keccak256(head), top[0]].concat()));
    let width = BUCKETS / parts;
    let part = |index: usize| {
        let range = (index * width) as u16..=(index * width + width - 1) as u16;
        codec::encode(&buckets.range(range).map(|(number, bucket)| (*number, bucket.clone())).collect::<Vec<_>>())
    };
    let encoded = (0..parts).map(part).collect();
    (Manifest { checkpoint, header, certificate: certificate(&block), rest, chunks }, encoded)
}
