//! Who hands in what there is to decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use dtn_primitives::ValidatorIndex;

use super::{Event, World};
use crate::{
    Subject, What,
    host::Host,
    packet::{Packet, Sent},
};

/// Who hands in what there is to decide, and waits for replies.
pub(super) struct Client {
    /// How many blocks it has handed in.
    pub(super) handed_in: u64,
    /// When it began to wait, last heard of a new block, or asked.
    pub(super) news: Duration,
    /// How often it has asked since it heard of a new block.
    pub(super) asked: u32,
    pub(super) block_bytes: usize,
    /// Replies to each block that it waits for.
    pub(super) needed: usize,
    pub(super) heard: BTreeMap<u64, BTreeSet<ValidatorIndex>>,
}

impl<P: Subject> World<'_, P> {
    pub(super) fn client_number(&self) -> ValidatorIndex {
        ValidatorIndex(self.hosts.len() as u16)
    }

    /// The client hands in what fills the blocks up to this number.
    pub(super) fn hand_in(&mut self, blocks: u64) {
        let number = self.client_number();
        // Replies tell it the view, and how far the replicas are. Whose turn it will be fills the block.
        let next = (self.oracle.height() + 1).max(self.scenario.base + blocks);
        let latest = self.hosts.iter().filter(|host| host.up).max_by_key(|host| host.protocol.view());
        let proposer = |host: &Host<P>| host.protocol.proposer(&self.members, self.measured.view, next);
        let primary = latest.map_or(ValidatorIndex(0), proposer);
        let Some(client) = &mut self.client else { return };
        let known = std::mem::replace(&mut client.handed_in, blocks);
        if self.measured.replies.len() as u64 == known {
            client.news = self.now;
        }
        let order = self.order(known, blocks);
        self.measured.submitted.insert(self.scenario.base + blocks, self.now);
        self.dispatch(number, [primary], &order);
    }

    /// A client that has heard of no new block for a view's time tells everyone what is missing and asks for replies
    /// (OSDI '99, §4.1); then it waits twice as long.
    pub(super) fn look_impatient(&mut self) {
        let (base, timeout, number) = (self.scenario.base, self.scenario.view_timeout(), self.client_number());
        let Some(client) = &mut self.client else { return };
        let due = client.news.saturating_add(timeout.saturating_mul(1 << client.asked.min(16)));
        let missing = (1..=client.handed_in).find(|block| !self.measured.replies.contains_key(&(base + block)));
        let Some(missing) = missing.filter(|_| self.now >= due) else {
            let after = if missing.is_some() { due.saturating_sub(self.now) } else { timeout };
            return self.schedule(after, Event::Impatient);
        };
        (client.news, client.asked) = (self.now, client.asked + 1);
        let handed_in = client.handed_in;
        let order = self.order(missing - 1, handed_in);
        let all = (0..self.hosts.len()).map(|index| ValidatorIndex(index as u16));
        self.dispatch(number, all, &order);
        self.schedule(timeout, Event::Impatient);
    }

    /// What fills the blocks above a number up to another.
    fn order(&self, known: u64, blocks: u64) -> Rc<Sent<P::Message>> {
        let block_bytes = self.client.as_ref().map_or(0, |client| client.block_bytes);
        let bytes = block_bytes.saturating_mul((blocks - known) as usize);
        let [above, up_to] = [known, blocks].map(|number| self.scenario.base + number);
        Rc::new(Sent::new(Packet::Order { above, up_to, bytes }, P::kind))
    }

    pub(super) fn is_content(&self) -> bool {
        let replied = self.client.is_none() || self.measured.replies.len() as u64 >= self.scenario.load.blocks;
        replied && self.requests_done()
    }

    /// The client hears from a replica.
    pub(super) fn reply(&mut self, from: ValidatorIndex, packet: &Packet<P::Message>) {
        let (Some(client), Packet::Reply { height, .. }) = (&mut self.client, packet) else { return };
        let heard = client.heard.entry(*height).or_default();
        heard.insert(from);
        if heard.len() >= client.needed {
            let first = !self.measured.replies.contains_key(height);
            self.measured.replies.entry(*height).or_insert(self.now);
            self.advanced = true;
            if first {
                (client.news, client.asked) = (self.now, 0);
                self.tell(|| What::Replied { height: *height });
            }
        }
    }
}
