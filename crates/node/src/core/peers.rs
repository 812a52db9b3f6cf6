//! What comes from other peers: what they say, what they answer, and what they are held to.

use super::*;

impl Core {
    pub(super) fn event(&mut self, event: Event) -> Result<(), NodeError> {
        match event {
            Event::Connected(Remote::Validator(peer)) => {
                self.connected.insert(peer);
                self.tell_height(peer);
                let known = self.evidence.all().map(|evidence| Frame::Evidence(Box::new(evidence.clone())).encode());
                self.outbox.commands.extend(known.map(|frame| Command::Send { to: peer, frame }));
                self.input(Input::Connected(peer))?;
            }
            Event::Disconnected(Remote::Validator(peer)) => {
                self.connected.remove(&peer);
                self.follow.disconnected(Remote::Validator(peer));
                self.forget_asked(Remote::Validator(peer));
                self.training.disconnected(Remote::Validator(peer));
                self.budget.disconnected(Remote::Validator(peer));
            }
            Event::Frame { from, .. } if self.budget.is_shunned(from, Instant::now()) => {}
            Event::Frame { from, frame: Frame::Evidence(evidence), .. } => self.take_evidence(*evidence, Some(from))?,
            Event::Frame { from: Remote::Validator(from), frame, .. } => self.frame(from, frame)?,
            // An observer passes on what its clients hand in.
            Event::Frame { from: from @ Remote::Observer(_), frame: Frame::Transactions(transactions), .. } => {
                for transaction in transactions {
                    let outcome = self.submit(transaction);
                    self.passed_on(from, outcome);
                }
            }
            Event::Requested { request, from } => {
                self.outbox.commands.push(follow::respond(&self.ledger, &request, from)?);
            }
            Event::Response { exchange: Exchange::Sync, from, response } => self.answered(from, response)?,
            Event::Response { exchange: Exchange::Proof, from, response } => self.proof_arrived(from, response),
            Event::Response { exchange: Exchange::Blob, from, response } => self.blob_arrived(from, response),
            // The network has said so in the log.
            Event::Twin => return Err(NodeError::Twin(self.key.address())),
            Event::Disconnected(observer @ Remote::Observer(_)) => self.budget.disconnected(observer),
            Event::Connected(Remote::Observer(_)) | Event::Frame { from: Remote::Observer(_), .. } => {}
            // It is another thread that asks for these.
            Event::Response { exchange: Exchange::Results, .. } => {}
        }
        Ok(())
    }

    fn frame(&mut self, from: ValidatorIndex, frame: Frame) -> Result<(), NodeError> {
        match frame {
            Frame::Consensus(words) => {
                self.metrics.vote_received(words.kind());
                self.input(Input::Heard { from, words: *words })?;
            }
            Frame::Height(height) => {
                self.follow.heard(Remote::Validator(from), height);
                if height > self.ledger.tip().height + 2 * PIPELINE {
                    self.fetch();
                }
            }
            Frame::Transactions(transactions) => {
                for transaction in transactions {
                    let outcome = self.admit(transaction);
                    self.passed_on(Remote::Validator(from), outcome);
                }
            }
            Frame::Addresses(_) | Frame::Evidence(_) | Frame::Hello(_) | Frame::Twins(_) => {}
        }
        Ok(())
    }

    /// Keeps evidence that holds, and passes it on if it is news.
    pub(super) fn take_evidence(&mut self, evidence: Evidence, from: Option<Remote>) -> Result<(), NodeError> {
        match self.evidence.add(&evidence) {
            Ok(true) => {
                tracing::error!(validator = %evidence.validator(), ?evidence, "a validator contradicted itself");
                self.metrics.caught(evidence.validator(), evidence.kind().name());
                let accused = evidence.validator();
                self.broadcast(&Frame::Evidence(Box::new(evidence)));
                if accused == self.me && self.liar.is_none() {
                    return Err(NodeError::Contradicted(self.key.address()));
                }
            }
            // Once is proof; who goes on only makes work.
            Ok(false) if from.is_none() => self.charge_fault(Remote::Validator(evidence.validator())),
            Ok(false) => {}
            Err(EvidenceRefusal::Store(error)) => return Err(error.into()),
            Err(EvidenceRefusal::Invalid(error)) => {
                tracing::warn!(?from, %error, "evidence that proves nothing");
                if let Some(validator) = from.and_then(|peer| peer.validator()) {
                    self.count_fault(validator);
                }
                let offence = Offence::BadEvidence;
                self.outbox.commands.extend(from.map(|peer| Command::CutOff { peer, offence }));
            }
        }
        Ok(())
    }

    pub(super) fn fetch(&mut self) {
        if self.keeps_to_itself() {
            return;
        }
        self.outbox.commands.extend(self.follow.fetch(&self.ledger, Instant::now()));
    }

    fn answered(&mut self, from: Remote, response: Option<Vec<u8>>) -> Result<(), NodeError> {
        let (before, mut decided) = (self.ledger.tip().height, Vec::new());
        match self.follow.answered(&mut self.ledger, from, response, Instant::now())? {
            follow::Answer::Nothing => {}
            follow::Answer::Offence(what) => self.cut_off(from, &what),
            follow::Answer::Installed => {
                self.metrics.sync_snapshots.inc();
                self.enter_open_races();
                self.lines_skipped();
                self.rounds_moved();
                // Consensus learns of the checkpoint as from anybody else, with its proof.
                if let Some(stable) = self.ledger.stable_checkpoint().cloned() {
                    let words = self.engine.stable_words(stable);
                    self.input(Input::Heard { from: self.me, words })?;
                }
            }
            follow::Answer::Blocks(blocks) => {
                let wrong = follow::commit_all(before, blocks, |block, certificate| {
                    let block_hash = certificate.block_hash;
                    self.commit(block, certificate)?;
                    decided.push(block_hash);
                    self.metrics.sync_blocks.inc();
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
            tracing::info!(peer = %from, from_height = before, height, "caught up");
            if let Some(certificate) = self.ledger.certificate(height)? {
                let base = engine::base(&self.ledger);
                self.input(Input::Answer(Answer::CaughtUp { certificate, base, decided }))?;
            }
        }
        self.fetch();
        Ok(())
    }

    fn cut_off(&mut self, peer: Remote, what: &str) {
        tracing::warn!(%peer, what, "a peer sent what no correct peer sends");
        if let Some(validator) = peer.validator() {
            self.count_fault(validator);
        }
        self.outbox.commands.push(Command::CutOff { peer, offence: Offence::BadBlocks });
    }

    /// What became of a transaction that a peer passed on. None does so with one that holds nowhere.
    fn passed_on(&mut self, from: Remote, outcome: Result<B256, AdmissionError>) {
        let Err(error) = outcome else { return };
        tracing::debug!(peer = %from, %error, "a transaction was not admitted");
        if error.is_malformed() {
            self.charge_fault(from);
        }
    }

    pub(crate) fn count_fault(&mut self, peer: ValidatorIndex) {
        if let Some(count) = self.faults.get_mut(peer.as_usize()) {
            *count += 1;
        }
    }

    /// Cuts a peer off once it has sent too much of what no correct peer sends.
    pub(crate) fn charge_fault(&mut self, peer: Remote) {
        if self.budget.charge(peer, Instant::now()) {
            tracing::warn!(%peer, "too many faulty messages");
            self.outbox.commands.push(Command::CutOff { peer, offence: Offence::Faults });
        }
    }
}
