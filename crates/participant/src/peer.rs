//! The API of peers, as somebody uses it who takes part in orders.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use dtn_api::{ApiClient, BlobPart, MAX_BLOB_PART, NOT_WANTED, RefusalKind, TrainingSummary};
use dtn_primitives::{Address, B256, Domain, Genesis, Payload, SecretKey, TrainingCall, Transaction};
use dtn_trainer::{Blob, Library};
use dtn_training::{Call, Terms, TrainingOrder};
use jsonrpsee::{core::ClientError as CallError, http_client::HttpClient};
use tokio::time::sleep;

use crate::ParticipantError;

/// The pause before something is tried again that may work then.
const PAUSE: Duration = Duration::from_millis(40);

/// How long a call may take to become final.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a reply is waited for at a time, in milliseconds.
const WAIT_MS: u64 = 250;

/// A peer, and the network that it belongs to; and others of that network, which are asked where it does not answer.
#[derive(Debug, Clone)]
pub struct Peer {
    clients: Arc<[HttpClient]>,
    /// Who is asked; copies turn together.
    turn: Arc<AtomicUsize>,
    genesis: Genesis,
    domain: Domain,
}

impl Peer {
    /// The one that answers at an address.
    pub async fn at(address: SocketAddr) -> Result<Self, ParticipantError> {
        Self::of([address]).await
    }

    /// The first of some that answers. The others are turned to, one after the other, once it does not.
    ///
    /// # Errors
    ///
    /// Those of the last one, if none answers; [`ParticipantError::NoPeer`] if there is none.
    pub async fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Self, ParticipantError> {
        let clients = addresses.into_iter().map(dtn_client::connect).collect::<Result<Vec<_>, _>>()?;
        let mut failed = ParticipantError::NoPeer;
        for (first, client) in clients.iter().enumerate() {
            match client.genesis().await {
                Ok(genesis) => {
                    let turn = Arc::new(AtomicUsize::new(first));
                    return Ok(Self { clients: clients.into(), turn, domain: genesis.domain(), genesis });
                }
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }

    /// Asks whose turn it is, and the next one if that one does not answer. What a peer refuses, no other is asked for.
    async fn ask<T, F>(&self, call: impl Fn(HttpClient) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let first = self.turn.load(Relaxed);
        let mut failed = match call(self.clients[first].clone()).await {
            Err(error) if !matches!(error, CallError::Call(_)) => error,
            answered => return answered,
        };
        for next in (first + 1..first + self.clients.len()).map(|next| next % self.clients.len()) {
            let client = &self.clients[next];
            // Another network's may have taken the place of one that was ours.
            match client.genesis().await {
                Ok(genesis) if genesis == self.genesis => {}
                _ => continue,
            }
            self.turn.store(next, Relaxed);
            failed = match call(client.clone()).await {
                Err(error) if !matches!(error, CallError::Call(_)) => error,
                answered => return answered,
            };
        }
        Err(failed)
    }

    /// The genesis of its network.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// What is signed for its network.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The height of the last final block.
    pub async fn height(&self) -> Result<u64, ParticipantError> {
        Ok(self.ask(|client| async move { client.status().await }).await?.height)
    }

    /// All orders that are open, or that are over.
    pub async fn orders(&self, over: bool) -> Result<Vec<TrainingSummary>, ParticipantError> {
        let (mut found, mut above) = (Vec::new(), None);
        loop {
            let page = self.ask(|client| async move { client.training_orders(over, above).await }).await?;
            let Some(last) = page.last() else { return Ok(found) };
            above = Some(last.order);
            found.extend(page);
        }
    }

    /// An order, open or over.
    pub async fn order(&self, id: B256) -> Result<TrainingOrder, ParticipantError> {
        let bytes = self.ask(|client| async move { client.training_order(id).await }).await?;
        let bytes = bytes.ok_or(ParticipantError::NoOrder(id))?;
        Ok(TrainingOrder::decode(&bytes)?)
    }

    /// Something that an order is about, checked; none if the peer does not have it.
    pub async fn fetch(&self, order: B256, blob: Blob) -> Result<Option<Vec<u8>>, ParticipantError> {
        let mut bytes = Vec::new();
        loop {
            let (kind, hash, have) = (blob.kind(), blob.hash(), bytes.len() as u64);
            let part = self.ask(|client| async move { client.blob(order, kind.into(), hash, have).await }).await?;
            let Some(BlobPart { length, bytes: part }) = part else { return Ok(None) };
            bytes.extend_from_slice(&part);
            let is_whole = bytes.len() as u64 >= length;
            if is_whole || part.is_empty() || bytes.len() > blob.max_bytes() {
                blob.check(&bytes)?;
                return Ok(Some(bytes));
            }
        }
    }

    /// Hands in something that waits for it. Whether it was taken: not if nothing waits for it.
    async fn put(&self, order: B256, blob: Blob, bytes: &[u8]) -> Result<bool, ParticipantError> {
        let mut offset = 0;
        while offset < bytes.len() as u64 {
            let rest = &bytes[offset as usize..];
            let part = &rest[..rest.len().min(MAX_BLOB_PART)];
            let (kind, hash, length) = (blob.kind(), blob.hash(), bytes.len() as u64);
            let put = |client: HttpClient| async move {
                client.put_blob(order, kind.into(), hash, length, offset, part.to_vec().into()).await
            };
            offset = match self.ask(put).await {
                Ok(have) => have.min(bytes.len() as u64),
                Err(CallError::Call(error)) if [NOT_WANTED, dtn_api::BUSY].contains(&error.code()) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(true)
    }

    /// The calls about an order in final blocks, the last ones first, with the times of their blocks in milliseconds since the
    /// Unix epoch, and their senders.
    pub async fn calls(&self, order: &TrainingOrder) -> Result<Vec<(u64, Address, Call)>, ParticipantError> {
        let mut calls = Vec::new();
        for height in (order.height..=self.height().await?).rev() {
            let view = self.ask(|client| async move { client.block(height).await }).await?;
            let Some(view) = view else { continue };
            for transaction in view.block.transactions.iter().rev() {
                let Payload::Training(TrainingCall { order: Some(about), body, .. }) = &transaction.payload else {
                    continue;
                };
                if *about == order.order.id()
                    && let Ok(call) = Call::decode(body)
                {
                    calls.push((view.block.header.timestamp, transaction.sender, call));
                }
            }
        }
        Ok(calls)
    }
}

/// What an account hands in, one after the other: each of its transactions has the number after the last.
#[derive(Debug)]
pub struct Hand {
    peer: Peer,
    key: SecretKey,
    turn: tokio::sync::Mutex<()>,
}

impl Hand {
    /// That of a key.
    pub fn new(peer: Peer, key: SecretKey) -> Self {
        Self { peer, key, turn: tokio::sync::Mutex::new(()) }
    }

    /// Whose.
    pub fn account(&self) -> Address {
        self.key.address()
    }

    /// Orders by these terms, and gives the order's hash once it is final. `each` hears of the hash as soon as it is known,
    /// before anything is handed in.
    pub async fn order(
        &self,
        terms: &Terms,
        blobs: &[(Blob, Vec<u8>)],
        mut each: impl FnMut(B256) -> Result<(), ParticipantError>,
    ) -> Result<B256, ParticipantError> {
        let _turn = self.turn.lock().await;
        let mut nonce = self.peer.ask(|client| async move { client.nonce(self.account()).await }).await?;
        let began = Instant::now();
        loop {
            let transaction = self.sign(nonce, None, terms.encode());
            let hash = transaction.hash(self.peer.domain());
            each(hash)?;
            match self.bring(&transaction, "the order", began, |wanted| supply(blobs, wanted)).await {
                Ok(None) => return Ok(hash),
                Ok(Some(next)) => nonce = next,
                Err(ParticipantError::NotFinal { after, .. }) => {
                    return Err(ParticipantError::OrderNotFinal { order: hash, after });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a call about an order, whose blobs are in a library; returns once it is final.
    pub async fn call(
        &self,
        order: B256,
        call: &Call,
        blobs: &[Blob],
        library: &Library,
    ) -> Result<(), ParticipantError> {
        let _turn = self.turn.lock().await;
        let mut nonce = self.peer.ask(|client| async move { client.nonce(self.account()).await }).await?;
        let began = Instant::now();
        loop {
            let transaction = self.sign(nonce, Some(order), call.encode());
            let supply = |given: &BTreeSet<Blob>| {
                let next = blobs.iter().find(|blob| !given.contains(blob))?;
                library.get(order, next).ok().flatten().map(|bytes| (*next, bytes))
            };
            match self.bring(&transaction, call.name(), began, supply).await? {
                None => return Ok(()),
                Some(next) => nonce = next,
            }
        }
    }

    /// Waits for a transaction to be final, for a while.
    async fn wait_for(&self, hash: B256) {
        // An observer gives no replies.
        if self.peer.ask(|client| async move { client.reply(hash, WAIT_MS).await }).await.is_err() {
            sleep(PAUSE).await;
        }
    }

    fn sign(&self, nonce: u64, order: Option<B256>, body: Vec<u8>) -> Transaction {
        let call = TrainingCall { nonce, order, body: body.into() };
        Transaction::sign(Payload::Training(call), &self.key, self.peer.domain())
    }

    /// Hands a transaction in, with what it takes, until it is final. Gives the next nonce if another transaction has taken
    /// its place.
    async fn bring(
        &self,
        transaction: &Transaction,
        what: &'static str,
        began: Instant,
        supply: impl Fn(&BTreeSet<Blob>) -> Option<(Blob, Vec<u8>)>,
    ) -> Result<Option<u64>, ParticipantError> {
        let hash = transaction.hash(self.peer.domain());
        let mut given = BTreeSet::new();
        while began.elapsed() < PATIENCE {
            let refused = match self.peer.ask(|client| async move { client.submit(transaction.clone()).await }).await {
                Ok(_) => {
                    self.wait_for(hash).await;
                    continue;
                }
                Err(CallError::Call(error)) => error,
                Err(error) => return Err(error.into()),
            };
            match RefusalKind::of(&refused) {
                Some(RefusalKind::Final { .. }) => return Ok(None),
                Some(RefusalKind::NonceTooLow { next, .. }) => return Ok(Some(next)),
                Some(RefusalKind::Pending { transaction }) if transaction == hash => self.wait_for(hash).await,
                Some(RefusalKind::Missing { order }) => {
                    while let Some((blob, bytes)) = supply(&given) {
                        if !self.peer.put(order, blob, &bytes).await? {
                            break;
                        }
                        given.insert(blob);
                    }
                    sleep(PAUSE).await;
                }
                Some(RefusalKind::Full | RefusalKind::Pending { .. } | RefusalKind::Taken { .. }) => sleep(PAUSE).await,
                Some(kind) => return Err(ParticipantError::Refused { reason: refused.message().into(), kind }),
                None if refused.code() == dtn_api::BUSY => sleep(PAUSE).await,
                None => return Err(CallError::Call(refused).into()),
            }
        }
        Err(ParticipantError::NotFinal { what, after: PATIENCE })
    }
}

fn supply(blobs: &[(Blob, Vec<u8>)], given: &BTreeSet<Blob>) -> Option<(Blob, Vec<u8>)> {
    blobs.iter().find(|(blob, _)| !given.contains(blob)).cloned()
}
