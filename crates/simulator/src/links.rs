//! How long messages are under way, and what a link carries.

use std::{fmt, str::FromStr, time::Duration};

use rand::{Rng, rngs::StdRng};
use rand_distr::{Distribution, LogNormal, Normal};
use serde_with::{DeserializeFromStr, SerializeDisplay};

/// The propagation delay of messages. As text: `constant:40ms`, `uniform:35ms..350ms`, `normal:250ms,50ms`,
/// `log-normal:100ms,0.5`, `regions`; `350ms` alone is `uniform:35ms..350ms`, as the FPBFT simulator has it.
#[derive(Debug, Clone, Copy, PartialEq, SerializeDisplay, DeserializeFromStr)]
pub enum Latency {
    /// The same for all.
    Constant(Duration),
    /// Any in a range, its ends included.
    Uniform {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// Around a mean; what would be negative is zero.
    Normal {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        deviation: Duration,
    },
    /// With a long tail.
    LogNormal {
        /// Half of all messages take longer.
        median: Duration,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
    /// That between the regions of sender and receiver.
    Regions,
}

impl Latency {
    /// Any time from a tenth of the longest up, as the FPBFT simulator has it.
    pub fn up_to(most: Duration) -> Self {
        Self::Uniform { least: most / 10, most }
    }

    /// A time that few messages exceed.
    pub(crate) fn most(&self) -> Duration {
        match self {
            Self::Constant(delay) => *delay,
            Self::Uniform { most, .. } => *most,
            Self::Normal { mean, deviation } => *mean + *deviation * 3,
            Self::LogNormal { median, sigma } => seconds(median.as_secs_f64() * (3.0 * sigma).exp()),
            Self::Regions => Duration::from_millis(200),
        }
    }

    /// The delay of one message; that between regions is the caller's business.
    pub fn sample(&self, rng: &mut StdRng) -> Duration {
        match self {
            Self::Constant(delay) => *delay,
            Self::Uniform { least, most } => between(*least, *most, rng),
            Self::Normal { mean, deviation } => {
                let normal = Normal::new(mean.as_secs_f64(), deviation.as_secs_f64());
                seconds(normal.map_or(mean.as_secs_f64(), |normal| normal.sample(rng)))
            }
            Self::LogNormal { median, sigma } => {
                let distribution = LogNormal::new(median.as_secs_f64().ln(), *sigma);
                seconds(distribution.map_or(median.as_secs_f64(), |distribution| distribution.sample(rng)))
            }
            Self::Regions => Duration::ZERO,
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |duration: &Duration| humantime::format_duration(*duration).to_string().replace(' ', "");
        match self {
            Self::Constant(delay) => write!(f, "constant:{}", text(delay)),
            Self::Uniform { least, most } => write!(f, "uniform:{}..{}", text(least), text(most)),
            Self::Normal { mean, deviation } => write!(f, "normal:{},{}", text(mean), text(deviation)),
            Self::LogNormal { median, sigma } => write!(f, "log-normal:{},{sigma}", text(median)),
            Self::Regions => f.write_str("regions"),
        }
    }
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let pair = |separator| rest.split_once(separator).ok_or_else(|| format!("{text}: two values are needed"));
        Ok(match name {
            "regions" if rest.is_empty() => Self::Regions,
            "constant" => Self::Constant(delay(rest)?),
            "uniform" => {
                let (least, most) = pair("..")?;
                Self::Uniform { least: delay(least)?, most: delay(most)? }
            }
            "normal" => {
                let (mean, deviation) = pair(",")?;
                Self::Normal { mean: delay(mean)?, deviation: delay(deviation)? }
            }
            "log-normal" => {
                let (median, sigma) = pair(",")?;
                let sigma = sigma.trim().parse().map_err(|_| format!("{text}: {sigma} is no number"))?;
                Self::LogNormal { median: delay(median)?, sigma }
            }
            _ => Self::up_to(delay(text).map_err(|error| {
                format!(
                    "{error}; write 350ms, constant:40ms, uniform:35ms..350ms, normal:250ms,50ms, log-normal:100ms,0.5 \
                     or regions"
                )
            })?),
        })
    }
}

/// A duration; a number alone is milliseconds.
fn delay(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let not = |reason: &dyn fmt::Display| format!("{text:?} is no latency: {reason}");
    match text.parse::<f64>() {
        Ok(ms) if ms.is_finite() && ms >= 0.0 => Duration::try_from_secs_f64(ms / 1e3).map_err(|error| not(&error)),
        Ok(_) => Err(not(&"give 0 or more")),
        Err(_) => humantime::parse_duration(text).map_err(|error| not(&error)),
    }
}

/// What a link carries in bits a second; 0 for no limit. As text: `30mbps`, `1gbps`, `100kbps`, `unlimited`; a number
/// alone is Mbit/s.
#[derive(Debug, Clone, Copy, PartialEq, SerializeDisplay, DeserializeFromStr)]
pub struct Rate(f64);

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(0.0);

    /// So many megabits a second.
    pub fn mbps(mbps: f64) -> Self {
        Self(mbps * 1e6)
    }

    /// Megabits a second; 0 for no limit.
    pub fn as_mbps(self) -> f64 {
        self.0 / 1e6
    }

    /// Bytes a second, if there is a limit.
    pub fn bytes_per_second(self) -> Option<f64> {
        (self.0 > 0.0).then_some(self.0 / 8.0)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0.0 => f.write_str("unlimited"),
            bits if bits >= 1e9 => write!(f, "{}gbps", bits / 1e9),
            bits if bits >= 1e6 => write!(f, "{}mbps", bits / 1e6),
            bits => write!(f, "{}kbps", bits / 1e3),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        if lower == "unlimited" {
            return Ok(Self::UNLIMITED);
        }
        let units = [("gbps", 1e9), ("mbps", 1e6), ("kbps", 1e3), ("", 1e6)];
        let split = units.iter().find_map(|(name, unit)| Some((lower.strip_suffix(name)?.trim(), unit)));
        let number = split.and_then(|(number, unit)| Some(number.parse::<f64>().ok()? * unit));
        let Some(bits) = number.filter(|bits| bits.is_finite() && *bits >= 0.0) else {
            return Err(format!("{text:?} is no bandwidth: write 30mbps, 1gbps, 100kbps, or 0 for no limit"));
        };
        if bits != 0.0 && !(1e3..=1e12).contains(&bits) {
            return Err(format!("{text:?} is outside of 1 kbps to 1 Tbps"));
        }
        Ok(Self(bits))
    }
}

pub(crate) fn between(least: Duration, most: Duration, rng: &mut StdRng) -> Duration {
    let span = most.saturating_sub(least).as_micros() as u64;
    least + Duration::from_micros(rng.random_range(0..=span))
}

/// Never negative, and no longer than a century.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 3.2e9))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn statistics(latency: &str) -> (f64, f64) {
        let latency: Latency = latency.parse().expect("a latency");
        let mut rng = StdRng::seed_from_u64(1);
        let samples: Vec<_> = (0..100_000).map(|_| latency.sample(&mut rng).as_secs_f64()).collect();
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / samples.len() as f64;
        (mean, variance.sqrt())
    }

    fn near(actual: f64, expected: f64) -> bool {
        (actual - expected).abs() <= 0.01 * expected
    }

    #[test]
    fn every_latency_has_the_mean_and_the_spread_that_it_says() {
        let (mean, spread) = statistics("constant:40ms");
        assert!(near(mean, 0.040) && spread < 1e-9, "{mean} {spread}");
        for uniform in ["350ms", "350", "uniform:35ms..350ms"] {
            let (mean, spread) = statistics(uniform);
            assert!(near(mean, 0.1925) && near(spread, 0.315 / 12f64.sqrt()), "{mean} {spread}");
        }
        let (mean, spread) = statistics("normal:250ms,50ms");
        assert!(near(mean, 0.250) && near(spread, 0.050), "{mean} {spread}");
        let (mean, spread) = statistics("log-normal:100ms,0.5");
        let expected = 0.1 * 0.125f64.exp();
        assert!(near(mean, expected) && near(spread, expected * (0.25f64.exp() - 1.0).sqrt()), "{mean} {spread}");
    }

    #[test]
    fn latencies_and_rates_are_written_as_they_are_read() {
        for text in ["constant:40ms", "uniform:35ms..350ms", "normal:250ms,50ms", "log-normal:100ms,0.5", "regions"] {
            assert_eq!(text.parse::<Latency>().map(|latency| latency.to_string()), Ok(text.into()));
        }
        for bad in ["-1", "nan", "inf", "far", "uniform:35ms", "normal:1ms", "log-normal:1ms,x", "constant:", "region"]
        {
            assert!(bad.parse::<Latency>().is_err(), "{bad}");
        }
        for (text, mbps, written) in [
            ("30mbps", 30.0, "30mbps"),
            ("30", 30.0, "30mbps"),
            ("1Gbps", 1000.0, "1gbps"),
            ("100 kbps", 0.1, "100kbps"),
            ("0", 0.0, "unlimited"),
        ] {
            let rate: Rate = text.parse().expect("a rate");
            assert_eq!((rate.as_mbps(), rate.to_string().as_str()), (mbps, written), "{text}");
        }
        for bad in ["-1", "nan", "fast", "1e9gbps", "0.1kbps", "mbps"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
