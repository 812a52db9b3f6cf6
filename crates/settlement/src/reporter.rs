//! What a peer does by itself about validators that contradict themselves, beside its relayer and its watcher.
//!
//! It reports the **votes** that its node holds as evidence. And it compares what the registry is told with its own ledger:
//! where a block was posted that is another one than its own at that height and view, the two **certificates** are evidence
//! against everybody who has signed both, be they signatures one by one or an aggregate.
//!
//! A report costs gas, and one is enough. So duty goes round by the evidence: one validator that is not accused reports at
//! once, and whoever does not within the takeover time is replaced by the next. As with the relayer, what to do is decided
//! from the chain's state in every pass anew: a report that the chain loses is made again.

use std::{collections::BTreeMap, convert::Infallible, future::Future, time::Duration};

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, B256, Bytes, keccak256},
    providers::Provider,
    sol_types::{SolCall, SolValue},
    transports::TransportError,
};
use dtn_bindings::ResultRegistry;
use dtn_chain::{
    connection::{ReadError, retrying},
    networks::Network,
    sender::{Account, SendError},
};
use dtn_primitives::{Certificate, Domain, Evidence};
use tokio::{sync::watch, time::Instant};

use crate::{
    evidence::{Contradiction, NoContradiction, Proof, ReportError, report},
    passes::{FAILED_PAUSE, Passes, backoff, forever},
    relayer::SourceError,
};

/// How many of the last blocks are read again in each pass, because the chain may have replaced them.
const TAIL: u64 = 64;

/// How many blocks of the settlement chain are looked back at when a peer starts: some hours of most chains. What was posted
/// before, the others have seen.
const LOOKBACK: u64 = 10_000;

/// How many posted blocks are kept that the ledger does not have; those of the lowest heights go first.
const MOST_OPEN: usize = 1_024;

/// How many beginnings of a call are looked at in one transaction: whoever has sent it may have filled it with them.
const MOST_CALLS: usize = 64;

/// How long it takes until it is looked at again whether what was reported still is: the chain may have replaced the block.
const REPORTED_PAUSE: Duration = Duration::from_secs(600);

/// The longest wait before a report is tried again that the registry refuses, or that cost gas and did nothing.
const REFUSED_PAUSE: Duration = Duration::from_secs(3600);

/// A peer's own node, as the reporter reads it.
pub trait EvidenceSource: Send + Sync {
    /// The evidence that it holds, which it has verified.
    fn evidence(&self) -> impl Future<Output = Result<Vec<Evidence>, SourceError>> + Send;

    /// The certificate of its final block at a height; `None` while there is none.
    fn certificate(&self, height: u64) -> impl Future<Output = Result<Option<Certificate>, SourceError>> + Send;
}

/// How a reporter paces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReporterOptions {
    /// How often the chain and the node are looked at.
    pub poll: Duration,
    /// How long each validator has for a report before the next one makes it.
    pub takeover: Duration,
}

impl ReporterOptions {
    /// What suits a network. A report is two transactions, so it takes longer than a relayer's step.
    pub fn for_network(network: &Network) -> Self {
        let takeover = Duration::from_secs(if network.is_local() { 4 } else { 60 });
        Self { poll: network.poll_interval(), takeover }
    }
}

/// What a reporter has done, as far as this process goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReporterStatus {
    /// Contradictions that it knows.
    pub known: u64,
    /// Those that it reported itself.
    pub reported: u64,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReporterError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the node: {0}")]
    Rpc(#[from] TransportError),
    #[error("the ledger: {0}")]
    Source(SourceError),
}

/// A contradiction, and when its report is tried next.
#[derive(Debug)]
struct Case {
    proof: Proof,
    since: Instant,
    failures: u32,
    retry_at: Instant,
}

/// A block that somebody has posted: its height, its hash, its view, and the transaction.
type Posted = (u64, B256, u64, B256);

/// Reports contradictions for one peer.
#[derive(Debug)]
pub struct Reporter<S> {
    account: Account,
    registry: Address,
    source: S,
    options: ReporterOptions,
    domain: Option<Domain>,
    /// The first block of the settlement chain whose events have not been read.
    next_block: Option<u64>,
    /// Posted blocks that are to be compared once the ledger has got there: how often it had not, and when it is asked again.
    open: BTreeMap<Posted, (u32, Instant)>,
    /// Posted blocks that were compared, with the block of the settlement chain that they were in.
    compared: BTreeMap<Posted, u64>,
    /// By the id of the evidence.
    cases: BTreeMap<B256, Case>,
    status: watch::Sender<ReporterStatus>,
}

impl<S: EvidenceSource> Reporter<S> {
    /// A reporter that signs with `account`.
    pub fn new(account: Account, registry: Address, source: S, options: ReporterOptions) -> Self {
        Self {
            account,
            registry,
            source,
            options,
            domain: None,
            next_block: None,
            open: BTreeMap::new(),
            compared: BTreeMap::new(),
            cases: BTreeMap::new(),
            status: watch::Sender::default(),
        }
    }

    /// Follows what it has done.
    pub fn status(&self) -> watch::Receiver<ReporterStatus> {
        self.status.subscribe()
    }

    /// Works until it is dropped, through any failure of the node, the ledger and other peers.
    pub async fn run(self) -> Infallible {
        forever(self).await
    }

    fn take_up(&mut self, proof: Proof) {
        let now = Instant::now();
        self.cases.entry(proof.id()).or_insert_with(|| Case { proof, since: now, failures: 0, retry_at: now });
        let known = self.cases.len() as u64;
        self.status.send_if_modified(|status| std::mem::replace(&mut status.known, known) != known);
    }

    /// Compares what was posted since the last pass with the ledger.
    async fn read_posted(&mut self) -> Result<(), ReporterError> {
        let chain = self.account.chain().clone();
        let head = retrying(|| async { chain.provider().get_block_number().await }).await?;
        let from = self.next_block.map_or(head.saturating_sub(LOOKBACK), |next| next.saturating_sub(TAIL));
        let read = |event: ResultRegistry::Finalized, block, tx| {
            Some(((event.height, event.blockHash, event.view_, tx), block))
        };
        for (posted, block) in chain.events(self.registry, from..=head.max(from), None, read).await? {
            if self.compared.insert(posted, block).is_none() {
                self.open.insert(posted, (0, Instant::now()));
            }
        }
        self.next_block = Some(head + 1);
        self.compared.retain(|_, block| *block + 2 * TAIL > head);
        while self.open.len() > MOST_OPEN {
            self.open.pop_first();
        }
        let due: Vec<_> = self.open.iter().filter(|(_, (_, at))| *at <= Instant::now()).map(|(one, _)| *one).collect();
        for posted in due {
            match self.source.certificate(posted.0).await.map_err(ReporterError::Source)? {
                Some(own) if own.block_hash != posted.1 => self.compare(&own, posted).await?,
                Some(_) => {}
                None => {
                    if let Some((tries, at)) = self.open.get_mut(&posted) {
                        *tries += 1;
                        *at = Instant::now() + backoff(self.options.poll, *tries, REPORTED_PAUSE);
                    }
                    continue;
                }
            }
            self.open.remove(&posted);
        }
        Ok(())
    }

    /// Takes up what two certificates for one height show.
    async fn compare(&mut self, own: &Certificate, (height, hash, view, tx): Posted) -> Result<(), ReporterError> {
        let chain = self.account.chain().clone();
        tracing::error!(height, posted = %hash, own = %own.block_hash, %tx, "the registry was told of another block than the ledger has");
        let sent = retrying(|| chain.provider().get_transaction_by_hash(tx)).await?;
        let posted = |call: &ResultRegistry::finalizeCall| {
            (call.view_, call.header.height, keccak256(call.header.abi_encode())) == (view, height, hash)
        };
        let Some(call) = sent.and_then(|sent| finalize_in(sent.input(), posted)) else {
            tracing::warn!(height, %tx, "the certificate is not in the transaction as it was posted, and was not looked at");
            return Ok(());
        };
        let domain = match self.domain {
            Some(domain) => domain,
            None => {
                let network_id = chain.read(self.registry, &ResultRegistry::networkIdCall {}).await?;
                *self.domain.insert(Domain::new(network_id, chain.chain_id()))
            }
        };
        match Contradiction::of_commits(own, (hash, view, Bytes::clone(&call.certificate)), &domain) {
            Ok(contradiction) => self.take_up(contradiction.into()),
            Err(error @ NoContradiction::OtherSlot) => {
                tracing::warn!(height, own = own.view, view, %error, "no evidence")
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// How many come before this peer in reporting a proof; `None` if it is accused itself, or nobody is.
    async fn rank(&self, proof: &Proof) -> Result<Option<u32>, ReportError> {
        let own = self.account.address();
        let set = ResultRegistry::validatorsOfCall { epoch_: proof.epoch() };
        let set = self.account.chain().read(self.registry, &set).await?;
        let accused = proof.accused(&set);
        Ok((!accused.is_empty() && !accused.contains(&own)).then(|| rank(own, &set, &accused, proof.id())))
    }

    /// Makes a report if it is this peer's turn.
    async fn advance(&mut self, id: B256) -> Result<(), ReporterError> {
        let Some(case) = self.cases.get(&id) else { return Ok(()) };
        let step = async {
            let rank = match self.rank(&case.proof).await? {
                Some(rank) => rank,
                None => return Ok(None),
            };
            if case.since.elapsed() < self.options.takeover * rank {
                return Ok(Some(None));
            }
            report(&self.account, self.registry, &case.proof).await.map(|record| Some(Some(record)))
        };
        let done: Result<_, ReportError> = step.await;
        let poll = self.options.poll;
        let Some(case) = self.cases.get_mut(&id) else { return Ok(()) };
        let pause = match done {
            // Not its turn yet.
            Ok(Some(None)) => poll,
            Ok(Some(Some(record))) => {
                case.failures = 0;
                if let Some(record) = record {
                    let (tx, gas) = (record.tx, record.gas_used.unwrap_or(0));
                    tracing::warn!(evidence = %id, %tx, gas, "reported validators that contradicted themselves");
                    self.status.send_modify(|status| status.reported += 1);
                }
                REPORTED_PAUSE
            }
            Ok(None) => REPORTED_PAUSE,
            Err(error) => {
                case.failures += 1;
                if case.failures == 1 || case.failures.is_multiple_of(10) {
                    tracing::warn!(evidence = %id, tries = case.failures, %error, "a report has to wait");
                }
                let is_refusal = matches!(&error, ReportError::Send(error) if error.revert().is_some());
                let has_cost_gas = matches!(&error, ReportError::Send(SendError::Reverted { .. }));
                let start = if has_cost_gas { REPORTED_PAUSE } else { poll };
                backoff(start, case.failures, if is_refusal { REFUSED_PAUSE } else { FAILED_PAUSE })
            }
        };
        case.retry_at = Instant::now() + pause;
        Ok(())
    }
}

impl<S: EvidenceSource> Passes for Reporter<S> {
    const WHAT: &'static str = "looking for contradictions";
    type Error = ReporterError;

    fn poll(&self) -> Duration {
        self.options.poll
    }

    async fn pass(&mut self) -> Result<bool, ReporterError> {
        for evidence in self.source.evidence().await.map_err(ReporterError::Source)? {
            self.take_up(evidence.into());
        }
        // What is known is reported even where nothing new can be read.
        let read = self.read_posted().await;
        let due = self.cases.iter().filter(|(_, case)| case.retry_at <= Instant::now());
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.advance(id).await?;
        }
        read.map(|()| false)
    }
}

/// The call in calldata that posted a block: all of it, or a part where another contract made the call, as a wallet does.
fn finalize_in(
    input: &[u8],
    posted: impl Fn(&ResultRegistry::finalizeCall) -> bool,
) -> Option<ResultRegistry::finalizeCall> {
    let begins = |window: &[u8]| window == ResultRegistry::finalizeCall::SELECTOR;
    let places = input.windows(4).enumerate().filter(|(_, window)| begins(window)).map(|(place, _)| place);
    let mut calls =
        places.take(MOST_CALLS).filter_map(|place| ResultRegistry::finalizeCall::abi_decode(&input[place..]).ok());
    calls.find(posted)
}

/// How many of a set come before an account in reporting evidence: those who are not accused, beginning with another one for
/// each evidence. Others than validators come last.
fn rank(own: Address, set: &[Address], accused: &[Address], evidence: B256) -> u32 {
    let others: Vec<_> = set.iter().filter(|validator| !accused.contains(validator)).collect();
    let count = others.len().max(1);
    let first = usize::from(evidence[31]) % count;
    let place = others.iter().position(|validator| **validator == own);
    place.map_or(count, |place| (place + count - first) % count) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duty_goes_round_by_the_evidence_among_those_who_are_not_accused() {
        let set: Vec<_> = (1..=5).map(Address::repeat_byte).collect();
        let accused = [set[1]];
        for evidence in (0..8).map(B256::with_last_byte) {
            let others = set.iter().filter(|validator| !accused.contains(validator));
            let mut ranks: Vec<_> = others.map(|own| rank(*own, &set, &accused, evidence)).collect();
            assert_eq!(ranks[usize::from(evidence[31]) % 4], 0);
            ranks.sort();
            assert_eq!(ranks, [0, 1, 2, 3]);
            assert_eq!(rank(Address::ZERO, &set, &accused, evidence), 4);
        }
    }
}
