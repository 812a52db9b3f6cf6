//! Orders for trained models: what this peer looks at before it votes for an order, or a call about one.
//!
//! What it takes is fetched from the others ([`download`]) and looked at by a thread of its own ([`desk`]). A transaction waits for that
//! before it is admitted, and a proposal before it is voted for.

pub(crate) mod desk;
mod download;
pub(crate) mod upload;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use dtn_ledger::Missing;
use dtn_primitives::{Address, B256, Block, Payload, Transaction, ValidatorIndex};
use dtn_trainer::{Blob, Brief, Library};
use dtn_training::{Order, Terms};
use tokio::sync::mpsc;

use crate::{NodeError, core::Core, host::Host, network::Remote};
use desk::{Desk, Done, Finding, Job};
use download::{Arrival, Downloads};

/// What is looked for at a time; what comes then comes again. Half of it is for proposals alone: whoever hands in transactions has
/// nothing at stake before they are in a block.
const MAX_WANTED: usize = 256;

/// After which time without success nothing is looked for any more, unless it comes again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Orders that are over of which everything is kept, the last ones.
const KEPT: usize = 64;

/// What this peer looks at.
pub(crate) struct Training {
    desk: Desk,
    /// What is looked for, by what it is told apart by.
    wanted: BTreeMap<B256, Wanted>,
    downloads: Downloads,
    /// What a client has asked for that is not here, and when.
    asked: BTreeMap<(B256, Blob), Instant>,
    /// The orders that are over and not forgotten yet, the oldest first.
    over: VecDeque<B256>,
}

struct Wanted {
    missing: Missing,
    brief: Brief,
    order: Option<Order>,
    /// What is to be admitted once it is here.
    transaction: Option<Transaction>,
    /// Who has handed it in, if nobody has proposed it: of each sender one thing is looked for at a time.
    sender: Option<Address>,
    /// Who has proposed it and must have it.
    proposer: Option<ValidatorIndex>,
    /// What it takes that is not here.
    blobs: BTreeSet<Blob>,
    since: Instant,
    /// It is not as it should be.
    is_wrong: bool,
}

impl Training {
    /// With what is here of orders, of which those go that nobody knows: they never came into a block.
    pub(crate) fn new(library: Library, done: mpsc::UnboundedSender<Done>, is_known: impl Fn(B256) -> bool) -> Self {
        let (over, unknown): (Vec<_>, Vec<_>) = library.orders().into_iter().partition(|order| is_known(*order));
        let (wanted, asked, downloads) = (BTreeMap::new(), BTreeMap::new(), Downloads::default());
        let desk = Desk::spawn(library, done);
        unknown.into_iter().for_each(|order| desk.ask(Job::Forget(order)));
        Self { desk, wanted, downloads, asked, over: over.into() }
    }

    fn look(&self, id: B256) {
        if let Some(Wanted { missing, brief, order, .. }) = self.wanted.get(&id) {
            let (brief, order) = (Box::new(brief.clone()), order.clone().map(Box::new));
            self.desk.ask(Job::Check { id, brief, order, need: missing.need.clone() });
        }
    }

    pub(crate) fn disconnected(&mut self, peer: Remote) {
        self.downloads.disconnected(peer);
    }
}

impl Core {
    /// What an order asks for that is open on top of all blocks known, or that a transaction would open.
    fn brief(&self, missing: &Missing, transaction: &Transaction) -> Option<(Brief, Option<Order>)> {
        let Payload::Training(call) = &transaction.payload else { return None };
        let (network, id) = (self.domain.network_id, missing.order);
        if call.order.is_none() {
            let terms = Terms::decode(&call.body).ok()?;
            return Some((Brief { network, block: B256::ZERO, id, terms }, None));
        }
        let open = self.ledger.training_ahead(id)?;
        Some((Brief { network, block: open.block, id, terms: open.terms() }, Some(open.order.clone())))
    }

    /// Looks for what a transaction takes, and admits it once that is here.
    pub(crate) fn want_for(&mut self, missing: Missing, transaction: &Transaction) {
        // What has to wait for others of its sender may never be executed.
        let nonce = transaction.payload.nonce();
        if nonce == Some(self.ledger.free_nonce(transaction.sender)) {
            self.want_training(missing, transaction, true, None);
        }
    }

    fn want_training(
        &mut self,
        missing: Missing,
        transaction: &Transaction,
        admit: bool,
        proposer: Option<ValidatorIndex>,
    ) {
        let id = missing.id();
        if let Some(wanted) = self.training.wanted.get_mut(&id) {
            wanted.transaction = wanted.transaction.take().or_else(|| admit.then(|| transaction.clone()));
            wanted.proposer = proposer.or(wanted.proposer);
            wanted.sender = wanted.sender.filter(|_| admit);
            return;
        }
        let sender = admit.then_some(transaction.sender);
        if !self.make_room(sender) {
            return;
        }
        let Some((brief, order)) = self.brief(&missing, transaction) else { return };
        let transaction = admit.then(|| transaction.clone());
        let (blobs, since, is_wrong) = (BTreeSet::new(), Instant::now(), false);
        let wanted = Wanted { missing, brief, order, transaction, sender, proposer, blobs, since, is_wrong };
        self.training.wanted.insert(id, wanted);
        self.training.look(id);
    }

    /// Makes room for something that a sender hands in, in place of what it has handed in before, or for what is proposed, if need
    /// be in place of what somebody has handed in. Whether there is room.
    fn make_room(&mut self, sender: Option<Address>) -> bool {
        let wanted = &self.training.wanted;
        let replaced = |it: &Wanted| it.sender.is_some() && (sender.is_none() || it.sender == sender);
        let most = if sender.is_some() { MAX_WANTED / 2 } else { MAX_WANTED };
        let is_full = wanted.len() >= most;
        let oldest = wanted.iter().filter(|(_, it)| replaced(it)).min_by_key(|(_, it)| it.since).map(|(id, _)| *id);
        match oldest {
            Some(old) if is_full || sender.is_some() => self.give_up(old),
            _ => {}
        }
        self.training.wanted.len() < most
    }

    /// Looks for something no longer. What is here of an order that came into no block goes.
    fn give_up(&mut self, id: B256) {
        let Some(Wanted { missing: Missing { order, .. }, .. }) = self.training.wanted.remove(&id) else { return };
        let is_wanted = self.training.wanted.values().any(|it| it.missing.order == order);
        if !is_wanted && self.ledger.training_ahead(order).is_none() && !self.training.over.contains(&order) {
            self.training.desk.ask(Job::Forget(order));
        }
    }

    /// What the transactions of a proposal take that is not here.
    pub(crate) fn lacking(&self, block: &Block) -> Vec<(Missing, Transaction)> {
        let lacking = |transaction: &Transaction| {
            matches!(transaction.payload, Payload::Training(_)).then_some(())?;
            let missing = self.ledger.missing(transaction, transaction.hash(&self.domain))?;
            Some((missing, transaction.clone()))
        };
        block.transactions.iter().filter_map(lacking).collect()
    }

    /// Looks for what a proposal takes. Whether that can come to something: not if it was found wrong.
    pub(crate) fn want_training_for(&mut self, block: &Block, lacking: &[(Missing, Transaction)]) -> bool {
        let proposer = self.ledger.validators().index_of(block.header.proposer).filter(|proposer| *proposer != self.me);
        for (missing, transaction) in lacking {
            self.want_training(missing.clone(), transaction, false, proposer);
        }
        // What there is no room for now is looked for when there is.
        let is_hopeful = |missing: &Missing| self.training.wanted.get(&missing.id()).is_none_or(|it| !it.is_wrong);
        lacking.iter().all(|(missing, _)| is_hopeful(missing))
    }

    /// Takes in what the desk has found.
    pub(crate) fn desk_done(&mut self, done: Done) -> Result<(), NodeError> {
        match done {
            Done::Checked { id, finding: Finding::Met } => {
                let Some(Wanted { missing, transaction, .. }) = self.training.wanted.remove(&id) else { return Ok(()) };
                self.ledger.add_held(&missing)?;
                if let Some(transaction) = transaction
                    && let Err(error) = self.submit(transaction)
                {
                    tracing::debug!(order = %missing.order, %error, "what was looked for is here, and was not admitted");
                }
                self.validate_deferred()?;
            }
            Done::Checked { id, finding: Finding::Missing(blobs) } => {
                if let Some(wanted) = self.training.wanted.get_mut(&id) {
                    let hint = wanted.proposer.map(Remote::Validator);
                    for blob in &blobs {
                        self.training.downloads.want(wanted.missing.order, *blob, hint);
                    }
                    wanted.blobs = blobs.into_iter().collect();
                }
            }
            Done::Checked { id, finding: Finding::Wrong(reason) } => {
                if let Some(wanted) = self.training.wanted.get_mut(&id) {
                    tracing::warn!(order = %wanted.missing.order, reason, "what a call is about is not as it should be");
                    wanted.is_wrong = true;
                }
                self.validate_deferred()?;
            }
            Done::Kept { order, blob, from, outcome } => {
                match (&outcome, from) {
                    (Ok(()), _) => self.training.downloads.arrived_whole(order, blob),
                    (Err(reason), Some(liar)) => {
                        tracing::warn!(peer = %liar, %order, kind = blob.kind(), reason, "a peer gave something else than was asked for");
                        self.training.downloads.was_wrong(order, blob);
                        self.charge_fault(liar);
                    }
                    (Err(reason), None) => {
                        tracing::info!(%order, kind = blob.kind(), reason, "a client handed in something else")
                    }
                }
                let of_order = |(id, wanted): (&B256, &Wanted)| (wanted.missing.order == order).then_some(*id);
                let ids: Vec<_> = self.training.wanted.iter().filter_map(of_order).collect();
                ids.into_iter().for_each(|id| self.training.look(id));
            }
        }
        self.fetch_blobs();
        Ok(())
    }

    /// A part of a blob, or none.
    pub(crate) fn blob_arrived(&mut self, from: Remote, response: Option<Vec<u8>>) {
        if let Arrival::Whole(order, blob, bytes) = self.training.downloads.arrived(from, response) {
            self.training.desk.ask(Job::Keep { order, blob, bytes, from: Some(from) });
        }
        self.fetch_blobs();
    }

    /// Whether something waits for a blob.
    pub(crate) fn waits_for(&self, order: B256, blob: Blob) -> bool {
        self.training.wanted.values().any(|it| it.missing.order == order && it.blobs.contains(&blob))
    }

    /// Looks for a blob that an open order names, and a client has asked for.
    pub(crate) fn look_for(&mut self, order: B256, blob: Blob) {
        if self.training.asked.len() < MAX_WANTED && self.ledger.training_ahead(order).is_some() {
            self.training.asked.insert((order, blob), Instant::now());
            self.training.downloads.want(order, blob, None);
            self.fetch_blobs();
        }
    }

    /// Takes in a blob that a client has handed in.
    pub(crate) fn take_in(&mut self, order: B256, blob: Blob, bytes: Vec<u8>) {
        if self.waits_for(order, blob) {
            self.training.desk.ask(Job::Keep { order, blob, bytes, from: None });
        }
    }

    fn fetch_blobs(&mut self) {
        let connected: Vec<_> = self.connected.iter().copied().map(Remote::Validator).collect();
        self.outbox.commands.extend(self.training.downloads.ask(&connected));
    }

    /// Forgets what came to nothing, and goes on with the rest.
    pub(crate) fn look_after_training(&mut self) {
        let expired = |(id, it): (&B256, &Wanted)| (it.since.elapsed() >= PATIENCE).then_some(*id);
        let expired: Vec<_> = self.training.wanted.iter().filter_map(expired).collect();
        expired.into_iter().for_each(|id| self.give_up(id));
        let Training { wanted, asked, downloads, .. } = &mut self.training;
        asked.retain(|_, since| since.elapsed() < PATIENCE);
        downloads.retain(|order| {
            let is_asked = asked.keys().any(|(of, _)| *of == order);
            is_asked || wanted.values().any(|wanted| wanted.missing.order == order && !wanted.is_wrong)
        });
        self.fetch_blobs();
    }

    /// After a block became final: forgets what is of orders that were over long ago.
    pub(crate) fn training_moved(&mut self, ended: &[B256]) {
        self.training.over.extend(ended);
        while self.training.over.len() > KEPT {
            let Some(oldest) = self.training.over.pop_front() else { return };
            if self.ledger.training_ahead(oldest).is_none() {
                self.training.desk.ask(Job::Forget(oldest));
            }
        }
    }
}
