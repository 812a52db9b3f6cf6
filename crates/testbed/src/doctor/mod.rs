//! What is wrong with a peer or a network, in words, and what to do about it.
//!
//! What can be seen is gathered once ([`observe`]); then each check looks at it for one thing ([`checks`]).

mod checks;
mod observe;

use std::time::Duration;

use serde::Serialize;

use crate::{Result, TestbedError, home::Home};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known; everything works.
    Notice,
    /// To be dealt with: the exit code is 1.
    Problem,
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The peer it is about; the network as a whole without one.
    pub peer: Option<usize>,
    /// The check that found it, as the documentation lists it.
    pub check: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do next.
    pub next: String,
}

/// What is wrong with a network, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What was found.
    pub findings: Vec<Finding>,
    /// How many peers were looked at.
    #[serde(skip)]
    pub peers: usize,
    /// The highest final block of those that answer.
    #[serde(skip)]
    pub height: u64,
}

impl Diagnosis {
    /// How many problems there are.
    pub fn problems(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Problem).count()
    }
}

/// Examines a network for a while, or one peer of it.
pub async fn examine(home: &Home, peer: Option<usize>, watch: Duration) -> Result<Diagnosis> {
    let count = home.client()?.peers.len();
    if let Some(peer) = peer.filter(|peer| *peer >= count) {
        return Err(TestbedError::NoPeer { peer, count });
    }
    let observation = observe::observe(home, watch).await?;
    let mut findings = checks::diagnose(&observation);
    findings.retain(|finding| peer.is_none() || finding.peer.is_none() || finding.peer == peer);
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.peer));
    let heights = observation.peers.iter().filter_map(|peer| peer.last()).map(|sample| sample.status.height);
    Ok(Diagnosis { findings, peers: observation.peers.len(), height: heights.max().unwrap_or(0) })
}
