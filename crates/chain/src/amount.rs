//! Amounts of native currency as people write them: `0.5ether`, `10gwei`, `21000wei`, `21000`.

use std::fmt;

use alloy::primitives::U256;
use serde::{
    Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with an optional unit.
    #[error("`{0}` is not an amount; write it like 0.5ether, 10gwei or 21000wei")]
    Malformed(String),
    /// A unit that is not known.
    #[error("`{0}` is not a unit of currency; use ether (or eth, bnb), gwei or wei")]
    UnknownUnit(String),
    /// Finer than one wei.
    #[error("`{0}` has a fraction of a wei")]
    TooFine(String),
    /// More than 256 bits.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

fn decimals(unit: &str) -> Option<usize> {
    match unit.to_ascii_lowercase().as_str() {
        "ether" | "eth" | "bnb" => Some(18),
        "gwei" => Some(9),
        "wei" | "" => Some(0),
        _ => None,
    }
}

/// Reads an amount; without a unit it is in wei. Nothing is rounded.
pub fn parse_amount(text: &str) -> Result<U256, AmountError> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(trimmed.len());
    let (number, unit) = (trimmed[..split].trim_end(), &trimmed[split..]);
    let places = decimals(unit).ok_or_else(|| AmountError::UnknownUnit(unit.to_string()))?;

    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if !is_digits(whole) || (number.contains('.') && !is_digits(fraction)) {
        return Err(AmountError::Malformed(text.to_string()));
    }
    let fraction = fraction.replace('_', "");
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return Err(AmountError::TooFine(text.to_string()));
    }
    let digits = format!("{}{fraction:0<places$}", whole.replace('_', ""));
    U256::from_str_radix(&digits, 10).map_err(|_| AmountError::TooLarge(text.to_string()))
}

/// Digits, with underscores between digits only.
fn is_digits(part: &str) -> bool {
    part.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Shows an amount in the largest unit that keeps it short, exactly.
pub fn format_amount(wei: U256) -> String {
    let gwei = U256::from(1_000_000_000u64);
    let (unit, places) = match wei {
        wei if wei.is_zero() => return "0".to_string(),
        wei if wei < U256::from(1_000u64) => ("wei", 0),
        wei if wei < gwei * U256::from(1_000u64) => ("gwei", 9),
        _ => ("ether", 18),
    };
    let digits = format!("{wei:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{unit}"),
        fraction => format!("{whole}.{fraction}{unit}"),
    }
}

/// For serde: an amount in a text, as in a table, in which a large number must not become one with a fraction.
pub fn deserialize_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    deserializer.deserialize_str(Written)
}

/// Reads an amount from a configuration file that has to fit into 64 bits.
pub(crate) fn deserialize_wei<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let amount = deserializer.deserialize_any(Written)?;
    amount.try_into().map_err(|_| D::Error::custom(format!("{amount} wei are more than 18.4ether")))
}

/// What an amount may be written as.
struct Written;

impl Visitor<'_> for Written {
    type Value = U256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount, as \"0.5ether\", \"10gwei\" or a whole number of wei")
    }

    fn visit_u64<E: Error>(self, wei: u64) -> Result<U256, E> {
        Ok(U256::from(wei))
    }

    fn visit_i64<E: Error>(self, wei: i64) -> Result<U256, E> {
        u64::try_from(wei).map(U256::from).map_err(|_| E::invalid_value(Unexpected::Signed(wei), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<U256, E> {
        parse_amount(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        let cases = [
            ("0", 0u128),
            ("21000", 21_000),
            ("21_000wei", 21_000),
            ("10gwei", 10_000_000_000),
            ("0.1 gwei", 100_000_000),
            ("0.5ether", 500_000_000_000_000_000),
            ("1eth", 1_000_000_000_000_000_000),
            ("1.50BNB", 1_500_000_000_000_000_000),
            ("0.000000000000000001ether", 1),
        ];
        for (text, wei) in cases {
            assert_eq!(parse_amount(text), Ok(U256::from(wei)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_its_reason() {
        for text in [
            "",
            "ether",
            ".5ether",
            "1.ether",
            "-1",
            "+1",
            "1e3gwei",
            "0x10",
            "_",
            "_ether",
            "1_",
            "1__0",
            "1._5ether",
            "１２",
            "1..2ether",
            "1 2",
        ] {
            assert!(parse_amount(text).is_err(), "{text}");
        }
        assert_eq!(parse_amount("1.5wei"), Err(AmountError::TooFine("1.5wei".into())));
        assert_eq!(parse_amount("3apples"), Err(AmountError::UnknownUnit("apples".into())));
        let large = format!("1{}", "0".repeat(78));
        assert_eq!(parse_amount(&large), Err(AmountError::TooLarge(large.clone())));
    }

    #[test]
    fn amounts_are_shown_so_that_they_read_back() {
        for wei in [0u128, 1, 999, 1_000, 21_000, 10_000_000_000, 1_500_000_000_000_000_000, u128::MAX] {
            let wei = U256::from(wei);
            assert_eq!(parse_amount(&format_amount(wei)), Ok(wei), "{}", format_amount(wei));
        }
        assert_eq!(format_amount(U256::from(500_000_000_000_000_000u128)), "0.5ether");
        assert_eq!(format_amount(U256::from(100_000_000u128)), "0.1gwei");
    }
}
