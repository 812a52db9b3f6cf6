//! `dtn-cli coin`: the validators deal a threshold key in the open, of which a coin comes that nobody foresees.

use alloy_primitives::hex;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use dtn_client::CoinDealing;
use dtn_consensus::coin::{Ceremony, Stage};
use dtn_keys::KeyChoice;
use dtn_primitives::{SecretKey, ValidatorIndex, ValidatorSet};
use dtn_report::{Table, left, right};
use dtn_testbed::Home;
use serde_json::json;

use crate::{context::Context, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Deal with a validator's key, look at what the others have dealt, and wait for the coin
    #[command(after_help = "Examples:
  dtn-cli coin deal --from validator-01
  dtn-cli coin deal --instance 2 --patience 10m --from validator-01

Every validator does this, about at the same time; it takes n - f of them. What they say is in transactions of data, so whoever
reads the blocks sees who has dealt what, and a dealer whose share is none for somebody is left out by name. Nothing secret is kept:
a validator's share comes from the blocks and its key. Who stops it and starts it again says the same again.")]
    Deal(Deal),
    /// Show how far a dealing is, who is left out of it and why, and whether a validator has its share
    #[command(after_help = "Examples:
  dtn-cli coin show
  dtn-cli coin show --from validator-01
  dtn-cli coin show --json | jq -r .public_key")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(crate) struct Deal {
    #[command(flatten)]
    which: Which,
    /// The validator: a key's name, an address, a file or dev:N
    #[arg(long, env = "DTN_FROM", hide_env_values = true, value_name = "KEY")]
    from: Option<KeyChoice>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    /// A validator whose share is looked for
    #[arg(long, value_name = "KEY")]
    from: Option<KeyChoice>,
}

/// Which dealing. All validators have to say the same.
#[derive(Debug, Args)]
struct Which {
    /// Its number: another one is another coin
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    instance: u64,
    /// How long those are waited for who have not looked at their shares when n - f have
    #[arg(long, default_value = "1m", value_name = "TIME")]
    patience: humantime::Duration,
    /// A height before which nobody has dealt: blocks are read from there
    #[arg(long, default_value_t = 1, value_name = "HEIGHT")]
    since: u64,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Deal(args) => deal(args, context).await,
        Command::Show(args) => show(args, context).await,
    }
}

async fn open(which: &Which, context: &Context) -> Result<(CoinDealing, ValidatorSet)> {
    let blocks = dtn_testbed::blocks(&Home::new(&context.home), None).await?;
    let validators = blocks.validators().clone();
    Ok((CoinDealing::new(blocks, which.instance, *which.patience, which.since), validators))
}

async fn deal(args: Deal, context: &Context) -> Result<()> {
    let (mut dealing, validators) = open(&args.which, context).await?;
    let key = context.signer(args.from.as_ref(), &context.network()?).await?;
    if validators.index_of(key.address()).is_none() {
        bail!("{} is no validator of epoch {}, so it has nothing to deal", key.address(), validators.epoch());
    }
    let stage = dealing.take_part(&key, |stage| output::note(stage)).await?;
    if stage == Stage::Failed {
        bail!(
            "more validators than may be faulty have dealt badly: look with `coin show`, and deal another --instance"
        );
    }
    print(dealing.ceremony(), &validators, Some(&key), context)
}

async fn show(args: Show, context: &Context) -> Result<()> {
    let (mut dealing, validators) = open(&args.which, context).await?;
    let key = match &args.from {
        Some(from) => Some(context.signer(Some(from), &context.network()?).await?),
        None => None,
    };
    dealing.catch_up().await?;
    print(dealing.ceremony(), &validators, key.as_ref(), context)
}

fn print(ceremony: &Ceremony, validators: &ValidatorSet, key: Option<&SecretKey>, context: &Context) -> Result<()> {
    let (stage, dealers, faults) = (ceremony.stage(), ceremony.dealers(), ceremony.faults());
    let dealt = match &stage {
        Stage::Ready(dealt) => Some(dealt),
        _ => None,
    };
    let public_key = dealt.map(|dealt| hex::encode_prefixed(dealt.group().to_compressed()));
    let share = key.map(|key| ceremony.share(key).map(|_| ()));
    let found = |index: ValidatorIndex| faults.get(&index).map(ToString::to_string);
    if context.json {
        let one = |(index, validator): (ValidatorIndex, &dtn_primitives::Validator)| {
            json!({ "validator": index, "address": validator.address, "deals": dealers.contains(&index),
                "fault": found(index) })
        };
        return output::json(&json!({
            "stage": stage.to_string(),
            "ready": dealt.is_some(),
            "threshold": dealt.map(|dealt| dealt.threshold()),
            "public_key": public_key,
            "validators": validators.iter().map(one).collect::<Vec<_>>(),
            "share": share.map(|share| share.map_or_else(|error| error.to_string(), |()| "there".into())),
        }));
    }
    let heads = [right("validator"), left("address"), left("dealing"), left("fault")];
    let mut table = Table::new(format!("The coin: {stage}"), heads);
    for (index, validator) in validators.iter() {
        let deals = if dealers.contains(&index) { "counts" } else { "none" };
        table.row([index.to_string(), validator.address.to_string(), deals.into(), found(index).unwrap_or_default()]);
    }
    let mut text = table.to_string();
    if let Some((dealt, key)) = dealt.zip(public_key) {
        text += &format!("\n{} shares are a coin; its public key: {key}", dealt.threshold());
    }
    if let Some(share) = share {
        let share = share.map_or_else(|error| error.to_string(), |()| "there".into());
        text += &format!("\nthe validator's share: {share}");
    }
    output::line(text)
}
