//! `dtn-cli train explain`: why an account was paid, or was not.

use anyhow::Result;
use clap::Args;
use dtn_documents::training_orders::ExplanationDocument;
use dtn_primitives::B256;

use super::access::Asked;
use crate::{context::Context, output};

/// Say why an account was paid for an order, rule by rule.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train explain 0x3f1c…e2 --account worker-01
  dtn-cli train explain 0x3f1c…e2 --account 0x7099…79C8 --json

Every rule that concerns the account is listed in the order in which it was applied, with what it was applied to and whether it
was kept; then what the account was paid at the end, and what it lost of what it had at stake.")]
pub(crate) struct Explain {
    /// The order
    order: B256,
    /// Whose: an address or the name of a key
    #[arg(long, value_name = "WHO")]
    account: String,
    #[command(flatten)]
    asked: Asked,
}

pub(super) async fn run(explain: &Explain, context: &Context) -> Result<()> {
    let account = context.account(&explain.account)?;
    let peer = explain.asked.peer(context).await?;
    let document = ExplanationDocument::of(&peer.order(explain.order).await?.order, account);
    match context.json {
        true => output::json(&document),
        false => document.tables().iter().try_for_each(output::line),
    }
}
