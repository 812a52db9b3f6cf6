//! Rounds of sequential work: what opens one, what completes it, and how it closes.

use dtn_primitives::{Address, B256, Closing, Completed, Completion, Kind, Round, RoundOrder, Rounds, WorkResult};

use super::Execution;
use crate::rules::{Refusal, Rules};

impl Rules {
    /// Whether the sender may ask for such a round, if there is none under way.
    pub(crate) fn allow_round(&self, sender: Address, round: &RoundOrder) -> Result<(), Refusal> {
        if !self.requesters.contains(&sender) {
            return Err(Refusal::NotRequester(sender));
        }
        let (quorum, validators) = (round.quorum, self.validators().len());
        if usize::from(quorum) > validators { Err(Refusal::RoundQuorum { quorum, validators }) } else { Ok(()) }
    }

    /// Whether the open round takes a validator's completion, as far as that does not depend on the time. That its proof
    /// holds, every peer has verified before the completion gets here.
    pub(crate) fn allow_completion<'a>(
        &self,
        node: Address,
        round: u64,
        rounds: &'a Rounds,
    ) -> Result<&'a Round, Refusal> {
        let open = self.allow_close(node, round, rounds)?;
        if open.takes(node) { Ok(open) } else { Err(Refusal::CompletedBefore { round, node }) }
    }

    /// Whether a validator may say that the open round is over, as far as that does not depend on the time.
    pub(crate) fn allow_close<'a>(&self, node: Address, round: u64, rounds: &'a Rounds) -> Result<&'a Round, Refusal> {
        if self.validators().index_of(node).is_none() {
            return Err(Refusal::NotValidator(node));
        }
        rounds.open(round).ok_or(Refusal::RoundNotOpen(round))
    }
}

impl Execution<'_> {
    pub(super) fn rounds(&self) -> &Rounds {
        self.changes.rounds.as_ref().unwrap_or_else(|| self.parent.rounds())
    }

    pub(super) fn open_round(&mut self, sender: Address, order: &RoundOrder) -> Result<(), Refusal> {
        self.rules.allow_round(sender, order)?;
        if let Some(open) = &self.rounds().open {
            return Err(Refusal::RoundUnderWay(open.number));
        }
        self.begin_round(order);
        Ok(())
    }

    /// Opens a round where none is open.
    pub(super) fn begin_round(&mut self, order: &RoundOrder) {
        let rounds = self.rounds();
        let number = rounds.last.saturating_add(1);
        let round = Round {
            number,
            height: self.height,
            // Follows from the block, see `Changes::sealed`.
            block_hash: B256::ZERO,
            steps: order.steps,
            quorum: order.quorum,
            reward: order.reward,
            opened_at_ms: self.timestamp_ms,
            deadline_ms: self.timestamp_ms.saturating_add(order.duration_ms),
            completed: Vec::new(),
            closing: None,
        };
        self.changes.rounds = Some(Rounds { last: number, beacon: rounds.beacon, open: Some(round) });
    }

    pub(super) fn complete_round(&mut self, node: Address, completion: &Completion) -> Result<(), Refusal> {
        let (number, timestamp_ms) = (completion.round, self.timestamp_ms);
        let open = self.rules.allow_completion(node, number, self.rounds())?;
        if open.height == self.height {
            return Err(Refusal::RoundNotOpen(number));
        }
        if timestamp_ms > open.deadline_ms {
            return Err(Refusal::RoundOver { round: number, deadline_ms: open.deadline_ms, timestamp_ms });
        }
        let mut round = open.clone();
        self.results.push(WorkResult {
            kind: Kind::ROUND,
            id: Round::id(number, node),
            worker: node,
            payee: completion.payee,
            amount: round.reward,
            digest: round.outcome(node, completion.result),
        });
        round.completed.push(Completed { node, height: self.height, timestamp_ms, completion: completion.clone() });
        if round.completed.len() >= usize::from(round.quorum) {
            self.close(round);
        } else {
            let rounds = self.rounds();
            self.changes.rounds = Some(Rounds { open: Some(round), ..*rounds });
        }
        Ok(())
    }

    pub(super) fn end_round(&mut self, sender: Address, number: u64) -> Result<(), Refusal> {
        let timestamp_ms = self.timestamp_ms;
        let open = self.rules.allow_close(sender, number, self.rounds())?;
        if timestamp_ms <= open.deadline_ms {
            return Err(Refusal::RoundNotOver { round: number, deadline_ms: open.deadline_ms, timestamp_ms });
        }
        let round = open.clone();
        self.close(round);
        Ok(())
    }

    fn close(&mut self, mut round: Round) {
        let rounds = self.rounds();
        let (last, beacon) = (rounds.last, round.beacon(rounds.beacon));
        let validators = self.rules.validators().iter().map(|(_, validator)| validator.address);
        let missing = validators.filter(|node| round.takes(*node)).collect();
        round.closing = Some(Closing { height: self.height, timestamp_ms: self.timestamp_ms, missing, beacon });
        self.changes.rounds = Some(Rounds { last, beacon, open: None });
        self.changes.closed_rounds.push(round);
    }
}
