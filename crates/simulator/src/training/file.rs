//! Setups as files.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{Setup, Strategy, Tactic};
use crate::{FileError, Latency};

/// What a file may hold; what it leaves out is as it is without it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    about: String,
    accounts: Option<usize>,
    orders: Option<u64>,
    seed: Option<u64>,
    redundancy: Option<u8>,
    stake: Option<f64>,
    run_cost: Option<f64>,
    colluders: Option<f64>,
    tactic: Option<Tactic>,
    watched: Option<bool>,
    real: Option<bool>,
    latency: Option<Latency>,
    #[serde(with = "humantime_serde::option")]
    block_interval: Option<Duration>,
    /// The part of the accounts that each strategy has.
    deviate: BTreeMap<Strategy, f64>,
}

impl Setup {
    /// Reads a scenario. Whether it can be played is for [`play`](super::play) to say.
    ///
    /// # Errors
    ///
    /// If it is not TOML, or has something in it that a scenario does not have.
    pub fn from_toml(text: &str) -> Result<Self, FileError> {
        let malformed = |error: toml::de::Error| FileError::Malformed(error.to_string().trim_end().to_string());
        let file: File = toml::from_str(text).map_err(malformed)?;
        let setup = file.accounts.map_or_else(Self::default, Self::of);
        Ok(Self {
            about: file.about,
            orders: file.orders.unwrap_or(setup.orders),
            seed: file.seed.unwrap_or(setup.seed),
            redundancy: file.redundancy.unwrap_or(setup.redundancy),
            stake: file.stake.unwrap_or(setup.stake),
            run_cost: file.run_cost.unwrap_or(setup.run_cost),
            deviations: file.deviate.into_iter().collect(),
            colluders: file.colluders.unwrap_or(setup.colluders),
            tactic: file.tactic.unwrap_or(setup.tactic),
            watched: file.watched.unwrap_or(setup.watched),
            real: file.real.unwrap_or(setup.real),
            latency: file.latency.unwrap_or(setup.latency),
            block_interval: file.block_interval.unwrap_or(setup.block_interval),
            ..setup
        })
    }
}
