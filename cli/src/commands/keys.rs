//! `dtn-cli keys`: encrypted keys in a folder.

use std::{
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use alloy_primitives::hex;
use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use dtn_keys::{KeyInfo, parse_secret_key};
use dtn_peer::files;
use dtn_report::{Table, left};
use serde_json::json;

use crate::{context::Context, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make new keys
    #[command(after_help = "Examples:
  dtn-cli keys generate --count 30
  dtn-cli keys generate --name treasurer --password-file secret.txt

The files are keystores of version 3; `cast wallet address --keystore keys/owner-01.json` reads them.")]
    Generate(Generate),
    /// Show the keys that there are
    List,
    /// Encrypt a private key that exists already
    #[command(after_help = "Examples:
  dtn-cli keys import treasurer                     (asks for the private key, without showing it)
  dtn-cli keys import treasurer --file key.txt
  dtn-cli keys import treasurer --file other.json   (a keystore of another tool, with the same password)
  some-tool | dtn-cli keys import treasurer --password-file secret.txt

A private key is never an argument: arguments are in the shell's history and in every process list.")]
    Import(Import),
    /// Print a key's address
    ExportAddress(ExportAddress),
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// How many
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// What they are called, with a number behind it
    #[arg(long, default_value = "owner", conflicts_with = "name")]
    prefix: String,
    /// What a single key is called
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// What the key will be called
    name: String,
    /// A file with the private key in hexadecimal, or a keystore
    #[arg(long)]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportAddress {
    /// The key's name
    key: String,
    /// Print the compressed public key instead, as a genesis lists it; this needs the password
    #[arg(long)]
    public_key: bool,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Generate(args) => generate(args, context).await,
        Command::List => list(context),
        Command::Import(args) => import(args, context).await,
        Command::ExportAddress(args) => export_address(args, context).await,
    }
}

async fn generate(args: Generate, context: &Context) -> Result<()> {
    if args.name.is_some() && args.count > 1 {
        bail!("--name is for a single key; use --prefix with --count");
    }
    let keystore = context.keystore();
    let names = match args.name {
        Some(name) => vec![name],
        None => keystore.free_names(&args.prefix, args.count as usize)?,
    };
    let password = context.new_password().await?.clone();
    let bar = output::progress(names.len() as u64, "keys");
    let made = tokio::task::spawn_blocking(move || -> Result<Vec<KeyInfo>> {
        let mut made = Vec::new();
        for name in names {
            made.push(keystore.generate(&name, &password)?.0);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(made)
    });
    show(context, &made.await??)
}

fn list(context: &Context) -> Result<()> {
    let keystore = context.keystore();
    show(context, &keystore.list()?)?;
    for error in keystore.unusable()? {
        output::note(format_args!("passed over: {error}"));
    }
    Ok(())
}

fn show(context: &Context, keys: &[KeyInfo]) -> Result<()> {
    if context.json {
        return output::json(&keys);
    }
    if keys.is_empty() {
        return output::line(format!("No keys in {}. `dtn-cli keys generate` makes some.", context.keys.display()));
    }
    let mut table = Table::new("", [left("key"), left("address"), left("file")]);
    for key in keys {
        let address = key.address.map_or("not stated".to_string(), |address| address.to_string());
        table.row([key.name.clone(), address, key.path.display().to_string()]);
    }
    output::line(table)
}

async fn import(args: Import, context: &Context) -> Result<()> {
    let foreign = args.file.as_ref().and_then(|file| KeyInfo::at(file).ok());
    let key = match (foreign, &args.file) {
        (Some(keystore), _) => context.unlock(keystore).await?,
        (None, Some(file)) => {
            let text = files::read_text(file, 64 << 10)?;
            if text.trim_start().starts_with('{') {
                KeyInfo::at(file)?;
            }
            parse_secret_key(&text)?
        }
        (None, None) if io::stdin().is_terminal() => {
            let text = rpassword::prompt_password("Private key (not shown): ").context("cannot ask for the key")?;
            parse_secret_key(&text)?
        }
        (None, None) => {
            let mut text = String::new();
            io::stdin().lock().take(1024).read_to_string(&mut text).context("cannot read standard input")?;
            parse_secret_key(&text)?
        }
    };
    let stored = context.keystore().store(&args.name, &key, context.new_password().await?)?;
    show(context, &[stored])
}

async fn export_address(args: ExportAddress, context: &Context) -> Result<()> {
    let key = context.keystore().find(&args.key)?;
    let name = key.name.clone();
    if args.public_key {
        let public = hex::encode_prefixed(context.unlock(key).await?.public_key().to_bytes());
        return match context.json {
            true => output::json(&json!({ "key": name, "public_key": public })),
            false => output::line(public),
        };
    }
    let address = match key.address {
        Some(address) => address,
        None => context.unlock(key).await?.address(),
    };
    match context.json {
        true => output::json(&json!({ "key": name, "address": address })),
        false => output::line(address),
    }
}
