//! The one place where the engine that a scenario names becomes a type.

use dtn_consensus::{Nakamoto, Pbft};

use crate::{Observer, Report, Scenario, Subject, world};

/// The engine of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PBFT, for a client.
    Pbft,
    /// Mined blocks, which PBFT makes final.
    Nakamoto,
}

impl Engine {
    /// That of a scenario: miners, if it says how they mine.
    pub fn of(scenario: &Scenario) -> Self {
        if scenario.mining.is_some() { Self::Nakamoto } else { Self::Pbft }
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
    }
}

fn engine<'a, P: Subject>(scenario: &'a Scenario, observer: Option<Observer<'a>>) -> Report {
    match observer {
        Some(observer) => world::observe::<P>(scenario, observer),
        None => world::run::<P>(scenario),
    }
}
