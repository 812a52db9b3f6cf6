//! What must never happen.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use dtn_consensus::{Decision, Evidence, chained::Lapse};
use dtn_primitives::{
    B256, Block, Certificate, CertificateError, CheckpointCertificate, Mining, ValidatorIndex, Vote, VoteKind,
};

use crate::{
    Chain, Conviction, Members, Scenario, Signed, Statement, books::OpenRaces, forensics::Transcript, works::Works,
};

/// The room for open races of lines, which the validators share, and for those of orders, which the requesters share.
const MAX_OPEN_RACES: usize = 16_384;

/// How long a line may be open without a claim: an hour, and the time until there is a block again.
const LONGEST_LINE: Duration = Duration::from_secs(61 * 60);

/// How a run broke a promise of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Two correct replicas decided differently.
    #[error("replicas {first} and {second} decided different blocks at height {height}")]
    Forked {
        /// The height.
        height: u64,
        /// One of them.
        first: ValidatorIndex,
        /// The other.
        second: ValidatorIndex,
    },
    /// Two correct replicas committed to different blocks of a height in one view, or without views found them final.
    #[error("replicas {first} and {second} committed to different blocks at height {height}, view {view}")]
    Divided {
        /// The view, 0 where commits are in none.
        view: u64,
        /// The height.
        height: u64,
        /// One of them.
        first: ValidatorIndex,
        /// The other.
        second: ValidatorIndex,
    },
    /// A correct replica decided a block that does not follow its last one.
    #[error("replica {replica} decided height {height} out of order")]
    Misordered {
        /// Which.
        replica: ValidatorIndex,
        /// The height.
        height: u64,
    },
    /// A correct replica decided without proof, or holds a checkpoint without proof.
    #[error("a certificate of replica {replica} for height {height} does not hold: {error}")]
    Unproven {
        /// Which.
        replica: ValidatorIndex,
        /// The height.
        height: u64,
        /// What is wrong with the certificate.
        error: CertificateError,
    },
    /// A certificate is for something else than the block that it came with.
    #[error("replica {replica} decided height {height} with the certificate of another block")]
    Mismatched {
        /// Which.
        replica: ValidatorIndex,
        /// The height.
        height: u64,
    },
    /// Two correct replicas decided the same block, and executing it led to different states.
    #[error("replicas {first} and {second} are in different states after height {height}")]
    StatesDiffer {
        /// The height.
        height: u64,
        /// One of them.
        first: ValidatorIndex,
        /// The other.
        second: ValidatorIndex,
    },
    /// A checkpoint is stable with a state that no correct replica has there.
    #[error("what is stable at height {0} is the state of no correct replica")]
    FalseState(u64),
    /// Two checkpoints of one height are stable with different states.
    #[error("two states are stable at height {0}")]
    TwoStates(u64),
    /// A correct replica sent two votes that contradict each other.
    #[error("replica {} voted twice at height {}, view {}", .first.validator, .first.height, .first.view)]
    Contradicted {
        /// What it said first.
        first: Arc<Vote>,
        /// What it said later.
        second: Arc<Vote>,
    },
    /// A correct replica voted in a view that it had left.
    #[error("replica {} voted in view {} after it had left for view {left_for}", .vote.validator, .vote.view)]
    Returned {
        /// Its vote.
        vote: Arc<Vote>,
        /// The view that it had asked for before.
        left_for: u64,
    },
    /// A correct replica committed to a block and did not say so when it left the view.
    #[error("replica {replica} asked for view {view} and forgot that it had committed at height {height}")]
    Forgot {
        /// Which.
        replica: ValidatorIndex,
        /// The view that it asked for.
        view: u64,
        /// The height.
        height: u64,
    },
    /// There is evidence against a correct replica, or what is said to be evidence is none.
    #[error("replica {0} was accused")]
    Accused(ValidatorIndex),
    /// A correct replica found fault with a message of another, though all are correct.
    #[error("replica {by} finds fault with replica {of}: {fault}")]
    Blamed {
        /// Who.
        by: ValidatorIndex,
        /// With whom.
        of: ValidatorIndex,
        /// What.
        fault: String,
    },
    /// A correct replica whose disk is its own does not remember what it said.
    #[error("replica {0} does not remember what it said, though its disk is its own")]
    Doubted(ValidatorIndex),
    /// A correct replica keeps a mined block that does not show its work, or decided one.
    #[error("replica {replica} takes a block at height {height} without its work: {reason}")]
    Workless {
        /// Which.
        replica: ValidatorIndex,
        /// The height.
        height: u64,
        /// What is wrong with the work.
        reason: String,
    },
    /// A mined block is final though nowhere so many blocks are on top of it as it takes to be confirmed.
    #[error("replica {replica} decided height {height} before the block was confirmed")]
    Unconfirmed {
        /// Who decided it first.
        replica: ValidatorIndex,
        /// The height.
        height: u64,
    },
    /// An account has more open races than its share of the room.
    #[error("at replica {replica} one account has {open} open races, and its share is {share}")]
    Crowded {
        /// At whom.
        replica: ValidatorIndex,
        /// How many.
        open: usize,
        /// The most that it may have.
        share: usize,
    },
    /// A race that nobody has claimed did not end in its time.
    #[error("at replica {replica} a line is open for {open:?} of block time, and nobody has claimed it")]
    Endless {
        /// At whom.
        replica: ValidatorIndex,
        /// For how long.
        open: Duration,
    },
    /// A correct replica mines on top of a chain that leaves out a block that it has decided.
    #[error("replica {replica} left a final block to mine height {height}")]
    Left {
        /// Which.
        replica: ValidatorIndex,
        /// The height of the block that it would mine.
        height: u64,
    },
}

/// Watches what correct replicas do and say.
#[derive(Debug)]
pub(crate) struct Oracle {
    correct: Vec<bool>,
    /// Who may have forgotten what it said: its disk was replaced.
    forgetful: Vec<bool>,
    /// By height, the block, the state after it, and who decided it first.
    decided: BTreeMap<u64, (B256, B256, ValidatorIndex)>,
    stable: BTreeMap<u64, B256>,
    votes: HashMap<(ValidatorIndex, VoteKind, u64, u64), Arc<Vote>>,
    /// The highest view that each has asked for.
    left_for: BTreeMap<ValidatorIndex, u64>,
    /// By validator and height, the highest view in which it committed, and to what.
    commits: BTreeMap<(ValidatorIndex, u64), (u64, B256)>,
    /// By view and height, what was committed to, and by whom first.
    committed: HashMap<(u64, u64), (B256, ValidatorIndex)>,
    /// What is known of everybody, where replicas may disagree.
    transcript: Option<Transcript>,
    /// Whether replicas keep what they hear, and not only what makes blocks final.
    keeps: bool,
    /// What was broken and did not end the run, where that is to show what else is: the first of each kind.
    pub(crate) suspended: Vec<Violation>,
    /// Of every block that a correct replica passed on.
    parents: HashMap<B256, B256>,
    /// Where blocks are mined.
    works: Option<Works>,
}

impl Oracle {
    /// For a run that begins with this chain, whose blocks may be mined.
    pub(crate) fn new(scenario: &Scenario, mining: Option<Mining>, chain: &Chain) -> Self {
        let may_disagree = scenario.beyond_tolerance || scenario.lapse.is_some();
        Self {
            forgetful: vec![false; scenario.n],
            correct: (0..scenario.n).map(|index| !scenario.adversaries.contains_key(&index)).collect(),
            decided: BTreeMap::new(),
            stable: BTreeMap::new(),
            votes: HashMap::new(),
            left_for: BTreeMap::new(),
            commits: BTreeMap::new(),
            committed: HashMap::new(),
            transcript: may_disagree.then(Transcript::default),
            keeps: scenario.lapse != Some(Lapse::KeepsCertificates),
            suspended: Vec::new(),
            parents: HashMap::new(),
            works: mining.map(|mining| Works::new(mining, chain.foundation())),
        }
    }

    pub(crate) fn is_correct(&self, replica: ValidatorIndex) -> bool {
        self.correct.get(replica.as_usize()).copied().unwrap_or(false)
    }

    /// A promise is broken. Where replicas may disagree the run goes on nevertheless: what matters is whether they do.
    fn suspend(&mut self, violation: Violation) -> Result<(), Violation> {
        if self.transcript.is_none() {
            return Err(violation);
        }
        let is_same = |known: &Violation| std::mem::discriminant(known) == std::mem::discriminant(&violation);
        if !self.suspended.iter().any(is_same) {
            self.suspended.push(violation);
        }
        Ok(())
    }

    /// A correct replica hears or says what shows that these things were signed.
    pub(crate) fn hears(&mut self, signed: impl FnOnce() -> Vec<Signed>, members: &Members) {
        if let Some(transcript) = self.transcript.as_mut().filter(|_| self.keeps) {
            transcript.hear(signed(), members);
        }
    }

    /// Whom all that is known to correct replicas convicts.
    pub(crate) fn culprits(&self, members: &Members) -> Vec<Conviction> {
        self.transcript.as_ref().map(|transcript| transcript.culprits(members)).unwrap_or_default()
    }

    /// A correct replica's disk is replaced: it may contradict from now on what it said before. What it decides, it still
    /// decides as everybody does.
    pub(crate) fn forgets(&mut self, replica: ValidatorIndex) {
        if let Some(forgetful) = self.forgetful.get_mut(replica.as_usize()) {
            *forgetful = true;
        }
    }

    fn is_forgetful(&self, replica: ValidatorIndex) -> bool {
        self.forgetful.get(replica.as_usize()).copied().unwrap_or(false)
    }

    pub(crate) fn decides(
        &mut self,
        replica: ValidatorIndex,
        decision: &Decision,
        state: B256,
        members: &Members,
    ) -> Result<(), Violation> {
        let Decision { block, certificate } = decision;
        let height = block.header.height;
        if (certificate.height, certificate.block_hash) != (height, block.header.hash()) {
            return Err(Violation::Mismatched { replica, height });
        }
        self.transcript.iter_mut().for_each(|it| it.hear(Signed::certificate(certificate), members));
        match self.decided.get(&height) {
            Some((hash, _, first)) if *hash != certificate.block_hash => {
                return Err(Violation::Forked { height, first: *first, second: replica });
            }
            Some((_, theirs, first)) if *theirs != state => {
                return Err(Violation::StatesDiffer { height, first: *first, second: replica });
            }
            Some(_) => {}
            None => {
                self.deserves(replica, height, certificate.block_hash)?;
                self.decided.insert(height, (certificate.block_hash, state, replica));
            }
        }
        let proven = certificate.verify(members.domain(), members.validators());
        proven.or_else(|error| self.suspend(Violation::Unproven { replica, height, error }))
    }

    /// What is open at a correct replica after a block.
    pub(crate) fn has_open(
        &self,
        replica: ValidatorIndex,
        races: OpenRaces,
        members: &Members,
    ) -> Result<(), Violation> {
        let requesters = members.ledger().map_or(0, |(genesis, _)| genesis.requesters.len());
        for (open, sharers) in [(races.lines, members.len()), (races.orders, requesters)] {
            let share = MAX_OPEN_RACES / sharers.max(1);
            if open > share {
                return Err(Violation::Crowded { replica, open, share });
            }
        }
        let open = races.oldest_line;
        if open > LONGEST_LINE { Err(Violation::Endless { replica, open }) } else { Ok(()) }
    }

    /// A block that is mined shows its work before it is final, and is confirmed.
    fn deserves(&self, replica: ValidatorIndex, height: u64, hash: B256) -> Result<(), Violation> {
        let Some(works) = &self.works else { return Ok(()) };
        if !works.contains(hash) {
            return Err(Violation::Workless { replica, height, reason: "nobody has shown it".into() });
        }
        if works.is_confirmed(hash, height) { Ok(()) } else { Err(Violation::Unconfirmed { replica, height }) }
    }

    /// A correct replica keeps a mined block.
    pub(crate) fn keeps(&mut self, replica: ValidatorIndex, block: &Block, nonce: u64) -> Result<(), Violation> {
        let height = block.header.height;
        let taken = self.works.as_mut().map_or(Ok(()), |works| works.take(block, nonce));
        taken.map_err(|reason| Violation::Workless { replica, height, reason })
    }

    pub(crate) fn stable(
        &mut self,
        replica: ValidatorIndex,
        certificate: &CheckpointCertificate,
        members: &Members,
    ) -> Result<(), Violation> {
        let CheckpointCertificate { height, state_root, .. } = *certificate;
        if *self.stable.entry(height).or_insert(state_root) != state_root {
            return Err(Violation::TwoStates(height));
        }
        if self.decided.get(&height).is_some_and(|(_, state, _)| *state != state_root) {
            return Err(Violation::FalseState(height));
        }
        let proven = certificate.verify(members.domain(), members.validators());
        proven.map_err(|error| Violation::Unproven { replica, height, error })
    }

    /// A correct replica sends a message that states these things.
    pub(crate) fn says(&mut self, sender: ValidatorIndex, statements: Vec<Statement>) -> Result<(), Violation> {
        for statement in statements {
            match statement {
                Statement::Block { hash, parent } => _ = self.parents.insert(hash, parent),
                Statement::Vote(_) | Statement::Leave { .. } if self.is_forgetful(sender) => {}
                Statement::Vote(vote) if vote.validator == sender => self.votes_once(vote)?,
                Statement::Leave { validator, view, decided, prepared } if validator == sender => {
                    let left_for = self.left_for.entry(sender).or_default();
                    *left_for = view.max(*left_for);
                    self.remembers(sender, view, decided.as_ref(), &prepared)?;
                }
                // Passed on.
                Statement::Vote(_) | Statement::Leave { .. } => {}
            }
        }
        Ok(())
    }

    fn votes_once(&mut self, vote: Arc<Vote>) -> Result<(), Violation> {
        let left_for = self.left_for.get(&vote.validator).copied().unwrap_or(0);
        let known = self.votes.entry((vote.validator, vote.kind, vote.view, vote.height)).or_insert(vote.clone());
        if *known != vote {
            return Err(Violation::Contradicted { first: known.clone(), second: vote });
        }
        if vote.view < left_for && vote.kind != VoteKind::Checkpoint {
            return Err(Violation::Returned { vote, left_for });
        }
        if vote.kind == VoteKind::Commit {
            let committed = self.commits.entry((vote.validator, vote.height)).or_default();
            if vote.view >= committed.0 {
                *committed = (vote.view, vote.block_hash);
            }
            let Vote { view, height, validator: second, block_hash, .. } = *vote;
            let (block, first) = *self.committed.entry((view, height)).or_insert((block_hash, second));
            if block != block_hash {
                return self.suspend(Violation::Divided { view, height, first, second });
            }
        }
        Ok(())
    }

    /// What it committed to above the decided height it has prepared, in that view or later; unless another block took
    /// the place of one below, in a later view.
    fn remembers(
        &self,
        replica: ValidatorIndex,
        view: u64,
        decided: Option<&Certificate>,
        prepared: &[(u64, u64, B256)],
    ) -> Result<(), Violation> {
        let above = decided.map_or(1, |decided| decided.height.saturating_add(1));
        for ((_, height), (committed_in, block_hash)) in self.commits.range((replica, above)..=(replica, u64::MAX)) {
            let kept = prepared.iter().any(|(in_view, at, _)| {
                (at == height && in_view >= committed_in) || (at < height && in_view > committed_in)
            });
            let decided_otherwise = || {
                decided.is_some_and(|decided| {
                    decided.view > *committed_in
                        && self.ancestor(*block_hash, height - decided.height) != Some(decided.block_hash)
                })
            };
            if !kept && !decided_otherwise() {
                return Err(Violation::Forgot { replica, view, height: *height });
            }
        }
        Ok(())
    }

    /// The block so many below another, if all between them are known.
    fn ancestor(&self, block_hash: B256, generations: u64) -> Option<B256> {
        (0..generations).try_fold(block_hash, |hash, _| self.parents.get(&hash).copied())
    }

    /// A correct replica has evidence. Who forgot what it said may have contradicted it.
    pub(crate) fn accuses(&self, evidence: &Evidence, members: &Members) -> Result<(), Violation> {
        let accused = evidence.first.validator;
        let holds = evidence.verify(members.domain(), members.validators()).is_ok();
        if holds && (!self.is_correct(accused) || self.is_forgetful(accused)) {
            Ok(())
        } else {
            Err(Violation::Accused(accused))
        }
    }

    /// A correct replica finds that it forgot what it said.
    pub(crate) fn doubts(&self, replica: ValidatorIndex) -> Result<(), Violation> {
        if self.is_forgetful(replica) { Ok(()) } else { Err(Violation::Doubted(replica)) }
    }

    /// A correct replica finds fault with a message. What a liar says may be passed on, so this tells something only
    /// if there is none and nobody forgot.
    pub(crate) fn blames(&mut self, by: ValidatorIndex, of: ValidatorIndex, fault: String) -> Result<(), Violation> {
        let all_correct = self.correct.iter().all(|correct| *correct) && !self.forgetful.contains(&true);
        if all_correct { self.suspend(Violation::Blamed { by, of, fault }) } else { Ok(()) }
    }

    /// The highest height that a correct replica has decided.
    pub(crate) fn height(&self) -> u64 {
        self.decided.last_key_value().map_or(0, |(height, _)| *height)
    }
}
