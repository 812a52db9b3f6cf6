//! Who may connect: the validators of the genesis, a bounded number of observers, and nobody who is refused for what it
//! did. It is decided right after the Noise handshake has proven who the other end is, before it can say anything.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use tokio::time::Instant;

/// For how long the first offence is refused; each further one doubles it.
const MIN_REFUSAL: Duration = Duration::from_secs(1);

/// No refusal is longer: a validator that was repaired is needed.
const MAX_REFUSAL: Duration = Duration::from_secs(60);

/// After so long without an offence the earlier ones are forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Peers whose offences are remembered. Validators are among them; others change their keys as they like.
const MAX_OFFENDERS: usize = 1024;

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// Not a validator, and observers are not served.
    #[error("not a validator")]
    Stranger,
    /// There are as many observers as are served.
    #[error("too many observers")]
    Full,
    /// It did what no correct peer does, not long ago.
    #[error("refused for a while for what it did")]
    Refused,
}

impl Denied {
    /// As metrics name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Full => "too_many_observers",
            Self::Refused => "refused",
        }
    }
}

#[derive(Debug)]
struct Offender {
    offences: u32,
    last: Instant,
    until: Instant,
}

/// Decides who may connect.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The validators, and the observers that this peer is told to follow.
    known: HashSet<PeerId>,
    max_observers: usize,
    observers: HashMap<PeerId, HashSet<ConnectionId>>,
    offenders: HashMap<PeerId, Offender>,
}

impl Admission {
    pub(crate) fn new(known: HashSet<PeerId>, max_observers: usize) -> Self {
        Self { known, max_observers, observers: HashMap::new(), offenders: HashMap::new() }
    }

    /// Refuses a peer from now on, longer each time; gives the end.
    pub(crate) fn refuse(&mut self, peer: PeerId, now: Instant) -> Instant {
        self.offenders.retain(|_, offender| now.saturating_duration_since(offender.last) < FORGIVEN_AFTER);
        if self.offenders.len() >= MAX_OFFENDERS && !self.offenders.contains_key(&peer) {
            let oldest = self.offenders.iter().filter(|(id, _)| !self.known.contains(id));
            let oldest = oldest.min_by_key(|(_, offender)| offender.last).map(|(id, _)| *id);
            oldest.map(|id| self.offenders.remove(&id));
        }
        let offender = self.offenders.entry(peer).or_insert(Offender { offences: 0, last: now, until: now });
        let refusal = MIN_REFUSAL.saturating_mul(1 << offender.offences.min(16)).min(MAX_REFUSAL);
        *offender = Offender { offences: offender.offences + 1, last: now, until: now + refusal };
        offender.until
    }

    fn check(&self, peer: PeerId, now: Instant) -> Result<(), Denied> {
        if self.offenders.get(&peer).is_some_and(|offender| offender.until > now) {
            return Err(Denied::Refused);
        }
        if self.known.contains(&peer) || self.observers.contains_key(&peer) {
            return Ok(());
        }
        match self.max_observers {
            0 => Err(Denied::Stranger),
            limit if self.observers.len() >= limit => Err(Denied::Full),
            _ => Ok(()),
        }
    }

    fn opened(&mut self, peer: PeerId, connection: ConnectionId) {
        if !self.known.contains(&peer) {
            self.observers.entry(peer).or_default().insert(connection);
        }
    }

    fn closed(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(connections) = self.observers.get_mut(&peer) {
            connections.remove(&connection);
            if connections.is_empty() {
                self.observers.remove(&peer);
            }
        }
    }
}

impl NetworkBehaviour for Admission {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(peer, Instant::now()).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // Only those that are known are dialed.
        let known = if self.known.contains(&peer) { Ok(()) } else { Err(Denied::Stranger) };
        known.and_then(|()| self.check(peer, Instant::now())).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.opened(event.peer_id, event.connection_id),
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.closed(peer_id, connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: usize) -> ConnectionId {
        ConnectionId::new_unchecked(id)
    }

    #[test]
    fn strangers_are_refused_and_observers_as_far_as_there_is_room() {
        let now = Instant::now();
        let [validator, first, second] = [(); 3].map(|()| PeerId::random());
        let closed = Admission::new([validator].into(), 0);
        assert_eq!(closed.check(validator, now), Ok(()));
        assert_eq!(closed.check(first, now), Err(Denied::Stranger));

        let mut open = Admission::new([validator].into(), 1);
        assert_eq!(open.check(first, now), Ok(()));
        open.opened(first, connection(1));
        open.opened(first, connection(2));
        open.opened(validator, connection(3));
        assert_eq!(open.check(first, now), Ok(()), "it may connect anew before the old connection is gone");
        assert_eq!(open.check(second, now), Err(Denied::Full));
        open.closed(first, connection(1));
        assert_eq!(open.check(second, now), Err(Denied::Full));
        open.closed(first, connection(2));
        assert_eq!(open.check(second, now), Ok(()));
    }

    #[test]
    fn an_offender_is_refused_for_longer_each_time_but_never_for_ever() {
        let mut now = Instant::now();
        let validator = PeerId::random();
        let mut admission = Admission::new([validator].into(), 0);
        let mut refusals = Vec::new();
        for _ in 0..40 {
            let until = admission.refuse(validator, now);
            assert_eq!(admission.check(validator, now), Err(Denied::Refused));
            refusals.push(until - now);
            now = until;
            assert_eq!(admission.check(validator, now), Ok(()));
        }
        assert_eq!(refusals[..3], [1, 2, 4].map(Duration::from_secs));
        assert!(refusals.is_sorted() && refusals.last() == Some(&MAX_REFUSAL));
        now += FORGIVEN_AFTER;
        assert_eq!(admission.refuse(validator, now) - now, MIN_REFUSAL);
    }

    #[test]
    fn offenders_with_ever_new_keys_take_up_no_more_room() {
        let now = Instant::now();
        let validator = PeerId::random();
        let mut admission = Admission::new([validator].into(), 8);
        admission.refuse(validator, now);
        for _ in 0..2 * MAX_OFFENDERS {
            admission.refuse(PeerId::random(), now + Duration::from_millis(1));
        }
        assert_eq!(admission.offenders.len(), MAX_OFFENDERS);
        assert_eq!(admission.check(validator, now), Err(Denied::Refused));
    }
}
