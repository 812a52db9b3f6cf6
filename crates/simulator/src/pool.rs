//! What clients have handed in to a host and is not final yet, where each request is a transaction of its own.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use dtn_primitives::{Address, B256, Block, Domain, Transaction};

/// The most requests that wait at a host, as in a peer of `l1`.
pub(crate) const MAX_WAITING: usize = 16_384;

/// A transaction and its hash.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) hash: B256,
    pub(crate) transaction: Arc<Transaction>,
}

/// A block above the last decided one.
#[derive(Debug, Clone)]
struct Contents {
    height: u64,
    parent: B256,
    requests: Vec<B256>,
}

/// Requests that wait, and those that are final. Senders take turns, so that none keeps another from the next block however
/// much it hands in, and who fills a full pool makes room.
#[derive(Debug)]
pub(crate) struct Pool {
    domain: Domain,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Request>,
    arrivals: HashMap<B256, u64>,
    arrived: u64,
    /// How many wait, by sender.
    senders: BTreeMap<Address, usize>,
    executed: HashSet<B256>,
    above: HashMap<B256, Contents>,
    /// Whose requests a censor leaves out.
    pub(crate) censored: Option<Address>,
}

impl Pool {
    pub(crate) fn new(domain: Domain) -> Self {
        Self {
            domain,
            waiting: BTreeMap::new(),
            arrivals: HashMap::new(),
            arrived: 0,
            senders: BTreeMap::new(),
            executed: HashSet::new(),
            above: HashMap::new(),
            censored: None,
        }
    }

    /// After a restart: knows what is final, and nothing else.
    pub(crate) fn restart<'a>(&mut self, decided: impl Iterator<Item = &'a Arc<Block>>) {
        *self = Self { censored: self.censored, ..Self::new(self.domain) };
        decided.for_each(|block| _ = self.decide(block));
    }

    /// Takes a request, unless it is known or there is no room for it.
    pub(crate) fn admit(&mut self, request: &Request) {
        if self.executed.contains(&request.hash) || self.arrivals.contains_key(&request.hash) {
            return;
        }
        let sender = request.transaction.sender;
        if self.waiting.len() >= MAX_WAITING && !self.make_room(sender) {
            return;
        }
        self.arrived += 1;
        self.arrivals.insert(request.hash, self.arrived);
        self.waiting.insert(self.arrived, request.clone());
        *self.senders.entry(sender).or_default() += 1;
    }

    /// Drops the last request of whoever has most waiting, unless that is who asks for room.
    fn make_room(&mut self, asking: Address) -> bool {
        let greediest = self.senders.iter().max_by_key(|(_, waiting)| **waiting).map(|(sender, _)| *sender);
        let Some(greediest) = greediest.filter(|greediest| *greediest != asking) else { return false };
        let last = self.waiting.values().rev().find(|request| request.transaction.sender == greediest);
        let last = last.map(|request| request.hash);
        last.is_some_and(|hash| self.remove(hash))
    }

    fn remove(&mut self, hash: B256) -> bool {
        let removed = self.arrivals.remove(&hash).and_then(|arrival| self.waiting.remove(&arrival));
        let waiting = removed.as_ref().and_then(|removed| self.senders.get_mut(&removed.transaction.sender));
        if let Some(waiting) = waiting {
            *waiting -= 1;
        }
        removed.is_some()
    }

    /// The request that has waited longest.
    pub(crate) fn oldest(&self) -> Option<B256> {
        self.waiting.first_key_value().map(|(_, request)| request.hash)
    }

    fn hashes(&self, block: &Block) -> Vec<B256> {
        block.transactions.iter().map(|transaction| transaction.hash(&self.domain)).collect()
    }

    /// What the blocks up to one above the last decided block hold.
    fn under_way(&self, mut block: B256) -> HashSet<B256> {
        let mut requests = HashSet::new();
        while let Some(contents) = self.above.get(&block) {
            requests.extend(contents.requests.iter().copied());
            block = contents.parent;
        }
        requests
    }

    /// Whether nothing that a block holds is in it twice, in a block below it or final; then others may follow it.
    pub(crate) fn judge(&mut self, block: &Block) -> bool {
        let (requests, below) = (self.hashes(block), self.under_way(block.header.parent_hash));
        let mut seen = HashSet::new();
        let fresh = |hash: &B256| !self.executed.contains(hash) && !below.contains(hash) && seen.insert(*hash);
        if !requests.iter().all(fresh) {
            return false;
        }
        let (height, parent) = (block.header.height, block.header.parent_hash);
        self.above.insert(block.header.hash(), Contents { height, parent, requests });
        true
    }

    /// What to propose on top of a block: one request of each sender in turn, the longest waiting first.
    pub(crate) fn propose(&self, parent: B256, most: usize) -> Vec<Transaction> {
        let under_way = self.under_way(parent);
        let mut turns: BTreeMap<Address, usize> = BTreeMap::new();
        let mut chosen = Vec::new();
        for (arrival, request) in &self.waiting {
            let sender = request.transaction.sender;
            if under_way.contains(&request.hash) || self.censored == Some(sender) {
                continue;
            }
            let turn = turns.entry(sender).or_default();
            // Nobody has more turns than a block has room for.
            if *turn < most {
                chosen.push((*turn, *arrival, request));
            }
            *turn += 1;
        }
        chosen.sort_by_key(|(turn, arrival, _)| (*turn, *arrival));
        chosen.into_iter().take(most).map(|(_, _, request)| request.transaction.as_ref().clone()).collect()
    }

    /// A block is final: gives the hashes of what it holds.
    pub(crate) fn decide(&mut self, block: &Block) -> Vec<B256> {
        let requests = self.hashes(block);
        for hash in &requests {
            self.remove(*hash);
            self.executed.insert(*hash);
        }
        self.above.retain(|_, contents| contents.height > block.header.height);
        requests
    }
}
