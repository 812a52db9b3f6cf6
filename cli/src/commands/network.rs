//! `dtn-cli network`: the settlement networks that are known, and whether one can be relied on.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use dtn_chain::{
    Network, Networks,
    preflight::{Finding, Preflight},
    shown,
};
use dtn_report::{Table, left, right, units};
use serde_json::json;

use crate::{context::Context, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the networks of the configuration
    List,
    /// Ask a network what it is and what it can do, before money is sent there
    Check(Check),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli network check --network testnet
  dtn-cli network check --network mainnet --account deployer
  dtn-cli network check --rpc https://bsc-testnet.drpc.org --network testnet --json

Nothing is signed or sent. What the chain's machine can do is found by running code that is deployed nowhere.
Exits with 1 if something is found that will go wrong.")]
pub(crate) struct Check {
    /// An account whose balance matters: an address or the name of a key
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::List => list(context),
        Command::Check(check) => self::check(check, context).await,
    }
}

fn list(context: &Context) -> Result<()> {
    let networks = Networks::load(context.config.as_deref())?;
    if context.json {
        // A page that anybody may see is at no URL with a name or a query in it.
        let page = |url: &String| if url.contains(['@', '?', '#']) { shown::url(url) } else { url.clone() };
        let shown = |network: &Network| Network {
            rpc: network.rpc.shown(),
            explorer: network.explorer.as_ref().map(page),
            ..network.clone()
        };
        let with_name = networks.iter().map(|network| (network.name.clone(), shown(network)));
        return output::json(&with_name.collect::<std::collections::BTreeMap<_, _>>());
    }
    let mut table = Table::new("Networks", [left("name"), right("chain"), left("node"), left("final when")]);
    for network in networks.iter() {
        let finality = match network.finality {
            dtn_chain::networks::Finality::Latest => match network.confirmations {
                0 | 1 => "a block holds it".to_string(),
                blocks => format!("{blocks} blocks hold it"),
            },
            dtn_chain::networks::Finality::Finalized => "the chain says so".to_string(),
        };
        table.row([network.name.clone(), network.chain_id.to_string(), network.rpc.to_string(), finality]);
    }
    output::line(table)
}

async fn check(args: Check, context: &Context) -> Result<()> {
    let account = match &args.account {
        Some(word) => Some(context.account(word)?),
        None => None,
    };
    let chain = context.connect().await?;
    let found = Preflight::run(&chain, account).await?;
    let findings = found.findings(chain.network().finality);
    if context.json {
        output::json(&json!({ "network": found, "findings": findings }))?;
    } else {
        output::line(table(&found))?;
        for Finding { fatal, what } in &findings {
            output::line(format!("{}: {what}", if *fatal { "will fail" } else { "note" }))?;
        }
    }
    match findings.iter().filter(|finding| finding.fatal).count() {
        0 => Ok(()),
        count => bail!("network `{}` is not ready: {count} of the findings will go wrong", found.network),
    }
}

fn table(found: &Preflight) -> Table {
    let mut table =
        Table::new(format!("Network {} (chain {})", found.network, found.chain_id), [left("property"), left("found")]);
    let unknown = || "unknown".to_string();
    let mut row = |name: &str, value: String| _ = table.row([name.to_string(), value]);
    row("node", found.rpc.clone());
    row("program", found.client.clone().unwrap_or_else(unknown));
    row("rules", found.hardfork.to_string());
    for (name, works) in &found.precompiles {
        row(&format!("precompile {name}"), if *works { "works" } else { "does not answer" }.into());
    }
    row("last block", units::thousands(found.height));
    row("finalized block", found.finalized.map_or_else(|| "no such tag".into(), units::thousands));
    row("time between blocks", found.block_time.map_or_else(unknown, |seconds| format!("{seconds:.2} s")));
    row("base fee", found.base_fee.map_or_else(|| "none".into(), |wei| format!("{wei} wei")));
    row("gas price", format!("{} wei", found.gas_price));
    row("tip that it suggests", found.suggested_tip.map_or_else(unknown, |wei| format!("{wei} wei")));
    row("least tip, configured", format!("{} wei", found.min_priority_fee));
    if let Some((account, balance)) = found.balance {
        row(&account.to_string(), units::ether(balance, "ether"));
    }
    table
}
