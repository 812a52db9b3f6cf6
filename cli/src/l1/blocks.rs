//! Final blocks with their content, each verified against the genesis: from peers that answer, or from their stores.

use anyhow::{Context, Result, bail, ensure};
use dtn_api::ApiClient;
use dtn_ledger::Ledger;
use dtn_primitives::{B256, Block, Certificate, Domain, Genesis, Header, Transaction, ValidatorSet};
use futures::{Stream, StreamExt, stream};
use jsonrpsee::http_client::HttpClient;
use serde::Serialize;

use super::{client::Client, home::Home, survey::Survey};

/// How many blocks are asked for at once.
const UNDER_WAY: usize = 16;

/// What a final block has to agree with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verifier<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) validators: &'a ValidatorSet,
}

impl Verifier<'_> {
    /// Succeeds only if a quorum signed this header, at this height.
    pub(crate) fn header(&self, height: u64, header: &Header, certificate: &Certificate) -> Result<()> {
        ensure!(header.height == height, "block {} came where {height} is asked for", header.height);
        ensure!(
            certificate.height == height && certificate.block_hash == header.hash(),
            "the certificate of block {height} is for another block"
        );
        certificate
            .verify(self.domain, self.validators)
            .with_context(|| format!("the certificate of block {height} does not hold"))
    }

    /// Succeeds only if a quorum signed this header, at this height, and it names the transactions with this root.
    pub(crate) fn block(&self, height: u64, header: &Header, certificate: &Certificate, root: B256) -> Result<()> {
        self.header(height, header, certificate)?;
        ensure!(root == header.transactions_root, "the transactions of block {height} are not those of its header");
        Ok(())
    }
}

/// A block that a quorum made final.
#[derive(Debug, Serialize)]
pub(crate) struct FinalBlock {
    pub(crate) hash: B256,
    /// Of its transactions, in order.
    pub(crate) transaction_hashes: Vec<B256>,
    #[serde(flatten)]
    pub(crate) block: Block,
    #[serde(skip)]
    pub(crate) certificate: Certificate,
    /// How long it took from the proposal to finality, in microseconds, where the peer that was asked remembers it.
    #[serde(skip)]
    pub(crate) latency_us: Option<u64>,
}

/// Where final blocks are read.
pub(crate) struct Blocks {
    pub(crate) genesis: Genesis,
    domain: Domain,
    pub(crate) validators: ValidatorSet,
    source: Source,
}

enum Source {
    /// Any of these.
    Peers(Vec<HttpClient>),
    /// This one, whatever the others say.
    Peer(HttpClient),
    Store(Box<Ledger>),
}

impl Blocks {
    /// Reads what the peers of a network serve that answer; if none does and their stores are here, those. With the
    /// number of a peer, only that one's.
    pub(crate) async fn open(home: &Home, peer: Option<usize>) -> Result<Self> {
        let (peers, genesis) = (home.peers()?, home.genesis()?);
        ensure!(
            peer.is_none_or(|peer| peer < peers.len()),
            "there is no peer {}: they are 0 to {}",
            peer.unwrap_or_default(),
            peers.len() - 1
        );
        let asked = peer.map_or(0..peers.len(), |peer| peer..peer + 1);
        let mut answering = Survey::of(home)?.answering(asked.clone()).await;
        let stores: Vec<_> = peers[asked].iter().map(|peer| peer.store()).filter(|store| store.is_file()).collect();
        let source = if peer.is_some()
            && let Some(one) = answering.pop()
        {
            Source::Peer(one)
        } else if !answering.is_empty() || stores.is_empty() {
            Source::Peers(answering)
        } else {
            let opened = stores.iter().map(|store| Ok(Ledger::open(store, genesis.clone())?));
            let opened = opened.collect::<Result<Vec<_>>>()?;
            let highest = opened.into_iter().max_by_key(|ledger| ledger.tip().height);
            Source::Store(Box::new(highest.context("there is no store")?))
        };
        Ok(Self { domain: genesis.domain(), validators: genesis.validator_set()?, genesis, source })
    }

    /// The height of the highest block that is known to be final.
    pub(crate) async fn tip(&self, home: &Home) -> Result<u64> {
        match &self.source {
            Source::Store(ledger) => Ok(ledger.tip().height),
            Source::Peer(peer) => Ok(peer.status().await.context("the peer does not answer")?.height),
            Source::Peers(_) => Client::open(home)?.height().await,
        }
    }

    /// The block at a height; `None` if it is not final yet.
    pub(crate) async fn at(&self, height: u64) -> Result<Option<FinalBlock>> {
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
    ) -> Result<FinalBlock> {
        let hash = |transaction: &Transaction| transaction.hash(&self.domain);
        let transaction_hashes: Vec<_> = block.transactions.iter().map(hash).collect();
        let root = Block::transactions_root_of(transaction_hashes.iter().copied().zip(&block.transactions));
        let verifier = Verifier { domain: &self.domain, validators: &self.validators };
        verifier.block(height, &block.header, &certificate, root)?;
        Ok(FinalBlock { hash: certificate.block_hash, transaction_hashes, block, certificate, latency_us })
    }

    /// All blocks up to a height that is final, in order. One that nobody keeps ends it with an error.
    pub(crate) fn up_to(&self, tip: u64) -> impl Stream<Item = Result<FinalBlock>> {
        let at = move |height| async move {
            match self.at(height).await? {
                Some(block) => Ok(block),
                None => bail!(
                    "block {height} of {tip} is nowhere to be found, and with it the races in it: no peer that answers \
                     keeps it any more (`retain_blocks = 0` in node.toml keeps all blocks of a peer that has them)"
                ),
            }
        };
        stream::iter(1..=tip).map(at).buffered(UNDER_WAY)
    }
}
