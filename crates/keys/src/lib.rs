//! Keys: encrypted in a folder, known to everyone for development, as people name them, and those for BLS.
//!
//! A validator has one secret key. All else follows from it: its address, its id among peers, and its BLS key. So what is
//! kept here is kept once: a [`Keystore`] is a folder of encrypted keys, each opened by a [`Password`], and a [`KeyChoice`] is
//! what a person writes to mean one.

pub mod bls;
mod choice;
mod dev;
mod keystore;
mod password;
mod secrets;

pub use choice::KeyChoice;
pub use dev::{DEV_KEYS, dev_key};
pub use keystore::{KeyInfo, Keystore, KeystoreError, parse_secret_key};
pub use password::Password;
pub use secrets::{has_private_key, without_private_keys};
