//! `dtn-cli pow`: proofs of work, by hand and in races.

mod bench;
mod check;
mod ledger;
mod mine;
mod puzzle;
mod report;
mod seed;
mod serve;
mod verify;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run peers that take in lines and race for each, and print each race's end
    Serve(serve::Serve),
    /// Print the ledger, one entry for each race that is over, or check a file of it
    Ledger(ledger::ShowLedger),
    /// Compare how the nodes do in their races
    Report(report::Compare),
    /// Search for the lowest nonce that solves a puzzle
    Mine(mine::Mine),
    /// Say whether a nonce solves a puzzle
    Verify(verify::Verify),
    /// Measure how fast this machine hashes
    Bench(bench::Bench),
}

/// Runs a `pow` command.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(serve) => serve::run(serve).await,
        Command::Ledger(show) => ledger::run(show).await,
        Command::Report(compare) => report::run(compare).await,
        Command::Mine(mine) => mine::run(mine).await,
        Command::Verify(verify) => verify::run(&verify),
        Command::Bench(bench) => bench::run(&bench),
    }
}

/// A time in microseconds since the Unix epoch as Python's `%Y-%m-%d %H:%M:%S.%f` has it, in UTC.
fn timestamp(us: u64) -> String {
    /// The last microsecond of the year 9999: the calendar that people use has an end.
    const LAST: u64 = 253_402_300_799_999_999;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_micros(us.min(LAST));
    humantime::format_rfc3339_micros(time).to_string().replace('T', " ").replace('Z', "")
}
