//! The checks. Each looks at what was observed for one thing.

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
    ("answers", answers),
    ("configuration", configuration),
    ("genesis", genesis),
    ("quorum", quorum),
    ("progress", progress),
    ("primary", primary),
    ("views", views),
    ("behind", behind),
    ("silent", silent),
    ("links", links),
    ("flapping", flapping),
    ("clocks", clocks),
    ("time", time),
    ("timeouts", timeouts),
    ("evidence", evidence),
    ("faults", faults),
    ("disk", disk),
    ("secrets", secrets),
    ("exposure", exposure),
    ("settlement", settlement),
    ("versions", versions),
];

/// Everything that is wrong.
pub(super) fn diagnose(seen: &Observation) -> Vec<Finding> {
    let named = |(name, check): &(&'static str, Check)| {
        let name = *name;
        check(seen).into_iter().map(move |finding| Finding { check: name, ..finding })
    };
    ALL.iter().flat_map(named).collect()
}

/// Peers refuse blocks whose time is further ahead than this; see `MAX_AHEAD_MS` of the ledger.
const CLOCKS_PROBLEM_MS: i64 = dtn_ledger::MAX_AHEAD_MS as i64;

/// Clocks that differ by more than this will reach the limit one day.
const CLOCKS_NOTICE_MS: i64 = CLOCKS_PROBLEM_MS / 2;

/// A disk with less free space than this is nearly full.
const MIN_FREE_BYTES: u64 = 1 << 30;

/// More views asked for than this in an hour are worth a look, in a peer that has run for some minutes.
const VIEW_CHANGES_PER_HOUR: u64 = 12;

/// Links to one peer that end more often than this while it is watched are no accident: one that was cut comes back once.
const LOST_LINKS: u64 = 2;

/// A peer that has been up for a shorter time, in seconds, may still be connecting.
const SETTLED_S: u64 = 300;

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

/// A peer that does not answer, and why as far as this machine can tell.
fn answers(seen: &Observation) -> Vec<Finding> {
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
fn configuration(seen: &Observation) -> Vec<Finding> {
    let invalid = seen.peers.iter().filter_map(|peer| Some((peer, peer.local.as_ref()?.config.as_ref().err()?)));
    let next = "correct it; docs/operation.md lists the keys";
    invalid.map(|(peer, error)| finding(Problem, peer.index, error.clone(), next)).collect()
}

/// A peer of another network, or another validator than its place says.
fn genesis(seen: &Observation) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (peer, sample) in answering(seen) {
        let status = &sample.status;
        if status.network_id != seen.network_id {
            let what = format!(
                "it belongs to the network `{}` ({}), not to this one ({})",
                status.network,
                units::short(status.network_id),
                units::short(seen.network_id)
            );
            let next =
                format!("is {} another network's port? Else give it this genesis.json and a new store", peer.api);
            findings.push(finding(Problem, peer.index, what, next));
        } else if status.validator.map(usize::from) != Some(peer.index) {
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

/// Peers that cannot take part because they see too few others.
fn quorum(seen: &Observation) -> Vec<Finding> {
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
        let linked = sample.status.connected.len() + 1;
        let what = format!("it is linked to {linked} validators, itself counted, of the {} that decide", seen.quorum);
        finding(Problem, peer.index, what, next)
    };
    short.map(explain).collect()
}

/// Whether the highest height grew while it was watched.
fn advanced(seen: &Observation) -> bool {
    let samples = || seen.peers.iter().filter_map(Peer::samples);
    let (before, after) =
        (samples().map(|(first, _)| first.status.height), samples().map(|(_, second)| second.status.height));
    after.max() > before.max()
}

/// Transactions wait and nothing becomes final.
fn progress(seen: &Observation) -> Vec<Finding> {
    let waited = |peer: &&Peer| {
        peer.samples().is_some_and(|(first, second)| {
            first.status.pending_transactions > 0 && second.status.pending_transactions > 0
        })
    };
    let waiting: Vec<_> = seen.peers.iter().filter(waited).map(|peer| peer.index).collect();
    if waiting.is_empty() || advanced(seen) {
        return Vec::new();
    }
    let height = answering(seen).map(|(_, sample)| sample.status.height).max().unwrap_or(0);
    let what = format!("transactions wait at peers {} and nothing becomes final above height {height}", list(waiting));
    let next = "deal with the other findings first; without any, the transactions may wait for earlier nonces";
    vec![finding(Problem, None, what, next)]
}

/// The primary of the view does not answer.
fn primary(seen: &Observation) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (_, sample) in answering(seen) {
        let (view, index) = (sample.status.view, usize::from(sample.status.primary));
        let silent = seen.peers.get(index).is_some_and(|peer| peer.second.is_err());
        if silent && findings.iter().all(|finding| finding.peer != Some(index)) {
            let what = format!("it is the primary of view {view} and does not answer");
            let next = "start it; the others move on as soon as a transaction waits for longer than view_timeout_ms";
            findings.push(finding(Problem, index, what, next));
        }
    }
    findings
}

/// View changes again and again.
fn views(seen: &Observation) -> Vec<Finding> {
    let mut findings = Vec::new();
    let moved = seen.peers.iter().filter_map(|peer| Some((peer, peer.samples()?)));
    let moved: Vec<_> = moved.filter(|(_, (first, second))| second.status.view > first.status.view).collect();
    if let Some((_, (first, second))) = moved.first()
        && !advanced(seen)
    {
        let what = format!(
            "peers {} moved from view {} to {} and nothing became final: one primary after the other is given up",
            list(moved.iter().map(|(peer, _)| peer.index)),
            first.status.view,
            second.status.view
        );
        let next =
            "start the peers that are down; if all answer, their machines or links are slower than view_timeout_ms";
        findings.push(finding(Problem, None, what, next));
    }
    for (peer, sample) in answering(seen) {
        let vitals = &sample.status.vitals;
        let allowed = VIEW_CHANGES_PER_HOUR * vitals.uptime_s.max(3_600) / 3_600;
        if vitals.uptime_s > SETTLED_S && vitals.view_changes > allowed {
            let what = format!(
                "it asked for {} new views in {}",
                vitals.view_changes,
                humantime::format_duration(std::time::Duration::from_secs(vitals.uptime_s))
            );
            let next = "is a primary overloaded or badly linked? Compare the peers' dtn_step_seconds, or raise view_timeout_ms";
            findings.push(finding(Notice, peer.index, what, next));
        }
    }
    findings
}

/// The highest figure that a correct peer has reached: f + 1 peers say so.
fn believed_height(seen: &Observation, samples: impl Iterator<Item = u64>) -> Option<u64> {
    let mut heights: Vec<_> = samples.collect();
    heights.sort_unstable_by(|a, b| b.cmp(a));
    heights.get(dtn_primitives::max_faulty(seen.peers.len())).copied()
}

/// Peers that are behind and do not catch up.
fn behind(seen: &Observation) -> Vec<Finding> {
    // What the others had reached when the watch began is what a peer should have at its end.
    let first = seen.peers.iter().filter_map(|peer| Some(peer.first.as_ref().ok()?.status.height));
    let Some(reached) = believed_height(seen, first) else { return Vec::new() };
    let samples = seen.peers.iter().filter_map(|peer| Some((peer, peer.samples()?)));
    let explain = |(peer, (first, second)): (&Peer, (&Sample, &Sample))| {
        let (before, height) = (first.status.height, second.status.height);
        let what =
            format!("it is {} blocks behind, at height {height}", reached.checked_sub(height).filter(|n| *n > 0)?);
        Some(if height > before {
            let next = "wait, and look again";
            finding(Notice, peer.index, format!("{what}, and catching up"), next)
        } else {
            let next = "is it linked to peers that are ahead? Look in its log for bad blocks and store errors";
            finding(Problem, peer.index, format!("{what}, and does not catch up"), next)
        })
    };
    samples.filter_map(explain).collect()
}

/// Validators that do not vote because they lost their stores.
fn silent(seen: &Observation) -> Vec<Finding> {
    let silent = answering(seen).filter(|(_, sample)| sample.status.silent);
    let what = "its store was lost, so it does not vote for heights that it may have voted for";
    let next = "wait until the network has decided those; until then it counts as down for the quorum";
    silent.map(|(peer, _)| finding(Notice, peer.index, what, next)).collect()
}

/// Who is not linked to whom though both answer.
fn links(seen: &Observation) -> Vec<Finding> {
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
fn flapping(seen: &Observation) -> Vec<Finding> {
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

/// Clocks that differ.
fn clocks(seen: &Observation) -> Vec<Finding> {
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

/// A last block that is dated later than it is: the clocks of a quorum were ahead once.
fn time(seen: &Observation) -> Vec<Finding> {
    let mut now: Vec<_> = answering(seen).map(|(_, sample)| sample.status.vitals.time_ms).collect();
    // What f + 1 say: one that lies about its block does not count.
    let tip = believed_height(seen, answering(seen).filter_map(|(_, sample)| sample.tip_ms));
    now.sort_unstable();
    let Some((now, tip)) = now.get(now.len() / 2).copied().zip(tip) else { return Vec::new() };
    let ahead = tip.saturating_sub(now);
    if ahead <= dtn_ledger::MAX_CLOCK_DRIFT_MS {
        return Vec::new();
    }
    let ahead = humantime::format_duration(std::time::Duration::from_secs(ahead / 1_000));
    let what = format!(
        "the last final block is dated {ahead} ahead of the peers' clocks: theirs were ahead when it was made, or are \
         behind now"
    );
    let next = "compare the hosts' clocks with a clock that is right (NTP). If they are right now, wait: until they are \
                there, blocks follow each other by a millisecond of their own time, and what has a deadline waits";
    vec![finding(Problem, None, what, next)]
}

/// Peers that do not give a primary the same time.
fn timeouts(seen: &Observation) -> Vec<Finding> {
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

/// Validators that contradicted themselves.
fn evidence(seen: &Observation) -> Vec<Finding> {
    let mut caught: Vec<_> = answering(seen).flat_map(|(_, sample)| sample.status.evidence.iter().copied()).collect();
    caught.sort_unstable();
    caught.dedup();
    let next = "stop it: it is Byzantine, or two processes sign with its key; `dtn-cli l1 evidence` has the proof";
    let what = "it was caught signing two contradicting votes";
    caught.into_iter().map(|peer| finding(Problem, usize::from(peer), what, next)).collect()
}

/// Peers that send what no correct peer sends.
fn faults(seen: &Observation) -> Vec<Finding> {
    let count = |sample: &Sample, index: usize| sample.status.faults.get(index).copied().unwrap_or(0);
    let mut findings = Vec::new();
    for (index, peer) in seen.peers.iter().enumerate() {
        let by: Vec<_> =
            answering(seen).filter(|(_, sample)| count(sample, index) > 0).map(|(peer, _)| peer.index).collect();
        if by.is_empty() {
            continue;
        }
        let most = answering(seen).map(|(_, sample)| count(sample, index)).max().unwrap_or(0);
        let growing = seen
            .peers
            .iter()
            .filter_map(Peer::samples)
            .any(|(first, second)| count(second, index) > count(first, index));
        let severity = if growing { Problem } else { Notice };
        let what = format!(
            "it sent up to {most} faulty messages to one peer (counted by peers {}){}",
            list(by),
            if growing { ", and goes on" } else { "" }
        );
        let next =
            "dtn_faults_total has the kinds, the others' logs the details; does it run the same version and genesis?";
        findings.push(finding(severity, peer.index, what, next));
    }
    findings
}

/// A disk that is nearly full.
fn disk(seen: &Observation) -> Vec<Finding> {
    let locals = seen.peers.iter().filter_map(|peer| Some((peer, peer.local.as_ref()?)));
    let full = locals.filter_map(|(peer, local)| {
        let free = local.free_bytes.filter(|free| *free < MIN_FREE_BYTES)?;
        let what = format!("{} are free where its store is; a peer that cannot write stops", units::bytes(free));
        Some(finding(Problem, peer.index, what, format!("make room on the disk of {}", local.folder.display())))
    });
    full.collect()
}

/// Keys and passwords that cannot be read, or that others can read.
fn secrets(seen: &Observation) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (peer, _, config) in configured(seen) {
        for (name, Secret { path, mode }) in [("keystore", &config.keystore), ("password file", &config.password)] {
            let shown = path.display();
            let (what, next) = match mode {
                Err(error) => (
                    format!("its {name} {shown} cannot be read: {error}"),
                    "restore it, or name the right file in node.toml; the peer cannot start without it".to_string(),
                ),
                Ok(mode) if mode & 0o077 != 0 => {
                    (format!("its {name} {shown} is open to other users (mode {mode:o})"), format!("chmod 600 {shown}"))
                }
                Ok(_) => continue,
            };
            // Peers may share a password file.
            if findings.iter().all(|finding| !finding.what.contains(&shown.to_string())) {
                findings.push(finding(Problem, peer.index, what, next));
            }
        }
        if let Some(Secret { path, mode: Ok(mode) }) = &config.file
            && mode & 0o077 != 0
        {
            let shown = path.display();
            let what = format!(
                "{shown}, whose settlement.chain may have the key to an endpoint, is open to other users (mode {mode:o})"
            );
            findings.push(finding(Notice, peer.index, what, format!("chmod 600 {shown}")));
        }
    }
    findings
}

/// An API that other machines can reach.
fn exposure(seen: &Observation) -> Vec<Finding> {
    let open = configured(seen).filter(|(_, _, config)| !config.api.ip().is_loopback());
    let explain = |(peer, _, config): (&Peer, &Local, &Configured)| {
        let what = format!("its API listens on {}, beyond this machine, and asks nobody who they are", config.api);
        let next = "set `api` to a loopback address; let others in through a proxy that authenticates";
        finding(Problem, peer.index, what, next)
    };
    open.map(explain).collect()
}

/// A settlement chain that does not answer, or is another one.
fn settlement(seen: &Observation) -> Vec<Finding> {
    let failing =
        configured(seen).filter_map(|(peer, _, config)| Some((peer, config.settlement.as_ref()?.as_ref().err()?)));
    let next = "start that node or correct [settlement.chain] in node.toml; meanwhile the peer pays nobody";
    failing.map(|(peer, error)| finding(Problem, peer.index, error.clone(), next)).collect()
}

/// Peers of different versions.
fn versions(seen: &Observation) -> Vec<Finding> {
    let mut versions: Vec<_> = answering(seen).map(|(_, sample)| sample.status.vitals.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() < 2 {
        return Vec::new();
    }
    let of = |version: &str| {
        let peers = answering(seen).filter(|(_, sample)| sample.status.vitals.version == version);
        format!("{version} (peers {})", list(peers.map(|(peer, _)| peer.index)))
    };
    let what = format!(
        "the peers run different versions: {}",
        versions.iter().map(|version| of(version)).collect::<Vec<_>>().join(", ")
    );
    vec![finding(Notice, None, what, "finish the upgrade, one peer after the other")]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;

    use dtn_node::{Status, Vitals};
    use dtn_primitives::{Address, B256};

    use super::*;

    /// Some time.
    const NOW: u64 = 1_800_000_000_000;

    fn status(index: usize, n: usize) -> Status {
        Status {
            network: "test".into(),
            network_id: B256::repeat_byte(1),
            chain_id: 31_337,
            validator: Some(index as u16),
            address: Address::repeat_byte(index as u8),
            nodes: n,
            quorum: dtn_primitives::quorum(n),
            view: 3,
            primary: 3,
            height: 100,
            block_hash: B256::repeat_byte(2),
            connected: (0..n as u16).filter(|peer| usize::from(*peer) != index).collect(),
            checkpoint: 0,
            mining: None,
            silent: false,
            pending_transactions: 0,
            open_orders: 0,
            working_on: None,
            evidence: Vec::new(),
            faults: vec![0; n],
            vitals: Vitals {
                version: "1.0.0".into(),
                uptime_s: 7_200,
                time_ms: NOW,
                view_timeout_ms: 2_000,
                lost_links: vec![7; n],
                ..Vitals::default()
            },
        }
    }

    /// Four peers of this machine with nothing wrong.
    fn healthy() -> Observation {
        let n = 4;
        let peer = |index: usize| {
            let folder = PathBuf::from(format!("/net/peers/{index}"));
            let sample = Sample { status: status(index, n), clock_ahead_ms: 0, uncertain_ms: 1, tip_ms: Some(NOW) };
            let secret = |name: &str| Secret { path: folder.join(name), mode: Ok(0o600) };
            let api = format!("127.0.0.1:{}", 26_601 + 2 * index).parse().unwrap();
            let config = Configured {
                api,
                network_id: Ok(B256::repeat_byte(1)),
                taken: Vec::new(),
                keystore: secret("key.json"),
                password: secret("password"),
                file: Some(secret("node.toml")),
                settlement: Some(Ok(())),
            };
            let local =
                Local { running: true, last_error: None, free_bytes: Some(1 << 40), config: Ok(config), folder };
            Peer { index, api, first: Ok(sample.clone()), second: Ok(sample), local: Some(local) }
        };
        let peers = (0..n).map(peer).collect();
        Observation { home: "/net".into(), network_id: B256::repeat_byte(1), quorum: dtn_primitives::quorum(n), peers }
    }

    /// What all checks find when something is changed, as severity, peer and check; and all that they say.
    type Found = (Severity, Option<usize>, &'static str);

    fn after(change: impl FnOnce(&mut Observation)) -> (Vec<Found>, String) {
        let mut seen = healthy();
        change(&mut seen);
        let findings = diagnose(&seen);
        let text = findings.iter().map(|finding| format!("{} -> {}\n", finding.what, finding.next)).collect();
        (findings.iter().map(|finding| (finding.severity, finding.peer, finding.check)).collect(), text)
    }

    fn first(peer: &mut Peer) -> &mut Status {
        &mut peer.first.as_mut().unwrap().status
    }

    fn second(peer: &mut Peer) -> &mut Status {
        &mut peer.second.as_mut().unwrap().status
    }

    fn local(peer: &mut Peer) -> &mut Local {
        peer.local.as_mut().unwrap()
    }

    fn config(peer: &mut Peer) -> &mut Configured {
        local(peer).config.as_mut().unwrap()
    }

    fn silence(seen: &mut Observation, index: usize) {
        seen.peers[index].first = Err("connection refused".into());
        seen.peers[index].second = Err("connection refused".into());
        local(&mut seen.peers[index]).running = false;
        for peer in seen.peers.iter_mut().filter(|peer| peer.second.is_ok()) {
            first(peer).connected.retain(|other| usize::from(*other) != index);
            second(peer).connected.retain(|other| usize::from(*other) != index);
        }
    }

    #[test]
    fn the_documentation_explains_every_check() {
        let text = include_str!("../../../../docs/operation.md");
        for (name, _) in ALL {
            assert!(text.contains(&format!("| `{name}` |")), "docs/operation.md does not explain the check {name}");
        }
    }

    #[test]
    fn a_healthy_network_gives_no_finding_idle_or_at_work() {
        assert_eq!(after(|_| ()), (vec![], String::new()));
        let (found, _) = after(|seen| {
            for peer in &mut seen.peers {
                first(peer).pending_transactions = 9;
                second(peer).pending_transactions = 9;
                second(peer).height = 150 + peer.index as u64;
            }
        });
        assert_eq!(found, vec![]);
    }

    #[test]
    fn a_dead_peer_is_named_with_the_last_error_of_its_log() {
        let (found, text) = after(|seen| {
            silence(seen, 1);
            local(&mut seen.peers[1]).last_error = Some("error: the disk is full".into());
        });
        assert_eq!(found, [(Problem, Some(1), "answers")]);
        assert!(text.contains("the disk is full") && text.contains("l1 up --home /net"), "{text}");
    }

    #[test]
    fn a_dead_peer_whose_port_another_program_has_is_told_so() {
        let (found, text) = after(|seen| {
            silence(seen, 1);
            config(&mut seen.peers[1]).taken.push("127.0.0.1:26603".into());
        });
        assert_eq!(found, [(Problem, Some(1), "answers")]);
        assert!(text.contains("another program has 127.0.0.1:26603"), "{text}");
    }

    #[test]
    fn a_hanging_peer_and_one_elsewhere_are_told_apart() {
        let (_, text) = after(|seen| {
            silence(seen, 1);
            local(&mut seen.peers[1]).running = true;
        });
        assert!(text.contains("though its process is running"), "{text}");
        let (_, text) = after(|seen| {
            silence(seen, 1);
            seen.peers[1].local = None;
        });
        assert!(text.contains("look at its host"), "{text}");
    }

    #[test]
    fn a_dead_primary_is_said_to_be_the_primary() {
        let (found, text) = after(|seen| silence(seen, 3));
        assert_eq!(found, [(Problem, Some(3), "answers"), (Problem, Some(3), "primary")]);
        assert!(text.contains("primary of view 3"), "{text}");
    }

    #[test]
    fn fewer_than_a_quorum_is_said_once_for_the_network() {
        let (found, text) = after(|seen| {
            silence(seen, 0);
            silence(seen, 1);
        });
        let expected = [(Problem, Some(0), "answers"), (Problem, Some(1), "answers"), (Problem, None, "quorum")];
        assert_eq!(found, expected);
        assert!(text.contains("2 of 4 peers answer; 3 must"), "{text}");
    }

    #[test]
    fn a_cut_off_peer_is_without_quorum_and_links() {
        let (found, text) = after(|seen| {
            second(&mut seen.peers[2]).connected.clear();
            for other in [0, 1, 3] {
                second(&mut seen.peers[other]).connected.retain(|peer| *peer != 2);
            }
        });
        assert_eq!(
            found,
            [
                (Problem, Some(2), "quorum"),
                (Problem, Some(0), "links"),
                (Problem, Some(1), "links"),
                (Problem, Some(2), "links"),
                (Problem, Some(3), "links")
            ]
        );
        assert!(text.contains("it has no link to peers 0, 1, 3, which answer"), "{text}");
    }

    #[test]
    fn a_configuration_that_is_not_valid_is_quoted() {
        let (found, text) = after(|seen| local(&mut seen.peers[0]).config = Err("unknown field `lisen`".into()));
        assert_eq!(found, [(Problem, Some(0), "configuration")]);
        assert!(text.contains("lisen"), "{text}");
    }

    #[test]
    fn a_peer_of_another_network_or_place_is_found() {
        let (found, _) = after(|seen| second(&mut seen.peers[0]).network_id = B256::repeat_byte(9));
        assert_eq!(found, [(Problem, Some(0), "genesis")]);
        let (found, _) = after(|seen| second(&mut seen.peers[0]).validator = Some(2));
        assert_eq!(found, [(Problem, Some(0), "genesis")]);
        let (found, text) = after(|seen| second(&mut seen.peers[0]).validator = None);
        assert_eq!(found, [(Problem, Some(0), "genesis")]);
        assert!(text.contains("answers as an observer"), "{text}");
        let (found, _) = after(|seen| config(&mut seen.peers[0]).network_id = Ok(B256::repeat_byte(9)));
        assert_eq!(found, [(Problem, Some(0), "genesis")]);
        let (found, _) = after(|seen| config(&mut seen.peers[0]).network_id = Err("no such file".into()));
        assert_eq!(found, [(Problem, Some(0), "genesis")]);
    }

    #[test]
    fn transactions_that_wait_while_nothing_becomes_final_are_a_problem() {
        let (found, _) = after(|seen| {
            first(&mut seen.peers[1]).pending_transactions = 1;
            second(&mut seen.peers[1]).pending_transactions = 1;
        });
        assert_eq!(found, [(Problem, None, "progress")]);
    }

    #[test]
    fn views_that_change_without_a_decision_are_a_problem_and_many_changes_are_a_notice() {
        let (found, text) = after(|seen| seen.peers.iter_mut().for_each(|peer| second(peer).view = 5));
        assert_eq!(found, [(Problem, None, "views")]);
        assert!(text.contains("from view 3 to 5"), "{text}");
        let (found, _) = after(|seen| {
            for peer in &mut seen.peers {
                (second(peer).view, second(peer).height) = (4, 101);
            }
        });
        assert_eq!(found, [], "one view change and the network goes on");
        // The uptime is two hours.
        let (found, text) = after(|seen| second(&mut seen.peers[1]).vitals.view_changes = 25);
        assert_eq!(found, [(Notice, Some(1), "views")]);
        assert!(text.contains("25 new views in 2h"), "{text}");
        assert_eq!(after(|seen| second(&mut seen.peers[1]).vitals.view_changes = 24).0, []);
    }

    #[test]
    fn a_peer_that_is_behind_is_a_problem_only_if_it_does_not_catch_up() {
        let at = |first_height, second_height| {
            after(|seen| {
                first(&mut seen.peers[1]).height = first_height;
                second(&mut seen.peers[1]).height = second_height;
            })
        };
        let (found, text) = at(40, 40);
        assert_eq!(found, [(Problem, Some(1), "behind")]);
        assert!(text.contains("60 blocks behind, at height 40"), "{text}");
        assert_eq!(at(40, 90).0, [(Notice, Some(1), "behind")]);
        assert_eq!(at(40, 100).0, []);
        let (found, _) = after(|seen| {
            first(&mut seen.peers[1]).height = 1_000_000;
            second(&mut seen.peers[1]).height = 1_000_000;
        });
        assert_eq!(found, [], "one peer that says it is far ahead does not put the others behind");
    }

    #[test]
    fn clocks_apart_are_found_unless_the_answer_was_slow() {
        let apart = |ahead, uncertain| {
            after(|seen| {
                let sample = seen.peers[1].second.as_mut().unwrap();
                (sample.clock_ahead_ms, sample.uncertain_ms) = (ahead, uncertain);
            })
        };
        let (found, text) = apart(-6_000, 10);
        assert_eq!(found, [(Problem, Some(1), "clocks")]);
        assert!(text.contains("6000 ms behind"), "{text}");
        assert_eq!(apart(700, 10).0, [(Notice, Some(1), "clocks")]);
        assert_eq!(apart(6_000, 5_900).0, []);
        // This machine's own clock is nobody's.
        let (found, _) = after(|seen| {
            seen.peers.iter_mut().for_each(|peer| peer.second.as_mut().unwrap().clock_ahead_ms = 60_000);
        });
        assert_eq!(found, []);
    }

    #[test]
    fn links_that_flap_name_the_peer_whose_key_may_be_used_twice() {
        let (found, text) = after(|seen| {
            for other in [0, 1, 2] {
                second(&mut seen.peers[other]).vitals.lost_links[3] += 6;
            }
        });
        assert_eq!(found, [(Problem, Some(3), "flapping")]);
        assert!(
            text.contains("6 times at one peer (seen by peers 0, 1, 2)") && text.contains("copied folder"),
            "{text}"
        );
        // It was cut off, or started again.
        let once =
            |seen: &mut Observation| seen.peers.iter_mut().for_each(|peer| second(peer).vitals.lost_links[3] += 1);
        assert_eq!(after(once).0, []);
    }

    #[test]
    fn a_block_from_the_future_is_told_unless_one_peer_alone_says_so() {
        let ahead = |peers: usize, ms: u64| {
            after(|seen| {
                for peer in &mut seen.peers[..peers] {
                    peer.second.as_mut().unwrap().tip_ms = Some(NOW + ms);
                }
            })
        };
        let (found, text) = ahead(4, 3_540_000);
        assert_eq!(found, [(Problem, None, "time")]);
        assert!(text.contains("59m ahead of the peers' clocks"), "{text}");
        assert_eq!(ahead(1, 3_540_000).0, []);
        assert_eq!(ahead(4, dtn_ledger::MAX_CLOCK_DRIFT_MS).0, []);
    }

    #[test]
    fn different_view_timeouts_are_a_notice() {
        let (found, text) = after(|seen| second(&mut seen.peers[1]).vitals.view_timeout_ms = 500);
        assert_eq!(found, [(Notice, None, "timeouts")]);
        assert!(text.contains("500 ms (peers 1), 2000 ms (peers 0, 2, 3)"), "{text}");
    }

    #[test]
    fn evidence_and_faults_name_the_peer_they_are_against() {
        let (found, _) = after(|seen| {
            second(&mut seen.peers[0]).evidence.push(2);
            second(&mut seen.peers[1]).evidence.push(2);
        });
        assert_eq!(found, [(Problem, Some(2), "evidence")]);
        let (found, text) = after(|seen| {
            first(&mut seen.peers[0]).faults[3] = 7;
            second(&mut seen.peers[0]).faults[3] = 7;
        });
        assert_eq!(found, [(Notice, Some(3), "faults")]);
        assert!(text.contains("up to 7 faulty messages"), "{text}");
        let (found, _) = after(|seen| second(&mut seen.peers[0]).faults[3] = 1);
        assert_eq!(found, [(Problem, Some(3), "faults")]);
    }

    #[test]
    fn a_validator_that_lost_its_store_is_a_notice() {
        let (found, _) = after(|seen| second(&mut seen.peers[1]).silent = true);
        assert_eq!(found, [(Notice, Some(1), "silent")]);
    }

    #[test]
    fn a_full_disk_is_found() {
        let (found, text) = after(|seen| local(&mut seen.peers[1]).free_bytes = Some(5 << 20));
        assert_eq!(found, [(Problem, Some(1), "disk")]);
        assert!(text.contains("/net/peers/1"), "{text}");
    }

    #[test]
    fn secrets_that_are_open_or_unreadable_are_found_once_each() {
        let (found, text) = after(|seen| {
            for peer in &mut seen.peers {
                config(peer).password = Secret { path: "/net/password".into(), mode: Ok(0o644) };
            }
        });
        assert_eq!(found, [(Problem, Some(0), "secrets")], "the file that they share");
        assert!(text.contains("mode 644") && text.contains("chmod 600 /net/password"), "{text}");
        let (found, _) = after(|seen| config(&mut seen.peers[1]).keystore.mode = Err("no such file".into()));
        assert_eq!(found, [(Problem, Some(1), "secrets")]);
        let (found, text) = after(|seen| config(&mut seen.peers[1]).file.as_mut().unwrap().mode = Ok(0o644));
        assert_eq!(found, [(Notice, Some(1), "secrets")]);
        assert!(text.contains("chmod 600 /net/peers/1/node.toml"), "{text}");
    }

    #[test]
    fn an_api_beyond_loopback_is_a_problem() {
        let (found, text) = after(|seen| config(&mut seen.peers[1]).api = "0.0.0.0:26603".parse().unwrap());
        assert_eq!(found, [(Problem, Some(1), "exposure")]);
        assert!(text.contains("0.0.0.0:26603"), "{text}");
    }

    #[test]
    fn a_wrong_settlement_chain_is_quoted_and_none_is_fine() {
        let wrong = "http://127.0.0.1:8545 is chain 31337, but network `testnet` is chain 97";
        let (found, text) = after(|seen| config(&mut seen.peers[1]).settlement = Some(Err(wrong.into())));
        assert_eq!(found, [(Problem, Some(1), "settlement")]);
        assert!(text.contains(wrong), "{text}");
        assert_eq!(after(|seen| config(&mut seen.peers[1]).settlement = None).0, []);
    }

    #[test]
    fn different_versions_are_a_notice() {
        let (found, text) = after(|seen| second(&mut seen.peers[1]).vitals.version = "1.1.0".into());
        assert_eq!(found, [(Notice, None, "versions")]);
        assert!(text.contains("1.0.0 (peers 0, 2, 3), 1.1.0 (peers 1)"), "{text}");
    }
}
