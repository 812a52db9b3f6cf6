//! How people name what is checked.

use std::{fmt, str::FromStr};

use super::{CoinKind, Lie, Textbook};

/// There is nothing of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} {name}; there are {known}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: String,
}

fn named<T: Copy + fmt::Display>(what: &'static str, name: &str, all: &[T]) -> Result<T, UnknownName> {
    all.iter().find(|it| it.to_string() == name).copied().ok_or_else(|| UnknownName {
        what,
        name: name.into(),
        known: all.iter().map(T::to_string).collect::<Vec<_>>().join(", "),
    })
}

impl FromStr for Textbook {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        named("protocol", name, &Self::EVERY)
    }
}

impl FromStr for Lie {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        named("lie", name, &Self::ALL)
    }
}

impl FromStr for CoinKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        named("coin", name, &[Self::Threshold, Self::Dealt, Self::Ideal, Self::Local])
    }
}

impl fmt::Display for CoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threshold => "threshold",
            Self::Dealt => "dealt",
            Self::Ideal => "ideal",
            Self::Local => "local",
        })
    }
}
