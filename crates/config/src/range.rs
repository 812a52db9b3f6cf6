//! Numbers that make no sense.

use std::ops::RangeInclusive;

/// A number of a configuration that is none of those that make sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not in {least}..={most}")]
pub struct OutOfRange {
    /// Its key.
    pub key: &'static str,
    /// The number.
    pub value: u64,
    /// The least that is allowed.
    pub least: u64,
    /// The most that is.
    pub most: u64,
}

impl OutOfRange {
    /// Fails if a number is out of range.
    pub fn check(key: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<(), Self> {
        let (least, most) = range.into_inner();
        if (least..=most).contains(&value) { Ok(()) } else { Err(Self { key, value, least, most }) }
    }
}
