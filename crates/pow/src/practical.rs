//! How long work takes, and whether that is worth beginning.

use std::{fmt, time::Duration};

/// A time that work is expected to take. Unlike [`Duration`], it may be longer than anything.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct ExpectedTime {
    seconds: f64,
}

impl ExpectedTime {
    /// In seconds; infinite if nobody hashes.
    pub fn seconds(self) -> f64 {
        self.seconds
    }

    /// In years of 365.25 days.
    pub fn years(self) -> f64 {
        self.seconds / (365.25 * 86_400.0)
    }
}

/// In the greatest unit of which it is at least one, for people.
impl fmt::Display for ExpectedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds;
        match seconds {
            ..1e-3 => write!(f, "{:.0} µs", seconds * 1e6),
            ..1.0 => write!(f, "{:.0} ms", seconds * 1e3),
            ..60.0 => write!(f, "{seconds:.1} s"),
            ..3_600.0 => write!(f, "{:.1} min", seconds / 60.0),
            ..86_400.0 => write!(f, "{:.1} h", seconds / 3_600.0),
            ..31_557_600.0 => write!(f, "{:.1} days", seconds / 86_400.0),
            ..31_557_600_000_000.0 => write!(f, "{:.1} years", self.years()),
            f64::INFINITY => f.write_str("forever"),
            _ => write!(f, "{:.1e} years", self.years()),
        }
    }
}

/// How long so many hashes take at this rate. The time until a solution is exponentially distributed: half of the
/// searches take less than 0.7 times as long, one in twenty takes three times as long.
pub fn expected_time(expected_hashes: f64, hashes_per_second: f64) -> ExpectedTime {
    let seconds = if hashes_per_second > 0.0 { expected_hashes / hashes_per_second } else { f64::INFINITY };
    ExpectedTime { seconds }
}

/// Work that would take longer than whoever asks for it wants to wait.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "{expected_hashes:.3e} hashes at {hashes_per_second:.3e} a second are expected to take {time}, which is more than {limit}"
)]
pub struct Impractical {
    /// What a solution is expected to take.
    pub expected_hashes: f64,
    /// How fast the search would be.
    pub hashes_per_second: f64,
    /// How long that is.
    pub time: ExpectedTime,
    /// How long is not too long.
    pub limit: ExpectedTime,
}

/// Refuses work that is expected to take longer than `limit` at this rate.
pub fn check_practical(expected_hashes: f64, hashes_per_second: f64, limit: Duration) -> Result<(), Impractical> {
    let time = expected_time(expected_hashes, hashes_per_second);
    let limit = ExpectedTime { seconds: limit.as_secs_f64() };
    if time.seconds > limit.seconds {
        return Err(Impractical { expected_hashes, hashes_per_second, time, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn work_that_takes_too_long_is_refused_with_the_time_that_it_takes() {
        assert_eq!(check_practical(1e8, 1e8, Duration::from_secs(1)), Ok(()));
        let error = check_practical(256f64.powi(8), 1e8, DAY).expect_err("thousands of years");
        assert_eq!(error.time.years().round(), 5845.0);
        let message =
            "1.845e19 hashes at 1.000e8 a second are expected to take 5845.4 years, which is more than 1.0 days";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn work_that_nobody_does_takes_forever() {
        for rate in [0.0, -1.0, f64::NAN] {
            let error = check_practical(1.0, rate, DAY).expect_err("never done");
            assert_eq!(error.time.to_string(), "forever");
        }
    }

    #[test]
    fn times_are_written_in_a_unit_that_suits_them() {
        let written = [1e-5, 0.25, 2.0, 90.0, 5_400.0, 129_600.0, 1e8, 1e20].map(|seconds| {
            let time = expected_time(seconds, 1.0);
            assert_eq!(time.seconds(), seconds);
            time.to_string()
        });
        assert_eq!(written, ["10 µs", "250 ms", "2.0 s", "1.5 min", "1.5 h", "1.5 days", "3.2 years", "3.2e12 years"]);
    }
}
