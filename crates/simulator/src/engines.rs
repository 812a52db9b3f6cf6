//! The one place where the engine that a scenario names becomes a type.

use std::fmt;

use dtn_consensus::{HotStuff2, Nakamoto, Pbft, Simplex, Streamlet};
use serde::{Deserialize, Serialize};

use crate::{Observer, Report, Scenario, Subject, world};

/// The engine of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PBFT, for a client.
    Pbft,
    /// Mined blocks, which PBFT makes final.
    Nakamoto,
    /// Streamlet, for a client.
    Streamlet,
    /// Simplex, for a client.
    Simplex,
    /// HotStuff-2, for a client.
    HotStuff2,
}

impl Engine {
    /// As files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pbft => "pbft",
            Self::Nakamoto => "nakamoto",
            Self::Streamlet => "streamlet",
            Self::Simplex => "simplex",
            Self::HotStuff2 => "hotstuff2",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Pbft => "PBFT",
            Self::Nakamoto => "Mined blocks",
            Self::Streamlet => "Streamlet",
            Self::Simplex => "Simplex",
            Self::HotStuff2 => "HotStuff-2",
        }
    }

    /// Those that chain blocks.
    pub const CHAINED: [Self; 3] = [Self::Streamlet, Self::Simplex, Self::HotStuff2];

    /// That of a scenario: if it names none, miners if it says how they mine.
    pub fn of(scenario: &Scenario) -> Self {
        let unnamed = if scenario.mining.is_some() { Self::Nakamoto } else { Self::Pbft };
        scenario.engine.unwrap_or(unnamed)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Plays a scenario to its end, of the engine that it names.
pub fn play(scenario: &Scenario) -> Report {
    dispatch(scenario, None)
}

/// Plays a scenario to its end, of the engine that it names, and tells what happens.
pub fn watch<'a>(scenario: &'a Scenario, observer: Observer<'a>) -> Report {
    dispatch(scenario, Some(observer))
}

fn dispatch<'a>(scenario: &'a Scenario, observer: Option<Observer<'a>>) -> Report {
    match Engine::of(scenario) {
        Engine::Pbft => engine::<Pbft>(scenario, observer),
        Engine::Nakamoto => engine::<Nakamoto>(scenario, observer),
        Engine::Streamlet => engine::<Streamlet>(scenario, observer),
        Engine::Simplex => engine::<Simplex>(scenario, observer),
        Engine::HotStuff2 => engine::<HotStuff2>(scenario, observer),
    }
}

fn engine<'a, P: Subject>(scenario: &'a Scenario, observer: Option<Observer<'a>>) -> Report {
    match observer {
        Some(observer) => world::observe::<P>(scenario, observer),
        None => world::run::<P>(scenario),
    }
}
