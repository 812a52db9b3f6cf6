//! From a finalized result in a peer's own ledger to the payout on chain.
//!
//! Every peer runs a relayer. All of them derive the same multisig transaction for a result, each from its own ledger,
//! so an owner only ever confirms what it has itself seen finalized. The work is shared by rotation: at height `h` the
//! owner at position `h mod n` is on duty. It posts the block with its certificate and proposes the payout; the owners
//! after it confirm, as many as are needed, and the last of them executes it, which confirms too. Whoever does not do
//! its part within the takeover time is replaced by the next in the rotation.
//!
//! The results of a block are paid by one transaction, which costs less than one for each, except for completed rounds,
//! which wait for their claims, each for its own.
//!
//! What to do is decided from the chain's state and the ledger alone, in every pass anew. So a relayer can be killed
//! anywhere and started again, two can race, and the chain can lose blocks: the contracts let a result be paid once,
//! and "already done" is as good as done.
//!
//! A payee that does not take its money costs its share of gas and no more: the distributor credits it, and the payment is
//! done. A payout that fails for another reason keeps no other one waiting: it is tried again at growing intervals, and put
//! away when too many like it pile up. A step that reverted on chain although its simulation had succeeded has cost gas, so
//! the next try waits for minutes, then for hours, up to a day. One whose worker the registry bars will never be paid, and is
//! done with. A completed round of sequential work waits until the chain finds
//! its claim final; it is done with, unpaid, when that was slashed or came to something else, or when nobody has claimed
//! it for a week.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::Future,
    time::Duration,
};

use alloy::primitives::{Address, B256};
use dtn_bindings::{ContractAddresses, REGISTRY, ResultRegistry};
use dtn_chain::{
    gas_ledger::GasRecord,
    networks::Network,
    sender::{Account, Call},
};
use dtn_primitives::{Certificate, FinalizedResult, Header};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio::{sync::watch, time::Instant};

use crate::{
    held::{Held, Limits},
    multisig::Multisig,
    passes::{Passes, forever},
    payment::{Payment, Payments, Stage},
};

mod job;

use job::Job;
pub(crate) use job::{COSTLY_PAUSE, REFUSED_PAUSE, REVERTED_PAUSE, StepError};

/// How long a completion waits for its claim: a week, for a peer that was down to come back.
pub const CLAIM_PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many open results are held in memory, some kilobytes each, before no more are read.
const OPEN_LIMIT: usize = 1_024;

/// Why a ledger gave no results.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A peer's own ledger, as the relayer reads it.
pub trait ResultSource: Send + Sync {
    /// The results of all finalized blocks from a height on, in ascending order of height. A block's results come
    /// together or not at all.
    fn results(&self, from_height: u64) -> impl Future<Output = Result<Vec<FinalizedResult>, SourceError>> + Send;
}

/// How a relayer paces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayerOptions {
    /// How often the chain and the ledger are looked at.
    pub poll: Duration,
    /// How long each peer has for its part before the next one does it.
    pub takeover: Duration,
    /// How many heights are worked on at once.
    pub concurrency: usize,
    /// How long after its block a completion of a round is waited for that nobody claims on chain. Then it is given up.
    pub claim_patience: Duration,
}

impl RelayerOptions {
    /// What suits a network.
    pub fn for_network(network: &Network) -> Self {
        let takeover = Duration::from_secs(if network.is_local() { 2 } else { 15 });
        Self { poll: network.poll_interval(), takeover, concurrency: 8, claim_patience: CLAIM_PATIENCE }
    }
}

/// How far a relayer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayerStatus {
    /// Everything below this height is settled, irrevocably.
    pub cursor: u64,
    /// Results with a reward that this process has seen paid.
    pub paid: u64,
    /// Results with a reward that this process has seen forfeited: their worker is barred, or their round does not
    /// hold or was not claimed in time.
    pub forfeited: u64,
    /// Results with a reward that are known and neither paid nor forfeited.
    pub open: u64,
}

/// Jobs of one height that were put away: only the ids of their results are kept, and the ledger has the rest.
#[derive(Debug)]
struct Shelved {
    jobs: Vec<Vec<B256>>,
    until: Instant,
}

/// The owners and what they must agree on.
#[derive(Debug, Clone)]
pub(crate) struct Council {
    /// In ascending order of address, which is the order of the rotation.
    owners: Vec<Address>,
    pub(crate) threshold: usize,
    /// Signatures that the registry asks for.
    pub(crate) quorum: usize,
    read_at: Instant,
}

impl Council {
    const REFRESH: Duration = Duration::from_secs(30);

    /// Reads them from the chain.
    pub(crate) async fn read(account: &Account, multisig: &Multisig, registry: Address) -> Result<Self, StepError> {
        let mut owners = multisig.owners().await?;
        owners.sort();
        if !owners.contains(&account.address()) {
            tracing::warn!(account = %account.address(), "not an owner of the multisig: watching only");
        }
        Ok(Self {
            owners,
            threshold: multisig.threshold().await?,
            quorum: account.chain().read(registry, &ResultRegistry::quorumCall {}).await?.saturating_to(),
            read_at: Instant::now(),
        })
    }

    /// Whether it was read a moment ago.
    pub(crate) fn is_fresh(&self) -> bool {
        self.read_at.elapsed() < Self::REFRESH
    }

    /// How many others have their takeover time before an owner takes a step at a height; `None` if it never does. Whoever is
    /// acting has taken the step before, and need not wait.
    pub(crate) fn delays(
        &self,
        own: Address,
        height: u64,
        stage: Stage,
        confirmed: &[Address],
        acting: bool,
    ) -> Option<usize> {
        match stage {
            Stage::Unproven | Stage::Divided | Stage::Settled { .. } => None,
            Stage::Confirming { confirmations } => {
                // All but the last one, who executes.
                let missing = self.threshold.saturating_sub(confirmations + 1);
                let rank = self.rank_among_missing(own, height, confirmed);
                rank.map(|rank| (rank + 1).saturating_sub(missing))
            }
            Stage::Executable { confirmations } if confirmations < self.threshold => {
                self.rank_among_missing(own, height, confirmed)
            }
            Stage::Unposted | Stage::Unproposed | Stage::Executable { .. } if acting => Some(0),
            Stage::Unposted | Stage::Unproposed | Stage::Executable { .. } => self.rank(own, height),
        }
    }

    /// How many come before an owner at a height; the one on duty has rank 0. `None` for others than owners.
    pub(crate) fn rank(&self, owner: Address, height: u64) -> Option<usize> {
        let n = self.owners.len();
        let position = self.owners.binary_search(&owner).ok()?;
        Some((position + n - (height % n as u64) as usize) % n)
    }

    /// The same among the owners who have not confirmed.
    fn rank_among_missing(&self, owner: Address, height: u64, confirmed: &[Address]) -> Option<usize> {
        let own = self.rank(owner, height).filter(|_| !confirmed.contains(&owner))?;
        let before =
            |other: &&Address| !confirmed.contains(other) && self.rank(**other, height).is_some_and(|r| r < own);
        Some(self.owners.iter().filter(before).count())
    }
}

/// Brings a peer's finalized results to the chain and gets them paid.
#[derive(Debug)]
pub struct Relayer<S> {
    desk: Desk,
    source: S,
    /// By height.
    jobs: BTreeMap<u64, Vec<Job>>,
    /// Heights whose results keep being refused and were put away to make room.
    shelf: BTreeMap<u64, Shelved>,
    /// The first height that the ledger has not been asked about yet; `None` before the distributor has said where it begins.
    next: Option<u64>,
    /// How many jobs there may be before reading stops.
    limit: usize,
    is_full: bool,
    /// Jobs that are done, irrevocably.
    paid: u64,
    forfeited: u64,
    council: Option<Council>,
    status: watch::Sender<RelayerStatus>,
}

impl<S: ResultSource> Relayer<S> {
    /// A relayer that signs with `account`, an owner of the multisig.
    pub fn new(account: Account, contracts: ContractAddresses, source: S, options: RelayerOptions) -> Self {
        let payments = Payments::new(account.chain().clone(), contracts, options.claim_patience);
        let limits = Limits::new(account.chain().clone(), contracts);
        let desk = Desk { account, registry: contracts.registry, payments, limits, options };
        let status = watch::Sender::new(RelayerStatus { cursor: 1, ..RelayerStatus::default() });
        Self {
            desk,
            source,
            jobs: BTreeMap::new(),
            shelf: BTreeMap::new(),
            next: None,
            limit: OPEN_LIMIT,
            is_full: false,
            paid: 0,
            forfeited: 0,
            council: None,
            status,
        }
    }

    /// How many open results are held in memory before no more are read. It is exceeded by at most what the ledger
    /// gives in two answers.
    pub fn with_open_limit(self, limit: usize) -> Self {
        Self { limit: limit.max(1), ..self }
    }

    /// Follows how far it is.
    pub fn status(&self) -> watch::Receiver<RelayerStatus> {
        self.status.subscribe()
    }

    /// Works until it is dropped, through any failure of the node, the ledger and other peers.
    pub async fn run(self) -> Infallible {
        forever(self).await
    }

    /// Takes up what the ledger has that is not known yet, and what has been on the shelf for long enough.
    async fn collect(&mut self) -> Result<(), SourceError> {
        if self.open() >= self.limit {
            self.make_room();
        }
        if self.open() >= self.limit {
            return Ok(());
        }
        self.take_from_shelf().await?;
        let mut next = match self.next {
            Some(next) => next,
            None => self.desk.payments.first_height().await?,
        };
        let results = self.source.results(next).await?;
        for block in results.chunk_by(|one, other| one.header.height == other.header.height) {
            let height = block[0].header.height;
            next = next.max(height + 1);
            let payments = self.desk.payments.of_block(block);
            self.take_up(height, payments);
        }
        self.next = Some(next);
        Ok(())
    }

    /// Takes up again what was put away for long enough, as much as the ledger gives at once.
    async fn take_from_shelf(&mut self) -> Result<(), SourceError> {
        let now = Instant::now();
        let due = |shelved: &Shelved| shelved.until <= now;
        let Some(height) = self.shelf.iter().find(|(_, shelved)| due(shelved)).map(|(height, _)| *height) else {
            return Ok(());
        };
        let results = self.source.results(height).await?;
        if results.first().is_none_or(|first| first.header.height != height) {
            return Err("the ledger has lost a result that it had".into());
        }
        let mut taken = BTreeSet::new();
        for block in results.chunk_by(|one, other| one.header.height == other.header.height) {
            let height = block[0].header.height;
            if let Some(shelved) = self.shelf.get(&height).filter(|shelved| due(shelved)) {
                let of = |ids: &Vec<B256>| block.iter().filter(|one| ids.contains(&one.result.id)).cloned().collect();
                let payments = shelved.jobs.iter().filter_map(|ids| self.desk.payments.of(of(ids))).collect();
                self.take_up(height, payments);
                taken.insert(height);
            }
        }
        self.shelf.retain(|height, _| !taken.contains(height));
        Ok(())
    }

    fn take_up(&mut self, height: u64, payments: Vec<Payment>) {
        if !payments.is_empty() {
            self.jobs.entry(height).or_default().extend(payments.into_iter().map(Job::new));
        }
    }

    /// Puts away the heights of which nothing is left but what keeps being refused, or waits for the end of a claim.
    fn make_room(&mut self) {
        let until = Instant::now() + REFUSED_PAUSE;
        let refused = self.jobs.extract_if(.., |_, jobs| jobs.iter().all(Job::can_be_put_away));
        let shelved = refused.map(|(height, jobs)| {
            let jobs = jobs.iter().map(|job| job.ids().collect()).collect();
            (height, Shelved { jobs, until })
        });
        self.shelf.extend(shelved);
        let is_full = self.open() >= self.limit;
        if is_full && !self.is_full {
            tracing::warn!(open = self.open(), "so many results wait for their payout that no more are read for now");
        }
        self.is_full = is_full;
    }

    /// How many results there are in jobs.
    fn open(&self) -> usize {
        self.jobs.values().flatten().map(|job| job.payment.results.len()).sum()
    }

    /// Everything below is settled, irrevocably.
    fn cursor(&self) -> u64 {
        let lowest = [self.jobs.keys().next(), self.shelf.keys().next()].into_iter().flatten().min();
        lowest.copied().or(self.next).unwrap_or(1)
    }

    fn publish(&self) {
        let settled = self.jobs.values().flatten().map(Job::settled);
        let (paid, forfeited) = settled.fold((0, 0), |sum, job| (sum.0 + job.0, sum.1 + job.1));
        let shelved: usize = self.shelf.values().flat_map(|shelved| &shelved.jobs).map(Vec::len).sum();
        let open = (self.open() + shelved - paid - forfeited) as u64;
        let (paid, forfeited) = (self.paid + paid as u64, self.forfeited + forfeited as u64);
        let status = RelayerStatus { cursor: self.cursor(), paid, forfeited, open };
        self.status.send_if_modified(|current| std::mem::replace(current, status) != status);
    }
}

impl<S: ResultSource> Passes for Relayer<S> {
    const WHAT: &'static str = "relaying";
    type Error = SourceError;

    fn poll(&self) -> Duration {
        self.desk.options.poll
    }

    async fn pass(&mut self) -> Result<bool, SourceError> {
        self.collect().await?;
        if self.jobs.is_empty() {
            self.publish();
            return Ok(false);
        }
        let council = match &mut self.council {
            Some(known) if known.is_fresh() => known,
            stale => {
                let desk = &self.desk;
                stale.insert(Council::read(&desk.account, desk.payments.multisig(), desk.registry).await?)
            }
        };
        // Boxed in a loop, because the compiler cannot tell that a closure's future is `Send` for every lifetime.
        let mut heights: Vec<BoxFuture<'_, usize>> = Vec::new();
        for (height, jobs) in &mut self.jobs {
            heights.push(self.desk.settle(*height, jobs, council).boxed());
        }
        let steps: Vec<_> = stream::iter(heights).buffer_unordered(self.desk.options.concurrency).collect().await;

        for job in self.jobs.values().flatten().filter(|job| job.irrevocable) {
            let (paid, forfeited) = job.settled();
            self.paid += paid as u64;
            self.forfeited += forfeited as u64;
        }
        self.jobs.retain(|_, jobs| {
            jobs.retain(|job| !job.irrevocable);
            !jobs.is_empty()
        });
        self.publish();
        Ok(steps.into_iter().sum::<usize>() > 0)
    }
}

/// What a relayer needs to take steps.
#[derive(Debug)]
struct Desk {
    account: Account,
    registry: Address,
    payments: Payments,
    limits: Limits,
    options: RelayerOptions,
}

impl Desk {
    /// Takes the steps that are due for the results of one block, one after another. Returns how many it took.
    async fn settle(&self, height: u64, jobs: &mut Vec<Job>, council: &Council) -> usize {
        let mut steps = 0;
        for job in jobs.iter_mut().filter(|job| !job.irrevocable) {
            if job.retry_at > Instant::now() {
                continue;
            }
            match self.advance(height, job, council).await {
                Ok(taken) => {
                    (job.failures, job.refusals) = (0, 0);
                    steps += taken;
                }
                Err(error) if error.is_overtaken() => {
                    tracing::debug!(height, proposal = %job.payment.id, %error, "somebody was quicker");
                }
                Err(error) => {
                    job.retry_at = Instant::now() + job.note(&error, self.options.poll);
                    if job.failures == 1 || job.failures.is_multiple_of(10) {
                        let (proposal, results, tries) = (job.payment.id, job.payment.results.len(), job.failures);
                        match self.held(job, &error).await {
                            Some(held) => {
                                tracing::warn!(height, %proposal, results, tries, "the payout is held back: {held}");
                            }
                            None => tracing::warn!(height, %proposal, results, tries, %error, "the payout has to wait"),
                        }
                    }
                }
            }
        }
        let divided = jobs.extract_if(.., |job| job.stage == Some(Stage::Divided));
        let alone: Vec<_> = divided.flat_map(|job| job.payment.results).map(|result| vec![result]).collect();
        jobs.extend(alone.into_iter().filter_map(|one| self.payments.of(one)).map(Job::new));
        steps
    }

    /// What holds a payment back, if that is why the contracts refuse a step.
    async fn held(&self, job: &Job, error: &StepError) -> Option<Held> {
        let stage = job.stage.filter(|_| error.is_refusal())?;
        self.limits.held(&job.payment, stage).await.ok().flatten()
    }

    /// Takes steps for one transaction until none is due. Returns how many it took.
    async fn advance(&self, height: u64, job: &mut Job, council: &Council) -> Result<usize, StepError> {
        let mut steps = 0;
        loop {
            let (stage, confirmed) = self.payments.look(&job.payment, council.threshold).await?;
            job.observe(stage);
            match stage {
                Stage::Settled { forfeited } => {
                    job.irrevocable = self.payments.is_irrevocable(&job.payment).await.unwrap_or(false);
                    if job.irrevocable && forfeited > 0 {
                        let results: Vec<_> = job.ids().collect();
                        tracing::warn!(
                            height,
                            ?results,
                            forfeited,
                            "forfeited: the worker is barred, or the round does not hold or was never claimed"
                        );
                    }
                    return Ok(steps);
                }
                Stage::Divided => return Ok(steps),
                Stage::Unproven => {
                    job.retry_at = Instant::now() + self.options.poll * 4;
                    return Ok(steps);
                }
                _ if !self.is_due(height, job, stage, &confirmed, council) => return Ok(steps),
                _ => {}
            }
            let record = self.step(job, stage, council).await?;
            steps += 1;
            // A confirmation is no claim to take the other steps.
            job.acting |= !matches!(stage, Stage::Confirming { .. });
            let GasRecord { tx, gas_used, function, .. } = record;
            let (results, gas) = (job.payment.results.len(), gas_used.unwrap_or(0));
            tracing::info!(height, proposal = %job.payment.id, results, %tx, gas, "{function}");
        }
    }

    /// Whether the next step is this relayer's: by rotation, or because those before it let their time pass.
    fn is_due(&self, height: u64, job: &Job, stage: Stage, confirmed: &[Address], council: &Council) -> bool {
        let delays = council.delays(self.account.address(), height, stage, confirmed, job.acting);
        delays.is_some_and(|delays| job.since.elapsed() >= self.options.takeover * delays as u32)
    }

    async fn step(&self, job: &Job, stage: Stage, council: &Council) -> Result<GasRecord, StepError> {
        let record = match stage {
            Stage::Unposted => {
                let FinalizedResult { header, certificate, .. } = job.payment.block();
                self.account.send(&finalize(self.registry, header, certificate, council.quorum)).await?
            }
            Stage::Unproposed => self.payments.multisig().propose(&self.account, &job.payment.transaction).await?,
            Stage::Confirming { .. } => self.payments.multisig().confirm(&self.account, job.payment.id).await?,
            Stage::Executable { .. } | Stage::Unproven | Stage::Divided | Stage::Settled { .. } => {
                self.payments.multisig().execute(&self.account, &job.payment.transaction).await?
            }
        };
        Ok(record)
    }
}

/// Posts a block with its certificate, cut down to the quorum, because every signature costs gas.
pub(crate) fn finalize(registry: Address, header: &Header, certificate: &Certificate, quorum: usize) -> Call {
    let signatures = certificate.signatures.iter().take(quorum).flat_map(|(_, signature)| signature.0);
    let call = ResultRegistry::finalizeCall {
        header: header.into(),
        view_: certificate.view,
        certificate: signatures.collect(),
    };
    Call::new(REGISTRY, registry, &call)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn council(n: u8, threshold: usize) -> Council {
        let owners = (0..n).map(|i| Address::repeat_byte(i + 1)).collect();
        Council { owners, threshold, quorum: 3, read_at: Instant::now() }
    }

    #[test]
    fn duty_goes_round_by_height() {
        let council = council(4, 3);
        for height in 0..12 {
            let ranks: Vec<_> = council.owners.iter().filter_map(|owner| council.rank(*owner, height)).collect();
            let mut sorted = ranks.clone();
            sorted.sort();
            assert_eq!(sorted, [0, 1, 2, 3]);
            assert_eq!(ranks[(height % 4) as usize], 0);
        }
        assert_eq!(council.rank(Address::ZERO, 1), None);
    }

    #[test]
    fn as_many_owners_confirm_at_once_as_are_missing() {
        let council = council(7, 5);
        let owner = |i: usize| council.owners[i];
        for height in 0..7u64 {
            let duty = owner(height as usize);
            let ranks: Vec<_> = (0..7).filter_map(|i| council.rank_among_missing(owner(i), height, &[duty])).collect();
            assert_eq!(ranks.len(), 6, "the proposer has confirmed");
            assert_eq!(ranks.iter().filter(|rank| **rank < 4).count(), 4);
        }
    }
}
