//! What travels between replicas, and with their client.

use std::{rc::Rc, time::Duration};

use dtn_primitives::ValidatorIndex;

use super::{Event, World};
use crate::{
    Scheduler, Subject, Violation, What,
    adversary::{Context, Outgoing},
    host::{Arrival, Host, To},
    network::Passage,
    packet::{Packet, Sent},
    port::Frame,
};

/// A packet on its way from one to another. A client's number is one above the replicas'.
pub(super) struct Letter<M> {
    from: ValidatorIndex,
    to: ValidatorIndex,
    sent: Rc<Sent<M>>,
    at: Duration,
    /// The incarnation of the receiver that it is for, if there was one: a connection ends with either process.
    incarnation: Option<u32>,
}

impl<M> Clone for Letter<M> {
    fn clone(&self) -> Self {
        Self { sent: self.sent.clone(), ..*self }
    }
}

/// A packet on a replica's uplink.
pub(super) struct Departing<M> {
    letter: Letter<M>,
    /// What becomes of it, once its first frame leaves.
    fate: Option<Fate>,
}

impl<M> Clone for Departing<M> {
    fn clone(&self) -> Self {
        Self { letter: self.letter.clone(), fate: self.fate }
    }
}

/// What the network does with a packet.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    Lost,
    Takes(Duration),
}

impl<P: Subject> World<'_, P> {
    /// Whether messages pass between two replicas now; a client hears and is heard always.
    pub(super) fn reaches(&self, from: usize, to: usize) -> bool {
        let linked = || self.hosts[from].linked && self.hosts[to].linked;
        from.max(to) >= self.hosts.len() || (linked() && self.network.reaches(from, to, self.now))
    }

    /// Sends what a replica's machine lets out; in a liar's place, what the liar makes of it.
    pub(super) fn let_out(
        &mut self,
        me: ValidatorIndex,
        to: To,
        packet: Packet<P::Message>,
        round: u32,
    ) -> Result<(), Violation> {
        let host = me.as_usize();
        if self.liars[host].is_some() {
            let Packet::Consensus(message) = packet else {
                self.serve(me, to, packet);
                return Ok(());
            };
            let to: Vec<_> = match to {
                To::One(to) => vec![to],
                To::Others => self.members.others(me).collect(),
                To::Client => Vec::new(),
            };
            for to in to {
                let context = &mut Context { seat: self.members.seat(me), rng: &mut self.rng };
                let instead = self.liars[host].as_mut().map(|liar| liar.instead(to, message.clone(), context));
                self.lie(me, instead.unwrap_or_default());
            }
            return Ok(());
        }
        if let Packet::Consensus(message) = &packet {
            self.oracle.says(me, P::statements(message))?;
            self.hears(message);
        }
        let sent = Rc::new(Sent { round, ..Sent::new(packet, P::kind) });
        match to {
            To::One(to) => self.dispatch(me, [to], &sent),
            To::Client => self.dispatch(me, [self.client_number()], &sent),
            To::Others => {
                let others = self.members.others(me);
                self.dispatch(me, others, &sent);
            }
        }
        Ok(())
    }

    /// What a liar does instead of helping others to catch up, or to do so itself. It owes clients nothing.
    fn serve(&mut self, me: ValidatorIndex, to: To, packet: Packet<P::Message>) {
        let to: Vec<_> = match to {
            To::One(to) => vec![to],
            To::Others => self.members.others(me).collect(),
            To::Client => Vec::new(),
        };
        for to in to {
            let Some(liar) = self.liars[me.as_usize()].as_mut() else { return };
            let context = &mut Context { seat: self.members.seat(me), rng: &mut self.rng };
            let catches_up = liar.catches_up();
            let packet = match &packet {
                Packet::Height(own) => liar.height(*own, to).or(catches_up.then_some(*own)).map(Packet::Height),
                Packet::Request(above) => catches_up.then_some(Packet::Request(*above)),
                Packet::Blocks(decided) => liar.blocks(decided, context).map(Packet::Blocks),
                _ => None,
            };
            if let Some(packet) = packet {
                self.dispatch(me, [to], &Rc::new(Sent::new(packet, P::kind)));
            }
        }
    }

    /// A liar that lies about its height tells it unasked.
    pub(super) fn boast(&mut self, host: usize) {
        let (me, own) = (self.hosts[host].me, self.hosts[host].chain.height());
        for to in self.members.others(me) {
            let told = self.liars[host].as_mut().and_then(|liar| liar.height(own, to));
            if let Some(height) = told {
                self.dispatch(me, [to], &Rc::new(Sent::new(Packet::Height(height), P::kind)));
            }
        }
    }

    pub(super) fn lie(&mut self, from: ValidatorIndex, messages: Vec<Outgoing<P::Message>>) {
        for Outgoing { to, message, delay } in messages {
            let sent = Rc::new(Sent { delay, ..Sent::new(Packet::Consensus(message), P::kind) });
            self.dispatch(from, [to], &sent);
        }
    }

    /// Gives a packet to the sender's port, once for each receiver.
    pub(super) fn dispatch(
        &mut self,
        from: ValidatorIndex,
        to: impl IntoIterator<Item = ValidatorIndex>,
        sent: &Rc<Sent<P::Message>>,
    ) {
        let mut receivers = 0;
        for to in to {
            let known = to.as_usize() < self.hosts.len() || (self.client.is_some() && to == self.client_number());
            if !known {
                continue;
            }
            receivers += 1;
            let receiver = self.hosts.get(to.as_usize()).filter(|host| host.up);
            let incarnation = receiver.map(|host| host.incarnation);
            let letter = Letter { from, to, sent: sent.clone(), at: self.now, incarnation };
            let port = &mut self.up[from.as_usize()];
            if !port.is_limited() {
                self.depart(letter);
            } else if let Some(after) = port.add(to.0, sent.bytes, Departing { letter, fate: None }) {
                self.schedule(after, Event::FrameSent { host: from.as_usize() });
            }
        }
        if receivers > 0 {
            self.measured.sent(from.as_usize(), sent.kind, receivers, sent.bytes);
            if from.as_usize() < self.hosts.len() && !self.up[from.as_usize()].is_limited() {
                self.measured.left(receivers * sent.bytes as u64, self.now);
            }
        }
    }

    /// A packet leaves its sender all at once.
    fn depart(&mut self, letter: Letter<P::Message>) {
        match self.fate(&letter) {
            Fate::Lost => self.lose(&letter),
            Fate::Takes(delay) => {
                let bytes = letter.sent.bytes;
                self.double(&letter);
                self.travel(letter, delay, bytes, true);
            }
        }
    }

    /// An uplink has sent a frame, which takes the way of its packet's first one.
    pub(super) fn frame_sent(&mut self, host: usize) {
        if let Some(letter) = self.up[host].front().filter(|next| next.fate.is_none()).map(|next| next.letter.clone()) {
            let fate = self.fate(&letter);
            if let Some(next) = self.up[host].front() {
                next.fate = Some(fate);
            }
        }
        let (frame, next) = self.up[host].pass();
        if let Some(after) = next {
            self.schedule(after, Event::FrameSent { host });
        }
        let Some(Frame { bytes, message: Departing { letter, fate }, last }) = frame else { return };
        self.measured.left(bytes as u64, self.now);
        match fate {
            Some(Fate::Takes(delay)) => {
                if last {
                    self.double(&letter);
                }
                if last || self.down[letter.to.as_usize()].is_limited() {
                    self.travel(letter, delay, bytes, last);
                }
            }
            _ if last => self.lose(&letter),
            _ => {}
        }
    }

    /// Bytes of a packet, a frame or all, have come to the receiver's downlink.
    pub(super) fn arrive_at_port(&mut self, letter: Letter<P::Message>, bytes: usize, last: bool) {
        let host = letter.to.as_usize();
        if let Some(after) = self.down[host].add(letter.from.0, bytes, (letter, last)) {
            self.schedule(after, Event::FrameReceived { host });
        }
    }

    /// A downlink has taken in a frame.
    pub(super) fn frame_received(&mut self, host: usize) {
        let (frame, next) = self.down[host].pass();
        if let Some(after) = next {
            self.schedule(after, Event::FrameReceived { host });
        }
        if let Some(Frame { message: (letter, true), last: true, .. }) = frame {
            self.deliver(letter);
        }
    }

    /// What becomes of a packet that leaves now.
    fn fate(&mut self, letter: &Letter<P::Message>) -> Fate {
        let (from, to) = (letter.from.as_usize(), letter.to.as_usize());
        if !self.reaches(from, to) || self.network.loses(from, to, self.now, &mut self.rng) {
            return Fate::Lost;
        }
        let Sent { bytes, is_vote, delay, .. } = *letter.sent;
        let mut passage = Passage { from, to, bytes, is_vote, primary: None };
        if self.scenario.synchrony.scheduler == Scheduler::TargetPrimary {
            // A client's view is that of whom it talks to.
            let host = self.hosts.get(from).or(self.hosts.get(to));
            let proposer = |host: &Host<P>| {
                host.protocol.proposer(&self.members, host.protocol.view(), host.chain.height() + 1).as_usize()
            };
            passage.primary = Some(host.map_or(0, proposer));
        }
        Fate::Takes(delay + self.network.delay(&passage, self.now, &mut self.rng))
    }

    /// The network may deliver a packet once more.
    fn double(&mut self, letter: &Letter<P::Message>) {
        if self.network.doubles(self.now, &mut self.rng)
            && let Fate::Takes(delay) = self.fate(letter)
        {
            self.travel(letter.clone(), delay, letter.sent.bytes, true);
        }
    }

    fn lose(&mut self, letter: &Letter<P::Message>) {
        let Letter { from, to, sent, at, .. } = letter;
        self.tell(|| What::Lost { from: from.0, to: to.0, kind: sent.kind, sent: *at });
    }

    /// Bytes of a packet are on their way.
    fn travel(&mut self, letter: Letter<P::Message>, delay: Duration, bytes: usize, last: bool) {
        let limited = self.down[letter.to.as_usize()].is_limited();
        self.schedule(delay, if limited { Event::Arrive { letter, bytes, last } } else { Event::Deliver { letter } });
    }

    /// A correct replica hears or says something.
    fn hears(&mut self, message: &P::Message) {
        let epoch = self.members.validators().epoch();
        self.oracle.hears(|| P::signed(message, epoch), &self.members);
    }

    pub(super) fn deliver(&mut self, letter: Letter<P::Message>) {
        let Letter { from, to, ref sent, at, incarnation } = letter;
        let arrived = || What::Delivered { from: from.0, to: to.0, kind: sent.kind, bytes: sent.bytes, sent: at };
        if to == self.client_number() {
            self.tell(arrived);
            return self.reply(from, &sent.packet);
        }
        let host = to.as_usize();
        let gone = !self.hosts[host].up || incarnation != Some(self.hosts[host].incarnation);
        if gone || !self.reaches(from.as_usize(), host) {
            return self.lose(&letter);
        }
        self.trace.delivered(sent.kind, self.now, [from.0, to.0], sent.digest);
        self.tell(arrived);
        self.measured.received(host, sent.bytes);
        if let (Some(liar), Packet::Consensus(message)) = (&mut self.liars[host], &sent.packet) {
            let context = &mut Context { seat: self.members.seat(to), rng: &mut self.rng };
            let answers = liar.heard(from, message, context);
            self.lie(to, answers);
        } else if let Packet::Consensus(message) = &sent.packet {
            self.hears(message);
        }
        self.arrive(host, Arrival::Packet { from, sent: letter.sent });
    }
}
