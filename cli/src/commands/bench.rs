//! `dtn-cli bench`: how fast it is, measured on real processes.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use dtn_bench::{gas, l1, primitives, sim};
use dtn_testbed::OwnNetwork;
use serde_json::json;

use crate::{
    commands::l1::engine::{EngineOptions, Transport},
    output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load a network of peers on this machine and measure it
    L1(L1),
    /// Measure what everything else rests on: signatures, hashes and forced writes
    Primitives(Measure),
    /// Measure what each step costs on chain, beside Safe
    Gas(Gas),
    /// Measure the simulator on one thread
    Sim(Sim),
}

/// Load a network of peers on this machine and measure it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli bench l1 --rate 1000 --size 512 --seconds 20
  dtn-cli bench l1 --rates 500,1000,2000,4000 --html report.html
  dtn-cli bench l1 --saturate --opaque --json report.json
  dtn-cli bench l1 --engine simplex --rate 1000
  dtn-cli bench l1 --rate 1000 --crash 1          f backups are killed a third into it
  dtn-cli bench l1 --rate 500 --crash-primary     how long until the next one leads")]
pub(crate) struct L1 {
    /// How many peers.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// Transactions a second; with --opaque items a second.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Several rates, one after the other on the same network.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["rate", "saturate"])]
    rates: Vec<f64>,
    /// Double the rate from --rate on until the network does not keep up.
    #[arg(long)]
    saturate: bool,
    /// The encoded size of a transaction in bytes; with --opaque of an item.
    #[arg(long, default_value_t = 512)]
    size: usize,
    /// Send opaque items of which many share a signature, and count items.
    #[arg(long)]
    opaque: bool,
    /// How many items share a signature; as many as fit without it.
    #[arg(long, requires = "opaque")]
    items: Option<usize>,
    /// How long it is measured.
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// How long the load lasts before it is measured.
    #[arg(long, default_value_t = 3.0)]
    warm_up: f64,
    /// Kill so many peers that are not the primary (SIGKILL) when a third is over.
    #[arg(long, default_value_t = 0, conflicts_with = "crash_primary")]
    crash: usize,
    /// Kill the primary when a third is over.
    #[arg(long)]
    crash_primary: bool,
    /// What the peers talk over.
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    transport: Transport,
    #[command(flatten)]
    engine: EngineOptions,
    /// Write the report there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report there as a page with a chart.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The folder of the network, which must hold none yet and is kept; a temporary one without it.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

/// Measure signatures, hashes and forced writes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dtn-cli bench primitives --size 512")]
pub(crate) struct Measure {
    /// The encoded size of a transaction, in bytes.
    #[arg(long, default_value_t = 512)]
    size: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Where npm puts the wallet that is measured beside ours.
const SAFE: &str = "node_modules/@safe-global/safe-smart-account";

/// Measure what each step costs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli bench gas
  dtn-cli bench gas --json > gas.json

Every figure is a receipt's, on an anvil that ends with the command: 3 of 5 owners and 4 validators unless said. Safe is
measured in the same run where npm has installed its contracts (scripts/setup does); the other wallets' figures are cited in
docs/concepts/benchmarks.md.")]
pub(crate) struct Gas {
    /// The folder of the npm package @safe-global/safe-smart-account
    #[arg(long, value_name = "DIR", default_value = SAFE)]
    safe: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Measure the simulator.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli bench sim
  dtn-cli bench sim --nodes 4,1000 --real-signatures --json

The normal case of PBFT, one block of 100 transactions until all replicas have decided it, under a delay of N(250, 50) ms,
on one thread. The keys of a size are derived before it is measured.")]
pub(crate) struct Sim {
    /// Networks of these sizes
    #[arg(long, value_delimiter = ',', default_values_t = [4, 16, 32, 50, 64, 128, 256, 512, 1000])]
    nodes: Vec<usize>,
    /// Compute signatures instead of counting them
    #[arg(long)]
    real_signatures: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs a `bench` command.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::L1(bench) => network(bench).await,
        Command::Primitives(Measure { size, json }) => {
            let costs = primitives::costs(size, &std::env::temp_dir())?;
            if json { output::json(&costs) } else { output::line(costs.table(size)) }
        }
        Command::Gas(Gas { safe, json }) => {
            let report = gas::measure(&safe, &output::bars()).await?;
            if json {
                return output::json(&json!({ "hardfork": report.hardfork, "rows": report.rows }));
            }
            let mut table = report.table();
            if !report.has_safe {
                let absent = safe.display();
                table.note(format!("Safe was not measured: {absent} is not there; scripts/setup installs it."));
            }
            output::line(table)
        }
        Command::Sim(Sim { nodes, real_signatures, json }) => {
            let rows = sim::measure(&nodes, real_signatures, &output::bars())?;
            if json { output::json(&rows) } else { output::line(sim::table(&rows, real_signatures)) }
        }
    }
}

async fn network(bench: L1) -> Result<()> {
    let plan = l1::Plan {
        nodes: bench.nodes,
        rates: if bench.rates.is_empty() { vec![bench.rate] } else { bench.rates },
        saturate: bench.saturate,
        size: bench.size,
        opaque: bench.opaque,
        items: bench.items,
        seconds: bench.seconds,
        warm_up: bench.warm_up,
        crash: bench.crash,
        crash_primary: bench.crash_primary,
        transport: bench.transport.into(),
        engine: bench.engine.named()?,
    };
    plan.check()?;
    let network = OwnNetwork::at(bench.home.as_deref(), |what| output::note(what))?;
    dtn_testbed::ensure_vacant(network.home())?;
    let bars = output::bars();
    let loaded = |run: &l1::Run| {
        let l1::Latency { p50, p99, .. } = run.latency;
        let (rate, throughput) = (run.rate, run.throughput);
        output::note(format_args!("{rate:>9.0}/s: {throughput:.0}/s final, p50 {p50:.1} ms, p99 {p99:.1} ms"));
    };
    let outcome = crate::interruption::unless_asked(async {
        let report = l1::measure(&plan, network.home(), loaded, &bars).await?;
        show(&report, bench.json, bench.html)
    });
    let outcome = outcome.await;
    network.end(outcome.is_err(), |what| output::note(what)).await?;
    outcome
}

/// Prints what was measured, and writes it where it was asked for.
fn show(report: &l1::Report, json: Option<PathBuf>, html: Option<PathBuf>) -> Result<()> {
    let tables: Vec<_> = report.tables().iter().map(ToString::to_string).collect();
    output::line(format_args!("\n{}", tables.join("\n\n")))?;
    let write = |file: Option<PathBuf>, text: &dyn Fn() -> Result<String>| -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        fs::write(&file, text()?).with_context(|| format!("cannot write {}", file.display()))?;
        output::note(format_args!("report written to {}", file.display()));
        Ok(())
    };
    write(json, &|| Ok(serde_json::to_string_pretty(report)? + "\n"))?;
    write(html, &|| Ok(report.page().to_string()))
}
