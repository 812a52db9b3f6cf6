//! The line port: whoever sends lines over TCP has this validator sign each as a transaction, which opens a race.
//!
//! It asks nobody who they are. Everything is bounded: connections, the length of a line, the time that one may take to
//! come, and how many wait to be final. Who is over a limit is told so in a line that begins with `error:`.
//!
//! A browser reaches the port for any page that its user opens, and what it sends has lines. So a connection that speaks
//! HTTP or TLS ends at its first line, and nothing of it is signed.

use std::{io, net::SocketAddr, num::NonZeroU64, time::Duration};

use bytes::{Bytes, BytesMut};
use dtn_ledger::AdmissionError;
use dtn_primitives::MAX_LINE_BYTES;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, Decoder, FramedRead};

use crate::{NodeError, NodeHandle};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 256;

/// How long a line may take to come, and an answer to be taken.
const IDLE: Duration = Duration::from_secs(10);

/// The pause after the system had no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

/// What answers a line that was taken.
const RECEIVED: &str = "Transaction received. Processing POW...";

/// Where a validator takes in lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinesConfig {
    /// Where it listens. Whoever reaches it has this validator sign: keep it on loopback.
    pub listen: SocketAddr,
    /// How many hashes the race for a line is expected to take.
    #[serde(default = "default_hashes")]
    pub expected_hashes: NonZeroU64,
}

fn default_hashes() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(0xffff)
}

/// Why a line was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineRefusal {
    /// Too many of this peer's lines are not final yet.
    #[error("too many lines wait to be final here; send it again later")]
    Busy,
    /// An observer's signature is worth nothing.
    #[error("an observer takes in no lines")]
    Observer,
    /// The mempool does not take it.
    #[error(transparent)]
    NotAdmitted(#[from] AdmissionError),
    /// The peer is stopping.
    #[error("this peer is stopping")]
    Stopping,
}

/// A bound line port.
pub(crate) struct LinePort {
    listener: TcpListener,
    address: SocketAddr,
    expected_hashes: u64,
}

impl LinePort {
    pub(crate) async fn bind(config: &LinesConfig) -> Result<Self, NodeError> {
        let address = config.listen;
        let failed = |error: io::Error| NodeError::Lines { address, error: error.to_string() };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "whoever reaches the line port has this validator sign what they like");
        }
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, expected_hashes: config.expected_hashes.get() })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub(crate) async fn run(self, node: NodeHandle) {
        let mut connections = JoinSet::new();
        loop {
            let (stream, from) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the line port cannot accept a connection");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            if connections.len() >= MAX_CONNECTIONS {
                tracing::debug!(%from, "the line port is full");
                turn_away(stream).await.ok();
                continue;
            }
            let (node, expected_hashes) = (node.clone(), self.expected_hashes);
            connections.spawn(async move {
                if let Err(error) = serve(stream, &node, expected_hashes).await {
                    tracing::debug!(%from, %error, "a connection of the line port ended");
                }
            });
        }
    }
}

async fn turn_away(mut stream: TcpStream) -> io::Result<()> {
    // It fits into the new connection's buffer, so it does not wait.
    let full = format!("{MAX_CONNECTIONS} connections are open, too many for another; try again later");
    answer(&mut stream, &format!("error: {full}")).await
}

/// Takes lines one after the other, so that who sends faster than they are taken has to wait.
async fn serve(stream: TcpStream, node: &NodeHandle, expected_hashes: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = FramedRead::new(reader, Lines::new());
    let mut is_first = true;
    loop {
        let line = match timeout(IDLE, lines.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(line)) => line?,
            Err(_) if lines.read_buffer().is_empty() => return Ok(()),
            Err(_) => {
                let late = format!("error: a line did not end within {} s and was not taken", IDLE.as_secs());
                return answer(&mut writer, &late).await;
            }
        };
        // Before the first line is signed, so is what came along with it looked at.
        let came_along = if std::mem::take(&mut is_first) { lines.read_buffer().as_ref() } else { &[] };
        if let Ok(line) = &line
            && (is_request(line) || is_host(line) || came_along.split(|byte| *byte == b'\n').any(is_host))
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it speaks HTTP or TLS"));
        }
        let said = match line {
            Ok(line) if line.is_empty() => continue,
            Ok(line) => match node.take_line(line, expected_hashes).await {
                Ok(transaction) => {
                    tracing::debug!(%transaction, "took in a line");
                    RECEIVED.to_string()
                }
                Err(refusal) => format!("error: {refusal}"),
            },
            Err(error) => format!("error: {error}"),
        };
        answer(&mut writer, &said).await?;
    }
}

/// Whether a line begins a request over HTTP: a method, a target and a version. Or over TLS: a handshake's record.
fn is_request(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let is_method = words.next().is_some_and(|word| !word.is_empty() && word.iter().all(u8::is_ascii_uppercase));
    let is_http = is_method && words.next_back().is_some_and(|word| word.starts_with(b"HTTP/"));
    is_http || line.starts_with(&[0x16, 0x03])
}

/// Whether a line is the header that every request has.
fn is_host(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"))
}

async fn answer(writer: &mut (impl AsyncWrite + Unpin), said: &str) -> io::Result<()> {
    let line = format!("{said}\n");
    timeout(IDLE, writer.write_all(line.as_bytes())).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// A line that is longer than any transaction takes. The rest of it is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line has more than {MAX_LINE_BYTES} bytes and was not taken")]
struct TooLong;

/// Cuts bytes at each `\n`, and leaves a `\r` before it out.
struct Lines(AnyDelimiterCodec);

impl Lines {
    fn new() -> Self {
        // One byte more for what is left out.
        Self(AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), Vec::new(), MAX_LINE_BYTES + 1))
    }

    fn line(found: Result<Option<Bytes>, AnyDelimiterCodecError>) -> Result<Option<Result<Bytes, TooLong>>, io::Error> {
        match found {
            Ok(Some(line)) => {
                let line = match line.last() {
                    Some(b'\r') => line.slice(..line.len() - 1),
                    _ => line,
                };
                Ok(Some(if line.len() > MAX_LINE_BYTES { Err(TooLong) } else { Ok(line) }))
            }
            Ok(None) => Ok(None),
            Err(AnyDelimiterCodecError::MaxChunkLengthExceeded) => Ok(Some(Err(TooLong))),
            Err(AnyDelimiterCodecError::Io(error)) => Err(error),
        }
    }
}

impl Decoder for Lines {
    type Item = Result<Bytes, TooLong>;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Self::Item>, io::Error> {
        Self::line(self.0.decode(buffer))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Self::Item>, io::Error> {
        Self::line(self.0.decode_eof(buffer))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The lines of a stream that comes in pieces of this length.
    async fn lines(bytes: &[u8], piece: usize) -> Vec<Result<Vec<u8>, TooLong>> {
        let pieces: Vec<_> =
            bytes.chunks(piece).map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece))).collect();
        let reader = tokio_util::io::StreamReader::new(futures::stream::iter(pieces));
        FramedRead::new(reader, Lines::new()).map(|line| line.unwrap().map(|line| line.to_vec())).collect().await
    }

    #[test]
    fn requests_of_browsers_are_told_from_lines() {
        let requests: [&[u8]; 4] =
            [b"POST / HTTP/1.1", b"GET /a b HTTP/1.0", b"PRI * HTTP/2.0", &[0x16, 0x03, 0x01, 0x02]];
        for request in requests {
            assert!(is_request(request), "{}", request.escape_ascii());
        }
        let lines: [&[u8]; 6] =
            [b"", b"POST", b"GET me some work", b"post / HTTP/1.1", b"a HTTP/1.1", b"HTTP/1.1 is no method"];
        for line in lines {
            assert!(!is_request(line), "{}", line.escape_ascii());
        }
        assert!(is_host(b"Host: a") && is_host(b"hOST:") && !is_host(b"hosts: a") && !is_host(b"host"));
    }

    #[tokio::test]
    async fn lines_are_cut_alike_however_they_come() {
        let (longest, longer) = (vec![b'x'; MAX_LINE_BYTES], vec![b'y'; MAX_LINE_BYTES + 1]);
        let far_longer = vec![b'z'; 5 * MAX_LINE_BYTES];
        let parts: [&[u8]; 8] =
            [b"a\r\n\n\xff\0\r\r\n", &longest, b"\r\n", &longer, b"\n", &far_longer, b"\nafter\n", b"last"];
        let expected = vec![
            Ok(b"a".to_vec()),
            Ok(Vec::new()),
            Ok(b"\xff\0\r".to_vec()),
            Ok(longest.clone()),
            Err(TooLong),
            Err(TooLong),
            Ok(b"after".to_vec()),
            Ok(b"last".to_vec()),
        ];
        for piece in [1, 7, 1_000, MAX_LINE_BYTES, 1 << 20] {
            assert_eq!(lines(&parts.concat(), piece).await, expected, "in pieces of {piece}");
        }
        assert_eq!(lines(&far_longer, 100).await, [Err(TooLong)], "without an end");
        assert_eq!(lines(b"", 1).await, []);
    }
}
