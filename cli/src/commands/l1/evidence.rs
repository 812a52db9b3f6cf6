//! `dtn-cli l1 evidence`: who contradicted itself, and telling the registry.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use anyhow::{Result, ensure};
use clap::Args;
use dtn_api::ApiClient;
use dtn_chain::gas_ledger::GasRecord;
use dtn_client::Client;
use dtn_primitives::{B256, Evidence};
use dtn_report::{Table, left, right};
use dtn_settlement::evidence;
use dtn_testbed::Home;
use serde::Serialize;

use crate::{
    context::{Context, Sender},
    failure::Coded,
    output,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli l1 evidence
  dtn-cli l1 evidence --report --from dev:0

Evidence is two votes of one validator that contradict each other: for two hashes in one slot, or a commit in a view that it has
given up. Both signatures are verified here against the
genesis, so it does not matter which peer showed them. --report has the registry on --network verify them too; it then
bars the validator from all later payouts, and takes what it has at stake. Of that a quarter is the reporter's, because the report
is committed to first: `dtn-cli stake collect`.")]
pub(crate) struct Command {
    /// Report each validator that the registry does not bar yet
    #[arg(long)]
    report: bool,
    #[command(flatten)]
    sender: Sender,
}

/// Evidence that holds.
#[derive(Debug, Serialize)]
struct Entry {
    id: B256,
    address: Address,
    #[serde(flatten)]
    evidence: Evidence,
}

/// What the registry says of a validator after it was told.
#[derive(Debug, Serialize)]
struct Report {
    address: Address,
    /// The transaction that barred it; none if it was barred before.
    transaction: Option<GasRecord>,
}

#[derive(Debug, Serialize)]
struct Output {
    evidence: Vec<Entry>,
    /// One for each accused validator, if reports were asked for.
    reports: Vec<Report>,
}

pub(crate) async fn run(command: Command, home: &Home, context: &Context) -> Result<()> {
    let client = dtn_testbed::client(home)?;
    let evidence = gather(&client).await?;
    let reports = if command.report { report(&evidence, &command.sender, context).await? } else { Vec::new() };
    let output = Output { evidence, reports };
    if context.json {
        return output::json(&output);
    }
    output::line(table(&output))
}

/// What the peers show and holds against the genesis, each contradiction once, by validator. One honest peer is enough.
async fn gather(client: &Client) -> Result<Vec<Entry>> {
    let answers = client.gather(client.validators().quorum(), async |peer| peer.evidence().await.ok()).await;
    let silence = "no peer answers; is the network up (`dtn-cli l1 status`)?";
    ensure!(!answers.is_empty(), Coded::no_answer(silence));
    let mut entries = BTreeMap::new();
    for evidence in answers.into_iter().flatten() {
        if let Err(error) = evidence.verify(&client.domain, &client.membership) {
            output::warn(format_args!("a peer shows evidence that does not hold: {error}"));
            continue;
        }
        if let Some(validator) = client.validators().get(evidence.validator()) {
            let (id, address) = (evidence.id(), validator.address);
            entries.insert((evidence.validator(), evidence.kind(), id), Entry { id, address, evidence });
        }
    }
    Ok(entries.into_values().collect())
}

/// Reports each accused validator once: the registry bars it for good.
async fn report(entries: &[Entry], sender: &Sender, context: &Context) -> Result<Vec<Report>> {
    let chain = context.connect().await?;
    let registry = context.deployment(&chain)?.addresses.registry;
    let account = sender.account(&chain, context).await?;
    let (mut reports, mut done) = (Vec::new(), BTreeSet::new());
    for Entry { address, evidence, .. } in entries {
        if done.insert(*address) {
            let transaction = evidence::report(&account, registry, &evidence.clone().into()).await?;
            reports.push(Report { address: *address, transaction });
        }
    }
    Ok(reports)
}

fn table(output: &Output) -> String {
    if output.evidence.is_empty() {
        return "no validator is known to have contradicted itself".into();
    }
    let columns = [
        right("validator"),
        left("address"),
        left("kind"),
        right("epoch"),
        right("view"),
        right("height"),
        left("one hash"),
        left("another hash"),
    ];
    let mut table = Table::new("Validators that contradicted themselves; every signature holds", columns);
    for Entry { address, evidence, .. } in &output.evidence {
        let (first, second) = (&evidence.first, &evidence.second);
        table.row([
            first.validator.to_string(),
            address.to_string(),
            if first.kind == second.kind {
                first.kind.name().into()
            } else {
                format!("{} and {}", first.kind.name(), second.kind.name())
            },
            first.epoch.to_string(),
            first.view.to_string(),
            second.height.to_string(),
            first.block_hash.to_string(),
            second.block_hash.to_string(),
        ]);
    }
    let mut text = table.to_string();
    for Report { address, transaction } in &output.reports {
        let how = match transaction {
            Some(record) => format!("barred in {}, {} gas", record.tx, record.gas_used.unwrap_or(0)),
            None => "was barred already".into(),
        };
        text += &format!("\n{address}: {how}");
    }
    text
}
