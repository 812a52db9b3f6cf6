//! What is between the peers: who answers, who is linked to whom, and whether they are of one network.

use std::collections::BTreeMap;

use dtn_primitives::B256;

use super::*;

/// Peers refuse blocks whose time is further ahead than this; see `MAX_AHEAD_MS` of the ledger.
const CLOCKS_PROBLEM_MS: i64 = dtn_ledger::MAX_AHEAD_MS as i64;

/// Clocks that differ by more than this will reach the limit one day.
const CLOCKS_NOTICE_MS: i64 = CLOCKS_PROBLEM_MS / 2;

/// Links to one peer that end more often than this while it is watched are no accident: one that was cut comes back once.
const LOST_LINKS: u64 = 2;

/// More connections than these that made room for others while a peer is watched are no accident.
pub(super) const CROWDED_OUT: u64 = 20;

/// A peer that does not answer, and why as far as this machine can tell.
pub(super) fn answers(seen: &Observation) -> Vec<Finding> {
    let silent = seen.peers.iter().filter_map(|peer| Some((peer, peer.second.as_ref().err()?)));
    let up = format!("dtn-cli l1 up --home {}", seen.home.display());
    let explain = |(peer, error): (&Peer, &String)| {
        let mut what = format!("it does not answer at {}", peer.api);
        let Some(local) = &peer.local else {
            let next = format!("look at its host: is the process running, is {} reachable from here?", peer.api);
            return finding(Problem, peer.index, format!("{what}: {error}"), next);
        };
        let log = local.folder.join("log");
        let last_error = local.last_error.as_ref().map(|error| format!("; the last error in its log: {error}"));
        let last_error = last_error.unwrap_or_default();
        if local.running {
            what += &format!(": {error}, though its process is running{last_error}");
            let next = format!("look at {}; if it hangs, `dtn-cli l1 down` and `{up}`", log.display());
            return finding(Problem, peer.index, what, next);
        }
        what += &format!(": its process is not running{last_error}");
        match local.config.as_ref().map(|config| config.taken.as_slice()) {
            Ok(taken @ [_, ..]) => {
                what += &format!("; another program has {}", list(taken));
                finding(Problem, peer.index, what, "end that program, or choose another port in node.toml")
            }
            _ => finding(Problem, peer.index, what, format!("start it: {up}")),
        }
    };
    silent.map(explain).collect()
}

/// A `node.toml` that is not valid.
pub(super) fn configuration(seen: &Observation) -> Vec<Finding> {
    let invalid = seen.peers.iter().filter_map(|peer| Some((peer, peer.local.as_ref()?.config.as_ref().err()?)));
    let next = "correct it; docs/operate/operation.md lists the keys";
    invalid.map(|(peer, error)| finding(Problem, peer.index, error.clone(), next)).collect()
}

/// A peer of another network, or another validator than its place says.
pub(super) fn genesis(seen: &Observation) -> Vec<Finding> {
    let mut findings = foreign(seen);
    for (peer, sample) in answering(seen).filter(|(peer, _)| !is_foreign(seen, peer)) {
        let status = &sample.status;
        if status.validator.map(usize::from) != Some(peer.index) {
            let who = status.validator.map_or("an observer".into(), |index| format!("validator {index}"));
            let what = format!("{} answers as {who}", peer.api);
            let next = "order the addresses in client.toml by the validators' addresses";
            findings.push(finding(Problem, peer.index, what, next));
        }
    }
    for (peer, _, config) in configured(seen) {
        let (what, next) = match &config.network_id {
            Ok(id) if *id == seen.network_id => continue,
            Ok(id) => (
                format!("its genesis is that of another network ({})", units::short(id)),
                "name the genesis.json of this network in its node.toml",
            ),
            Err(error) => (error.clone(), "restore the file; every peer's is the same"),
        };
        findings.push(finding(Problem, peer.index, what, next));
    }
    findings
}

/// Peers of other networks where those of this one should answer; one finding for each other network.
fn foreign(seen: &Observation) -> Vec<Finding> {
    let mut networks: BTreeMap<B256, Vec<(&Peer, &Sample)>> = BTreeMap::new();
    for (peer, sample) in answering(seen).filter(|(peer, _)| is_foreign(seen, peer)) {
        networks.entry(sample.status.network_id).or_default().push((peer, sample));
    }
    let explain = |peers: Vec<(&Peer, &Sample)>| {
        let (first, sample) = *peers.first()?;
        let (who, about) = match peers.len() {
            1 => ("it belongs".to_string(), Some(first.index)),
            _ => (format!("peers {} belong", list(peers.iter().map(|(peer, _)| peer.index))), None),
        };
        let what = format!(
            "{who} to the network `{}` ({}), not to this one ({})",
            sample.status.network,
            units::short(sample.status.network_id),
            units::short(seen.network_id)
        );
        let addresses = list(peers.iter().map(|(peer, _)| peer.api));
        let next = format!("does another network use {addresses}? Else give them this genesis.json and new stores");
        Some(finding(Problem, about, what, next))
    };
    networks.into_values().filter_map(explain).collect()
}

/// Peers that cannot take part because they see too few others.
pub(super) fn quorum(seen: &Observation) -> Vec<Finding> {
    let answering_count = answering(seen).count();
    if answering_count < seen.quorum && answering_count > 0 {
        let what = format!(
            "{answering_count} of {} peers answer; {} must work together, so nothing becomes final",
            seen.peers.len(),
            seen.quorum
        );
        return vec![finding(Problem, None, what, "start those that are down")];
    }
    let short = answering(seen).filter(|(_, sample)| sample.status.connected.len() + 1 < seen.quorum);
    let next = "see who is not linked to whom below; are the addresses in node.toml right, is a firewall between them?";
    let explain = |(peer, sample): (&Peer, &Sample)| {
        let (linked, others) = (sample.status.connected.len(), seen.peers.len() - 1);
        let what = format!("it is linked to {linked} of {others} other validators, and needs {}", seen.quorum - 1);
        finding(Problem, peer.index, what, next)
    };
    short.map(explain).collect()
}

/// Who is not linked to whom though both answer.
pub(super) fn links(seen: &Observation) -> Vec<Finding> {
    let linked =
        |sample: &Sample, other: &Peer| sample.status.connected.iter().any(|peer| usize::from(*peer) == other.index);
    let mut findings = Vec::new();
    for (peer, sample) in answering(seen) {
        let missing = answering(seen).filter(|(other, _)| other.index != peer.index && !linked(sample, other));
        let missing: Vec<_> = missing.map(|(other, _)| other.index).collect();
        if !missing.is_empty() {
            let what = format!("it has no link to peers {}, which answer", list(&missing));
            let next = "do the others have its `listen` address under [peers]? dtn_disconnections_total has the reason";
            findings.push(finding(Problem, peer.index, what, next));
        }
    }
    findings
}

/// Links that open and end again and again.
pub(super) fn flapping(seen: &Observation) -> Vec<Finding> {
    let count = |sample: &Sample, peer: usize| sample.status.vitals.lost_links.get(peer).copied().unwrap_or(0);
    let mut findings = Vec::new();
    for peer in &seen.peers {
        let lost =
            |(first, second): (&Sample, &Sample)| count(second, peer.index).saturating_sub(count(first, peer.index));
        let losing: Vec<_> = seen.peers.iter().filter(|other| other.samples().map_or(0, lost) > LOST_LINKS).collect();
        // One that loses all its links is the cause; the others lose one each.
        if losing.len() <= 1 {
            continue;
        }
        let most = losing.iter().filter_map(|other| other.samples()).map(lost).max().unwrap_or(0);
        let what = format!(
            "links to it open and end again and again: {most} times at one peer (seen by peers {})",
            list(losing.iter().map(|other| other.index))
        );
        let next = "do two processes run with its key, as from a copied folder? They push each other off, and will be \
                    caught contradicting each other: stop one. Else its host or its network is failing";
        findings.push(finding(Problem, peer.index, what, next));
    }
    findings
}

/// A validator that runs twice, as the others have told it.
pub(super) fn twins(seen: &Observation) -> Vec<Finding> {
    let twins = answering(seen).filter(|(_, sample)| sample.status.vitals.twin_seen);
    let what = "another process runs with its key: the two will be caught contradicting each other";
    let next = "find the other and stop it, as on a machine that was copied; then restart this one";
    twins.map(|(peer, _)| finding(Problem, peer.index, what, next)).collect()
}

/// Strangers at a peer port, so many that they push each other out.
pub(super) fn crowds(seen: &Observation) -> Vec<Finding> {
    let samples = seen.peers.iter().filter_map(|peer| Some((peer, peer.samples()?)));
    let explain = |(peer, (first, second)): (&Peer, (&Sample, &Sample))| {
        let count = |sample: &Sample| sample.status.vitals.crowded_out;
        let crowded = count(second).checked_sub(count(first)).filter(|crowded| *crowded > CROWDED_OUT)?;
        let what = format!("strangers crowd its peer port: {crowded} connections made room for others just now");
        let next = "its links stay up, and validators are let in; have a firewall admit their addresses only";
        Some(finding(Notice, peer.index, what, next))
    };
    samples.filter_map(explain).collect()
}

/// Clocks that differ.
pub(super) fn clocks(seen: &Observation) -> Vec<Finding> {
    let mut clocks: Vec<_> = answering(seen).map(|(_, sample)| sample.clock_ahead_ms).collect();
    clocks.sort_unstable();
    let Some(median) = clocks.get(clocks.len() / 2).copied() else { return Vec::new() };
    let explain = |(peer, sample): (&Peer, &Sample)| {
        let apart = sample.clock_ahead_ms - median;
        let surely = apart.abs() - sample.uncertain_ms;
        let severity = match surely {
            surely if surely > CLOCKS_PROBLEM_MS => Problem,
            surely if surely > CLOCKS_NOTICE_MS => Notice,
            _ => return None,
        };
        let direction = if apart > 0 { "ahead of" } else { "behind" };
        let what = format!(
            "its clock is {} ms {direction} the others'; blocks more than {CLOCKS_PROBLEM_MS} ms ahead are refused",
            apart.abs()
        );
        Some(finding(severity, peer.index, what, "synchronize the clock of its host (NTP)"))
    };
    answering(seen).filter_map(explain).collect()
}

/// Peers that do not give a primary the same time.
pub(super) fn timeouts(seen: &Observation) -> Vec<Finding> {
    let of = |sample: &Sample| sample.status.vitals.view_timeout_ms;
    let validators = || answering(seen).filter(move |(_, sample)| of(sample) > 0);
    let mut known: Vec<_> = validators().map(|(_, sample)| of(sample)).collect();
    known.sort_unstable();
    known.dedup();
    if known.len() < 2 {
        return Vec::new();
    }
    let peers = |ms: u64| list(validators().filter(move |(_, sample)| of(sample) == ms).map(|(peer, _)| peer.index));
    let each: Vec<_> = known.iter().map(|ms| format!("{ms} ms (peers {})", peers(*ms))).collect();
    let what = format!("view_timeout_ms differs between the peers: {}", each.join(", "));
    vec![finding(Notice, None, what, "set the same in all node.toml: views end when a quorum gives them up")]
}

/// Peers of different versions. Those that do not answer here have told it to the others.
pub(super) fn versions(seen: &Observation) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for peer in &seen.peers {
        let own = peer.last().map(|sample| &sample.status.vitals.version);
        let mut told =
            answering(seen).filter_map(|(_, sample)| sample.status.vitals.peer_versions.get(peer.index)?.as_ref());
        if let Some(version) = own.or_else(|| told.next()) {
            versions.entry(version.as_str()).or_default().push(peer.index);
        }
    }
    if versions.len() < 2 {
        return Vec::new();
    }
    let each: Vec<_> = versions.iter().map(|(version, peers)| format!("{version} (peers {})", list(peers))).collect();
    let what = format!("the peers run different versions: {}", each.join(", "));
    vec![finding(Notice, None, what, "finish the upgrade, one peer after the other")]
}
