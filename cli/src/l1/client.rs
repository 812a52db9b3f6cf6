//! A client of the L1: signs and hands in transactions, and believes an answer that f + 1 peers give alike.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use dtn_node::{ApiClient, CertifiedHeader};
use dtn_primitives::{B256, Domain, Genesis, Order, Payload, SecretKey, Transaction, ValidatorSet};
use dtn_settlement::keystore::{KeyInfo, Password};
use futures::{StreamExt, stream::FuturesUnordered};
use jsonrpsee::{
    core::ClientError,
    http_client::{HttpClient, HttpClientBuilder},
};

use super::home::Home;

/// How long a peer may take to answer, beyond what it was asked to wait.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(70);

/// How often an order is handed in anew while it is not final.
const RESUBMIT: Duration = Duration::from_secs(5);

pub(crate) fn api_client(address: SocketAddr) -> Result<HttpClient> {
    HttpClientBuilder::default()
        .request_timeout(REQUEST_TIMEOUT)
        .build(format!("http://{address}"))
        .with_context(|| format!("{address} is not an API address"))
}

/// What a client knows: the genesis, its key and where the peers answer.
pub(crate) struct Client {
    pub(crate) genesis: Genesis,
    pub(crate) domain: Domain,
    pub(crate) validators: ValidatorSet,
    pub(crate) peers: Vec<HttpClient>,
}

/// An order that is final.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Accepted {
    pub(crate) transaction: B256,
    pub(crate) height: u64,
    pub(crate) block: B256,
    /// How many peers had said so when the client believed it.
    pub(crate) replies: usize,
}

impl Client {
    pub(crate) fn open(home: &Home) -> Result<Self> {
        let genesis = home.genesis()?;
        let peers = home.client()?.peers.into_iter().map(api_client).collect::<Result<_>>()?;
        Ok(Self { domain: genesis.domain(), validators: genesis.validator_set()?, genesis, peers })
    }

    /// The key that signs for this network's client.
    pub(crate) fn key(home: &Home) -> Result<SecretKey> {
        let config = home.client()?;
        let file = home.path().join(config.password_file);
        let password =
            Password::from_file(&file).with_context(|| format!("cannot read the password file {}", file.display()))?;
        Ok(KeyInfo::at(&home.path().join(config.keystore))?.unlock(&password)?)
    }

    /// Numbers and signs orders, after those of the account that are final already.
    pub(crate) async fn sign(&self, orders: Vec<Order>, key: &SecretKey) -> Result<Vec<Transaction>> {
        let next = self.next_nonce(key).await?;
        let sign = |(order, nonce): (Order, u64)| {
            let order = Order { nonce, ..order };
            Transaction::sign(Payload::Order(order), key, &self.domain)
        };
        Ok(orders.into_iter().zip(next..).map(sign).collect())
    }

    /// The next nonce of an account, as the (f + 1)-highest answer states it: a correct peer is at or above it.
    async fn next_nonce(&self, key: &SecretKey) -> Result<u64> {
        let account = key.address();
        let asked = self.peers.iter().map(async |peer| peer.nonce(account).await.ok());
        let mut nonces: Vec<_> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        nonces.sort_unstable_by(|a, b| b.cmp(a));
        nonces.get(self.validators.max_faulty()).copied().ok_or_else(|| self.too_few(nonces.len()))
    }

    fn too_few(&self, answers: usize) -> anyhow::Error {
        let need = self.validators.max_faulty() + 1;
        anyhow!(
            "{answers} of {} peers answer, fewer than the {need} that convince; is the network up (`dtn-cli l1 status`)?",
            self.peers.len()
        )
    }

    /// Hands in a transaction and waits until f + 1 peers sign the same reply (OSDI '99, §4.1). Hands it in again to
    /// all peers now and then, as the paper's client does when the primary does not answer.
    pub(crate) async fn execute(&self, transaction: &Transaction) -> Result<Accepted> {
        let hash = transaction.hash(&self.domain);
        self.submit(transaction).await?;
        loop {
            if let Some(accepted) = self.replies(hash, RESUBMIT).await? {
                return Ok(accepted);
            }
            for peer in &self.peers {
                // Its outcome is in the replies; a peer that has it already refuses it.
                peer.submit(transaction.clone()).await.ok();
            }
        }
    }

    /// Hands a transaction to the first peer that takes it.
    async fn submit(&self, transaction: &Transaction) -> Result<()> {
        let mut unreachable = 0;
        for peer in &self.peers {
            match peer.submit(transaction.clone()).await {
                Ok(_) => return Ok(()),
                Err(ClientError::Call(error)) if error.code() == dtn_node::NOT_ADMITTED => {
                    bail!("the network refuses the transaction: {}", error.message());
                }
                Err(_) => unreachable += 1,
            }
        }
        Err(self.too_few(self.peers.len() - unreachable))
    }

    /// Waits for f + 1 matching signed replies.
    async fn replies(&self, transaction: B256, wait: Duration) -> Result<Option<Accepted>> {
        let need = self.validators.max_faulty() + 1;
        let wait_ms = wait.as_millis() as u64;
        let asked = self.peers.iter().map(async |peer| peer.reply(transaction, wait_ms).await.ok().flatten());
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut said: HashMap<(u64, B256), Vec<u16>> = HashMap::new();
        while let Some(reply) = asked.next().await {
            let Some(reply) = reply.filter(|reply| reply.transaction == transaction) else { continue };
            if reply.verify(&self.domain, &self.validators).is_err() {
                continue;
            }
            let alike = said.entry((reply.height, reply.block_hash)).or_default();
            if !alike.contains(&reply.validator.0) {
                alike.push(reply.validator.0);
            }
            if alike.len() >= need {
                let (height, block, replies) = (reply.height, reply.block_hash, alike.len());
                return Ok(Some(Accepted { transaction, height, block, replies }));
            }
        }
        Ok(None)
    }

    /// A final header whose certificate holds, from the first peer that has it. The signatures convince, not the peer.
    pub(crate) async fn certificate(&self, height: u64) -> Result<CertifiedHeader> {
        let mut answers = 0;
        for peer in &self.peers {
            let Ok(answer) = peer.certificate(height).await else { continue };
            answers += 1;
            let Some(certified) = answer else { continue };
            let hash = certified.header.hash();
            ensure!(
                certified.header.height == height && certified.certificate.block_hash == hash,
                "a peer answered with another block"
            );
            certified
                .certificate
                .verify(&self.domain, &self.validators)
                .with_context(|| format!("a peer sent a certificate for height {height} that does not hold"))?;
            return Ok(certified);
        }
        if answers == 0 { Err(self.too_few(0)) } else { bail!("there is no final block at height {height} yet") }
    }
}
