//! What a peer does by itself about sequential work on chain, beside its relayer.
//!
//! It **watches**: every claim that is posted is taken back segment by segment, and the first segment that does not hold
//! is challenged. Duty goes round by round among the other validators; whoever does not challenge in time is replaced by
//! the next, and all of them come in while half of the window is left. It **posts** this peer's own completions, each
//! after the block that opened its round, and only where going back really leads to the start. And it asks for its
//! **bonds** once they are free.
//!
//! As with the relayer, what to do is decided from the chain's state and the ledger alone, in every pass anew.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    future::Future,
    time::Duration,
};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, keccak256},
    providers::Provider,
    transports::TransportError,
};
use dtn_aow::{Delay, Element, Start};
use dtn_bindings::{ContractAddresses, ResultRegistry, RewardDistributor};
use dtn_chain::{
    connection::{Chain, ReadError, retrying},
    gas_ledger::GasRecord,
    networks::Network,
    sender::{Account, SendError},
};
use dtn_primitives::{Certificate, Domain, Header, Kind, Round, WorkResult};
use tokio::{sync::watch, time::Instant};

use crate::{
    aow::{Aow, ClaimState, ClaimStatus, ClaimTerms, MAX_WHOLE_STEPS, NewClaim, PostedClaim, checkpoints_of},
    passes::{FAILED_PAUSE, Passes, backoff, forever},
    relayer::{ResultSource, SourceError, finalize},
};

/// How many of the last blocks are read again in each pass, because the chain may have replaced them.
const TAIL: u64 = 64;

/// A peer's own ledger, as the watcher reads it.
pub trait RoundSource: ResultSource {
    /// A round by its number; `None` while there is none.
    fn round(&self, number: u64) -> impl Future<Output = Result<Option<Round>, SourceError>> + Send;

    /// The round that is open, with those who have completed it so far.
    fn open_round(&self) -> impl Future<Output = Result<Option<Round>, SourceError>> + Send;

    /// A final block's header with its certificate; `None` while there is no such block.
    fn certified(&self, height: u64)
    -> impl Future<Output = Result<Option<(Header, Certificate)>, SourceError>> + Send;
}

/// How a watcher paces itself, and what it does beyond its duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatcherOptions {
    /// How often the chain and the ledger are looked at.
    pub poll: Duration,
    /// How long each validator has for a challenge before the next one makes it.
    pub takeover: Duration,
    /// Have the contract take own work back as a whole where it is short enough, rather than wait for the window's end.
    pub uphold: bool,
    /// For demonstrations, and on a development chain only: post false claims in place of completions.
    pub false_claims: bool,
}

impl WatcherOptions {
    /// What suits a network.
    pub fn for_network(network: &Network) -> Self {
        let takeover = Duration::from_secs(if network.is_local() { 2 } else { 15 });
        Self { poll: network.poll_interval(), takeover, uphold: false, false_claims: false }
    }
}

/// What a watcher has done, as far as this process goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatcherStatus {
    /// Claims of others that were taken back.
    pub checked: u64,
    /// Of these, how many do not hold.
    pub found_false: u64,
    /// How many it challenged itself, with success.
    pub challenged: u64,
    /// Claims that it posted.
    pub posted: u64,
    /// Bonds that it got back.
    pub released: u64,
    /// Own completions that are known and whose bond is still to be put up or to come back.
    pub open: u64,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the node: {0}")]
    Rpc(#[from] TransportError),
    #[error("the ledger: {0}")]
    Source(SourceError),
    #[error("the registry holds another block at height {0} than the ledger")]
    OtherBlock(u64),
    #[error("neither the registry nor this peer has the block at height {0}, which opened the round")]
    MissingBlock(u64),
    #[error("the completion of round {0} does not go back to its start; a claim of it would only lose its bond")]
    NoWork(u64),
    #[error("a computation was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl WatchError {
    /// Whether somebody else took the step in the meantime.
    fn is_overtaken(&self) -> bool {
        const OVERTAKEN: [&str; 5] =
            ["AlreadyFinalized", "AlreadyPosted", "AlreadySlashed", "AlreadyUpheld", "AlreadyReleased"];
        matches!(self, Self::Send(error) if error.reverts_with(&OVERTAKEN))
    }
}

/// What never changes of the contracts.
#[derive(Debug, Clone)]
struct Terms {
    claims: ClaimTerms,
    domain: Domain,
    /// In ascending order of address.
    validators: Vec<Address>,
    /// Signatures that the registry asks for.
    quorum: usize,
    /// The first height whose results are paid: claims of work before it would earn nothing.
    first_height: u64,
}

impl Terms {
    /// How many seconds after a claim was posted a validator challenges it if nobody else has.
    fn delay(&self, own: Address, claim: &PostedClaim, takeover: Duration) -> u64 {
        let others: Vec<_> = self.validators.iter().filter(|validator| **validator != claim.node).collect();
        let n = others.len().max(1) as u64;
        let position = others.iter().position(|validator| **validator == own);
        let rank = position.map_or(n, |position| (position as u64 + n - claim.round % n) % n);
        (takeover.as_secs() * rank).min(u64::from(self.claims.window) * rank / n / 2)
    }
}

/// When something that failed is tried again.
#[derive(Debug)]
struct Pace {
    failures: u32,
    retry_at: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { failures: 0, retry_at: Instant::now() }
    }

    fn is_due(&self) -> bool {
        self.retry_at <= Instant::now()
    }

    fn wait(&mut self, time: Duration) {
        *self = Self { failures: 0, retry_at: Instant::now() + time };
    }

    fn note(&mut self, error: &WatchError, poll: Duration, id: B256) {
        if error.is_overtaken() {
            tracing::debug!(claim = %id, %error, "somebody was quicker");
            return self.wait(poll);
        }
        self.failures += 1;
        self.retry_at = Instant::now() + backoff(poll, self.failures, FAILED_PAUSE);
        if self.failures == 1 || self.failures.is_multiple_of(10) {
            tracing::warn!(claim = %id, tries = self.failures, %error, "a claim has to wait");
        }
    }
}

/// Somebody else's claim.
#[derive(Debug)]
struct Watched {
    claim: PostedClaim,
    /// What has been found once it was taken back: the first segment that does not hold, if any.
    verdict: Option<Option<usize>>,
    /// The last second at which it can be challenged, once known.
    deadline: Option<u64>,
    pace: Pace,
}

/// A round that this peer has completed.
#[derive(Debug)]
struct Own {
    round: u64,
    digest: B256,
    pace: Pace,
}

/// Watches, posts and releases claims of sequential work for one peer.
#[derive(Debug)]
pub struct Watcher<S> {
    desk: Desk,
    source: S,
    terms: Option<Terms>,
    /// The first block of the settlement chain whose events have not been read.
    next_block: Option<u64>,
    /// By id and checkpoints.
    watched: HashMap<(B256, B256), Watched>,
    /// The first height that the ledger has not been asked about.
    next_height: u64,
    own: BTreeMap<B256, Own>,
    /// The last round of which this peer's own completion was taken up.
    last_own: u64,
    /// The first round for which no false claim has been posted.
    next_round: u64,
    status: watch::Sender<WatcherStatus>,
}

impl<S: RoundSource> Watcher<S> {
    /// A watcher that signs with `account`, a validator's.
    pub fn new(account: Account, contracts: ContractAddresses, source: S, options: WatcherOptions) -> Self {
        let aow = Aow::new(account.chain().clone(), contracts.aow);
        let false_claims = options.false_claims && account.chain().network().is_local();
        Self {
            desk: Desk { account, contracts, aow, options: WatcherOptions { false_claims, ..options } },
            source,
            terms: None,
            next_block: None,
            watched: HashMap::new(),
            next_height: 1,
            own: BTreeMap::new(),
            last_own: 0,
            next_round: 1,
            status: watch::Sender::default(),
        }
    }

    /// Follows what it has done.
    pub fn status(&self) -> watch::Receiver<WatcherStatus> {
        self.status.subscribe()
    }

    /// Works until it is dropped, through any failure of the node, the ledger and other peers.
    pub async fn run(self) -> Infallible {
        forever(self).await
    }

    /// Takes up claims that were posted since the last pass, and forgets those that are past challenging.
    async fn read_claims(&mut self, terms: &Terms, now: u64) -> Result<(), WatchError> {
        let provider = self.desk.account.chain().provider();
        let head = retrying(|| async { provider.get_block_number().await }).await?;
        let from = match self.next_block {
            Some(next) => next.saturating_sub(TAIL),
            None => self.desk.first_block_since(now.saturating_sub(terms.claims.window.into()), head).await?,
        };
        for claim in self.desk.aow.posted(from..=head).await? {
            if claim.node != self.desk.account.address() {
                let key = (claim.id, claim.commitment());
                let new = |claim| Watched { claim, verdict: None, deadline: None, pace: Pace::new() };
                self.watched.entry(key).or_insert_with(|| new(claim));
            }
        }
        self.next_block = Some(head + 1);
        // What the next pass reads again must not be judged again.
        self.watched.retain(|_, watched| {
            watched.claim.block + TAIL > head || watched.deadline.is_none_or(|deadline| now <= deadline)
        });
        Ok(())
    }

    /// Puts up bonds for this peer's completions, and gets them back.
    async fn tend_own(&mut self, terms: &Terms) -> Result<(), WatchError> {
        self.read_own(terms.first_height).await.map_err(WatchError::Source)?;
        let mut settled = Vec::new();
        for (id, own) in self.own.iter_mut().filter(|(_, own)| own.pace.is_due()) {
            match self.desk.tend(*id, own, terms, &self.source, &self.status).await {
                Ok(true) => settled.push(*id),
                Ok(false) => own.pace.wait(self.desk.options.poll),
                Err(error) => own.pace.note(&error, self.desk.options.poll, *id),
            }
        }
        for id in settled {
            self.own.remove(&id);
        }
        let open = self.own.len() as u64;
        self.status.send_if_modified(|status| std::mem::replace(&mut status.open, open) != open);
        Ok(())
    }

    /// Takes up what this peer has completed since the last pass.
    async fn read_own(&mut self, first_height: u64) -> Result<(), SourceError> {
        let me = self.desk.account.address();
        self.next_height = self.next_height.max(first_height);
        for found in self.source.results(self.next_height).await? {
            self.next_height = self.next_height.max(found.header.height + 1);
            let WorkResult { kind, id, amount, digest, .. } = found.result;
            let completes = (kind == Kind::ROUND && !amount.is_zero()).then(|| Round::of_id(id)).flatten();
            if let Some((round, _)) = completes.filter(|(_, node)| *node == me) {
                self.own.insert(id, Own { round, digest, pace: Pace::new() });
                self.last_own = self.last_own.max(round);
            }
        }
        // A peer that has skipped the block of its completion, by taking over a snapshot, finds it nowhere but here.
        let open = self.source.open_round().await?;
        if let Some(round) = open.filter(|round| round.number > self.last_own && !round.reward.is_zero())
            && let Some(done) = round.completed.iter().find(|done| done.node == me && done.height >= first_height)
        {
            let digest = round.outcome(me, done.completion.result);
            self.own.insert(Round::id(round.number, me), Own { round: round.number, digest, pace: Pace::new() });
            self.last_own = round.number;
        }
        Ok(())
    }

    /// Claims work that was not done, for every round that there is.
    async fn post_false_claims(&mut self, terms: &Terms) -> Result<(), WatchError> {
        let me = self.desk.account.address();
        while let Some(round) = self.source.round(self.next_round).await.map_err(WatchError::Source)? {
            if self.desk.aow.claim(Round::id(round.number, me)).await?.is_none() {
                self.desk.open_round(&round, terms, &self.source).await?;
                let start = Start::of(&round, me, terms.domain).element();
                let steps = round.steps;
                let Some(checkpoints) = tokio::task::spawn_blocking(move || made_up(start, steps)).await? else {
                    self.next_round += 1;
                    continue;
                };
                tracing::warn!(round = round.number, "posting a false claim, as this peer was told to");
                self.desk.post(&round, checkpoints, B256::ZERO).await?;
                self.status.send_modify(|status| status.posted += 1);
            }
            self.next_round += 1;
        }
        Ok(())
    }
}

impl<S: RoundSource> Passes for Watcher<S> {
    const WHAT: &'static str = "watching claims";
    type Error = WatchError;

    fn poll(&self) -> Duration {
        self.desk.options.poll
    }

    async fn pass(&mut self) -> Result<bool, WatchError> {
        let terms = match &self.terms {
            Some(terms) => terms.clone(),
            None => self.terms.insert(self.desk.terms().await?).clone(),
        };
        let now = self.desk.clock().await?;
        // What is known to be false is challenged even where nothing new can be read.
        let read = self.read_claims(&terms, now).await;
        for (key, watched) in self.watched.iter_mut().filter(|(_, watched)| watched.pace.is_due()) {
            if let Err(error) = self.desk.judge(watched, &terms, now, &self.status).await {
                watched.pace.note(&error, self.desk.options.poll, key.0);
            }
        }
        read?;
        match self.desk.options.false_claims {
            true => self.post_false_claims(&terms).await?,
            false => self.tend_own(&terms).await?,
        }
        Ok(false)
    }
}

/// Checkpoints of which the first half is right and the rest is made up.
fn made_up(start: Element, steps: u64) -> Option<Vec<Element>> {
    let length = crate::aow::segment_length(steps)?;
    let count = steps / length;
    let mut checkpoints = Delay::default().checkpoints(start, count / 2 * length, length, |_| ());
    checkpoints.extend((count / 2..count).map(|index| {
        let seed = [start.to_bytes(), u128::from(index).to_be_bytes()].concat();
        Element::from_hash(keccak256(seed))
    }));
    Some(checkpoints)
}

/// What a watcher needs to take steps.
#[derive(Debug)]
struct Desk {
    account: Account,
    contracts: ContractAddresses,
    aow: Aow,
    options: WatcherOptions,
}

impl Desk {
    fn chain(&self) -> &Chain {
        self.account.chain()
    }

    async fn terms(&self) -> Result<Terms, WatchError> {
        let mut validators = self.chain().read(self.contracts.registry, &ResultRegistry::validatorsCall {}).await?;
        validators.sort();
        let quorum = self.chain().read(self.contracts.registry, &ResultRegistry::quorumCall {}).await?;
        Ok(Terms {
            claims: self.aow.terms().await?,
            domain: self.aow.domain().await?,
            validators,
            quorum: quorum.saturating_to(),
            first_height: self.chain().read(self.contracts.distributor, &RewardDistributor::firstHeightCall {}).await?,
        })
    }

    /// The settlement chain's time, in seconds since the Unix epoch.
    async fn clock(&self) -> Result<u64, WatchError> {
        let block = self.chain().clock_block();
        let block = retrying(|| async { self.chain().provider().get_block(block).await }).await?;
        Ok(block.map_or(0, |block| block.header.timestamp))
    }

    /// The first block with a timestamp of at least this, by halving: claims before it can no longer be challenged.
    async fn first_block_since(&self, timestamp: u64, head: u64) -> Result<u64, WatchError> {
        let (mut low, mut high) = (0, head);
        while low < high {
            let middle = low + (high - low) / 2;
            let number = BlockNumberOrTag::Number(middle);
            let block = retrying(|| async { self.chain().provider().get_block_by_number(number).await }).await?;
            // A node that has forgotten a block has forgotten it for its age.
            match block.is_some_and(|block| block.header.timestamp >= timestamp) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        Ok(low)
    }

    /// The hash of the block that the registry holds at a height, or zero.
    async fn finalized(&self, height: u64) -> Result<B256, WatchError> {
        Ok(self.chain().read(self.contracts.registry, &ResultRegistry::finalizedHashCall { height }).await?)
    }

    /// Takes somebody else's claim back, once, and challenges it if it does not hold and it is this peer's turn.
    async fn judge(
        &self,
        watched: &mut Watched,
        terms: &Terms,
        now: u64,
        status: &watch::Sender<WatcherStatus>,
    ) -> Result<(), WatchError> {
        let claim = &watched.claim;
        let verdict = match watched.verdict {
            Some(verdict) => verdict,
            None => {
                // The block's hash is the registry's word, never the poster's.
                let (domain, block_hash) = (terms.domain, self.finalized(claim.height).await?);
                if block_hash.is_zero() {
                    // The chain has replaced the block that both came with.
                    watched.pace.wait(self.options.takeover);
                    return Ok(());
                }
                let taken = claim.clone();
                let replay = move || taken.first_false_segment(domain, block_hash);
                let verdict = tokio::task::spawn_blocking(replay).await?;
                watched.verdict = Some(verdict);
                status.send_modify(|status| {
                    status.checked += 1;
                    status.found_false += u64::from(verdict.is_some());
                });
                if let Some(segment) = verdict {
                    let PostedClaim { id, round, node, .. } = claim;
                    tracing::warn!(claim = %id, round, %node, segment, "a claim does not hold");
                }
                verdict
            }
        };
        if watched.deadline.is_some() && verdict.is_none() {
            return Ok(());
        }
        let Some(state) = self
            .aow
            .claim(claim.id)
            .await?
            .filter(|state| state.status != ClaimStatus::Posted || state.commitment == claim.commitment())
        else {
            // The chain has replaced the block that the claim was in.
            watched.deadline.get_or_insert(0);
            watched.pace.wait(self.options.takeover);
            return Ok(());
        };
        watched.deadline = Some(state.deadline);
        let Some(segment) = verdict else { return Ok(()) };
        if state.status != ClaimStatus::Posted || now > state.deadline {
            // Somebody has challenged it, which a fork might undo. Or nobody has, and nobody can any more.
            watched.pace.wait(self.options.takeover);
            return Ok(());
        }
        let posted_at = state.deadline.saturating_sub(terms.claims.window.into());
        if now < posted_at + terms.delay(self.account.address(), claim, self.options.takeover) {
            return Ok(());
        }
        let challenged = self.aow.challenge(&self.account, claim.id, &claim.checkpoints, segment).await;
        if challenged.as_ref().is_err_and(|error| error.reverts_with(&["SegmentHolds"])) {
            // Then it was judged by a block that has been replaced since.
            watched.verdict = None;
        }
        tell(&challenged?, claim.id);
        status.send_modify(|status| status.challenged += 1);
        Ok(())
    }

    /// Takes the step that is due for a round that this peer has completed. Returns whether nothing is left to do.
    async fn tend(
        &self,
        id: B256,
        own: &Own,
        terms: &Terms,
        source: &impl RoundSource,
        status: &watch::Sender<WatcherStatus>,
    ) -> Result<bool, WatchError> {
        let Some(claim) = self.aow.claim(id).await? else {
            if self.complete(own, terms, source).await? {
                status.send_modify(|status| status.posted += 1);
            }
            return Ok(false);
        };
        let ClaimState { status: standing, bond, steps, .. } = claim;
        if bond.is_zero() {
            let settled = self.aow.claim_at(id, self.chain().final_block()).await?;
            let is_settled = settled.is_some_and(|claim| claim.bond.is_zero());
            if is_settled && standing == ClaimStatus::Slashed {
                tracing::warn!(claim = %id, "this peer's own claim was slashed");
            }
            return Ok(is_settled);
        }
        if self.aow.outcome(id).await?.is_some() {
            tell(&self.aow.release(&self.account, id).await?, id);
            status.send_modify(|status| status.released += 1);
        } else if self.options.uphold && steps <= MAX_WHOLE_STEPS {
            tell(&self.aow.verify_whole(&self.account, id).await?, id);
        }
        Ok(false)
    }

    /// Posts a completion. Returns whether it did: the ledger may not have the round yet.
    async fn complete(&self, own: &Own, terms: &Terms, source: &impl RoundSource) -> Result<bool, WatchError> {
        let me = self.account.address();
        let Some(round) = source.round(own.round).await.map_err(WatchError::Source)? else { return Ok(false) };
        let Some(done) = round.completed.iter().find(|done| done.node == me).map(|done| &done.completion) else {
            return Ok(false);
        };
        if round.outcome(me, done.result) != own.digest {
            return Err(WatchError::NoWork(round.number));
        }
        let steps = round.steps;
        let work = Element::from_bytes(done.result.0)
            .map(|result| tokio::task::spawn_blocking(move || checkpoints_of(result, steps)));
        let work = match work {
            Some(work) => work.await?,
            None => None,
        };
        let start = Start::of(&round, me, terms.domain).element();
        let Some((_, checkpoints)) = work.filter(|(from, _)| *from == start) else {
            return Err(WatchError::NoWork(round.number));
        };
        self.open_round(&round, terms, source).await?;
        self.post(&round, checkpoints, done.proof_digest).await?;
        Ok(true)
    }

    /// Makes sure that the registry holds the block that opened a round.
    async fn open_round(&self, round: &Round, terms: &Terms, source: &impl RoundSource) -> Result<(), WatchError> {
        let Round { height, block_hash, .. } = *round;
        let held = self.finalized(height).await?;
        if held == block_hash {
            return Ok(());
        }
        let certified = source.certified(height).await.map_err(WatchError::Source)?;
        let (header, certificate) = certified.ok_or(WatchError::MissingBlock(height))?;
        if !held.is_zero() || header.hash() != block_hash {
            return Err(WatchError::OtherBlock(height));
        }
        let call = finalize(self.contracts.registry, &header, &certificate, terms.quorum).urgent();
        match self.account.send(&call).await {
            Err(error) if !error.reverts_with(&["AlreadyFinalized"]) => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn post(&self, round: &Round, checkpoints: Vec<Element>, proof_digest: B256) -> Result<(), WatchError> {
        let Round { number, height, steps, .. } = *round;
        let claim = NewClaim { round: number, height, steps, checkpoints, proof_digest };
        let record = self.aow.post(&self.account, &claim, self.aow.bond_of(&claim).await?).await?;
        tell(&record, Round::id(number, self.account.address()));
        Ok(())
    }
}

fn tell(record: &GasRecord, id: B256) {
    let GasRecord { tx, gas_used, function, .. } = record;
    tracing::info!(claim = %id, %tx, gas = gas_used.unwrap_or(0), "{function}");
}
