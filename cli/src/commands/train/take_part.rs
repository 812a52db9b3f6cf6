//! `dtn-cli train claim`, `validate` and `challenge`: what a peer with `train = true` does by itself, by hand or without a peer.

use std::{num::NonZeroUsize, path::PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use dtn_chain::networks::LOCAL_CHAIN_ID;
use dtn_documents::training_orders::OrderDocument;
use dtn_participant::{Behaviour, Event, Options, Participant, Peer, Roles, Tools, custom::Tool, now_ms};
use dtn_primitives::{Address, B256, SecretKey};
use dtn_report::units;
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;

use super::access::{Asked, Signs, folder, patiently};
use crate::{context::Context, interruption, output};

/// Train for orders.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train claim --from worker-01
  dtn-cli train claim 0x3f1c…e2 --from worker-01 --points 4 --payee 0x7099…79C8
  dtn-cli train claim --from worker-01 --trainer examples/trainer/train.py

Each claim locks a stake from the free balance of the key (`dtn-cli money deposit`). The command trains, claims, reveals, and
shows the trace if the claim leads; with an order it ends with it, without one it goes on until it is interrupted. What it has
committed to is kept in --home, and a later start goes on from there. No validator's key is needed.

A trainer or scorer of one's own is run with a folder, and without this command's environment. It is ended when the window of the
claims is over, or when it fills its folder; but it is not locked in, and may do what its user may. What it writes to its standard
error is logged (-v). If it fails, the order is not claimed, and others are. Try one by `dtn-cli train run DATA --trainer FILE`.")]
pub(crate) struct Claim {
    /// Only this order
    order: Option<B256>,
    /// At how many points of a grid it trains at most; the best on the known rows is claimed
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    points: u16,
    /// A program that trains, where only scores count: run with a folder that has task.json, data.csv and fold.csv, it leaves
    /// model.json or model.dtm there and exits with 0
    #[arg(long, value_name = "FILE")]
    trainer: Option<PathBuf>,
    /// A program that chooses among own models, in place of the known rows: run with a folder that has task.json, rows.csv and
    /// outputs.csv, it prints a number, the larger the better. It has no part in what peers state
    #[arg(long, value_name = "FILE")]
    scorer: Option<PathBuf>,
    /// Who is paid: an address or the name of a key [default: the key's]
    #[arg(long, value_name = "WHO")]
    payee: Option<String>,
    /// How many threads train
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// Challenge what others state falsely, too
    #[arg(long)]
    challenge: bool,
    #[command(flatten)]
    common: Common,
}

/// Score, audit and rule as a validator.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train validate --from validator-01
  dtn-cli train validate 0x3f1c…e2 --from validator-01

For a validator whose peer does not run with `train = true`, which does all of this by itself.")]
pub(crate) struct Validate {
    /// Only this order
    order: Option<B256>,
    /// How many threads work
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    #[command(flatten)]
    common: Common,
}

/// Look for what is false.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train challenge --from watcher
  dtn-cli train challenge 0x3f1c…e2 --from watcher

Evaluates all claims, trains all segments of the leader again, and challenges whatever is not as it was stated. Each challenge
locks a bond, which is lost if it was wrong and comes back with a share of the bounty and half of the culprit's stake if it was
right. Anybody may.")]
pub(crate) struct Challenge {
    /// Only this order
    order: Option<B256>,
    /// How many threads work
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    #[command(flatten)]
    common: Common,
}

/// What all of them have.
#[derive(Debug, Args)]
struct Common {
    /// For trials on a development chain, how it cheats: thief:ADDRESS, forger, withholder, lazy, liar or spammer
    #[arg(long, value_name = "BEHAVIOUR", default_value_t, hide_default_value = true)]
    be: Behaviour,
    #[command(flatten)]
    signs: Signs,
    #[command(flatten)]
    asked: Asked,
}

pub(super) async fn claim(claim: Claim, context: &Context) -> Result<()> {
    let Claim { order, points, trainer, scorer, payee, threads, challenge, common } = claim;
    let find = |tool: Option<PathBuf>| tool.as_deref().map(Tool::find).transpose();
    let tools = Tools { trainer: find(trainer)?, scorer: find(scorer)? };
    let payee = payee.map(|word| context.account(&word)).transpose()?;
    ensure!(payee.is_none_or(|payee| !payee.is_zero()), "--payee is the zero address, and nobody has that");
    let roles = Roles { provide: true, validate: false, challenge };
    let work = Work { only: order, roles, points, threads, tools };
    take_part(common, context, work, payee).await
}

pub(super) async fn validate(validate: Validate, context: &Context) -> Result<()> {
    let Validate { order, threads, common } = validate;
    let roles = Roles { provide: false, validate: true, challenge: true };
    take_part(common, context, Work { only: order, roles, points: 0, threads, tools: Tools::default() }, None).await
}

pub(super) async fn challenge(challenge: Challenge, context: &Context) -> Result<()> {
    let Challenge { order, threads, common } = challenge;
    let roles = Roles { provide: false, validate: false, challenge: true };
    take_part(common, context, Work { only: order, roles, points: 0, threads, tools: Tools::default() }, None).await
}

/// What is taken on, and by what means.
struct Work {
    only: Option<B256>,
    roles: Roles,
    points: u16,
    threads: NonZeroUsize,
    tools: Tools,
}

async fn take_part(
    common: Common,
    context: &Context,
    Work { only, roles, points, threads, tools }: Work,
    payee: Option<Address>,
) -> Result<()> {
    let peer = common.asked.peer(context).await?;
    let key = common.signs.key(&peer, context).await?;
    let chain_id = peer.genesis().chain_id;
    ensure!(
        common.be == Behaviour::Honest || chain_id == LOCAL_CHAIN_ID,
        "--be is for trials on chain {LOCAL_CHAIN_ID}, and this network settles on {chain_id}"
    );
    let is_validator = peer.genesis().validators.iter().any(|validator| validator.address() == key.address());
    ensure!(!roles.validate || is_validator, "{} is not a validator of this network", key.address());
    if let Some(order) = only {
        peer.order(order).await?;
    }
    let payee = payee.unwrap_or(key.address());
    let (tell, told) = unbounded_channel();
    let (threads, behaviour) = (threads.get(), common.be);
    let options = Options { roles, payee, threads, points, only, tools, behaviour, tell: Some(tell) };
    output::note(format_args!("{} takes part; Ctrl-C ends it", key.address()));
    interruption::until_asked(follow(&peer, key, options, told, context)).await
}

async fn follow(
    peer: &Peer,
    key: SecretKey,
    options: Options,
    mut told: tokio::sync::mpsc::UnboundedReceiver<Event>,
    context: &Context,
) -> Result<()> {
    let (only, folder) = (options.only, folder(context, key.address()));
    let acting = tokio::spawn(Participant::new(peer.clone(), key, folder, None, options).run());
    let mut look = tokio::time::interval(std::time::Duration::from_millis(500));
    loop {
        tokio::select! {
            Some(event) = told.recv() => print(&event, context.json)?,
            _ = look.tick(), if only.is_some() => {
                let Some(order) = only else { continue };
                let at = patiently(async || peer.order(order).await).await?;
                if !at.order.is_over() {
                    continue;
                }
                acting.abort();
                let document = OrderDocument::of(&at);
                return match context.json {
                    true => output::json_line(&document),
                    false => document.tables(now_ms()).iter().try_for_each(output::line),
                };
            }
        }
    }
}

fn print(event: &Event, json: bool) -> Result<()> {
    let (order, what, reason) = match event {
        Event::Training(order) => (order, "training", None),
        Event::Called(order, call) => (order, *call, None),
        Event::NotGood(order) => (order, "nothing reaches the baseline", None),
        Event::Failed(order, reason) => (order, "failed", Some(reason)),
    };
    if json {
        return output::json_line(&json!({ "order": order, "event": what, "reason": reason }));
    }
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    output::line(format_args!("{} {what}{reason}", units::short(order)))
}
