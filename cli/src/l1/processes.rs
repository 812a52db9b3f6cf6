//! Peers, and a chain for them, as processes of this machine: starting them, waiting for them, stopping them.

use std::{
    ffi::OsString,
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
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
/// A peer that takes longer to say how it is doing counts as not answering.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a process may take to be gone after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(50);

/// A process of this program in a folder of its own, with its log and its process id there. The folder is among its
/// arguments, by which it is recognized.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    folder: PathBuf,
    arguments: Vec<OsString>,
}

impl Service {
    /// A peer.
    pub(crate) fn peer(peer: &PeerHome) -> Self {
        // The log file is named, so that the peer keeps its size within limits.
        let arguments = ["l1".into(), "node".into(), peer.path().into(), "--log-file".into(), peer.log().into()];
        Self { folder: peer.path().into(), arguments: arguments.into() }
    }

    /// The development chain of a network.
    pub(crate) fn chain(home: &Home, port: u16) -> Self {
        let folder = home.chain();
        let arguments =
            ["anvil".into(), "--port".into(), port.to_string().into(), "--home".into(), folder.clone().into()];
        Self { folder, arguments: arguments.into() }
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The process id in the folder, if that process is alive and is still this service.
    pub(crate) fn running(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let pid = Pid::from_raw(pid);
        kill(pid, None).ok()?;
        // Process ids are used again. Where the system tells the command line, it must be this service's.
        match fs::read(format!("/proc/{pid}/cmdline")) {
            Ok(command) => {
                let folder = self.folder.as_os_str().as_encoded_bytes();
                command.split(|byte| *byte == 0).any(|argument| argument == folder).then_some(pid)
            }
            Err(_) => Some(pid),
        }
    }

    /// Starts it in its own process group, so that Ctrl-C here does not reach it. Its output goes to its log.
    pub(crate) fn spawn(&self) -> Result<Child> {
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file());
        let log = log.with_context(|| format!("cannot write {}", self.log_file().display()))?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let child = Command::new(program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {:?}", self.arguments))?;
        fs::write(self.pid_file(), child.id().to_string())
            .with_context(|| format!("cannot write {}", self.pid_file().display()))?;
        Ok(child)
    }

    /// Fails with the end of the log if the process has ended.
    pub(crate) fn check_alive(&self, child: &mut Child) -> Result<()> {
        let Some(status) = child.try_wait().context("cannot wait for a process")? else { return Ok(()) };
        bail!(
            "the process in {} ended at once ({status}); the end of its log:\n{}",
            self.folder.display(),
            self.log_tail()
        )
    }

    /// Kills it the hard way (SIGKILL), as a crash would.
    pub(crate) async fn crash(&self) -> Result<()> {
        let Some(pid) = self.running() else { bail!("nothing is running in {}", self.folder.display()) };
        self.kill(pid).await
    }

    async fn kill(&self, pid: Pid) -> Result<()> {
        signal(pid, Signal::SIGKILL)?;
        if !gone_by(pid, Instant::now() + KILL_TIMEOUT).await {
            bail!("process {pid} in {} does not end, even when it is killed", self.folder.display());
        }
        Ok(())
    }

    /// The last lines of the log.
    fn log_tail(&self) -> String {
        let tail = read_tail(&self.log_file(), 2_000);
        tail.unwrap_or_else(|error| format!("({} cannot be read: {error})", self.log_file().display()))
    }

    /// The last error in the log, if there is one near its end.
    pub(crate) fn last_error(&self) -> Option<String> {
        let tail = read_tail(&self.log_file(), 64 * 1024).ok()?;
        tail.lines().rev().find(|line| is_error(line)).map(|line| line.trim().to_string())
    }
}

fn read_tail(file: &Path, bytes: u64) -> std::io::Result<String> {
    let mut file = fs::File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}

/// Whether a line of a log tells of an error: one that was logged, as text or JSON, or what ended the process.
fn is_error(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("error: ")
        || line.contains("panicked at")
        || line.contains("\"level\":\"ERROR\"")
        || line.split_whitespace().nth(1) == Some("ERROR")
}

/// Starts every peer that is not running and waits until all are connected to all. `ready` is told how many are. When
/// it fails, what it started is stopped; peers that ran before go on.
pub(crate) async fn up(home: &Home, ready: impl Fn(usize)) -> Result<Vec<Status>> {
    let mut started = Vec::new();
    let outcome = start_missing(home, ready, &mut started).await;
    if outcome.is_err() {
        let started: Vec<_> = started.into_iter().map(|(service, _)| service).collect();
        stop(&started).await?;
    }
    outcome
}

async fn start_missing(home: &Home, ready: impl Fn(usize), started: &mut Vec<(Service, Child)>) -> Result<Vec<Status>> {
    let peers = home.peers()?;
    let clients: Vec<_> = home.client()?.peers.into_iter().map(api_client).collect::<Result<_>>()?;
    for service in peers.iter().chain(&home.observers()).map(Service::peer) {
        if service.running().is_none() {
            let child = service.spawn()?;
            started.push((service, child));
        }
    }
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        for (service, child) in &mut *started {
            service.check_alive(child)?;
        }
        let statuses = statuses(&clients).await;
        // A new validator votes once the others have told it that they are new too.
        let begun =
            |status: &Status| status.connected.len() + 1 == peers.len() && !(status.silent && status.height == 0);
        let connected: Vec<_> = statuses.into_iter().flatten().filter(begun).collect();
        ready(connected.len());
        if connected.len() == peers.len() {
            return Ok(connected);
        }
        if Instant::now() > deadline {
            bail!(
                "{} of {} peers were connected after {START_TIMEOUT:?}; see the logs in {}",
                connected.len(),
                peers.len(),
                home.path().join("peers").display()
            );
        }
        sleep(POLL).await;
    }
}

/// Whether any peer of a network runs as a process of this machine.
pub(crate) fn any_peer_runs(home: &Home) -> Result<bool> {
    Ok(home.peers()?.iter().map(Service::peer).any(|peer| peer.running().is_some()))
}

/// Asks all peers for their status; `None` for those that do not answer.
pub(crate) async fn statuses(clients: &[HttpClient]) -> Vec<Option<Status>> {
    let status = async |client: &HttpClient| {
        let answer = tokio::time::timeout(STATUS_TIMEOUT, client.status()).await;
        answer.ok().and_then(Result::ok)
    };
    futures::future::join_all(clients.iter().map(status)).await
}

/// Stops all peers of a network, and the chain that it was left running with; gives how many peers were running.
pub(crate) async fn down(home: &Home) -> Result<usize> {
    let peers: Vec<_> = home.peers()?.iter().chain(&home.observers()).map(Service::peer).collect();
    let stopped = stop(&peers).await?;
    stop(&[Service::chain(home, 0)]).await?;
    Ok(stopped)
}

async fn stop(services: &[Service]) -> Result<usize> {
    let alive: Vec<_> = services.iter().filter_map(|service| Some((service, service.running()?))).collect();
    for (_, pid) in &alive {
        signal(*pid, Signal::SIGTERM)?;
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    let mut outcome = Ok(());
    for (service, pid) in &alive {
        if !gone_by(*pid, deadline).await
            && let Err(error) = service.kill(*pid).await
        {
            outcome = Err(error);
            continue;
        }
        // It names a process that is gone; an error leaves it to be recognized as such.
        fs::remove_file(service.pid_file()).ok();
    }
    outcome.map(|()| alive.len())
}

fn signal(pid: Pid, signal: Signal) -> Result<()> {
    match kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot signal process {pid}")),
    }
}

/// Waits for the end of a process; whether it came in time.
async fn gone_by(pid: Pid, deadline: Instant) -> bool {
    while !gone(pid) {
        if Instant::now() > deadline {
            return false;
        }
        sleep(POLL).await;
    }
    true
}

/// Whether a process is gone. A child of ours that ended is collected here; another's child that ended may stay as a
/// zombie for as long as its parent likes, and counts as gone.
fn gone(pid: Pid) -> bool {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    waitpid(pid, Some(WaitPidFlag::WNOHANG)).ok();
    kill(pid, None) == Err(Errno::ESRCH) || is_zombie(pid)
}

fn is_zombie(pid: Pid) -> bool {
    // The state follows the command's name, which is in parentheses and may hold any character.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
}
