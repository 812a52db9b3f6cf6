//! Peers, and a chain for them, as processes of this machine: starting them, waiting for them, stopping them.

use std::{
    ffi::OsString,
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::PathBuf,
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
        Self { folder: peer.path().into(), arguments: vec!["l1".into(), "node".into(), peer.path().into()] }
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
        signal(pid, Signal::SIGKILL)?;
        while !gone(pid) {
            sleep(POLL).await;
        }
        Ok(())
    }

    /// The last lines of the log.
    fn log_tail(&self) -> String {
        const TAIL: u64 = 2_000;
        let read = || -> std::io::Result<String> {
            let mut file = fs::File::open(self.log_file())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error| format!("({} cannot be read: {error})", self.log_file().display()))
    }
}

/// Starts every peer that is not running and waits until all are connected to all. `ready` is told how many are.
pub(crate) async fn up(home: &Home, ready: impl Fn(usize)) -> Result<Vec<Status>> {
    let peers = home.peers()?;
    let clients: Vec<_> = home.client()?.peers.into_iter().map(api_client).collect::<Result<_>>()?;
    let services: Vec<_> = peers.iter().map(Service::peer).collect();
    let mut children = Vec::new();
    for service in &services {
        children.push(if service.running().is_some() { None } else { Some(service.spawn()?) });
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
        let mut failure = Ok(());
        for (service, child) in services.iter().zip(&mut children) {
            if let Some(child) = child {
                failure = failure.and_then(|()| service.check_alive(child));
            }
        }
        if Instant::now() > deadline {
            let logs = home.path().join("peers");
            let missing = "see the logs in";
            failure = failure.and_then(|()| {
                bail!(
                    "{} of {} peers were connected after {START_TIMEOUT:?}; {missing} {}",
                    connected.len(),
                    peers.len(),
                    logs.display()
                )
            });
        }
        if failure.is_err() {
            stop(&services).await?;
            failure?;
        }
        sleep(POLL).await;
    }
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
    let peers: Vec<_> = home.peers()?.iter().map(Service::peer).collect();
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
    for (service, pid) in &alive {
        while !gone(*pid) {
            if Instant::now() > deadline {
                signal(*pid, Signal::SIGKILL)?;
            }
            sleep(POLL).await;
        }
        // It names a process that is gone; an error leaves it to be recognized as such.
        fs::remove_file(service.pid_file()).ok();
    }
    Ok(alive.len())
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
