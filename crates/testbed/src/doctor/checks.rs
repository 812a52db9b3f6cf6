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

/// The checks that look at what peers of another network answer too.
const OF_ALL_THAT_ANSWERS: [&str; 2] = ["answers", "genesis"];

/// Everything that is wrong.
pub(super) fn diagnose(seen: &Observation) -> Vec<Finding> {
    let own = without_foreign(seen);
    let named = |(name, check): &(&'static str, Check)| {
        let name = *name;
        let seen = if OF_ALL_THAT_ANSWERS.contains(&name) { seen } else { &own };
        check(seen).into_iter().map(move |finding| Finding { check: name, ..finding })
    };
    ALL.iter().flat_map(named).collect()
}

/// Whether a peer of another network answers where this one should.
fn is_foreign(seen: &Observation, peer: &Peer) -> bool {
    peer.last().is_some_and(|sample| sample.status.network_id != seen.network_id)
}

/// What was seen of this network: what another one's peers say of themselves is nothing that is wrong with this one.
fn without_foreign(seen: &Observation) -> Observation {
    let mut own = seen.clone();
    for peer in own.peers.iter_mut().filter(|peer| is_foreign(seen, peer)) {
        let answer = || Err("a peer of another network answers".to_string());
        (peer.first, peer.second) = (answer(), answer());
    }
    own
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
