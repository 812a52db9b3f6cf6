//! Parts of scenarios as people write them in a line, and scenarios in files.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use dtn_files::{self as files, Access, FileError};
use dtn_simulator::{Crash, Group, Partition, Rate, Region, Scenario, When, training::Setup};
use serde_json::{Value, json};

/// The longest scenario file.
const MAX_FILE: u64 = 1 << 20;

/// Why a line is no part of a scenario.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// It has another form.
    #[error("write {0}")]
    Form(&'static str),
    /// A time in it is none.
    #[error("{0}")]
    Time(#[from] humantime::DurationError),
    /// Something else in it is not what it should be.
    #[error("{0}")]
    Value(String),
}

/// Where replicas are, and what each can send and receive there: `sydney:3`, or `sydney:3@10mbps`.
pub fn region(text: &str) -> Result<Region, PartError> {
    let form = PartError::Form("sydney:3, or sydney:3@10mbps");
    let Some((name, rest)) = text.split_once(':') else { return Err(form) };
    let (nodes, rate) = rest.split_once('@').map_or((rest, None), |(nodes, rate)| (nodes, Some(rate)));
    let Ok(nodes) = nodes.trim().parse() else { return Err(form) };
    let rate = rate.map(Rate::from_str).transpose().map_err(|error| PartError::Value(error.to_string()))?;
    Ok(Region { name: name.trim().to_lowercase(), nodes, up: rate, down: rate })
}

/// A power cut: `3@2s` for good, or `3@2s+5s` until five seconds later.
pub fn crash(text: &str) -> Result<Crash, PartError> {
    let form = PartError::Form("3@2s, or 3@2s+5s");
    let Some((replica, rest)) = text.split_once('@') else { return Err(form) };
    let (at, down) = rest.split_once('+').map_or((rest, None), |(at, down)| (at, Some(down)));
    let Ok(replica) = replica.trim().parse() else { return Err(form) };
    let at = When::from_str(at).map_err(|error| PartError::Value(error.to_string()))?;
    Ok(Crash::new(replica, at, down.map(|down| humantime::parse_duration(down.trim())).transpose()?))
}

/// A time in which groups do not hear each other: `3s..6s:0,1/2,3`, or of regions `3s..6s:sydney`.
pub fn partition(text: &str) -> Result<Partition, PartError> {
    let form = || PartError::Form("3s..6s:0,1/2,3, or 3s..6s:sydney");
    let (time, groups) = text.split_once(':').ok_or_else(form)?;
    let (from, until) = time.split_once("..").ok_or_else(form)?;
    let [from, until] = [from, until].map(|time| humantime::parse_duration(time.trim()));
    let group = |group: &str| {
        let replicas: Result<Vec<_>, _> = group.split(',').map(|replica| replica.trim().parse()).collect();
        match replicas {
            Ok(replicas) => Ok(Group::Replicas(replicas)),
            Err(_) if group.contains(',') || group.trim().is_empty() => Err(form()),
            Err(_) => Ok(Group::Region(group.trim().to_lowercase())),
        }
    };
    let (from, until) = (from?, until?);
    let groups = groups.split('/').map(group).collect::<Result<_, PartError>>()?;
    Ok(Partition::new(from, until, groups))
}

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is not read.
    #[error("{0}")]
    File(#[from] FileError),
    /// It asks for what cannot be.
    #[error("{}, line {line}: {reason}", file.display())]
    Impossible {
        /// The file.
        file: PathBuf,
        /// The line that does.
        line: usize,
        /// Why it cannot be.
        reason: String,
    },
    /// It is none.
    #[error("{} is no scenario\n{reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

impl ScenarioError {
    fn of(file: &Path, error: dtn_simulator::FileError) -> Self {
        let file = file.into();
        match error {
            dtn_simulator::FileError::Impossible { line, impossible } => {
                Self::Impossible { file, line, reason: impossible.to_string() }
            }
            dtn_simulator::FileError::Malformed(reason) => Self::Malformed { file, reason },
        }
    }

    /// Its stable code, for programs, and what belongs to it.
    pub fn code(&self) -> (&'static str, Value) {
        let not_valid = |file: &Path, line| ("not_valid", json!({ "file": file, "line": line }));
        match self {
            Self::File(error) => error.code(),
            Self::Impossible { file, line, .. } => not_valid(file, Some(*line)),
            Self::Malformed { file, .. } => not_valid(file, None),
        }
    }
}

/// Reads a scenario file.
pub fn read(file: &Path) -> Result<Scenario, ScenarioError> {
    let text = files::read_text(file, MAX_FILE)?;
    Scenario::from_toml(&text).map_err(|error| ScenarioError::of(file, error))
}

/// Reads a scenario of training orders.
pub fn training(file: &Path) -> Result<Setup, ScenarioError> {
    let text = files::read_text(file, MAX_FILE)?;
    Setup::from_toml(&text).map_err(|error| ScenarioError::of(file, error))
}

/// Writes a scenario file.
pub fn write(file: &Path, scenario: &Scenario) -> Result<(), FileError> {
    files::write(file, scenario.to_toml().as_bytes(), Access::Shared)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    #[test]
    fn faults_and_regions_are_read_from_options() {
        let sydney = region("sydney:3@10mbps").unwrap();
        assert_eq!((sydney.nodes, sydney.up, sydney.down), (3, Some(Rate::mbps(10.0)), Some(Rate::mbps(10.0))));
        assert_eq!(region("Sydney:3@10mbps").unwrap(), sydney, "a name is a name in any case");
        let second = Duration::from_secs(1);
        let cut = Crash::new(3, When::At(second * 2), Some(second * 5));
        assert_eq!(crash("3@2s+5s").unwrap(), cut);
        assert_eq!(crash("3@2s").unwrap(), Crash { down: None, ..cut });
        let split = partition("3s..6s:0,1/sydney").unwrap();
        assert_eq!((split.from, split.until), (second * 3, second * 6));
        assert_eq!(split.groups, [Group::Replicas(vec![0, 1]), Group::Region("sydney".into())]);
        for bad in ["sydney", "sydney:x", "sydney:3@fast"] {
            assert!(region(bad).is_err(), "{bad}");
        }
        for bad in ["3", "x@2s", "3@soon", "3@2s+x"] {
            assert!(crash(bad).is_err(), "{bad}");
        }
        for bad in ["3s:0", "3s..6s", "3s..x:0", "3s..6s:", "3s..6s:0,x"] {
            assert!(partition(bad).is_err(), "{bad}");
        }
    }
}
