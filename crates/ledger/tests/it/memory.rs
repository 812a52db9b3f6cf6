//! What a store knows of what its peer has said.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use dtn_ledger::{Ledger, LedgerError, Memory, NEVER_VOTED, StoreError, mark_never_voted};

use crate::common::*;

/// Starts the peer and gives its ledger with what it remembers, and whether its store is an older copy.
fn start(store: &Path) -> (Ledger, Memory, bool) {
    let (ledger, is_older) = Ledger::start(store, genesis(), peer()).unwrap();
    let memory = ledger.memory().unwrap();
    (ledger, memory, is_older)
}

fn remembered(store: &Path) -> Memory {
    start(store).1
}

#[test]
fn a_marked_peer_has_never_voted_until_it_says_something() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("ledger.redb");
    mark_never_voted(&store).unwrap();
    let marker = folder.path().join(NEVER_VOTED);
    assert!(marker.exists() && !store.exists());
    assert_eq!(remembered(&store), Memory::NeverVoted);
    assert!(!marker.exists(), "it says so once");
    let (ledger, memory, _) = start(&store);
    assert_eq!(memory, Memory::NeverVoted, "a restart says nothing");
    ledger.store().append_journal([(1, b"vote".as_slice())]).unwrap();
    assert_eq!(ledger.memory(), Ok(Memory::Kept));
    drop(ledger);
    assert_eq!(remembered(&store), Memory::Kept);
}

#[test]
fn a_store_that_is_gone_is_a_lost_one_until_the_peer_says_something() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("ledger.redb");
    assert_eq!(remembered(&store), Memory::Lost, "nobody says that this key never voted");
    let (ledger, memory, _) = start(&store);
    assert_eq!(memory, Memory::Lost);
    ledger.store().append_journal([(1, b"vote".as_slice())]).unwrap();
    drop(ledger);
    assert_eq!(remembered(&store), Memory::Kept);
    fs::remove_file(&store).unwrap();
    assert_eq!(remembered(&store), Memory::Lost);
}

#[test]
fn a_marker_that_a_crash_left_beside_the_store_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, marker) = (folder.path().join("ledger.redb"), folder.path().join(NEVER_VOTED));
    mark_never_voted(&store).unwrap();
    let (ledger, ..) = start(&store);
    ledger.store().append_journal([(1, b"vote".as_slice())]).unwrap();
    drop(ledger);
    // As if the power had failed after the store was made and before the marker's removal was on disk.
    fs::write(&marker, "").unwrap();
    assert_eq!(remembered(&store), Memory::Kept);
    assert!(!marker.exists());
    fs::write(&marker, "").unwrap();
    fs::remove_file(&store).unwrap();
    assert_eq!(remembered(&store), Memory::Lost, "a peer that has run is not believed to have never voted");
}

#[test]
fn a_peer_that_has_run_cannot_be_said_to_have_never_voted() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("ledger.redb");
    drop(start(&store));
    for _ in 0..2 {
        let refused = mark_never_voted(&store).unwrap_err();
        assert!(matches!(&refused, StoreError::HasVoted { store, .. } if store.ends_with("ledger.redb")), "{refused}");
        // Nor after its store was removed.
        fs::remove_file(&store).ok();
    }
    assert!(!folder.path().join(NEVER_VOTED).exists());
}

#[test]
fn an_older_copy_of_a_store_is_told_from_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (store, copy) = (folder.path().join("ledger.redb"), folder.path().join("copy"));
    mark_never_voted(&store).unwrap();
    let say = |height| {
        let (ledger, memory, is_older) = start(&store);
        ledger.store().append_journal([(height, b"vote".as_slice())]).unwrap();
        (ledger.run().unwrap(), memory, is_older)
    };
    assert_eq!(say(1), (1, Memory::NeverVoted, false));
    fs::copy(&store, &copy).unwrap();
    assert_eq!(say(2), (2, Memory::Kept, false));
    fs::copy(&copy, &store).unwrap();
    let (ledger, memory, is_older) = start(&store);
    assert_eq!((ledger.run().unwrap(), memory, is_older), (3, Memory::Lost, true));
    assert_eq!(ledger.store().journal().unwrap().len(), 1, "what it still knows that it said, it keeps");
    drop(ledger);
    assert_eq!(say(3), (4, Memory::Lost, false), "until it says something");
    assert_eq!(say(4), (5, Memory::Kept, false));
    // Moved elsewhere on its own, it cannot tell whether it is the newest.
    fs::remove_file(folder.path().join("ledger.runs")).unwrap();
    assert_eq!(say(5), (6, Memory::Lost, true));
}

#[test]
fn a_store_without_its_last_writes_is_refused_within_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let (store, copy) = (folder.path().join("ledger.redb"), folder.path().join("copy"));
    let (ledger, ..) = start(&store);
    ledger.store().append_journal([(1, b"vote".as_slice())]).unwrap();
    fs::copy(&store, &copy).unwrap();
    ledger.store().append_journal([(2, b"vote".as_slice())]).unwrap();
    drop(ledger);
    fs::copy(&copy, &store).unwrap();
    for _ in 0..2 {
        let refused = Ledger::start(&store, genesis(), peer()).unwrap_err();
        assert!(matches!(&refused, LedgerError::Store(StoreError::Corrupt { .. })), "{refused}");
    }
    assert!(Ledger::open(&store, genesis()).is_err(), "nor is it read");
    fs::remove_file(&store).unwrap();
    assert_eq!(remembered(&store), Memory::Lost);
}

#[test]
fn a_damaged_file_beside_the_store_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (store, beside) = (folder.path().join("ledger.redb"), folder.path().join("ledger.runs"));
    drop(start(&store));
    let good = fs::read(&beside).unwrap();
    let flips = (0..good.len()).map(|at| {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        flipped
    });
    for damaged in flips.chain([vec![], good[..23].to_vec(), [good.as_slice(), &[0]].concat()]) {
        fs::write(&beside, damaged).unwrap();
        let refused = Ledger::start(&store, genesis(), peer()).unwrap_err();
        assert!(refused.to_string().contains("ledger.runs"), "{refused}");
    }
    fs::remove_file(&beside).unwrap();
    assert_eq!(remembered(&store), Memory::Lost);
}
