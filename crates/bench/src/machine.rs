//! What the machine is, and what its processes use of it.

use std::{fs, net::SocketAddr, num::NonZeroUsize, time::Duration};

use nix::unistd::Pid;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Linux counts processor time for user space in hundredths of a second, on every architecture.
const TICKS: f64 = 100.0;

/// How long a peer may take to show its metrics.
const SCRAPE: Duration = Duration::from_secs(2);

/// The machine that a report was made on.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The name of its processor.
    pub cpu: String,
    /// How many cores this process may use.
    pub cores: usize,
    /// Its memory.
    pub memory_bytes: u64,
    /// The version of its kernel.
    pub kernel: String,
    /// How many processes wanted a core in the minute before: above zero, the figures are those of a shared machine.
    pub load_average: f64,
}

impl Machine {
    /// This machine, as its system describes it.
    pub fn this() -> Self {
        let line = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':').map(|(_, value)| value));
            found.map_or_else(|| "unknown".to_string(), |value| value.trim().to_string())
        };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| "unknown".into());
        Self {
            cpu: line("/proc/cpuinfo", "model name"),
            cores: threads(None),
            memory_bytes: kilobytes(&line("/proc/meminfo", "MemTotal")),
            kernel: kernel.trim().to_string(),
            load_average: load_average(),
        }
    }
}

/// How many threads to start: as many as asked for, else one for each core, and no more than 1,024.
pub fn threads(asked: Option<NonZeroUsize>) -> usize {
    const MOST: usize = 1024;
    asked.or(std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get).min(MOST)
}

/// The processes that ran or waited for a core over the last minute; 0 where the system does not say.
fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The most memory that this process has had at once, in bytes; 0 where the system does not say.
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    kilobytes(status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default())
}

/// The processor time of this thread, which waiting for a core is not part of; nothing where the system does not say.
pub(crate) fn thread_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) written_bytes: u64,
}

/// What the system says of a process; nothing where it does not, or once the process is gone.
pub(crate) fn usage(pid: Pid) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).unwrap_or_default().to_string()
    };
    Some(Usage {
        cpu_seconds: cpu_ticks(&stat)? as f64 / TICKS,
        resident_bytes: kilobytes(&field(&status, "VmRSS:")),
        written_bytes: field(&io, "write_bytes:").parse().unwrap_or_default(),
    })
}

/// The time in user and kernel mode, the 14th and 15th fields. The second, the name, may hold any character but ends
/// with the last parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn kilobytes(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// A counter of a peer's metrics; nothing if the peer has no such.
pub(crate) async fn counter(peer: SocketAddr, name: &str) -> Option<u64> {
    let scrape = async {
        let mut stream = TcpStream::connect(peer).await?;
        stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {peer}\r\n\r\n").as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    let text = timeout(SCRAPE, scrape).await.ok()?.ok()?;
    sample(&text, name)
}

fn sample(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse::<f64>().ok().map(|value| value as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_process_is_told_from_its_name_whatever_that_holds() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (short) S 1"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let own = usage(Pid::this()).unwrap();
        assert!(own.resident_bytes > 1 << 20, "{own:?}");
    }

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let text = "# HELP dtn_x about\ndtn_x_total_more 1\ndtn_x_total 42\ndtn_y_total{peer=\"1\"} 3\n";
        assert_eq!(sample(text, "dtn_x_total"), Some(42));
        assert_eq!(sample(text, "dtn_z_total"), None);
    }
}
