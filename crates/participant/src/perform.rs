//! What a participant does when something is due.

use std::sync::Arc;

use dtn_primitives::{Address, B256, keccak256};
use dtn_train::audit_statement;
use dtn_trainer::{Blob, Library};
use dtn_training::{Call, Reveal, Stage, Subject, statement_path, statements_root};
use tokio::sync::OnceCell;

use crate::{
    Behaviour, Errand, Event, Participant, ParticipantError,
    behaviour::splice,
    made::{Best, Made},
    work::Task,
};

/// What a claim must leave of its window, in milliseconds: to be handed in, and final.
const MARGIN_MS: u64 = 1_000;

impl Participant {
    pub(crate) async fn perform(&self, task: &Arc<Task>, errand: Errand) -> Result<(), ParticipantError> {
        match errand {
            Errand::Train => self.train(task).await,
            Errand::Open => self.open(task).await,
            Errand::Reveal(claim) => self.reveal(task, claim).await,
            Errand::Score => self.score(task).await,
            Errand::CheckScores => self.check_scores(task).await,
            Errand::Trace(claim) => self.trace(task, claim).await,
            Errand::Audit(claim) => self.audit(task, claim).await,
            Errand::CheckSegments(claim) => self.check_segments(task, claim).await,
            Errand::CheckAudits(claim) => self.check_audits(task, claim).await,
            Errand::Rule => self.rule(task).await,
        }
    }

    async fn call(&self, task: &Task, call: &Call, blobs: &[Blob]) -> Result<(), ParticipantError> {
        self.hand.call(task.id(), call, blobs, &self.shop.library).await?;
        tracing::info!(order = %task.id(), call = call.name(), "done");
        self.tell(Event::Called(task.id(), call.name()));
        Ok(())
    }

    fn me(&self) -> Address {
        self.hand.account()
    }

    async fn train(&self, task: &Arc<Task>) -> Result<(), ParticipantError> {
        let (id, me) = (task.id(), self.me());
        if let Some(reveal) = self.folder.claims(id)?.first() {
            // Trained before a restart.
            return self.call(task, &Call::Claim { commitment: reveal.commitment(id, me) }, &[]).await;
        }
        if self.options.payee.is_zero() {
            return Err(ParticipantError::NoPayee);
        }
        self.tell(Event::Training(id));
        let worker = self.options.behaviour.worker(me);
        let until_ms = task.at.order.deadline_ms().saturating_sub(MARGIN_MS);
        let best = match self.make(task, worker, until_ms).await {
            // It would fail again, and take as long.
            Err(ParticipantError::Tool(error)) => {
                tracing::warn!(order = %id, %error, "nothing is claimed");
                self.tell(Event::Failed(id, error.to_string()));
                return Ok(());
            }
            best => best?,
        };
        let Some(Best { made, grade, .. }) = best else { return Err(ParticipantError::NoTime) };
        let (deal, rows) = (task.at.order.deal(), task.brief.terms.proof.material().fold.rows);
        if !grade.reaches(deal.baseline, deal.classes, rows) {
            tracing::info!(order = %id, ?grade, "nothing that was trained reaches the baseline; nothing is claimed");
            self.tell(Event::NotGood(id));
            return Ok(());
        }
        let made = self.as_it_behaves(task, made)?;
        made.keep(id, &self.shop.library)?;
        let reveal = made.reveal(self.options.payee);
        self.folder.keep_claim(id, &reveal)?;
        self.call(task, &Call::Claim { commitment: reveal.commitment(id, me) }, &[]).await
    }

    fn as_it_behaves(&self, task: &Task, made: Made) -> Result<Made, ParticipantError> {
        match (self.options.behaviour, made) {
            (Behaviour::Forger, Made::Run(run)) => Ok(Made::Run(Box::new(splice(task, *run, &self.shop.library)?))),
            (_, made) => Ok(made),
        }
    }

    async fn open(&self, task: &Arc<Task>) -> Result<(), ParticipantError> {
        let Some(holdout) = self.folder.holdout(task.id())? else {
            tracing::warn!(order = %task.id(), "the rows that are held out are not here; who has ordered elsewhere opens them there");
            return Ok(());
        };
        let opening = holdout.open(&task.at.order.drawn_rows()).encode();
        let rows = keccak256(&opening);
        self.shop.library.put(task.id(), &Blob::Rows(rows), &opening)?;
        self.call(task, &Call::Open { rows }, &[Blob::Rows(rows)]).await
    }

    /// What was committed to.
    fn own(&self, task: &Task, claim: u8) -> Result<Option<Reveal>, ParticipantError> {
        let id = task.id();
        let own = self.folder.claims(id)?;
        let stage = task.at.order.claims().get(usize::from(claim)).map(|claim| claim.stage);
        Ok(own.into_iter().find(|reveal| match stage {
            Some(Stage::Committed(commitment)) => reveal.commitment(id, self.me()) == commitment,
            Some(Stage::Revealed(revealed)) => *reveal == revealed,
            None => false,
        }))
    }

    async fn reveal(&self, task: &Arc<Task>, claim: u8) -> Result<(), ParticipantError> {
        if self.options.behaviour == Behaviour::Withholder {
            return Ok(());
        }
        let Some(reveal) = self.own(task, claim)? else {
            tracing::warn!(order = %task.id(), claim, "what was committed to is not here: the stake will be cut");
            return Ok(());
        };
        self.call(task, &Call::Reveal { claim, reveal }, &[Blob::Model(reveal.model)]).await
    }

    async fn trace(&self, task: &Arc<Task>, claim: u8) -> Result<(), ParticipantError> {
        let Some(reveal) = self.own(task, claim)? else { return Ok(()) };
        let trace = Blob::Trace(reveal.trace);
        let bytes = self.shop.library.get(task.id(), &trace)?.unwrap_or_default();
        let states = dtn_trainer::states_of(&bytes)?;
        let inner = states.get(1..states.len().saturating_sub(1)).unwrap_or_default();
        let blobs: Vec<_> = [trace].into_iter().chain(inner.iter().map(|hash| Blob::State(*hash))).collect();
        self.call(task, &Call::Trace { claim }, &blobs).await
    }

    async fn score(&self, task: &Arc<Task>) -> Result<(), ParticipantError> {
        let (behaviour, me) = (self.options.behaviour, self.me());
        if behaviour.waits_to_copy(&task.at.order) {
            let soon = tokio::time::Instant::now() + std::time::Duration::from_secs(2);
            tokio::time::sleep_until(soon).await;
        }
        let at = self.shop.peer.order(task.id()).await?;
        let call = match behaviour.scores(&at.order) {
            Some(call) => call,
            None => {
                self.shop.compute(task, move |task, library| task.brief.scores(&task.at.order, me, library)).await?
            }
        };
        self.call(task, &call, &[]).await
    }

    /// Compares what others state of claims with what they are worth, and challenges what is not so.
    async fn check_scores(&self, task: &Arc<Task>) -> Result<(), ParticipantError> {
        let found = self.shop.compute(task, |task, library| task.brief.found(&task.at.order, library)).await?;
        let (id, order, claims) = (task.id(), &task.at.order, task.at.order.scored_claims());
        if self.options.behaviour == Behaviour::Spammer {
            return self.challenge(task, Subject::Score { claim: 0 }, Vec::new()).await;
        }
        // The blocks are read once, and only if something is not as it should be.
        let calls = OnceCell::new();
        for found in &found {
            let settled = order.claims().get(usize::from(found.claim)).and_then(|claim| order.settled(claim));
            if settled.is_some_and(|grades| grades != found.grades) {
                self.challenge(task, Subject::Score { claim: found.claim }, Vec::new()).await?;
            }
        }
        for (place, member) in (0u8..).zip(order.committee()).filter(|(_, member)| member.account != self.me()) {
            let Some(root) = member.scores.filter(|_| member.out.is_none()) else { continue };
            let expected: Vec<_> = found.iter().map(|found| found.statement(id, member.account)).collect();
            if statements_root(&claims, &expected) == root {
                continue;
            }
            let is_it = |call: &Call| match call {
                Call::Scores { statements, .. } if statements_root(&claims, statements) == root => {
                    Some(statements.clone())
                }
                _ => None,
            };
            let calls = calls.get_or_try_init(|| self.shop.peer.calls(&task.at)).await?;
            let Some(stated) = stated(calls, member.account, is_it) else { continue };
            let false_ones =
                claims.iter().zip(&stated).zip(&expected).filter(|((_, stated), expected)| stated != expected);
            if let Some(((claim, statement), _)) = false_ones.into_iter().next() {
                let subject = Subject::Evaluated { claim: *claim as u8, member: place, statement: *statement };
                let path = statement_path(&claims, &stated, *claim).unwrap_or_default();
                self.challenge(task, subject, path).await?;
            }
        }
        Ok(())
    }

    async fn audit(&self, task: &Arc<Task>, claim: u8) -> Result<(), ParticipantError> {
        let (id, me, order) = (task.id(), self.me(), &task.at.order);
        let Some(place) = order.committee().iter().position(|member| member.account == me) else { return Ok(()) };
        let segments = order.segments_of(place);
        if let Some(call) = self.options.behaviour.audit(claim, &segments) {
            return self.call(task, &call, &[]).await;
        }
        let mut known = self.witnesses(id, claim);
        let wrong = self.shop.witnesses(task, claim, segments.iter().copied(), &mut known).await?;
        self.keep_witnesses(id, claim, known.clone());
        if let Some(segment) = wrong {
            return self.challenge(task, Subject::Segment { claim, segment }, Vec::new()).await;
        }
        let Some(commitment) = commitment(task, claim) else { return Ok(()) };
        let state = |segment: &u16| audit_statement(id, commitment, me, (*segment).into(), known[segment]);
        let statements = segments.iter().map(state).collect();
        self.call(task, &Call::Audit { claim, statements }, &[]).await
    }

    async fn check_segments(&self, task: &Arc<Task>, claim: u8) -> Result<(), ParticipantError> {
        let mut known = self.witnesses(task.id(), claim);
        let all = 0..task.at.order.work().segments;
        let wrong = self.shop.witnesses(task, claim, all, &mut known).await?;
        self.keep_witnesses(task.id(), claim, known);
        match wrong {
            Some(segment) => self.challenge(task, Subject::Segment { claim, segment }, Vec::new()).await,
            None if self.options.behaviour == Behaviour::Spammer => {
                self.challenge(task, Subject::Segment { claim, segment: 0 }, Vec::new()).await
            }
            None => Ok(()),
        }
    }

    /// Compares what others state of segments with the witnesses that are known here.
    async fn check_audits(&self, task: &Arc<Task>, claim: u8) -> Result<(), ParticipantError> {
        let (id, order, known) = (task.id(), &task.at.order, self.witnesses(task.id(), claim));
        let Some(commitment) = commitment(task, claim) else { return Ok(()) };
        let calls = self.shop.peer.calls(&task.at).await?;
        for (place, member) in (0u8..).zip(order.committee()).filter(|(_, member)| member.account != self.me()) {
            let Some(root) = member.audit.filter(|_| member.out.is_none()) else { continue };
            let segments = order.segments_of(place.into());
            let is_it = |call: &Call| match call {
                Call::Audit { statements, .. } if statements_root(&segments, statements) == root => {
                    Some(statements.clone())
                }
                _ => None,
            };
            let Some(stated) = stated(&calls, member.account, is_it) else { continue };
            let is_false = |(segment, statement): &(&u16, &B256)| {
                let of = |witness: &B256| audit_statement(id, commitment, member.account, (**segment).into(), *witness);
                known.get(segment).is_some_and(|witness| of(witness) != **statement)
            };
            if let Some((segment, statement)) = segments.iter().zip(&stated).find(is_false) {
                let (segment, statement) = (*segment, *statement);
                let subject = Subject::Audited { claim, segment, member: place, statement };
                let path = statement_path(&segments, &stated, segment).unwrap_or_default();
                self.challenge(task, subject, path).await?;
            }
        }
        Ok(())
    }

    /// Challenges something, unless it waits for a ruling already.
    async fn challenge(&self, task: &Task, subject: Subject, path: Vec<B256>) -> Result<(), ParticipantError> {
        let at = self.shop.peer.order(task.id()).await?;
        if at.order.open_subjects().any(|open| open == subject) {
            return Ok(());
        }
        tracing::info!(order = %task.id(), ?subject, "challenging");
        self.call(task, &Call::Challenge { subject, path }, &[]).await
    }

    async fn rule(&self, task: &Arc<Task>) -> Result<(), ParticipantError> {
        for subject in task.at.order.open_subjects() {
            let look = move |task: &Task, library: &Library| task.brief.verdict(&task.at.order, subject, library);
            let verdict = self.shop.compute(task, look).await?;
            let at = self.shop.peer.order(task.id()).await?;
            if at.order.open_subjects().any(|open| open == subject) {
                self.call(task, &Call::Ruling { subject, verdict }, &[]).await?;
            }
        }
        Ok(())
    }
}

/// What a claim's worker has committed to, which statements name.
fn commitment(task: &Task, claim: u8) -> Option<B256> {
    let worker = task.at.order.claims().get(usize::from(claim))?.worker;
    Some(task.at.order.revealed(claim)?.commitment(task.id(), worker))
}

/// What a member has stated in a final block.
fn stated(
    calls: &[(u64, Address, Call)],
    member: Address,
    is_it: impl Fn(&Call) -> Option<Vec<B256>>,
) -> Option<Vec<B256>> {
    calls.iter().filter(|(_, sender, _)| *sender == member).find_map(|(.., call)| is_it(call))
}
