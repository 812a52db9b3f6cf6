//! Amounts in JSON: text in hexadecimal, as many readers of JSON have no numbers of this size.

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub(crate) fn serialize<S: Serializer>(amount: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    U256::from(*amount).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    U256::deserialize(deserializer)?.try_into().map_err(|_| D::Error::custom("an amount has 128 bits at most"))
}
