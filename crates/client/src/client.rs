//! A client of the L1: signs and hands in transactions, and reads.
//!
//! A reply that f + 1 peers sign alike is true, because one of them is correct. A write counts as done once a *quorum* has
//! signed it, and a read once a quorum answers alike: two quorums share f + 1 peers, so a correct one that has executed
//! the write is among those that answer any later read. Nobody is waited for that is not needed.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    net::SocketAddr,
    time::Duration,
};

use dtn_api::{ApiClient, CertifiedHeader, RefusalKind};
use dtn_primitives::{
    Answer, B256, Domain, Epochs, Genesis, Membership, Order, Payload, Question, Reply, Round, SecretKey, Transaction,
    ValidatorSet,
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, FuturesUnordered},
};
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{ClientError, Verifier};

/// How many orders are under way at once. Far less than the nonces that a mempool lets an account run ahead.
const UNDER_WAY: usize = 32;

/// How often an order is handed in anew while it is not final.
const RESUBMIT: Duration = Duration::from_secs(5);

/// How long a peer may take to answer; more than it is asked to wait.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a peer may take to take an order.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long fewer than a quorum may answer a question, and how long a quorum may answer it differently.
const READ_PATIENCE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(10));

/// The pause before peers that did not answer are asked again, and before another is asked beside one that is slow.
const PAUSE: Duration = Duration::from_millis(200);

/// How long peers are waited for whose answers are welcome and not needed.
const MOMENT: Duration = Duration::from_millis(50);

/// How long it is looked whether an order that peers refuse is final already.
const DOUBT: Duration = Duration::from_secs(1);

/// By how much a peer on a machine that is busy may be late with the answer that it has nothing to say.
const SLOWNESS: Duration = Duration::from_secs(1);

/// How long a final order waits for a quorum to say so.
const SPREAD: Duration = Duration::from_secs(10);

/// How long fewer than f + 1 peers may answer.
const SILENCE: Duration = Duration::from_secs(30);

/// How long the chain may stand still while an order waits.
const STANDSTILL: Duration = Duration::from_secs(120);

/// How long an order may wait at all.
const PATIENCE: Duration = Duration::from_secs(900);

/// A connection to a peer's API, which is made once something is asked.
pub fn connect(address: SocketAddr) -> Result<HttpClient, ClientError> {
    let client = HttpClientBuilder::default().request_timeout(REQUEST_TIMEOUT);
    client.build(format!("http://{address}")).map_err(|source| ClientError::Connect { address, source })
}

/// What a client knows: the genesis, and where the peers answer.
#[derive(Debug, Clone)]
pub struct Client {
    /// The network.
    pub genesis: Genesis,
    /// What is signed for it.
    pub domain: Domain,
    /// Who validates, epoch by epoch.
    pub membership: Membership,
    /// Connections to its peers.
    pub peers: Vec<HttpClient>,
}

/// An order that is final.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Accepted {
    /// Its hash.
    pub transaction: B256,
    /// The height of its block.
    pub height: u64,
    /// The hash of its block.
    pub block: B256,
    /// How many peers had said so when the client believed it.
    pub replies: usize,
    /// Whether they are a quorum. If not, it is final all the same, but a read may not show it yet.
    pub by_quorum: bool,
}

/// What happens to one of several transactions, by its place among them.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// It goes to the peers. From here on it may become final, whatever is heard of it.
    HandedIn(usize),
    /// The network refuses it.
    Refused(usize),
    /// It is final.
    Final(usize, &'a Accepted),
}

/// An answer to a read-only question.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Read {
    /// What a quorum answers.
    pub answer: Answer,
    /// No peer that gave it was below this height.
    pub height: u64,
    /// How many peers signed it.
    pub answers: usize,
}

impl Client {
    /// A client of a network whose peers answer at these addresses.
    pub fn new(genesis: Genesis, peers: impl IntoIterator<Item = SocketAddr>) -> Result<Self, ClientError> {
        let peers = peers.into_iter().map(connect).collect::<Result<_, _>>()?;
        Ok(Self { domain: genesis.domain(), membership: genesis.membership()?, genesis, peers })
    }

    /// Numbers and signs orders, after those of the account that are final already.
    pub async fn sign(&self, orders: Vec<Order>, key: &SecretKey) -> Result<Vec<Transaction>, ClientError> {
        let next = self.next_nonce(key).await?;
        let sign = |(order, nonce): (Order, u64)| {
            let order = Order { nonce, ..order };
            Transaction::sign(Payload::Order(order), key, &self.domain)
        };
        Ok(orders.into_iter().zip(next..).map(sign).collect())
    }

    /// Who validates now.
    pub fn validators(&self) -> &ValidatorSet {
        self.membership.now()
    }

    /// What final blocks of this network have to agree with.
    pub fn verifier(&self) -> Verifier<'_> {
        Verifier { domain: &self.domain, membership: &self.membership }
    }

    /// How many peers must say the same to be believed: one of them is correct.
    pub(crate) fn convincing(&self) -> usize {
        self.validators().max_faulty() + 1
    }

    /// The answers of peers, until `enough` have come and a moment more. A peer that hangs costs that moment.
    pub async fn gather<'a, T, F>(&'a self, enough: usize, ask: impl Fn(&'a HttpClient) -> F) -> Vec<T>
    where
        F: Future<Output = Option<T>>,
    {
        let mut asked: FuturesUnordered<_> = self.peers.iter().map(ask).collect();
        let mut answers = Vec::new();
        loop {
            let next = asked.next();
            let answer = match answers.len() < enough {
                true => next.await,
                false => timeout(MOMENT, next).await.unwrap_or_default(),
            };
            match answer {
                Some(answer) => answers.extend(answer),
                None => return answers,
            }
        }
    }

    /// The (f + 1)-highest of a quorum's numbers: a correct peer is at or above it.
    async fn believed<'a, F>(&'a self, ask: impl Fn(&'a HttpClient) -> F) -> Result<u64, ClientError>
    where
        F: Future<Output = Option<u64>>,
    {
        let answers = self.gather(self.validators().quorum(), ask).await;
        self.reached(answers.iter().copied()).ok_or_else(|| self.too_few(answers.len()))
    }

    /// The (f + 1)-highest of some numbers, if there are so many.
    fn reached(&self, numbers: impl Iterator<Item = u64>) -> Option<u64> {
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.get(self.convincing() - 1).copied()
    }

    /// The next nonce of an account.
    pub async fn next_nonce(&self, key: &SecretKey) -> Result<u64, ClientError> {
        match self.read(Question::Nonce(key.address())).await?.answer {
            Answer::Nonce(next) => Ok(next),
            other => Err(ClientError::OtherAnswer(other)),
        }
    }

    /// Asks all peers a read-only question until a quorum signs the same answer (OSDI '99, §5.1). Where they differ,
    /// because some are behind, those are asked anew for an answer from the height that a correct one has reached.
    pub async fn read(&self, question: Question) -> Result<Read, ClientError> {
        let (quorum, (for_quorum, for_accord)) = (self.validators().quorum(), READ_PATIENCE);
        let (began, mut at_least) = (Instant::now(), None);
        loop {
            let mut asked: FuturesUnordered<_> = self.peers.iter().map(|peer| peer.read(question, at_least)).collect();
            let (mut heights, mut said) = (HashMap::new(), HashMap::<Answer, HashMap<u16, u64>>::new());
            loop {
                let patience = if heights.len() < quorum { for_quorum } else { PAUSE };
                let Ok(Some(answer)) = timeout(patience, asked.next()).await else { break };
                let Ok(signed) = answer else { continue };
                let is_known = heights.contains_key(&signed.validator.0);
                if is_known || signed.verify(&question, &self.domain, &self.membership).is_err() {
                    continue;
                }
                heights.insert(signed.validator.0, signed.height);
                let alike = said.entry(signed.answer).or_default();
                alike.insert(signed.validator.0, signed.height);
                if alike.len() >= quorum {
                    let height = alike.values().min().copied().unwrap_or_default();
                    return Ok(Read { answer: signed.answer, height, answers: alike.len() });
                }
            }
            let patience = if heights.len() < quorum { for_quorum } else { for_accord };
            if began.elapsed() >= patience {
                return Err(ClientError::NoAccord { answers: heights.len(), peers: self.peers.len(), quorum });
            }
            at_least = self.reached(heights.into_values()).max(at_least);
            sleep(PAUSE).await;
        }
    }

    /// The height that the network has reached.
    pub async fn height(&self) -> Result<u64, ClientError> {
        self.believed(async |peer| peer.status().await.ok().map(|status| status.height)).await
    }

    /// The number of the last round that was opened.
    pub async fn last_round(&self) -> Result<u64, ClientError> {
        self.believed(async |peer| peer.rounds().await.ok().map(|rounds| rounds.last)).await
    }

    /// A round as f + 1 peers know it; none while they differ, or if they have none.
    pub async fn round(&self, number: u64) -> Result<Option<Round>, ClientError> {
        let answers = self.gather(self.validators().quorum(), async |peer| peer.round(number).await.ok()).await;
        if answers.len() < self.convincing() {
            return Err(self.too_few(answers.len()));
        }
        let mut known = answers.iter().flatten();
        let convinces = |round: &&Round| answers.iter().flatten().filter(|it| it == round).count() >= self.convincing();
        Ok(known.find(convinces).cloned())
    }

    pub(crate) fn too_few(&self, answers: usize) -> ClientError {
        ClientError::TooFew { answers, peers: self.peers.len(), need: self.convincing() }
    }

    /// Executes transactions, some at a time, and gives the answers in their order. When it fails, or is dropped, `tell` has
    /// been told what was handed in and what of that is final.
    pub async fn execute_all(
        &self,
        transactions: &[Transaction],
        tell: impl Fn(Event<'_>),
    ) -> Result<Vec<Accepted>, ClientError> {
        let execute = |(index, transaction)| {
            let tell = &tell;
            async move {
                tell(Event::HandedIn(index));
                let executed = self.execute(transaction).await;
                match &executed {
                    Ok(accepted) => tell(Event::Final(index, accepted)),
                    Err(ClientError::Refused { .. }) => tell(Event::Refused(index)),
                    Err(_) => {}
                }
                executed
            }
        };
        stream::iter(transactions.iter().enumerate()).map(execute).buffered(UNDER_WAY).try_collect().await
    }

    /// Hands in a transaction and waits until a quorum signs the same reply. Hands it in again to all peers now and
    /// then, as the client of OSDI '99, §4.1 does when the primary does not answer.
    pub(crate) async fn execute(&self, transaction: &Transaction) -> Result<Accepted, ClientError> {
        let hash = transaction.hash(&self.domain);
        let began = Instant::now();
        let (mut heard, mut height, mut moved) = (began, 0, began);
        let (mut replies, mut is_final) = (Replies::default(), None::<Instant>);
        let mut refusals = self.submit(transaction, hash).await;
        loop {
            // Once it is final, peers refuse it as well. Those that have it answer at once.
            let refused = refusals.len() >= self.convincing();
            let is_hopeless = refusals.iter().all(|(kind, _)| *kind == RefusalKind::Invalid);
            let wait = match (refused, is_hopeless) {
                (false, _) => RESUBMIT,
                (true, false) => DOUBT,
                (true, true) => Duration::ZERO,
            };
            let answers = self.ask_for_replies(hash, wait, &mut replies).await;
            let most = replies.most();
            if let Some(accepted) = most.clone().filter(|most| most.replies >= self.convincing()) {
                let since = *is_final.get_or_insert_with(Instant::now);
                let by_quorum = accepted.replies >= self.validators().quorum();
                if by_quorum || since.elapsed() > SPREAD {
                    return Ok(Accepted { by_quorum, ..accepted });
                }
            } else if refused
                && most.is_none()
                && let Some((kind, reason)) = refusals.pop()
            {
                return Err(ClientError::Refused { kind, reason });
            }
            if answers >= self.convincing() {
                heard = Instant::now();
            } else {
                if heard.elapsed() >= SILENCE {
                    return Err(self.too_few(answers));
                }
                sleep(PAUSE).await;
            }
            if let Ok(reached) = self.height().await
                && reached > height
            {
                (height, moved) = (reached, Instant::now());
            }
            if moved.elapsed() >= STANDSTILL || began.elapsed() >= PATIENCE {
                let (after_s, still_s) = (began.elapsed().as_secs(), moved.elapsed().as_secs());
                return Err(ClientError::NotFinal { transaction: hash, after_s, height, still_s });
            }
            if is_final.is_none() {
                refusals = self.submit_to_all(transaction, hash).await;
            }
        }
    }

    /// Hands a transaction to one peer after the other until one takes it; the next one is not kept waiting by one that
    /// is slow. The reasons of those that refused it if none did, or once so many did that one of them is correct.
    async fn submit(&self, transaction: &Transaction, hash: B256) -> Vec<Refusal> {
        let (mut refusals, mut asked, mut left) = (Vec::new(), FuturesUnordered::new(), self.peers.iter());
        while refusals.len() < self.convincing() {
            let next = left.next();
            asked.extend(next.map(|peer| submit_to(peer, transaction, hash)));
            let patience = if next.is_some() { PAUSE } else { SUBMIT_TIMEOUT };
            match timeout(patience, asked.next()).await {
                Ok(Some(Outcome::Taken)) => return Vec::new(),
                Ok(Some(Outcome::Refused(refusal))) => refusals.push(refusal),
                Ok(Some(Outcome::Silent)) => {}
                Ok(None) | Err(_) if next.is_none() => break,
                Ok(None) | Err(_) => {}
            }
        }
        refusals
    }

    /// Hands a transaction to all peers. The reasons of those that refused it if none took it.
    async fn submit_to_all(&self, transaction: &Transaction, hash: B256) -> Vec<Refusal> {
        let submit = async |peer| Some(submit_to(peer, transaction, hash).await);
        let mut refusals = Vec::new();
        for outcome in self.gather(self.validators().quorum(), submit).await {
            match outcome {
                Outcome::Taken => return Vec::new(),
                Outcome::Refused(refusal) => refusals.push(refusal),
                Outcome::Silent => {}
            }
        }
        refusals
    }

    /// Asks for signed replies until a quorum has given the same, or nobody is waited for who is needed. Says how many
    /// peers answered, with a reply or without.
    async fn ask_for_replies(&self, transaction: B256, wait: Duration, replies: &mut Replies) -> usize {
        let wait_ms = wait.as_millis() as u64;
        let asked = self.peers.iter().map(async |peer| peer.reply(transaction, wait_ms).await);
        let (mut asked, mut answers): (FuturesUnordered<_>, _) = (asked.collect(), 0);
        // A peer that hangs is not waited for longer than one that has nothing to say.
        let deadline = Instant::now() + wait + SLOWNESS;
        while let Ok(Some(answer)) = timeout_at(deadline, asked.next()).await {
            let Ok(reply) = answer else { continue };
            answers += 1;
            let Some(reply) = reply.filter(|reply| reply.transaction == transaction) else { continue };
            if reply.verify(&self.domain, &self.membership).is_ok() && replies.add(&reply) >= self.validators().quorum()
            {
                break;
            }
        }
        answers
    }

    /// A final header whose certificate holds, from the first peer that gives it. The signatures convince, not the peer.
    pub async fn certificate(&self, height: u64) -> Result<CertifiedHeader, ClientError> {
        let mut asked: FuturesUnordered<_> =
            self.peers.iter().map(async |peer| peer.certificate(height).await.ok()).collect();
        let (mut answers, mut bad) = (0, None);
        // Once a quorum has nothing, the others have a moment left.
        while let Ok(Some(answer)) =
            timeout(if answers < self.validators().quorum() { REQUEST_TIMEOUT } else { MOMENT }, asked.next()).await
        {
            let Some(answer) = answer else { continue };
            answers += 1;
            let Some(certified) = answer else { continue };
            match self.verifier().header(height, &certified.header, &certified.certificate) {
                Ok(()) => return Ok(certified),
                Err(error) => bad = Some(error),
            }
        }
        match bad {
            Some(error) => Err(error.into()),
            None if answers < self.convincing() => Err(self.too_few(answers)),
            None if self.height().await.is_ok_and(|reached| reached >= height) => Err(ClientError::Gone(height)),
            None => Err(ClientError::NotYet(height)),
        }
    }
}

/// The valid replies to a transaction, by what they say.
#[derive(Debug, Default)]
struct Replies(HashMap<(B256, u64, B256), BTreeSet<u16>>);

impl Replies {
    /// Counts a reply, one a validator. How many say the same.
    fn add(&mut self, reply: &Reply) -> usize {
        let alike = self.0.entry((reply.transaction, reply.height, reply.block_hash)).or_default();
        alike.insert(reply.validator.0);
        alike.len()
    }

    /// What most say.
    fn most(&self) -> Option<Accepted> {
        let most = self.0.iter().max_by_key(|(_, alike)| alike.len());
        most.map(|((transaction, height, block), alike)| Accepted {
            transaction: *transaction,
            height: *height,
            block: *block,
            replies: alike.len(),
            by_quorum: false,
        })
    }
}

/// Why a peer does not admit a transaction, for the program and for people.
type Refusal = (RefusalKind, String);

/// What a peer made of a transaction.
enum Outcome {
    /// It has it, now or already.
    Taken,
    /// It does not admit it, for this reason.
    Refused(Refusal),
    /// It does not answer.
    Silent,
}

async fn submit_to(peer: &HttpClient, transaction: &Transaction, hash: B256) -> Outcome {
    match timeout(SUBMIT_TIMEOUT, peer.submit(transaction.clone())).await {
        Ok(Ok(_)) => Outcome::Taken,
        Ok(Err(jsonrpsee::core::ClientError::Call(error))) => match RefusalKind::of(&error) {
            Some(RefusalKind::Pending { transaction }) if transaction == hash => Outcome::Taken,
            Some(RefusalKind::Final { .. }) => Outcome::Taken,
            // It may be taken later.
            Some(RefusalKind::Full) | None => Outcome::Silent,
            Some(kind) => Outcome::Refused((kind, error.message().to_string())),
        },
        Ok(Err(_)) | Err(_) => Outcome::Silent,
    }
}

#[cfg(test)]
mod tests;
