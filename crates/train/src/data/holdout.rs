//! How many rows are kept from training.

use std::str::FromStr;

/// How many rows are kept from training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holdout {
    /// So many.
    Rows(u32),
    /// So many hundredths of all.
    Part(u32),
}

impl Holdout {
    /// How many of so many rows.
    pub fn of(self, rows: u32) -> u32 {
        match self {
            Self::Rows(rows) => rows,
            Self::Part(part) => (u64::from(rows) * u64::from(part) / 100).try_into().unwrap_or(rows),
        }
    }
}

impl FromStr for Holdout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rows = |text: &str| text.parse().map_err(|_| "give a number of rows, or a part such as 20%".to_string());
        match text.strip_suffix('%') {
            Some(part) => rows(part).map(Self::Part),
            None => rows(text).map(Self::Rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holdout_is_a_number_or_a_part() {
        assert_eq!("20%".parse(), Ok(Holdout::Part(20)));
        assert_eq!("36".parse(), Ok(Holdout::Rows(36)));
        for wrong in ["", "%", "0.2", "-1", "20 %"] {
            assert!(wrong.parse::<Holdout>().is_err(), "{wrong}");
        }
        assert_eq!((Holdout::Rows(36).of(10), Holdout::Part(20).of(1797)), (36, 359));
        assert_eq!(Holdout::Part(u32::MAX).of(u32::MAX), u32::MAX, "more than there are");
    }
}
