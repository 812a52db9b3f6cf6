//! What transactions cost: a table, a page with charts, JSON, and a line each for other programs.

use alloy_primitives::{Address, B256, U256};
use dtn_chain::{
    amount::format_amount,
    gas_ledger::{GasRecord, GasSummary, TransactionStatus},
    preflight::Hardfork,
};
use dtn_report::{Bars, Page, Table, left, right, units};
use serde::Serialize;
use serde_json::{Value, json};

/// What the transactions on a chain cost.
#[derive(Debug)]
pub struct GasReport {
    /// The network.
    pub network: String,
    /// Its chain.
    pub chain_id: u64,
    /// The chain's rules, if it answers.
    pub hardfork: Option<Hardfork>,
    /// Of each function.
    pub summary: Vec<GasSummary>,
    /// Transactions that no receipt is known of.
    pub without_receipt: usize,
    /// Lines of the ledgers that are no records.
    pub torn_lines: usize,
    /// Wei for a unit of gas, in place of what was paid.
    pub gas_price: Option<U256>,
    /// What a native token costs in somebody's currency.
    pub token_price: Option<f64>,
}

impl GasReport {
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

    /// For programs, with all transactions.
    pub fn json(&self, records: &[GasRecord]) -> Value {
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

    /// For people.
    pub fn table(&self) -> Table {
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
            let row = [summary.what(), times].into_iter().chain(gas);
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

    /// With charts.
    pub fn page(&self) -> Page {
        let (mut each, mut all) = (Bars::new(["gas of one call"]), Bars::new(["gas in all"]));
        for summary in &self.summary {
            each.row(summary.what(), [(summary.mean as f64, units::thousands(summary.mean))]);
            all.row(summary.what(), [(summary.total as f64, units::thousands(summary.total))]);
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

/// Transactions as a table for other programs, a line each.
pub fn csv(records: &[GasRecord]) -> Result<Vec<u8>, csv::Error> {
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
    writer.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn report() -> GasReport {
        let summary = GasSummary {
            contract: "MultiSigWallet".into(),
            function: "confirm".into(),
            count: 2,
            reverted: 1,
            min: 30_000,
            mean: 31_000,
            max: 32_000,
            total: 62_000,
            fee: U256::from(62_000_000_000_000u64),
        };
        GasReport {
            network: "local".into(),
            chain_id: 31_337,
            hardfork: None,
            summary: vec![summary],
            without_receipt: 0,
            torn_lines: 0,
            gas_price: None,
            token_price: Some(500.0),
        }
    }

    #[test]
    fn a_price_that_is_given_replaces_what_was_paid_and_is_said() {
        let paid = report();
        assert_eq!(paid.json(&[])["total"]["fee_wei"], json!(U256::from(62_000_000_000_000u64)));
        assert_eq!(paid.json(&[])["total"]["cost"], json!(0.031));
        assert!(!paid.table().to_string().contains("for a unit of gas"));
        let priced = GasReport { gas_price: Some(U256::from(3_000_000_000u64)), ..report() };
        assert_eq!(priced.json(&[])["total"]["fee_wei"], json!(U256::from(186_000_000_000_000u64)));
        assert_eq!(priced.json(&[])["total"]["cost"], json!(0.093));
        let table = priced.table().to_string();
        assert!(table.contains("At 3gwei for a unit of gas") && table.contains("2 (1 reverted)"), "{table}");
    }

    #[test]
    fn what_is_in_no_sum_is_said() {
        let whole = report().table().to_string();
        assert!(!whole.contains("no receipt") && !whole.contains("cut off"), "{whole}");
        let part = GasReport { without_receipt: 3, torn_lines: 1, ..report() };
        let table = part.table().to_string();
        assert!(
            table.contains("3 transactions have no receipt yet") && table.contains("1 lines were cut off"),
            "{table}"
        );
        let json = part.json(&[]);
        assert_eq!((&json["without_receipt"], &json["torn_lines"]), (&json!(3), &json!(1)));
    }

    #[test]
    fn a_line_of_the_table_for_programs_has_every_number_of_its_transaction() {
        let record = GasRecord {
            contract: "RewardDistributor".into(),
            function: "pay".into(),
            from: Address::repeat_byte(1),
            to: Address::repeat_byte(2),
            nonce: 7,
            tx: B256::repeat_byte(3),
            status: TransactionStatus::Success,
            gas_used: Some(61_000),
            effective_gas_price: Some(5),
            block: Some(12),
            max_fee: U256::from(700_001),
            network: "local".into(),
            chain_id: 31_337,
            at: 1_700_000_000_000,
            value: U256::from(10).pow(U256::from(30)),
            raw: Default::default(),
        };
        let table = String::from_utf8(csv(&[record]).unwrap()).unwrap();
        let (columns, line) = table.trim_end().split_once('\n').unwrap();
        let read: Vec<_> = columns.split(',').zip(line.split(',')).collect();
        let number = |name| read.iter().find(|(column, _)| *column == name).unwrap().1;
        let names = ["nonce", "gas_used", "effective_gas_price", "block", "max_fee", "chain_id", "at", "value"];
        let numbers = ["7", "61000", "5", "12", "700001", "31337", "1700000000000", "1000000000000000000000000000000"];
        assert_eq!(names.map(number), numbers);
    }
}
