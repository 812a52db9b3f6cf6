//! How the peers of a network are doing, side by side.

use std::{collections::BTreeSet, path::Path};

use dtn_api::Status;
use dtn_report::{Table, left, right, units};
use dtn_testbed::Found;

/// What answers where the peers of the network in a folder should.
pub fn table(folder: &Path, answers: &[Found]) -> Table {
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
    let mut table = Table::new(format!("Peers of {}", folder.display()), columns);
    let statuses = || answers.iter().filter_map(Found::as_peer);
    let best = statuses().map(|status| status.height).max().unwrap_or(0);
    let timeouts: BTreeSet<_> = statuses().map(|status| status.vitals.view_timeout_ms).collect();
    for (index, answer) in answers.iter().enumerate() {
        let status = match answer {
            Found::Peer(status) => status,
            Found::None => {
                table.row([index.to_string(), "does not answer".into()]);
                continue;
            }
            Found::Other(who) => {
                table.row([index.to_string(), who.clone()]);
                continue;
            }
        };
        table.row([
            index.to_string(),
            units::short(status.address),
            status.view.to_string(),
            status.height.to_string(),
            (best - status.height).to_string(),
            units::short(status.block_hash),
            status.checkpoint.to_string(),
            format!("{}/{}", status.connected.len(), answers.len() - 1),
            status.pending_transactions.to_string(),
            status.open_orders.to_string(),
            units::bytes(status.vitals.memory_bytes),
            remarks(status).join("; "),
        ]);
    }
    match timeouts.iter().collect::<Vec<_>>()[..] {
        [] => {}
        [ms] => _ = table.note(format!("A primary has {ms} ms to decide something (view_timeout_ms).")),
        ref several => {
            let several = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            table.note(format!("view_timeout_ms differs between the peers ({several}), so views end unevenly."));
        }
    }
    table
}

/// What is out of the ordinary.
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
        remarks.push("does not vote yet: it asks the others, catches up, or has lost its store".to_string());
    }
    if status.vitals.twin_seen {
        remarks.push("another process runs with its key".to_string());
    }
    if status.vitals.crowded_out > 0 {
        remarks
            .push(format!("{} connections to its port were crowded out", units::thousands(status.vitals.crowded_out)));
    }
    if !status.evidence.is_empty() {
        remarks.push(format!("evidence against {:?}", status.evidence));
    }
    if status.faults.iter().any(|count| *count > 0) {
        remarks.push(format!("faulty messages by peer: {:?}", status.faults));
    }
    remarks
}
