//! `dtn-cli l1 status`: how all peers are doing, at once.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use anyhow::{Result, ensure};
use dtn_node::Status;
use dtn_report::{Table, left, right, units};
use tokio::time::{MissedTickBehavior, interval};

use super::{client, home::Home, processes};
use crate::output;

/// The shortest pause between two looks at a network.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Clears a terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows the statuses of all peers, once or again and again.
pub(super) async fn run(home: &Home, watch: Option<Duration>, json: bool) -> Result<()> {
    let clients = home.client()?.peers.into_iter().map(client::api_client).collect::<Result<Vec<_>>>()?;
    let Some(pause) = watch else {
        return print(json, home, &processes::statuses(&clients).await);
    };
    let mut ticks = interval(pause.max(MIN_PAUSE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let statuses = processes::statuses(&clients).await;
        if json {
            output::line(serde_json::to_string(&statuses)?)?;
        } else {
            let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
            output::line(format!("{clear}{}", table(home, &statuses)))?;
        }
    }
}

/// Prints the statuses of all peers; fails if none answers.
pub(super) fn print(json: bool, home: &Home, statuses: &[Option<Status>]) -> Result<()> {
    super::print(json, &statuses, || table(home, statuses).to_string())?;
    let any = statuses.iter().any(Option::is_some);
    ensure!(any, "no peer answers: start them with `dtn-cli l1 up --home {}`", home.path().display());
    Ok(())
}

fn table(home: &Home, statuses: &[Option<Status>]) -> Table {
    let columns = [
        right("peer"),
        left("address"),
        right("view"),
        right("height"),
        right("behind"),
        left("block"),
        right("checkpoint"),
        right("linked"),
        right("pending"),
        right("open orders"),
        right("memory"),
        left("remarks"),
    ];
    let mut table = Table::new(format!("Peers of {}", home.path().display()), columns);
    let best = statuses.iter().flatten().map(|status| status.height).max().unwrap_or(0);
    for (index, status) in statuses.iter().enumerate() {
        let Some(status) = status else {
            table.row([index.to_string(), "does not answer".into()]);
            continue;
        };
        table.row([
            index.to_string(),
            units::short(status.address),
            status.view.to_string(),
            status.height.to_string(),
            (best - status.height).to_string(),
            units::short(status.block_hash),
            status.checkpoint.to_string(),
            format!("{}/{}", status.connected.len(), statuses.len() - 1),
            status.pending_transactions.to_string(),
            status.open_orders.to_string(),
            units::bytes(status.vitals.memory_bytes),
            remarks(status).join("; "),
        ]);
    }
    table
}

fn remarks(status: &Status) -> Vec<String> {
    let mut remarks = Vec::new();
    if Some(status.primary) == status.validator {
        remarks.push("primary".to_string());
    }
    if let Some(mining) = &status.mining {
        remarks.push(format!(
            "mines on {} at height {}, {} blocks mined",
            units::short(mining.block_hash),
            mining.height,
            units::thousands(mining.mined_blocks)
        ));
        if mining.reorganizations > 0 {
            let (count, deepest) = (mining.reorganizations, mining.deepest_reorganization);
            remarks.push(format!("{count} reorganizations, the deepest left {deepest} blocks"));
        }
        if mining.chains_below_checkpoint > 0 {
            remarks.push("was shown a chain that leaves out a final block".to_string());
        }
    }
    if status.silent {
        remarks.push("does not vote yet: its store was lost".to_string());
    }
    if !status.evidence.is_empty() {
        remarks.push(format!("evidence against {:?}", status.evidence));
    }
    if status.faults.iter().any(|count| *count > 0) {
        remarks.push(format!("faulty messages by peer: {:?}", status.faults));
    }
    remarks
}
