//! From a finalized result in a peer's own ledger to the payout on chain.
//!
//! Every peer runs a relayer. All of them derive the same multisig transaction for a result, each from its own ledger,
//! so an owner only ever confirms what it has itself seen finalized. The work is shared by rotation: at height `h` the
//! owner at position `h mod n` is on duty. It posts the block with its certificate, proposes the payout and executes
//! it; the owners after it confirm, as many as are needed. Whoever does not do its part within the takeover time is
//! replaced by the next in the rotation.
//!
//! What to do is decided from the chain's state and the ledger alone, in every pass anew. So a relayer can be killed
//! anywhere and started again, two can race, and the chain can lose blocks: the contracts let a result be paid once,
//! and "already done" is as good as done.

use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
    future::Future,
    time::Duration,
};

use alloy::primitives::{Address, B256};
use dtn_primitives::FinalizedResult;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio::{sync::watch, time::Instant};

use crate::{
    connection::ReadError,
    contracts::{ContractAddresses, REGISTRY, ResultRegistry, RewardDistributor},
    gas_ledger::GasRecord,
    multisig::{Multisig, MultisigError, ProposalStatus, WalletTransaction},
    networks::{Finality, Network},
    sender::{Account, Call, SendError},
};

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
}

impl RelayerOptions {
    /// What suits a network.
    pub fn for_network(network: &Network) -> Self {
        let takeover = Duration::from_secs(if network.is_local() { 2 } else { 15 });
        Self { poll: network.poll_interval(), takeover, concurrency: 8 }
    }
}

/// How far a relayer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayerStatus {
    /// Everything below this height is paid, irrevocably.
    pub cursor: u64,
    /// Results with a reward that this process has seen paid.
    pub paid: u64,
    /// Results with a reward that are known and not paid.
    pub open: u64,
}

/// What the contracts say about a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unposted,
    Unproposed,
    Confirming { confirmations: usize },
    Executable,
    Paid,
}

/// One result on its way.
#[derive(Debug)]
struct Job {
    result: FinalizedResult,
    transaction: WalletTransaction,
    id: B256,
    stage: Option<Stage>,
    /// When the stage was first seen.
    since: Instant,
    /// This relayer took the last step, so it need not wait for somebody else to take the next one.
    acting: bool,
    irrevocable: bool,
    failures: u32,
    retry_at: Instant,
}

impl Job {
    fn new(result: FinalizedResult, multisig: &Multisig, distributor: Address) -> Self {
        let transaction = WalletTransaction::payout(distributor, &result);
        let id = multisig.id(&transaction);
        let now = Instant::now();
        Self {
            result,
            transaction,
            id,
            stage: None,
            since: now,
            acting: false,
            irrevocable: false,
            failures: 0,
            retry_at: now,
        }
    }

    fn observe(&mut self, stage: Stage) {
        if self.stage != Some(stage) {
            self.stage = Some(stage);
            self.since = Instant::now();
        }
    }

    fn is_paid(&self) -> bool {
        self.stage == Some(Stage::Paid)
    }
}

/// The owners and what they must agree on.
#[derive(Debug, Clone)]
struct Council {
    /// In ascending order of address, which is the order of the rotation.
    owners: Vec<Address>,
    threshold: usize,
    /// Signatures that the registry asks for.
    quorum: usize,
    read_at: Instant,
}

impl Council {
    const REFRESH: Duration = Duration::from_secs(30);

    /// How many come before an owner at a height; the one on duty has rank 0. `None` for others than owners.
    fn rank(&self, owner: Address, height: u64) -> Option<usize> {
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

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Multisig(#[from] MultisigError),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl StepError {
    /// Whether somebody else took the step in the meantime.
    fn is_overtaken(&self) -> bool {
        const OVERTAKEN: [&str; 7] = [
            "AlreadyFinalized",
            "AlreadyProposed",
            "AlreadyConfirmed",
            "AlreadyExecuted",
            "AlreadyPaid",
            "NotProposed",
            "BelowThreshold",
        ];
        matches!(self, Self::Send(error) if error.reverts_with(&OVERTAKEN))
    }
}

/// Brings a peer's finalized results to the chain and gets them paid.
#[derive(Debug)]
pub struct Relayer<S> {
    desk: Desk,
    source: S,
    /// By height.
    jobs: BTreeMap<u64, Vec<Job>>,
    cursor: u64,
    paid: u64,
    status: watch::Sender<RelayerStatus>,
}

impl<S: ResultSource> Relayer<S> {
    /// A relayer that signs with `account`, an owner of the multisig.
    pub fn new(account: Account, contracts: ContractAddresses, source: S, options: RelayerOptions) -> Self {
        let multisig = Multisig::new(account.chain().clone(), contracts.multisig);
        let desk = Desk { account, contracts, multisig, options };
        let status = watch::Sender::new(RelayerStatus { cursor: 1, ..RelayerStatus::default() });
        Self { desk, source, jobs: BTreeMap::new(), cursor: 1, paid: 0, status }
    }

    /// Follows how far it is.
    pub fn status(&self) -> watch::Receiver<RelayerStatus> {
        self.status.subscribe()
    }

    /// Works until it is dropped, through any failure of the node, the ledger and other peers.
    pub async fn run(mut self) -> Infallible {
        let mut council = None;
        let mut failures = 0u32;
        loop {
            match self.pass(&mut council).await {
                Ok(progress) => {
                    if failures > 0 {
                        tracing::info!("relaying again");
                    }
                    failures = 0;
                    if !progress {
                        tokio::time::sleep(self.desk.options.poll).await;
                    }
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(%error, "relaying is interrupted");
                    }
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(backoff(self.desk.options.poll, failures)).await;
                }
            }
        }
    }

    /// Looks at everything once and takes the steps that are due. Returns whether any was taken.
    async fn pass(&mut self, council: &mut Option<Council>) -> Result<bool, SourceError> {
        self.collect().await?;
        if self.jobs.is_empty() {
            self.publish();
            return Ok(false);
        }
        let council = match council {
            Some(known) if known.read_at.elapsed() < Council::REFRESH => known,
            stale => stale.insert(self.desk.council().await?),
        };
        // Boxed in a loop, because the compiler cannot tell that a closure's future is `Send` for every lifetime.
        let mut heights: Vec<BoxFuture<'_, usize>> = Vec::new();
        for (height, jobs) in &mut self.jobs {
            heights.push(self.desk.settle(*height, jobs, council).boxed());
        }
        let steps: Vec<_> = stream::iter(heights).buffer_unordered(self.desk.options.concurrency).collect().await;

        while let Some(entry) = self.jobs.first_entry().filter(|entry| entry.get().iter().all(|job| job.irrevocable)) {
            let (height, jobs) = entry.remove_entry();
            self.cursor = height + 1;
            self.paid += jobs.len() as u64;
        }
        self.publish();
        Ok(steps.into_iter().sum::<usize>() > 0)
    }

    /// Takes up what the ledger has that is not known yet.
    async fn collect(&mut self) -> Result<(), SourceError> {
        let results = self.source.results(self.cursor).await?;
        let known: HashSet<_> = self.jobs.values().flatten().map(|job| job.result.result.id).collect();
        let highest = results.last().map(|result| result.header.height);
        for result in results {
            if !result.result.amount.is_zero() && !known.contains(&result.result.id) {
                let job = Job::new(result, &self.desk.multisig, self.desk.contracts.distributor);
                self.jobs.entry(job.result.header.height).or_default().push(job);
            }
        }
        if let (true, Some(highest)) = (self.jobs.is_empty(), highest) {
            self.cursor = self.cursor.max(highest + 1);
        }
        Ok(())
    }

    fn publish(&self) {
        let known = || self.jobs.values().flatten();
        let paid = known().filter(|job| job.is_paid()).count() as u64;
        let status = RelayerStatus { cursor: self.cursor, paid: self.paid + paid, open: known().count() as u64 - paid };
        self.status.send_if_modified(|current| std::mem::replace(current, status) != status);
    }
}

fn backoff(start: Duration, failures: u32) -> Duration {
    (start * 2u32.saturating_pow(failures.min(10))).min(Duration::from_secs(30)).max(start)
}

/// What a relayer needs to take steps.
#[derive(Debug)]
struct Desk {
    account: Account,
    contracts: ContractAddresses,
    multisig: Multisig,
    options: RelayerOptions,
}

impl Desk {
    async fn council(&self) -> Result<Council, StepError> {
        let chain = self.account.chain();
        let mut owners = self.multisig.owners().await?;
        owners.sort();
        if !owners.contains(&self.account.address()) {
            tracing::warn!(account = %self.account.address(), "not an owner of the multisig: watching only");
        }
        Ok(Council {
            owners,
            threshold: self.multisig.threshold().await?,
            quorum: chain.read(self.contracts.registry, &ResultRegistry::quorumCall {}).await?.saturating_to(),
            read_at: Instant::now(),
        })
    }

    /// Takes the steps that are due for the results of one block, one after another. Returns how many it took.
    async fn settle(&self, height: u64, jobs: &mut [Job], council: &Council) -> usize {
        let mut steps = 0;
        for job in jobs.iter_mut().filter(|job| !job.irrevocable) {
            if job.retry_at > Instant::now() {
                continue;
            }
            match self.advance(height, job, council).await {
                Ok(taken) => {
                    job.failures = 0;
                    steps += taken;
                }
                Err(error) if error.is_overtaken() => {
                    tracing::debug!(height, result = %job.result.result.id, %error, "somebody was quicker");
                }
                Err(error) => {
                    job.failures += 1;
                    job.retry_at = Instant::now() + backoff(self.options.poll, job.failures);
                    if job.failures == 1 || job.failures.is_multiple_of(10) {
                        let (result, tries) = (job.result.result.id, job.failures);
                        tracing::warn!(height, %result, tries, %error, "the payout has to wait");
                    }
                }
            }
        }
        steps
    }

    /// Takes steps for one result until none is due. Returns how many it took.
    async fn advance(&self, height: u64, job: &mut Job, council: &Council) -> Result<usize, StepError> {
        let mut steps = 0;
        loop {
            let (stage, confirmed) = self.look(job, council).await?;
            job.observe(stage);
            if stage == Stage::Paid {
                job.irrevocable = self.is_irrevocable(job).await;
                return Ok(steps);
            }
            if !self.is_due(height, job, stage, &confirmed, council) {
                return Ok(steps);
            }
            let record = self.step(job, stage, council).await?;
            steps += 1;
            // A confirmation is no claim to take the other steps.
            job.acting |= !matches!(stage, Stage::Confirming { .. });
            let GasRecord { tx, gas_used, function, .. } = record;
            let (result, gas) = (job.result.result.id, gas_used.unwrap_or(0));
            tracing::info!(height, %result, %tx, gas, "{function}");
        }
    }

    /// Where a result stands, and who confirms its payout if that matters.
    async fn look(&self, job: &Job, council: &Council) -> Result<(Stage, Vec<Address>), StepError> {
        let chain = self.account.chain();
        let paid = RewardDistributor::isPaidCall { id: job.result.result.id };
        let (status, paid) =
            futures::try_join!(async { Ok::<_, StepError>(self.multisig.status(job.id).await?) }, async {
                Ok(chain.read(self.contracts.distributor, &paid).await?)
            },)?;
        if paid {
            return Ok((Stage::Paid, Vec::new()));
        }
        if status == ProposalStatus::Pending {
            let confirmed = self.multisig.confirmations(job.id).await?;
            let confirmations = confirmed.len();
            let enough = confirmations >= council.threshold;
            return Ok((if enough { Stage::Executable } else { Stage::Confirming { confirmations } }, confirmed));
        }
        let header = &job.result.header;
        let finalized = ResultRegistry::isFinalizedCall { height: header.height, blockHash: header.hash() };
        let posted = chain.read(self.contracts.registry, &finalized).await?;
        Ok((if posted { Stage::Unproposed } else { Stage::Unposted }, Vec::new()))
    }

    async fn is_irrevocable(&self, job: &Job) -> bool {
        let chain = self.account.chain();
        if chain.network().finality == Finality::Latest {
            return true;
        }
        let paid = RewardDistributor::isPaidCall { id: job.result.result.id };
        chain.read_at(self.contracts.distributor, &paid, chain.final_block()).await.unwrap_or(false)
    }

    /// Whether the next step is this relayer's: by rotation, or because those before it let their time pass.
    fn is_due(&self, height: u64, job: &Job, stage: Stage, confirmed: &[Address], council: &Council) -> bool {
        let own = self.account.address();
        let delays = match stage {
            Stage::Paid => None,
            Stage::Confirming { confirmations } => {
                let missing = council.threshold.saturating_sub(confirmations);
                let rank = council.rank_among_missing(own, height, confirmed);
                rank.map(|rank| (rank + 1).saturating_sub(missing))
            }
            Stage::Unposted | Stage::Unproposed | Stage::Executable if job.acting => Some(0),
            Stage::Unposted | Stage::Unproposed | Stage::Executable => council.rank(own, height),
        };
        delays.is_some_and(|delays| job.since.elapsed() >= self.options.takeover * delays as u32)
    }

    async fn step(&self, job: &Job, stage: Stage, council: &Council) -> Result<GasRecord, StepError> {
        let record = match stage {
            Stage::Unposted => self.account.send(&self.finalize(&job.result, council.quorum)).await?,
            Stage::Unproposed => self.multisig.propose(&self.account, &job.transaction).await?,
            Stage::Confirming { .. } => self.multisig.confirm(&self.account, job.id).await?,
            Stage::Executable | Stage::Paid => self.multisig.execute(&self.account, &job.transaction).await?,
        };
        Ok(record)
    }

    /// Posts a block with its certificate, cut down to the quorum, because every signature costs gas.
    fn finalize(&self, result: &FinalizedResult, quorum: usize) -> Call {
        let signatures = result.certificate.signatures.iter().take(quorum).flat_map(|(_, signature)| signature.0);
        let call = ResultRegistry::finalizeCall {
            header: (&result.header).into(),
            view_: result.certificate.view,
            signatures: signatures.collect(),
        };
        Call::new(REGISTRY, self.contracts.registry, &call)
    }
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

    #[test]
    fn waiting_grows_and_ends_somewhere() {
        let poll = Duration::from_millis(100);
        assert_eq!(backoff(poll, 1), Duration::from_millis(200));
        assert_eq!(backoff(poll, 5), Duration::from_millis(3_200));
        assert_eq!(backoff(poll, u32::MAX), Duration::from_secs(30));
    }
}
