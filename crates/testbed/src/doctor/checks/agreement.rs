//! Whether the network decides, and who keeps it from that.

use super::*;

/// More views asked for than this in an hour are worth a look, in a peer that has run for some minutes.
const VIEW_CHANGES_PER_HOUR: u64 = 12;

/// A peer that has been up for a shorter time, in seconds, may still be connecting.
const SETTLED_S: u64 = 300;

/// Transactions wait and nothing becomes final.
pub(super) fn progress(seen: &Observation) -> Vec<Finding> {
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

/// Whether the highest height grew while it was watched.
fn advanced(seen: &Observation) -> bool {
    let samples = || seen.peers.iter().filter_map(Peer::samples);
    let (before, after) =
        (samples().map(|(first, _)| first.status.height), samples().map(|(_, second)| second.status.height));
    after.max() > before.max()
}

/// The primary of the view does not answer.
pub(super) fn primary(seen: &Observation) -> Vec<Finding> {
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
pub(super) fn views(seen: &Observation) -> Vec<Finding> {
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
pub(super) fn behind(seen: &Observation) -> Vec<Finding> {
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

/// Validators that do not vote yet, and whether enough others do.
pub(super) fn silent(seen: &Observation) -> Vec<Finding> {
    let is_silent = |sample: &Sample| sample.status.silent;
    let was_silent = |peer: &Peer| peer.first.as_ref().is_ok_and(is_silent);
    let silent: Vec<_> = answering(seen).filter(|(peer, sample)| is_silent(sample) && was_silent(peer)).collect();
    let voting = answering(seen).filter(|(_, sample)| sample.status.validator.is_some() && !is_silent(sample)).count();
    if !silent.is_empty() && voting < seen.quorum {
        let what =
            format!("{voting} validators vote, and {} are needed: {} do not vote yet", seen.quorum, silent.len());
        let next = "start those that are down, with their stores. If more have lost their stores at one time than are \
                    tolerated, nothing becomes final any more; docs/protocols/recovery.md says what is left";
        return vec![finding(Problem, None, what, next)];
    }
    let what = "it does not vote yet: it asks the others, catches up, or has lost its store";
    let next = "wait: the others let heights pass for it. Until then it counts as down for the quorum";
    silent.iter().map(|(peer, _)| finding(Notice, peer.index, what, next)).collect()
}

/// A last block that is dated later than it is: the clocks of a quorum were ahead once.
pub(super) fn time(seen: &Observation) -> Vec<Finding> {
    let mut now: Vec<_> = answering(seen).map(|(_, sample)| sample.status.vitals.time_ms).collect();
    // What f + 1 say: one that lies about its block does not count.
    let tip = believed_height(seen, answering(seen).filter_map(|(_, sample)| sample.tip_ms));
    now.sort_unstable();
    let Some((now, tip)) = now.get(now.len() / 2).copied().zip(tip) else { return Vec::new() };
    let ahead = tip.saturating_sub(now);
    if ahead <= dtn_ledger::MAX_AHEAD_MS {
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

/// Validators that contradicted themselves.
pub(super) fn evidence(seen: &Observation) -> Vec<Finding> {
    let mut caught: Vec<_> = answering(seen).flat_map(|(_, sample)| sample.status.evidence.iter().copied()).collect();
    caught.sort_unstable();
    caught.dedup();
    let next = "stop it: it is Byzantine, or two processes sign with its key; `dtn-cli l1 evidence` has the proof";
    let what = "it was caught signing two contradicting votes";
    caught.into_iter().map(|peer| finding(Problem, usize::from(peer), what, next)).collect()
}

/// Peers that send what no correct peer sends.
pub(super) fn faults(seen: &Observation) -> Vec<Finding> {
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
