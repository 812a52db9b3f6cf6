//! What the two ends of a link say of themselves: whether they are of one version and network, and whether a key runs twice.

use super::*;

/// A peer of another version or network is dialed again this much later.
const FOREIGN_INTERVAL: Duration = Duration::from_secs(30);

/// Starts of a peer's process that are remembered, to tell two processes from one that started again.
const MAX_BOOTS: usize = 4;

impl Network {
    /// A peer with which there is no protocol in common wants to know why, or says so.
    pub(super) fn hello_event(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        use request_response::{Event as Exchanged, Message};
        let (peer, said) = match event {
            Exchanged::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                let hello = codec::encode(&self.hello);
                // It may have gone away meanwhile.
                self.swarm.behaviour_mut().hello.send_response(channel, hello).ok();
                let said = codec::decode::<Hello>(&request, MAX_HELLO).ok();
                if let Some(Err(foreign)) = said.map(|said| self.hello.check(&said)) {
                    self.is_foreign(peer, foreign);
                }
                return;
            }
            Exchanged::Message { peer, message: Message::Response { response, .. }, .. } => {
                (peer, codec::decode::<Hello>(&response, MAX_HELLO).ok())
            }
            Exchanged::OutboundFailure { peer, .. } => (peer, None),
            Exchanged::InboundFailure { .. } | Exchanged::ResponseSent { .. } => return,
        };
        let foreign = said.and_then(|said| self.hello.check(&said).err()).unwrap_or(Foreign::Unknown);
        self.is_foreign(peer, foreign);
        self.disconnect(peer);
    }

    /// A peer is of another version or network. It is left alone for a while.
    pub(super) fn is_foreign(&mut self, id: PeerId, foreign: Foreign) {
        let remote = self.remote(id);
        tracing::error!(peer = %remote, "nothing to say to each other: {foreign}");
        self.metrics.connection_refused(foreign.label());
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.dial_at = peer.dial_at.max(Instant::now() + FOREIGN_INTERVAL);
        }
    }

    /// What came over a link about its two ends.
    pub(super) fn greeted(&mut self, greeting: Greeting) {
        match greeting {
            Greeting::Hello(remote, link, hello) => self.said_hello(remote, link, &hello),
            Greeting::Twins(remote, boots) => self.called_twin(remote, boots),
        }
    }

    pub(super) fn said_hello(&mut self, remote: Remote, link: u64, hello: &Hello) {
        let Some(id) = self.id_of(remote) else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.link.as_ref().is_none_or(|current| current.id != link) {
            return;
        }
        if let Err(foreign) = self.hello.check(hello) {
            self.is_foreign(id, foreign);
            self.end_link(id, &CloseReason::Here);
            self.disconnect(id);
            return;
        }
        let Some(index) = remote.validator() else { return };
        self.metrics.software_of(index, hello.software());
        let latest = peer.boots.last().copied();
        let came_back = peer.boots.contains(&hello.boot);
        peer.boots.retain(|boot| *boot != hello.boot);
        peer.boots.push(hello.boot);
        if peer.boots.len() > MAX_BOOTS {
            peer.boots.remove(0);
        }
        // A process that another one followed is gone, unless they are two.
        if let Some(other) = latest.filter(|latest| came_back && *latest != hello.boot) {
            tracing::warn!(peer = %remote, "two processes with the key of one peer take turns at its link");
            self.metrics.peer_twins(index);
            let twins = Frame::Twins([other, hello.boot]).encode();
            self.peers.get(&id).into_iter().for_each(|peer| self.send(peer, twins.clone()));
        }
    }

    /// A validator says that this one runs twice. One may lie.
    pub(super) fn called_twin(&mut self, remote: Remote, boots: [u64; 2]) {
        let Some(index) = remote.validator().filter(|_| boots.contains(&self.hello.boot)) else { return };
        self.twin_reports.insert(index);
        let max_faulty = self.validators.len().saturating_sub(1) / 3;
        if self.twin_reports.len() > max_faulty {
            self.is_twin();
        }
    }

    /// Who connects has this peer's own key. If this peer is dialing, its own connection may have been led back to it.
    pub(super) fn met_oneself(&mut self) {
        if self.dialed_at.elapsed() > 2 * transport::HANDSHAKE_TIMEOUT {
            self.is_twin();
        }
    }

    pub(super) fn is_twin(&mut self) {
        if self.metrics.twin_seen.set(1) == 0 {
            tracing::error!(
                "another process runs with this peer's key: stop one of them, or both contradict themselves"
            );
            self.tell(Event::Twin);
        }
    }
}
