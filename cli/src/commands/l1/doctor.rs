//! `dtn-cli l1 doctor`: what is wrong with a peer or a network, in words, and what to do about it.

use std::time::Duration;

use anyhow::{Result, bail};
use dtn_testbed::{
    Home,
    doctor::{Diagnosis, Severity, examine},
};
use serde_json::json;

use crate::output;

/// Examines a network, or one peer of it; fails if there is a problem.
pub(super) async fn run(home: &Home, peer: Option<usize>, watch: Duration, json: bool) -> Result<()> {
    let diagnosis = examine(home, peer, watch).await?;
    let problems = diagnosis.problems();
    if json {
        output::json(&json!({ "healthy": problems == 0, "findings": diagnosis.findings }))?;
    } else {
        output::line(report(&diagnosis))?;
    }
    match problems {
        0 => Ok(()),
        1 => bail!("1 problem was found"),
        _ => bail!("{problems} problems were found"),
    }
}

fn report(Diagnosis { findings, peers, height }: &Diagnosis) -> String {
    if findings.is_empty() {
        return format!("{peers} peers answer, are linked and agree at height {height}; nothing is wrong");
    }
    let lines = findings.iter().map(|finding| {
        let about = finding.peer.map_or_else(|| "network".into(), |peer| format!("peer {peer}"));
        let mark = if finding.severity == Severity::Problem { "problem" } else { "notice" };
        format!("{mark}: {about}: {} [{}]\n    next: {}", finding.what, finding.check, finding.next)
    });
    lines.collect::<Vec<_>>().join("\n")
}
