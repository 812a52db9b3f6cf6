//! A client of the L1: signs and hands in transactions, and believes an answer that f + 1 peers give alike.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use dtn_ledger::AdmissionError;
use dtn_node::{ApiClient, CertifiedHeader};
use dtn_primitives::{
    Answer, B256, Domain, Genesis, Order, Payload, Question, Round, SecretKey, Transaction, ValidatorSet,
};
use dtn_settlement::keystore::{KeyInfo, Password};
use futures::{
    StreamExt, TryStreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use jsonrpsee::{
    core::ClientError,
    http_client::{HttpClient, HttpClientBuilder},
};
use tokio::time::{Instant, sleep, timeout};

use super::{blocks::Verifier, home::Home};

/// How many orders are under way at once. Far less than the nonces that a mempool lets an account run ahead.
const UNDER_WAY: usize = 32;

/// How often an order is handed in anew while it is not final.
const RESUBMIT: Duration = Duration::from_secs(5);

/// How long a peer may take to answer; more than it is asked to wait.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a peer may take to take an order before another is asked.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(3);

/// The pause before peers that did not answer are asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long fewer than f + 1 peers may answer.
const SILENCE: Duration = Duration::from_secs(30);

/// How long the chain may stand still while an order waits.
const STANDSTILL: Duration = Duration::from_secs(120);

/// How long an order may wait at all.
const PATIENCE: Duration = Duration::from_secs(900);

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

/// An answer to a read-only question.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Read {
    pub(crate) answer: Answer,
    /// No peer that gave it was below this height.
    pub(crate) height: u64,
    /// How many peers signed it.
    pub(crate) answers: usize,
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

    /// What final blocks of this network have to agree with.
    pub(crate) fn verifier(&self) -> Verifier<'_> {
        Verifier { domain: &self.domain, validators: &self.validators }
    }

    /// How many peers must say the same to be believed: one of them is correct.
    fn convincing(&self) -> usize {
        self.validators.max_faulty() + 1
    }

    /// The (f + 1)-highest of the peers' answers: a correct peer is at or above it.
    fn believed(&self, answers: impl IntoIterator<Item = Option<u64>>) -> Result<u64> {
        let mut answers: Vec<_> = answers.into_iter().flatten().collect();
        answers.sort_unstable_by(|a, b| b.cmp(a));
        answers.get(self.convincing() - 1).copied().ok_or_else(|| self.too_few(answers.len()))
    }

    /// The next nonce of an account.
    pub(crate) async fn next_nonce(&self, key: &SecretKey) -> Result<u64> {
        let account = key.address();
        let nonce = async |peer: &HttpClient| peer.nonce(account).await.ok();
        self.believed(join_all(self.peers.iter().map(nonce)).await)
    }

    /// Asks all peers a read-only question until a quorum signs the same answer (OSDI '99, §5.1). Answers differ while
    /// some peers are a block ahead of others, so they are asked again for a while.
    pub(crate) async fn read(&self, question: Question) -> Result<Read> {
        let began = Instant::now();
        loop {
            let answers = join_all(self.peers.iter().map(|peer| peer.read(question))).await;
            let mut said: HashMap<Answer, HashMap<u16, u64>> = HashMap::new();
            for signed in answers.into_iter().flatten() {
                if signed.verify(&question, &self.domain, &self.validators).is_ok() {
                    said.entry(signed.answer).or_default().insert(signed.validator.0, signed.height);
                }
            }
            let answered: usize = said.values().map(HashMap::len).sum();
            let agreed = said.into_iter().find(|(_, by)| by.len() >= self.validators.quorum());
            if let Some((answer, by)) = agreed {
                let height = by.values().min().copied().unwrap_or_default();
                return Ok(Read { answer, height, answers: by.len() });
            }
            ensure!(
                began.elapsed() < SUBMIT_TIMEOUT,
                "{answered} of {} peers answered, and no quorum of {} alike; look at `dtn-cli l1 status`",
                self.peers.len(),
                self.validators.quorum()
            );
            sleep(PAUSE).await;
        }
    }

    /// The height that the network has reached.
    pub(crate) async fn height(&self) -> Result<u64> {
        let height = async |peer: &HttpClient| peer.status().await.ok().map(|status| status.height);
        self.believed(join_all(self.peers.iter().map(height)).await)
    }

    /// The number of the last round that was opened.
    pub(crate) async fn last_round(&self) -> Result<u64> {
        let last = async |peer: &HttpClient| peer.rounds().await.ok().map(|rounds| rounds.last);
        self.believed(join_all(self.peers.iter().map(last)).await)
    }

    /// A round as f + 1 peers know it; none while they differ, or if they have none.
    pub(crate) async fn round(&self, number: u64) -> Result<Option<Round>> {
        let answers = join_all(self.peers.iter().map(|peer| peer.round(number))).await;
        let answers: Vec<_> = answers.into_iter().filter_map(Result::ok).collect();
        if answers.len() < self.convincing() {
            return Err(self.too_few(answers.len()));
        }
        let mut known = answers.iter().flatten();
        let convinces = |round: &&Round| answers.iter().flatten().filter(|it| it == round).count() >= self.convincing();
        Ok(known.find(convinces).cloned())
    }

    fn too_few(&self, answers: usize) -> anyhow::Error {
        let need = self.convincing();
        anyhow!(
            "{answers} of {} peers answer, fewer than the {need} that convince; is the network up (`dtn-cli l1 status`)?",
            self.peers.len()
        )
    }

    /// Executes transactions, some at a time, and gives the answers in their order. `done` is called after each.
    pub(crate) async fn execute_all(&self, transactions: &[Transaction], done: impl Fn()) -> Result<Vec<Accepted>> {
        let execute = |transaction| {
            let done = &done;
            async move {
                let accepted = self.execute(transaction).await?;
                done();
                anyhow::Ok(accepted)
            }
        };
        stream::iter(transactions).map(execute).buffered(UNDER_WAY).try_collect().await
    }

    /// Hands in a transaction and waits until f + 1 peers sign the same reply (OSDI '99, §4.1). Hands it in again to
    /// all peers now and then, as the paper's client does when the primary does not answer.
    async fn execute(&self, transaction: &Transaction) -> Result<Accepted> {
        let hash = transaction.hash(&self.domain);
        let began = Instant::now();
        let (mut heard, mut height, mut moved) = (began, 0, began);
        let mut refusals = self.submit(transaction, hash).await;
        loop {
            // Once it is final, peers refuse it as well: only a refusal without a reply is one.
            let refused = refusals.len() >= self.convincing();
            let (accepted, answers) = self.replies(hash, if refused { Duration::ZERO } else { RESUBMIT }).await;
            if let Some(accepted) = accepted {
                return Ok(accepted);
            }
            if refused && let Some(reason) = refusals.pop() {
                bail!("the network refuses the transaction: {reason}");
            }
            if answers >= self.convincing() {
                heard = Instant::now();
            } else {
                ensure!(heard.elapsed() < SILENCE, self.too_few(answers));
                sleep(PAUSE).await;
            }
            if let Ok(reached) = self.height().await
                && reached > height
            {
                (height, moved) = (reached, Instant::now());
            }
            ensure!(
                moved.elapsed() < STANDSTILL && began.elapsed() < PATIENCE,
                "order {hash} is not final after {} s; the network is at height {height} since {} s. Look at \
                 `dtn-cli l1 status` (a quorum must be connected) and at the peers' logs",
                began.elapsed().as_secs(),
                moved.elapsed().as_secs()
            );
            refusals = self.submit_to_all(transaction, hash).await;
        }
    }

    /// Hands a transaction to the first peer that takes it. The reasons of those that refused it if none did.
    async fn submit(&self, transaction: &Transaction, hash: B256) -> Vec<String> {
        let mut refusals = Vec::new();
        for peer in &self.peers {
            match submit_to(peer, transaction, hash).await {
                Outcome::Taken => return Vec::new(),
                Outcome::Refused(reason) => refusals.push(reason),
                Outcome::Silent => {}
            }
        }
        refusals
    }

    /// Hands a transaction to all peers. The reasons of those that refused it if none took it.
    async fn submit_to_all(&self, transaction: &Transaction, hash: B256) -> Vec<String> {
        let mut refusals = Vec::new();
        for outcome in join_all(self.peers.iter().map(|peer| submit_to(peer, transaction, hash))).await {
            match outcome {
                Outcome::Taken => return Vec::new(),
                Outcome::Refused(reason) => refusals.push(reason),
                Outcome::Silent => {}
            }
        }
        refusals
    }

    /// Waits for f + 1 matching signed replies. Says too how many peers answered, with a reply or without.
    async fn replies(&self, transaction: B256, wait: Duration) -> (Option<Accepted>, usize) {
        let wait_ms = wait.as_millis() as u64;
        let asked = self.peers.iter().map(async |peer| peer.reply(transaction, wait_ms).await);
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut said: HashMap<(u64, B256), Vec<u16>> = HashMap::new();
        let mut answers = 0;
        while let Some(answer) = asked.next().await {
            let Ok(reply) = answer else { continue };
            answers += 1;
            let Some(reply) = reply.filter(|reply| reply.transaction == transaction) else { continue };
            if reply.verify(&self.domain, &self.validators).is_err() {
                continue;
            }
            let alike = said.entry((reply.height, reply.block_hash)).or_default();
            if !alike.contains(&reply.validator.0) {
                alike.push(reply.validator.0);
            }
            if alike.len() >= self.convincing() {
                let (height, block, replies) = (reply.height, reply.block_hash, alike.len());
                return (Some(Accepted { transaction, height, block, replies }), answers);
            }
        }
        (None, answers)
    }

    /// A final header whose certificate holds, from the first peer that has it. The signatures convince, not the peer.
    pub(crate) async fn certificate(&self, height: u64) -> Result<CertifiedHeader> {
        let (mut answers, mut bad) = (0, None);
        for peer in &self.peers {
            let Ok(answer) = peer.certificate(height).await else { continue };
            answers += 1;
            let Some(certified) = answer else { continue };
            match self.verifier().header(height, &certified.header, &certified.certificate) {
                Ok(()) => return Ok(certified),
                Err(error) => bad = Some(error),
            }
        }
        match bad {
            Some(error) => Err(error),
            None if answers < self.convincing() => Err(self.too_few(answers)),
            None if self.height().await.is_ok_and(|reached| reached >= height) => {
                bail!("no peer keeps the block at height {height} any more (`retain_blocks` in node.toml)")
            }
            None => bail!("there is no final block at height {height} yet"),
        }
    }
}

/// What a peer made of a transaction.
enum Outcome {
    /// It has it, now or already.
    Taken,
    /// It does not admit it, for this reason.
    Refused(String),
    /// It does not answer.
    Silent,
}

async fn submit_to(peer: &HttpClient, transaction: &Transaction, hash: B256) -> Outcome {
    match timeout(SUBMIT_TIMEOUT, peer.submit(transaction.clone())).await {
        Ok(Ok(_)) => Outcome::Taken,
        Ok(Err(ClientError::Call(error))) if error.code() == dtn_node::NOT_ADMITTED => {
            let pending = error.message() == AdmissionError::Duplicate(hash).to_string();
            if pending { Outcome::Taken } else { Outcome::Refused(error.message().to_string()) }
        }
        Ok(Err(_)) | Err(_) => Outcome::Silent,
    }
}
