//! A key as people name it.

use std::str::FromStr;

use alloy_primitives::Address;
use dtn_primitives::parse_address;

use crate::secrets::has_private_key;

/// A key, as `--from` names it on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChoice {
    /// One of the development chain's.
    Dev(usize),
    /// In the keystore: a name, an address or a file.
    Stored(String),
    /// Kept by a program that signs for us.
    Remote {
        /// Which of its accounts.
        address: Address,
        /// Where it answers.
        url: String,
    },
}

impl FromStr for KeyChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("dev:") {
            Some(index) => match index.parse() {
                Ok(index @ 0..=9) => Ok(Self::Dev(index)),
                _ => Err("the development keys are dev:0 to dev:9".into()),
            },
            None if has_private_key(text) && !text.contains(['/', std::path::MAIN_SEPARATOR]) => {
                Err("a private key does not belong on the command line; `dtn-cli keys import` encrypts it".into())
            }
            None => match text.strip_prefix("remote:") {
                Some(remote) => {
                    let (address, url) = remote.split_once('@').ok_or("a remote signer is remote:ADDRESS@URL")?;
                    let address = parse_address(address).map_err(|error| format!("the account: {error}"))?;
                    Ok(Self::Remote { address, url: url.into() })
                }
                None => Ok(Self::Stored(text.to_string())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_refused_as_an_argument() {
        assert_eq!("dev:3".parse(), Ok(KeyChoice::Dev(3)));
        assert_eq!("owner-01".parse(), Ok(KeyChoice::Stored("owner-01".into())));
        assert!("dev:10".parse::<KeyChoice>().is_err());
        let remote = "remote:0x0000000000000000000000000000000000000007@http://127.0.0.1:9000";
        let url = "http://127.0.0.1:9000".to_string();
        assert_eq!(remote.parse(), Ok(KeyChoice::Remote { address: Address::with_last_byte(7), url }));
        assert!("remote:http://127.0.0.1:9000".parse::<KeyChoice>().is_err());
        let secret = "07".repeat(32);
        for given in [format!("0x{secret}"), secret.clone(), secret[2..].to_string()] {
            let error = given.parse::<KeyChoice>().expect_err("refused");
            assert!(error.contains("keys import") && !error.contains("0707"));
        }
    }
}
