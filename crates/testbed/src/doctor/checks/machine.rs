//! The machine that a peer runs on, and what it can reach from there.

use super::*;

/// A disk with less free space than this is nearly full.
const MIN_FREE_BYTES: u64 = 1 << 30;

/// A disk that is nearly full.
pub(super) fn disk(seen: &Observation) -> Vec<Finding> {
    let locals = seen.peers.iter().filter_map(|peer| Some((peer, peer.local.as_ref()?)));
    let full = locals.filter_map(|(peer, local)| {
        let free = local.free_bytes.filter(|free| *free < MIN_FREE_BYTES)?;
        let what = format!("{} are free where its store is; a peer that cannot write stops", units::bytes(free));
        Some(finding(Problem, peer.index, what, format!("make room on the disk of {}", local.folder.display())))
    });
    full.collect()
}

/// Keys and passwords that cannot be read, or that others can read.
pub(super) fn secrets(seen: &Observation) -> Vec<Finding> {
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
pub(super) fn exposure(seen: &Observation) -> Vec<Finding> {
    let open = configured(seen).filter(|(_, _, config)| !config.api.ip().is_loopback());
    let explain = |(peer, _, config): (&Peer, &Local, &Configured)| {
        let what = format!("its API listens on {}, beyond this machine, and asks nobody who they are", config.api);
        let next = "set `api` to a loopback address; let others in through a proxy that authenticates";
        finding(Problem, peer.index, what, next)
    };
    open.map(explain).collect()
}

/// A settlement chain that does not answer, or is another one.
pub(super) fn settlement(seen: &Observation) -> Vec<Finding> {
    let failing =
        configured(seen).filter_map(|(peer, _, config)| Some((peer, config.settlement.as_ref()?.as_ref().err()?)));
    let next = "start that node or correct [settlement.chain] in node.toml; meanwhile the peer pays nobody";
    failing.map(|(peer, error)| finding(Problem, peer.index, error.clone(), next)).collect()
}
