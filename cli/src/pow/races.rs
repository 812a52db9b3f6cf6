//! Races as final blocks tell of them.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use dtn_ledger::Copies;
use dtn_primitives::{Address, B256, Claim, Payload, Signature, Transaction};

use super::blocks::FinalBlock;

/// A race that a block closed.
#[derive(Debug)]
pub(super) struct Race {
    /// The transaction that was worked for, and its hash.
    pub(super) order: Transaction,
    pub(super) transaction: B256,
    /// The height and the hash of the block that closed it.
    pub(super) height: u64,
    pub(super) block: B256,
    /// All parts in it, in the order of the block.
    pub(super) parts: Vec<Part>,
}

/// One worker's part in a race.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) worker: Address,
    pub(super) claim: Claim,
    pub(super) signature: Signature,
}

impl Race {
    /// The part that won, which is that with the lowest hash.
    pub(super) fn winner(&self) -> Result<&Part> {
        self.parts.iter().min_by_key(|part| part.claim.hash).context("a race without a claim")
    }
}

/// The races that are open after the blocks so far, which begin with the first of the network.
#[derive(Debug, Default)]
pub(super) struct Races {
    open: HashMap<B256, Transaction>,
    lines: BTreeMap<B256, Copies>,
}

impl Races {
    /// Takes the next block, and gives the races that it closes.
    pub(super) fn next(&mut self, FinalBlock { hash, block, transaction_hashes }: FinalBlock) -> Result<Vec<Race>> {
        let (height, timestamp_ms) = (block.header.height, block.header.timestamp);
        let (mut closed, mut places): (Vec<Race>, HashMap<B256, usize>) = Default::default();
        for transaction in &block.transactions {
            let Payload::Claim(claim) = &transaction.payload else { continue };
            let place = match places.get(&claim.order) {
                Some(place) => *place,
                None => {
                    let unknown = || format!("block {height} closes a race that no block before it has opened");
                    let order = self.open.remove(&claim.order).with_context(unknown)?;
                    closed.push(Race { order, transaction: claim.order, height, block: hash, parts: Vec::new() });
                    places.insert(claim.order, closed.len() - 1);
                    closed.len() - 1
                }
            };
            let (worker, signature) = (transaction.sender, transaction.signature);
            closed[place].parts.push(Part { worker, claim: claim.clone(), signature });
        }
        if block.transactions.iter().any(|transaction| matches!(transaction.payload, Payload::Line(_))) {
            self.lines.retain(|_, copies| !copies.is_over(timestamp_ms));
        }
        for (transaction, hash) in block.transactions.into_iter().zip(transaction_hashes) {
            let opens = match &transaction.payload {
                Payload::Order(order) => order.work.is_some(),
                Payload::Line(line) => {
                    let copies = self.lines.entry(line.content()).or_insert_with(|| Copies::new(timestamp_ms));
                    copies.add(transaction.sender)
                }
                _ => false,
            };
            if opens {
                self.open.insert(hash, transaction);
            }
        }
        Ok(closed)
    }
}
