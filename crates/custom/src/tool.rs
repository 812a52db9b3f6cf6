//! A program that is run with a folder.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    ToolError,
    folder::{MAX_OUTPUT_BYTES, is_beyond, size_of},
};

/// What a tool sees of the environment: where programs and libraries are, the language, and which processors it may use. Keys,
/// passwords and everything else that is set for this process stay here.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
];

/// How often it is looked whether a tool has ended.
const LOOK: Duration = Duration::from_millis(50);

/// How many of those looks are without one at the folder.
const LOOKS_A_MEASURE: u32 = 10;

/// How long what a tool has written is still read when it has ended.
const LINGER: Duration = Duration::from_secs(1);

/// The longest line that is told, and the most lines.
const LINE: usize = 400;
const LINES: usize = 1_000;

/// What is kept of the standard output: the end of it.
const OUTPUT: usize = 4_096;

/// A program of somebody's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    program: PathBuf,
}

impl Tool {
    /// The one in a file, by whatever path; fails if that cannot be run.
    pub fn find(program: &Path) -> Result<Self, ToolError> {
        let absent = |source| ToolError::Absent { program: program.into(), source };
        let program = std::path::absolute(program).map_err(absent)?;
        let metadata = fs::metadata(&program).map_err(absent)?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            return Err(ToolError::NotExecutable(program));
        }
        Ok(Self { program })
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs it in a folder, which is all that it is told, for so long at most. Gives the end of its standard output; each line of
    /// its standard error is told to `said`, cut where it is long. All that it has started ends with it, and when this is
    /// dropped.
    pub(crate) async fn run(&self, folder: &Path, time: Duration, said: impl FnMut(&str)) -> Result<String, ToolError> {
        let failed = |source| ToolError::Run { program: self.program.clone(), source };
        let mut running = Running(self.command(folder).spawn().map_err(failed)?);
        let (mut stdout, mut stderr) = (running.0.stdout.take(), running.0.stderr.take());
        let (mut output, mut lines) = (Tail::default(), Lines::new(said));
        let most = size_of(folder) + MAX_OUTPUT_BYTES;
        let began = Instant::now();
        let (mut look, mut looks) = (interval(LOOK), 0);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                bytes = read(&mut stdout) => output.take(&bytes),
                bytes = read(&mut stderr) => lines.take(&bytes),
                _ = look.tick() => {
                    looks += 1;
                    if running.has_ended().map_err(failed)? {
                        break;
                    }
                    if began.elapsed() >= time {
                        return Err(ToolError::TooLong { program: self.program.clone(), after: time });
                    }
                    let measured = folder.to_path_buf();
                    if looks % LOOKS_A_MEASURE == 0
                        && spawn_blocking(move || is_beyond(&measured, most)).await.unwrap_or_default()
                    {
                        return Err(ToolError::TooMuch { program: self.program.clone(), most: MAX_OUTPUT_BYTES });
                    }
                }
            }
        }
        // What it has started holds its output open, and ends before the rest of that is read.
        running.kill();
        let rest = async {
            while stdout.is_some() || stderr.is_some() {
                tokio::select! {
                    bytes = read(&mut stdout) => output.take(&bytes),
                    bytes = read(&mut stderr) => lines.take(&bytes),
                }
            }
        };
        timeout(LINGER, rest).await.ok();
        let status = running.0.wait().await.map_err(failed)?;
        let last = lines.end();
        match status.success() {
            true => Ok(output.text()),
            false => Err(ToolError::Failed { program: self.program.clone(), status, last }),
        }
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(folder).current_dir(folder).env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        command.env("TMPDIR", folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that all of it can be ended.
        command.process_group(0).kill_on_drop(true);
        command
    }
}

/// Reads what there is. When there is no more the pipe is put away, and this does not complete again.
async fn read(pipe: &mut Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = vec![0; 8_192];
    match pipe {
        Some(open) => {
            let count = open.read(&mut bytes).await.unwrap_or_default();
            if count == 0 {
                *pipe = None;
            }
            bytes.truncate(count);
            bytes
        }
        None => std::future::pending().await,
    }
}

/// A tool that runs, which ends with all of its group when this is dropped.
struct Running(Child);

impl Running {
    fn group(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.0.id()?).ok()?)
    }

    /// Whether it has ended. It is not waited for yet, so that its group cannot become another's.
    fn has_ended(&self) -> io::Result<bool> {
        let Some(group) = self.group() else { return Ok(true) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(group), options)?.is_some())
    }

    fn kill(&self) {
        if let Some(group) = self.group() {
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of an output.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let surplus = self.0.len().saturating_sub(OUTPUT);
        self.0.drain(..surplus);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// Lines that are told, as they come.
struct Lines<F> {
    said: F,
    line: Vec<u8>,
    told: usize,
    last: Option<String>,
}

impl<F: FnMut(&str)> Lines<F> {
    fn new(said: F) -> Self {
        Self { said, line: Vec::new(), told: 0, last: None }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => self.tell(),
                // The rest of a long line is nobody's.
                byte if self.line.len() < LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn tell(&mut self) {
        let line = String::from_utf8_lossy(&self.line).replace(char::is_control, " ").trim_end().to_owned();
        self.line.clear();
        if line.is_empty() {
            return;
        }
        self.told += 1;
        match self.told.cmp(&LINES) {
            std::cmp::Ordering::Less => (self.said)(&line),
            std::cmp::Ordering::Equal => (self.said)("it says more, which is left out"),
            std::cmp::Ordering::Greater => {}
        }
        self.last = Some(line);
    }

    /// The last line.
    fn end(mut self) -> Option<String> {
        self.tell();
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_counted_and_have_nothing_that_a_terminal_obeys() {
        let mut told = Vec::new();
        let mut lines = Lines::new(|line: &str| told.push(line.to_owned()));
        lines.take(b"one\n\n\x1b[2Jtwo\r\n");
        lines.take(&[b'x'; 10_000]);
        lines.take(b"\nlast");
        assert_eq!(lines.end().as_deref(), Some("last"));
        assert_eq!(told[..2], ["one", " [2Jtwo"]);
        assert_eq!((told[2].len(), told.len()), (LINE, 4));
        let mut count = 0;
        let mut lines = Lines::new(|_: &str| count += 1);
        (0..5 * LINES).for_each(|_| lines.take(b"again\n"));
        lines.end();
        assert_eq!(count, LINES);
    }

    #[test]
    fn the_end_of_an_output_is_kept() {
        let mut tail = Tail::default();
        (0..1_000).for_each(|_| tail.take(b"0123456789"));
        tail.take(b"end");
        assert!(tail.text().ends_with("89end") && tail.text().len() == OUTPUT);
    }
}
