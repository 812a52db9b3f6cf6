//! One process of this program in a folder of its own: who it is, how it is started and how it is stopped.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use dtn_peer::PeerHome;
use dtn_peer::hold::{Holder, holder};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use crate::{Result, TestbedError, home::Home};

/// How long a process may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(50);

/// A process of this program in a folder of its own, with its log there.
#[derive(Debug, Clone)]
pub struct Service {
    folder: PathBuf,
    arguments: Vec<OsString>,
    /// Who holds one of these is this service.
    held: Vec<PathBuf>,
}

impl Service {
    /// A peer. It holds its keystore too, which tells who it is where the file in its folder was removed.
    pub fn peer(peer: &PeerHome) -> Self {
        // The log file is named, so that the peer keeps its size within limits.
        let arguments = ["l1".into(), "node".into(), peer.path().into(), "--log-file".into(), peer.log().into()];
        let keystore = peer.config(&[]).ok().map(|config| config.keystore);
        let held = [peer.pid_file()].into_iter().chain(keystore).collect();
        Self { folder: peer.path().into(), arguments: arguments.into(), held }
    }

    /// The development chain of a network.
    pub fn chain(home: &Home, port: u16) -> Self {
        let (folder, pid_file) = (home.chain(), home.chain().join("pid"));
        let arguments =
            ["anvil".into(), "--port".into(), port.to_string().into(), "--pid-file".into(), pid_file.clone().into()];
        Self { folder, arguments: arguments.into(), held: vec![pid_file] }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Who is this service now. A file that cannot be read tells nothing.
    pub fn holder(&self) -> Holder {
        let holders = self.held.iter().filter_map(|file| holder(file).ok());
        holders.into_iter().find(|holder| *holder != Holder::Nobody).unwrap_or(Holder::Nobody)
    }

    /// Whether it runs, here or where its process cannot be seen.
    pub fn runs(&self) -> bool {
        self.holder() != Holder::Nobody
    }

    /// Its process, if it runs and can be seen.
    pub fn process(&self) -> Option<Pid> {
        match self.holder() {
            Holder::Process(pid) => Some(pid),
            Holder::Nobody | Holder::Unseen => None,
        }
    }

    /// Starts it in its own process group, so that Ctrl-C here does not reach it. Its output goes to its log.
    pub fn spawn(&self) -> Result<Child> {
        fs::create_dir_all(&self.folder).map_err(TestbedError::path("make", &self.folder))?;
        let log = OpenOptions::new().create(true).append(true).open(self.log_file());
        let log = log.map_err(TestbedError::path("write", self.log_file()))?;
        let failed = |source| TestbedError::Start { folder: self.folder.clone(), source };
        Command::new(std::env::current_exe().map_err(failed)?)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)
    }

    /// Why a child that was started for it has ended, if it has: its status and the end of its log.
    pub fn ended(&self, child: &mut Child) -> Result<Option<String>> {
        let failed = |source| TestbedError::Start { folder: self.folder.clone(), source };
        let Some(status) = child.try_wait().map_err(failed)? else { return Ok(None) };
        let folder = self.folder.display();
        Ok(Some(format!("the process in {folder} ended ({status}); the end of its log:\n{}", self.log_tail())))
    }

    /// Kills it the hard way (SIGKILL), as a crash would.
    pub async fn crash(&self) -> Result<()> {
        let Some(pid) = self.process() else { return Err(TestbedError::NotRunning(self.folder.clone())) };
        self.kill(pid).await
    }

    async fn kill(&self, pid: Pid) -> Result<()> {
        self.signal(pid, Signal::SIGKILL)?;
        let gone = gone_by(pid, Instant::now() + KILL_TIMEOUT).await || self.process() != Some(pid);
        match gone {
            true => Ok(()),
            false => Err(TestbedError::Endless { pid: pid.as_raw(), folder: self.folder.clone() }),
        }
    }

    fn signal(&self, pid: Pid, signal: Signal) -> Result<()> {
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => {
                Err(TestbedError::Signal { pid: pid.as_raw(), folder: self.folder.clone(), source: error.into() })
            }
        }
    }

    /// The last lines of the log.
    fn log_tail(&self) -> String {
        let tail = read_tail(&self.log_file(), 2_000);
        tail.unwrap_or_else(|error| format!("({} cannot be read: {error})", self.log_file().display()))
    }

    /// The last error in the log, if there is one near its end.
    pub fn last_error(&self) -> Option<String> {
        let tail = read_tail(&self.log_file(), 64 * 1024).ok()?;
        tail.lines().rev().find(|line| is_error(line)).map(|line| line.trim().to_string())
    }
}

/// Stops services, all at once; gives how many ran.
pub async fn stop(services: &[Service]) -> Result<usize> {
    let alive: Vec<_> = services.iter().filter_map(|service| Some((service, service.process()?))).collect();
    let mut outcome = Ok(());
    for (service, pid) in &alive {
        // That one cannot be stopped, as another user's, is no reason to leave the others.
        outcome = outcome.and(service.signal(*pid, Signal::SIGTERM));
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    for (service, pid) in &alive {
        if !gone_by(*pid, deadline).await && service.process() == Some(*pid) {
            outcome = outcome.and(service.kill(*pid).await);
        }
    }
    outcome.map(|()| alive.len())
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

fn read_tail(file: &Path, bytes: u64) -> std::io::Result<String> {
    let mut file = File::open(file)?;
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
