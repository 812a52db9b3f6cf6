//! How fast this machine hashes, beside the libraries and the prototype's loop.

use std::{num::NonZeroUsize, process::Command, time::Duration};

use dtn_pow::bench::{Measurement, Measurements};
use dtn_report::{Table, left, right};
use serde::Serialize;

use crate::Result;

/// The prototype's loop: a string for each nonce, its digest in hex, its first digits compared. Prints its rate.
const PYTHON_LOOP: &str = "
import hashlib, sys, time
data, end = 'Your transaction data', time.perf_counter() + float(sys.argv[1])
nonce, began = 0, time.perf_counter()
while time.perf_counter() < end:
    for _ in range(1000):
        if hashlib.sha256(f'{data}{nonce}'.encode()).hexdigest().startswith('0' * 64):
            break
        nonce += 1
print(nonce / (time.perf_counter() - began))
";

/// A rate and what it is compared with.
#[derive(Debug, Serialize)]
pub struct Rate {
    /// What hashes.
    pub name: String,
    /// On how many threads.
    pub threads: NonZeroUsize,
    /// What it tries in a second.
    pub hashes_per_second: f64,
    /// Cycles of the processor a hash, at the clock that was measured in the same run.
    pub cycles_per_hash: f64,
    /// Times one compression a nonce by `sha2`.
    pub ratio: f64,
}

/// How fast this machine hashes.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The processor's clock, as it was estimated.
    pub clock_hz: f64,
    /// Everything that hashes.
    pub rates: Vec<Rate>,
    /// Two threads, or as many as there are cores, times one.
    pub threads_ratio: Option<f64>,
    /// The fastest back end on one thread times the prototype's loop, where Python is installed.
    pub python_ratio: Option<f64>,
    /// How long it takes to verify a claim.
    pub verification_ns: u64,
    /// And from cancelling a search until it has ended.
    pub cancellation_us: u64,
}

/// Measures each item for so long, all in one run.
pub fn measure(time: Duration) -> Result<Report> {
    Ok(Report::new(dtn_pow::bench::measure(time)?, python(time)))
}

/// The rate of the prototype's loop; nothing where there is no Python.
fn python(time: Duration) -> Option<f64> {
    let output = Command::new("python3").args(["-c", PYTHON_LOOP, &time.as_secs_f64().to_string()]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

impl Report {
    fn new(measured: Measurements, python: Option<f64>) -> Self {
        let reference = measured.reference();
        let Measurements { clock_hz, one_thread, searches, verification, cancellation } = measured;
        let rate = |Measurement { name, threads, hashes_per_second }: &Measurement| Rate {
            name: name.clone(),
            threads: *threads,
            hashes_per_second: *hashes_per_second,
            cycles_per_hash: clock_hz * threads.get() as f64 / hashes_per_second,
            ratio: hashes_per_second / reference,
        };
        let prototype = python.map(|hashes_per_second| {
            let name = "the prototype's loop, Python".into();
            Measurement { name, threads: NonZeroUsize::MIN, hashes_per_second }
        });
        let rates = prototype.iter().chain(&one_thread).chain(&searches).map(rate).collect();
        let threads_ratio = match searches.as_slice() {
            [one, .., all] => Some(all.hashes_per_second / one.hashes_per_second),
            _ => None,
        };
        let fastest = searches.first().map(|search| search.hashes_per_second);
        Self {
            clock_hz,
            rates,
            threads_ratio,
            python_ratio: fastest.zip(python).map(|(fastest, python)| fastest / python),
            verification_ns: verification.as_nanos() as u64,
            cancellation_us: cancellation.as_micros() as u64,
        }
    }

    /// As people read it.
    pub fn text(&self) -> String {
        let title = format!("Hashing, at an estimated {:.2} GHz", self.clock_hz / 1e9);
        let columns = [left("what"), right("threads"), right("MH/s"), right("cycles a hash"), right("x sha2")];
        let mut table = Table::new(title, columns);
        for rate in &self.rates {
            table.row([
                rate.name.clone(),
                rate.threads.to_string(),
                format!("{:.2}", rate.hashes_per_second / 1e6),
                format!("{:.0}", rate.cycles_per_hash),
                format!("{:.2}", rate.ratio),
            ]);
        }
        let mut text = table.to_string();
        if let Some(ratio) = self.threads_ratio {
            text += &format!("\nall threads: {ratio:.2} x one");
        }
        if let Some(ratio) = self.python_ratio {
            text += &format!("\nagainst the prototype's loop: {ratio:.0} x");
        }
        text += &format!("\nverification of a claim: {} ns", self.verification_ns);
        text += &format!("\nfrom cancelling to the end of a search: {} us", self.cancellation_us);
        text
    }
}
