//! `dtn-cli anvil`: a development chain in the foreground.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use dtn_chain::connection::{AnvilOptions, start_anvil};
use dtn_peer::hold::hold;

use crate::{context::Context, output};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli anvil
  dtn-cli anvil --port 9000 --block-time 0.5
  dtn-cli anvil --chain-id 97 --base-fee 0        (behaves like BSC testnet)

It listens on loopback only, funds the accounts dev:0 to dev:9, and forgets everything when it ends (Ctrl-C).")]
pub(crate) struct Anvil {
    /// The port; 0 for any free one
    #[arg(long, default_value_t = 8545)]
    port: u16,
    /// The chain id
    #[arg(long, default_value_t = dtn_chain::networks::LOCAL_CHAIN_ID)]
    chain_id: u64,
    /// Seconds between blocks [default: a block for every transaction]
    #[arg(long, value_name = "SECONDS")]
    block_time: Option<f64>,
    /// The first block's base fee, in wei
    #[arg(long, value_name = "WEI")]
    base_fee: Option<u64>,
    /// The rules, such as prague [default: the newest]
    #[arg(long, value_name = "NAME")]
    hardfork: Option<String>,
    /// Hold this file, by which a command that started this finds it again
    #[arg(long, value_name = "FILE", hide = true)]
    pid_file: Option<PathBuf>,
}

pub(crate) async fn run(args: Anvil, context: &Context) -> Result<()> {
    let _held = args.pid_file.as_deref().map(hold).transpose()?;
    let options = AnvilOptions {
        port: Some(args.port),
        chain_id: Some(args.chain_id),
        block_time: args.block_time,
        base_fee: args.base_fee,
        hardfork: args.hardfork,
    };
    let anvil = start_anvil(Path::new("."), options).await?;
    match context.json {
        true => output::json(&serde_json::json!({ "rpc": anvil.endpoint(), "chain_id": args.chain_id }))?,
        false => output::line(format!("Chain {} at {}. Ctrl-C ends it.", args.chain_id, anvil.endpoint()))?,
    }
    crate::interruption::asked().await.context("cannot wait for Ctrl-C")
}
