//! Final blocks with their content, each verified against the genesis: from peers that answer, or from their stores.

use dtn_api::ApiClient;
use dtn_ledger::Ledger;
use dtn_primitives::{B256, Block, Certificate, Genesis, Transaction, ValidatorSet};
use futures::{Stream, StreamExt, stream};
use jsonrpsee::http_client::HttpClient;
use serde::Serialize;

use crate::{Client, ClientError};

/// How many blocks are asked for at once.
const UNDER_WAY: usize = 16;

/// A block that a quorum made final.
#[derive(Debug, Serialize)]
pub struct FinalBlock {
    /// Its hash.
    pub hash: B256,
    /// The hashes of its transactions, in order.
    pub transaction_hashes: Vec<B256>,
    /// The block.
    #[serde(flatten)]
    pub block: Block,
    /// Its commit certificate.
    #[serde(skip)]
    pub certificate: Certificate,
    /// How long it took from the proposal to finality, in microseconds, where the peer that was asked remembers it.
    #[serde(skip)]
    pub latency_us: Option<u64>,
}

/// Where final blocks are read.
#[derive(Debug)]
pub struct Blocks {
    client: Client,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Any of these.
    Peers(Vec<HttpClient>),
    /// This one, whatever the others say.
    Peer(HttpClient),
    Store(Box<Ledger>),
}

impl Blocks {
    /// Those that any of some peers serves; the client's others are asked how high the network is.
    pub fn of_peers(client: Client, peers: Vec<HttpClient>) -> Self {
        Self { client, source: Source::Peers(peers) }
    }

    /// Those that one peer serves, whatever the others say.
    pub fn of_peer(client: Client, peer: HttpClient) -> Self {
        Self { client, source: Source::Peer(peer) }
    }

    /// Those in a store that no peer has open.
    pub fn of_store(client: Client, store: Ledger) -> Self {
        Self { client, source: Source::Store(Box::new(store)) }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The network.
    pub fn genesis(&self) -> &Genesis {
        &self.client.genesis
    }

    /// Who validates now.
    pub fn validators(&self) -> &ValidatorSet {
        self.client.validators()
    }

    /// The height of the highest block that is known to be final.
    pub async fn tip(&self) -> Result<u64, ClientError> {
        match &self.source {
            Source::Store(ledger) => Ok(ledger.tip().height),
            Source::Peer(peer) => Ok(peer.status().await.map_err(ClientError::Silent)?.height),
            Source::Peers(_) => self.client.height().await,
        }
    }

    /// The block at a height; `None` if it is not final yet.
    pub async fn at(&self, height: u64) -> Result<Option<FinalBlock>, ClientError> {
        let peers = match &self.source {
            Source::Store(ledger) => {
                let found = ledger.block(height)?.zip(ledger.certificate(height)?);
                return found.map(|(block, certificate)| self.verified(height, block, certificate, None)).transpose();
            }
            Source::Peers(peers) => peers.as_slice(),
            Source::Peer(peer) => std::slice::from_ref(peer),
        };
        let mut wrong = None;
        for peer in peers {
            let (Ok(Some(view)), Ok(Some(certified))) = (peer.block(height).await, peer.certificate(height).await)
            else {
                continue;
            };
            match self.verified(height, view.block, certified.certificate, certified.latency_us) {
                Ok(block) => return Ok(Some(block)),
                Err(error) => wrong = Some(error),
            }
        }
        wrong.map_or(Ok(None), Err)
    }

    fn verified(
        &self,
        height: u64,
        block: Block,
        certificate: Certificate,
        latency_us: Option<u64>,
    ) -> Result<FinalBlock, ClientError> {
        let hash = |transaction: &Transaction| transaction.hash(&self.client.domain);
        let transaction_hashes: Vec<_> = block.transactions.iter().map(hash).collect();
        let root = Block::transactions_root_of(transaction_hashes.iter().copied().zip(&block.transactions));
        self.client.verifier().block(height, &block.header, &certificate, root)?;
        Ok(FinalBlock { hash: certificate.block_hash, transaction_hashes, block, certificate, latency_us })
    }

    /// All blocks up to a height that is final, in order. One that nobody keeps ends it with an error.
    pub fn up_to(&self, tip: u64) -> impl Stream<Item = Result<FinalBlock, ClientError>> {
        let at = move |height| async move {
            match self.at(height).await? {
                Some(block) => Ok(block),
                None => Err(ClientError::Gone(height)),
            }
        };
        stream::iter(1..=tip).map(at).buffered(UNDER_WAY)
    }
}
