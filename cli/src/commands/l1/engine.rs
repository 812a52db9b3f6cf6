//! The options of a new network's engine and transport.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dtn_primitives::Mining;

use crate::failure::Coded;

/// What decides which blocks become final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// The validators' primaries propose blocks, and PBFT agrees on them.
    Pbft,
    /// Validators mine blocks, and PBFT makes the confirmed ones final.
    Nakamoto,
    /// The leaders of epochs propose blocks; of three in a row the second is final.
    Streamlet,
    /// The leaders of views propose blocks, and a view that fails is given up by a quorum.
    Simplex,
    /// The leaders of views propose blocks, and everybody talks to them alone.
    #[value(name = "hotstuff2")]
    HotStuff2,
}

impl From<dtn_primitives::Engine> for Engine {
    fn from(named: dtn_primitives::Engine) -> Self {
        match named {
            dtn_primitives::Engine::Pbft => Self::Pbft,
            dtn_primitives::Engine::Nakamoto(_) => Self::Nakamoto,
            dtn_primitives::Engine::Streamlet => Self::Streamlet,
            dtn_primitives::Engine::Simplex => Self::Simplex,
            dtn_primitives::Engine::HotStuff2 => Self::HotStuff2,
        }
    }
}

impl From<Engine> for dtn_simulator::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Pbft => Self::Pbft,
            Engine::Nakamoto => Self::Nakamoto,
            Engine::Streamlet => Self::Streamlet,
            Engine::Simplex => Self::Simplex,
            Engine::HotStuff2 => Self::HotStuff2,
        }
    }
}

/// How the blocks of a new network come about.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct EngineOptions {
    /// What decides which blocks become final; pbft unless told otherwise.
    #[arg(long, value_enum)]
    pub(crate) engine: Option<Engine>,
    /// The time between two mined blocks that the work is adjusted to; 2s unless told otherwise.
    #[arg(long, requires = "engine", value_parser = humantime::parse_duration, value_name = "TIME")]
    block_interval: Option<Duration>,
    /// How many mined blocks have to be on top of one before it is made final; 6 unless told otherwise.
    #[arg(long, requires = "engine", value_name = "BLOCKS")]
    confirmations: Option<u64>,
    /// The expected hashes of the first mined block, 2^26 unless told otherwise; the work is adjusted from there.
    #[arg(long, requires = "engine", value_name = "HASHES")]
    block_work: Option<u64>,
}

/// What miners do unless told otherwise.
const BLOCK_INTERVAL: Duration = Duration::from_secs(2);
const CONFIRMATIONS: u64 = 6;
const BLOCK_WORK: u64 = 1 << 26;

impl EngineOptions {
    /// What the genesis says.
    pub(crate) fn named(&self) -> Result<dtn_primitives::Engine> {
        let Self { engine, block_interval, confirmations, block_work } = *self;
        if engine != Some(Engine::Nakamoto) {
            let unused = block_interval.is_none() && confirmations.is_none() && block_work.is_none();
            let for_miners = "--block-interval, --confirmations and --block-work are for --engine nakamoto";
            ensure!(unused, Coded::argument(for_miners));
            return Ok(match engine {
                Some(Engine::Streamlet) => dtn_primitives::Engine::Streamlet,
                Some(Engine::Simplex) => dtn_primitives::Engine::Simplex,
                Some(Engine::HotStuff2) => dtn_primitives::Engine::HotStuff2,
                None | Some(Engine::Pbft | Engine::Nakamoto) => dtn_primitives::Engine::Pbft,
            });
        }
        let block_interval = block_interval.unwrap_or(BLOCK_INTERVAL);
        Ok(dtn_primitives::Engine::Nakamoto(Mining {
            block_interval_ms: u64::try_from(block_interval.as_millis()).context("such a block interval")?,
            confirmations: confirmations.unwrap_or(CONFIRMATIONS),
            expected_hashes: block_work.unwrap_or(BLOCK_WORK),
        }))
    }
}

/// What peers talk over.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum Transport {
    /// TCP, encrypted by Noise.
    #[default]
    Tcp,
    /// QUIC, over UDP; for a program that was built with `--features quic`.
    Quic,
}

impl From<Transport> for dtn_testbed::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Quic => Self::Quic,
        }
    }
}
