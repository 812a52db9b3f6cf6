//! The lines that this peer takes in: it signs them by its own account and sees to it that each becomes final.

pub(crate) mod port;

use std::collections::VecDeque;

use dtn_ledger::{AdmissionError, StoreError};
use dtn_primitives::{B256, Bytes, Line, Payload, Transaction};

use crate::{core::Core, host::Host};
pub(crate) use port::LineRefusal;

/// The most lines of this peer that are not final: half of what a mempool lets an account run ahead.
const MAX_UNDER_WAY: usize = dtn_ledger::NONCE_WINDOW as usize / 2;

/// The lines that this peer took in and has not seen final.
#[derive(Default)]
pub(crate) struct OwnLines {
    /// Those that wait, by transaction hash.
    signed: Vec<(B256, Line)>,
    /// Those that wait no longer, because another transaction of this account was executed with their nonce: one that was
    /// signed before a restart. They are signed anew.
    displaced: VecDeque<Line>,
}

impl Core {
    /// Signs a line for whoever sent it, and tells the others.
    pub(crate) fn take_line(&mut self, data: Bytes, expected_hashes: u64) -> Result<B256, LineRefusal> {
        if self.lines.signed.len() + self.lines.displaced.len() >= MAX_UNDER_WAY {
            return Err(LineRefusal::Busy);
        }
        Ok(self.sign_line(Line { nonce: 0, data, expected_hashes })?)
    }

    fn sign_line(&mut self, line: Line) -> Result<B256, AdmissionError> {
        let line = Line { nonce: self.ledger.free_nonce(self.key.address()), ..line };
        let hash = self.submit(Transaction::sign(Payload::Line(line.clone()), &self.key, &self.domain))?;
        self.lines.signed.push((hash, line));
        Ok(hash)
    }

    /// Forgets what is final, and signs anew what was displaced.
    pub(crate) fn lines_moved(&mut self) -> Result<(), StoreError> {
        let next = self.ledger.next_nonce(self.key.address());
        let over = self.lines.signed.extract_if(.., |(hash, _)| self.ledger.pending(*hash).is_none());
        for (hash, line) in over.collect::<Vec<_>>() {
            if line.nonce >= next {
                // It made room for others here, and may be waiting elsewhere: it must stay the same transaction.
                let again = Transaction::sign(Payload::Line(line.clone()), &self.key, &self.domain);
                self.submit(again).ok();
                self.lines.signed.push((hash, line));
            } else if self.ledger.transaction(hash)?.is_none() {
                tracing::info!(%hash, nonce = line.nonce, "a line is signed anew: its nonce was used by another");
                self.lines.displaced.push_back(line);
            }
        }
        while let Some(line) = self.lines.displaced.pop_front() {
            if let Err(error) = self.sign_line(line.clone()) {
                tracing::debug!(%error, "a line cannot be signed anew yet");
                self.lines.displaced.push_front(line);
                break;
            }
        }
        Ok(())
    }

    /// Blocks were skipped, and this peer does not know what was in them: what may be final is not signed again.
    pub(crate) fn lines_skipped(&mut self) {
        let next = self.ledger.next_nonce(self.key.address());
        self.lines.signed.retain(|(hash, line)| {
            if line.nonce < next {
                tracing::warn!(%hash, "a line was in blocks that this peer has skipped, or is lost");
            }
            line.nonce >= next
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use dtn_ledger::Ledger;
    use dtn_primitives::{Block, Certificate};

    use super::*;
    use crate::core::testing::{self, certificate, genesis, keys};

    fn core() -> Core {
        testing::core(genesis(), false).0
    }

    /// A final block of these lines on top of what others know.
    fn finalize(others: &mut Ledger, lines: &[Transaction]) -> (Arc<Block>, Certificate) {
        lines.iter().for_each(|line| _ = others.admit(line.clone()).unwrap());
        let (parent, proposer) = (others.tip().hash, keys()[0].address());
        let block = others.propose(parent, 1_800_000_000_000, proposer, 10, false).unwrap();
        let certificate = certificate(&block, &genesis());
        others.commit(block.clone(), &certificate).unwrap();
        (block, certificate)
    }

    #[test]
    fn a_line_whose_nonce_was_used_before_a_restart_is_signed_anew() {
        let (mut core, mut others) = (core(), Ledger::in_memory(genesis()).unwrap());
        let first = core.take_line(Bytes::from_static(b"first"), 9).unwrap();
        let second = core.take_line(Bytes::from_static(b"second"), 9).unwrap();
        // What this validator had signed before it was restarted, and the others still have.
        let before = Line { nonce: 0, data: Bytes::from_static(b"before"), expected_hashes: 9 };
        let before = Transaction::sign(Payload::Line(before), &core.key, &core.domain);
        let second_transaction = core.ledger.pending(second).unwrap().clone();
        let (block, certificate) = finalize(&mut others, &[before, second_transaction]);
        core.commit(block, certificate).unwrap();
        assert!(core.ledger.pending(first).is_none() && core.lines.displaced.is_empty());
        let [(anew, line)] = core.lines.signed.as_slice() else { panic!("{:?}", core.lines.signed) };
        assert_eq!((line.nonce, &line.data[..]), (2, &b"first"[..]), "the other is final");
        let anew = core.ledger.pending(*anew).unwrap().clone();
        assert!(core.outbox.transactions.contains(&anew), "the others are told");
        let (block, certificate) = finalize(&mut others, &[anew]);
        core.commit(block, certificate).unwrap();
        assert!(core.lines.signed.is_empty());
    }

    #[test]
    fn lines_that_are_not_final_are_bounded() {
        let mut core = core();
        for index in 0..MAX_UNDER_WAY {
            core.take_line(index.to_string().into_bytes().into(), 9).unwrap();
        }
        assert_eq!(core.take_line(Bytes::from_static(b"one more"), 9), Err(LineRefusal::Busy));
        assert!(core.lines.signed.iter().map(|(_, line)| line.nonce).eq(0..MAX_UNDER_WAY as u64));
    }
}
