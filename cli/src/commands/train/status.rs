//! `dtn-cli train status`: the orders of a network, or one of them.

use anyhow::Result;
use clap::Args;
use dtn_documents::training_orders::{OrderDocument, list};
use dtn_participant::now_ms;
use dtn_primitives::B256;
use serde_json::json;

use super::access::Asked;
use crate::{context::Context, output};

/// Show where orders are.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train status
  dtn-cli train status 0x3f1c…e2
  dtn-cli train status 0x3f1c…e2 --json | jq .claims

Without an order, those that are open are listed, and with --over those that have ended.")]
pub(crate) struct Status {
    /// One order: its phase, its claims, its committee, and who was paid
    order: Option<B256>,
    /// List those that have ended
    #[arg(long, conflicts_with = "order")]
    over: bool,
    #[command(flatten)]
    asked: Asked,
}

pub(super) async fn run(status: &Status, context: &Context) -> Result<()> {
    let peer = status.asked.peer(context).await?;
    let now_ms = now_ms();
    let Some(order) = status.order else {
        let orders = peer.orders(status.over).await?;
        let nothing = if status.over { "no order has ended yet" } else { "no order is open" };
        return match context.json {
            true => output::json(&json!({ "orders": orders })),
            false => output::list(&list(&orders, now_ms), nothing),
        };
    };
    let document = OrderDocument::of(&peer.order(order).await?);
    match context.json {
        true => output::json(&document),
        false => document.tables(now_ms).iter().try_for_each(output::line),
    }
}
