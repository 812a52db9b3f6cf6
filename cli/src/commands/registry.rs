//! `dtn-cli registry`: the validator set that the registry takes certificates of, and the next one.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use dtn_bindings::ResultRegistry;
use dtn_primitives::Rotation;
use dtn_report::{Table, left, right};
use dtn_settlement::{
    bls_keys::BlsKeys,
    message::{Content, SignedMessage},
};
use serde_json::json;

use crate::{
    commands::multisig::Desk,
    commands::rewards,
    context::{Context, ensure_new},
    output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Name the validators of the next epoch, in a file that those of this one sign
    #[command(after_help = "Example:
  dtn-cli registry rotate --validators validator-01,validator-02,validator-03,0x7099…79C8 --out rotation.json

The registry takes no certificate of the old epoch once it has taken the rotation, and the peers of a network stay with the
validators of its genesis: post what is to be final first, and rotate the registry of a network that ends or moves.")]
    Rotate(Rotate),
    /// Sign a rotation as a validator, off chain
    Sign(rewards::Sign),
    /// Put the signatures of several files into one
    Combine(rewards::Combine),
    /// Post a rotation that a quorum has signed
    Post(rewards::Certify),
    /// Show the epoch, its validators, and what they have certified
    Show,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The next validators: addresses, names of keys, or folders of keys; of a network's folder, the keys of its validators
    #[arg(long, value_name = "WHO", value_delimiter = ',', num_args = 1.., required = true)]
    validators: Vec<String>,
    /// Where to write: a file that is not there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Rotate(args) => rotate(args, context).await,
        Command::Sign(args) => rewards::sign(args, context).await,
        Command::Combine(args) => rewards::combine(args, context),
        Command::Post(args) => rewards::certify(args, context).await,
        Command::Show => show(context).await,
    }
}

async fn rotate(args: Rotate, context: &Context) -> Result<()> {
    ensure_new(&args.out)?;
    let mut validators = context.keystore().validators(&args.validators)?;
    validators.sort();
    let desk = Desk::open(context).await?;
    let epoch = desk.chain.read(desk.deployment.addresses.registry, &ResultRegistry::epochCall {}).await?;
    let content = Content::Rotation(Rotation { epoch, validators });
    let signed = SignedMessage::new(desk.deployment.network_id, desk.deployment.chain_id, content)?;
    rewards::preview(&signed);
    rewards::write(&args.out, &signed, context)
}

async fn show(context: &Context) -> Result<()> {
    let desk = Desk::open(context).await?;
    let registry = desk.deployment.addresses.registry;
    let (epoch, validators) =
        BlsKeys::new(desk.chain.clone(), registry, desk.deployment.from_block).validators().await?;
    let latest = desk.chain.read(registry, &ResultRegistry::latestHeightCall {}).await?;
    let number = desk.chain.read(registry, &ResultRegistry::distributionNumberCall {}).await?;
    let mut barred = Vec::new();
    for validator in &validators {
        barred.push(desk.chain.read(registry, &ResultRegistry::isBarredCall { validator: *validator }).await?);
    }
    if context.json {
        let one = |(address, barred): (_, &bool)| json!({ "address": address, "barred": barred });
        let all: Vec<_> = validators.iter().zip(&barred).map(one).collect();
        return output::json(&json!({ "registry": registry, "epoch": epoch, "validators": all,
            "quorum": dtn_primitives::quorum(validators.len()), "latest_height": latest, "distribution": number }));
    }
    let title = format!(
        "Epoch {epoch} of {registry}: {} of {} validators are a quorum; height {latest} and distribution {number} are the latest",
        dtn_primitives::quorum(validators.len()),
        validators.len()
    );
    let mut table = Table::new(title, [right("place"), left("validator"), left("")]);
    for (place, (validator, barred)) in validators.iter().zip(barred).enumerate() {
        table.row([place.to_string(), validator.to_string(), if barred { "barred".into() } else { String::new() }]);
    }
    output::line(table)
}
