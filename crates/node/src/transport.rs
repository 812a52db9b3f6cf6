//! How bytes travel: Noise and Yamux over TCP, or QUIC where the program is built with it.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, Transport,
    core::{
        ConnectedPoint, StreamMuxer,
        muxing::{StreamMuxerBox, StreamMuxerEvent},
        transport::Boxed,
        upgrade::Version,
    },
    identity::Keypair,
    multiaddr::Protocol,
    noise, tcp, yamux,
};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::{
    NodeError,
    handshakes::{Authenticated, Guarded, Handshakes},
};

/// A connection that is not set up by then is given up: time for a few round trips around the world, and for a lost packet.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection whose other end says nothing by then is given up. Who dials speaks first, and at once.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that does not close by then is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Streams at a time on a connection: the link, and a few requests.
const MAX_STREAMS: usize = 32;

/// The transports; the address says which. Who connects takes a place among the handshakes.
pub(crate) fn build(key: &Keypair, handshakes: Handshakes) -> Result<Boxed<Authenticated>, NodeError> {
    let noise = noise::Config::new(key).map_err(|error| NodeError::Network(error.to_string()))?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(MAX_STREAMS);
    let places = handshakes.clone();
    // Votes are small and must not wait for one another.
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .and_then(move |stream, point| hear(stream, point, places))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(HANDSHAKE_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(Closing::new(muxer))));
    let transport = tcp.boxed();
    #[cfg(feature = "quic")]
    let transport = or_quic(key, transport);
    Ok(Guarded::new(transport, handshakes).boxed())
}

/// QUIC for the addresses that say so.
#[cfg(feature = "quic")]
fn or_quic(key: &Keypair, other: Boxed<Authenticated>) -> Boxed<Authenticated> {
    use futures::future::Either;
    use libp2p::quic;

    let mut config = quic::Config::new(key);
    config.handshake_timeout = HANDSHAKE_TIMEOUT;
    config.max_concurrent_stream_limit = MAX_STREAMS as u32;
    quic::tokio::Transport::new(config)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(Closing::new(muxer))))
        .or_transport(other)
        .map(|either, _| match either {
            Either::Left(output) | Either::Right(output) => output,
        })
        .boxed()
}

/// Waits until who connected says something.
async fn hear(
    stream: tcp::tokio::TcpStream,
    point: ConnectedPoint,
    handshakes: Handshakes,
) -> io::Result<tcp::tokio::TcpStream> {
    if let ConnectedPoint::Listener { send_back_addr, .. } = point {
        timeout(SILENCE_TIMEOUT, stream.0.peek(&mut [0])).await??;
        handshakes.spoke(&send_back_addr);
    }
    Ok(stream)
}

/// Whether an address is one that a peer can be reached at.
pub(crate) fn is_supported(address: &Multiaddr) -> bool {
    let parts: Vec<_> = address.iter().collect();
    let host = |part: &Protocol<'_>| matches!(part, Protocol::Ip4(_) | Protocol::Ip6(_));
    match &parts[..] {
        [ip, Protocol::Tcp(_)] => host(ip),
        [ip, Protocol::Udp(_), Protocol::QuicV1] => cfg!(feature = "quic") && host(ip),
        _ => false,
    }
}

/// Fails if an address is one that only a program with QUIC can use, and this is none.
pub(crate) fn ensure_built_for(address: &Multiaddr) -> Result<(), NodeError> {
    let is_quic = address.iter().any(|part| matches!(part, Protocol::QuicV1));
    if is_quic && !cfg!(feature = "quic") { Err(NodeError::WithoutQuic(address.clone())) } else { Ok(()) }
}

/// Fails if another process listens there. libp2p shares a port with whoever lets it (`SO_REUSEPORT`); two peers on one
/// port would be a mistake.
pub(crate) fn ensure_free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) => TcpListener::bind(SocketAddr::from((ip, port))).map(drop),
        Some(Protocol::Udp(port)) => UdpSocket::bind(SocketAddr::from((ip, port))).map(drop),
        _ => Ok(()),
    }
}

/// A connection that closes within [`CLOSE_TIMEOUT`]. Without it, closing a connection to a host that vanished waits
/// until the system gives up sending what is still in the socket's buffer, which takes many minutes; until then the
/// connection counts as open.
struct Closing<M> {
    muxer: M,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<M> Closing<M> {
    fn new(muxer: M) -> Self {
        Self { muxer, deadline: None }
    }
}

impl<M> StreamMuxer for Closing<M>
where
    M: StreamMuxer + Unpin,
    M::Error: Send + Sync + 'static,
{
    type Substream = M::Substream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
        Pin::new(&mut self.muxer).poll_inbound(context).map_err(io::Error::other)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
        Pin::new(&mut self.muxer).poll_outbound(context).map_err(io::Error::other)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.muxer).poll_close(context) {
            return Poll::Ready(closed.map_err(io::Error::other));
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + CLOSE_TIMEOUT)));
        deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.muxer).poll(context).map_err(io::Error::other)
    }
}
