//! Answers from what is final, off the thread that votes.
//!
//! The store keeps its states apart: whoever reads one neither waits for a commit nor holds one up. So reads run on
//! threads of their own, few at a time; so many wait, and the rest is told to come back. What is looked up by one key does
//! not queue behind whole blocks.

use std::{sync::Arc, time::Duration};

use dtn_api::{BlockView, CertifiedHeader, FinalizedBlock, MAX_RESULTS, Status};
use dtn_ledger::{Reading, Store, StoreError, TrainingOrder, WeakStore};
use dtn_primitives::{
    Address, B256, Block, Certificate, Domain, Evidence, FinalizedResult, Genesis, Header, Question, Reply, Round,
    Rounds, SecretKey, SignedAnswer, Transaction, ValidatorIndex,
};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    NodeError,
    board::Board,
    waiters::{Place, Waiters},
};

/// Look-ups at a time, and how many may wait: all calls of all connections. Each takes some ten microseconds.
const LOOKUPS: (usize, usize) = (2, 64 * 1024);

/// Blocks and results that are read at a time, and how many may wait: one of each connection. Each takes up to some ten
/// milliseconds of one processor, so that one at a time leaves the others to the votes.
const SCANS: (usize, usize) = (1, 4096);

/// The most bytes of results in one answer, as they are stored; JSON doubles them.
const MAX_RESULT_BYTES: usize = 512 * 1024;

/// How long a question waits for this peer to reach a height.
const CATCH_UP: Duration = Duration::from_secs(2);

/// So many of one kind run at a time, so many wait.
#[derive(Debug, Clone)]
struct Pool {
    threads: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Pool {
    fn new((threads, waiting): (usize, usize)) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { threads: semaphore(threads), places: semaphore(threads + waiting) }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NodeError> {
        let _place = self.places.try_acquire().map_err(|_| NodeError::Busy("too many calls read from the store"))?;
        let thread = self.threads.clone().acquire_owned().await.map_err(|_| NodeError::Stopped)?;
        let work = move || {
            let value = work();
            // Not before it is done, even if nobody waits for it any more.
            drop(thread);
            value
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| NodeError::Stopped)
    }
}

/// Answers from the store and the board. Clones share their budget.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    store: WeakStore,
    board: Board,
    waiters: Waiters,
    network: Arc<Network>,
    lookups: Pool,
    scans: Pool,
}

/// What does not change.
#[derive(Debug)]
struct Network {
    genesis: Genesis,
    domain: Domain,
    /// A validator signs what it answers.
    signer: Option<(ValidatorIndex, SecretKey)>,
}

impl Reader {
    pub(crate) fn new(
        store: &Store,
        board: Board,
        waiters: Waiters,
        genesis: Genesis,
        signer: Option<(ValidatorIndex, SecretKey)>,
    ) -> Self {
        let network = Arc::new(Network { domain: genesis.domain(), genesis, signer });
        let store = store.downgrade();
        Self { store, board, waiters, network, lookups: Pool::new(LOOKUPS), scans: Pool::new(SCANS) }
    }

    pub(crate) async fn look_up<T: Send + 'static>(
        &self,
        look: impl FnOnce(Reading) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let store = self.store.clone();
        let read = move || store.upgrade().map(|store| look(store.reading()?)).transpose();
        self.lookups.run(read).await??.ok_or(NodeError::Stopped)
    }

    pub(crate) async fn scan<T: Send + 'static>(
        &self,
        scan: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let store = self.store.clone();
        let read = move || store.upgrade().map(|store| scan(&store)).transpose();
        self.scans.run(read).await??.ok_or(NodeError::Stopped)
    }

    /// How this peer was doing at the end of its last step.
    pub(crate) async fn status(&self) -> Result<Arc<Status>, NodeError> {
        self.board.status().await
    }

    /// What this peer shows beside what is final.
    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    pub(crate) fn genesis(&self) -> &Genesis {
        &self.network.genesis
    }

    pub(crate) async fn nonce(&self, account: Address) -> Result<u64, NodeError> {
        self.look_up(move |reading| reading.next_nonce(account)).await
    }

    pub(crate) async fn rounds(&self) -> Result<Rounds, NodeError> {
        self.look_up(|reading| reading.rounds()).await
    }

    pub(crate) async fn round(&self, number: u64) -> Result<Option<Round>, NodeError> {
        self.look_up(move |reading| reading.round(number)).await
    }

    pub(crate) async fn training_order(&self, id: B256) -> Result<Option<TrainingOrder>, NodeError> {
        self.look_up(move |reading| reading.training_order(id)).await
    }

    pub(crate) async fn training_orders(
        &self,
        over: bool,
        above: B256,
        limit: usize,
    ) -> Result<Vec<TrainingOrder>, NodeError> {
        self.scan(move |store| store.reading()?.training_orders(over, above, limit)).await
    }

    /// Reads from files that are not the store, one at a time.
    pub(crate) async fn beside_the_store<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NodeError> {
        self.scans.run(read).await
    }

    pub(crate) async fn certified(&self, height: u64) -> Result<Option<(Header, Certificate)>, NodeError> {
        self.look_up(move |reading| reading.certified(height)).await
    }

    pub(crate) async fn evidence(&self) -> Result<Vec<Evidence>, NodeError> {
        self.scan(Store::evidence).await
    }

    /// The signed answer to a question, from a state at or above a height. It is on disk before it is given: a peer that
    /// crashed and began again below what it had answered could be one of a quorum that answers less than an earlier one.
    /// For the same reason a peer that has lost its memory gives none until it votes again.
    pub(crate) async fn read(&self, question: Question, at_least: u64) -> Result<SignedAnswer, NodeError> {
        let (me, key) = self.network.signer.as_ref().ok_or(NodeError::NoReplies)?;
        match timeout(CATCH_UP, self.board.to_be_believed_at(at_least)).await {
            Ok(reached) => drop(reached?),
            Err(_) => {
                let status = self.board.status().await?;
                return Err(if status.silent { NodeError::Silent } else { NodeError::Behind(status.height) });
            }
        }
        let store = self.store.clone();
        let look = move |store: Store| {
            let reading = store.reading()?;
            let found = (reading.answer(&question)?, reading.height()?);
            store.sync().map(|()| found)
        };
        let read = move || store.upgrade().map(look).transpose();
        let (answer, height) = self.lookups.run(read).await??.ok_or(NodeError::Stopped)?;
        Ok(SignedAnswer::sign(&question, answer, height, *me, (key, &self.network.domain)))
    }

    /// The signed reply to a transaction, once its block is final; none if that takes longer than `wait`. As an answer, it
    /// is on disk before it is given: what a quorum has replied, every later quorum must know.
    pub(crate) async fn reply(&self, transaction: B256, wait: Duration) -> Result<Option<Reply>, NodeError> {
        let (me, key) = self.network.signer.as_ref().ok_or(NodeError::NoReplies)?;
        let mut waiter = self.waiters.wait_for(transaction)?;
        let place = match self.look_up(move |reading| place(&reading, transaction)).await? {
            Some(place) => Some(place),
            None => timeout(wait, waiter.place()).await.unwrap_or_default(),
        };
        let Some((height, hash)) = place else { return Ok(None) };
        let store = self.store.clone();
        self.lookups
            .run(move || store.upgrade().map(|store| store.sync()).transpose())
            .await??
            .ok_or(NodeError::Stopped)?;
        Ok(Some(Reply::sign(transaction, height, hash, *me, key, &self.network.domain)))
    }

    pub(crate) async fn block(&self, height: u64) -> Result<Option<BlockView>, NodeError> {
        let network = self.network.clone();
        self.scan(move |store| Ok(store.block(height)?.map(|block| view(block, &network.domain)))).await
    }

    pub(crate) async fn certificate(&self, height: u64) -> Result<Option<CertifiedHeader>, NodeError> {
        let latency_us = self.board.latency_us(height);
        let certify = move |store: &Store| {
            let certified = store.block(height)?.zip(store.certificate(height)?);
            Ok(certified.map(|(Block { header, transactions }, certificate)| CertifiedHeader {
                header,
                certificate,
                transactions: transactions.len(),
                latency_us,
            }))
        };
        self.scan(certify).await
    }

    /// A page of results, after the first `skip` of the block at `from_height`.
    pub(crate) async fn results(&self, from_height: u64, skip: usize) -> Result<Vec<FinalizedResult>, NodeError> {
        self.scan(move |store| store.reading()?.results(from_height, skip, MAX_RESULTS, MAX_RESULT_BYTES)).await
    }

    /// A page of results of whole blocks.
    pub(crate) async fn results_of_blocks(&self, from_height: u64) -> Result<Vec<FinalizedResult>, NodeError> {
        let read = move |store: &Store| {
            let reading = store.reading()?;
            let mut found = reading.results(from_height, 0, MAX_RESULTS, MAX_RESULT_BYTES)?;
            if let Some(last) = found.last().map(|last| last.header.height) {
                let have = found.iter().rev().take_while(|result| result.header.height == last).count();
                let rest: Result<Vec<_>, _> = reading.results_in(last, have)?.collect();
                found.extend(rest?);
            }
            Ok(found)
        };
        self.scan(read).await
    }

    /// A final block as subscribers get it, and the height of the last one.
    pub(crate) async fn finalized(&self, height: u64) -> Result<(Option<FinalizedBlock>, u64), NodeError> {
        let network = self.network.clone();
        let read = move |store: &Store| {
            let last = store.reading()?.height()?;
            let certified = store.block(height)?.zip(store.certificate(height)?);
            let block = certified.map(|(block, certificate)| {
                let BlockView { transaction_hashes, block, .. } = view(block, &network.domain);
                FinalizedBlock::new(&block, &certificate, &transaction_hashes)
            });
            Ok((block, last))
        };
        self.scan(read).await
    }
}

fn view(block: Block, domain: &Domain) -> BlockView {
    let transaction_hashes =
        block.transactions.iter().map(|transaction: &Transaction| transaction.hash(domain)).collect();
    BlockView { hash: block.header.hash(), transaction_hashes, block }
}

/// The block that has made a transaction final.
fn place(reading: &Reading, transaction: B256) -> Result<Option<Place>, StoreError> {
    let Some(location) = reading.transaction(transaction)? else { return Ok(None) };
    Ok(reading.certified(location.height)?.map(|(_, certificate)| (location.height, certificate.block_hash)))
}
