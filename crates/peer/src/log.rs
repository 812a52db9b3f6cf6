//! Where the log goes: to standard error, or to a file of bounded size.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    filter::{LevelFilter, ParseError, Targets},
    fmt::{MakeWriter, layer},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]` in `node.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is logged: a level, or directives as `info,dtn_node=debug`.
    pub level: String,
    /// How.
    pub format: Format,
    /// Where to; standard error without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The file's size, in bytes, at which its content moves to `FILE.1`, whose content is dropped.
    pub max_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: Format::Text, file: None, max_bytes: 16 * 1024 * 1024 }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// What is to be logged makes no sense.
    #[error("`{level}` is no log level")]
    Level {
        /// What was said.
        level: String,
        /// Why.
        source: ParseError,
    },
    /// Its file cannot be written.
    #[error("cannot write the log {}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Starts the log of a command that is not a peer. `RUST_LOG` decides when it is set, else the number of `-v`.
pub fn start_for_command(verbosity: u8) {
    let asked = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    let filter = asked.or_else(|| level(verbosity).parse().ok()).unwrap_or_default();
    subscribe(filter, Format::Text, io::stderr().is_terminal(), io::stderr);
}

/// Starts a peer's log.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    let filter = config.level.parse().map_err(|source| LogError::Level { level: config.level.clone(), source })?;
    match &config.file {
        Some(file) => {
            let file = CappedFile::open(file, config.max_bytes)
                .map_err(|source| LogError::File { file: file.clone(), source })?;
            subscribe(filter, config.format, false, Mutex::new(file));
        }
        None => subscribe(filter, config.format, io::stderr().is_terminal(), io::stderr),
    }
    Ok(())
}

/// What is wrong with a level of the log, or with directives for it. A name that is no level would be taken for that of a
/// part of the program, and all others would be silent.
pub fn check_level(text: &str) -> Result<(), String> {
    let unknown = |part: &str| {
        Err(format!(
            "`{part}` is no level: error, warn, info, debug, trace or off, or directives as info,dtn_node=debug"
        ))
    };
    for part in text.split(',').map(str::trim) {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        // The library takes nothing for `error`.
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return unknown(part);
        }
    }
    text.parse::<Targets>().map(drop).or_else(|_| unknown(text))
}

/// What so many `-v` ask for.
pub fn level(verbosity: u8) -> &'static str {
    match verbosity {
        0 => "warn",
        1 => "info",
        2 => "debug,hyper=info",
        _ => "trace",
    }
}

fn subscribe(
    filter: Targets,
    format: Format,
    colours: bool,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) {
    // A line that cannot be written is lost. To say so on standard error would panic where that is what cannot be written, in
    // whichever thread has something to say: the one that votes, too.
    let lines = layer().log_internal_errors(false).with_ansi(colours).with_writer(writer);
    let log = tracing_subscriber::registry().with(filter);
    match format {
        Format::Text => log.with(lines).init(),
        Format::Json => log.with(lines.json().flatten_event(true)).init(),
    }
}

/// A file that is appended to, and whose content moves to a second one when it is full. It is copied and cut, not
/// renamed: whoever else appends to it (a process's standard error) goes on in the same file.
struct CappedFile {
    path: PathBuf,
    file: File,
    length: u64,
    max: u64,
}

impl CappedFile {
    fn open(path: &Path, max: u64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { path: path.into(), length: file.metadata()?.len(), file, max })
    }

    fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        if self.length > 0 && self.length.saturating_add(bytes as u64) > self.max {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            fs::copy(&self.path, older)?;
            self.file.set_len(0)?;
            self.length = 0;
        }
        Ok(())
    }
}

impl Write for CappedFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.make_room(line.len())?;
        let written = self.file.write(line)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in ["info", "WARN", "off", "info,dtn_node=debug", "dtn_node=debug, warn", "debug,hyper=info"] {
            assert_eq!(check_level(good), Ok(()), "{good}");
        }
        for bad in ["loud", "", "info,", "dtn_node=loud", "info,dtn_node", "info=", "=info,"] {
            assert!(check_level(bad).unwrap_err().contains("is no level"), "{bad}");
        }
    }

    #[test]
    fn a_log_takes_no_more_than_twice_its_limit_and_keeps_the_newest_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = CappedFile::open(&path, 100).unwrap();
        // What else writes there, as a panic would.
        let mut beside = File::options().append(true).open(&path).unwrap();
        for line in 0..100 {
            writeln!(log, "line {line:03}").unwrap();
            if line == 50 {
                writeln!(beside, "panicked").unwrap();
            }
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let (older, newer) = (read("log.1"), read("log"));
        assert!(older.len() <= 120 && newer.len() <= 120, "{} {}", older.len(), newer.len());
        let lines: Vec<_> = older.lines().chain(newer.lines()).filter(|line| line.starts_with("line")).collect();
        let expected: Vec<_> = (100 - lines.len()..100).map(|line| format!("line {line:03}")).collect();
        assert_eq!(lines, expected);
        // A restart goes on where it ended.
        drop(log);
        writeln!(CappedFile::open(&path, 100).unwrap(), "again").unwrap();
        assert!(read("log").ends_with("line 099\nagain\n"), "{}", read("log"));
    }
}
