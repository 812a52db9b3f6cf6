//! How a peer that took over a state gets the results of the blocks that it skipped, so that what is owed stays provable
//! however many peers have done so.
//!
//! That nothing is missing, no certificate can say: so many validators are asked what results they have that one of them
//! is correct. Each first lists the blocks; what is not here yet is then asked of it, and counts only as the results of a
//! block that a quorum finalized. All of it runs on a thread of its own, which is in no hurry: whoever votes waits for none
//! of it. How far it got is in the store.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use dtn_ledger::{BlockResults, ImportError, Importer, StoreError};
use dtn_primitives::{Bytes, ValidatorIndex, codec};
use tokio::sync::mpsc::WeakSender;

use crate::{
    link::Offence,
    network::{Command, Exchange, Remote},
    wire::{ResultsRequest, ResultsResponse},
};

/// What came of asking a peer.
pub(crate) type Response = (Remote, Option<Vec<u8>>);

/// How often it is looked whether something is missing.
const ROUND: Duration = Duration::from_millis(500);

/// After how long no answer can come any more.
const EXPIRY: Duration = Duration::from_secs(30);

/// Validators that are asked at a time.
const AT_ONCE: usize = 4;

/// Who had nothing to give is not asked for this long; each time in a row doubles it.
const MIN_REST: Duration = Duration::from_secs(2);

/// No rest is longer.
const MAX_REST: Duration = Duration::from_secs(60);

/// The longest encoded results of a block: it ends so many races, each with what shows its work.
const MAX_BLOCK_RESULTS: usize = 32 * 1024 * 1024;

/// What a validator has shown.
#[derive(Debug, Default)]
struct Shown {
    /// It has no further results up to this height.
    to: u64,
    /// The blocks above that have some which are not here yet, and up to which height these are all.
    lacking: VecDeque<u64>,
    listed_to: u64,
    /// The beginning of the results of a block that are too long for one answer.
    part: Vec<u8>,
    asked: Option<(ResultsRequest, Instant)>,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Shown {
    fn failed(&mut self, now: Instant) {
        let rest = MIN_REST.saturating_mul(1 << self.failures.min(16)).min(MAX_REST);
        *self = Self { to: self.to, failures: self.failures.saturating_add(1), ..Self::default() };
        self.rests_until = Some(now + rest);
    }

    /// The block whose results it is being asked for.
    fn asked_for(&self) -> Option<u64> {
        match self.asked {
            Some((ResultsRequest::Blocks { from, .. }, _)) => Some(from),
            _ => None,
        }
    }
}

/// Fetches the results of skipped blocks.
#[derive(Debug)]
pub(crate) struct Backfill {
    importer: Importer,
    peers: BTreeMap<ValidatorIndex, Shown>,
    /// So many validators that one of them is correct.
    enough: usize,
}

impl Backfill {
    /// Asks these validators, so many of which have to agree.
    pub(crate) fn new(importer: Importer, peers: impl IntoIterator<Item = ValidatorIndex>, enough: usize) -> Self {
        let peers = peers.into_iter().map(|peer| (peer, Shown::default())).collect();
        Self { importer, peers, enough }
    }

    /// Goes on until the network is gone, or the store fails, which its owner notices by itself.
    pub(crate) fn run(mut self, commands: &WeakSender<Command>, responses: &Receiver<Response>) {
        loop {
            let outcome = match responses.recv_timeout(ROUND) {
                Ok((from, response)) => self.answered(from, response, Instant::now()),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let asked = outcome.and_then(|wrong| Ok(wrong.into_iter().chain(self.ask(Instant::now())?)));
            let said = match asked {
                Ok(said) => said,
                Err(error) => return tracing::warn!(%error, "the results of skipped blocks are fetched no further"),
            };
            let Some(commands) = commands.upgrade() else { return };
            // What the network has no room for is asked for again.
            said.for_each(|command| _ = commands.try_send(command));
        }
    }

    /// What to ask whom for.
    fn ask(&mut self, now: Instant) -> Result<Vec<Command>, StoreError> {
        let Some((first, last)) = self.importer.missing()? else {
            self.peers.values_mut().for_each(|shown| *shown = Shown::default());
            return Ok(Vec::new());
        };
        for shown in self.peers.values_mut() {
            shown.to = shown.to.max(first - 1);
            if shown.asked.as_ref().is_some_and(|(_, since)| now.duration_since(*since) >= EXPIRY) {
                shown.failed(now);
            }
            while let Some(next) = shown.lacking.front()
                && self.importer.has(*next)?
            {
                shown.lacking.pop_front();
                shown.part.clear();
            }
            if shown.lacking.is_empty() {
                shown.to = shown.to.max(shown.listed_to);
            }
        }
        let mut heights: Vec<_> = self.peers.values().map(|shown| shown.to).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        let complete_to = heights.get(self.enough - 1).copied().unwrap_or_default();
        if complete_to >= first {
            self.importer.complete_to(complete_to)?;
            tracing::info!(to = complete_to.min(last), "has the results of the blocks that were skipped");
            if complete_to >= last {
                return Ok(Vec::new());
            }
        }
        let lacking = self.enough - heights.iter().filter(|to| **to >= last).count();
        let mut free: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, shown)| shown.to < last && shown.rests_until.is_none_or(|until| until <= now))
            .map(|(peer, shown)| (shown.asked.is_none(), shown.failures, std::cmp::Reverse(shown.to), *peer))
            .collect();
        free.sort_unstable();
        let mut commands = Vec::new();
        // Those that are being asked come first.
        for (is_free, _, _, peer) in free.into_iter().take(lacking.min(AT_ONCE)) {
            if is_free {
                commands.extend(self.ask_one(peer, last, now));
            }
        }
        Ok(commands)
    }

    fn ask_one(&mut self, peer: ValidatorIndex, last: u64, now: Instant) -> Option<Command> {
        let others: Vec<_> = self.peers.values().filter_map(Shown::asked_for).collect();
        let shown = self.peers.get_mut(&peer)?;
        // Two do not begin with the same.
        if shown.lacking.front().is_some_and(|next| others.contains(next)) {
            shown.lacking.rotate_left(shown.lacking.len() / 2);
            shown.part.clear();
        }
        let request = match shown.lacking.front() {
            Some(height) => ResultsRequest::Blocks { from: *height, offset: shown.part.len() as u64 },
            None => ResultsRequest::Heights { from: shown.to + 1, to: last },
        };
        shown.asked = Some((request, now));
        let (exchange, request) = (Exchange::Results, codec::encode(&request));
        Some(Command::Request { exchange, to: Remote::Validator(peer), request })
    }

    /// Takes an answer, as far as it holds. Gives what is to be done about a liar.
    fn answered(
        &mut self,
        from: Remote,
        response: Option<Vec<u8>>,
        now: Instant,
    ) -> Result<Option<Command>, StoreError> {
        let Some(shown) = from.validator().and_then(|peer| self.peers.get_mut(&peer)) else { return Ok(None) };
        let Some((request, _)) = shown.asked.take() else { return Ok(None) };
        let decoded = response.map(|response| codec::decode(&response, response.len()));
        let outcome = match (request, decoded) {
            (_, None) => Outcome::Nothing,
            (ResultsRequest::Heights { from, to }, Some(Ok(ResultsResponse::Heights { heights, to: known_to }))) => {
                shown.list(&self.importer, heights, from, to.min(known_to))?
            }
            (ResultsRequest::Blocks { from, .. }, Some(Ok(ResultsResponse::Blocks { pieces, partial }))) => {
                shown.take(&self.importer, pieces, from, partial)?
            }
            _ => Outcome::Lie("another answer than was asked for".into()),
        };
        match outcome {
            Outcome::Something => (shown.failures, shown.rests_until) = (0, None),
            Outcome::Nothing => shown.failed(now),
            Outcome::Lie(what) => {
                tracing::warn!(peer = %from, what, "a peer sent what no correct peer sends");
                shown.failed(now);
                shown.rests_until = Some(now + MAX_REST);
                return Ok(Some(Command::CutOff { peer: from, offence: Offence::BadBlocks }));
            }
        }
        Ok(None)
    }
}

/// What an answer was worth.
enum Outcome {
    Something,
    Nothing,
    Lie(String),
}

impl Shown {
    /// Takes the heights of the blocks from one to another that have results.
    fn list(&mut self, importer: &Importer, heights: Vec<u64>, from: u64, to: u64) -> Result<Outcome, StoreError> {
        if to < from {
            // It has skipped them itself.
            return Ok(Outcome::Nothing);
        }
        for height in heights.into_iter().filter(|height| (from..=to).contains(height)) {
            if !importer.has(height)? {
                self.lacking.push_back(height);
            }
        }
        self.listed_to = to;
        Ok(Outcome::Something)
    }

    /// Takes the results of a block and of those that follow.
    fn take(
        &mut self,
        importer: &Importer,
        pieces: Vec<Bytes>,
        height: u64,
        partial: bool,
    ) -> Result<Outcome, StoreError> {
        let mut blocks = Vec::new();
        for piece in pieces {
            let encoded = std::mem::take(&mut self.part);
            let encoded = if encoded.is_empty() { piece.to_vec() } else { [&encoded[..], &piece[..]].concat() };
            if encoded.len() > MAX_BLOCK_RESULTS {
                return Ok(Outcome::Lie(format!("the results of block {height} are too long")));
            }
            if partial {
                self.part = encoded;
                return Ok(Outcome::Something);
            }
            match codec::decode::<BlockResults>(&encoded, encoded.len()) {
                Ok(block) => blocks.push(block),
                Err(error) => return Ok(Outcome::Lie(error.to_string())),
            }
        }
        if blocks.first().is_none_or(|block| block.header.height != height) {
            return Ok(Outcome::Nothing);
        }
        match importer.import(&blocks) {
            Ok(_) => Ok(Outcome::Something),
            Err(ImportError::Store(error)) => Err(error),
            Err(error) => Ok(Outcome::Lie(format!("bad results: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use dtn_ledger::{CLAIM_WINDOW_MS, DELIVERY_MS, Ledger};
    use dtn_pow::Puzzle;
    use dtn_primitives::{
        CheckpointCertificate, Claim, Genesis, Order, Payload, SecretKey, Transaction, U256, Vote, VoteKind, Work,
    };

    use super::*;
    use crate::{
        core::testing::{certificate, genesis, keys},
        serve::{self, Served},
    };

    fn requester() -> SecretKey {
        SecretKey::from_bytes(&[9; 32]).unwrap()
    }

    fn network() -> Genesis {
        Genesis { requesters: vec![requester().address()], ..genesis() }
    }

    /// A ledger with so many races that are over, each with three blocks, the last of which has the result, and a stable
    /// checkpoint.
    fn ahead(races: u64) -> Ledger {
        let (genesis, worker) = (network(), &keys()[0]);
        let (domain, mut ledger, mut now) = (genesis.domain(), Ledger::in_memory(genesis.clone()).unwrap(), 0);
        let mut commit = |ledger: &mut Ledger, waits: Option<Transaction>, pause: u64| {
            waits.into_iter().for_each(|transaction| _ = ledger.admit(transaction).unwrap());
            now = ledger.tip().timestamp.max(now) + pause;
            let block = ledger.propose(ledger.tip().hash, now, worker.address(), 10, true).unwrap();
            ledger.commit(block.clone(), &certificate(&block, &genesis)).unwrap();
            block.header.hash()
        };
        for nonce in 0..races {
            let text = || "x".to_string();
            let work = Some(Work { expected_hashes: 1 });
            let order = Order { nonce, dataset: text(), model: text(), metric: text(), reward: U256::from(1), work };
            let order = Transaction::sign(Payload::Order(order), &requester(), &domain);
            let id = order.hash(&domain);
            let race = commit(&mut ledger, Some(order), 1);
            let hash = Puzzle::new(domain.network_id, race, id, worker.address(), 1).unwrap().hash(0);
            let (payee, started_at_us, ended_at_us, duration_us) = (worker.address(), 1, 2, 1);
            let claim = Claim { order: id, race, payee, nonce: 0, hash, started_at_us, ended_at_us, duration_us };
            commit(&mut ledger, Some(Transaction::sign(Payload::Claim(claim), worker, &domain)), 1);
            commit(&mut ledger, None, CLAIM_WINDOW_MS + DELIVERY_MS + 1);
        }
        let (height, root) = (ledger.tip().height, ledger.checkpoint().unwrap());
        let vote = |index: u16| {
            let key = &keys()[usize::from(index)];
            Vote::sign(VoteKind::Checkpoint, (0, 0, height), root, ValidatorIndex(index), key, &domain)
        };
        ledger.stable(&CheckpointCertificate::from_votes(&(0..3).map(vote).collect::<Vec<_>>()).unwrap()).unwrap();
        ledger
    }

    /// A peer that has taken over the state of another without its blocks.
    fn behind(ahead: &Ledger) -> Ledger {
        let manifest = ahead.snapshot_manifest().unwrap().unwrap();
        let chunk = |index| ahead.snapshot_chunk(manifest.header.height, index as u32).unwrap().unwrap();
        let chunks: Vec<_> = (0..manifest.chunks.len()).map(chunk).collect();
        let mut behind = Ledger::in_memory(network()).unwrap();
        behind.install(&manifest, &chunks).unwrap();
        behind
    }

    fn backfill(behind: &Ledger) -> Backfill {
        Backfill::new(behind.importer(), (1..4).map(ValidatorIndex), 2)
    }

    /// Asks until nothing is missing, or so many answers have come; `answer` makes of the right answer what a peer gives.
    /// Gives who was cut off, and how many bytes came.
    fn run(
        backfill: &mut Backfill,
        ahead: &Ledger,
        answers: usize,
        answer: impl Fn(ValidatorIndex, ResultsResponse) -> Option<ResultsResponse>,
    ) -> (BTreeSet<Remote>, usize) {
        let (mut now, mut cut_off, mut bytes) = (Instant::now(), BTreeSet::new(), 0);
        let mut count = 0;
        while backfill.importer.missing().unwrap().is_some() && count < answers {
            for command in backfill.ask(now).unwrap() {
                let Command::Request { to, request, .. } = command else { panic!("{command:?}") };
                let served = serve::answer(ahead.store(), Exchange::Results, &request).unwrap();
                let Served::Answer(right) = served else { panic!("{served:?}") };
                let given = answer(to.validator().unwrap(), codec::decode(&right, usize::MAX).unwrap());
                let given = given.map(|given| codec::encode(&given));
                bytes += given.as_ref().map_or(0, Vec::len);
                let wrong = backfill.answered(to, given, now).unwrap();
                cut_off.extend(wrong.map(|command| match command {
                    Command::CutOff { peer, .. } => peer,
                    other => panic!("{other:?}"),
                }));
                count += 1;
            }
            now += Duration::from_secs(1);
            assert!(count < 1_000, "it does not get there");
        }
        (cut_off, bytes)
    }

    fn assert_same(behind: &Ledger, ahead: &Ledger) {
        let all = |ledger: &Ledger| ledger.store().block_results(0, usize::MAX).unwrap();
        assert_eq!(all(behind), all(ahead));
    }

    #[test]
    fn the_results_of_skipped_blocks_come_from_others_and_once_each() {
        let ahead = ahead(20);
        let behind = behind(&ahead);
        let (cut_off, bytes) = run(&mut backfill(&behind), &ahead, usize::MAX, |_, right| Some(right));
        assert_same(&behind, &ahead);
        let once = codec::encode(&ahead.store().block_results(0, usize::MAX).unwrap()).len();
        assert!(cut_off.is_empty() && bytes < once * 3 / 2 + 1_000, "{bytes} bytes for {once}");
    }

    #[test]
    fn a_liar_can_neither_hide_results_nor_make_some_up() {
        let ahead = ahead(5);
        let liar = ValidatorIndex(1);
        let hide = |peer, right| match right {
            ResultsResponse::Heights { to, .. } if peer == liar => {
                Some(ResultsResponse::Heights { heights: vec![], to })
            }
            right => Some(right),
        };
        let behind_hidden = behind(&ahead);
        run(&mut backfill(&behind_hidden), &ahead, usize::MAX, hide);
        assert_same(&behind_hidden, &ahead);

        // It lists blocks that have no results, which it cannot show.
        let invent = |peer, right| match right {
            ResultsResponse::Heights { to, .. } if peer == liar => {
                Some(ResultsResponse::Heights { heights: (1..=to).collect(), to })
            }
            right => Some(right),
        };
        let behind_invented = behind(&ahead);
        run(&mut backfill(&behind_invented), &ahead, usize::MAX, invent);
        assert_same(&behind_invented, &ahead);

        // It changes what it shows.
        let spoil = |peer, right| match right {
            ResultsResponse::Blocks { pieces, partial } if peer == liar => {
                let spoilt = pieces.iter().map(|piece| {
                    let mut block: BlockResults = codec::decode(piece, piece.len()).unwrap();
                    block.results[0].amount += U256::from(1);
                    codec::encode(&block).into()
                });
                Some(ResultsResponse::Blocks { pieces: spoilt.collect(), partial })
            }
            right => Some(right),
        };
        let behind_spoilt = behind(&ahead);
        let (cut_off, _) = run(&mut backfill(&behind_spoilt), &ahead, usize::MAX, spoil);
        assert_same(&behind_spoilt, &ahead);
        assert_eq!(cut_off.into_iter().collect::<Vec<_>>(), [Remote::Validator(liar)]);
    }

    #[test]
    fn nothing_counts_as_complete_on_the_word_of_too_few() {
        let ahead = ahead(5);
        let behind = behind(&ahead);
        let only = |peer, right| (peer == ValidatorIndex(2)).then_some(right);
        run(&mut backfill(&behind), &ahead, 300, only);
        assert_same(&behind, &ahead);
        assert_eq!(behind.importer().missing(), Ok(Some((1, 15))), "another may know of more");
    }

    #[test]
    fn results_that_are_too_long_for_an_answer_come_in_pieces() {
        let ahead = ahead(3);
        let behind = behind(&ahead);
        let short = |_, right| match right {
            ResultsResponse::Blocks { pieces, .. } => {
                let piece = &pieces[0][..pieces[0].len().min(100)];
                let partial = piece.len() < pieces[0].len();
                Some(ResultsResponse::Blocks { pieces: vec![piece.to_vec().into()], partial })
            }
            right => Some(right),
        };
        let (cut_off, _) = run(&mut backfill(&behind), &ahead, usize::MAX, short);
        assert_same(&behind, &ahead);
        assert!(cut_off.is_empty());
    }

    #[test]
    fn a_peer_that_starts_again_goes_on_where_it_was() {
        let ahead = ahead(10);
        let behind = behind(&ahead);
        // Nobody lists more than four blocks at a time.
        let few = |_, right| match right {
            ResultsResponse::Heights { heights, to } if heights.len() > 4 => {
                let to = to.min(heights[4] - 1);
                Some(ResultsResponse::Heights { heights: heights[..4].to_vec(), to })
            }
            right => Some(right),
        };
        run(&mut backfill(&behind), &ahead, 8, few);
        let (first, last) = behind.importer().missing().unwrap().unwrap();
        assert!(first > 1, "some are there: {first} to {last}");
        let (_, bytes) = run(&mut backfill(&behind), &ahead, usize::MAX, few);
        assert_same(&behind, &ahead);
        let all = codec::encode(&ahead.store().block_results(0, usize::MAX).unwrap()).len();
        assert!(bytes < all, "{bytes} bytes for the rest of {all}");
    }
}
