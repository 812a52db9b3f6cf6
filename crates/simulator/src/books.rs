//! The real ledger in a simulated host, and the races that its replica takes part in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dtn_consensus::Decision;
use dtn_ledger::{Committed, Ledger, LedgerError, MAX_BLOCK_TRANSACTIONS};
use dtn_pow::{Puzzle, Races, Solution};
use dtn_primitives::{Address, B256, Block, Claim, Payload, SecretKey, Transaction, ValidatorIndex};

use crate::{Members, members::EPOCH_MS, pool::Request};

/// How many transactions are sent to the primary again at a time.
const MAX_RESENT: usize = 64;

/// What a ledger has open after a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenRaces {
    /// The most races for lines that one account has.
    pub(crate) lines: usize,
    /// The most races for orders that one account has.
    pub(crate) orders: usize,
    /// In block time, how long a line without a claim is open.
    pub(crate) oldest_line: Duration,
}

/// A replica's ledger, and what it mines. It follows races as the core of a peer does.
#[derive(Debug)]
pub(crate) struct Books {
    ledger: Ledger,
    key: SecretKey,
    now_ms: u64,
    /// Something could be executed when it last looked.
    was_waiting: bool,
    pub(crate) races: Races,
    /// The turn under way is to end now.
    pub(crate) interrupted: bool,
}

impl Books {
    /// Those of a replica, if hosts have a ledger in this network.
    pub(crate) fn open(members: &Members, me: ValidatorIndex) -> Option<Self> {
        let (genesis, work) = members.ledger()?;
        let ledger = Ledger::in_memory(genesis.clone()).expect("the genesis is one of ours");
        let ledger = ledger.with_mempool_limits(work.limits());
        let (key, races) = (members.key(me).clone(), Races::new(work.lengths(members.len())));
        Some(Self { ledger, key, now_ms: EPOCH_MS, was_waiting: false, races, interrupted: false })
    }

    pub(crate) fn tell_time(&mut self, now: Duration) {
        self.now_ms = EPOCH_MS + now.as_millis() as u64;
        self.ledger.tell_time(self.now_ms);
    }

    /// Has a transaction wait, if it may.
    pub(crate) fn admit(&mut self, request: &Request) {
        _ = self.ledger.admit(request.transaction.as_ref().clone());
    }

    /// The nonce with which an account's next transaction joins those that wait.
    pub(crate) fn free_nonce(&self, account: Address) -> u64 {
        self.ledger.free_nonce(account)
    }

    /// What has waited longest to be decided.
    pub(crate) fn oldest(&self) -> Option<B256> {
        self.ledger.oldest_executable()
    }

    /// What may not have reached the primary, because something has waited since the last look.
    pub(crate) fn overdue(&mut self) -> Vec<Request> {
        let is_waiting = self.oldest().is_some();
        if !std::mem::replace(&mut self.was_waiting, is_waiting) || !is_waiting {
            return Vec::new();
        }
        let domain = *self.ledger.domain();
        let request =
            |transaction: Transaction| Request { hash: transaction.hash(&domain), transaction: transaction.into() };
        self.ledger.proposable(MAX_RESENT).into_iter().map(request).collect()
    }

    /// A block of what waits, or of nothing if races are over and have to end.
    pub(crate) fn propose(&mut self, parent: B256, empty: bool) -> Option<Arc<Block>> {
        let ready = self.ledger.build_on(parent);
        let empty = empty || self.ledger.is_due(self.now_ms);
        if ready.transactions == 0 && !empty {
            return None;
        }
        self.ledger.propose(parent, self.now_ms, self.key.address(), MAX_BLOCK_TRANSACTIONS, empty)
    }

    /// Whether a block may follow its parent; if so, others may follow it.
    pub(crate) fn judge(&mut self, block: &Arc<Block>) -> bool {
        // Whether it is fair to the miners is not asked here.
        self.ledger.check_proposal(block.clone(), self.now_ms, false).is_ok()
    }

    /// Executes a decided block, and gives the orders that have their winners with it.
    pub(crate) fn commit(&mut self, Decision { block, certificate }: &Decision) -> Result<Vec<B256>, LedgerError> {
        let Committed { block, opened, ended, .. } = self.ledger.commit(block.clone(), certificate)?;
        opened.into_iter().for_each(|order| self.enter(order));
        for transaction in &block.transactions {
            if let Payload::Claim(claim) = &transaction.payload {
                self.interrupted |= self.races.outdo(claim.order, claim.hash);
            }
        }
        let mut won = Vec::new();
        for order in ended {
            self.interrupted |= self.races.leave(order);
            if self.ledger.finalized_result(order)?.is_some() {
                won.push(order);
            }
        }
        Ok(won)
    }

    fn enter(&mut self, order: B256) {
        let Some(open) = self.ledger.open_order(order) else { return };
        let expected_hashes = open.expected_hashes().unwrap_or_default();
        let network_id = self.ledger.domain().network_id;
        if let Ok(puzzle) = Puzzle::new(network_id, open.race, order, self.key.address(), expected_hashes) {
            self.interrupted |= self.races.enter(puzzle, !open.reward().is_zero());
        }
    }

    /// What is open.
    pub(crate) fn races_open(&self) -> OpenRaces {
        let (mut lines, mut orders) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
        let (tip_ms, mut oldest_ms) = (self.ledger.tip().timestamp, 0);
        for (_, open) in self.ledger.open_orders() {
            if let Payload::Line(_) = open.payload {
                *lines.entry(open.requester).or_default() += 1;
                if open.lead.is_none() {
                    oldest_ms = tip_ms.saturating_sub(open.opened_at_ms).max(oldest_ms);
                }
            } else {
                *orders.entry(open.requester).or_default() += 1;
            }
        }
        let most = |open: BTreeMap<_, usize>| open.into_values().max().unwrap_or_default();
        OpenRaces { lines: most(lines), orders: most(orders), oldest_line: Duration::from_millis(oldest_ms) }
    }

    /// The claim of what was found.
    pub(crate) fn claim(&self, puzzle: &Puzzle, Solution { nonce, hash }: Solution) -> Request {
        let (order, race, payee) = (puzzle.transaction(), puzzle.race(), self.key.address());
        let (started_at_us, ended_at_us, duration_us) = (1, 2, 1);
        let claim = Claim { order, race, payee, nonce, hash, started_at_us, ended_at_us, duration_us };
        Request::sign(Payload::Claim(claim), &self.key, self.ledger.domain())
    }
}

impl Request {
    pub(crate) fn sign(payload: Payload, key: &SecretKey, domain: &dtn_primitives::Domain) -> Self {
        let transaction = Arc::new(Transaction::sign(payload, key, domain));
        Self { hash: transaction.hash(domain), transaction }
    }
}
