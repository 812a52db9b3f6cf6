//! What survives, and what is said about a store that did not.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use dtn_ledger::{Ledger, LedgerError, StoreError};
use dtn_primitives::*;

use crate::common::*;

/// A store with orders, claims, notes and a journal; gives the orders' hashes and what its ledger said last.
fn filled(path: &Path) -> (Vec<B256>, String) {
    let mut ledger = open(path);
    let orders: Vec<_> = (0..4).map(order).collect();
    commit_all(&mut ledger, orders.clone());
    commit_all(&mut ledger, [claim(hash(&orders[0]), 2), claim(hash(&orders[1]), 3), note(5, 0)]);
    ledger.admit(note(5, 1)).unwrap();
    end_races(&mut ledger);
    for nonce in 2..10 {
        commit_all(&mut ledger, [note(5, nonce)]);
    }
    ledger.store().append_journal([(12, b"vote".as_slice())]).unwrap();
    let orders: Vec<_> = orders.iter().map(hash).collect();
    let said = description(&ledger, &orders).unwrap();
    (orders, said)
}

/// Everything that a ledger says about itself.
fn description(ledger: &Ledger, orders: &[B256]) -> Result<String, StoreError> {
    let mut text = format!("{:?} {:?}", ledger.tip(), ledger.next_nonce(key(5).address()));
    for height in 0..=12 {
        let certificate = ledger.certificate(height)?;
        text += &format!("{:?} {certificate:?} {:?}", ledger.block(height)?, ledger.results_in(height)?);
    }
    for order in orders {
        let location = ledger.transaction(*order)?;
        text += &format!("{:?} {location:?} {:?}", ledger.open_order(*order), ledger.finalized_result(*order)?);
    }
    Ok(text + &format!("{:?} {:?}", ledger.finalized_results(0, 9)?, ledger.store().journal()?))
}

#[test]
fn a_reopened_store_says_what_it_said_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let (orders, before) = filled(&path);
    assert_eq!(description(&open(&path), &orders).unwrap(), before);
    assert_eq!(open(&path).tip().height, 11);

    // It goes on from there as one that was never closed.
    let mut ledger = open(&path);
    win(&mut ledger, [claim(orders[2], 4), note(5, 10)]);
    drop(ledger);
    let ledger = open(&path);
    assert_eq!((ledger.tip().height, ledger.open_orders().count()), (13, 1));
    assert_eq!(ledger.store().journal(), Ok(vec![]), "the journal of a committed height is gone");
}

#[test]
fn a_copy_taken_while_the_store_is_in_use_is_as_it_was_at_the_last_durable_write() {
    // What a failing machine leaves behind: the file as it was after the last durable write, without a clean close.
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("ledger.redb"), directory.path().join("copy.redb"));
    let mut ledger = open(&path);
    for nonce in 0..5 {
        let height = nonce + 1;
        ledger.store().append_journal([(height, b"prepared".as_slice())]).unwrap();
        let (before, writes) = (ledger.tip(), ledger.store().durable_writes());
        commit_all(&mut ledger, [note(5, nonce)]);
        assert_eq!(ledger.store().durable_writes(), writes, "a commit does not wait for the disk");
        assert_eq!(ledger.store().journal(), Ok(vec![]));
        fs::copy(&path, &copy).unwrap();
        let after = open(&copy);
        assert_eq!((after.tip(), after.block(height)), (before, Ok(None)), "the block is gone");
        assert_eq!(after.next_nonce(key(5).address()), nonce);
        let journal = after.store().journal().unwrap();
        assert!(journal.contains(&(height, b"prepared".to_vec())), "and its journal is back");
        drop(after);

        match nonce % 2 {
            0 => ledger.store().sync().unwrap(),
            _ => ledger.store().append_journal([(height + 1, b"vote".as_slice())]).unwrap(),
        }
        assert_eq!(ledger.store().durable_writes(), writes + 1);
        fs::copy(&path, &copy).unwrap();
        assert_eq!(open(&copy).tip(), ledger.tip());
    }
}

#[test]
fn commits_wait_for_the_disk_now_and_then_if_nothing_else_does() {
    let mut ledger = crate::common::ledger();
    let before = ledger.store().durable_writes();
    for nonce in 0..140 {
        commit_all(&mut ledger, [note(5, nonce)]);
    }
    assert_eq!(ledger.store().durable_writes() - before, 2);
}

/// Not a test of its own: the process that the next test kills. It votes, commits blocks and says so until it is killed.
#[test]
fn a_process_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let mut ledger = open(Path::new(&path));
    loop {
        let height = ledger.tip().height + 1;
        ledger.store().append_journal([(height, b"vote".as_slice())]).unwrap();
        commit_all(&mut ledger, [note(5, height - 1)]);
        println!("committed {height}");
    }
}

const VICTIM: &str = "DTN_LEDGER_TEST_VICTIM";

#[test]
fn a_process_killed_at_any_moment_has_its_last_blocks_or_what_it_said_about_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let mut last = 0;
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::a_process_that_commits_until_it_is_killed", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut committed = lines.filter_map(|line| line.split_once("committed ")?.1.parse::<u64>().ok());
        last = committed.nth(round % 5).expect("it commits").max(last);
        std::thread::sleep(std::time::Duration::from_micros(337 * round as u64));
        child.kill().unwrap();
        last = committed.last().unwrap_or(last).max(last);
        child.wait().unwrap();
        let ledger = open(&path);
        let height = ledger.tip().height;
        assert!((last - 1..=last + 1).contains(&height), "it said {last} and has {height}");
        let vote = (last, b"vote".to_vec());
        assert!(height >= last || ledger.store().journal().unwrap().contains(&vote), "block and vote {last} are gone");
        assert_eq!(ledger.next_nonce(key(5).address()), height);
        let block = ledger.block(height).unwrap();
        assert_eq!(block.map_or(genesis().network_id(), |block| block.header.hash()), ledger.tip().hash);
    }
}

#[test]
fn the_journal_keeps_its_order_and_what_is_above_the_committed_height() {
    let mut ledger = crate::common::ledger();
    let store = ledger.store().clone();
    store.append_journal([(2, b"c".as_slice()), (1, b"a"), (2, b"d")]).unwrap();
    store.append_journal([(1, b"b".as_slice()), (2, b"")]).unwrap();
    let record = |height, text: &str| (height, text.as_bytes().to_vec());
    let all = vec![record(1, "a"), record(1, "b"), record(2, "c"), record(2, "d"), record(2, "")];
    assert_eq!(store.journal(), Ok(all.clone()));
    commit_all(&mut ledger, [note(5, 0)]);
    assert_eq!(store.journal(), Ok(all[2..].to_vec()));
}

#[test]
fn a_store_that_is_in_use_or_of_another_network_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let ledger = open(&path);
    let refused = Ledger::open(&path, genesis()).expect_err("locked");
    assert!(matches!(&refused, LedgerError::Store(StoreError::Locked { store }) if store.ends_with("ledger.redb")));
    drop(ledger);
    let other = Genesis { name: "other".into(), ..genesis() };
    let refused = Ledger::open(&path, other).expect_err("another network");
    assert!(
        matches!(&refused, LedgerError::Store(StoreError::OtherNetwork { have, .. }) if *have == genesis().network_id())
    );
    assert!(refused.to_string().contains("ledger.redb"));
    let nowhere = Ledger::open(directory.path().join("missing/ledger.redb"), genesis()).expect_err("no directory");
    assert!(matches!(nowhere, LedgerError::Store(StoreError::Io { .. })));
}

#[test]
fn an_unusable_genesis_is_refused_before_a_store_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let few = Genesis { validators: vec![key(1).public_key()], ..genesis() };
    assert!(matches!(Ledger::open(&path, few), Err(LedgerError::Genesis(GenesisError::ValidatorCount(1)))));
    assert!(!path.exists());
}

/// Places in a file to be damaged: every byte of its header that is in use, and others in steps that follow no structure.
fn flips(bytes: &[u8]) -> Vec<usize> {
    let used: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let (header, rest): (Vec<_>, Vec<_>) = used.into_iter().partition(|at| *at < 4096);
    header.into_iter().chain(rest.iter().step_by(rest.len() / 400).copied()).collect()
}

/// Opens a damaged store: it must refuse by name, or say exactly what it said before, or refuse to say it.
fn survives(path: &Path, orders: &[B256], before: &str, what: &str) -> bool {
    match Ledger::open(path, genesis()) {
        Ok(ledger) => match description(&ledger, orders) {
            Ok(after) => {
                assert_eq!(after, before, "{what}: it says something else than before");
                return true;
            }
            Err(StoreError::Corrupt { store, .. }) => assert!(store.ends_with("damaged.redb")),
            Err(other) => panic!("{what}: {other}"),
        },
        Err(LedgerError::Store(StoreError::Corrupt { store, .. })) => assert!(store.ends_with("damaged.redb")),
        Err(other) => panic!("{what}: {other}"),
    }
    false
}

/// Opens the store with each of many bits flipped: it must survive all, and notice many.
fn survives_flips(bytes: &[u8], damaged: &Path, orders: &[B256], before: &str) {
    let tried = flips(bytes);
    let is_noticed = |at: &&usize| {
        let mut flipped = bytes.to_vec();
        flipped[**at] ^= 1 << (**at % 8);
        fs::write(damaged, &flipped).unwrap();
        !survives(damaged, orders, before, &format!("bit flipped at {at}"))
    };
    let noticed = tried.iter().filter(is_noticed).count();
    assert!(noticed > tried.len() / 4, "{noticed} of {} flips were noticed", tried.len());
}

#[test]
fn a_truncated_flipped_or_foreign_file_is_a_typed_error_and_never_a_wrong_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (path, damaged) = (directory.path().join("ledger.redb"), directory.path().join("damaged.redb"));
    let (orders, before) = filled(&path);
    let bytes = fs::read(&path).unwrap();
    for length in [1, 8, 100, 511, 4096, 5000, bytes.len() / 4, bytes.len() / 2, bytes.len() - 4096, bytes.len() - 1] {
        fs::write(&damaged, &bytes[..length]).unwrap();
        assert!(!survives(&damaged, &orders, &before, &format!("truncated to {length}")));
    }
    for garbage in [vec![0; 10_000], vec![0xff; 10_000], b"not a store".repeat(1_000)] {
        fs::write(&damaged, &garbage).unwrap();
        assert!(!survives(&damaged, &orders, &before, "garbage"));
    }
    survives_flips(&bytes, &damaged, &orders, &before);
}

#[test]
fn a_flipped_bit_in_a_store_that_was_not_closed_is_an_error_and_never_an_older_truth() {
    let directory = tempfile::tempdir().unwrap();
    let (path, damaged) = (directory.path().join("ledger.redb"), directory.path().join("damaged.redb"));
    drop(Ledger::start(&path, genesis(), peer()).unwrap());
    let (orders, _) = filled(&path);
    let (ledger, _) = Ledger::start(&path, genesis(), peer()).unwrap();
    for (height, record) in [(12, b"prepared".as_slice()), (12, b"committed"), (13, b"prepared")] {
        ledger.store().append_journal([(height, record)]).unwrap();
    }
    let before = description(&ledger, &orders).unwrap();
    // As a killed process leaves them.
    let bytes = fs::read(&path).unwrap();
    fs::copy(path.with_extension("runs"), damaged.with_extension("runs")).unwrap();
    fs::write(&damaged, &bytes).unwrap();
    assert!(survives(&damaged, &orders, &before, "unchanged"), "it opens while nothing is damaged");
    survives_flips(&bytes, &damaged, &orders, &before);
}
