//! How links to peers begin and end.

use super::*;

impl Network {
    /// A link could not be opened. If the other peer has opened one meanwhile, that is as good.
    pub(super) fn no_link(&mut self, id: PeerId, error: &stream::OpenStreamError) {
        tracing::debug!(peer = %id, %error, "no link");
        match self.peers.get_mut(&id) {
            Some(peer) if peer.link.is_some() => peer.dialing = false,
            Some(_) if matches!(error, stream::OpenStreamError::UnsupportedProtocol(_)) => {
                let hello = codec::encode(&self.hello);
                self.swarm.behaviour_mut().hello.send_request(&id, hello);
            }
            _ => self.disconnect(id),
        }
    }

    /// Takes a stream as the link to a peer. Of two that were opened at once both peers keep the same one; else the new
    /// one takes the place of the old, of which the other end knows that it is gone.
    pub(super) fn open_link(&mut self, id: PeerId, stream: libp2p::Stream, opened_here: bool) {
        self.next_link += 1;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let crossed = peer.link.is_some() && (peer.opened_here || opened_here) && peer.opens != opened_here;
        if crossed {
            peer.dialing = false;
            return;
        }
        let (remote, dialed) = (peer.remote, self.dials.contains(&id));
        if !peer.links.take(1, Instant::now()).is_zero() {
            self.cut_off(remote, CloseReason::Offence(Offence::Flood));
            return;
        }
        let limits = match remote {
            Remote::Observer(_) if !dialed => LinkLimits::of_observers(self.engine),
            _ => LinkLimits::of_validators(self.engine, self.max_frame),
        };
        let reports = Reports {
            events: self.events.clone(),
            closed: self.closed.0.clone(),
            addresses: self.addresses.0.clone(),
            greetings: self.greetings.0.clone(),
            metrics: self.metrics.clone(),
        };
        let link = Link::spawn(stream, (remote, self.next_link), &self.hello, limits, reports);
        peer.dialing = false;
        peer.backoff = MIN_BACKOFF;
        peer.opened_here = opened_here;
        let replaced = peer.link.replace(link).is_some();
        if !dialed && remote.validator().is_none() {
            let known = self.validators.iter().filter_map(|id| self.peers.get(id)).filter_map(|peer| {
                Some((peer.remote.validator()?, peer.address.as_ref().or(peer.learned.last())?.clone()))
            });
            let addresses = Frame::Addresses(known.collect()).encode();
            self.peers.get(&id).into_iter().for_each(|peer| self.send(peer, addresses.clone()));
        }
        if replaced {
            self.ended(remote, &CloseReason::Here);
        }
        tracing::info!(peer = %remote, "connected");
        match remote {
            Remote::Validator(index) => self.metrics.connected(index),
            Remote::Observer(_) => self.count_observers(),
        }
        self.tell(Event::Connected(remote));
    }

    pub(super) fn link_closed(&mut self, Closed { peer: remote, id: link, reason }: Closed) {
        let Some(id) = self.id_of(remote) else { return };
        let current = self.peers.get(&id).and_then(|peer| peer.link.as_ref()).is_some_and(|current| current.id == link);
        if current || matches!(reason, CloseReason::Offence(_)) {
            self.cut_off(remote, reason);
        }
    }

    /// Ends the connection to a peer, and refuses another for a while if the peer did what no correct peer does.
    pub(super) fn cut_off(&mut self, remote: Remote, reason: CloseReason) {
        let Some(id) = self.id_of(remote) else { return };
        if let CloseReason::Offence(offence) = reason {
            tracing::warn!(peer = %remote, offence = offence.label(), "cut off");
            match remote {
                Remote::Validator(index) => self.metrics.peer_fault(index, offence.label()),
                Remote::Observer(_) => self.metrics.observer_fault(offence.label()),
            }
            let until = self.swarm.behaviour_mut().admission.refuse(id, Instant::now());
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.dial_at = peer.dial_at.max(until);
            }
        }
        self.end_link(id, &reason);
        self.disconnect(id);
    }

    /// Forgets the link to a peer, if there is one.
    pub(super) fn end_link(&mut self, id: PeerId, reason: &CloseReason) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let remote = peer.remote;
        if peer.link.take().is_some() {
            self.ended(remote, reason);
        }
    }

    pub(super) fn ended(&mut self, remote: Remote, reason: &CloseReason) {
        tracing::info!(peer = %remote, %reason, "disconnected");
        match remote {
            Remote::Validator(index) => self.metrics.disconnected(index, reason.label()),
            Remote::Observer(_) => self.count_observers(),
        }
        self.tell(Event::Disconnected(remote));
    }

    pub(super) fn disconnect(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.back_off(Instant::now());
        }
        // If there is no connection any more, none has to be closed.
        self.swarm.disconnect_peer_id(id).ok();
    }

    pub(super) fn count_observers(&self) {
        let linked = |peer: &&Peer| peer.link.is_some() && peer.remote.validator().is_none();
        self.metrics.observers.set(self.peers.values().filter(linked).count() as i64);
    }
}
