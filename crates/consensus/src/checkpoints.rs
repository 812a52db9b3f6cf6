//! Agreement on the state itself, every [`CHECKPOINT_INTERVAL`] heights (Castro & Liskov, OSDI '99, §4.3), for any protocol
//! whose blocks are certified.

use std::{collections::BTreeMap, sync::Arc};

use dtn_primitives::{
    B256, CertificateError, CheckpointCertificate, Evidence, KeyError, ValidatorIndex, Vote, VoteKind,
};

use crate::{
    pbft::{CHECKPOINT_INTERVAL, LOG_WINDOW, PbftConfig},
    quorum::{Added, Tally},
};

/// The last stable checkpoint, and the votes for those above it.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    stable: Option<CheckpointCertificate>,
    votes: BTreeMap<u64, Tally<Arc<Vote>>>,
    /// This replica's own for a height beyond the window that it knows of, to which it has caught up. It says it until the
    /// others have told it what is stable: until then it can vote on nothing.
    beyond: Option<Arc<Vote>>,
}

/// What comes of a vote for a checkpoint.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Nothing.
    Nothing,
    /// It is for one that is stable, or older than that; who sends its own has yet to hear of it.
    Old(CheckpointCertificate),
    /// The checkpoint is stable.
    Stable(CheckpointCertificate),
    /// The validator has said something else before.
    Contradicts(Box<Evidence>),
}

/// What can be wrong with a word about a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckpointFault {
    /// It is no vote for a checkpoint.
    WrongKind,
    /// Its height is not a multiple of the interval.
    NotCheckpoint(u64),
    /// The vote is not signed by who it names.
    Signature(KeyError),
    /// The certificate is not a quorum's.
    Certificate(CertificateError),
}

impl Checkpoints {
    pub(crate) fn new(stable: Option<CheckpointCertificate>) -> Self {
        Self { stable, votes: BTreeMap::new(), beyond: None }
    }

    /// Takes in a vote of this replica, also after a restart.
    pub(crate) fn keep(&mut self, vote: Arc<Vote>) {
        if self.in_window(vote.height) {
            self.votes.entry(vote.height).or_default().extend([vote]);
        } else if vote.height > self.beyond.as_ref().map_or(self.height(), |beyond| beyond.height) {
            self.beyond = Some(vote);
        }
    }

    pub(crate) fn stable(&self) -> Option<&CheckpointCertificate> {
        self.stable.as_ref()
    }

    /// The height of the last stable checkpoint (the paper's low-water mark).
    pub(crate) fn height(&self) -> u64 {
        self.stable.as_ref().map_or(0, |stable| stable.height)
    }

    /// What a replica has said about checkpoints that are not stable yet.
    pub(crate) fn own(&self, me: ValidatorIndex) -> impl Iterator<Item = Arc<Vote>> {
        self.votes.values().filter_map(move |votes| votes.of(me).cloned()).chain(self.beyond.clone())
    }

    fn in_window(&self, height: u64) -> bool {
        height > self.height() && height - self.height() <= LOG_WINDOW
    }

    /// The host has executed everything up to this height: the vote that follows, if it is time for one, to be made durable
    /// and said to all. [`Checkpoints::stabilize`] says whether it was the last one that was lacking.
    pub(crate) fn executed(&mut self, height: u64, state_root: B256, config: &PbftConfig) -> Option<Arc<Vote>> {
        if height == 0 || !height.is_multiple_of(CHECKPOINT_INTERVAL) || height <= self.height() {
            return None;
        }
        let PbftConfig { me, key, domain, validators, .. } = config;
        let place = (validators.epoch(), 0, height);
        let vote = Arc::new(Vote::sign(VoteKind::Checkpoint, place, state_root, *me, key, domain));
        self.keep(vote.clone());
        Some(vote)
    }

    /// Takes in another's vote.
    pub(crate) fn hear(&mut self, vote: Arc<Vote>, config: &PbftConfig) -> Result<Heard, CheckpointFault> {
        let Vote { kind, height, block_hash: state_root, .. } = *vote;
        if kind != VoteKind::Checkpoint {
            return Err(CheckpointFault::WrongKind);
        }
        if !height.is_multiple_of(CHECKPOINT_INTERVAL) {
            return Err(CheckpointFault::NotCheckpoint(height));
        }
        if let Some(stable) = self.stable.as_ref().filter(|stable| height <= stable.height) {
            return Ok(Heard::Old(stable.clone()));
        }
        let known = self.votes.get(&height).and_then(|votes| votes.of(vote.validator));
        if !self.in_window(height) || known == Some(&vote) {
            return Ok(Heard::Nothing);
        }
        vote.verify(&config.domain, &config.validators).map_err(CheckpointFault::Signature)?;
        match self.votes.entry(height).or_default().add(vote.clone()) {
            Added::New => Ok(self.stabilize(height, state_root, config).map_or(Heard::Nothing, Heard::Stable)),
            Added::Duplicate => Ok(Heard::Nothing),
            Added::Conflicting(first) => Ok(Heard::Contradicts(Box::new(Evidence::new(&first, &vote)))),
        }
    }

    /// A peer says that a later checkpoint is stable, and proves it.
    pub(crate) fn prove(
        &mut self,
        certificate: CheckpointCertificate,
        config: &PbftConfig,
    ) -> Result<Option<CheckpointCertificate>, CheckpointFault> {
        if certificate.height <= self.height() {
            return Ok(None);
        }
        if !certificate.height.is_multiple_of(CHECKPOINT_INTERVAL) {
            return Err(CheckpointFault::NotCheckpoint(certificate.height));
        }
        certificate.verify(&config.domain, &config.validators).map_err(CheckpointFault::Certificate)?;
        self.set_stable(certificate.clone());
        Ok(Some(certificate))
    }

    /// §4.3: a checkpoint is stable once a quorum says the same about it. Gives it if it has become so.
    pub(crate) fn stabilize(
        &mut self,
        height: u64,
        state_root: B256,
        config: &PbftConfig,
    ) -> Option<CheckpointCertificate> {
        let quorum = self.votes.get(&height)?.quorum_for(state_root, &config.validators)?;
        let certificate = CheckpointCertificate::from_votes(quorum.map(Arc::as_ref))?;
        self.set_stable(certificate.clone());
        Some(certificate)
    }

    fn set_stable(&mut self, certificate: CheckpointCertificate) {
        self.votes.retain(|height, _| *height > certificate.height);
        self.stable = Some(certificate);
        if let Some(vote) = self.beyond.take() {
            self.keep(vote);
        }
    }
}
