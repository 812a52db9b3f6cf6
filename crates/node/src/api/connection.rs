//! One connection to the API: what is under way on it, and what its client has yet to take.
//!
//! Who does not take its answers is not read from, and is cut off after a while: nothing piles up for it. Both who reads
//! and who writes learn of that: either may be all that still waits for the client.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::server::Seat;

/// Calls under way on one connection. Over HTTP there is one; a WebSocket sends as many as it likes.
const MAX_CALLS: usize = 64;

/// Of them, calls that hand in transactions: the core takes from all connections in turn.
const MAX_SUBMISSIONS: usize = 4;

/// Of them, calls that look into the store: so few that whoever asks for thousands waits behind itself, and not everybody
/// behind it. Whole blocks are read one at a time.
const MAX_READS: usize = 4;

/// Calls that are under way or whose answers are not taken, before no further calls are read: more than may be under way,
/// because who asks for too much is to hear of it.
const MAX_UNTAKEN: usize = 4 * MAX_CALLS;

/// The most bytes of answers that are owed before no further calls are read.
const MAX_OWED: u64 = 1024 * 1024;

/// How long a client may take nothing while there is something for it, and how long it may take for an answer.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));

/// The same while others wait for what it holds.
const CROWDED_PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) calls: Semaphore,
    pub(super) submissions: Semaphore,
    pub(super) reads: Semaphore,
    pub(super) scans: Semaphore,
    busy: AtomicUsize,
    closed: AtomicBool,
    /// Whether it is a WebSocket.
    session: AtomicBool,
    /// Wake whoever waits to read and to write, to see that it is closed or held up no longer.
    reading: AtomicWaker,
    writing: AtomicWaker,
    traffic: Mutex<Traffic>,
}

#[derive(Debug)]
struct Traffic {
    /// When a byte went either way.
    last: Instant,
    /// Since when nothing can be written.
    stalled: Option<Instant>,
    written: u64,
    /// How much will have been written when all answers are taken.
    due: u64,
    /// The answers that are not taken: how much will have been written when they are, since when they are there, and
    /// what was lent to them.
    answers: VecDeque<(u64, Instant, Option<OwnedSemaphorePermit>)>,
}

impl Connection {
    pub(super) fn new() -> Self {
        let traffic = Traffic { last: Instant::now(), stalled: None, written: 0, due: 0, answers: VecDeque::new() };
        Self {
            calls: Semaphore::new(MAX_CALLS),
            submissions: Semaphore::new(MAX_SUBMISSIONS),
            reads: Semaphore::new(MAX_READS),
            scans: Semaphore::new(1),
            busy: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            session: AtomicBool::new(false),
            reading: AtomicWaker::new(),
            writing: AtomicWaker::new(),
            traffic: Mutex::new(traffic),
        }
    }

    /// Something is under way until the guard is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Relaxed);
        Busy(self.clone())
    }

    /// Since when nothing has happened, if nothing is under way.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.busy.load(Relaxed) == 0).then(|| self.traffic().last)
    }

    /// Whether its client takes nothing, or too slowly; what that is depends on whether others wait for what it holds.
    pub(super) fn is_stuck(&self, is_crowded: bool) -> bool {
        let traffic = self.traffic();
        let is_crowded = is_crowded && traffic.answers.iter().any(|(_, _, lent)| lent.is_some());
        let (nothing, slowly) = if is_crowded { CROWDED_PATIENCE } else { PATIENCE };
        let oldest = traffic.answers.front().map(|(_, since, _)| *since);
        traffic.stalled.is_some_and(|since| since.elapsed() > nothing)
            || oldest.is_some_and(|since| since.elapsed() > slowly)
    }

    /// Whether no further calls are read: its client does not take what it asked for, or asks for too much at a time.
    fn is_held_up(&self) -> bool {
        let (under_way, traffic) = (self.busy.load(Relaxed), self.traffic());
        traffic.stalled.is_some()
            || traffic.due > traffic.written + MAX_OWED
            || under_way + traffic.answers.len() > MAX_UNTAKEN
    }

    /// Ends it.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.reading.wake();
        self.writing.wake();
    }

    /// Whether that was done.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Whether it is a WebSocket from here on.
    pub(super) fn set_session(&self, is_session: bool) {
        self.session.store(is_session, Relaxed);
    }

    /// Whether it is a WebSocket.
    pub(super) fn is_session(&self) -> bool {
        self.session.load(Relaxed)
    }

    /// An answer of that length is to be written; until then it holds what was lent to it.
    pub(super) fn owes(&self, bytes: usize, lent: Option<OwnedSemaphorePermit>) {
        let traffic = &mut *self.traffic();
        traffic.due = traffic.due.max(traffic.written) + bytes as u64;
        traffic.answers.push_back((traffic.due, Instant::now(), lent));
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it is there, a connection is not idle.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.traffic().last = Instant::now();
        self.0.busy.fetch_sub(1, Relaxed);
        self.0.reading.wake();
    }
}

/// A socket that tells its connection what goes over it.
pub(super) struct Socket {
    stream: TcpStream,
    connection: Arc<Connection>,
    /// Something was read, and whoever answers it has not had a turn yet.
    has_read: bool,
    _seat: Seat,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>, seat: Seat) -> Self {
        Self { stream, connection, has_read: false, _seat: seat }
    }

    /// An error once the connection is closed.
    fn check_open(&self) -> io::Result<()> {
        if self.connection.is_closed() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Writes, and notes what became of it.
    fn write(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.connection.writing.register(context.waker());
        self.check_open()?;
        let outcome = write(Pin::new(&mut self.stream), context);
        let mut traffic = self.connection.traffic();
        match &outcome {
            Poll::Pending => _ = traffic.stalled.get_or_insert_with(Instant::now),
            Poll::Ready(written) => {
                traffic.written += *written.as_ref().unwrap_or(&0) as u64;
                (traffic.stalled, traffic.last) = (None, Instant::now());
                while traffic.answers.front().is_some_and(|(due, ..)| *due <= traffic.written) {
                    traffic.answers.pop_front();
                }
                drop(traffic);
                self.connection.reading.wake();
            }
        }
        outcome
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.connection.reading.register(context.waker());
        self.check_open()?;
        if self.connection.is_held_up() {
            return Poll::Pending;
        }
        // Each call is a task. Those that were read have to begin before more are, or they pile up without being counted.
        if self.connection.is_session() && std::mem::take(&mut self.has_read) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.connection.traffic().last = Instant::now();
            self.has_read = true;
        }
        outcome
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context| stream.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
