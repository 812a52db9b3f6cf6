//! The items of a transaction of data, in one piece.

use alloy_primitives::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
    ser::SerializeSeq,
};

use crate::MAX_DATA_ITEMS;

/// Opaque items. They are held in one piece, because short ones of their own would take many times the memory of what
/// encodes them, and who decodes does not know yet whom it serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Items {
    bytes: Vec<u8>,
    /// Where each item ends in `bytes`.
    ends: Vec<u32>,
}

impl Items {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin as usize..*end as usize])
    }

    fn push(&mut self, item: &[u8]) {
        self.bytes.extend_from_slice(item);
        self.ends.push(self.bytes.len() as u32);
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Items {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut all = Self::default();
        items.into_iter().for_each(|item| all.push(item.as_ref()));
        all
    }
}

impl<T: AsRef<[u8]>> From<Vec<T>> for Items {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl Serialize for Items {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(self.len()))?;
        for item in self.iter() {
            items.serialize_element(&Bytes::copy_from_slice(item))?;
        }
        items.end()
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = Items;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "at most {MAX_DATA_ITEMS} items, none of them empty")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Items, A::Error> {
                let mut items = Items::default();
                while let Some(item) = sequence.next_element::<Bytes>()? {
                    if items.len() == MAX_DATA_ITEMS || item.is_empty() {
                        return Err(A::Error::invalid_length(items.len() + 1, &self));
                    }
                    items.push(&item);
                }
                Ok(items)
            }
        }

        deserializer.deserialize_seq(Bounded)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::codec::{self, CodecError};

    proptest! {
        #[test]
        fn items_are_encoded_as_a_sequence_of_bytes(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 0..9)) {
            let (sequence, all): (Vec<Bytes>, Items) =
                (items.iter().cloned().map(Bytes::from).collect(), items.clone().into());
            let bytes = codec::encode(&all);
            prop_assert_eq!(&bytes, &codec::encode(&sequence));
            prop_assert_eq!(codec::decode::<Items>(&bytes, bytes.len()), Ok(all.clone()));
            prop_assert!(all.iter().eq(items.iter().map(Vec::as_slice)));
            prop_assert_eq!(serde_json::to_string(&all).unwrap(), serde_json::to_string(&sequence).unwrap());
        }
    }

    #[test]
    fn decoding_takes_no_more_than_eight_times_the_encoded_bytes_however_short_the_items_are() {
        let shortest: Items = vec![[1u8]; MAX_DATA_ITEMS].into();
        let bytes = codec::encode(&shortest);
        let items: Items = codec::decode(&bytes, bytes.len()).unwrap();
        let taken = size_of::<Items>() + items.bytes.capacity() + items.ends.capacity() * size_of::<u32>();
        assert!(taken <= 8 * bytes.len(), "{} bytes take {taken}", bytes.len());
    }

    #[test]
    fn empty_items_and_too_many_are_refused_before_they_are_taken_in() {
        for items in [vec![Bytes::new()], vec![Bytes::from_static(b"a"); MAX_DATA_ITEMS + 1]] {
            let bytes = codec::encode(&items);
            assert!(matches!(codec::decode::<Items>(&bytes, bytes.len()), Err(CodecError::Malformed(_))));
        }
        // 4 MiB that claim to be empty items.
        let nothing = [codec::encode(&(4u64 << 20)), vec![0; 4 << 20]].concat();
        assert!(codec::decode::<Items>(&nothing, nothing.len()).is_err());
    }
}
