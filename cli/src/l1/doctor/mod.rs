//! `dtn-cli l1 doctor`: what is wrong with a peer or a network, in words, and what to do about it.
//!
//! What can be seen is gathered once ([`observe`]); then each check looks at it for one thing ([`checks`]).

mod checks;
mod observe;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use serde_json::json;

use super::home::Home;
use crate::output;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// To be known; everything works.
    Notice,
    /// To be dealt with: the exit code is 1.
    Problem,
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    severity: Severity,
    /// The peer it is about; the network as a whole without one.
    peer: Option<usize>,
    /// The check that found it, as the documentation lists it.
    check: &'static str,
    /// What is wrong.
    what: String,
    /// What to do next.
    next: String,
}

/// Examines a network, or one peer of it; fails if there is a problem.
pub(super) async fn run(home: &Home, peer: Option<usize>, watch: Duration, json: bool) -> Result<()> {
    let n = home.client()?.peers.len();
    if let Some(peer) = peer {
        ensure!(peer < n, "there is no peer {peer}: they are 0 to {}", n - 1);
    }
    let observation = observe::observe(home, watch).await?;
    let mut findings = checks::diagnose(&observation);
    findings.retain(|finding| peer.is_none() || finding.peer.is_none() || finding.peer == peer);
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.peer));
    let problems = findings.iter().filter(|finding| finding.severity == Severity::Problem).count();
    if json {
        output::json(&json!({ "healthy": problems == 0, "findings": findings }))?;
    } else {
        output::line(report(&findings, &observation))?;
    }
    match problems {
        0 => Ok(()),
        1 => bail!("1 problem was found"),
        _ => bail!("{problems} problems were found"),
    }
}

fn report(findings: &[Finding], observation: &observe::Observation) -> String {
    let mut lines = Vec::new();
    for finding in findings {
        let about = finding.peer.map_or_else(|| "network".into(), |peer| format!("peer {peer}"));
        let mark = if finding.severity == Severity::Problem { "problem" } else { "notice" };
        lines.push(format!("{mark}: {about}: {} [{}]\n    next: {}", finding.what, finding.check, finding.next));
    }
    if findings.is_empty() {
        let answering = observation.peers.iter().filter_map(|peer| peer.last()).map(|sample| sample.status.height);
        let (count, height) = (observation.peers.len(), answering.max().unwrap_or(0));
        lines.push(format!("{count} peers answer, are linked and agree at height {height}; nothing is wrong"));
    }
    lines.join("\n")
}
