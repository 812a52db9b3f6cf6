//! Blobs that clients hand in, part by part. Only what a transaction takes that was handed in before is taken: whoever
//! signed it has the money that it asks for, and nobody else's word fills memory here.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use dtn_primitives::B256;
use dtn_trainer::Blob;

/// The most blobs that are under way.
const MAX_UPLOADS: usize = 4;

/// After which time without a part one makes room for others.
const PATIENCE: Duration = Duration::from_secs(10);

/// How fast one has to come at least, in bytes a second.
const LEAST_RATE: u64 = 1 << 20;

/// What is under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uploads(Arc<Mutex<Vec<Upload>>>);

#[derive(Debug)]
struct Upload {
    order: B256,
    blob: Blob,
    length: u64,
    bytes: Vec<u8>,
    began: Instant,
    since: Instant,
}

impl Upload {
    /// Whether it comes too slowly, or not at all any more.
    fn is_stale(&self) -> bool {
        let due = PATIENCE + Duration::from_secs(self.length / LEAST_RATE);
        self.since.elapsed() >= PATIENCE || self.began.elapsed() >= due
    }
}

/// What came of a part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// So many bytes are there.
    Part(u64),
    /// All of it is there.
    Whole(Vec<u8>),
    /// The next part has to begin elsewhere.
    Elsewhere(u64),
    /// Too many are under way.
    Busy,
    /// It is longer than one of its kind can be, or has no byte.
    Length,
}

impl Uploads {
    /// Takes a part of a blob of that length. Of an order one is under way at a time, and one that is under way goes on, whoever
    /// begins it once more.
    pub(crate) fn put(&self, (order, blob): (B256, Blob), length: u64, offset: u64, part: &[u8]) -> Put {
        if length > blob.max_bytes() as u64 || offset.saturating_add(part.len() as u64) > length || part.is_empty() {
            return Put::Length;
        }
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.retain(|upload| !upload.is_stale());
        let is_it = |it: &Upload| (it.order, it.blob, it.length) == (order, blob, length);
        if offset == 0 && !uploads.iter().any(is_it) {
            if uploads.len() >= MAX_UPLOADS || uploads.iter().any(|upload| upload.order == order) {
                return Put::Busy;
            }
            let (bytes, began, since) = (Vec::new(), Instant::now(), Instant::now());
            uploads.push(Upload { order, blob, length, bytes, began, since });
        }
        let place = uploads.iter().position(is_it);
        let Some(place) = place else { return Put::Elsewhere(0) };
        let upload = &mut uploads[place];
        if upload.bytes.len() as u64 != offset {
            return Put::Elsewhere(upload.bytes.len() as u64);
        }
        upload.bytes.extend_from_slice(part);
        upload.since = Instant::now();
        if upload.bytes.len() as u64 == length {
            Put::Whole(uploads.swap_remove(place).bytes)
        } else {
            Put::Part(upload.bytes.len() as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_their_order_become_a_whole_and_nothing_else_is_taken() {
        let (order, blob, uploads) = (B256::ZERO, Blob::Rows(B256::ZERO), Uploads::default());
        let put = |offset, part: &[u8]| uploads.put((order, blob), 5, offset, part);
        assert_eq!(put(2, b"cd"), Put::Elsewhere(0), "it has not begun");
        assert_eq!(put(0, b"ab"), Put::Part(2));
        assert_eq!(put(3, b"d"), Put::Elsewhere(2));
        assert_eq!((put(2, b"cdef"), put(2, b"")), (Put::Length, Put::Length));
        assert_eq!(uploads.put((order, blob), 6, 2, b"c"), Put::Elsewhere(0), "one of another length");
        assert_eq!(put(0, b"abc"), Put::Elsewhere(2), "nobody can begin another's anew");
        assert_eq!(put(2, b"cde"), Put::Whole(b"abcde".to_vec()));
        assert_eq!(put(3, b"de"), Put::Elsewhere(0), "it is gone");
        assert_eq!(uploads.put((order, blob), blob.max_bytes() as u64 + 1, 0, b"x"), Put::Length);
    }

    #[test]
    fn so_many_are_under_way_at_a_time_and_one_of_an_order() {
        let uploads = Uploads::default();
        let put = |number: u8, blob: u8| {
            uploads.put((B256::repeat_byte(number), Blob::Rows(B256::repeat_byte(blob))), 5, 0, b"x")
        };
        for number in 0..MAX_UPLOADS as u8 {
            assert_eq!(put(number, 0), Put::Part(1));
            assert_eq!(put(number, 1), Put::Busy, "the order has its place");
        }
        assert_eq!(put(9, 0), Put::Busy);
        assert_eq!(put(0, 0), Put::Elsewhere(1), "it goes on");
    }
}
