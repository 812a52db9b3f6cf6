//! `dtn-cli gas`: what the transactions cost.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use dtn_chain::{
    Chain,
    amount::format_amount,
    gas_ledger::{GasLedger, GasRecord, GasRecords, GasSummary, TransactionStatus, summarize},
    preflight::{self, Hardfork},
};
use dtn_peer::files::{self, Access, FileError};
use dtn_report::{Bars, Page, Table, left, right, units};
use serde::Serialize;
use serde_json::json;

use crate::{
    context::{Context, amount},
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

pub(crate) async fn run(args: Gas, context: &Context) -> Result<()> {
    let network = context.network()?;
    let files = match args.file.is_empty() {
        true => ledgers(&context.home, DEPTH)?,
        false => {
            for file in &args.file {
                ensure!(files::exists(file)?, "there is no gas ledger {}", file.display());
            }
            args.file.clone()
        }
    };
    let ledgers: Vec<_> = files.into_iter().map(GasLedger::new).collect();
    let of_network = |record: &GasRecord| record.chain_id == network.chain_id;
    let open = |record: &GasRecord| of_network(record) && record.status == TransactionStatus::Pending;

    let mut hardfork = None;
    if !args.offline {
        match Chain::connect(&network).await {
            Ok(chain) => {
                hardfork = preflight::hardfork(&chain).await.ok();
                if read(&ledgers)?.records.iter().any(open) {
                    for ledger in &ledgers {
                        ledger.reconcile(&chain).await.context("looking up missing receipts")?;
                    }
                }
            }
            Err(error) => output::note(format_args!("Missing receipts were not looked up: {error}")),
        }
    }
    let GasRecords { mut records, torn_lines } = read(&ledgers)?;
    records.retain(of_network);
    if let Some(file) = &args.csv {
        write_csv(file, &records)?;
    }
    let report = Report {
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

/// What the transactions on a chain cost.
struct Report {
    network: String,
    chain_id: u64,
    /// The chain's rules, if it answers.
    hardfork: Option<Hardfork>,
    summary: Vec<GasSummary>,
    without_receipt: usize,
    torn_lines: usize,
    /// Wei for a unit of gas, in place of what was paid.
    gas_price: Option<U256>,
    token_price: Option<f64>,
}

impl Report {
    fn title(&self) -> String {
        let rules = self.hardfork.map_or_else(String::new, |hardfork| format!(", {hardfork} rules"));
        format!("Gas on {} (chain {}{rules})", self.network, self.chain_id)
    }

    fn gas(&self) -> u64 {
        self.summary.iter().map(|summary| summary.total).sum()
    }

    fn count(&self) -> u64 {
        self.summary.iter().map(|summary| summary.count).sum()
    }

    /// What so much gas cost, or would cost at the price that was given.
    fn fee(&self, gas: u64, paid: U256) -> U256 {
        self.gas_price.map_or(paid, |price| U256::from(gas) * price)
    }

    fn total_fee(&self) -> U256 {
        self.fee(self.gas(), self.summary.iter().map(|summary| summary.fee).sum())
    }

    fn cost(&self, fee: U256) -> Option<f64> {
        self.token_price.map(|price| f64::from(fee) / 1e18 * price)
    }

    fn json(&self, records: &[GasRecord]) -> serde_json::Value {
        json!({
            "network": self.network,
            "chain_id": self.chain_id,
            "hardfork": self.hardfork,
            "gas_price_wei": self.gas_price,
            "records": records,
            "summary": self.summary,
            "total": { "transactions": self.count(), "gas": self.gas(), "fee_wei": self.total_fee(),
                       "cost": self.cost(self.total_fee()) },
            "without_receipt": self.without_receipt,
            "torn_lines": self.torn_lines,
        })
    }

    fn table(&self) -> Table {
        let mut columns = vec![left("call"), right("times"), right("least"), right("mean"), right("most")];
        columns.extend([right("gas in all"), right("fee")]);
        columns.extend(self.token_price.map(|_| right("cost")));
        let mut table = Table::new(self.title(), columns);
        let money = |fee: U256| self.cost(fee).map(|cost| format!("{cost:.4}"));
        for summary in &self.summary {
            let times = match summary.reverted {
                0 => summary.count.to_string(),
                reverted => format!("{} ({reverted} reverted)", summary.count),
            };
            let gas = [summary.min, summary.mean, summary.max, summary.total].map(units::thousands);
            let fee = self.fee(summary.total, summary.fee);
            let row = [name(summary), times].into_iter().chain(gas);
            table.row(row.chain([units::ether(fee, "")]).chain(money(fee)));
        }
        let blank = String::new;
        let row =
            ["total".to_string(), self.count().to_string(), blank(), blank(), blank(), units::thousands(self.gas())];
        table.row(row.into_iter().chain([units::ether(self.total_fee(), "")]).chain(money(self.total_fee())));
        if let Some(price) = self.gas_price {
            table.note(format!("At {} for a unit of gas, whatever was paid.", format_amount(price)));
        }
        if self.without_receipt > 0 {
            let open = self.without_receipt;
            table.note(format!("{open} transactions have no receipt yet; they are not in the sums."));
        }
        if self.torn_lines > 0 {
            let torn = self.torn_lines;
            table.note(format!("{torn} lines were cut off when their process ended, and were passed over."));
        }
        table
    }

    fn page(&self) -> Page {
        let (mut each, mut all) = (Bars::new(["gas of one call"]), Bars::new(["gas in all"]));
        for summary in &self.summary {
            each.row(name(summary), [(summary.mean as f64, units::thousands(summary.mean))]);
            all.row(name(summary), [(summary.total as f64, units::thousands(summary.total))]);
        }
        let mut page = Page::new(self.title());
        let fee = units::ether(self.total_fee(), "");
        page.facts([
            ("transactions", units::thousands(self.count())),
            ("gas", units::thousands(self.gas())),
            ("fees", fee),
        ]);
        page.table(&self.table());
        page.figure("What a call takes on average", &each).figure("Where the gas went", &all);
        page
    }
}

fn name(summary: &GasSummary) -> String {
    match summary.contract.as_str() {
        "" => summary.function.clone(),
        contract => format!("{contract}.{}", summary.function),
    }
}

/// One line a transaction.
/// A transaction as a line of a table, with decimal numbers.
#[derive(Serialize)]
struct Line<'a> {
    contract: &'a str,
    function: &'a str,
    from: Address,
    to: Address,
    nonce: u64,
    tx: B256,
    status: TransactionStatus,
    gas_used: Option<u64>,
    effective_gas_price: Option<u128>,
    block: Option<u64>,
    max_fee: String,
    network: &'a str,
    chain_id: u64,
    at: u64,
    value: String,
}

fn write_csv(file: &Path, records: &[GasRecord]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        writer.serialize(Line {
            contract: &record.contract,
            function: &record.function,
            from: record.from,
            to: record.to,
            nonce: record.nonce,
            tx: record.tx,
            status: record.status,
            gas_used: record.gas_used,
            effective_gas_price: record.effective_gas_price,
            block: record.block,
            max_fee: record.max_fee.to_string(),
            network: &record.network,
            chain_id: record.chain_id,
            at: record.at,
            value: record.value.to_string(),
        })?;
    }
    Ok(files::write(file, &writer.into_inner()?, Access::Shared)?)
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

/// The gas ledgers in a folder and those below it; none if there is no such folder.
fn ledgers(dir: &Path, depth: usize) -> Result<Vec<PathBuf>, FileError> {
    let cannot = |source| FileError::Read { file: dir.into(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(cannot)?,
    };
    let entries: Result<Vec<_>, _> = entries.map(|entry| Ok(entry.map_err(cannot)?.path())).collect();
    let (mut found, mut entries) = (Vec::new(), entries?);
    entries.sort();
    for path in entries {
        if path.is_dir() && depth > 0 {
            found.extend(ledgers(&path, depth - 1)?);
        } else if path.file_name().is_some_and(|name| name == "gas.jsonl") {
            found.push(path);
        }
    }
    Ok(found)
}
