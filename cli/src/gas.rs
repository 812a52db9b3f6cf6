//! `dtn-cli gas`: what the transactions cost.

use std::path::{Path, PathBuf};

use alloy_primitives::U256;
use anyhow::{Context as _, Result};
use clap::Args;
use dtn_report::{Table, left, right, units};
use dtn_settlement::{
    Chain,
    gas_ledger::{GasLedger, GasRecord, GasRecords, TransactionStatus, summarize},
};
use serde_json::json;

use crate::{context::Context, output};

/// Ledgers are looked for this many folders below `--home`.
const DEPTH: usize = 4;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli gas
  dtn-cli gas --file net/peers/0/gas.jsonl --file net/peers/1/gas.jsonl
  dtn-cli gas --network mainnet --token-price 612.50
  dtn-cli gas --json

Every transaction is written down before it is sent. Those whose receipt is not known yet are looked up now.")]
pub(crate) struct Gas {
    /// A gas ledger [default: all files named gas.jsonl under --home]
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// The price of one native token, for the cost in your currency
    #[arg(long, value_name = "PRICE", value_parser = price)]
    token_price: Option<f64>,
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

pub(crate) async fn run(args: Gas, context: &Context) -> Result<()> {
    let network = context.network()?;
    let files = match args.file.is_empty() {
        true => ledgers(&context.home, DEPTH),
        false => args.file,
    };
    let ledgers: Vec<_> = files.into_iter().map(GasLedger::new).collect();
    let of_network = |record: &GasRecord| record.chain_id == network.chain_id;
    let open = |record: &GasRecord| of_network(record) && record.status == TransactionStatus::Pending;

    if !args.offline && read(&ledgers)?.records.iter().any(open) {
        match Chain::connect(&network).await {
            Ok(chain) => {
                for ledger in &ledgers {
                    ledger.reconcile(&chain).await.context("looking up missing receipts")?;
                }
            }
            Err(error) => eprintln!("Missing receipts were not looked up: {error}"),
        }
    }
    let GasRecords { mut records, torn_lines } = read(&ledgers)?;
    records.retain(of_network);
    let pending = records.iter().filter(|record| open(record)).count();
    let summaries = summarize(&records);
    let total_gas: u64 = summaries.iter().map(|summary| summary.total).sum();
    let total_fee: U256 = summaries.iter().map(|summary| summary.fee).sum();
    let cost = |fee: U256| args.token_price.map(|price| f64::from(fee) / 1e18 * price);

    if context.json {
        return output::json(&json!({
            "network": network.name,
            "chain_id": network.chain_id,
            "records": records,
            "summary": summaries,
            "total": { "transactions": summaries.iter().map(|summary| summary.count).sum::<u64>(),
                       "gas": total_gas, "fee_wei": total_fee, "cost": cost(total_fee) },
            "without_receipt": pending,
            "torn_lines": torn_lines,
        }));
    }
    let mut columns = vec![left("call"), right("times"), right("least"), right("mean"), right("most")];
    columns.extend([right("gas in all"), right("fee")]);
    columns.extend(args.token_price.map(|_| right("cost")));
    let mut table = Table::new(format!("Gas on {} (chain {})", network.name, network.chain_id), columns);
    let money = |fee: U256| cost(fee).map(|cost| format!("{cost:.4}"));
    for summary in &summaries {
        let call = match summary.contract.as_str() {
            "" => summary.function.clone(),
            contract => format!("{contract}.{}", summary.function),
        };
        let times = match summary.reverted {
            0 => summary.count.to_string(),
            reverted => format!("{} ({reverted} reverted)", summary.count),
        };
        let gas = [summary.min, summary.mean, summary.max, summary.total].map(units::thousands);
        let row = [call, times].into_iter().chain(gas);
        table.row(row.chain([units::ether(summary.fee, "")]).chain(money(summary.fee)));
    }
    let count = summaries.iter().map(|summary| summary.count).sum::<u64>().to_string();
    let blank = String::new;
    let row = ["total".to_string(), count, blank(), blank(), blank(), units::thousands(total_gas)];
    table.row(row.into_iter().chain([units::ether(total_fee, "")]).chain(money(total_fee)));
    if pending > 0 {
        table.note(format!("{pending} transactions have no receipt yet; they are not in the sums."));
    }
    if torn_lines > 0 {
        table.note(format!("{torn_lines} lines were cut off when their process ended, and were passed over."));
    }
    output::line(table)
}

fn read(ledgers: &[GasLedger]) -> Result<GasRecords> {
    let mut all = GasRecords::default();
    for ledger in ledgers {
        let read = ledger.read()?;
        all.records.extend(read.records);
        all.torn_lines += read.torn_lines;
    }
    Ok(all)
}

fn ledgers(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && depth > 0 {
            found.extend(ledgers(&path, depth - 1));
        } else if path.file_name().is_some_and(|name| name == "gas.jsonl") {
            found.push(path);
        }
    }
    found
}
