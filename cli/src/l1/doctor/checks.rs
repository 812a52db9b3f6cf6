//! The checks. Each looks at what was observed for one thing.

mod agreement;
mod machine;
mod network;
#[cfg(test)]
mod tests;

use dtn_report::units;

use super::{
    Finding,
    Severity::{self, Notice, Problem},
    observe::{Configured, Local, Observation, Peer, Sample, Secret},
};

/// One check.
pub(super) type Check = fn(&Observation) -> Vec<Finding>;

/// All checks by name, the most telling first.
pub(super) const ALL: &[(&str, Check)] = &[
    ("answers", network::answers),
    ("configuration", network::configuration),
    ("genesis", network::genesis),
    ("quorum", network::quorum),
    ("progress", agreement::progress),
    ("primary", agreement::primary),
    ("views", agreement::views),
    ("behind", agreement::behind),
    ("silent", agreement::silent),
    ("links", network::links),
    ("flapping", network::flapping),
    ("twins", network::twins),
    ("crowds", network::crowds),
    ("clocks", network::clocks),
    ("time", agreement::time),
    ("timeouts", network::timeouts),
    ("evidence", agreement::evidence),
    ("faults", agreement::faults),
    ("disk", machine::disk),
    ("secrets", machine::secrets),
    ("exposure", machine::exposure),
    ("settlement", machine::settlement),
    ("versions", network::versions),
];

/// Everything that is wrong.
pub(super) fn diagnose(seen: &Observation) -> Vec<Finding> {
    let named = |(name, check): &(&'static str, Check)| {
        let name = *name;
        check(seen).into_iter().map(move |finding| Finding { check: name, ..finding })
    };
    ALL.iter().flat_map(named).collect()
}

fn finding(
    severity: Severity,
    peer: impl Into<Option<usize>>,
    what: impl Into<String>,
    next: impl Into<String>,
) -> Finding {
    Finding { severity, peer: peer.into(), check: "", what: what.into(), next: next.into() }
}

/// The peers that answered last, with their answers.
fn answering(seen: &Observation) -> impl Iterator<Item = (&Peer, &Sample)> {
    seen.peers.iter().filter_map(|peer| Some((peer, peer.last()?)))
}

/// The folders on this machine with valid configurations.
fn configured(seen: &Observation) -> impl Iterator<Item = (&Peer, &Local, &Configured)> {
    seen.peers.iter().filter_map(|peer| {
        let local = peer.local.as_ref()?;
        Some((peer, local, local.config.as_ref().ok()?))
    })
}

fn list(numbers: impl IntoIterator<Item = impl ToString>) -> String {
    numbers.into_iter().map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
}
