//! `dtn-cli keys`: encrypted keys in a folder.

use std::{
    collections::HashSet,
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use alloy::providers::Provider;
use alloy_primitives::{U256, hex};
use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use dtn_chain::connection::retrying;
use dtn_keys::{KeyInfo, parse_secret_key};
use dtn_peer::files;
use dtn_report::{Table, left, right, units};
use futures::future::try_join_all;
use serde_json::json;

use crate::{
    context::{Context, chosen_password},
    output,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make new keys
    #[command(after_help = "Examples:
  dtn-cli keys generate --count 30
  dtn-cli keys generate --name treasurer --password-file secret.txt

The files are keystores of version 3; `cast wallet address --keystore keys/owner-01.json` reads them.")]
    Generate(Generate),
    /// Show the keys that there are
    #[command(after_help = "Examples:
  dtn-cli keys list
  dtn-cli keys list --balances --network testnet")]
    List(List),
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
    /// Encrypt keys with another password
    #[command(after_help = "Examples:
  dtn-cli keys password treasurer                   (asks for the old password, and for the new one twice)
  dtn-cli keys password owner-01 owner-02 --password-file old.txt --new-password-file new.txt

Whatever happens meanwhile, each file opens by the old password or by the new one. Copies of it elsewhere open by the old one.")]
    Password(ChangePassword),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Ask the chosen network what each holds
    #[arg(long)]
    balances: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChangePassword {
    /// The keys: their names or addresses, or files of keys. All have the same password
    #[arg(required = true)]
    key: Vec<String>,
    /// A file whose first line is the new password, in place of a prompt
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
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
        Command::List(args) => list(args, context).await,
        Command::Password(args) => change_password(args, context).await,
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

async fn list(args: List, context: &Context) -> Result<()> {
    let keystore = context.keystore();
    let keys = keystore.list()?;
    match args.balances {
        true => show_balances(context, &keys).await?,
        false => show(context, &keys)?,
    }
    for error in keystore.unusable()? {
        output::note(format_args!("passed over: {error}"));
    }
    Ok(())
}

async fn show_balances(context: &Context, keys: &[KeyInfo]) -> Result<()> {
    let chain = context.connect().await?;
    let balances = try_join_all(keys.iter().map(|key| async {
        match key.address {
            Some(address) => retrying(|| async { chain.provider().get_balance(address).await }).await.map(Some),
            None => Ok(None),
        }
    }))
    .await?;
    let network = &chain.network().name;
    if context.json {
        let held = |(key, balance): (&KeyInfo, &Option<U256>)| json!({ "name": key.name, "address": key.address, "path": key.path, "network": network, "balance_wei": balance });
        return output::json(&keys.iter().zip(&balances).map(held).collect::<Vec<_>>());
    }
    let mut table = Table::new(format!("On {network}"), [left("key"), left("address"), right("balance")]);
    for (key, balance) in keys.iter().zip(&balances) {
        let held = balance.map_or(units::NONE.to_string(), |balance| units::ether(balance, ""));
        table.row([key.name.clone(), stated(key), held]);
    }
    output::line(table)
}

async fn change_password(args: ChangePassword, context: &Context) -> Result<()> {
    let keystore = context.keystore();
    let mut keys = args.key.iter().map(|key| keystore.choose(key)).collect::<Result<Vec<_>, _>>()?;
    // However often and by whatever name it is given, a file is one key.
    let mut files = HashSet::new();
    keys.retain(|key| files.insert(key.path.canonicalize().unwrap_or_else(|_| key.path.clone())));
    let old = context.password().await?.clone();
    // The old one is tried on all of them before the first is changed.
    let tried = (keys.clone(), old.clone());
    let open = move || tried.0.iter().try_for_each(|key| key.unlock(&tried.1).map(drop));
    tokio::task::spawn_blocking(open).await??;
    let new = chosen_password(args.new_password_file.as_deref(), "--new-password-file", "New password: ")?;
    let changed = keys.clone();
    let change = move || {
        for (place, key) in changed.iter().enumerate() {
            key.change_password(&old, &new).map_err(|error| (place, error))?;
        }
        Ok(())
    };
    if let Err((place, error)) = tokio::task::spawn_blocking(change).await? {
        let names = |keys: &[KeyInfo]| keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ");
        let (done, left) = keys.split_at(place);
        let still = format!("the old password still opens {}", names(left));
        let what = if done.is_empty() { still } else { format!("{still}, and the new one {}", names(done)) };
        return Err(anyhow::Error::from(error).context(what));
    }
    show(context, &keys)
}

fn stated(key: &KeyInfo) -> String {
    key.address.map_or("not stated".to_string(), |address| address.to_string())
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
        table.row([key.name.clone(), stated(key), key.path.display().to_string()]);
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
