//! Stores of other versions, and copies of stores.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, path::Path};

use dtn_ledger::{Ledger, LedgerError, Memory, ResultError, StoreError, mark_never_voted, verify_result};
use dtn_primitives::*;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::common::*;

/// The records of a store, by table: keys and values as they are on disk.
type Tables = BTreeMap<String, Vec<(Bytes, Bytes)>>;

/// A store that an earlier version of the program wrote, and the genesis of its network.
#[derive(Serialize, Deserialize)]
struct Fixture {
    genesis: Genesis,
    tables: Tables,
}

const VERSION_6: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store-6.json");

fn fixture() -> Fixture {
    serde_json::from_str(&fs::read_to_string(VERSION_6).unwrap()).unwrap()
}

fn table(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

fn dump(store: &Path) -> Tables {
    let database = Database::open(store).unwrap();
    let reading = database.begin_read().unwrap();
    let names: Vec<_> = reading.list_tables().unwrap().map(|table| table.name().to_string()).collect();
    let records = |name: &String| {
        let opened = reading.open_table(table(name)).unwrap();
        let records = opened.iter().unwrap().map(|record| {
            let (key, value) = record.unwrap();
            (Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value()))
        });
        (name.clone(), records.collect())
    };
    names.iter().map(records).collect()
}

fn write(store: &Path, tables: &Tables) {
    let database = Database::create(store).unwrap();
    let transaction = database.begin_write().unwrap();
    for (name, records) in tables {
        let mut opened = transaction.open_table(table(name)).unwrap();
        for (key, value) in records {
            opened.insert(key.as_ref(), value.as_ref()).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// Changes the version that a store says it has.
fn set_version(store: &Path, version: u32) {
    let value = codec::encode(&version);
    let mut hasher = Xxh3::new();
    for part in [b"meta".as_slice(), b"schema"] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(&value);
    let sealed = [hasher.digest().to_be_bytes().as_slice(), &value].concat();
    let database = Database::create(store).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table("meta")).unwrap().insert(b"schema".as_slice(), sealed.as_slice()).unwrap();
    transaction.commit().unwrap();
}

/// How the fixture was made: `DTN_STORE=ledger.redb DTN_GENESIS=genesis.json`, with the program of version 6 at hand.
#[test]
#[ignore = "writes the fixture"]
fn write_the_fixture() {
    let file = |variable| std::path::PathBuf::from(std::env::var_os(variable).unwrap());
    let genesis = serde_json::from_str(&fs::read_to_string(file("DTN_GENESIS")).unwrap()).unwrap();
    let fixture = Fixture { genesis, tables: dump(&file("DTN_STORE")) };
    fs::write(VERSION_6, serde_json::to_string(&fixture).unwrap() + "\n").unwrap();
}

#[test]
fn a_store_of_another_version_is_told_from_a_broken_one_whatever_else_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("ledger.redb");
    for (version, advice) in [(5, "migrate"), (6, "migrate"), (7, "migrate"), (9, "newer")] {
        fs::remove_file(&store).ok();
        write(&store, &BTreeMap::from([("of-another-version".into(), vec![])]));
        set_version(&store, version);
        let refused = Ledger::open(&store, genesis()).unwrap_err();
        let other = StoreError::OtherVersion { store: store.display().to_string(), have: version, need: VERSION };
        assert_eq!(refused, LedgerError::Store(other));
        let said = refused.to_string();
        assert!(said.contains(&format!("version {version}")) && said.contains("version 8"), "{said}");
        assert!(said.contains(advice), "{said}");
    }
    fs::remove_file(&store).unwrap();
    write(&store, &BTreeMap::from([("of-no-version".into(), vec![])]));
    assert!(matches!(Ledger::open(&store, genesis()), Err(LedgerError::Store(StoreError::Corrupt { .. }))));
}

#[test]
fn a_store_of_version_6_keeps_what_is_owed_provable() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("ledger.redb");
    let Fixture { genesis, tables } = fixture();
    write(&store, &tables);
    let refused = Ledger::open(&store, genesis.clone()).unwrap_err();
    assert!(matches!(refused, LedgerError::Store(StoreError::OtherVersion { have: 6, .. })), "{refused}");
    let other = Genesis { name: "other".into(), ..genesis.clone() };
    assert!(matches!(Ledger::migrate(&store, &other), Err(StoreError::OtherNetwork { .. })));
    assert_eq!(Ledger::migrate(&store, &genesis), Ok(6));
    assert_eq!(dump(&directory.path().join("ledger.6.redb")), tables, "the old one is as it was");
    assert_eq!(Ledger::migrate(&store, &genesis), Ok(VERSION), "once is enough");

    let (mut ledger, is_older) = Ledger::start(&store, genesis.clone(), peer()).unwrap();
    assert!(!is_older);
    assert_eq!(ledger.memory(), Ok(Memory::Lost), "what it said is of another version");
    assert_eq!(ledger.tip().height, 6);
    let results = ledger.finalized_results(0, 100).unwrap();
    assert_eq!(results.len(), 2);
    for result in &results {
        verify_result(result, ledger.domain(), ledger.validators()).unwrap();
        assert_eq!(ledger.finalized_result(result.result.id).unwrap().as_ref(), Some(result));
        // The leaf that it had told its kind by its id, so no other can be claimed of it.
        for kind in [Kind::ROUND, Kind::BATCH, Kind::of_name("other").unwrap()] {
            let other = WorkResult { kind, ..result.result.clone() };
            let other = FinalizedResult { result: other, solution: None, ..result.clone() };
            let refused = verify_result(&other, ledger.domain(), ledger.validators());
            assert_eq!(refused, Err(ResultError::NotIncluded(result.result.id)), "{kind}");
        }
    }
    assert_eq!(ledger.open_orders().len(), 1);
    assert_eq!((ledger.lowest_block(), ledger.block(6)), (Ok(7), Ok(None)));
    let kept: Vec<_> = (0..9).filter(|height| ledger.header(*height).unwrap().is_some()).collect();
    assert_eq!(kept, [2, 4, 6], "results and the tip");
    assert_eq!(ledger.store().journal(), Ok(vec![]));
    ledger.checkpoint().unwrap();
}

#[test]
fn what_no_step_leads_from_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("ledger.redb");
    assert!(matches!(Ledger::migrate(&store, &genesis()), Err(StoreError::Io { .. })), "there is none");
    drop(open(&store));
    for version in [5, 9] {
        set_version(&store, version);
        let before = dump(&store);
        let refused = Ledger::migrate(&store, &genesis()).unwrap_err();
        assert!(matches!(refused, StoreError::OtherVersion { have, .. } if have == version), "{refused}");
        assert_eq!(dump(&store), before);
    }
}

#[test]
fn a_restored_backup_does_not_vote_as_if_it_knew_everything() {
    let directory = tempfile::tempdir().unwrap();
    let (store, copy) = (directory.path().join("ledger.redb"), directory.path().join("backup"));
    let say = |height| {
        let (mut ledger, _) = Ledger::start(&store, genesis(), peer()).unwrap();
        let memory = ledger.memory().unwrap();
        let nonce = ledger.next_nonce(key(5).address());
        commit_all(&mut ledger, [note(5, nonce)]);
        ledger.store().append_journal([(height, b"vote".as_slice())]).unwrap();
        (memory, ledger.run().unwrap())
    };
    mark_never_voted(&store).unwrap();
    assert_eq!(say(9), (Memory::NeverVoted, 1));
    Ledger::back_up(&store, &copy, &genesis(), Some(peer())).unwrap();
    assert!(
        matches!(Ledger::back_up(&store, &copy, &genesis(), Some(peer())), Err(StoreError::Exists { .. })),
        "none is overwritten"
    );
    assert_eq!(say(9), (Memory::Kept, 2), "a backup changes nothing");
    let running = Ledger::start(&store, genesis(), peer()).unwrap();
    let second = directory.path().join("second");
    assert!(matches!(Ledger::back_up(&store, &second, &genesis(), Some(peer())), Err(StoreError::Locked { .. })));
    drop(running);
    assert!(matches!(Ledger::restore(&copy, &store, &genesis(), Some(peer())), Err(StoreError::Exists { .. })));

    // With and without what lies beside the store, and though the copy is of the last run.
    for beside in [true, false, true] {
        fs::remove_file(&store).unwrap();
        if !beside {
            fs::remove_file(directory.path().join("ledger.runs")).unwrap();
        }
        Ledger::restore(&copy, &store, &genesis(), Some(peer())).unwrap();
        let (memory, run) = say(9);
        assert_eq!(memory, Memory::Lost, "{beside}");
        assert!(run > 2, "a run has a number of its own: {run}");
        assert_eq!(say(9).0, Memory::Kept, "after it has spoken it remembers that");
        fs::remove_file(&copy).unwrap();
        Ledger::back_up(&store, &copy, &genesis(), Some(peer())).unwrap();
    }
    let other = Genesis { name: "other".into(), ..genesis() };
    fs::remove_file(&store).unwrap();
    assert!(matches!(Ledger::restore(&copy, &store, &other, Some(peer())), Err(StoreError::OtherNetwork { .. })));
    fs::write(&copy, [7; 9_000]).unwrap();
    assert!(matches!(Ledger::restore(&copy, &store, &genesis(), Some(peer())), Err(StoreError::Corrupt { .. })));
    assert!(!store.exists());
}

#[test]
fn a_store_is_refused_to_any_other_peer_whether_it_is_restored_or_put_there_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let (store, copy) = (directory.path().join("ledger.redb"), directory.path().join("backup"));
    let other = key(2).address();
    let is_refused = |error: StoreError, named: &Path| {
        let told = error.to_string();
        let is_told =
            [named.to_str().unwrap(), &peer().to_string(), &other.to_string()].iter().all(|part| told.contains(part));
        assert!(is_told && matches!(error, StoreError::OtherPeer { .. }), "{told}");
    };
    drop(Ledger::start(&store, genesis(), peer()).unwrap());
    is_refused(Ledger::back_up(&store, &copy, &genesis(), Some(other)).unwrap_err(), &store);
    Ledger::back_up(&store, &copy, &genesis(), Some(peer())).unwrap();

    let elsewhere = directory.path().join("other.redb");
    is_refused(Ledger::restore(&copy, &elsewhere, &genesis(), Some(other)).unwrap_err(), &copy);
    assert!(!elsewhere.exists());
    match Ledger::start(&store, genesis(), other) {
        Err(LedgerError::Store(error)) => is_refused(error, &store),
        outcome => panic!("{outcome:?}"),
    }
    drop(Ledger::start(&store, genesis(), peer()).unwrap());
    // A keystore may not say whose it is; the start tells then.
    Ledger::restore(&copy, &elsewhere, &genesis(), None).unwrap();
    assert!(Ledger::start(&elsewhere, genesis(), other).is_err());
}

#[test]
fn a_backup_of_a_store_that_no_peer_has_started_becomes_that_of_whose_folder_it_was_in() {
    let directory = tempfile::tempdir().unwrap();
    let (store, copy) = (directory.path().join("ledger.redb"), directory.path().join("backup"));
    drop(open(&store));
    Ledger::back_up(&store, &copy, &genesis(), Some(peer())).unwrap();
    fs::remove_file(&store).unwrap();
    let refused = Ledger::restore(&copy, &store, &genesis(), Some(key(2).address()));
    assert!(matches!(refused, Err(StoreError::OtherPeer { .. })), "{refused:?}");
    Ledger::restore(&copy, &store, &genesis(), Some(peer())).unwrap();
}

#[test]
fn the_store_of_a_peer_that_runs_is_no_backup() {
    let directory = tempfile::tempdir().unwrap();
    let (store, copy) = (directory.path().join("ledger.redb"), directory.path().join("copy.redb"));
    let running = Ledger::start(&store, genesis(), peer()).unwrap();
    let refused = Ledger::restore(&store, &copy, &genesis(), Some(peer()));
    assert!(matches!(refused, Err(StoreError::Locked { .. })), "{refused:?}");
    drop(running);
    Ledger::restore(&store, &copy, &genesis(), Some(peer())).unwrap();
}
