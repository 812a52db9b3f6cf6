//! Races as final blocks tell of them.

use std::collections::BTreeMap;

use dtn_ledger::{Copies, Lead, OpenOrder};
use dtn_primitives::{Address, B256, Claim, Payload, Signature, Transaction};

use crate::FinalBlock;

/// What no final blocks say.
#[derive(Debug, thiserror::Error)]
pub enum RaceError {
    /// A claim for a race that was not opened before it.
    #[error("block {0} has a claim for a race that no block before it has opened")]
    NotOpen(u64),
    /// A race that nobody ran.
    #[error("a race without a claim")]
    NoClaim,
}

/// A race that a block ended with a winner.
#[derive(Debug)]
pub struct Race {
    /// The transaction that was worked for.
    pub order: Transaction,
    /// The hash of the transaction.
    pub transaction: B256,
    /// The height of the block that ended it.
    pub height: u64,
    /// The hash of that block.
    pub block: B256,
    /// The claims in the order of the blocks, each of which took the lead from the one before.
    pub parts: Vec<Part>,
}

/// One worker's part in a race.
#[derive(Debug, Clone)]
pub struct Part {
    /// Who worked.
    pub worker: Address,
    /// What it claims.
    pub claim: Claim,
    /// Its signature of the claim.
    pub signature: Signature,
}

impl Race {
    /// The part that won, which is that with the lowest hash.
    pub fn winner(&self) -> Result<&Part, RaceError> {
        self.parts.iter().min_by_key(|part| part.claim.hash).ok_or(RaceError::NoClaim)
    }
}

/// The races that are open after the blocks so far, which begin with the first of the network.
#[derive(Debug, Default)]
pub struct Races {
    open: BTreeMap<B256, Open>,
    lines: BTreeMap<B256, Copies>,
}

/// A race under way.
#[derive(Debug)]
struct Open {
    order: Transaction,
    race: OpenOrder,
    parts: Vec<Part>,
}

impl Races {
    /// Takes the next block, and gives the races that it ends with a winner.
    pub fn next(&mut self, block: FinalBlock) -> Result<Vec<Race>, RaceError> {
        let FinalBlock { hash, block, transaction_hashes, .. } = block;
        let (height, opened_at_ms) = (block.header.height, block.header.timestamp);
        // Those of its own claims do not end with it.
        let over = dtn_ledger::races_over(self.open.iter().map(|(hash, open)| (*hash, &open.race)), opened_at_ms);
        if block.transactions.iter().any(|transaction| matches!(transaction.payload, Payload::Line(_))) {
            self.lines.retain(|_, copies| !copies.is_over(opened_at_ms));
        }
        for (transaction, transaction_hash) in block.transactions.into_iter().zip(transaction_hashes) {
            let opens = match &transaction.payload {
                Payload::Claim(claim) => {
                    let open = self.open.get_mut(&claim.order).ok_or(RaceError::NotOpen(height))?;
                    open.claim(&transaction, claim, transaction_hash, opened_at_ms);
                    false
                }
                Payload::Order(order) => order.work.is_some(),
                Payload::Line(line) => {
                    let copies = self.lines.entry(line.content()).or_insert_with(|| Copies::new(opened_at_ms));
                    copies.add(transaction.sender)
                }
                _ => false,
            };
            if opens {
                let (requester, payload) = (transaction.sender, transaction.payload.clone());
                let race = OpenOrder { requester, payload, height, opened_at_ms, race: hash, lead: None };
                self.open.insert(transaction_hash, Open { order: transaction, race, parts: Vec::new() });
            }
        }
        let ended = over.into_iter().filter_map(|order| Some((order, self.open.remove(&order)?)));
        let won = ended.filter(|(_, open)| !open.parts.is_empty());
        Ok(won
            .map(|(transaction, Open { order, parts, .. })| Race { order, transaction, height, block: hash, parts })
            .collect())
    }
}

impl Open {
    fn claim(&mut self, transaction: &Transaction, claim: &Claim, hash: B256, timestamp_ms: u64) {
        let (worker, signature) = (transaction.sender, transaction.signature);
        let first_ms = self.race.lead.as_ref().map_or(timestamp_ms, |lead| lead.first_ms);
        self.race.lead = Some(Lead { first_ms, worker, claim: claim.clone(), transaction: hash });
        self.parts.push(Part { worker, claim: claim.clone(), signature });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_ledger::LINE_LIFETIME_MS;
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
    fn claims_are_parts_in_one_race_until_its_window_is_over_and_the_lowest_hash_wins_it() {
        let (one, other) = (line(b"one"), line(b"other"));
        let mut races = Races::default();
        assert!(races.next(block(1, vec![one.clone(), other.clone()])).unwrap().is_empty());
        let claims = vec![claim(&one, 2, 9), claim(&other, 3, 7), claim(&one, 3, 5)];
        assert!(races.next(block(2, claims)).unwrap().is_empty());
        assert!(races.next(block(3, vec![claim(&one, 4, 4)])).unwrap().is_empty());
        let ended = races.next(block(5, vec![claim(&one, 2, 3)])).unwrap();
        let of = |order: &Transaction| ended.iter().find(|race| race.transaction == order.hash(&domain())).unwrap();
        assert_eq!((ended.len(), of(&one).parts.len(), of(&one).height), (2, 4, 5));
        assert_eq!(of(&one).winner().unwrap().worker, key(2).address(), "the block that ends it takes claims, too");
        assert_eq!(of(&other).winner().unwrap().worker, key(3).address());
    }

    #[test]
    fn a_race_without_a_claim_ends_without_a_winner() {
        let order = line(b"one");
        let mut races = Races::default();
        races.next(block(1, vec![order.clone()])).unwrap();
        assert!(races.next(block(1 + LINE_LIFETIME_MS / 1_000 + 1, vec![])).unwrap().is_empty());
        assert!(races.open.is_empty());
    }

    #[test]
    fn a_claim_for_a_race_that_is_not_open_is_an_error() {
        let order = line(b"one");
        let mut races = Races::default();
        races.next(block(1, vec![order.clone()])).unwrap();
        races.next(block(2, vec![claim(&order, 2, 9)])).unwrap();
        races.next(block(5, vec![])).unwrap();
        let late = races.next(block(6, vec![claim(&order, 3, 5)])).unwrap_err();
        assert!(matches!(late, RaceError::NotOpen(6)), "{late}");
    }
}
