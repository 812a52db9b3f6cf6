//! Peers as processes of this machine: starting them, waiting for them, stopping them.

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use dtn_node::{ApiClient, Status};
use jsonrpsee::http_client::HttpClient;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use super::{
    client::api_client,
    home::{Home, PeerHome},
};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// The process id in a peer's folder, if that process is alive and is still the peer.
pub(crate) fn running(peer: &PeerHome) -> Option<Pid> {
    let pid: i32 = fs::read_to_string(peer.pid_file()).ok()?.trim().parse().ok()?;
    let pid = Pid::from_raw(pid);
    kill(pid, None).ok()?;
    // Process ids are used again. Where the system tells the command line, it must be this peer's.
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(command) => {
            let home = peer.path().as_os_str().as_encoded_bytes();
            let arguments: Vec<_> = command.split(|byte| *byte == 0).collect();
            arguments.contains(&home).then_some(pid)
        }
        Err(_) => Some(pid),
    }
}

/// Starts a peer in its own process group, so that Ctrl-C here does not reach it. Its output goes to its log.
pub(crate) fn spawn(peer: &PeerHome) -> Result<Child> {
    let log = fs::OpenOptions::new().create(true).append(true).open(peer.log());
    let log = log.with_context(|| format!("cannot write {}", peer.log().display()))?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let child = Command::new(program)
        .args(["l1", "node", "--home"])
        .arg(peer.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("cannot start a peer")?;
    fs::write(peer.pid_file(), child.id().to_string())
        .with_context(|| format!("cannot write {}", peer.pid_file().display()))?;
    Ok(child)
}

/// Starts every peer that is not running and waits until all are connected to all. `ready` is told how many are.
pub(crate) async fn up(home: &Home, ready: impl Fn(usize)) -> Result<Vec<Status>> {
    let peers = home.peers()?;
    let clients: Vec<_> = home.client()?.peers.into_iter().map(api_client).collect::<Result<_>>()?;
    let mut children = Vec::new();
    for peer in &peers {
        children.push(if running(peer).is_some() { None } else { Some(spawn(peer)?) });
    }
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let statuses = statuses(&clients).await;
        let connected: Vec<_> =
            statuses.into_iter().flatten().filter(|status| status.connected.len() + 1 == peers.len()).collect();
        ready(connected.len());
        if connected.len() == peers.len() {
            return Ok(connected);
        }
        for (peer, child) in peers.iter().zip(&mut children) {
            if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                let name = peer.path().display();
                let log = log_tail(peer);
                stop(&peers).await?;
                bail!("the peer in {name} ended at once ({status}); the end of its log:\n{log}");
            }
        }
        if Instant::now() > deadline {
            stop(&peers).await?;
            bail!(
                "only {} of {} peers were connected after {START_TIMEOUT:?}; see the logs in {}",
                connected.len(),
                peers.len(),
                home.path().join("peers").display()
            );
        }
        sleep(POLL).await;
    }
}

/// Asks all peers for their status; `None` for those that do not answer.
pub(crate) async fn statuses(clients: &[HttpClient]) -> Vec<Option<Status>> {
    futures::future::join_all(clients.iter().map(async |client| client.status().await.ok())).await
}

/// Stops all peers of a network, and the chain that it was left running with; gives how many peers were running.
pub(crate) async fn down(home: &Home) -> Result<usize> {
    let stopped = stop(&home.peers()?).await?;
    let file = home.anvil_pid_file();
    if let Some(pid) = fs::read_to_string(&file).ok().and_then(|pid| pid.trim().parse().ok()).map(Pid::from_raw) {
        let named = fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with(b"anvil"));
        if named {
            signal(pid, Signal::SIGTERM)?;
        }
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(stopped)
}

async fn stop(peers: &[PeerHome]) -> Result<usize> {
    let alive: Vec<_> = peers.iter().filter_map(|peer| Some((peer, running(peer)?))).collect();
    for (_, pid) in &alive {
        signal(*pid, Signal::SIGTERM)?;
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    for (peer, pid) in &alive {
        while !gone(*pid) {
            if Instant::now() > deadline {
                signal(*pid, Signal::SIGKILL)?;
            }
            sleep(POLL).await;
        }
        // It names a process that is gone; an error leaves it to be recognized as such.
        fs::remove_file(peer.pid_file()).ok();
    }
    Ok(alive.len())
}

/// Kills a peer the hard way (SIGKILL), as a crash would.
pub(crate) async fn crash(peer: &PeerHome) -> Result<()> {
    let Some(pid) = running(peer) else { bail!("the peer in {} is not running", peer.path().display()) };
    signal(pid, Signal::SIGKILL)?;
    while !gone(pid) {
        sleep(POLL).await;
    }
    Ok(())
}

fn signal(pid: Pid, signal: Signal) -> Result<()> {
    match kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot signal process {pid}")),
    }
}

/// Whether a process is gone. A child of ours that ended is collected here, else it would stay as a zombie.
fn gone(pid: Pid) -> bool {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    waitpid(pid, Some(WaitPidFlag::WNOHANG)).ok();
    kill(pid, None) == Err(Errno::ESRCH)
}

/// The last lines of a peer's log.
fn log_tail(peer: &PeerHome) -> String {
    const TAIL: u64 = 2_000;
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(peer.log())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("({} cannot be read: {error})", peer.log().display()))
}
