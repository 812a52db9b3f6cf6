//! Blobs that are fetched from other peers, one at a time and part by part, so that no more than one is in memory.

use std::collections::{BTreeSet, VecDeque};

use dtn_primitives::{B256, codec};
use dtn_trainer::Blob;

use crate::{
    network::{Command, Exchange, Remote},
    wire::{BlobPart, BlobRequest, MAX_BLOB_PART},
};

/// The most blobs that wait to be fetched; who needs more asks again.
const MAX_WAITING: usize = 1_024;

/// One that is fetched or waits for that.
#[derive(Debug)]
struct Download {
    order: B256,
    blob: Blob,
    bytes: Vec<u8>,
    /// Who is asked first: who has told of it.
    hint: Option<Remote>,
    /// Who had nothing, or something else.
    tried: BTreeSet<Remote>,
    /// Whom this peer has asked for the next part, or who has given the last one.
    asked: Option<Remote>,
    /// All of it is here, and is looked at.
    checking: bool,
    /// It is not needed any more, and goes once the answer that is under way has come: who asks next must not take it for its own.
    dropped: bool,
}

/// The blobs that are fetched, the first of which is under way.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    waiting: VecDeque<Download>,
}

/// What came of an answer.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Nothing yet.
    Nothing,
    /// A whole blob, which has to be checked, and who gave it.
    Whole(B256, Blob, Vec<u8>),
}

impl Downloads {
    /// Has a blob fetched, unless it is already.
    pub(super) fn want(&mut self, order: B256, blob: Blob, hint: Option<Remote>) {
        if !self.want_it(order, blob) && self.waiting.len() < MAX_WAITING {
            let (bytes, tried, asked) = (Vec::new(), BTreeSet::new(), None);
            let (checking, dropped) = (false, false);
            self.waiting.push_back(Download { order, blob, bytes, hint, tried, asked, checking, dropped });
        }
    }

    /// Asks for the next part of the first one, of somebody who has not failed to give it. If nobody is left, the next one has
    /// its turn.
    pub(super) fn ask(&mut self, connected: &[Remote]) -> Option<Command> {
        for _ in 0..self.waiting.len() {
            let first = self.waiting.front_mut()?;
            if first.asked.is_some() {
                return None;
            }
            let hint = first.hint.filter(|hint| connected.contains(hint));
            let next = hint.into_iter().chain(connected.iter().copied()).find(|peer| !first.tried.contains(peer));
            if let Some(to) = next {
                first.asked = Some(to);
                let request = BlobRequest { order: first.order, blob: first.blob, offset: first.bytes.len() as u64 };
                return Some(Command::Request { exchange: Exchange::Blob, to, request: codec::encode(&request) });
            }
            first.tried.clear();
            first.bytes = Vec::new();
            self.waiting.rotate_left(1);
        }
        None
    }

    /// Takes in a part, or that there is none.
    pub(super) fn arrived(&mut self, from: Remote, response: Option<Vec<u8>>) -> Arrival {
        let Some(first) = self.waiting.front_mut().filter(|first| first.asked == Some(from)) else {
            return Arrival::Nothing;
        };
        first.asked = None;
        if first.dropped {
            self.waiting.pop_front();
            return Arrival::Nothing;
        }
        let part = response.and_then(|response| codec::decode::<BlobPart>(&response, MAX_BLOB_PART).ok());
        let part = part.filter(|part| {
            let end = first.bytes.len() as u64 + part.bytes.len() as u64;
            !part.bytes.is_empty() && end <= part.length && part.length <= first.blob.max_bytes() as u64
        });
        let Some(BlobPart { length, bytes }) = part else {
            first.fails(from);
            return Arrival::Nothing;
        };
        first.bytes.extend_from_slice(&bytes);
        if (first.bytes.len() as u64) < length {
            return Arrival::Nothing;
        }
        // It stays in its place until it is found to be right.
        let bytes = std::mem::take(&mut first.bytes);
        (first.asked, first.checking) = (Some(from), true);
        Arrival::Whole(first.order, first.blob, bytes)
    }

    /// One is here, wherever it came from.
    pub(super) fn arrived_whole(&mut self, order: B256, blob: Blob) {
        self.drop_where(|it| (it.order, it.blob) == (order, blob));
    }

    fn drop_where(&mut self, is_over: impl Fn(&Download) -> bool) {
        self.waiting.retain_mut(|it| {
            let is_over = is_over(it);
            it.dropped |= is_over;
            !is_over || (it.asked.is_some() && !it.checking)
        });
    }

    /// What was given for one was something else: whoever gave it is not asked for it again.
    pub(super) fn was_wrong(&mut self, order: B256, blob: Blob) {
        let download = self.waiting.iter_mut().find(|it| (it.order, it.blob) == (order, blob));
        if let Some((download, liar)) = download.and_then(|it| it.asked.take().map(|liar| (it, liar))) {
            download.checking = false;
            download.fails(liar);
        }
    }

    /// Whether one is wanted.
    pub(super) fn want_it(&self, order: B256, blob: Blob) -> bool {
        self.waiting.iter().any(|it| (it.order, it.blob) == (order, blob) && !it.dropped)
    }

    /// Somebody is gone, with what was asked of it.
    pub(super) fn disconnected(&mut self, peer: Remote) {
        let Some(first) = self.waiting.front_mut().filter(|first| first.asked == Some(peer) && !first.checking) else {
            return;
        };
        first.asked = None;
        if first.dropped {
            self.waiting.pop_front();
        } else {
            first.fails(peer);
        }
    }

    /// Keeps those that somebody still needs.
    pub(super) fn retain(&mut self, is_needed: impl Fn(B256) -> bool) {
        self.drop_where(|it| !is_needed(it.order));
    }
}

impl Download {
    /// Begins anew with somebody else.
    fn fails(&mut self, peer: Remote) {
        self.tried.insert(peer);
        self.bytes = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::ValidatorIndex;

    use super::*;

    fn peer(index: u16) -> Remote {
        Remote::Validator(ValidatorIndex(index))
    }

    fn asked(command: Option<Command>) -> (Remote, u64) {
        let Some(Command::Request { exchange: Exchange::Blob, to, request }) = command else { panic!("{command:?}") };
        (to, codec::decode::<BlobRequest>(&request, 100).unwrap().offset)
    }

    fn part(length: u64, bytes: &[u8]) -> Option<Vec<u8>> {
        Some(codec::encode(&BlobPart { length, bytes: bytes.to_vec().into() }))
    }

    #[test]
    fn parts_are_put_together_and_what_is_wrong_is_asked_of_the_next_one() {
        let (order, blob, all) = (B256::repeat_byte(1), Blob::Rows(B256::repeat_byte(2)), [peer(0), peer(1)]);
        let mut downloads = Downloads::default();
        downloads.want(order, blob, Some(peer(1)));
        downloads.want(order, blob, None);
        assert_eq!(asked(downloads.ask(&all)), (peer(1), 0), "who has told of it");
        assert!(downloads.ask(&all).is_none(), "one question at a time");
        assert!(matches!(downloads.arrived(peer(0), part(4, b"ab")), Arrival::Nothing), "nobody has asked it");
        assert!(matches!(downloads.arrived(peer(1), part(4, b"ab")), Arrival::Nothing));
        assert_eq!(asked(downloads.ask(&all)), (peer(1), 2));
        let Arrival::Whole(.., bytes) = downloads.arrived(peer(1), part(4, b"cd")) else { panic!("it is whole") };
        assert_eq!(bytes, b"abcd");
        assert!(downloads.ask(&all).is_none(), "it is looked at");
        downloads.was_wrong(order, blob);
        assert_eq!(asked(downloads.ask(&all)), (peer(0), 0), "from the beginning");
        for nonsense in [None, part(0, b""), part(1, b"ab"), part(u64::MAX, b"ab"), Some(vec![0xff; 9])] {
            downloads.arrived(peer(0), nonsense);
            // Nobody else is there, so the next turn begins anew.
            assert!(downloads.ask(&[peer(0)]).is_none());
            let (to, offset) = asked(downloads.ask(&[peer(0)]));
            assert_eq!((to, offset), (peer(0), 0));
        }
        let Arrival::Whole(..) = downloads.arrived(peer(0), part(1, b"x")) else { panic!("it is whole") };
        assert!(downloads.want_it(order, blob));
        downloads.arrived_whole(order, blob);
        assert!(downloads.ask(&all).is_none() && !downloads.want_it(order, blob));
    }

    #[test]
    fn an_answer_that_comes_too_late_is_taken_for_nothing_else() {
        let (order, all) = (B256::repeat_byte(1), [peer(0)]);
        let mut downloads = Downloads::default();
        let [one, other] = [3, 4].map(|hash| Blob::State(B256::repeat_byte(hash)));
        downloads.want(order, one, None);
        asked(downloads.ask(&all));
        // A client has handed it in meanwhile.
        downloads.arrived_whole(order, one);
        downloads.want(order, other, None);
        assert!(downloads.ask(&all).is_none() && !downloads.want_it(order, one), "the answer is under way");
        assert!(matches!(downloads.arrived(peer(0), part(2, b"ab")), Arrival::Nothing));
        assert_eq!(asked(downloads.ask(&all)), (peer(0), 0));
        let Arrival::Whole(_, blob, _) = downloads.arrived(peer(0), part(1, b"x")) else { panic!("it is whole") };
        assert_eq!(blob, other);
        downloads.arrived_whole(order, other);
        assert!(downloads.ask(&all).is_none());
    }

    #[test]
    fn one_that_nobody_has_does_not_hold_up_the_others() {
        let (order, all) = (B256::repeat_byte(1), [peer(0)]);
        let mut downloads = Downloads::default();
        let [absent, present] = [3, 4].map(|hash| Blob::State(B256::repeat_byte(hash)));
        downloads.want(order, absent, None);
        downloads.want(order, present, None);
        asked(downloads.ask(&all));
        downloads.arrived(peer(0), part(0, b""));
        let Some(Command::Request { request, .. }) = downloads.ask(&all) else { panic!("the other one") };
        assert_eq!(codec::decode::<BlobRequest>(&request, 100).unwrap().blob, present);
        downloads.disconnected(peer(0));
        downloads.retain(|_| false);
        assert!(downloads.ask(&all).is_none());
    }
}
