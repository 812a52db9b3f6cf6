//! What the fuzz targets share.

use std::fmt::Debug;

use dtn_primitives::codec;
use serde::{Serialize, de::DeserializeOwned};

/// The largest input that is worth trying.
const LIMIT: usize = 1 << 20;

/// Decoding does not panic, and what it gives encodes to what decodes the same.
pub fn decode<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = codec::decode::<T>(bytes, LIMIT) {
        let encoded = codec::encode(&value);
        assert_eq!(codec::decode::<T>(&encoded, encoded.len()), Ok(value));
    }
}
