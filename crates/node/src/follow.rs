//! How a peer that fell behind, starts empty or only follows takes what the others have decided: certified blocks, or
//! the state at a stable checkpoint where the blocks below it are gone. Nothing is taken on one peer's word.
//!
//! Several peers are asked at a time, each for another part. What a peer says of its height is only a hint of whom to
//! ask: who is asked and gives nothing costs a second, and others are asked before it from then on.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use dtn_ledger::{Ledger, LedgerError, Manifest, StoreError};
use dtn_primitives::{Block, Certificate, codec};
use tokio::time::Instant;

use crate::{
    link::Offence,
    network::{Command, Exchange, Remote, Requester},
    wire::{self, CertifiedBlock, MAX_SYNC_REQUEST, SyncRequest, SyncResponse},
};

/// After how long without an answer others are asked for the same. An answer that comes later is taken all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Peers that gave nothing are not asked for this long while others are ahead; each time in a row doubles it.
const MIN_REST: Duration = Duration::from_secs(5);

/// No rest is longer.
const MAX_REST: Duration = Duration::from_secs(300);

/// The most blocks that one peer is asked for at a time, however small they are.
const MAX_SPAN: u64 = 256;

/// Blocks that one peer is asked for as long as it is unknown how long they are.
const FIRST_SPAN: u64 = 16;

/// Bytes of blocks that may wait for those below them.
const MAX_WAITING: usize = 32 * 1024 * 1024;

/// What one peer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The blocks of these heights, the last included.
    Blocks { from: u64, to: u64 },
    /// A chunk of the state at a height.
    Chunk { height: u64, index: u32 },
}

#[derive(Debug, Clone, Copy)]
struct Ask {
    part: Part,
    since: Instant,
    /// It took too long; others may be asked for the same.
    overdue: bool,
}

/// What a peer was worth when it was asked.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// Times in a row that it gave nothing.
    failures: u32,
    rests_until: Option<Instant>,
    /// Bytes a second that it gave, on average.
    rate: f64,
}

impl Record {
    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }

    fn failed(&mut self, now: Instant) {
        let rest = MIN_REST.saturating_mul(1 << self.failures.min(16)).min(MAX_REST);
        (self.failures, self.rests_until) = (self.failures.saturating_add(1), Some(now + rest));
    }

    fn gave(&mut self, bytes: usize, took: Duration) {
        let rate = bytes as f64 / took.as_secs_f64().max(0.001);
        let rate = if self.rate > 0.0 { (self.rate + rate) / 2.0 } else { rate };
        *self = Self { failures: 0, rests_until: None, rate };
    }
}

/// Blocks that have arrived before some below them.
#[derive(Debug)]
struct Waiting {
    from: Remote,
    bytes: usize,
    blocks: Vec<CertifiedBlock>,
}

impl Waiting {
    fn last(&self) -> u64 {
        self.blocks.last().map_or(0, |certified| certified.block.header.height)
    }
}

/// The state that is being taken over, as much as has arrived and holds.
#[derive(Debug)]
struct Transfer {
    manifest: Manifest,
    chunks: Vec<Option<Vec<u8>>>,
    /// Peers that do not have this state.
    without: HashSet<Remote>,
}

/// What this peer knows about the others' heights, and what it is fetching.
#[derive(Default)]
pub(crate) struct Follow {
    /// The height that each peer last told.
    heights: BTreeMap<Remote, u64>,
    records: HashMap<Remote, Record>,
    /// What each peer is being asked for.
    asked: BTreeMap<Remote, Ask>,
    /// By the first height.
    waiting: BTreeMap<u64, Waiting>,
    /// Blocks that fit into an answer, as far as is known.
    span: Option<u64>,
    transfer: Option<Transfer>,
}

/// What an answer brought.
pub(crate) enum Answer {
    /// Nothing that can be used now.
    Nothing,
    /// What no correct peer sends.
    Offence(String),
    /// Blocks that follow the tip and who gave each, to be committed by the owner of the ledger as far as they hold.
    Blocks(Vec<(Remote, CertifiedBlock)>),
    /// The ledger has taken over the state at a checkpoint.
    Installed,
}

impl Follow {
    /// A peer told its height.
    pub(crate) fn heard(&mut self, peer: Remote, height: u64) {
        self.heights.insert(peer, height);
    }

    /// The heights that peers told.
    pub(crate) fn heights(&self) -> impl Iterator<Item = u64> {
        self.heights.values().copied()
    }

    pub(crate) fn disconnected(&mut self, peer: Remote) {
        self.heights.remove(&peer);
        self.asked.remove(&peer);
        if peer.validator().is_none() {
            self.records.remove(&peer);
        }
    }

    /// Looks at the clock: others may be asked for what a peer takes too long to give.
    pub(crate) fn lose_patience(&mut self, now: Instant) {
        for (peer, ask) in self.asked.iter_mut().filter(|(_, ask)| !ask.overdue) {
            if now.saturating_duration_since(ask.since) >= PATIENCE {
                ask.overdue = true;
                self.records.entry(*peer).or_default().failed(now);
            }
        }
    }

    /// Asks peers that say they are ahead for what is missing, each for another part.
    pub(crate) fn fetch(&mut self, ledger: &Ledger, now: Instant) -> Vec<Command> {
        let tip = ledger.tip().height;
        self.waiting.retain(|_, waiting| waiting.last() > tip);
        self.transfer.take_if(|transfer| transfer.manifest.header.height <= tip);
        let mut commands = Vec::new();
        while let Some(part) = self.missing(tip) {
            let Some(to) = self.best(part, tip, now) else { break };
            let (request, part) = match part {
                Part::Chunk { height, index } => (SyncRequest::Chunk { height, index }, part),
                Part::Blocks { from, to: last } => {
                    let last = last.min(self.heights.get(&to).copied().unwrap_or(last));
                    (SyncRequest::Blocks { from, to: last }, Part::Blocks { from, to: last })
                }
            };
            self.asked.insert(to, Ask { part, since: now, overdue: false });
            commands.push(Command::Request { exchange: Exchange::Sync, to, request: codec::encode(&request) });
        }
        commands
    }

    /// The lowest part that has not arrived and that nobody is being asked for.
    fn missing(&self, tip: u64) -> Option<Part> {
        let under_way = |wanted: Part| self.asked.values().any(|ask| !ask.overdue && ask.part == wanted);
        if let Some(Transfer { manifest, chunks, .. }) = &self.transfer {
            let height = manifest.header.height;
            let parts = chunks.iter().enumerate().filter(|(_, chunk)| chunk.is_none());
            let mut parts = parts.map(|(index, _)| Part::Chunk { height, index: index as u32 });
            return parts.find(|part| !under_way(*part));
        }
        let mut covered: Vec<_> = self.waiting.iter().map(|(from, waiting)| (*from, waiting.last())).collect();
        covered.extend(self.asked.values().filter(|ask| !ask.overdue).filter_map(|ask| match ask.part {
            Part::Blocks { from, to } => Some((from, to)),
            Part::Chunk { .. } => None,
        }));
        covered.sort_unstable();
        let span = self.span.unwrap_or(FIRST_SPAN);
        let (mut from, mut to) = (tip + 1, u64::MAX);
        for (first, last) in covered {
            if first > from {
                to = first - 1;
                break;
            }
            from = from.max(last.saturating_add(1));
        }
        let bytes: usize = self.waiting.values().map(|waiting| waiting.bytes).sum();
        let has_room = bytes < MAX_WAITING || from == tip + 1;
        has_room.then_some(Part::Blocks { from, to: to.min(from.saturating_add(span - 1)) })
    }

    /// Whom to ask for a part: of those that are free and say that they have it, one that did not fail, and gave most.
    /// Only if nobody else is ahead are those asked that are resting.
    fn best(&self, part: Part, tip: u64, now: Instant) -> Option<Remote> {
        let needed = match part {
            Part::Blocks { from, .. } => from,
            Part::Chunk { height, .. } => height,
        };
        let lacks = |peer: &Remote| self.transfer.as_ref().is_some_and(|transfer| transfer.without.contains(peer));
        let record = |peer: &Remote| self.records.get(peer).copied().unwrap_or_default();
        let ahead =
            || self.heights.iter().filter(|(peer, theirs)| **theirs > tip && !lacks(peer)).map(|(peer, _)| peer);
        let anybody_fresh = ahead().any(|peer| !record(peer).rests(now));
        let can = |peer: &&Remote| {
            let free = !self.asked.contains_key(peer) && self.heights.get(peer).is_some_and(|theirs| *theirs >= needed);
            free && !(anybody_fresh && record(peer).rests(now))
        };
        let worth = |peer: &&Remote| {
            let Record { failures, rate, .. } = record(peer);
            (std::cmp::Reverse(failures), rate as u64)
        };
        ahead().filter(can).max_by_key(worth).copied()
    }

    /// Takes the answer of a peer that was asked, as far as it holds by itself.
    pub(crate) fn answered(
        &mut self,
        ledger: &mut Ledger,
        from: Remote,
        response: Option<Vec<u8>>,
        now: Instant,
    ) -> Result<Answer, StoreError> {
        let Some(ask) = self.asked.remove(&from) else { return Ok(Answer::Nothing) };
        let Some(response) = response else {
            self.gave_nothing(from, ask, now);
            return Ok(Answer::Nothing);
        };
        let limit = wire::max_sync_response(ledger.genesis().max_block_bytes);
        let decoded = match codec::decode(&response, limit) {
            Ok(decoded) => decoded,
            Err(error) => return Ok(self.offence(from, error.to_string(), now)),
        };
        let took = now.saturating_duration_since(ask.since);
        match (decoded, ask.part) {
            (SyncResponse::Blocks(blocks), _) if blocks.is_empty() => {
                if let (Part::Chunk { .. }, Some(transfer)) = (ask.part, &mut self.transfer) {
                    // It has gone on to a later state, which is nothing to be blamed for.
                    transfer.without.insert(from);
                    if self.heights.keys().all(|peer| transfer.without.contains(peer)) {
                        self.transfer = None;
                    }
                } else {
                    // It is believed again when it next tells its height.
                    self.heights.remove(&from);
                    self.gave_nothing(from, ask, now);
                }
                Ok(Answer::Nothing)
            }
            (SyncResponse::Blocks(blocks), Part::Blocks { from: first, to }) => {
                let blocks = match decode_blocks(&blocks, first, to, ledger.genesis().max_block_bytes) {
                    Ok(blocks) => blocks,
                    Err(what) => return Ok(self.offence(from, what, now)),
                };
                self.records.entry(from).or_default().gave(response.len(), took);
                let (given, wanted) = (blocks.len() as u64, to - first + 1);
                let span = self.span.unwrap_or(FIRST_SPAN);
                self.span = Some(if given < wanted { given } else { span.max((2 * wanted).min(MAX_SPAN)) });
                let bytes = response.len();
                self.waiting.entry(first).or_insert(Waiting { from, bytes, blocks });
                Ok(self.take_next(ledger.tip().height))
            }
            (SyncResponse::Snapshot(manifest), Part::Blocks { .. }) => {
                self.records.entry(from).or_default().gave(response.len(), took);
                Ok(self.begin(ledger, from, *manifest, now))
            }
            (SyncResponse::Chunk(chunk), Part::Chunk { height, index }) => {
                self.records.entry(from).or_default().gave(response.len(), took);
                self.take_chunk(ledger, from, (height, index), chunk, now)
            }
            _ => Ok(self.offence(from, "another answer than was asked for".into(), now)),
        }
    }

    /// One that was overdue has been counted already.
    fn gave_nothing(&mut self, peer: Remote, ask: Ask, now: Instant) {
        if !ask.overdue {
            self.records.entry(peer).or_default().failed(now);
        }
    }

    fn offence(&mut self, peer: Remote, what: String, now: Instant) -> Answer {
        self.distrust(peer, now);
        Answer::Offence(what)
    }

    /// What a peer gave did not hold: what else it gave is dropped, and others are asked first.
    pub(crate) fn distrust(&mut self, peer: Remote, now: Instant) {
        self.waiting.retain(|_, waiting| waiting.from != peer);
        self.records.entry(peer).or_default().failed(now);
    }

    /// The blocks that follow the tip without a gap.
    fn take_next(&mut self, tip: u64) -> Answer {
        let (mut next, mut taken) = (tip + 1, Vec::new());
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= next
        {
            let Waiting { from, blocks, .. } = entry.remove();
            for certified in blocks {
                let height = certified.block.header.height;
                if height == next {
                    next = height + 1;
                    taken.push((from, certified));
                }
            }
        }
        if taken.is_empty() { Answer::Nothing } else { Answer::Blocks(taken) }
    }

    fn begin(&mut self, ledger: &Ledger, from: Remote, manifest: Manifest, now: Instant) -> Answer {
        let begun = self.transfer.as_ref().map_or(0, |transfer| transfer.manifest.header.height);
        if manifest.header.height <= ledger.tip().height.max(begun) {
            return Answer::Nothing;
        }
        if let Err(error) = manifest.verify(ledger.domain(), ledger.validators()) {
            return self.offence(from, format!("a bad snapshot: {error}"), now);
        }
        tracing::info!(height = manifest.header.height, chunks = manifest.chunks.len(), "taking over the state");
        let chunks = vec![None; manifest.chunks.len()];
        self.transfer = Some(Transfer { manifest, chunks, without: HashSet::new() });
        Answer::Nothing
    }

    fn take_chunk(
        &mut self,
        ledger: &mut Ledger,
        from: Remote,
        (height, index): (u64, u32),
        chunk: Vec<u8>,
        now: Instant,
    ) -> Result<Answer, StoreError> {
        let wanted = |transfer: &&mut Transfer| transfer.manifest.header.height == height;
        let Some(transfer) = self.transfer.as_mut().filter(wanted) else { return Ok(Answer::Nothing) };
        let index = index as usize;
        if let Err(error) = transfer.manifest.check_chunk(index, &chunk) {
            return Ok(self.offence(from, error.to_string(), now));
        }
        if let Some(place) = transfer.chunks.get_mut(index) {
            *place = Some(chunk);
        }
        if transfer.chunks.iter().any(Option::is_none) {
            return Ok(Answer::Nothing);
        }
        let Some(Transfer { manifest, chunks, .. }) = self.transfer.take() else { return Ok(Answer::Nothing) };
        let chunks: Vec<_> = chunks.into_iter().flatten().collect();
        match ledger.install(&manifest, &chunks) {
            Ok(()) => {
                tracing::info!(height = manifest.header.height, "took over the state");
                Ok(Answer::Installed)
            }
            Err(LedgerError::Store(error)) => Err(error),
            Err(error) => Ok(self.offence(from, error.to_string(), now)),
        }
    }
}

/// Blocks that were asked for, in their order from the first.
fn decode_blocks(
    encoded: &[Vec<u8>],
    first: u64,
    last: u64,
    max_block_bytes: u64,
) -> Result<Vec<CertifiedBlock>, String> {
    let mut blocks = Vec::new();
    for (height, bytes) in (first..=last).zip(encoded) {
        let limit = wire::max_certified_block(max_block_bytes);
        let certified: CertifiedBlock = codec::decode(bytes, limit).map_err(|error| error.to_string())?;
        if certified.block.header.height != height {
            return Err(format!("block {} in place of {height}", certified.block.header.height));
        }
        blocks.push(certified);
    }
    Ok(blocks)
}

/// Commits blocks above the tip in their order, as far as they hold. Gives what is wrong with the first that does not, and
/// whose it is; an error is the store's, not the peer's fault.
pub(crate) fn commit_all(
    mut tip: u64,
    blocks: Vec<(Remote, CertifiedBlock)>,
    mut commit: impl FnMut(Arc<Block>, Certificate) -> Result<(), LedgerError>,
) -> Result<Option<(Remote, String)>, LedgerError> {
    for (from, CertifiedBlock { block, certificate }) in blocks {
        let height = block.header.height;
        if height <= tip {
            continue;
        }
        match commit(Arc::new(block), certificate) {
            Ok(()) => tip = height,
            Err(error @ LedgerError::Store(_)) => return Err(error),
            Err(error) => return Ok(Some((from, format!("a bad block {height}: {error}")))),
        }
    }
    Ok(None)
}

/// Answers a peer that asks for blocks that are gone: with the state to begin with, which only the ledger's owner knows.
/// All else is answered without it.
pub(crate) fn respond(ledger: &Ledger, request: &[u8], from: Requester) -> Result<Command, StoreError> {
    if codec::decode::<SyncRequest>(request, MAX_SYNC_REQUEST).is_err() {
        return Ok(Command::CutOff { peer: from.peer, offence: Offence::Malformed });
    }
    let snapshot = ledger.snapshot_manifest()?.map(|manifest| SyncResponse::Snapshot(Box::new(manifest)));
    let response = snapshot.unwrap_or(SyncResponse::Blocks(Vec::new()));
    Ok(Command::Respond { to: from, response: codec::encode(&response) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::{
        CheckpointCertificate, Order, Payload, SecretKey, Transaction, U256, ValidatorIndex, Vote, VoteKind,
    };

    use super::*;
    use crate::{
        core::testing::{certificate, genesis, keys},
        serve::{self, Served},
    };

    const ROUND_TRIP: Duration = Duration::from_millis(20);

    fn validator(index: u16) -> Remote {
        Remote::Validator(ValidatorIndex(index))
    }

    /// A ledger with so many final blocks, each with a transaction.
    fn ahead(blocks: u64) -> Ledger {
        let (genesis, key) = (genesis(), SecretKey::from_bytes(&[9; 32]).unwrap());
        let mut ledger = Ledger::in_memory(genesis.clone()).unwrap();
        for nonce in 0..blocks {
            let text = || "x".to_string();
            let (dataset, model, metric) = (text(), text(), text());
            let order = Order { nonce, dataset, model, metric, reward: U256::ZERO, work: None };
            ledger.admit(Transaction::sign(Payload::Order(order), &key, &genesis.domain())).unwrap();
            let (parent, now) = (ledger.tip().hash, genesis.timestamp + nonce);
            let block = ledger.propose(parent, now, key.address(), 10).unwrap();
            ledger.commit(block.clone(), &certificate(&block, &genesis)).unwrap();
        }
        ledger
    }

    /// Peers that answer after [`ROUND_TRIP`] what `answer` makes of the right answer, or never.
    struct Peers<'a> {
        ahead: &'a Ledger,
        follow: Follow,
        behind: Ledger,
        now: Instant,
        asked: HashMap<Remote, usize>,
    }

    impl<'a> Peers<'a> {
        fn new(ahead: &'a Ledger, heights: impl IntoIterator<Item = (Remote, u64)>) -> Self {
            let mut follow = Follow::default();
            heights.into_iter().for_each(|(peer, height)| follow.heard(peer, height));
            let behind = Ledger::in_memory(genesis()).unwrap();
            Self { ahead, follow, behind, now: Instant::now(), asked: HashMap::new() }
        }

        /// Fetches until nothing is missing; gives how long it took, and the liars.
        fn run(&mut self, answer: impl Fn(Remote, SyncResponse) -> Option<SyncResponse>) -> (Duration, Vec<Remote>) {
            let (began, mut under_way, mut liars) = (self.now, Vec::new(), Vec::new());
            while self.behind.tip() != self.ahead.tip() {
                assert!(self.now - began < Duration::from_secs(600), "it does not get there");
                for command in self.follow.fetch(&self.behind, self.now) {
                    let Command::Request { to, request, .. } = command else { panic!("{command:?}") };
                    *self.asked.entry(to).or_default() += 1;
                    let served = serve::answer(self.ahead.store(), Exchange::Sync, &request).unwrap();
                    let Served::Answer(right) = served else { panic!("{served:?}") };
                    let given = answer(to, codec::decode(&right, usize::MAX).unwrap());
                    under_way.extend(given.map(|given| (to, codec::encode(&given))));
                }
                self.now += ROUND_TRIP;
                self.follow.lose_patience(self.now);
                for (from, response) in std::mem::take(&mut under_way) {
                    let tip = self.behind.tip().height;
                    match self.follow.answered(&mut self.behind, from, Some(response), self.now).unwrap() {
                        Answer::Blocks(blocks) => {
                            let commit =
                                |block, certificate: Certificate| self.behind.commit(block, &certificate).map(drop);
                            if let Some((liar, _)) = commit_all(tip, blocks, commit).unwrap() {
                                self.follow.distrust(liar, self.now);
                                liars.push(liar);
                            }
                        }
                        Answer::Offence(_) => liars.push(from),
                        Answer::Nothing | Answer::Installed => {}
                    }
                }
            }
            (self.now - began, liars)
        }
    }

    #[test]
    fn a_peer_that_says_it_is_far_ahead_and_gives_nothing_costs_a_second_in_all_and_is_asked_once() {
        let ahead = ahead(300);
        let honest = [(validator(2), 300), (validator(3), 300)];
        let (without, _) = Peers::new(&ahead, honest).run(|_, right| Some(right));
        for liar in [validator(0), validator(4)] {
            let mut peers = Peers::new(&ahead, honest.into_iter().chain([(liar, 1 << 60)]));
            let (with, liars) = peers.run(|peer, right| (peer != liar).then_some(right));
            assert!(with <= without + PATIENCE + 2 * ROUND_TRIP, "{with:?} instead of {without:?}");
            assert_eq!((peers.asked[&liar], liars), (1, Vec::new()));
            assert!(peers.asked[&validator(2)] > 1 && peers.asked[&validator(3)] > 1, "both are asked");
        }
    }

    #[test]
    fn a_peer_whose_blocks_do_not_hold_is_told_apart_from_those_whose_blocks_do() {
        let ahead = ahead(100);
        let liar = validator(1);
        let spoil = |peer, right| match right {
            SyncResponse::Blocks(mut blocks) if peer == liar => {
                let mut certified: CertifiedBlock = codec::decode(&blocks[0], usize::MAX).unwrap();
                certified.block.header.timestamp += 1;
                blocks[0] = codec::encode(&certified);
                Some(SyncResponse::Blocks(blocks))
            }
            right => Some(right),
        };
        let mut peers = Peers::new(&ahead, (0..4).map(|index| (validator(index), 100)));
        assert_eq!(peers.run(spoil).1, [liar]);

        // Other heights than those asked for, and an answer of another kind.
        for wrong in [SyncResponse::Blocks(vec![ahead_block(&ahead, 77)]), SyncResponse::Chunk(vec![1])] {
            let mut peers = Peers::new(&ahead, (0..4).map(|index| (validator(index), 100)));
            let lie = |peer, right| Some(if peer == liar { wrong.clone() } else { right });
            assert_eq!(peers.run(lie).1, [liar]);
        }
    }

    fn ahead_block(ledger: &Ledger, height: u64) -> Vec<u8> {
        let (block, certificate) =
            (ledger.block(height).unwrap().unwrap(), ledger.certificate(height).unwrap().unwrap());
        codec::encode(&CertifiedBlock { block, certificate })
    }

    #[test]
    fn when_all_but_one_give_nothing_that_one_is_enough() {
        let ahead = ahead(60);
        let mut peers = Peers::new(&ahead, (0..4).map(|index| (validator(index), 60)));
        let (took, _) = peers.run(|peer, right| (peer == validator(2)).then_some(right));
        assert!(took <= PATIENCE + 40 * ROUND_TRIP, "{took:?}");
    }

    #[test]
    fn the_chunks_of_a_state_are_asked_of_several_peers_and_none_that_lacks_it_is_asked_again() {
        let mut ahead = ahead(4);
        let state_root = ahead.checkpoint().unwrap();
        let (domain, keys) = (genesis().domain(), keys());
        let vote = |index: u16| {
            let key = &keys[usize::from(index)];
            Vote::sign(VoteKind::Checkpoint, (0, 0, 4), state_root, ValidatorIndex(index), key, &domain)
        };
        let votes: Vec<_> = (0..3).map(vote).collect();
        ahead.stable(&CheckpointCertificate::from_votes(&votes).unwrap()).unwrap();
        let mut manifest = ahead.snapshot_manifest().unwrap().unwrap();
        let chunk = ahead.snapshot_chunk(4, 0).unwrap().unwrap();
        manifest.chunks = vec![manifest.chunks[0]; 3];

        let mut peers = Peers::new(&ahead, (0..4).map(|index| (validator(index), 4)));
        let chunks = vec![None; 3];
        peers.follow.transfer = Some(Transfer { manifest, chunks, without: HashSet::new() });
        let asked = |peers: &mut Peers<'_>| -> Vec<(Remote, u32)> {
            let commands = peers.follow.fetch(&peers.behind, peers.now).into_iter();
            let part = |command| match command {
                Command::Request { to, request, .. } => match codec::decode(&request, MAX_SYNC_REQUEST).unwrap() {
                    SyncRequest::Chunk { height: 4, index } => (to, index),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            };
            commands.map(part).collect()
        };
        let first = asked(&mut peers);
        assert_eq!(first.iter().map(|(_, index)| *index).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(first.iter().map(|(peer, _)| *peer).collect::<HashSet<_>>().len(), 3);

        let nothing = codec::encode(&SyncResponse::Blocks(Vec::new()));
        let lacking = first[1].0;
        peers.follow.answered(&mut peers.behind, lacking, Some(nothing), peers.now).unwrap();
        let again = asked(&mut peers);
        assert_eq!(again.iter().map(|(_, index)| *index).collect::<Vec<_>>(), [1]);
        assert_ne!(again[0].0, lacking);

        let wrong = codec::encode(&SyncResponse::Chunk([&chunk[..], &[1]].concat()));
        let answer = peers.follow.answered(&mut peers.behind, first[0].0, Some(wrong), peers.now).unwrap();
        assert!(matches!(answer, Answer::Offence(_)));
    }
}
