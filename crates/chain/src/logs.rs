//! What contracts have logged: read in ranges as wide as the nodes allow, and each block once.
//!
//! Public nodes look through so many blocks at a time, each through another number and with another refusal. So whatever is
//! refused is asked again for half as many blocks. What was read is remembered in a folder, if there is one, with the hash of
//! the last block: on a chain on which that block is another one, nothing is remembered.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
    transports::{RpcError, TransportError, TransportErrorKind},
};
use serde::{Deserialize, Serialize};

use crate::{
    connection::{Chain, ReadError, retrying},
    endpoints::NotANode,
};

/// For how many blocks a node is asked at first. Public ones refuse to look through many more.
const WIDEST: u64 = 5_000;

/// The pause after a refusal: some are for the rate of questions.
const PAUSE: Duration = Duration::from_millis(100);

/// So many logs of one event of one contract are remembered; what comes later is read each time.
const MOST_REMEMBERED: usize = 50_000;

/// The longest file of remembered logs, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// How a chain's logs are read: what its nodes allow, as far as that is known, and where to remember what was read.
#[derive(Debug)]
pub(crate) struct LogReader {
    width: AtomicU64,
    folder: Option<PathBuf>,
}

impl LogReader {
    /// One that remembers in a folder.
    pub(crate) fn remembering(folder: PathBuf) -> Self {
        Self { folder: Some(folder), ..Self::default() }
    }
}

impl Default for LogReader {
    fn default() -> Self {
        Self { width: AtomicU64::new(WIDEST), folder: None }
    }
}

/// What was read of one event of one contract.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    from: u64,
    to: u64,
    /// Of the block `to`.
    hash: B256,
    logs: Vec<Log>,
}

impl Chain {
    /// What a contract has logged in these blocks, in its order; with `topic`, only of that first indexed argument. `read`
    /// takes an event with its block and its transaction, and gives `None` for what the contract cannot have logged.
    pub async fn events<E: SolEvent, T>(
        &self,
        contract: Address,
        blocks: RangeInclusive<u64>,
        topic: Option<B256>,
        read: impl Fn(E, u64, B256) -> Option<T>,
    ) -> Result<Vec<T>, ReadError> {
        let absent = || {
            let network = self.network().name.clone();
            ReadError::NotTheContract { contract, network, function: "events" }
        };
        let event = |log: Log| {
            let event = E::decode_log(&log.inner).ok().zip(log.block_number).zip(log.transaction_hash);
            event.and_then(|((event, block), tx)| read(event.data, block, tx)).ok_or_else(absent)
        };
        self.logs::<E>(contract, blocks, topic).await?.into_iter().map(event).collect()
    }

    /// The same from a block on to the head, as the logs are.
    pub async fn logs_since<E: SolEvent>(
        &self,
        contract: Address,
        from: u64,
        topic: Option<B256>,
    ) -> Result<Vec<Log>, TransportError> {
        let head = retrying(|| async { self.provider().get_block_number().await }).await?;
        self.logs::<E>(contract, from..=head.max(from), topic).await
    }

    /// Through how many blocks a node looks at once, tried on the last of them.
    pub(crate) async fn log_range(&self) -> Result<u64, TransportError> {
        let head = retrying(|| async { self.provider().get_block_number().await }).await?;
        let filter = Filter::new().address(Address::ZERO);
        self.read_logs(&filter, head.saturating_sub(WIDEST - 1), head, &mut Vec::new()).await.1?;
        Ok(self.log_reader().width.load(Ordering::Relaxed))
    }

    async fn logs<E: SolEvent>(
        &self,
        contract: Address,
        blocks: RangeInclusive<u64>,
        topic: Option<B256>,
    ) -> Result<Vec<Log>, TransportError> {
        let (from, to) = blocks.into_inner();
        let filter = Filter::new().address(contract).event_signature(E::SIGNATURE_HASH);
        let Some(folder) = &self.log_reader().folder else {
            let filter = match topic {
                Some(topic) => filter.topic1(topic),
                None => filter,
            };
            let mut logs = Vec::new();
            let (_, read) = self.read_logs(&filter, from, to, &mut logs).await;
            return read.map(|()| logs);
        };
        // All of them, whichever are wanted: then each block is looked through once.
        let name = format!("{}-{contract}-{}.json", self.chain_id(), &E::SIGNATURE_HASH.to_string()[2..10]);
        let file = folder.join(name);
        let known = self.remembered(&file, from).await;
        let (mut logs, next) = known.map_or_else(|| (Vec::new(), from), |known| (known.logs, known.to + 1));
        let (reached, read) = self.read_logs(&filter, next, to, &mut logs).await;
        if let Some(reached) = reached.filter(|_| logs.len() <= MOST_REMEMBERED) {
            // What is read is not lost if the rest is refused.
            self.remember(&file, from, reached, &logs).await;
        }
        read?;
        logs.retain(|log| {
            let is_wanted = topic.is_none_or(|topic| log.topics().get(1) == Some(&topic));
            is_wanted && log.block_number.is_some_and(|block| (from..=to).contains(&block))
        });
        Ok(logs)
    }

    /// Reads on, and says how far it came, if anywhere.
    async fn read_logs(
        &self,
        filter: &Filter,
        from: u64,
        to: u64,
        logs: &mut Vec<Log>,
    ) -> (Option<u64>, Result<(), TransportError>) {
        let width = &self.log_reader().width;
        let (mut next, mut reached) = (from, None);
        while next <= to {
            let wide = width.load(Ordering::Relaxed);
            let last = next.saturating_add(wide - 1).min(to);
            let range = filter.clone().from_block(next).to_block(last);
            match asking(|| self.provider().get_logs(&range)).await {
                Ok(found) => {
                    logs.extend(found);
                    reached = Some(last);
                    let Some(after) = last.checked_add(1) else { break };
                    next = after;
                }
                Err(error) if is_refusal(&error) && last > next => {
                    let narrower = (last - next + 1).div_ceil(2);
                    tracing::debug!(%error, blocks = narrower, "a node refuses; asking for fewer blocks");
                    width.fetch_min(narrower, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return (reached, Err(error)),
            }
        }
        (reached, Ok(()))
    }

    /// What is remembered from a block on, if it is of this chain.
    async fn remembered(&self, file: &Path, from: u64) -> Option<Remembered> {
        let known: Remembered = dtn_files::read_json(file, MOST_BYTES).ok()?;
        let is_whole = known.from <= from && known.to >= from;
        (is_whole && self.hash_of(known.to).await == Some(known.hash)).then_some(known)
    }

    async fn remember(&self, file: &Path, from: u64, to: u64, logs: &[Log]) {
        let Some(hash) = self.hash_of(to).await else { return };
        let remembered = Remembered { from, to, hash, logs: logs.to_vec() };
        let written = dtn_files::make_parent(file).and_then(|()| dtn_files::write_json(file, &remembered));
        if let Err(error) = written {
            tracing::debug!(%error, "what was read of the chain is not remembered");
        }
    }

    async fn hash_of(&self, block: u64) -> Option<B256> {
        let block = retrying(|| self.provider().get_block_by_number(block.into())).await.ok()??;
        Some(block.header.hash)
    }
}

/// Repeats a request that gets lost on its way; a refusal is an answer.
async fn asking<T, F, Fut>(mut request: F) -> Result<T, TransportError>
where
    F: FnMut() -> Fut,
    Fut: IntoFuture<Output = Result<T, TransportError>>,
{
    let asked = || {
        let asked = request().into_future();
        async move {
            match asked.await {
                Err(error) if is_refusal(&error) => Ok(Err(error)),
                answered => answered.map(Ok),
            }
        }
    };
    retrying(asked).await?
}

/// Whether a node has said no, in whatever words.
fn is_refusal(error: &TransportError) -> bool {
    match error {
        RpcError::ErrorResp(_) => true,
        // Some say it by a status of HTTP: too large, bad request.
        RpcError::Transport(TransportErrorKind::Custom(other)) => {
            other.downcast_ref::<NotANode>().is_some_and(|other| (400..500).contains(&other.status))
        }
        _ => false,
    }
}
