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

/// What is under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uploads(Arc<Mutex<Vec<Upload>>>);

#[derive(Debug)]
struct Upload {
    order: B256,
    blob: Blob,
    length: u64,
    bytes: Vec<u8>,
    since: Instant,
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
    /// It is longer than one of its kind can be.
    TooLong,
}

impl Uploads {
    /// Takes a part of a blob of that length. One that begins at 0 begins anew.
    pub(crate) fn put(&self, (order, blob): (B256, Blob), length: u64, offset: u64, part: &[u8]) -> Put {
        if length > blob.max_bytes() as u64 || offset.saturating_add(part.len() as u64) > length {
            return Put::TooLong;
        }
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.retain(|upload| upload.since.elapsed() < PATIENCE);
        if offset == 0 {
            uploads.retain(|upload| (upload.order, upload.blob) != (order, blob));
            if uploads.len() >= MAX_UPLOADS {
                return Put::Busy;
            }
            uploads.push(Upload { order, blob, length, bytes: Vec::new(), since: Instant::now() });
        }
        let place = uploads.iter().position(|it| (it.order, it.blob, it.length) == (order, blob, length));
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
        assert_eq!(put(2, b"cdef"), Put::TooLong);
        assert_eq!(uploads.put((order, blob), 6, 2, b"c"), Put::Elsewhere(0), "one of another length");
        assert_eq!(put(0, b"abc"), Put::Part(3), "anew");
        assert_eq!(put(3, b"de"), Put::Whole(b"abcde".to_vec()));
        assert_eq!(put(3, b"de"), Put::Elsewhere(0), "it is gone");
        assert_eq!(uploads.put((order, blob), blob.max_bytes() as u64 + 1, 0, b"x"), Put::TooLong);
    }

    #[test]
    fn so_many_are_under_way_at_a_time() {
        let uploads = Uploads::default();
        let put = |number: u8| uploads.put((B256::repeat_byte(number), Blob::Rows(B256::ZERO)), 5, 0, b"x");
        for number in 0..MAX_UPLOADS as u8 {
            assert_eq!(put(number), Put::Part(1));
        }
        assert_eq!(put(9), Put::Busy);
        assert_eq!(put(0), Put::Part(1), "it takes its own place");
    }
}
