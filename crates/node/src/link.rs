//! One long-lived framed stream between two peers, bounded in everything that the other end could make grow: what waits
//! to be sent, how fast it is read, how long a frame is, and what was read and not yet dealt with.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use dtn_primitives::codec;
use futures::{AsyncRead, AsyncWrite, SinkExt, StreamExt};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_util::{
    codec::{Framed, LengthDelimitedCodec, LengthDelimitedCodecError},
    compat::FuturesAsyncReadCompatExt,
};

use crate::{
    bucket::TokenBucket,
    inbox::InboxSender,
    metrics::Metrics,
    network::{Addresses, Event, Remote},
    queue::{Dropped, Queue},
    wire::{Class, DECODED_PER_BYTE, EncodedFrame, Frame, Hello, MAX_BATCH_BYTES, Tag},
};

/// The limits of one link.
#[derive(Debug, Clone)]
pub(crate) struct LinkLimits {
    /// The tag of the engine of this network: nothing that another one says is read.
    pub(crate) engine: Tag,
    /// The longest frame; a longer one is refused before anything is allocated for it.
    pub(crate) max_frame: usize,
    /// Frames that may wait for a slow peer.
    pub(crate) queued_frames: usize,
    /// Bytes that may wait for a slow peer.
    pub(crate) queued_bytes: usize,
    /// Memory of frames that were read and that the core has not dealt with, decoded; reading waits while there is more. A
    /// frame that could take more is read when nothing else waits.
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
    /// A validator under full load sends some 20 MB and two thousand frames a second; a link takes several times that.
    pub(crate) fn of_validators(engine: Tag, max_frame: usize) -> Self {
        Self {
            engine,
            max_frame,
            queued_frames: 4096,
            queued_bytes: 4 * max_frame.max(4 * 1024 * 1024),
            unread_bytes: 64 * 1024 * 1024,
            bytes_per_second: 128 * 1024 * 1024,
            frames_per_second: 10_000,
            burst: Duration::from_secs(2),
            patience: Duration::from_secs(30),
            heartbeat: Duration::from_secs(1),
            silence: Duration::from_secs(5),
        }
    }

    /// Observers pass on a few transactions and tell their height.
    pub(crate) fn of_observers(engine: Tag) -> Self {
        Self {
            queued_frames: 1024,
            queued_bytes: 2 * 1024 * 1024,
            unread_bytes: 16 * 1024 * 1024,
            bytes_per_second: 2 * 1024 * 1024,
            frames_per_second: 200,
            ..Self::of_validators(engine, MAX_BATCH_BYTES)
        }
    }
}

/// The least that a frame is charged for while it waits for the core, in bytes.
const FRAME_CHARGE: usize = 8 * 1024;

/// Transactions that the core takes in at a time, so that it can turn to other peers in between.
const PIECE: usize = 32;

/// What no correct peer does. Whoever does it is cut off and refused for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Offence {
    /// Bytes that are no frame.
    Malformed,
    /// A frame that is longer than frames may be.
    Oversized,
    /// More than is read, for too long.
    Flood,
    /// What another engine says than that of the genesis.
    OtherEngine,
    /// A frame that is not an observer's to send.
    NotForObservers,
    /// Blocks that are not certified, or not what was asked for.
    BadBlocks,
    /// Evidence that proves nothing.
    BadEvidence,
    /// Too many messages that no correct peer sends.
    Faults,
    /// The first thing that it said is not who it is.
    NoHello,
}

impl Offence {
    /// As metrics name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_frame",
            Self::Oversized => "oversized_frame",
            Self::Flood => "flood",
            Self::OtherEngine => "other_engine",
            Self::NotForObservers => "not_for_observers",
            Self::BadBlocks => "bad_blocks",
            Self::BadEvidence => "bad_evidence",
            Self::Faults => "faults",
            Self::NoHello => "no_hello",
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

/// What the two ends of a link say of themselves.
#[derive(Debug)]
pub(crate) enum Greeting {
    /// Who is at the other end of the link with this number.
    Hello(Remote, u64, Hello),
    /// A peer says that this one runs twice.
    Twins(Remote, [u64; 2]),
}

/// Where a link reports.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    pub(crate) events: InboxSender,
    pub(crate) closed: mpsc::Sender<Closed>,
    pub(crate) addresses: mpsc::Sender<Addresses>,
    pub(crate) greetings: mpsc::Sender<Greeting>,
    pub(crate) metrics: Metrics,
}

/// Room that a frame takes up until the core has dealt with all of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Charge {
    _room: Option<Arc<OwnedSemaphorePermit>>,
}

impl Charge {
    /// Waits until there is room for whatever so many bytes may become.
    async fn acquire(room: &Arc<Semaphore>, limits: &LinkLimits, bytes: usize) -> Self {
        let charge = bytes.saturating_mul(DECODED_PER_BYTE).max(FRAME_CHARGE).min(limits.unread_bytes);
        let permit = room.clone().acquire_many_owned(u32::try_from(charge).unwrap_or(u32::MAX)).await;
        Self { _room: permit.ok().map(Arc::new) }
    }
}

impl Link {
    /// Runs a link over a stream until it fails, the other peer goes too far, or the `Link` is dropped. Either end first
    /// says hello, whatever else it has to say.
    pub(crate) fn spawn(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        (peer, id): (Remote, u64),
        hello: &Hello,
        limits: LinkLimits,
        reports: Reports,
    ) -> Self {
        let hello = Frame::Hello(Box::new(hello.clone())).encode().bytes;
        let queue = Arc::new(Queue::new(limits.queued_frames, limits.queued_bytes));
        let outgoing = queue.clone();
        tokio::spawn(async move {
            let closed = reports.closed.clone();
            let reason = run(stream, (peer, id), hello, limits, reports, &outgoing).await;
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
    (peer, id): (Remote, u64),
    hello: Bytes,
    limits: LinkLimits,
    reports: Reports,
    queue: &Queue,
) -> CloseReason {
    let framing = LengthDelimitedCodec::builder().max_frame_length(limits.max_frame).new_codec();
    let (mut sink, mut source) = Framed::new(stream.compat(), framing).split();
    let Reports { events, addresses, greetings, metrics, .. } = reports;
    let write = async {
        let mut next = Some(hello);
        loop {
            while let Some(frame) = next {
                let length = frame.len();
                timeout(limits.patience, sink.feed(frame)).await.map_err(|_| CloseReason::Stalled)??;
                if let Some(validator) = peer.validator() {
                    metrics.frame_out(validator, length);
                }
                next = queue.try_pop();
            }
            timeout(limits.patience, sink.flush()).await.map_err(|_| CloseReason::Stalled)??;
            next = match timeout(limits.heartbeat, queue.pop()).await {
                Ok(Some(frame)) => Some(frame),
                Ok(None) => return Ok(()),
                Err(_) => Some(Bytes::new()),
            };
        }
    };
    let read = async {
        let now = Instant::now();
        let mut bytes_left = TokenBucket::new(limits.bytes_per_second, limits.burst, now);
        let mut frames_left = TokenBucket::new(limits.frames_per_second, limits.burst, now);
        let mut throttled: Option<Instant> = None;
        let unread = Arc::new(Semaphore::new(limits.unread_bytes));
        let mut has_greeted = false;
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
            if limits.engine.is_foreign(&bytes) {
                return Err(CloseReason::Offence(Offence::OtherEngine));
            }
            // First the room, then the value.
            let charge = Charge::acquire(&unread, &limits, bytes.len()).await;
            let malformed = |_| CloseReason::Offence(Offence::Malformed);
            let frame: Frame = codec::decode(&bytes, limits.max_frame).map_err(malformed)?;
            if !std::mem::replace(&mut has_greeted, true) && !matches!(frame, Frame::Hello(_)) {
                return Err(CloseReason::Offence(Offence::NoHello));
            }
            check(peer, &frame, bytes.len()).map_err(CloseReason::Offence)?;
            let frame = match frame {
                // What finds no room is said again with the next link.
                Frame::Addresses(hints) => {
                    addresses.try_send((peer, hints)).ok();
                    continue;
                }
                Frame::Hello(hello) => {
                    greetings.try_send(Greeting::Hello(peer, id, *hello)).ok();
                    continue;
                }
                Frame::Twins(boots) => {
                    greetings.try_send(Greeting::Twins(peer, boots)).ok();
                    continue;
                }
                frame => frame,
            };
            for frame in pieces(frame) {
                if !events.push(Event::Frame { from: peer, frame, _charge: charge.clone() }) {
                    return Ok(());
                }
            }
        }
    };
    let outcome: Result<CloseReason, CloseReason> = tokio::select! {
        result = write => result.map(|()| CloseReason::Here),
        result = read => result.map(|()| CloseReason::There),
    };
    outcome.unwrap_or_else(|reason| reason)
}

/// A frame in pieces, each of which costs the core little.
fn pieces(frame: Frame) -> Vec<Frame> {
    match frame {
        Frame::Transactions(transactions) if transactions.len() > PIECE => {
            let mut transactions = transactions.into_iter();
            let piece = || Some(transactions.by_ref().take(PIECE).collect::<Vec<_>>());
            std::iter::from_fn(piece).take_while(|piece| !piece.is_empty()).map(Frame::Transactions).collect()
        }
        frame => vec![frame],
    }
}

/// Whether a peer may send such a frame.
fn check(peer: Remote, frame: &Frame, length: usize) -> Result<(), Offence> {
    match (peer, frame.class()) {
        (_, Class::Transactions) if length > MAX_BATCH_BYTES => Err(Offence::Oversized),
        (Remote::Observer(_), Class::Consensus) => Err(Offence::NotForObservers),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::ValidatorIndex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;
    use crate::{
        core::engine::Words,
        inbox::{Inbox, inbox},
        metrics::Watched,
    };

    fn limits() -> LinkLimits {
        LinkLimits { patience: Duration::from_millis(300), ..LinkLimits::of_validators(Tag::Pbft, 1024 * 1024) }
    }

    struct Test {
        link: Link,
        events: Inbox,
        closed: mpsc::Receiver<Closed>,
        metrics: Metrics,
    }

    impl Test {
        fn new(peer: Remote, limits: LinkLimits, stream: DuplexStream) -> Self {
            let (events, events_in) = inbox();
            let (closed, closed_in) = mpsc::channel(1);
            let (addresses, _) = mpsc::channel(1);
            let (greetings, _) = mpsc::channel(1);
            let metrics = Metrics::new(4, Watched::default());
            let reports = Reports { events, closed, addresses, greetings, metrics: metrics.clone() };
            let link = Link::spawn(stream.compat(), (peer, 1), &hello(), limits, reports);
            Self { link, events: events_in, closed: closed_in, metrics }
        }

        async fn ends(mut self) -> &'static str {
            let closed = tokio::time::timeout(Duration::from_secs(30), self.closed.recv()).await;
            closed.expect("the link goes on").unwrap().reason.label()
        }
    }

    const VALIDATOR: Remote = Remote::Validator(ValidatorIndex(1));

    fn hello() -> Hello {
        Hello::new(dtn_primitives::B256::ZERO, 1)
    }

    /// A frame as it goes over a link.
    fn framed(frame: &Frame) -> Vec<u8> {
        let frame = frame.encode().bytes;
        [&(frame.len() as u32).to_be_bytes()[..], &frame].concat()
    }

    fn height() -> Vec<u8> {
        framed(&Frame::Height(7))
    }

    /// A stream to a link over which the far end has said hello.
    async fn greeted(room: usize) -> (DuplexStream, DuplexStream) {
        let (near, mut far) = duplex(room);
        far.write_all(&framed(&Frame::Hello(Box::new(hello())))).await.unwrap();
        (near, far)
    }

    #[tokio::test]
    async fn a_link_on_which_anything_is_said_before_hello_is_cut_off() {
        let (near, mut far) = duplex(1 << 20);
        let mut test = Test::new(VALIDATOR, limits(), near);
        // To say that one is there is to say nothing.
        far.write_all(&[0; 4]).await.unwrap();
        far.write_all(&height()).await.unwrap();
        assert!(test.events.try_recv().is_none());
        assert_eq!(test.ends().await, "no_hello");
    }

    #[tokio::test]
    async fn garbage_and_a_frame_that_is_too_long_end_the_link_each_with_its_reason() {
        for (sent, reason) in [
            (&[0, 0, 0, 3, 0xff, 0xff, 0xff][..], "malformed_frame"),
            (&[0x7f, 0, 0, 0][..], "oversized_frame"),
            (&[0, 0, 0, 3, 0xff][..], "closed_there"),
        ] {
            let (near, mut far) = duplex(1 << 20);
            let test = Test::new(VALIDATOR, limits(), near);
            far.write_all(sent).await.unwrap();
            far.shutdown().await.unwrap();
            let ended = test.ends().await;
            assert!(ended == reason || (reason == "closed_there" && ended == "failed"), "{sent:?}: {ended}");
        }
    }

    #[tokio::test]
    async fn an_observer_may_tell_its_height_but_not_take_part_in_consensus() {
        let vote = Frame::Consensus(Box::new(Words::Pbft(dtn_consensus::Message::Vote(std::sync::Arc::new(
            dtn_primitives::Vote::sign(
                dtn_primitives::VoteKind::Prepare,
                (0, 0, 1),
                dtn_primitives::B256::ZERO,
                ValidatorIndex(0),
                &dtn_primitives::SecretKey::from_bytes(&[1; 32]).unwrap(),
                &dtn_primitives::Domain::new(dtn_primitives::B256::ZERO, 1),
            ),
        )))));
        let vote = framed(&vote);
        let observer = Remote::Observer(libp2p::PeerId::random());
        for (peer, reason) in [(observer, "not_for_observers"), (VALIDATOR, "silent")] {
            let (near, mut far) = greeted(1 << 20).await;
            let mut test = Test::new(peer, LinkLimits { silence: Duration::from_millis(200), ..limits() }, near);
            far.write_all(&height()).await.unwrap();
            far.write_all(&vote).await.unwrap();
            assert!(matches!(test.events.recv().await, Some(Event::Frame { frame: Frame::Height(7), .. })));
            assert_eq!(test.ends().await, reason);
        }
    }

    #[tokio::test]
    async fn what_another_engine_says_is_not_read_and_ends_the_link_by_its_name() {
        let tip =
            Words::Nakamoto(dtn_consensus::nakamoto::Message::Tip { height: 1, hash: dtn_primitives::B256::ZERO });
        let own = Words::Own { protocol: crate::wire::Mark::of("own"), message: Default::default() };
        let [tip, own] = [tip, own].map(|words| framed(&Frame::Consensus(Box::new(words))));
        for frame in [tip, own, vec![0, 0, 0, 3, 0, 9, 0xff]] {
            let (near, mut far) = greeted(1 << 20).await;
            let test = Test::new(VALIDATOR, limits(), near);
            far.write_all(&frame).await.unwrap();
            assert_eq!(test.ends().await, "other_engine", "{frame:?}");
        }
    }

    #[tokio::test]
    async fn a_peer_that_says_too_much_is_first_slowed_down_and_then_cut_off() {
        let (near, mut far) = greeted(1 << 10).await;
        let limits = LinkLimits { frames_per_second: 1000, burst: Duration::from_millis(50), ..limits() };
        let mut test = Test::new(VALIDATOR, limits, near);
        let frame = height();
        let began = Instant::now();
        let flood = tokio::spawn(async move { while far.write_all(&frame).await.is_ok() {} });
        let mut taken = 0;
        while test.events.recv().await.is_some() {
            taken += 1;
        }
        // It got what the rate allows, and not more.
        assert!(f64::from(taken) < 100.0 + 1000.0 * began.elapsed().as_secs_f64(), "{taken} frames were read");
        assert_eq!(test.ends().await, "flood");
        flood.await.unwrap();
    }

    #[tokio::test]
    async fn a_burst_is_not_a_flood() {
        let (near, mut far) = greeted(1 << 20).await;
        let limits = LinkLimits { frames_per_second: 1000, silence: Duration::from_millis(900), ..limits() };
        let mut test = Test::new(VALIDATOR, limits, near);
        for _ in 0..2100 {
            far.write_all(&height()).await.unwrap();
        }
        for _ in 0..2100 {
            test.events.recv().await.unwrap();
        }
        assert_eq!(test.ends().await, "silent");
    }

    #[tokio::test]
    async fn what_the_core_has_not_dealt_with_is_bounded_by_what_it_may_take_decoded() {
        let key = dtn_primitives::SecretKey::from_bytes(&[1; 32]).unwrap();
        let domain = dtn_primitives::Domain::new(dtn_primitives::B256::ZERO, 1);
        let items = vec![dtn_primitives::Bytes::from_static(b"x"); 100];
        let data = dtn_primitives::Payload::Data { nonce: 0, items: items.into() };
        let blown_up = framed(&Frame::Transactions(vec![dtn_primitives::Transaction::sign(data, &key, &domain)]));
        let charge = (blown_up.len() - 4) * DECODED_PER_BYTE;
        for (frame, charge) in [(height(), FRAME_CHARGE), (blown_up, charge)] {
            let (near, mut far) = greeted(1 << 10).await;
            let test = Test::new(VALIDATOR, LinkLimits { unread_bytes: 10 * charge, ..limits() }, near);
            tokio::spawn(async move { while far.write_all(&frame).await.is_ok() {} });
            // Until nothing more is taken.
            let mut before = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if test.events.len() == before && before > 0 {
                    break;
                }
                before = test.events.len();
            }
            assert_eq!(before, 10);
            let mut test = test;
            for _ in 0..100 {
                test.events.recv().await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn two_idle_peers_stay_linked_and_one_that_takes_nothing_is_given_up() {
        let limits =
            LinkLimits { heartbeat: Duration::from_millis(20), silence: Duration::from_millis(400), ..limits() };
        let (near, far) = duplex(1 << 10);
        let mut near = Test::new(VALIDATOR, limits.clone(), near);
        let mut far = Test::new(VALIDATOR, limits.clone(), far);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(near.closed.try_recv().is_err() && far.closed.try_recv().is_err());
        let text = near.metrics.encode();
        assert!(text.contains("dtn_frames_in_total{peer=\"1\"}"), "{text}");
        drop(near.link);
        assert_eq!(near.closed.recv().await.unwrap().reason.label(), "closed_here");

        // The other end speaks, but never reads.
        let (near, mut far) = greeted(1 << 10).await;
        let test = Test::new(VALIDATOR, limits, near);
        test.link.send(EncodedFrame { class: Class::Height, bytes: vec![0; 1 << 16].into() });
        let speaking = tokio::spawn(async move {
            while far.write_all(&height()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            far.read_u8().await.ok();
        });
        assert_eq!(test.ends().await, "stalled");
        speaking.await.unwrap();
    }
}
