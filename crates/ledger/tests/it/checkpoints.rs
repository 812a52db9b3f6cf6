//! Snapshots for peers that lag, and what is forgotten.
#![allow(clippy::unwrap_used)]

use std::{fs, sync::Arc};

use dtn_ledger::{BlockError, BlockResults, Ledger, LedgerError, Manifest, Refusal, SnapshotError, verify_result};
use dtn_primitives::*;

use crate::common::*;

/// A ledger with accounts, an open order and a closed one.
fn filled() -> Ledger {
    let mut ledger = crate::common::ledger();
    let orders: Vec<_> = (0..2).map(order).collect();
    commit_all(&mut ledger, orders.clone());
    commit_all(&mut ledger, [claim(hash(&orders[0]), 2)]);
    ledger.admit(note(5, 0)).unwrap();
    ledger.admit(note(6, 0)).unwrap();
    end_races(&mut ledger);
    ledger
}

fn chunks(ledger: &Ledger, manifest: &Manifest) -> Vec<Vec<u8>> {
    let count = manifest.chunks.len() as u32;
    (0..count).map(|index| ledger.snapshot_chunk(manifest.header.height, index).unwrap().unwrap()).collect()
}

fn snapshot(ledger: &mut Ledger) -> (Manifest, Vec<Vec<u8>>) {
    stabilize(ledger);
    ledger.store().finish_snapshot().unwrap();
    let manifest = ledger.snapshot_manifest().unwrap().expect("a snapshot");
    let chunks = chunks(ledger, &manifest);
    (manifest, chunks)
}

#[test]
fn a_peer_that_takes_over_a_snapshot_has_the_same_root_and_takes_the_same_blocks() {
    let mut ahead = filled();
    let (manifest, chunks) = snapshot(&mut ahead);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let mut behind = open(&path);
    commit(&mut behind, &ahead.block(1).unwrap().unwrap());
    behind.store().append_journal([(2, b"old".as_slice()), (9, b"new")]).unwrap();
    for transaction in [note(5, 0), note(5, 1), note(7, 0)] {
        behind.admit(transaction).unwrap();
    }
    behind.install(&manifest, &chunks).unwrap();
    assert_eq!(behind.pending_count(), 2, "what the blocks in between have executed waits no longer");

    for reopened in [false, true] {
        if reopened {
            drop(behind);
            behind = open(&path);
        }
        assert_eq!(behind.tip(), ahead.tip());
        assert_eq!(behind.checkpoint(), Ok(manifest.checkpoint.state_root));
        assert_eq!(behind.stable_checkpoint(), Some(&manifest.checkpoint));
        assert_eq!(behind.snapshot_manifest(), Ok(Some(manifest.clone())), "it can help the next one");
        assert_eq!(behind.lowest_block(), Ok(4));
        assert_eq!(behind.certificate(3), ahead.certificate(3));
        assert_eq!(behind.store().journal(), Ok(vec![(9, b"new".to_vec())]));
        assert!(behind.open_orders().eq(ahead.open_orders()));
    }
    let (closed, open) = (hash(&order(0)), hash(&order(1)));
    for (transaction, next) in [(note(5, 0), 1), (order(1), 2)] {
        let block = forged(&behind, vec![transaction], &[]);
        let refusal = Refusal::NonceTooLow { have: next - 1, next };
        let refused = BlockError::Execution { index: 0, refusal };
        assert_eq!(behind.check_proposal(Arc::new(block), NOW, true), Err(refused));
    }
    let block = forged(&behind, vec![claim(closed, 3)], &[]);
    let refused = BlockError::Execution { index: 0, refusal: Refusal::NotOpen(closed) };
    assert_eq!(behind.check_proposal(Arc::new(block), NOW, true), Err(refused));
    let block = commit_all(&mut ahead, [claim(open, 4), note(5, 1)]);
    commit(&mut behind, &block);
    assert_eq!(ahead.checkpoint(), behind.checkpoint());
}

#[test]
fn the_root_depends_on_every_part_of_the_state_and_on_nothing_else() {
    let mut base = filled();
    let root = base.checkpoint().unwrap();
    assert_eq!(filled().checkpoint(), Ok(root));
    let mut waiting = filled();
    waiting.admit(note(7, 0)).unwrap();
    assert_eq!(waiting.checkpoint(), Ok(root), "what waits is no part of the state");

    // Snapshots of one block that differ in a nonce or in an order alone do not share the root.
    let after = |transactions: Vec<Transaction>| {
        let mut ledger = filled();
        let block = forged(&ledger, transactions, &[]);
        commit(&mut ledger, &block);
        let (manifest, chunks) = snapshot(&mut ledger);
        (manifest.checkpoint.state_root, chunks.concat())
    };
    let claimed = claim(hash(&order(1)), 2);
    let (note_root, with_note) = after(vec![note(5, 1)]);
    let (claim_root, with_claim) = after(vec![claimed.clone()]);
    assert_ne!(note_root, claim_root);
    let contains = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let (account, order) = (key(5).address(), hash(&order(1)));
    assert!(contains(&with_note, account.as_slice()) && contains(&with_note, order.as_slice()));
    let lead = hash(&claimed);
    assert!(contains(&with_claim, account.as_slice()) && contains(&with_claim, order.as_slice()));
    assert!(contains(&with_claim, lead.as_slice()) && !contains(&with_note, lead.as_slice()));
}

#[test]
fn a_snapshot_with_anything_changed_is_refused_and_changes_nothing() {
    let mut ahead = filled();
    let (good, chunks) = snapshot(&mut ahead);
    let mut behind = crate::common::ledger();
    commit(&mut behind, &ahead.block(1).unwrap().unwrap());
    behind.admit(note(5, 0)).unwrap();
    let mut refuse = |what: &str, manifest: &Manifest, chunks: &[Vec<u8>]| {
        let (tip, root) = (behind.tip(), merkle_root(&mut behind));
        match behind.install(manifest, chunks) {
            Err(LedgerError::Snapshot(error)) => {
                assert_eq!((behind.tip(), merkle_root(&mut behind)), (tip, root), "{what}");
                assert_eq!((behind.pending_count(), behind.stable_checkpoint()), (1, None), "{what}");
                error
            }
            other => panic!("{what}: {other:?}"),
        }
    };
    type Change = fn(&mut Manifest);
    let changes: [(&str, Change); 29] = [
        ("checkpoint epoch", |m| m.checkpoint.epoch += 1),
        ("checkpoint height", |m| m.checkpoint.height += 1),
        ("state root", |m| m.checkpoint.state_root.0[0] ^= 1),
        ("checkpoint signature", |m| m.checkpoint.signatures[0].1.0[9] ^= 1),
        ("checkpoint signer", |m| m.checkpoint.signatures[2].0 = ValidatorIndex(3)),
        ("checkpoint below quorum", |m| _ = m.checkpoint.signatures.pop()),
        ("checkpoint signer twice", |m| m.checkpoint.signatures[1] = m.checkpoint.signatures[0]),
        ("header network", |m| m.header.network_id.0[0] ^= 1),
        ("header chain", |m| m.header.chain_id += 1),
        ("header epoch", |m| m.header.epoch += 1),
        ("header height", |m| m.header.height += 1),
        ("header timestamp", |m| m.header.timestamp += 1),
        ("header proposer", |m| m.header.proposer.0.0[0] ^= 1),
        ("header parent", |m| m.header.parent_hash.0[0] ^= 1),
        ("header transactions", |m| m.header.transactions_root.0[0] ^= 1),
        ("header results", |m| m.header.results_root.0[0] ^= 1),
        ("certificate epoch", |m| m.certificate.epoch += 1),
        ("certificate view", |m| m.certificate.view += 1),
        ("certificate height", |m| m.certificate.height += 1),
        ("certificate block", |m| m.certificate.block_hash.0[0] ^= 1),
        ("certificate signature", |m| m.certificate.signatures[1].1.0[40] ^= 1),
        ("certificate below quorum", |m| _ = m.certificate.signatures.pop()),
        ("rounds", |m| m.rest.rounds.last += 1),
        ("work", |m| m.rest.next_work += 1),
        ("floor", |m| m.rest.floor += 1),
        ("chunk hash", |m| m.chunks[0].0[0] ^= 1),
        ("no chunk hashes", |m| m.chunks.clear()),
        ("one more chunk hash", |m| m.chunks.push(B256::ZERO)),
        ("too many chunk hashes", |m| m.chunks.resize(dtn_ledger::MAX_CHUNKS + 1, B256::ZERO)),
    ];
    for (what, change) in changes {
        let mut manifest = good.clone();
        change(&mut manifest);
        refuse(what, &manifest, &chunks);
    }
    for byte in 0..chunks[0].len() {
        let mut changed = chunks.clone();
        changed[0][byte] ^= 1;
        assert_eq!(refuse("a byte of a chunk", &good, &changed), SnapshotError::Chunk(0));
    }
    let truncated = vec![chunks[0][..chunks[0].len() - 1].to_vec()];
    assert_eq!(refuse("a truncated chunk", &good, &truncated), SnapshotError::Chunk(0));
    assert_eq!(refuse("no chunks", &good, &[]), SnapshotError::ChunkCount(0));
    assert_eq!(
        refuse("a chunk twice", &good, &[chunks.clone(), chunks.clone()].concat()),
        SnapshotError::ChunkCount(2)
    );

    // A quorum's signature under another block of the same height, or under chunks that are no state, does not help.
    let mut other = crate::common::ledger();
    for _ in 0..3 {
        let nonce = other.next_nonce(key(7).address());
        commit_all(&mut other, [note(7, nonce)]);
    }
    let (foreign, _) = snapshot(&mut other);
    let mixed = Manifest { header: foreign.header, certificate: foreign.certificate, ..good.clone() };
    assert!(matches!(refuse("another block", &mixed, &chunks), SnapshotError::Root { .. }));
    let bucket = Bytes::from_static(b"no state");
    let node = (0..16).fold(keccak256(&bucket), |node, _| keccak256([node, B256::ZERO].concat()));
    let (tip, chunk) = (ahead.tip(), codec::encode(&vec![(0u16, bucket)]));
    let head = (tip.height, tip.hash, tip.timestamp, &good.rest, 1u64);
    let root = keccak256([keccak256(codec::encode(&head)), node].concat());
    let junk = Manifest { checkpoint: checkpoint_of(3, root), chunks: vec![node], ..good.clone() };
    assert!(matches!(refuse("junk", &junk, &[chunk]), SnapshotError::Encoding(_)));

    behind.install(&good, &chunks).expect("unchanged, it is taken");
    let again = behind.install(&good, &chunks);
    assert_eq!(again, Err(SnapshotError::NotAhead { have: 3, tip: 3 }.into()));
}

/// The root of the state at the tip.
fn merkle_root(ledger: &mut Ledger) -> B256 {
    ledger.checkpoint().unwrap()
}

#[test]
fn a_peer_whose_state_is_not_the_quorums_is_told_so() {
    let mut ledger = filled();
    ledger.checkpoint().unwrap();
    let theirs = checkpoint_of(3, B256::repeat_byte(1));
    assert!(matches!(ledger.stable(&theirs), Err(LedgerError::Diverged { height: 3, .. })));
    assert_eq!(ledger.stable_checkpoint(), None);
    let mut unsigned = stabilize(&mut ledger);
    assert!(ledger.stable_checkpoint().is_some());
    commit_all(&mut ledger, [note(5, 1)]);
    unsigned.height = 4;
    assert!(matches!(ledger.stable(&unsigned), Err(LedgerError::Certificate(_))));
}

#[test]
fn a_snapshot_stays_while_somebody_fetches_it_and_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    for file in [false, true] {
        let path = directory.path().join("ledger.redb");
        let mut ledger = if file { open(&path) } else { crate::common::ledger() }.with_retention(3);
        let go_on = |ledger: &mut Ledger| {
            let nonce = ledger.next_nonce(key(5).address());
            commit_all(ledger, [note(5, nonce)]);
            snapshot(ledger);
        };
        // What asks makes it stay, so this does not ask.
        let quiet = |ledger: &mut Ledger| {
            let nonce = ledger.next_nonce(key(6).address());
            commit_all(ledger, [note(6, nonce)]);
            stabilize(ledger);
            ledger.store().finish_snapshot().unwrap();
        };
        go_on(&mut ledger);
        let manifest = ledger.snapshot_manifest().unwrap().unwrap();
        let first = ledger.snapshot_chunk(1, 0).unwrap().unwrap();
        for _ in 0..40 {
            quiet(&mut ledger);
        }
        assert_eq!(ledger.snapshot_chunk(1, 0).unwrap(), Some(first), "it was asked for lately");
        assert_eq!(ledger.lowest_block(), Ok(1), "and who fetches it finds the blocks above it");
        assert_eq!(manifest.header.height, 1);
        for _ in 0..40 {
            quiet(&mut ledger);
        }
        assert!(ledger.snapshot_chunk(1, 0).unwrap().is_some(), "each time that it is asked for");
        for _ in 0..70 {
            quiet(&mut ledger);
        }
        let kept: Vec<_> = (1..=151).filter(|height| ledger.snapshot_chunk(*height, 0).unwrap().is_some()).collect();
        assert_eq!(kept, [148, 149, 150, 151], "nobody asks for the first one any more");
        assert!(ledger.lowest_block().unwrap() > 2, "nor of the blocks above it");
        // However many are asked for, the disk holds few.
        for _ in 0..20 {
            go_on(&mut ledger);
        }
        let kept = (1..=171).filter(|height| ledger.snapshot_chunk(*height, 0).unwrap().is_some()).count();
        assert!(kept <= 8, "{kept}");
    }
}

#[test]
fn a_snapshot_is_the_same_at_every_peer_and_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let (mut on_disk, mut in_memory) = (open(&path), filled());
    for height in 1..=3 {
        commit(&mut on_disk, &in_memory.block(height).unwrap().unwrap());
    }
    let (manifest, parts) = snapshot(&mut in_memory);
    assert_eq!(snapshot(&mut on_disk), (manifest.clone(), parts.clone()));
    commit_all(&mut on_disk, [note(5, 1)]);
    drop(on_disk);
    let reopened = open(&path);
    assert_eq!(reopened.snapshot_manifest(), Ok(Some(manifest.clone())));
    assert_eq!(chunks(&reopened, &manifest), parts);

    // A file that is damaged is no snapshot, and no reason to stop.
    drop(reopened);
    let file = path.with_extension("snapshots").join("3");
    let good = fs::read(&file).unwrap();
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        fs::write(&file, flipped).unwrap();
        let ledger = open(&path);
        let given = ledger.snapshot_chunk(3, 0).unwrap();
        assert!(given.is_none_or(|given| given == parts[0]), "byte {at}");
    }
}

#[test]
fn pruning_keeps_what_payouts_prove_and_what_refuses_replays() {
    let mut ledger = crate::common::ledger().with_retention(3);
    let orders: Vec<_> = (0..2).map(order).collect();
    commit_all(&mut ledger, orders.clone());
    let (claimed, closed) = (claim(hash(&orders[0]), 2), hash(&orders[0]));
    commit_all(&mut ledger, [claimed.clone(), note(5, 0)]);
    ledger.admit(note(5, 1)).unwrap();
    end_races(&mut ledger);
    let proven = ledger.finalized_result(closed).unwrap().expect("closed");
    for nonce in 2..20 {
        commit_all(&mut ledger, [note(5, nonce)]);
        stabilize(&mut ledger);
    }
    let (tip, lowest) = (ledger.tip().height, ledger.lowest_block().unwrap());
    assert_eq!((tip, lowest), (21, 17), "all but the retained below the checkpoint before the last commit");
    for height in 1..=tip {
        let (block, kept) = (ledger.block(height).unwrap(), height >= lowest);
        assert_eq!(block.is_some(), kept);
        assert_eq!(ledger.header(height).unwrap().is_some(), kept || height == 3);
        assert_eq!(ledger.certificate(height).unwrap().is_some(), kept || height == 3);
    }
    assert_eq!((ledger.transaction(hash(&note(5, 0))), ledger.transaction(hash(&claimed))), (Ok(None), Ok(None)));
    assert!(ledger.transaction(hash(&note(5, 19))).unwrap().is_some());
    assert_eq!(ledger.finalized_result(closed), Ok(Some(proven.clone())));
    assert_eq!(ledger.finalized_results(0, 9), Ok(vec![proven]));

    // Nothing that is gone can be executed again, and what is open still can be.
    assert!(ledger.admit(note(5, 0)).is_err() && ledger.admit(orders[0].clone()).is_err());
    assert_eq!(ledger.admit(claimed.clone()), Err(Refusal::NotOpen(closed).into()));
    for replayed in [note(5, 0), orders[0].clone(), claimed] {
        let block = forged(&ledger, vec![replayed], &[]);
        let refused = ledger.check_proposal(Arc::new(block), NOW, true);
        assert!(matches!(refused, Err(BlockError::Execution { index: 0, .. })), "{refused:?}");
    }
    commit_all(&mut ledger, [claim(hash(&orders[1]), 3)]);
}

#[test]
fn a_store_that_keeps_all_blocks_keeps_them() {
    let mut ledger = crate::common::ledger().with_retention(0);
    for nonce in 0..10 {
        commit_all(&mut ledger, [note(5, nonce)]);
        stabilize(&mut ledger);
    }
    assert_eq!(ledger.lowest_block(), Ok(1));
    assert!((1..=10).all(|height| ledger.block(height).unwrap().is_some()));
}

#[test]
fn the_state_grows_with_accounts_and_open_orders_and_not_with_transactions() {
    let size = |ledger: &mut Ledger| snapshot(ledger).1.concat().len();
    let mut ledger = crate::common::ledger().with_retention(3);
    commit_all(&mut ledger, [note(5, 0), order(0)]);
    win(&mut ledger, [claim(hash(&order(0)), 2)]);
    let before = size(&mut ledger);
    for round in 1..20u64 {
        commit_all(&mut ledger, [order(round)]);
        let notes = (0..50).map(|nonce| note(5, round * 50 - 49 + nonce));
        win(&mut ledger, notes.chain([claim(hash(&order(round)), 2)]));
    }
    assert_eq!(ledger.open_orders().len(), 0);
    // The numbers themselves take a few bytes more.
    let after = size(&mut ledger);
    assert!(after <= before + 8, "{before} bytes became {after}");
}

#[test]
fn a_snapshot_of_many_chunks_is_bound_to_their_order() {
    let mut ledger = crate::common::ledger();
    let orders = 3_000;
    for first in (0..orders).step_by(100) {
        let block_of = |nonce| {
            let long = "x".repeat(MAX_TEXT_BYTES);
            let order = Order { dataset: long.clone(), model: long, ..order_of(nonce, 7, Some(EASY)) };
            sign(Payload::Order(order), 10)
        };
        for transaction in (first..first + 100).map(block_of) {
            ledger.admit(transaction).unwrap();
        }
        while let Some(block) = propose(&mut ledger, 1_000) {
            ledger.commit(Arc::new(block.clone()), &certificate(&block)).unwrap();
        }
    }
    let (manifest, mut chunks) = snapshot(&mut ledger);
    assert_eq!(chunks.len(), 2);
    assert_eq!(ledger.snapshot_chunk(manifest.header.height, 2), Ok(None));
    let mut swapped = manifest.clone();
    swapped.chunks.swap(0, 1);
    let refused = swapped.verify(ledger.domain(), ledger.validators());
    assert!(matches!(refused, Err(SnapshotError::Root { .. })), "{refused:?}");
    // Nor is the whole under one hash: all peers cut it in the same way.
    let joined = Manifest { chunks: vec![keccak256(manifest.chunks.concat())], ..manifest.clone() };
    let refused = joined.verify(ledger.domain(), ledger.validators());
    assert!(matches!(refused, Err(SnapshotError::Root { .. })), "{refused:?}");
    assert_eq!(manifest.check_chunk(0, &chunks[1]), Err(SnapshotError::Chunk(0)));
    assert_eq!(manifest.check_chunk(1, &chunks[1]), Ok(()), "each is checked on its own");
    let mut behind = crate::common::ledger();
    chunks.swap(0, 1);
    assert_eq!(behind.install(&manifest, &chunks), Err(SnapshotError::Chunk(0).into()));
    chunks.swap(0, 1);
    behind.install(&manifest, &chunks).unwrap();
    assert_eq!(behind.open_orders().len(), orders as usize);
}

#[test]
fn results_stay_provable_at_a_peer_that_skipped_their_blocks() {
    let mut ahead = crate::common::ledger().with_retention(1);
    let orders: Vec<_> = (0..3).map(order).collect();
    commit_all(&mut ahead, orders.clone());
    for order in &orders[..2] {
        let nonce = ahead.next_nonce(key(5).address());
        win(&mut ahead, [claim(hash(order), 2), note(5, nonce)]);
    }
    let directory = tempfile::tempdir().unwrap();
    let mut behind = open(&directory.path().join("ledger.redb"));
    for height in 1..=3 {
        commit(&mut behind, &ahead.block(height).unwrap().unwrap());
    }
    win(&mut ahead, [claim(hash(&orders[2]), 3)]);
    for nonce in 2..9 {
        commit_all(&mut ahead, [note(5, nonce)]);
    }
    let importer = behind.importer();
    assert_eq!(importer.missing(), Ok(None));
    let (manifest, chunks) = snapshot(&mut ahead);
    behind.install(&manifest, &chunks).unwrap();
    assert_eq!(importer.missing(), Ok(Some((4, 14))));
    let id = |index: usize| hash(&orders[index]);
    assert_eq!(behind.finalized_result(id(1)), Ok(None));

    // What is changed is refused as a whole.
    let given = ahead.store().block_results(4, usize::MAX).unwrap();
    assert_eq!(given.iter().map(|block| block.header.height).collect::<Vec<_>>(), [5, 7]);
    assert_eq!(ahead.store().block_results(0, 1).unwrap().len(), 1, "as many as fit");
    type Change = fn(&mut BlockResults);
    let changes: [(&str, Change); 8] = [
        ("header", |it| it.header.timestamp += 1),
        ("network", |it| it.header.network_id.0[0] ^= 1),
        ("certificate", |it| it.certificate.signatures[0].1.0[9] ^= 1),
        ("below quorum", |it| _ = it.certificate.signatures.pop()),
        ("amount", |it| it.results[0].amount += U256::ONE),
        ("no result", |it| it.results.clear()),
        ("no solution", |it| it.solutions.clear()),
        ("another solution", |it| it.solutions.values_mut().for_each(|solution| solution.requester.0.0[0] ^= 1)),
    ];
    for (what, change) in changes {
        let mut changed = given.clone();
        change(&mut changed[1]);
        let refused = importer.import(&changed);
        assert!(refused.is_err(), "{what}");
        assert_eq!(behind.finalized_result(id(1)), Ok(None), "{what}");
    }
    assert_eq!(behind.store().result_heights(1, 20, 9), Ok((vec![3], 3)), "it says nothing of what it has skipped");
    assert_eq!(behind.store().result_heights(4, 20, 9), Ok((vec![], 3)));
    assert_eq!(importer.import(&given), Ok(2));
    assert_eq!(importer.import(&given), Ok(0), "they are no news");
    importer.complete_to(8).unwrap();
    assert_eq!(importer.missing(), Ok(Some((9, 14))));
    for index in 0..3 {
        let proven = behind.finalized_result(id(index)).unwrap();
        assert_eq!(proven, ahead.finalized_result(id(index)).unwrap());
        verify_result(&proven.unwrap(), behind.domain(), behind.validators()).unwrap();
    }
    assert_eq!(behind.store().result_heights(1, 20, 9), Ok((vec![3, 5, 7], 8)));
    importer.complete_to(14).unwrap();
    assert_eq!(behind.store().result_heights(1, 20, 9), Ok((vec![3, 5, 7], 14)));
    assert_eq!(behind.store().result_heights(1, 6, 9), Ok((vec![3, 5], 6)));
    assert_eq!(behind.store().result_heights(1, 20, 1), Ok((vec![3], 4)), "the next is at 5");
    assert_eq!(behind.store().result_heights(15, 20, 9), Ok((vec![], 14)));
    assert_eq!(importer.missing(), Ok(None));
    assert_eq!(behind.store().block_results(0, usize::MAX), ahead.store().block_results(0, usize::MAX));
}
