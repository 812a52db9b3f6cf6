//! Who may be in the middle of a handshake. A connection that has not proven who it is takes a place; there is a bounded
//! number of them, shared out by address, so that a stranger who holds many keeps out nobody but strangers nearby.
//!
//! When its share is full, a newcomer is let in and another of the same share has to leave: of those that have said
//! nothing the oldest, unless most have spoken. A validator speaks at once and is done within two round trips, so it is
//! long gone from its place before its turn to leave comes.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::future::{AbortHandle, AbortRegistration, Abortable, Aborted};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
    },
    multiaddr::Protocol,
};
use prometheus_client::metrics::gauge::Gauge;

/// Handshakes at a time, however many descriptors there are.
const MAX_PLACES: usize = 1024;

/// The part of the process's descriptors that handshakes may take: links, stores and clients need the rest.
const DESCRIPTORS_PER_PLACE: usize = 4;

/// Of so many places one is a stranger's; the others are for addresses at which validators are expected.
const STRANGERS: usize = 4;

/// Of the strangers' places, the networks of one provider (/24, /64) may take one in so many.
const PER_PREFIX: usize = 4;

/// Of the strangers' places, one address may take one in so many.
const PER_ADDRESS: usize = 8;

/// A handshake that had to make room for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("crowded out: too many connections that do not say who they are")]
pub(crate) struct CrowdedOut;

impl CrowdedOut {
    /// Whether this is why a connection failed. Transports wrap errors in errors.
    pub(crate) fn is(error: &io::Error) -> bool {
        let Some(inner) = error.get_ref() else { return false };
        inner.is::<Self>() || inner.downcast_ref::<io::Error>().is_some_and(Self::is)
    }
}

/// One that is under way.
#[derive(Debug)]
struct Pending {
    id: u64,
    from: Multiaddr,
    ip: IpAddr,
    spoke: bool,
    handle: AbortHandle,
}

/// Handshakes that have a share of the places in common.
#[derive(Debug, Clone, Copy)]
enum Share {
    Address(IpAddr),
    Prefix(IpAddr),
    Strangers,
}

#[derive(Debug)]
struct Table {
    places: usize,
    /// Where validators are configured to be.
    expected: HashSet<IpAddr>,
    /// Where validators came from last.
    met: HashMap<PeerId, IpAddr>,
    /// In the order of their arrival.
    pending: Vec<Pending>,
    next: u64,
}

impl Table {
    fn is_expected(&self, ip: IpAddr) -> bool {
        self.expected.contains(&ip) || self.met.values().any(|met| *met == ip)
    }

    fn contains(&self, share: Share, pending: &Pending) -> bool {
        match share {
            Share::Address(ip) => pending.ip == ip,
            Share::Prefix(ip) => !self.is_expected(pending.ip) && prefix(pending.ip) == prefix(ip),
            Share::Strangers => !self.is_expected(pending.ip),
        }
    }

    /// The shares that a connection from there counts in, and how many places each has.
    fn shares(&self, ip: IpAddr) -> Vec<(Share, usize)> {
        let strangers = (self.places / STRANGERS).max(1);
        if self.is_expected(ip) {
            let met: HashSet<_> = self.met.values().chain(&self.expected).collect();
            return vec![(Share::Address(ip), ((self.places - strangers) / met.len()).max(1))];
        }
        let part = |of: usize| (strangers / of).max(1);
        vec![
            (Share::Address(ip), part(PER_ADDRESS)),
            (Share::Prefix(ip), part(PER_PREFIX)),
            (Share::Strangers, strangers),
        ]
    }

    /// Takes a place, if need be another's.
    fn enter(&mut self, from: &Multiaddr) -> (u64, AbortRegistration) {
        let ip = ip_of(from);
        for (share, places) in self.shares(ip) {
            while self.pending.iter().filter(|pending| self.contains(share, pending)).count() >= places {
                self.evict(share);
            }
        }
        let (handle, registration) = AbortHandle::new_pair();
        self.next += 1;
        // The first packet of QUIC is already the first message of the handshake.
        let spoke = from.iter().any(|part| matches!(part, Protocol::QuicV1));
        self.pending.push(Pending { id: self.next, from: from.clone(), ip, spoke, handle });
        (self.next, registration)
    }

    /// Half of a share is for those that have said nothing yet, which is where each begins, and half for the others.
    fn evict(&mut self, share: Share) {
        let members = || self.pending.iter().enumerate().filter(|(_, pending)| self.contains(share, pending));
        let silent = members().filter(|(_, pending)| !pending.spoke).count();
        let leaves_silent = 2 * silent >= members().count();
        let oldest = members().find(|(_, pending)| pending.spoke != leaves_silent).map(|(index, _)| index);
        if let Some(index) = oldest {
            self.pending.remove(index).handle.abort();
        }
    }
}

/// The places for handshakes; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Handshakes {
    table: Arc<Mutex<Table>>,
    gauge: Gauge,
}

impl Handshakes {
    /// With so many descriptors for the whole process, and validators expected at these addresses.
    pub(crate) fn new<'a>(
        descriptors: usize,
        validators: impl IntoIterator<Item = &'a Multiaddr>,
        gauge: Gauge,
    ) -> Self {
        let table = Table {
            places: (descriptors / DESCRIPTORS_PER_PLACE).clamp(2, MAX_PLACES),
            expected: validators.into_iter().map(ip_of).collect(),
            met: HashMap::new(),
            pending: Vec::new(),
            next: 0,
        };
        Self { table: Arc::new(Mutex::new(table)), gauge }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics under the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A validator proved who it is from there; it is expected there again.
    pub(crate) fn met(&self, validator: PeerId, from: &Multiaddr) {
        self.lock().met.insert(validator, ip_of(from));
    }

    /// The other end of a connection has begun to speak.
    pub(crate) fn spoke(&self, from: &Multiaddr) {
        if let Some(pending) = self.lock().pending.iter_mut().find(|pending| pending.from == *from) {
            pending.spoke = true;
        }
    }

    fn enter(&self, from: &Multiaddr) -> (Place, AbortRegistration) {
        let mut table = self.lock();
        let (id, registration) = table.enter(from);
        self.gauge.set(table.pending.len() as i64);
        (Place { id, handshakes: self.clone() }, registration)
    }
}

/// Held while a handshake is under way.
#[derive(Debug)]
struct Place {
    id: u64,
    handshakes: Handshakes,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.handshakes.lock();
        table.pending.retain(|pending| pending.id != self.id);
        self.handshakes.gauge.set(table.pending.len() as i64);
    }
}

/// What a handshake brings: who the other end is, and a connection to it.
pub(crate) type Authenticated = (PeerId, StreamMuxerBox);

type Upgrade = Pin<Box<dyn Future<Output = io::Result<Authenticated>> + Send>>;

/// A transport whose incoming connections take places.
#[derive(Debug)]
pub(crate) struct Guarded {
    transport: Boxed<Authenticated>,
    handshakes: Handshakes,
}

impl Guarded {
    pub(crate) fn new(transport: Boxed<Authenticated>, handshakes: Handshakes) -> Self {
        Self { transport, handshakes }
    }
}

impl Transport for Guarded {
    type Output = Authenticated;
    type Error = io::Error;
    type ListenerUpgrade = Upgrade;
    type Dial = Upgrade;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.transport.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.transport.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Upgrade, TransportError<io::Error>> {
        self.transport.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let event = std::task::ready!(Pin::new(&mut self.transport).poll(context));
        Poll::Ready(match event {
            TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr } => {
                let (place, registration) = self.handshakes.enter(&send_back_addr);
                let upgrade = async move {
                    let _place = place;
                    let upgraded = Abortable::new(upgrade, registration).await;
                    upgraded.unwrap_or_else(|Aborted| Err(io::Error::other(CrowdedOut)))
                };
                TransportEvent::Incoming { listener_id, upgrade: Box::pin(upgrade), local_addr, send_back_addr }
            }
            other => other,
        })
    }
}

fn ip_of(address: &Multiaddr) -> IpAddr {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => IpAddr::from(ip).to_canonical(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// What one provider gives to one customer, as a rule.
fn prefix(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use dtn_primitives::SecretKey;
    use futures::StreamExt;
    use libp2p::core::{Endpoint, muxing::StreamMuxerExt, transport::PortUse};
    use tokio::{io::AsyncReadExt, net::TcpStream};

    use super::*;
    use crate::{identity, transport};

    fn at(ip: &str, port: usize) -> Multiaddr {
        format!("/ip4/{ip}/tcp/{port}").parse().unwrap()
    }

    fn handshakes(places: usize, validators: &[&str]) -> Handshakes {
        let validators: Vec<_> = validators.iter().map(|ip| at(ip, 1)).collect();
        Handshakes::new(places * DESCRIPTORS_PER_PLACE, &validators, Gauge::default())
    }

    fn is_under_way(handshakes: &Handshakes, place: &Place) -> bool {
        handshakes.lock().pending.iter().any(|pending| pending.id == place.id)
    }

    #[test]
    fn strangers_from_anywhere_take_no_place_of_a_validator_s_address() {
        let handshakes = handshakes(64, &["10.0.0.1", "10.0.0.2"]);
        let (validator, _) = handshakes.enter(&at("10.0.0.1", 40_000));
        let strangers: Vec<_> = (0..5000)
            .map(|port| handshakes.enter(&at(&format!("77.{}.{}.9", port % 200, port / 200), port)).0)
            .collect();
        assert!(is_under_way(&handshakes, &validator));
        assert_eq!(strangers.iter().filter(|place| is_under_way(&handshakes, place)).count(), 16);
        drop(strangers);
        assert_eq!(handshakes.lock().pending.len(), 1);
    }

    #[test]
    fn one_stranger_and_its_neighbours_leave_room_for_others() {
        let handshakes = handshakes(256, &["10.0.0.1"]);
        let (other, _) = handshakes.enter(&at("88.1.1.1", 1));
        let one: Vec<_> = (0..1000).map(|port| handshakes.enter(&at("77.0.0.1", port)).0).collect();
        assert_eq!(one.iter().filter(|place| is_under_way(&handshakes, place)).count(), 8);
        let nearby: Vec<_> =
            (0..1000).map(|port| handshakes.enter(&at(&format!("77.0.0.{}", port % 250), port)).0).collect();
        assert_eq!(one.iter().chain(&nearby).filter(|place| is_under_way(&handshakes, place)).count(), 16);
        assert!(is_under_way(&handshakes, &other));
        assert_eq!(prefix("2001:db8::1".parse().unwrap()), prefix("2001:db8::ffff:0:0:1".parse().unwrap()));
        assert_ne!(prefix("2001:db8::1".parse().unwrap()), prefix("2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn who_speaks_outlasts_any_number_of_silent_ones_and_who_is_new_any_number_that_spoke_and_stopped() {
        let handshakes = handshakes(16, &["10.0.0.1"]);
        let address = at("10.0.0.1", 40_000);
        let (speaking, _) = handshakes.enter(&address);
        handshakes.spoke(&address);
        let silent: Vec<_> = (0..1000).map(|port| handshakes.enter(&at("10.0.0.1", port)).0).collect();
        assert!(is_under_way(&handshakes, &speaking));
        assert_eq!(silent.iter().filter(|place| is_under_way(&handshakes, place)).count(), 11);
        drop((speaking, silent));

        let slow: Vec<_> = (0..1000)
            .map(|port| {
                let address = at("10.0.0.1", port);
                let (place, _) = handshakes.enter(&address);
                handshakes.spoke(&address);
                place
            })
            .collect();
        let (new, _) = handshakes.enter(&address);
        let more: Vec<_> = (0..4).map(|port| handshakes.enter(&at("10.0.0.1", 2000 + port)).0).collect();
        assert!(is_under_way(&handshakes, &new), "it is given the time to speak");
        drop((slow, more));
    }

    #[test]
    fn a_validator_is_expected_where_it_was_met() {
        let handshakes = handshakes(64, &["10.0.0.1"]);
        let elsewhere = at("99.0.0.1", 40_000);
        let peer = PeerId::random();
        handshakes.met(peer, &elsewhere);
        let (validator, _) = handshakes.enter(&elsewhere);
        let strangers: Vec<_> =
            (0..1000).map(|port| handshakes.enter(&at(&format!("99.0.{}.9", port % 200), port)).0).collect();
        assert!(is_under_way(&handshakes, &validator));
        drop(strangers);
    }

    /// Dials, gives who answers there, and stays connected.
    async fn dial(seed: u8, to: Multiaddr) -> io::Result<PeerId> {
        let key = SecretKey::from_bytes(&[seed; 32]).unwrap();
        let mut transport = transport::build(&identity::keypair(&key), handshakes(4, &[])).unwrap();
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let (peer, mut muxer) = transport.dial(to, options).unwrap().await?;
        tokio::spawn(async move { std::future::poll_fn(|context| muxer.poll_unpin(context)).await.map(drop) });
        Ok(peer)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_handshake_gets_through_beside_more_silent_connections_from_its_address_than_there_are_places() {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let handshakes = handshakes(32, &["127.0.0.1"]);
        let mut transport = transport::build(&identity::keypair(&key), handshakes.clone()).unwrap();
        transport.listen_on(ListenerId::next(), at("127.0.0.1", 0)).unwrap();
        let TransportEvent::NewAddress { listen_addr, .. } = transport.select_next_some().await else { panic!() };
        let Some(Protocol::Tcp(port)) = listen_addr.iter().last() else { panic!() };
        let (met, mut who) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                if let TransportEvent::Incoming { upgrade, .. } = transport.select_next_some().await {
                    let met = met.clone();
                    tokio::spawn(async move { upgrade.await.map(|(peer, _)| met.send(peer)) });
                }
            }
        });
        let (held, mut holding) = tokio::sync::mpsc::channel(1000);
        for _ in 0..64 {
            let held = held.clone();
            tokio::spawn(async move {
                loop {
                    let Ok(mut stranger) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                    held.try_send(()).ok();
                    stranger.read_u8().await.ok();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        for _ in 0..64 {
            holding.recv().await.unwrap();
        }
        // On a machine that is slow enough, even the newest may have to make room; a peer dials again.
        let mut answered = dial(2, listen_addr.clone()).await;
        for _ in 0..9 {
            if answered.is_err() {
                answered = dial(2, listen_addr.clone()).await;
            }
        }
        assert_eq!(answered.unwrap(), identity::peer_id(&key.public_key()));
        let expected = identity::peer_id(&SecretKey::from_bytes(&[2; 32]).unwrap().public_key());
        assert_eq!(who.recv().await, Some(expected));
        assert!(handshakes.lock().pending.len() <= 32);
    }
}
