//! An account that does by itself what orders ask of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use dtn_api::TrainingSummary;
use dtn_custom::Tool;
use dtn_primitives::{Address, B256, PublicKey, SecretKey};
use dtn_trainer::Library;
use dtn_training::TrainingOrder;
use tokio::{sync::mpsc::UnboundedSender, time::sleep};

use crate::{
    Behaviour, Errand, Folder, Hand, ParticipantError, Peer, Roles,
    errand::{errands, may_provide},
    work::{Task, Workshop},
};

/// How often the peer is asked whether there is a new block.
const POLL: Duration = Duration::from_millis(100);

/// The pause after a failure, which doubles.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How a participant works.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it takes on.
    pub roles: Roles,
    /// Who is paid for what it trains.
    pub payee: Address,
    /// How many threads it works on.
    pub threads: usize,
    /// At how many points of a grid it trains at most.
    pub points: u16,
    /// Only this order; all without.
    pub only: Option<B256>,
    /// What trains where only scores count, and what chooses among models, in place of what is built in.
    pub tools: Tools,
    /// How it behaves.
    pub behaviour: Behaviour,
    /// Who is told what it does.
    pub tell: Option<UnboundedSender<Event>>,
}

impl Options {
    /// All orders, as it should, on one thread and at one point of a grid.
    pub fn new(roles: Roles, payee: Address) -> Self {
        let (tools, behaviour) = (Tools::default(), Behaviour::Honest);
        Self { roles, payee, threads: 1, points: 1, only: None, tools, behaviour, tell: None }
    }
}

/// Commands of one's own.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// Trains for orders in which only scores count.
    pub trainer: Option<Tool>,
    /// Says how good a model is, of those at the points of a grid, and whether it is claimed.
    pub scorer: Option<Tool>,
}

/// What a participant has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It begins to train for an order.
    Training(B256),
    /// A call of it about an order is final.
    Called(B256, &'static str),
    /// Nothing that it could train reaches the baseline of an order.
    NotGood(B256),
    /// Something failed, and is tried again; but a tool of one's own is not, and nothing is claimed.
    Failed(B256, String),
}

/// An account that takes part.
#[derive(Debug)]
pub struct Participant {
    pub(crate) hand: Hand,
    pub(crate) shop: Workshop,
    pub(crate) folder: Folder,
    pub(crate) options: Options,
    network: B256,
    validators: Vec<Address>,
    ledger: Mutex<Ledger>,
}

/// What it knows of what it does.
#[derive(Debug, Default)]
struct Ledger {
    /// Under way.
    busy: BTreeSet<(B256, Errand)>,
    /// What was done once and for all.
    done: BTreeSet<(B256, Errand)>,
    /// What failed: how often, and until when it rests.
    failed: BTreeMap<(B256, Errand), (u32, Instant)>,
    /// The witnesses of segments that it has trained again, by order and claim.
    witnesses: BTreeMap<(B256, u8), BTreeMap<u16, B256>>,
    /// The state in which orders were seen last.
    seen: BTreeMap<B256, B256>,
    /// Something has ended since then, so that what was passed over may be begun.
    has_ended: bool,
}

impl Participant {
    /// One that signs with a key. The library may be that of the peer, if it runs here.
    pub fn new(peer: Peer, key: SecretKey, folder: Folder, library: Option<Library>, options: Options) -> Self {
        let library = library.unwrap_or_else(|| Library::new(folder.library()));
        let network = peer.domain().network_id;
        let validators = peer.genesis().validators.iter().map(PublicKey::address).collect();
        let (hand, threads) = (Hand::new(peer.clone(), key), options.threads);
        let shop = Workshop::new(peer, library, threads);
        Self { hand, shop, folder, options, network, validators, ledger: Mutex::default() }
    }

    /// Works until it is dropped, through any failure of the peer.
    pub async fn run(self) -> Infallible {
        let (this, mut height, mut is_lost) = (Arc::new(self), None, false);
        loop {
            match this.shop.peer.height().await {
                Ok(now) if Some(now) == height && !this.has_more() => sleep(POLL).await,
                Ok(now) => match this.pass().await {
                    Ok(()) => (height, is_lost) = (Some(now), false),
                    Err(error) => lost(&error, &mut is_lost).await,
                },
                Err(error) => lost(&error, &mut is_lost).await,
            }
        }
    }

    /// Looks at all orders once, and begins what is due.
    async fn pass(self: &Arc<Self>) -> Result<(), ParticipantError> {
        let orders = match self.options.only {
            Some(order) => vec![(order, None)],
            None => {
                let listed = self.shop.peer.orders(false).await?;
                listed.iter().filter(|it| self.is_news(it)).map(|it| (it.order, Some(it.state))).collect()
            }
        };
        for (order, state) in orders {
            // What could not be looked at is news again.
            let at = self.shop.peer.order(order).await?;
            self.ledger().seen.extend(state.map(|state| (order, state)));
            self.begin(at);
        }
        Ok(())
    }

    /// Whether something may have become due for an order.
    fn is_news(&self, summary: &TrainingSummary) -> bool {
        let TrainingSummary { order, state, .. } = summary;
        let ledger = self.ledger();
        ledger.failed.keys().any(|(of, _)| of == order) || ledger.seen.get(order) != Some(state)
    }

    /// Begins what is due for an order and not under way.
    fn begin(self: &Arc<Self>, at: TrainingOrder) {
        let (id, me) = (at.order.id(), self.hand.account());
        let mut due = errands(&at.order, me, self.options.roles);
        due.retain(|errand| *errand != Errand::Train || may_provide(&at.order, me, &self.validators));
        if at.order.is_over() {
            return self.ledger().forget(id);
        }
        let task = Arc::new(Task::new(self.network, at));
        for errand in due {
            let key = (id, errand);
            {
                let mut ledger = self.ledger();
                let rests = ledger.failed.get(&key).is_some_and(|(_, until)| *until > Instant::now());
                if rests || ledger.done.contains(&key) || !ledger.busy.insert(key) {
                    continue;
                }
            }
            let (this, task) = (self.clone(), task.clone());
            tokio::spawn(async move {
                let outcome = this.perform(&task, errand).await;
                this.ended(&task, errand, outcome).await;
            });
        }
    }

    /// Takes in what came of an errand.
    async fn ended(&self, task: &Task, errand: Errand, outcome: Result<(), ParticipantError>) {
        let key = (task.id(), errand);
        let Err(error) = outcome else {
            let mut ledger = self.ledger();
            ledger.seen.remove(&task.id());
            ledger.has_ended = true;
            if errand.is_look() || errand == Errand::Train {
                ledger.done.insert(key);
            }
            ledger.failed.remove(&key);
            ledger.busy.remove(&key);
            return;
        };
        let now = self.shop.peer.order(task.id()).await;
        let is_due = now.is_ok_and(|at| errands(&at.order, self.hand.account(), self.options.roles).contains(&errand));
        let mut ledger = self.ledger();
        ledger.busy.remove(&key);
        if !is_due {
            // Somebody else has done it, or its time is over.
            tracing::debug!(order = %task.id(), ?errand, %error, "what was to be done is not due any more");
            ledger.failed.remove(&key);
            return;
        }
        let failures = ledger.failed.get(&key).map_or(0, |(failures, _)| *failures);
        // A first one may be because another was faster.
        if failures == 1 {
            tracing::warn!(order = %task.id(), ?errand, %error, "something could not be done for an order; trying again");
            self.tell(Event::Failed(task.id(), error.to_string()));
        }
        let pause = PAUSES.0.saturating_mul(1 << failures.min(8)).min(PAUSES.1);
        ledger.failed.insert(key, (failures + 1, Instant::now() + pause));
    }

    /// Tells what was done, to whoever listens.
    pub(crate) fn tell(&self, event: Event) {
        if let Some(tell) = &self.options.tell {
            tell.send(event).ok();
        }
    }

    /// Whether there may be something to do without a new block.
    fn has_more(&self) -> bool {
        let mut ledger = self.ledger();
        let has_ended = std::mem::take(&mut ledger.has_ended);
        has_ended || ledger.failed.values().any(|(_, until)| *until <= Instant::now())
    }

    pub(crate) fn witnesses(&self, order: B256, claim: u8) -> BTreeMap<u16, B256> {
        self.ledger().witnesses.get(&(order, claim)).cloned().unwrap_or_default()
    }

    pub(crate) fn keep_witnesses(&self, order: B256, claim: u8, witnesses: BTreeMap<u16, B256>) {
        self.ledger().witnesses.entry((order, claim)).or_default().extend(witnesses);
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn forget(&mut self, order: B256) {
        self.done.retain(|(of, _)| *of != order);
        self.failed.retain(|(of, _), _| *of != order);
        self.witnesses.retain(|(of, _), _| *of != order);
        self.seen.remove(&order);
    }
}

async fn lost(error: &ParticipantError, is_lost: &mut bool) {
    if !std::mem::replace(is_lost, true) {
        tracing::warn!(%error, "the peer cannot be asked about orders; trying again");
    }
    sleep(PAUSES.0).await;
}
