//! `dtn-cli aow round` and `rounds`: sequential work of a network that runs.

use std::time::Duration;

use alloy_primitives::U256;
use anyhow::Result;
use clap::Args;
use dtn_documents::work;
use dtn_report::{RoundTotals, round_table, round_totals_table};
use dtn_testbed::{Home, rounds};

use crate::output;

/// What a round asks for.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asked {
    /// Steps of work for each peer
    #[arg(long, default_value_t = 1 << 20)]
    pub(crate) steps: u64,
    /// How long the peers have
    #[arg(long, default_value = "2m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) deadline: Duration,
}

impl Asked {
    /// A round that closes at so many completions, each of which earns a reward.
    pub(crate) fn of(&self, quorum: u16, reward: U256) -> rounds::Asked {
        rounds::Asked { steps: self.steps, deadline: self.deadline, quorum, reward }
    }
}

/// Open a round and wait for its end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow round
  dtn-cli aow round --steps 4096 --reward 0.01ether --deadline 30s --json

Each validator starts from a hash of the network, the round, the block that opens it, itself and the number of steps, works,
and proves its work to the others, which verify before they vote. The round closes at --quorum completions or at the
deadline. Whoever was slower is shown as missing, as usually one of four is: that is no fault. A reward is paid once the completion has settled on chain.")]
pub(crate) struct OpenRound {
    #[command(flatten)]
    asked: Asked,
    /// Close at so many completions; a quorum of the validators without it
    #[arg(long)]
    quorum: Option<u16>,
    /// What each completion earns, as 0.01ether or in wei
    #[arg(long, default_value = "0", value_parser = dtn_chain::amount::parse_amount)]
    reward: U256,
    /// The network's folder
    #[arg(long, env = "DTN_HOME", default_value = ".dtn", value_name = "DIR")]
    home: std::path::PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// List the last rounds of a network.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli aow rounds
  dtn-cli aow rounds --last 50 --json")]
pub(crate) struct ListRounds {
    /// How many
    #[arg(long, default_value_t = 10)]
    last: u64,
    /// The network's folder
    #[arg(long, env = "DTN_HOME", default_value = ".dtn", value_name = "DIR")]
    home: std::path::PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn open(round: OpenRound) -> Result<()> {
    let home = Home::new(&round.home);
    let client = dtn_testbed::client(&home)?;
    let quorum = round.quorum.unwrap_or(client.validators().quorum() as u16);
    let asked = round.asked.of(quorum, round.reward);
    let opened_at = rounds::open(&client, &home, &asked).await?;
    let (_, entry) = rounds::end(&client, opened_at, &asked, &output::bars()).await?;
    if round.json {
        return output::json(&entry);
    }
    let totals = RoundTotals::of(std::slice::from_ref(&entry));
    output::line(format_args!("{}\n\n{}", round_table(&entry, &rounds::names(&client)), round_totals_table(&totals)))
}

pub(crate) async fn list(rounds: ListRounds) -> Result<()> {
    let client = dtn_testbed::client(&Home::new(&rounds.home))?;
    let last = client.last_round().await?;
    let mut found = Vec::new();
    for number in last.saturating_sub(rounds.last) + 1..=last {
        found.extend(client.round(number).await?);
    }
    if rounds.json {
        return output::json(&found);
    }
    let more = format!("no rounds yet: `dtn-cli aow round --home {}` opens one", rounds.home.display());
    output::list(&work::rounds(&found, client.validators().len()), more)
}
