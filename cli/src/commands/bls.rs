//! `dtn-cli bls`: the validators' BLS keys, with which many of them sign for the price of one.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use dtn_keys::bls::bls_key;
use dtn_peer::files;
use dtn_primitives::Domain;
use dtn_report::{Table, left};
use dtn_settlement::bls_keys::BlsKeys;
use serde_json::json;

use crate::{
    commands::desk::{Desk, send},
    context::{Context, Sender},
    output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register a validator's key with the proof that it holds the secret, once and for good
    #[command(after_help = "Example:
  dtn-cli bls register --from validator-01

The BLS key follows from the validator's own key, so there is no other secret to keep.")]
    Register(Sender),
    /// Publish the registered keys of the current validators, so that they can sign together; anybody may
    Publish(Sender),
    /// Show who has registered a key and whose is published
    #[command(after_help = "Example:
  dtn-cli bls keys --out keys.json          (for verify-certificate --bls-keys)")]
    Keys(Keys),
}

#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// Write the published keys to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Register(sender) => register(sender, context).await,
        Command::Publish(sender) => publish(sender, context).await,
        Command::Keys(args) => keys(args, context).await,
    }
}

fn of(desk: &Desk) -> BlsKeys {
    BlsKeys::new(desk.chain.clone(), desk.deployment.addresses.registry, desk.deployment.from_block)
}

async fn register(sender: Sender, context: &Context) -> Result<()> {
    let desk = Desk::open(context).await?;
    let key = context.signer(sender.from.as_ref(), desk.chain.network()).await?;
    let account = sender.account_with(key.clone(), &desk.chain, context).await?;
    let domain = Domain::new(desk.deployment.network_id, desk.deployment.chain_id);
    send(&account, &of(&desk).register(&bls_key(&key), account.address(), &domain), context).await
}

async fn publish(sender: Sender, context: &Context) -> Result<()> {
    let (desk, account) = Desk::open_as(context, &sender).await?;
    let (call, count) =
        of(&desk).publish().await?.context("all keys that validators have registered are published already")?;
    output::note(format_args!("Publishing {count} keys"));
    send(&account, &call, context).await
}

async fn keys(args: Keys, context: &Context) -> Result<()> {
    let desk = Desk::open(context).await?;
    let (epoch, validators) = of(&desk).validators().await?;
    let (registered, published) = (of(&desk).registered().await?, of(&desk).published().await?);
    if let Some(file) = &args.out {
        ensure!(!published.is_empty(), "no keys of epoch {epoch} are published; `dtn-cli bls publish` does that");
        files::write_json(file, &published)?;
    }
    if context.json {
        return output::json(&json!({ "epoch": epoch, "validators": validators, "registered": registered,
            "published": published.keys().collect::<Vec<_>>() }));
    }
    let mut table = Table::new(format!("Validators of epoch {epoch}"), [left("validator"), left("BLS key")]);
    for validator in validators {
        let state = match (registered.contains_key(&validator), published.contains_key(&validator)) {
            (_, true) => "published",
            (true, false) => "registered",
            (false, false) => "none",
        };
        table.row([validator.to_string(), state.to_string()]);
    }
    output::line(table)
}
