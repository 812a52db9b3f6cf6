//! Races as final blocks tell of them.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use dtn_ledger::Copies;
use dtn_primitives::{Address, B256, Claim, Payload, Signature, Transaction};

use super::blocks::FinalBlock;

/// A race that a block closed.
#[derive(Debug)]
pub(crate) struct Race {
    /// The transaction that was worked for, and its hash.
    pub(crate) order: Transaction,
    pub(crate) transaction: B256,
    /// The height and the hash of the block that closed it.
    pub(crate) height: u64,
    pub(crate) block: B256,
    /// All parts in it, in the order of the block.
    pub(crate) parts: Vec<Part>,
}

/// One worker's part in a race.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) worker: Address,
    pub(crate) claim: Claim,
    pub(crate) signature: Signature,
}

impl Race {
    /// The part that won, which is that with the lowest hash.
    pub(crate) fn winner(&self) -> Result<&Part> {
        self.parts.iter().min_by_key(|part| part.claim.hash).context("a race without a claim")
    }
}

/// The races that are open after the blocks so far, which begin with the first of the network.
#[derive(Debug, Default)]
pub(crate) struct Races {
    open: HashMap<B256, Transaction>,
    lines: BTreeMap<B256, Copies>,
}

impl Races {
    /// Takes the next block, and gives the races that it closes.
    pub(crate) fn next(&mut self, FinalBlock { hash, block, transaction_hashes, .. }: FinalBlock) -> Result<Vec<Race>> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::{Block, Certificate, Domain, Header, Line, SecretKey};

    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn domain() -> Domain {
        Domain::new(B256::ZERO, 31_337)
    }

    /// A block as those of [`FinalBlock`] are once they are verified.
    fn block(height: u64, transactions: Vec<Transaction>) -> FinalBlock {
        let header = Header {
            network_id: B256::ZERO,
            chain_id: 31_337,
            epoch: 0,
            height,
            timestamp: 1_000 * height,
            proposer: Address::ZERO,
            parent_hash: B256::ZERO,
            transactions_root: B256::ZERO,
            results_root: B256::ZERO,
        };
        let block_hash = header.hash();
        FinalBlock {
            hash: block_hash,
            transaction_hashes: transactions.iter().map(|transaction| transaction.hash(&domain())).collect(),
            block: Block { header, transactions },
            certificate: Certificate { epoch: 0, view: 0, height, block_hash, signatures: Vec::new() },
            latency_us: None,
        }
    }

    fn line(data: &'static [u8]) -> Transaction {
        let line = Line { nonce: 0, data: data.into(), expected_hashes: 16 };
        Transaction::sign(Payload::Line(line), &key(1), &domain())
    }

    /// A claim of a worker whose search ended with a hash of these bytes.
    fn claim(order: &Transaction, worker: u8, hash: u8) -> Transaction {
        let (order, hash) = (order.hash(&domain()), B256::repeat_byte(hash));
        let (race, payee) = (B256::ZERO, key(worker).address());
        let (nonce, started_at_us, ended_at_us, duration_us) = (0, 1, 2, 1);
        let claim = Claim { order, race, payee, nonce, hash, started_at_us, ended_at_us, duration_us };
        Transaction::sign(Payload::Claim(claim), &key(worker), &domain())
    }

    #[test]
    fn claims_in_one_block_are_parts_in_one_race_and_the_lowest_hash_wins_it() {
        let (one, other) = (line(b"one"), line(b"other"));
        let mut races = Races::default();
        assert!(races.next(block(1, vec![one.clone(), other.clone()])).unwrap().is_empty());
        let claims = vec![claim(&one, 2, 9), claim(&other, 3, 7), claim(&one, 3, 5), claim(&one, 4, 6)];
        let closed = races.next(block(2, claims)).unwrap();
        let [of_one, of_other] = closed.as_slice() else { panic!("{closed:?}") };
        assert_eq!((of_one.transaction, of_one.parts.len()), (one.hash(&domain()), 3));
        assert_eq!(of_one.winner().unwrap().worker, key(3).address());
        assert_eq!((of_other.transaction, of_other.parts.len()), (other.hash(&domain()), 1));
    }

    #[test]
    fn a_claim_for_a_race_that_is_not_open_is_an_error() {
        let order = line(b"one");
        let mut races = Races::default();
        races.next(block(1, vec![order.clone()])).unwrap();
        races.next(block(2, vec![claim(&order, 2, 9)])).unwrap();
        let late = races.next(block(3, vec![claim(&order, 3, 5)])).unwrap_err();
        assert!(late.to_string().contains("no block before it has opened"), "{late}");
    }
}
