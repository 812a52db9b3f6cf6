//! `dtn-cli aow iterate`: so many steps from a start.

use std::time::Instant;

use alloy_primitives::U256;
use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_aow::{Delay, Element, Map, hash_to_field};
use dtn_documents::work::Iterated;

use crate::output;

/// The most steps: an hour of cube roots.
const MAX_STEPS: u64 = 1 << 32;

/// After how many steps the progress is told.
const STRIDE: u64 = 1 << 14;

/// Run a map.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow iterate --start 123 --steps 1048576
  dtn-cli aow iterate --text \"hello world\" --steps 1000 --check
  dtn-cli aow iterate --modulus 1000003 --start 123 --steps 1000
  dtn-cli aow iterate --modulus 1000003 --exponent 3 --alpha 7 --start 123 --steps 5 --trace

Without --modulus, the delay function: x -> cube root of (x - alpha) modulo 2^128 - 45*2^40 + 1, which --check undoes by
cubing. With it, the map of the prototype, x -> x^exponent + alpha.")]
pub(crate) struct Iterate {
    /// Where to begin
    #[arg(long, conflicts_with = "text", required_unless_present = "text")]
    start: Option<U256>,
    /// Begin at the SHA-256 of this text, modulo the field's size
    #[arg(long)]
    text: Option<String>,
    /// How many steps
    #[arg(long)]
    steps: u64,
    /// The size of the field, a prime
    #[arg(long)]
    modulus: Option<U256>,
    /// The power that the prototype's map takes
    #[arg(long, default_value_t = 2, requires = "modulus")]
    exponent: u64,
    /// The constant that a step adds or takes away
    #[arg(long, default_value = "5")]
    alpha: U256,
    /// Undo the steps of the delay function and compare
    #[arg(long, conflicts_with = "modulus")]
    check: bool,
    /// Print all that the steps pass, 10,000 at most
    #[arg(long, requires = "modulus")]
    trace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(iterate: &Iterate) -> Result<()> {
    ensure!((1..=MAX_STEPS).contains(&iterate.steps), "--steps {}: give 1 to 2^32", iterate.steps);
    ensure!(!iterate.trace || iterate.steps <= 10_000, "--trace shows 10,000 steps at most");
    let outcome = match iterate.modulus {
        Some(modulus) => iterate.map(Map::new(modulus, iterate.exponent, iterate.alpha)?)?,
        None => iterate.delay()?,
    };
    if iterate.json { output::json(&outcome) } else { output::line(outcome.table()) }
}

impl Iterate {
    fn begin(&self, modulus: U256) -> U256 {
        let text = || self.text.as_deref().unwrap_or_default();
        self.start.unwrap_or_else(|| hash_to_field(text().as_bytes(), modulus))
    }

    fn map(&self, map: Map) -> Result<Iterated> {
        let start = self.begin(map.modulus());
        let began = Instant::now();
        let result = self.stride(start, |x, steps| map.iterate(x, steps))?;
        let trace = if self.trace { map.trace(start, self.steps as usize)? } else { Vec::new() };
        let name = format!("x^{} + {}", self.exponent, self.alpha);
        Ok(Iterated {
            trace: trace.iter().map(U256::to_string).collect(),
            ..Iterated::new(name, map.modulus(), [start, result], self.steps, began.elapsed())
        })
    }

    fn delay(&self) -> Result<Iterated> {
        let modulus = U256::from(Element::MODULUS);
        let element = |value: U256, name: &str| {
            let small = u128::try_from(value).ok().and_then(Element::new);
            small.with_context(|| format!("{name} {value} is not below the field's size, {modulus}"))
        };
        let delay = Delay::new(element(self.alpha, "--alpha")?);
        let start = element(self.begin(modulus), "--start")?;
        let began = Instant::now();
        let result = self.stride(start, |x, steps| anyhow::Ok(delay.iterate(x, steps)))?;
        let took = began.elapsed();
        let wide = |element: Element| U256::from(element.value());
        let name = format!("cube root of (x - {})", self.alpha);
        let mut outcome = Iterated::new(name, modulus, [wide(start), wide(result)], self.steps, took);
        if self.check {
            let began = Instant::now();
            ensure!(delay.leads(start, self.steps, result), "undoing the steps leads elsewhere");
            outcome.check_ms = Some(began.elapsed().as_secs_f64() * 1e3);
        }
        Ok(outcome)
    }

    /// All steps, with a bar for those who wait.
    fn stride<X, E>(&self, start: X, iterate: impl Fn(X, u64) -> Result<X, E>) -> Result<X, E> {
        let bar = output::progress(self.steps, "steps");
        let (mut x, mut left) = (start, self.steps);
        while left > 0 {
            let steps = left.min(STRIDE);
            x = iterate(x, steps)?;
            left -= steps;
            bar.inc(steps);
        }
        bar.finish_and_clear();
        Ok(x)
    }
}
