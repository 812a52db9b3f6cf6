//! From what the ledger states of earnings to the accounts that have earned it, beside the relayer.
//!
//! The ledger's statements are results whose blocks are certified like all others. The owners of the multisig schedule one, by
//! rotation as they do payouts ([`crate::relayer`]); when the delay is over somebody puts it into effect, and what each account
//! has not had is claimed for it, by rotation again. Everything is decided from the chain's state in every pass anew: what waits
//! is left alone until it can take effect, since another statement would begin the delay again, and what a later one has
//! overtaken is done with. Whoever has less to claim than is worth the gas waits until it is more, or claims by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::Future,
    time::Duration,
};

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, U256},
};
use dtn_bindings::{ContractAddresses, ResultRegistry, RewardDistributor::EarnedState};
use dtn_chain::{gas_ledger::GasRecord, networks::Network, sender::Account};
use dtn_primitives::{Earning, Earnings, FinalizedResult, Statement};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use crate::{
    multisig::{Multisig, ProposalStatus, WalletTransaction},
    passes::{FAILED_PAUSE, Passes, backoff, forever},
    payment::Stage,
    relayer::{COSTLY_PAUSE, Council, REFUSED_PAUSE, REVERTED_PAUSE, SourceError, StepError, finalize},
    rewards::Distributor,
};

/// How many statements before the last one are looked at for a proposal that is under way.
const RECENT: u32 = 8;

/// How many accounts the distributor is asked about at once.
const READS: usize = 8;

/// What is worth a claim unless told otherwise, in wei: some 80,000 gas at 10 gwei.
pub const LEAST_CLAIM: u128 = 1_000_000_000_000_000;

/// A peer's own ledger, as far as it states earnings.
pub trait StatementSource: Send + Sync {
    /// The number of its last statement; 0 before the first.
    fn last_statement(&self) -> impl Future<Output = Result<u32, SourceError>> + Send;

    /// A statement, with its proof.
    fn statement(&self, number: u32) -> impl Future<Output = Result<Option<FinalizedResult>, SourceError>> + Send;

    /// What it states of each account; `None` if it is not one of the last, or this peer has skipped its block.
    fn earnings(&self, number: u32) -> impl Future<Output = Result<Option<Vec<Earning>>, SourceError>> + Send;
}

/// How a peer pays out earnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarningsOptions {
    /// How often the chain and the ledger are looked at.
    pub poll: Duration,
    /// How long each peer has for a step before the next one takes it.
    pub takeover: Duration,
    /// What an account must have to claim, in the token's unit, so that it is claimed for it.
    pub least_claim: u128,
}

impl EarningsOptions {
    /// What suits a network.
    pub fn for_network(network: &Network) -> Self {
        let takeover = Duration::from_secs(if network.is_local() { 2 } else { 15 });
        Self { poll: network.poll_interval(), takeover, least_claim: LEAST_CLAIM }
    }
}

/// A statement that is to be scheduled, and how far that is.
#[derive(Debug, Clone)]
pub struct Scheduling {
    /// What is stated.
    pub statement: Statement,
    /// What its claims may have taken since the beginning: all of it, or as much as a cap lets through at once.
    pub amount: u128,
    /// The proposal.
    pub id: B256,
    /// How far it is.
    pub stage: Stage,
    /// Who has confirmed it.
    pub confirmed: Vec<Address>,
    transaction: WalletTransaction,
    block: FinalizedResult,
}

/// The contracts through which earnings of a network are paid, for reading.
#[derive(Debug, Clone)]
pub struct EarningsDesk {
    distributor: Distributor,
    multisig: Multisig,
    registry: Address,
    chain: dtn_chain::Chain,
}

impl EarningsDesk {
    /// Those at these addresses.
    pub fn new(chain: dtn_chain::Chain, contracts: ContractAddresses) -> Self {
        let distributor = Distributor::new(chain.clone(), contracts.distributor);
        let multisig = Multisig::new(chain.clone(), contracts.multisig);
        Self { distributor, multisig, registry: contracts.registry, chain }
    }

    /// What is to be scheduled next, if anything is: what is under way already, else the last statement. Nothing while another
    /// one waits.
    pub async fn scheduling<S: StatementSource>(
        &self,
        source: &S,
        state: &EarnedState,
        threshold: usize,
    ) -> Result<Option<Scheduling>, SourceError> {
        let last = source.last_statement().await?;
        if state.effectiveAt != 0 || last == 0 {
            return Ok(None);
        }
        let first = state.number.max(1).max(last.saturating_sub(RECENT - 1)).max(state.refused.saturating_add(1));
        let mut newest = None;
        for number in first..=last {
            let Some(block) = source.statement(number).await? else { continue };
            let Some(found) = self.look(state, block, threshold).await? else { continue };
            let under_way = matches!(found.stage, Stage::Confirming { .. } | Stage::Executable { .. });
            newest = Some(found);
            if under_way {
                break;
            }
        }
        Ok(newest)
    }

    /// How far the scheduling of a statement is; `None` if it brings nothing new.
    async fn look(
        &self,
        state: &EarnedState,
        block: FinalizedResult,
        threshold: usize,
    ) -> Result<Option<Scheduling>, SourceError> {
        let Some(statement) = Statement::of(&block.result) else { return Ok(None) };
        let (total, _) = self.distributor.earned_of(statement.token).await?;
        let amount = statement.total.min(total.saturating_add(self.distributor.cap_of(statement.token).await?));
        if statement.number < state.number || (statement.number == state.number && amount <= total) {
            return Ok(None);
        }
        // What was swept is scheduled in the same words as before, and must be another proposal.
        let salt = B256::from(U256::from(self.distributor.state().await?.expires_at));
        let transaction = self.distributor.schedule_earned(&block, amount, salt);
        let id = self.multisig.id(&transaction);
        let (status, confirmed) = self.multisig.status(id).await?;
        let stage = match status {
            ProposalStatus::Pending => match confirmed.len() {
                confirmations if confirmations + 1 >= threshold => Stage::Executable { confirmations },
                confirmations => Stage::Confirming { confirmations },
            },
            _ => {
                let (height, hash) = (block.header.height, block.header.hash());
                let posted = ResultRegistry::isFinalizedCall { height, blockHash: hash };
                let posted = self.chain.read(self.registry, &posted).await?;
                if posted { Stage::Unproposed } else { Stage::Unposted }
            }
        };
        Ok(Some(Scheduling { statement, amount, id, stage, confirmed, transaction, block }))
    }
}

/// A step that somebody has to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Of the proposal with this id, after so many confirmations.
    Schedule(B256, u8, usize),
    Activate(u32),
    Claim(Address, U256),
}

/// When a step was first seen, and what has become of it.
#[derive(Debug, Clone, Copy)]
struct Tries {
    since: Instant,
    failures: u32,
    reverts: u32,
    retry_at: Instant,
}

/// What is stated in the root that is in effect, and who has had it.
#[derive(Debug)]
struct InEffect {
    root: B256,
    earnings: Earnings,
    /// Who has nothing to claim of it, or too little.
    done: BTreeSet<Address>,
}

/// Brings what a peer's ledger states of earnings to the chain and to the accounts.
#[derive(Debug)]
pub struct Payer<S> {
    account: Account,
    desk: EarningsDesk,
    source: S,
    options: EarningsOptions,
    council: Option<Council>,
    in_effect: Option<InEffect>,
    tries: BTreeMap<Step, Tries>,
    /// The steps that this pass has seen; what is not among them is forgotten.
    seen: BTreeSet<Step>,
}

impl<S: StatementSource> Payer<S> {
    /// One that signs with `account`, an owner of the multisig.
    pub fn new(account: Account, contracts: ContractAddresses, source: S, options: EarningsOptions) -> Self {
        let desk = EarningsDesk::new(account.chain().clone(), contracts);
        let (tries, seen) = (BTreeMap::new(), BTreeSet::new());
        Self { account, desk, source, options, council: None, in_effect: None, tries, seen }
    }

    /// Works until it is dropped, through any failure of the node, the ledger and other peers.
    pub async fn run(self) -> Infallible {
        forever(self).await
    }

    async fn schedule(&mut self, state: &EarnedState, council: &Council) -> Result<bool, SourceError> {
        let next = self.desk.scheduling(&self.source, state, council.threshold).await?;
        let Some(Scheduling { statement, id, stage, confirmed, transaction, block, .. }) = next else {
            return Ok(false);
        };
        let (order, confirmations) = match stage {
            Stage::Unposted => (0, 0),
            Stage::Unproposed => (1, 0),
            _ => (2, confirmed.len()),
        };
        let delays = council.delays(self.account.address(), block.header.height, stage, &confirmed, false);
        let step = Step::Schedule(id, order, confirmations);
        if !self.is_due(step, delays) {
            return Ok(false);
        }
        let (account, multisig) = (&self.account, &self.desk.multisig);
        let taken = match stage {
            Stage::Unposted => {
                let call = finalize(self.desk.registry, &block.header, &block.certificate, council.quorum);
                account.send(&call).await
            }
            Stage::Unproposed => multisig.propose(account, &transaction).await,
            Stage::Confirming { .. } => multisig.confirm(account, id).await,
            _ => multisig.execute(account, &transaction).await,
        };
        Ok(self.note(step, statement.number, taken.map_err(StepError::from)))
    }

    async fn activate(&mut self, state: &EarnedState, council: &Council) -> Result<bool, SourceError> {
        let step = Step::Activate(state.waiting);
        if self.desk.chain.clock().await? < state.effectiveAt {
            return Ok(false);
        }
        if !self.is_due(step, council.rank(self.account.address(), state.waiting.into())) {
            return Ok(false);
        }
        let taken = self.account.send(&self.desk.distributor.activate_earned()).await;
        Ok(self.note(step, state.waiting, taken.map_err(StepError::from)))
    }

    /// Claims for whoever has something to claim, one after the other.
    async fn claim(&mut self, state: &EarnedState, council: &Council) -> Result<bool, SourceError> {
        if self.in_effect.as_ref().is_none_or(|known| known.root != state.root) {
            let stated = self.source.earnings(state.number).await?;
            let earnings = stated.and_then(|stated| Earnings::new(stated).ok());
            // A peer that has skipped the block knows no list: the others do.
            let Some(earnings) = earnings.filter(|earnings| earnings.root() == state.root) else { return Ok(false) };
            self.in_effect = Some(InEffect { root: state.root, earnings, done: BTreeSet::new() });
        }
        let open = self.open_claims().await?;
        let mut progress = false;
        for earning in open {
            let step = Step::Claim(earning.account, earning.cumulative);
            // Another one is on duty for each account.
            let [.., a, b, c, d] = earning.account.into_array();
            let turn = u64::from(u32::from_be_bytes([a, b, c, d])) + u64::from(state.number);
            let proof = self.in_effect.as_ref().and_then(|it| it.earnings.claim(earning.account, earning.token));
            let Some((_, proof)) = proof else { continue };
            if self.is_due(step, council.rank(self.account.address(), turn)) {
                let taken = self.account.send(&self.desk.distributor.claim_earned(&earning, proof)).await;
                progress |= self.note(step, state.number, taken.map_err(StepError::from));
            }
        }
        Ok(progress)
    }

    /// Who has something to claim that is worth it and that there is money for.
    async fn open_claims(&mut self) -> Result<Vec<Earning>, SourceError> {
        let Some(InEffect { earnings, done, .. }) = &mut self.in_effect else { return Ok(Vec::new()) };
        let (distributor, least) = (&self.desk.distributor, U256::from(self.options.least_claim));
        let all = earnings.as_slice().iter().copied();
        // Collected, because the compiler cannot tell that a borrowing closure's future is `Send` for every lifetime.
        let unknown: Vec<_> = all.filter(|earning| !done.contains(&earning.account)).collect();
        let (latest, irrevocable) = (BlockId::latest(), self.desk.chain.final_block());
        let ask = unknown.into_iter().map(|earning| async move {
            let claimed = |block| distributor.earned_claimed_at(earning.account, earning.token, block);
            let (now, for_good) = futures::try_join!(claimed(latest), claimed(irrevocable))?;
            let owed = |claimed| earning.cumulative.saturating_sub(claimed);
            Ok::<_, SourceError>((earning, owed(now), owed(for_good)))
        });
        let asked: Vec<_> = stream::iter(ask).buffer_unordered(READS).try_collect().await?;
        let Some(token) = asked.first().map(|(earning, ..)| earning.token) else { return Ok(Vec::new()) };
        let (_, left) = distributor.earned_of(token).await?;
        let is_over = |owed: &U256| owed.is_zero() || *owed < least;
        // What the chain may lose again is looked at again.
        done.extend(asked.iter().filter(|(_, _, owed)| is_over(owed)).map(|(earning, ..)| earning.account));
        let open = asked.into_iter().filter(|(_, owed, _)| !is_over(owed) && *owed <= left);
        Ok(open.map(|(earning, ..)| earning).collect())
    }

    /// Whether a step is this peer's now: by rotation, or because those before it let their time pass.
    fn is_due(&mut self, step: Step, delays: Option<usize>) -> bool {
        let now = Instant::now();
        self.seen.insert(step);
        let new = Tries { since: now, failures: 0, reverts: 0, retry_at: now };
        let tries = self.tries.entry(step).or_insert(new);
        let waited = |delays| tries.since.elapsed() >= self.options.takeover * delays as u32;
        tries.retry_at <= now && delays.is_some_and(waited)
    }

    /// Takes note of a step, and of when it is tried again if it failed. Returns whether it was taken.
    fn note(&mut self, step: Step, number: u32, taken: Result<GasRecord, StepError>) -> bool {
        let error = match taken {
            Ok(GasRecord { tx, gas_used, function, .. }) => {
                tracing::info!(number, %tx, gas = gas_used.unwrap_or(0), "{function}");
                return true;
            }
            Err(error) if error.is_overtaken() => {
                tracing::debug!(number, %error, "somebody was quicker");
                return false;
            }
            Err(error) => error,
        };
        let Some(tries) = self.tries.get_mut(&step) else { return false };
        tries.failures += 1;
        let pause = match (error.has_cost_gas(), error.is_refusal()) {
            (true, _) => {
                tries.reverts += 1;
                backoff(REVERTED_PAUSE, tries.reverts - 1, COSTLY_PAUSE)
            }
            (_, true) => backoff(self.options.poll, tries.failures, REFUSED_PAUSE),
            _ => backoff(self.options.poll, tries.failures, FAILED_PAUSE),
        };
        tries.retry_at = Instant::now() + pause;
        if tries.failures == 1 || tries.failures.is_multiple_of(10) {
            tracing::warn!(number, tries = tries.failures, %error, "what the ledger states has to wait");
        }
        false
    }
}

impl<S: StatementSource> Passes for Payer<S> {
    const WHAT: &'static str = "paying earnings";
    type Error = SourceError;

    fn poll(&self) -> Duration {
        self.options.poll
    }

    async fn pass(&mut self) -> Result<bool, SourceError> {
        if self.source.last_statement().await? == 0 {
            return Ok(false);
        }
        let council = match self.council.take().filter(Council::is_fresh) {
            Some(known) => known,
            None => Council::read(&self.account, &self.desk.multisig, self.desk.registry).await?,
        };
        let state = self.desk.distributor.earned().await?;
        let mut progress = match state.effectiveAt {
            0 => self.schedule(&state, &council).await?,
            _ => self.activate(&state, &council).await?,
        };
        if !state.root.is_zero() {
            progress |= self.claim(&state, &council).await?;
        }
        self.council = Some(council);
        let seen = std::mem::take(&mut self.seen);
        self.tries.retain(|step, _| seen.contains(step));
        Ok(progress)
    }
}
