//! One long-lived framed stream between two validators, with a bounded queue of what is still to be sent.

use bytes::Bytes;
use dtn_primitives::{ValidatorIndex, codec};
use futures::{SinkExt, StreamExt};
use libp2p::Stream;
use tokio::sync::mpsc;
use tokio_util::{
    codec::{Framed, LengthDelimitedCodec},
    compat::FuturesAsyncReadCompatExt,
};

use crate::{network::Event, wire::Frame};

/// Frames that may wait for a slow peer. What does not fit is dropped; protocols say again what may have been lost.
const QUEUE: usize = 1024;

/// The sending side of a link. Dropping it closes the link.
#[derive(Debug)]
pub(crate) struct Link {
    /// Distinguishes this link from an earlier one to the same peer.
    pub(crate) id: u64,
    queue: mpsc::Sender<Bytes>,
}

/// Says that a link ended, and why.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) peer: ValidatorIndex,
    pub(crate) id: u64,
    pub(crate) reason: String,
}

impl Link {
    /// Runs a link over a stream until it fails, a frame is malformed or too long, or the `Link` is dropped.
    pub(crate) fn spawn(
        stream: Stream,
        peer: ValidatorIndex,
        id: u64,
        max_frame: usize,
        events: mpsc::Sender<Event>,
        closed: mpsc::Sender<Closed>,
    ) -> Self {
        let (queue, outgoing) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let reason = run(stream, peer, max_frame, events, outgoing).await;
            // The network is gone only when the whole node is.
            closed.send(Closed { peer, id, reason }).await.ok();
        });
        Self { id, queue }
    }

    /// Queues a frame; false if the queue is full or the link closed.
    pub(crate) fn send(&self, frame: Bytes) -> bool {
        self.queue.try_send(frame).is_ok()
    }
}

async fn run(
    stream: Stream,
    peer: ValidatorIndex,
    max_frame: usize,
    events: mpsc::Sender<Event>,
    mut outgoing: mpsc::Receiver<Bytes>,
) -> String {
    let framing = LengthDelimitedCodec::builder().max_frame_length(max_frame).new_codec();
    let (mut sink, mut source) = Framed::new(stream.compat(), framing).split();
    let write = async {
        while let Some(frame) = outgoing.recv().await {
            sink.feed(frame).await?;
            while let Ok(frame) = outgoing.try_recv() {
                sink.feed(frame).await?;
            }
            sink.flush().await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let read = async {
        while let Some(bytes) = source.next().await {
            let bytes = bytes.map_err(|error| error.to_string())?;
            let frame: Frame = codec::decode(&bytes, max_frame).map_err(|error| error.to_string())?;
            if events.send(Event::Frame { from: peer, frame }).await.is_err() {
                break;
            }
        }
        Ok::<_, String>(())
    };
    tokio::select! {
        result = write => result.map_or_else(|error| error.to_string(), |()| "closed by this peer".into()),
        result = read => result.map_or_else(|error| error, |()| "closed by the other peer".into()),
    }
}
