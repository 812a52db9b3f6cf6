//! Orders as people write them: one JSON object a line.

use std::path::{Path, PathBuf};

use dtn_chain::amount::{AmountError, parse_amount};
use dtn_files::{self as files, FileError, without_mark};
use dtn_primitives::{Order, TransactionError, U256, Work};
use serde::Deserialize;
use serde_json::{Value, json};

/// Why something is no order.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// It is no JSON of its kind.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Its reward is no amount.
    #[error("reward: {0}")]
    Reward(#[source] AmountError),
    /// It asks for what cannot be.
    #[error("{0}")]
    Order(#[from] TransactionError),
}

/// Why nothing is taken from a file of orders.
#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    /// It cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
    /// A line is no order.
    #[error("{}:{line}: {reason}; nothing was submitted", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// It has no order.
    #[error("{} holds no transactions", .0.display())]
    Empty(PathBuf),
}

impl OrdersError {
    /// Its stable code, for programs, and what belongs to it.
    pub fn code(&self) -> (&'static str, Value) {
        match self {
            Self::File(error) => error.code(),
            Self::Line { file, line, .. } => ("not_valid", json!({ "file": file, "line": line })),
            Self::Empty(file) => ("not_valid", json!({ "file": file, "line": null })),
        }
    }
}

/// One line of a transactions file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderLine {
    dataset: String,
    model: String,
    metric: String,
    /// With a unit, as `"0.01 ether"`.
    reward: Option<String>,
    work: Option<Work>,
}

/// Reads a transactions file. Any bad line refuses the whole file, so that nothing of it is submitted.
///
/// The orders come without nonces (all 0): they are numbered when they are signed.
pub fn read(file: &Path) -> Result<Vec<Order>, OrdersError> {
    let bytes = files::read(file, files::MOST).map_err(|source| FileError::Read { file: file.into(), source })?;
    let refused = |line, reason: String| OrdersError::Line { file: file.into(), line, reason };
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        refused(line, "not UTF-8 text".into())
    })?;
    let mut orders = Vec::new();
    for (index, line) in without_mark(&text).lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let order = parse(line).map_err(|error| refused(index + 1, error.to_string()))?;
        orders.push(order);
    }
    if orders.is_empty() { Err(OrdersError::Empty(file.into())) } else { Ok(orders) }
}

fn parse(line: &str) -> Result<Order, OrderError> {
    let line: OrderLine = serde_json::from_str(line)?;
    order(line.dataset, line.model, line.metric, line.reward.as_deref(), line.work)
}

/// An order from its parts, checked.
pub fn order(
    dataset: String,
    model: String,
    metric: String,
    reward: Option<&str>,
    work: Option<Work>,
) -> Result<Order, OrderError> {
    let reward = reward.map(parse_amount).transpose().map_err(OrderError::Reward)?.unwrap_or(U256::ZERO);
    let order = Order { nonce: 0, dataset, model, metric, reward, work };
    order.validate()?;
    Ok(order)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use dtn_report::text::reason;

    use super::*;

    fn refusal(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.jsonl");
        fs::write(&file, content).unwrap();
        read(&file).unwrap_err().to_string()
    }

    #[test]
    fn a_bad_line_is_named_with_its_reason_and_nothing_is_taken() {
        let good = r#"{"dataset":"MNIST","model":"MLP","metric":"accuracy"}"#;
        let cases = [
            ("{", "EOF"),
            (r#"{"dataset":"MNIST","model":"MLP"}"#, "metric"),
            (r#"{"dataset":"","model":"MLP","metric":"accuracy"}"#, "dataset is empty"),
            (r#"{"dataset":"MNIST","model":"MLP","metric":"a","reward":"1 ether"}"#, "needs work"),
            (
                r#"{"dataset":"MNIST","model":"MLP","metric":"a","reward":"much","work":{"expected_hashes":1}}"#,
                "reward",
            ),
            (r#"{"dataset":"MNIST","model":"MLP","metric":"a","work":{"expected_hashes":0}}"#, "at least 1"),
            (r#"{"dataset":"MNIST","model":"MLP","metric":"a","work":{"expected_hashes":-1}}"#, "invalid value"),
            (r#"{"dataset":"MNIST","model":"MLP","metric":"a","rewrad":"1"}"#, "rewrad"),
        ];
        for (bad, reason) in cases {
            let message = refusal(format!("{good}\n\n{bad}\n{good}").as_bytes());
            assert!(message.contains("orders.jsonl:3:") && message.contains(reason), "{message}");
            assert!(message.contains("nothing was submitted"), "{message}");
        }
        let marked = refusal(format!("\u{feff}{good}\n{{").as_bytes());
        assert!(marked.contains("orders.jsonl:2:"), "the mark of an editor is no error: {marked}");
        assert!(refusal(b"{}\n\xff\xfe").contains(":2: not UTF-8"));
        assert!(refusal(b"\n \n").contains("no transactions"));
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let error = reason(&read(Path::new("/dev/zero")).unwrap_err());
        assert!(error.contains("/dev/zero") && error.contains("67108864 bytes"), "{error}");
    }

    #[test]
    fn the_example_file_is_good_and_rich_enough() {
        let orders =
            read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/transactions.jsonl"))).unwrap();
        assert!(orders.len() >= 20);
        assert!(orders.iter().filter(|order| order.work.is_some() && !order.reward.is_zero()).count() >= 3);
    }
}
