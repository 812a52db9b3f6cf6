//! A peer that follows without voting: it takes certified blocks from others, verifies and stores them, and serves them
//! on. It believes nobody: a block counts only with a quorum's certificate.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dtn_ledger::{AdmissionError, Ledger, LedgerError};
use dtn_primitives::{Address, B256, FinalizedResult, Genesis, Reply, Transaction, codec};
use tokio::sync::{mpsc, oneshot};

use crate::{
    NodeError,
    api::{BlockView, CertifiedHeader, Status},
    host::{Host, Query},
    link::Offence,
    metrics::Metrics,
    network::{Command, Event, Remote, Requester},
    wire::{self, BlockRequest, CertifiedBlock, Frame, MAX_SYNC_REQUEST},
};

/// How often an observer tells its height and looks whether it fell behind.
const HOUSEKEEPING: Duration = Duration::from_millis(250);

/// Everything that an observer knows.
pub(crate) struct Observer {
    address: Address,
    ledger: Ledger,
    commands: mpsc::Sender<Command>,
    metrics: Metrics,
    connected: BTreeSet<Remote>,
    /// The height that each peer last told.
    heights: BTreeMap<Remote, u64>,
    /// Who was asked for blocks and has not answered.
    asked: Option<Remote>,
    /// Who was asked last and gave none; others are asked first.
    unhelpful: Option<Remote>,
    stopping: bool,
}

impl Observer {
    pub(crate) fn new(address: Address, ledger: Ledger, commands: mpsc::Sender<Command>, metrics: Metrics) -> Self {
        metrics.height.set(ledger.tip().height as i64);
        Self {
            address,
            ledger,
            commands,
            metrics,
            connected: BTreeSet::new(),
            heights: BTreeMap::new(),
            asked: None,
            unhelpful: None,
            stopping: false,
        }
    }

    /// Follows until it is told to stop, or its store fails.
    pub(crate) fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut queries: mpsc::Receiver<Query>,
    ) -> Result<(), NodeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| NodeError::Network(error.to_string()))?;
        runtime.block_on(async {
            let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
            housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !self.stopping {
                tokio::select! {
                    event = events.recv() => match event {
                        Some(event) => self.event(event)?,
                        None => return Err(NodeError::Network("the network task ended".into())),
                    },
                    Some(query) = queries.recv() => query(&mut self),
                    _ = housekeeping.tick() => {
                        self.tell_height();
                        self.catch_up();
                    }
                }
            }
            Ok(())
        })
    }

    fn event(&mut self, event: Event) -> Result<(), NodeError> {
        match event {
            Event::Connected(peer) => _ = self.connected.insert(peer),
            Event::Disconnected(peer) => {
                self.connected.remove(&peer);
                self.heights.remove(&peer);
                self.asked = self.asked.take().filter(|asked| *asked != peer);
            }
            Event::Frame { from, frame: Frame::Height(height), .. } => {
                self.heights.insert(from, height);
                self.catch_up();
            }
            Event::Frame { frame: Frame::Transactions(transactions), .. } => {
                for transaction in transactions {
                    // Those that are new to this peer go on to the validators.
                    self.submit(transaction).ok();
                }
            }
            Event::Frame { .. } => {}
            Event::Requested { request, from } => self.respond(&request, from)?,
            Event::Response { from, response } => self.take_blocks(from, response)?,
        }
        Ok(())
    }

    fn command(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    fn tell_height(&self) {
        self.command(Command::Broadcast(Frame::Height(self.ledger.tip().height).encode()));
    }

    /// Asks a peer that says it is ahead for the blocks that are missing, unless one is being asked.
    fn catch_up(&mut self) {
        let height = self.ledger.tip().height;
        let ahead = self.heights.iter().filter(|(_, theirs)| **theirs > height);
        let ahead = ahead.max_by_key(|(peer, theirs)| (Some(**peer) != self.unhelpful, **theirs));
        let Some((&to, _)) = ahead.filter(|_| self.asked.is_none()) else { return };
        let request = codec::encode(&BlockRequest { from: height + 1 });
        if self.command(Command::Request { to, request }) {
            self.asked = Some(to);
        }
    }

    fn respond(&mut self, request: &[u8], from: Requester) -> Result<(), NodeError> {
        let Ok(request) = codec::decode::<BlockRequest>(request, MAX_SYNC_REQUEST) else {
            self.command(Command::CutOff { peer: from.peer, offence: Offence::Malformed });
            return Ok(());
        };
        let (mut blocks, mut size) = (Vec::new(), 0);
        for height in request.from..=self.ledger.tip().height {
            let (Some(block), Some(certificate)) = (self.ledger.block(height)?, self.ledger.certificate(height)?)
            else {
                break;
            };
            let certified = CertifiedBlock { block, certificate };
            size += codec::encode(&certified).len();
            blocks.push(certified);
            if size >= wire::SYNC_RESPONSE_TARGET {
                break;
            }
        }
        self.command(Command::Respond { to: from, response: codec::encode(&blocks) });
        Ok(())
    }

    fn take_blocks(&mut self, from: Remote, response: Option<Vec<u8>>) -> Result<(), NodeError> {
        self.asked = self.asked.take().filter(|asked| *asked != from);
        let before = self.ledger.tip().height;
        let limit = wire::max_sync_response(self.ledger.genesis().max_block_bytes);
        let blocks = match response.map(|response| codec::decode::<Vec<CertifiedBlock>>(&response, limit)) {
            Some(Ok(blocks)) => blocks,
            Some(Err(error)) => {
                tracing::warn!(peer = %from, %error, "a peer sent what are no blocks");
                self.command(Command::CutOff { peer: from, offence: Offence::BadBlocks });
                Vec::new()
            }
            None => Vec::new(),
        };
        for certified in blocks {
            let height = certified.block.header.height;
            if height <= self.ledger.tip().height {
                continue;
            }
            let transactions = certified.block.transactions.len();
            match self.take(certified) {
                Ok(()) => {
                    self.metrics.height.set(height as i64);
                    self.metrics.sync_blocks.inc();
                    self.metrics.decided_transactions.inc_by(transactions as u64);
                }
                // The store's, not the peer's fault.
                Err(error @ LedgerError::Store(_)) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(peer = %from, height, %error, "a peer sent a bad block");
                    self.command(Command::CutOff { peer: from, offence: Offence::BadBlocks });
                    break;
                }
            }
        }
        let height = self.ledger.tip().height;
        if height == before {
            // Believed again when it next tells its height.
            self.heights.remove(&from);
            self.unhelpful = Some(from);
        } else {
            tracing::info!(peer = %from, from_height = before, height, "followed");
            self.tell_height();
            self.catch_up();
        }
        Ok(())
    }

    /// Makes a block final here. The certificate comes first: nothing is executed on one peer's word.
    fn take(&mut self, CertifiedBlock { block, certificate }: CertifiedBlock) -> Result<(), LedgerError> {
        let need = block.header.hash();
        if (certificate.block_hash, certificate.height) != (need, block.header.height) {
            let (have, height) = (certificate.block_hash, certificate.height);
            return Err(LedgerError::CertificateMismatch { have, height, need });
        }
        certificate.verify(self.ledger.domain(), self.ledger.validators())?;
        let checked = self.ledger.check_decided(Arc::new(block))?;
        self.ledger.commit(checked, &certificate)
    }
}

impl Host for Observer {
    fn stop(&mut self) {
        self.stopping = true;
    }

    fn genesis(&self) -> &Genesis {
        self.ledger.genesis()
    }

    fn height(&self) -> u64 {
        self.ledger.tip().height
    }

    fn status(&self) -> Status {
        let (genesis, validators) = (self.ledger.genesis(), self.ledger.validators());
        // The view of the last block, as far as an observer can tell.
        let certificate = self.ledger.certificate(self.ledger.tip().height).ok().flatten();
        let view = certificate.map_or(0, |certificate| certificate.view);
        Status {
            network: genesis.name.clone(),
            network_id: self.ledger.domain().network_id,
            chain_id: genesis.chain_id,
            validator: None,
            address: self.address,
            nodes: validators.len(),
            quorum: validators.quorum(),
            view,
            primary: validators.primary(view).0,
            height: self.ledger.tip().height,
            block_hash: self.ledger.tip().hash,
            connected: self.connected.iter().filter_map(|peer| Some(peer.validator()?.0)).collect(),
            pending_transactions: self.ledger.pending_count(),
            open_orders: self.ledger.open_orders().count(),
            working_on: None,
            evidence: Vec::new(),
            faults: vec![0; validators.len()],
        }
    }

    fn submit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        let hash = self.ledger.admit(transaction.clone())?;
        for frame in wire::batches(vec![transaction]) {
            self.command(Command::Broadcast(frame));
        }
        Ok(hash)
    }

    fn wait_for_reply(&mut self, _: B256, _: oneshot::Sender<Reply>) -> Result<(), NodeError> {
        Err(NodeError::NoReplies)
    }

    fn block(&self, height: u64) -> Result<Option<BlockView>, NodeError> {
        let Some(block) = self.ledger.block(height)? else { return Ok(None) };
        let domain = self.ledger.domain();
        let transaction_hashes = block.transactions.iter().map(|transaction| transaction.hash(domain)).collect();
        Ok(Some(BlockView { hash: block.header.hash(), transaction_hashes, block }))
    }

    fn certificate(&self, height: u64) -> Result<Option<CertifiedHeader>, NodeError> {
        let certified = self.ledger.block(height)?.zip(self.ledger.certificate(height)?);
        Ok(certified.map(|(block, certificate)| CertifiedHeader {
            header: block.header,
            certificate,
            transactions: block.transactions.len(),
            latency_us: None,
        }))
    }

    fn nonce(&self, account: Address) -> u64 {
        self.ledger.next_nonce(account)
    }

    fn results(&self, from_height: u64, limit: usize) -> Result<Vec<FinalizedResult>, NodeError> {
        Ok(self.ledger.finalized_results(from_height, limit)?)
    }
}
