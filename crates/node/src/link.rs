//! One long-lived framed stream between two peers, bounded in everything that the other end could make grow: what waits
//! to be sent, how fast it is read, how long a frame is, and what was read and not yet dealt with.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use dtn_primitives::codec;
use futures::{AsyncRead, AsyncWrite, SinkExt, StreamExt};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_util::{
    codec::{Framed, LengthDelimitedCodec, LengthDelimitedCodecError},
    compat::FuturesAsyncReadCompatExt,
};

use crate::{
    bucket::TokenBucket,
    metrics::Metrics,
    network::{Addresses, Event, Remote},
    wire::{Class, EncodedFrame, Frame, MAX_BATCH_BYTES},
};

/// The limits of one link.
#[derive(Debug, Clone)]
pub(crate) struct LinkLimits {
    /// The longest frame; a longer one is refused before anything is allocated for it.
    pub(crate) max_frame: usize,
    /// Frames that may wait for a slow peer.
    pub(crate) queued_frames: usize,
    /// Bytes that may wait for a slow peer.
    pub(crate) queued_bytes: usize,
    /// Bytes that were read and that the core has not dealt with; reading waits while there are more.
    pub(crate) unread_bytes: usize,
    /// Bytes a second that are read.
    pub(crate) bytes_per_second: u64,
    /// Frames a second that are read.
    pub(crate) frames_per_second: u64,
    /// How much of a second's worth may come at once.
    pub(crate) burst: Duration,
    /// How long a peer may send more than is read, or take nothing of what is sent.
    pub(crate) patience: Duration,
    /// A peer with nothing to say says so this often.
    pub(crate) heartbeat: Duration,
    /// A peer from which nothing arrives for this long is gone.
    pub(crate) silence: Duration,
}

impl LinkLimits {
    /// A validator under full load sends some 20 MB and a few thousand frames a second; a link takes several times that.
    pub(crate) fn of_validators(max_frame: usize) -> Self {
        Self {
            max_frame,
            queued_frames: 4096,
            queued_bytes: 4 * max_frame.max(4 * 1024 * 1024),
            unread_bytes: 2 * max_frame.max(4 * 1024 * 1024),
            bytes_per_second: 128 * 1024 * 1024,
            frames_per_second: 50_000,
            burst: Duration::from_secs(2),
            patience: Duration::from_secs(30),
            heartbeat: Duration::from_secs(1),
            silence: Duration::from_secs(5),
        }
    }

    /// Observers pass on a few transactions and tell their height.
    pub(crate) fn of_observers() -> Self {
        Self {
            queued_frames: 1024,
            queued_bytes: 2 * 1024 * 1024,
            unread_bytes: 2 * MAX_BATCH_BYTES,
            bytes_per_second: 2 * 1024 * 1024,
            frames_per_second: 200,
            ..Self::of_validators(MAX_BATCH_BYTES)
        }
    }
}

/// The least that a frame is charged for while it waits for the core, in bytes.
const FRAME_CHARGE: usize = 1024;

/// What no correct peer does. Whoever does it is cut off and refused for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Offence {
    /// Bytes that are no frame.
    Malformed,
    /// A frame that is longer than frames may be.
    Oversized,
    /// More than is read, for too long.
    Flood,
    /// A frame that is not an observer's to send.
    NotForObservers,
    /// Blocks that are not certified, or not what was asked for.
    BadBlocks,
    /// Evidence that proves nothing.
    BadEvidence,
}

impl Offence {
    /// As metrics name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_frame",
            Self::Oversized => "oversized_frame",
            Self::Flood => "flood",
            Self::NotForObservers => "not_for_observers",
            Self::BadBlocks => "bad_blocks",
            Self::BadEvidence => "bad_evidence",
        }
    }
}

/// Why a link ended.
#[derive(Debug)]
pub(crate) enum CloseReason {
    /// This peer closed it.
    Here,
    /// The other peer closed it.
    There,
    /// Nothing arrived for too long.
    Silent,
    /// The other peer took nothing of what was sent for too long.
    Stalled,
    /// The connection failed.
    Failed(std::io::Error),
    /// The other peer did what no correct peer does.
    Offence(Offence),
}

impl CloseReason {
    /// As metrics name it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Here => "closed_here",
            Self::There => "closed_there",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Failed(_) => "failed",
            Self::Offence(offence) => offence.label(),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "failed: {error}"),
            other => f.write_str(other.label()),
        }
    }
}

impl From<std::io::Error> for CloseReason {
    fn from(error: std::io::Error) -> Self {
        let is_too_long = error.get_ref().is_some_and(|inner| inner.is::<LengthDelimitedCodecError>());
        if is_too_long { Self::Offence(Offence::Oversized) } else { Self::Failed(error) }
    }
}

/// Frames that found no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) urgent: usize,
    pub(crate) bulk: usize,
}

/// What is still to be sent. Consensus overtakes the rest; when there is no room, the oldest of the rest goes first.
/// Whatever is dropped, protocols say again what may have been lost.
#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    max_frames: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    urgent: VecDeque<Bytes>,
    bulk: VecDeque<Bytes>,
    bytes: usize,
    closed: bool,
}

impl Waiting {
    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.urgent.pop_front().or_else(|| self.bulk.pop_front())?;
        self.bytes -= frame.len();
        Some(frame)
    }

    fn frames(&self) -> usize {
        self.urgent.len() + self.bulk.len()
    }
}

impl Queue {
    fn new(limits: &LinkLimits) -> Self {
        Self {
            waiting: Mutex::default(),
            changed: Notify::new(),
            max_frames: limits.queued_frames,
            max_bytes: limits.queued_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, frame: EncodedFrame) -> Dropped {
        let (urgent, frame) = (frame.class == Class::Consensus, frame.bytes);
        let mut dropped = Dropped::default();
        let mut waiting = self.lock();
        while waiting.frames() >= self.max_frames || waiting.bytes + frame.len() > self.max_bytes {
            let oldest = if let Some(oldest) = waiting.bulk.pop_front() {
                dropped.bulk += 1;
                oldest
            } else if let Some(oldest) = waiting.urgent.pop_front().filter(|_| urgent) {
                // Of what is urgent the newest counts: it is what retransmission would say.
                dropped.urgent += 1;
                oldest
            } else {
                *(if urgent { &mut dropped.urgent } else { &mut dropped.bulk }) += 1;
                return dropped;
            };
            waiting.bytes -= oldest.len();
        }
        waiting.bytes += frame.len();
        if urgent {
            waiting.urgent.push_back(frame)
        } else {
            waiting.bulk.push_back(frame)
        }
        drop(waiting);
        self.changed.notify_one();
        dropped
    }

    /// The next frame to send; `None` once it is closed.
    async fn pop(&self) -> Option<Bytes> {
        loop {
            {
                let mut waiting = self.lock();
                if waiting.closed {
                    return None;
                }
                if let Some(frame) = waiting.pop() {
                    return Some(frame);
                }
            }
            self.changed.notified().await;
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }
}

/// The sending side of a link. Dropping it closes the link.
#[derive(Debug)]
pub(crate) struct Link {
    /// Distinguishes this link from an earlier one to the same peer.
    pub(crate) id: u64,
    queue: Arc<Queue>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Says that a link ended, and why.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) peer: Remote,
    pub(crate) id: u64,
    pub(crate) reason: CloseReason,
}

/// Where a link reports.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) closed: mpsc::Sender<Closed>,
    pub(crate) addresses: mpsc::Sender<Addresses>,
    pub(crate) metrics: Metrics,
}

/// Room that a frame takes up until the core has dealt with it.
#[derive(Debug)]
pub(crate) struct Charge(#[allow(dead_code)] Option<OwnedSemaphorePermit>);

impl Link {
    /// Runs a link over a stream until it fails, the other peer goes too far, or the `Link` is dropped.
    pub(crate) fn spawn(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        peer: Remote,
        id: u64,
        limits: LinkLimits,
        reports: Reports,
    ) -> Self {
        let queue = Arc::new(Queue::new(&limits));
        let outgoing = queue.clone();
        tokio::spawn(async move {
            let closed = reports.closed.clone();
            let reason = run(stream, peer, limits, reports, &outgoing).await;
            // The network is gone only when the whole node is.
            closed.send(Closed { peer, id, reason }).await.ok();
        });
        Self { id, queue }
    }

    /// Queues a frame, and tells what had to go for it.
    pub(crate) fn send(&self, frame: EncodedFrame) -> Dropped {
        self.queue.push(frame)
    }
}

async fn run(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    peer: Remote,
    limits: LinkLimits,
    reports: Reports,
    queue: &Queue,
) -> CloseReason {
    let framing = LengthDelimitedCodec::builder().max_frame_length(limits.max_frame).new_codec();
    let (mut sink, mut source) = Framed::new(stream.compat(), framing).split();
    let Reports { events, addresses, metrics, .. } = reports;
    let write = async {
        loop {
            let frame = match timeout(limits.heartbeat, queue.pop()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(_) => Bytes::new(),
            };
            let mut next = Some(frame);
            while let Some(frame) = next {
                let length = frame.len();
                timeout(limits.patience, sink.feed(frame)).await.map_err(|_| CloseReason::Stalled)??;
                if let Some(validator) = peer.validator() {
                    metrics.frame_out(validator, length);
                }
                next = queue.lock().pop();
            }
            timeout(limits.patience, sink.flush()).await.map_err(|_| CloseReason::Stalled)??;
        }
    };
    let read = async {
        let now = Instant::now();
        let mut bytes_left = TokenBucket::new(limits.bytes_per_second, limits.burst, now);
        let mut frames_left = TokenBucket::new(limits.frames_per_second, limits.burst, now);
        let mut throttled: Option<Instant> = None;
        let unread = Arc::new(Semaphore::new(limits.unread_bytes));
        loop {
            let bytes = timeout(limits.silence, source.next()).await.map_err(|_| CloseReason::Silent)?;
            let Some(bytes) = bytes.transpose()? else { return Ok(()) };
            if let Some(validator) = peer.validator() {
                metrics.frame_in(validator, bytes.len());
            }
            let now = Instant::now();
            let wait = bytes_left.take(bytes.len(), now).max(frames_left.take(1, now));
            if !wait.is_zero() {
                if now.duration_since(*throttled.get_or_insert(now)) > limits.patience {
                    return Err(CloseReason::Offence(Offence::Flood));
                }
                sleep(wait).await;
            } else if bytes_left.is_relaxed() && frames_left.is_relaxed() {
                throttled = None;
            }
            if bytes.is_empty() {
                continue;
            }
            let malformed = |_| CloseReason::Offence(Offence::Malformed);
            let frame: Frame = codec::decode(&bytes, limits.max_frame).map_err(malformed)?;
            check(peer, &frame, bytes.len()).map_err(CloseReason::Offence)?;
            if let Frame::Addresses(hints) = frame {
                // Said again with the next link.
                addresses.try_send((peer, hints)).ok();
                continue;
            }
            let charge = bytes.len().max(FRAME_CHARGE).min(limits.unread_bytes);
            let charge = unread.clone().acquire_many_owned(u32::try_from(charge).unwrap_or(u32::MAX)).await.ok();
            if events.send(Event::Frame { from: peer, frame, charge: Charge(charge) }).await.is_err() {
                return Ok(());
            }
        }
    };
    let outcome: Result<CloseReason, CloseReason> = tokio::select! {
        result = write => result.map(|()| CloseReason::Here),
        result = read => result.map(|()| CloseReason::There),
    };
    outcome.unwrap_or_else(|reason| reason)
}

/// Whether a peer may send such a frame.
fn check(peer: Remote, frame: &Frame, length: usize) -> Result<(), Offence> {
    match (peer, frame.class()) {
        (_, Class::Transactions) if length > MAX_BATCH_BYTES => Err(Offence::Oversized),
        (Remote::Observer(_), Class::Consensus) => Err(Offence::NotForObservers),
        _ => Ok(()),
    }
}
