//! A peer that follows without voting: it takes certified blocks from others, verifies and stores them, and serves them
//! on. It believes nobody: a block counts only with a quorum's certificate.

use std::{collections::BTreeSet, time::Duration};

use dtn_api::{Status, Vitals};
use dtn_ledger::{AdmissionError, Ledger};
use dtn_primitives::{Address, B256, Evidence, Transaction};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    NodeError,
    board::Board,
    evidence::{EvidencePool, EvidenceRefusal},
    faults::FaultBudget,
    feed::Feed,
    follow::{self, Answer, Follow},
    host::{Host, Query},
    inbox::Inbox,
    link::Offence,
    metrics::Metrics,
    network::{Command, Event, Exchange, Remote},
    wire::{self, Frame},
};

/// How often an observer tells its height and looks whether it fell behind.
const HOUSEKEEPING: Duration = Duration::from_millis(250);

/// Everything that an observer knows.
pub(crate) struct Observer {
    address: Address,
    ledger: Ledger,
    evidence: EvidencePool,
    commands: mpsc::Sender<Command>,
    metrics: Metrics,
    feed: Feed,
    board: Board,
    connected: BTreeSet<Remote>,
    follow: Follow,
    faults: FaultBudget,
    stopping: bool,
}

impl Observer {
    pub(crate) fn new(
        address: Address,
        ledger: Ledger,
        commands: mpsc::Sender<Command>,
        metrics: Metrics,
        (feed, board): (Feed, Board),
    ) -> Result<Self, NodeError> {
        metrics.height.set(ledger.tip().height as i64);
        let (store, domain, membership) = (ledger.store().clone(), *ledger.domain(), ledger.membership().clone());
        let evidence = EvidencePool::open(store, domain, membership)?;
        Ok(Self {
            address,
            ledger,
            evidence,
            commands,
            metrics,
            feed,
            board,
            connected: BTreeSet::new(),
            follow: Follow::default(),
            faults: FaultBudget::default(),
            stopping: false,
        })
    }

    /// Follows until it is told to stop, or its store fails.
    pub(crate) fn run(mut self, mut events: Inbox, mut queries: mpsc::Receiver<Query>) -> Result<(), NodeError> {
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
                        self.follow.lose_patience(Instant::now());
                        self.fetch();
                    }
                }
                self.board.show(self.status());
            }
            Ok(())
        })
    }

    fn event(&mut self, event: Event) -> Result<(), NodeError> {
        match event {
            Event::Connected(peer) => _ = self.connected.insert(peer),
            Event::Disconnected(peer) => {
                self.connected.remove(&peer);
                self.follow.disconnected(peer);
                self.faults.disconnected(peer);
            }
            Event::Frame { from, .. } if self.faults.is_shunned(from, Instant::now()) => {}
            Event::Frame { from, frame: Frame::Height(height), .. } => {
                self.follow.heard(from, height);
                self.fetch();
            }
            Event::Frame { from, frame: Frame::Transactions(transactions), .. } => {
                for transaction in transactions {
                    // Those that are new to this peer go on to the validators.
                    let refused = self.submit(transaction).err().filter(AdmissionError::is_malformed);
                    if let Some(error) = refused
                        && self.faults.charge(from, Instant::now())
                    {
                        tracing::warn!(peer = %from, %error, "too many transactions that no correct peer passes on");
                        self.cut_off_for(from, Offence::Faults);
                        break;
                    }
                }
            }
            Event::Frame { from, frame: Frame::Evidence(evidence), .. } => self.take_evidence(*evidence, from)?,
            Event::Frame { .. } | Event::Twin => {}
            Event::Requested { request, from } => {
                self.command(follow::respond(&self.ledger, &request, from)?);
            }
            Event::Response { exchange: Exchange::Sync, from, response } => self.answered(from, response)?,
            // It votes for nothing, so it needs no proofs; and it is another thread that asks for results.
            Event::Response { exchange: Exchange::Proof | Exchange::Results | Exchange::Blob, .. } => {}
        }
        Ok(())
    }

    /// Keeps evidence that holds, and passes it on if it is news.
    fn take_evidence(&mut self, evidence: Evidence, from: Remote) -> Result<(), NodeError> {
        match self.evidence.add(&evidence) {
            Ok(true) => {
                self.metrics.caught(evidence.validator(), evidence.kind().name());
                self.command(Command::Broadcast(Frame::Evidence(Box::new(evidence)).encode()));
            }
            Ok(false) => {}
            Err(EvidenceRefusal::Store(error)) => return Err(error.into()),
            Err(EvidenceRefusal::Invalid(error)) => {
                tracing::warn!(peer = %from, %error, "evidence that proves nothing");
                self.cut_off_for(from, Offence::BadEvidence);
            }
        }
        Ok(())
    }

    fn command(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    fn tell_height(&self) {
        self.command(Command::Broadcast(Frame::Height(self.ledger.tip().height).encode()));
    }

    fn fetch(&mut self) {
        for command in self.follow.fetch(&self.ledger, Instant::now()) {
            self.command(command);
        }
    }

    fn answered(&mut self, from: Remote, response: Option<Vec<u8>>) -> Result<(), NodeError> {
        let before = self.ledger.tip().height;
        match self.follow.answered(&mut self.ledger, from, response, Instant::now())? {
            Answer::Nothing => {}
            Answer::Offence(what) => self.cut_off(from, &what),
            Answer::Installed => _ = self.metrics.sync_snapshots.inc(),
            Answer::Blocks(blocks) => {
                let wrong = follow::commit_all(before, blocks, |block, certificate| {
                    let committed = self.ledger.commit(block.clone(), &certificate)?;
                    self.board.show(self.status());
                    self.feed.publish(&block, &certificate, &committed.transaction_hashes);
                    self.metrics.sync_blocks.inc();
                    self.metrics.decided_transactions.inc_by(committed.transaction_hashes.len() as u64);
                    Ok(())
                })?;
                if let Some((liar, what)) = wrong {
                    self.follow.distrust(liar, Instant::now());
                    self.cut_off(liar, &what);
                }
            }
        }
        let height = self.ledger.tip().height;
        if height > before {
            tracing::info!(peer = %from, from_height = before, height, "followed");
            self.ledger.store().sync()?;
            self.metrics.height.set(height as i64);
            self.tell_height();
        }
        self.fetch();
        Ok(())
    }

    fn cut_off(&self, peer: Remote, what: &str) {
        tracing::warn!(%peer, what, "a peer sent what no correct peer sends");
        self.cut_off_for(peer, Offence::BadBlocks);
    }

    fn cut_off_for(&self, peer: Remote, offence: Offence) {
        self.command(Command::CutOff { peer, offence });
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
            primary: validators.primary(view, self.ledger.tip().height + 1).0,
            height: self.ledger.tip().height,
            block_hash: self.ledger.tip().hash,
            checkpoint: self.ledger.stable_checkpoint().map_or(0, |stable| stable.height),
            mining: None,
            silent: false,
            connected: self.connected.iter().filter_map(|peer| Some(peer.validator()?.0)).collect(),
            pending_transactions: self.ledger.pending_count(),
            open_orders: self.ledger.open_orders().count(),
            working_on: None,
            evidence: self.evidence.validators(),
            faults: vec![0; validators.len()],
            vitals: Vitals::default(),
        }
    }
}

impl Host for Observer {
    fn stop(&mut self) {
        self.stopping = true;
    }

    fn submit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        let hash = self.ledger.admit(transaction.clone())?;
        for frame in wire::batches(vec![transaction]) {
            self.command(Command::Broadcast(frame));
        }
        Ok(hash)
    }
}
