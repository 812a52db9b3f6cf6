//! Kinds of work: which rules a result comes from, and so what shows that it was earned.

use std::{fmt, str::FromStr};

use alloy_primitives::keccak256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The first number that is not this project's to give: names become numbers from here on.
const FIRST_CUSTOM: u32 = 1 << 31;

/// The longest name of a kind of work, in bytes.
pub const MAX_KIND_NAME_BYTES: usize = 32;

/// A kind of work, by its number. It is hashed into every result, and the distributor contract decides by it what a result
/// must show before it is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u32);

/// A kind of work that has no such name or number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// The name is empty, too long, or has other signs.
    #[error("{0:?} names no kind of work: a name is 1 to {MAX_KIND_NAME_BYTES} of the signs a-z, 0-9 and -")]
    Name(String),
    /// The name is one of this project's own kinds.
    #[error("{0} is a kind of work that every network has: choose another name")]
    Reserved(Kind),
    /// The text is neither a name of this project's kinds nor a number.
    #[error("{0:?} is no kind of work: it is race, round, batch, earnings, or a number like 0x80000000")]
    Unknown(String),
}

impl Kind {
    /// A race for an order or a line: the SHA-256 puzzle.
    pub const RACE: Self = Self(1);
    /// A round of sequential work.
    pub const ROUND: Self = Self(2);
    /// No work but a list of payouts, which the validators vouch for.
    pub const BATCH: Self = Self(3);
    /// No work but a statement of the ledger: what all accounts have earned in it since the beginning.
    pub const EARNINGS: Self = Self(4);

    const NAMES: [(Self, &'static str); 4] =
        [(Self::RACE, "race"), (Self::ROUND, "round"), (Self::BATCH, "batch"), (Self::EARNINGS, "earnings")];

    /// The custom kind of work with this name: the first four bytes of `keccak256("DTN/kind/" ‖ name)` with the
    /// highest bit set.
    pub fn of_name(name: &str) -> Result<Self, KindError> {
        if let Some((known, _)) = Self::NAMES.iter().find(|(_, known)| *known == name) {
            return Err(KindError::Reserved(*known));
        }
        let sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=MAX_KIND_NAME_BYTES).contains(&name.len()) || !name.bytes().all(sign) {
            return Err(KindError::Name(name.into()));
        }
        let [a, b, c, d, ..] = keccak256(["DTN/kind/", name].concat()).0;
        Ok(Self(u32::from_be_bytes([a, b, c, d]) | FIRST_CUSTOM))
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether it is one of this project's own, or may be a custom one.
    pub fn is_known(self) -> bool {
        self.is_custom() || Self::NAMES.iter().any(|(known, _)| *known == self)
    }

    /// Whether it is a custom kind, none of this project's own: the certificate is all that shows such work on chain.
    pub const fn is_custom(self) -> bool {
        self.0 >= FIRST_CUSTOM
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(kind, _)| kind == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        if let Some((kind, _)) = Self::NAMES.iter().find(|(_, name)| *name == text) {
            return Ok(*kind);
        }
        let number = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or_else(|| KindError::Unknown(text.into()))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        u32::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::codec;

    #[test]
    fn the_name_of_a_custom_kind_is_a_number_that_is_none_of_ours() {
        let kind = Kind::of_name("matrix-product").unwrap();
        assert!(
            kind.is_custom()
                && ![Kind::RACE, Kind::ROUND, Kind::BATCH, Kind::EARNINGS].iter().any(|ours| ours.is_custom())
        );
        let [a, b, c, d, ..] = keccak256("DTN/kind/matrix-product").0;
        assert_eq!(kind.number(), u32::from_be_bytes([a | 0x80, b, c, d]));
        assert_ne!(Kind::of_name("matrix-sum"), Ok(kind));
        assert!(kind.is_known() && Kind::BATCH.is_known() && ![Kind(0), Kind(5)].iter().any(|it| it.is_known()));
        for name in ["", "Upper", "a b", "ä", &"a".repeat(33)] {
            assert_eq!(Kind::of_name(name), Err(KindError::Name(name.into())));
        }
        assert_eq!(Kind::of_name("race"), Err(KindError::Reserved(Kind::RACE)));
    }

    #[test]
    fn text_and_bytes_of_a_kind_lead_back_to_it() {
        for kind in [Kind::RACE, Kind::ROUND, Kind::BATCH, Kind::EARNINGS, Kind::of_name("x").unwrap(), Kind(9)] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!((json.clone(), serde_json::from_str(&json).ok()), (format!("\"{kind}\""), Some(kind)));
            assert_eq!(codec::decode(&codec::encode(&kind), 5), Ok(kind));
        }
        assert_eq!("0x1".parse(), Ok(Kind::RACE));
        for text in ["", "rounds", "7", "0x", "0x100000000"] {
            assert_eq!(text.parse::<Kind>(), Err(KindError::Unknown(text.into())));
        }
    }
}
