//! The encoding of everything that peers send and store: postcard, with explicit limits.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

/// Why bytes were not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes are not an encoding of the expected type.
    #[error("malformed encoding: {0}")]
    Malformed(String),
    /// A complete value is followed by something else.
    #[error("{0} bytes after the end of the value")]
    TrailingBytes(usize),
    /// Longer than the limit of its kind; nothing of it was read.
    #[error("{actual} bytes exceed the limit of {limit}")]
    TooLong {
        /// The number of bytes received.
        actual: usize,
        /// The largest number accepted.
        limit: usize,
    },
}

/// Encodes a value.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("encoding to memory does not fail for the types of this project")
}

/// How long the encoding of a value is.
pub fn encoded_len<T: Serialize>(value: &T) -> usize {
    postcard::serialize_with_flavor(value, postcard::ser_flavors::Size::default())
        .expect("counting does not fail for the types of this project")
}

/// Decodes a value that occupies all of `bytes`, which may be at most `limit` long.
///
/// It takes at most eight times the memory of `bytes`, and 1 MiB that serde may reserve for a sequence before its elements
/// have actually been read: nothing that peers send takes more, see the tests of the types that come in numbers.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong { actual: bytes.len(), limit });
    }
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|error| CodecError::Malformed(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(CodecError::TrailingBytes(rest.len())) }
}

/// The elements of an encoded sequence one by one, each at most `limit` bytes long: nothing is decoded before it is asked
/// for. The number of them is as announced; the iterator ends with an error where the bytes do not hold so many, or more.
pub fn sequence<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<Sequence<'_, T>, CodecError> {
    let (left, rest) = postcard::take_from_bytes(bytes).map_err(|error| CodecError::Malformed(error.to_string()))?;
    if left == 0 && !rest.is_empty() {
        return Err(CodecError::TrailingBytes(rest.len()));
    }
    Ok(Sequence { rest, left, limit, elements: PhantomData })
}

/// See [`sequence`].
#[derive(Debug, Clone)]
pub struct Sequence<'a, T> {
    rest: &'a [u8],
    left: usize,
    limit: usize,
    elements: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for Sequence<'_, T> {
    type Item = Result<T, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let longest = &self.rest[..self.rest.len().min(self.limit)];
        let (element, after) = match postcard::take_from_bytes(longest) {
            Ok(taken) => taken,
            Err(error) => return Some(Err(CodecError::Malformed(error.to_string()))),
        };
        self.rest = &self.rest[longest.len() - after.len()..];
        if self.left == 0 && !self.rest.is_empty() {
            return Some(Err(CodecError::TrailingBytes(self.rest.len())));
        }
        Some(Ok(element))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T: DeserializeOwned> ExactSizeIterator for Sequence<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_round_trip_and_nothing_may_follow_it() {
        let bytes = encode(&(1u64, "text".to_string()));
        assert_eq!(decode::<(u64, String)>(&bytes, 100), Ok((1, "text".to_string())));
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(decode::<(u64, String)>(&longer, 100), Err(CodecError::TrailingBytes(1)));
        assert_eq!(decode::<(u64, String)>(&bytes, 3), Err(CodecError::TooLong { actual: bytes.len(), limit: 3 }));
    }

    #[test]
    fn a_claimed_length_beyond_the_input_is_an_error() {
        let bytes = encode(&u64::MAX);
        assert!(matches!(decode::<Vec<u8>>(&bytes, 100), Err(CodecError::Malformed(_))));
        assert!(matches!(decode::<String>(&bytes, 100), Err(CodecError::Malformed(_))));
    }

    #[test]
    fn a_sequence_is_decoded_one_by_one_and_refused_where_it_is_not_one() {
        let words = vec!["one".to_string(), "and another".to_string()];
        let bytes = encode(&words);
        let decoded =
            |bytes: &[u8], limit| sequence::<String>(bytes, limit).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        assert_eq!(decoded(&bytes, 12), Ok(words));
        assert!(matches!(decoded(&bytes, 11), Err(CodecError::Malformed(_))), "the second is longer");
        assert!(matches!(decoded(&bytes[..bytes.len() - 1], 12), Err(CodecError::Malformed(_))));
        assert_eq!(decoded(&[bytes.as_slice(), &[0]].concat(), 12), Err(CodecError::TrailingBytes(1)));
        assert_eq!(decoded(&[0, 0], 12), Err(CodecError::TrailingBytes(1)));
        let announced = encode(&u64::MAX);
        assert_eq!(sequence::<String>(&announced, 12).map(|it| it.len()), Ok(usize::MAX), "nothing is reserved for it");
    }
}
