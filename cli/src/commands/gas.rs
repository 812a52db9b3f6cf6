//! `dtn-cli gas`: what the transactions cost.

use std::path::PathBuf;

use alloy_primitives::U256;
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use dtn_chain::{
    Chain,
    gas_ledger::{GasLedger, GasRecord, GasRecords, TransactionStatus, summarize},
    preflight,
};
use dtn_documents::gas::{GasReport, csv};
use dtn_peer::files::{self, Access};

use crate::{
    context::{Context, amount},
    failure::Coded,
    output,
};

/// Ledgers are looked for this many folders below `--home`.
const DEPTH: usize = 4;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli gas
  dtn-cli gas --file net/peers/0/gas.jsonl --file net/peers/1/gas.jsonl
  dtn-cli gas --network mainnet --token-price 612.50
  dtn-cli gas --gas-price 0.1gwei --token-price 612.50          (what the same would cost there)
  dtn-cli gas --csv gas.csv --html gas.html
  dtn-cli gas --json

Every transaction is written down before it is sent. Those whose receipt is not known yet are looked up now.")]
pub(crate) struct Gas {
    /// A gas ledger [default: all files named gas.jsonl under --home]
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// The price of one native token, for the cost in your currency
    #[arg(long, value_name = "PRICE", value_parser = price)]
    token_price: Option<f64>,
    /// Compute fees at this price of gas, such as 0.1gwei, in place of what was paid
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    gas_price: Option<U256>,
    /// Write every transaction to a table for other programs
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Report what is recorded without asking the node for missing receipts
    #[arg(long)]
    offline: bool,
}

fn price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() && price >= 0.0 => Ok(price),
        _ => Err("a price is a number such as 612.50".into()),
    }
}

/// Those that were named, or all below the folder. What is none is no empty one.
fn ledgers(args: &Gas, context: &Context) -> Result<Vec<GasLedger>> {
    let home = &context.home;
    if args.file.is_empty() {
        let nothing = format!("{} is not there, so nothing was recorded in it", home.display());
        ensure!(files::exists(home)?, Coded::not_valid(home, None, nothing));
        return Ok(GasLedger::below(home, DEPTH)?);
    }
    for file in &args.file {
        let shown = file.display();
        ensure!(files::exists(file)?, Coded::not_valid(file, None, format!("there is no gas ledger {shown}")));
        let GasRecords { records, torn_lines } = GasLedger::new(file).read()?;
        let is_other = records.is_empty() && torn_lines > 1;
        let what = format!("{shown} is no gas ledger: none of its lines is a record");
        ensure!(!is_other, Coded::not_valid(file, None, what));
    }
    Ok(args.file.iter().map(GasLedger::new).collect())
}

pub(crate) async fn run(args: Gas, context: &Context) -> Result<()> {
    let network = context.network()?;
    let ledgers = ledgers(&args, context)?;
    let of_network = |record: &GasRecord| record.chain_id == network.chain_id;
    let open = |record: &GasRecord| of_network(record) && record.status == TransactionStatus::Pending;

    let mut hardfork = None;
    if !args.offline {
        match Chain::connect(&network).await {
            Ok(chain) => {
                hardfork = preflight::hardfork(&chain).await.ok();
                if GasRecords::of(&ledgers)?.records.iter().any(open) {
                    for ledger in &ledgers {
                        ledger.reconcile(&chain).await.context("looking up missing receipts")?;
                    }
                }
            }
            Err(error) => output::note(format_args!("Missing receipts were not looked up: {error}")),
        }
    }
    let GasRecords { mut records, torn_lines } = GasRecords::of(&ledgers)?;
    records.retain(of_network);
    if let Some(file) = &args.csv {
        files::write(file, &csv(&records)?, Access::Shared)?;
    }
    let report = GasReport {
        without_receipt: records.iter().filter(|record| open(record)).count(),
        summary: summarize(&records),
        gas_price: args.gas_price,
        token_price: args.token_price,
        network: network.name,
        chain_id: network.chain_id,
        hardfork,
        torn_lines,
    };
    if let Some(file) = &args.html {
        files::write(file, report.page().to_string().as_bytes(), Access::Shared)?;
    }
    if context.json { output::json(&report.json(&records)) } else { output::line(report.table()) }
}
