//! Addresses as people write them.
//!
//! Mixed case is a checksum (EIP-55): one that is wrong is a typing error, and money sent there is lost. All lower or all
//! upper case has none, and is taken as it is.

use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, de::Error};

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not 20 bytes in hexadecimal.
    #[error("`{0}` is no address: 40 hexadecimal digits after 0x")]
    Malformed(String),
    /// Its letters are neither of one case nor its checksum (EIP-55).
    #[error("`{given}` has a typing error: with these digits its checksum (EIP-55) would be {right}")]
    Checksum {
        /// What was written.
        given: String,
        /// The same digits with their checksum.
        right: Address,
    },
}

/// Reads an address.
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let text = text.trim();
    let address: Address = text.parse().map_err(|_| AddressError::Malformed(text.chars().take(100).collect()))?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let has = |of: fn(&u8) -> bool| digits.as_bytes().iter().any(of);
    let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    match is_mixed && address.to_checksum(None)[2..] != *digits {
        true => Err(AddressError::Checksum { given: text.into(), right: address }),
        false => Ok(address),
    }
}

/// For serde: an address that a person may have written.
pub fn deserialize_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    parse_address(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// For serde: the same, of several.
pub fn deserialize_addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| parse_address(text).map_err(D::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The examples of EIP-55.
    const RIGHT: [&str; 4] = [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
    ];

    #[test]
    fn one_case_or_the_checksum_is_an_address_and_everything_else_a_typing_error() {
        for right in RIGHT {
            let address: Address = right.parse().unwrap();
            let (lower, upper) = (right.to_lowercase(), format!("0x{}", right[2..].to_uppercase()));
            for text in [right, &lower, &upper, &right[2..], &format!(" {right}\n")] {
                assert_eq!(parse_address(text), Ok(address), "{text}");
            }
        }
        let right = RIGHT[0];
        for place in 2..right.len() {
            let digit = if right.as_bytes()[place] == b'0' { "1" } else { "0" };
            let wrong = [&right[..place], digit, &right[place + 1..]].concat();
            let AddressError::Checksum { given, right } = parse_address(&wrong).unwrap_err() else { panic!("{wrong}") };
            assert!(given == wrong && parse_address(&right.to_string()).is_ok());
        }
        for text in ["", "0x", "vitalik.eth", "bnb:0x52908400098527886E0F7030069857D2E4169EE7", &right[..41], "0x1"] {
            assert!(matches!(parse_address(text), Err(AddressError::Malformed(_))), "{text}");
        }
    }
}
