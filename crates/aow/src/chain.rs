//! Chains of events, each of which takes its time: τᵢ = AOW(H(eᵢ ‖ τᵢ₋₁)).
//!
//! Who holds a chain knows the order of its events, and that about so much time has passed between them as the steps take.

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{Delay, Element, ProofError, Security, Statement, Trace, verify};

/// An event, and the result of the work that follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What happened.
    #[serde(with = "alloy_primitives::hex::serde")]
    pub event: Vec<u8>,
    /// τᵢ, 16 big-endian bytes.
    #[serde(with = "alloy_primitives::hex::serde")]
    pub tick: [u8; 16],
}

/// Where a chain, or what is left of it, begins: the number of links before it and the last tick of those.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// How many links came before.
    pub height: u64,
    /// The last of their ticks; zeros at the beginning.
    #[serde(with = "alloy_primitives::hex::serde")]
    pub tick: [u8; 16],
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A tick does not follow from its event and the tick before it.
    #[error("link {0} does not follow from its event and the link before it")]
    Broken(u64),
    /// A tick is not an element of the field.
    #[error("the tick of link {0} is not an element of the field")]
    NotAnElement(u64),
    /// A link has no proof, or there are proofs of more links.
    #[error("{proofs} proofs for {links} links")]
    Proofs {
        /// How many proofs there are.
        proofs: usize,
        /// Of how many links.
        links: u64,
    },
    /// A link's proof is not made or does not hold.
    #[error("link {link}: {error}")]
    Proof {
        /// The number of the link.
        link: u64,
        /// What is wrong.
        error: ProofError,
    },
    /// No such part of the chain is held.
    #[error("the chain has links {first} to {last}, and not all from {from} to {to}")]
    OutOfRange {
        /// The first that is asked for.
        from: u64,
        /// The one after the last.
        to: u64,
        /// The first that it has.
        first: u64,
        /// The one after the last.
        last: u64,
    },
}

/// A chain of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventChain {
    anchor: Anchor,
    steps: u64,
    links: Vec<Link>,
}

impl EventChain {
    /// A chain without links, with so many steps for each.
    pub fn new(steps: u64) -> Self {
        Self { anchor: Anchor::default(), steps, links: Vec::new() }
    }

    /// How many steps follow each event.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What is left of it begins here.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The links that it holds.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The number of links there have been.
    pub fn height(&self) -> u64 {
        // An anchor that somebody made up may overflow it. Then it is below the anchor, and no part is in range.
        self.anchor.height.wrapping_add(self.links.len() as u64)
    }

    /// Does the work that follows an event and appends both.
    pub fn append(&mut self, event: Vec<u8>) -> &Link {
        let context = context(&event, self.steps, self.height(), self.before(self.links.len()));
        let tick = Delay::default().iterate(Element::from_hash(context), self.steps).to_bytes();
        self.links.push(Link { event, tick });
        &self.links[self.links.len() - 1]
    }

    /// Checks all links that it holds.
    pub fn verify(&self) -> Result<(), ChainError> {
        self.verify_part(self.anchor.height, self.height())
    }

    /// Checks the links from one number up to, and not including, another, given the tick before them.
    pub fn verify_part(&self, from: u64, to: u64) -> Result<(), ChainError> {
        for statement in self.statements(from, to)? {
            let (number, Statement { start, steps, result, .. }) = statement?;
            if !Delay::default().leads(start, steps, result) {
                return Err(ChainError::Broken(number));
            }
        }
        Ok(())
    }

    /// Proves the links from one number up to, and not including, another: a proof for each, in their order. That takes none
    /// of the work again.
    pub fn prove_part(&self, from: u64, to: u64, security: Security) -> Result<Vec<Vec<u8>>, ChainError> {
        let prove = |statement: Result<(u64, Statement), ChainError>| {
            let (link, Statement { start, steps, result, context, .. }) = statement?;
            let trace =
                Trace::back_from(Delay::default(), result, steps).map_err(|error| ChainError::Proof { link, error })?;
            if trace.statement(context).start != start {
                return Err(ChainError::Broken(link));
            }
            trace.prove(context, security).map_err(|error| ChainError::Proof { link, error })
        };
        self.statements(from, to)?.map(prove).collect()
    }

    /// Checks the links from one number up to, and not including, another by their proofs.
    pub fn verify_proofs(&self, from: u64, to: u64, security: Security, proofs: &[Vec<u8>]) -> Result<(), ChainError> {
        let statements = self.statements(from, to)?;
        if proofs.len() as u64 != to - from {
            return Err(ChainError::Proofs { proofs: proofs.len(), links: to - from });
        }
        for (statement, proof) in statements.zip(proofs) {
            let (link, statement) = statement?;
            verify(&statement, security, proof).map_err(|error| ChainError::Proof { link, error })?;
        }
        Ok(())
    }

    /// What links from one number up to, and not including, another say, if each holds.
    fn statements(
        &self,
        from: u64,
        to: u64,
    ) -> Result<impl Iterator<Item = Result<(u64, Statement), ChainError>> + use<'_>, ChainError> {
        let (first, last) = (self.anchor.height, self.height());
        if from < first || to > last || from > to {
            return Err(ChainError::OutOfRange { from, to, first, last });
        }
        Ok((from..to).map(move |number| {
            let index = (number - first) as usize;
            let Link { event, tick } = &self.links[index];
            let result = Element::from_bytes(*tick).ok_or(ChainError::NotAnElement(number))?;
            let context = context(event, self.steps, number, self.before(index));
            let (start, alpha) = (Element::from_hash(context), Delay::default().alpha());
            Ok((number, Statement { start, steps: self.steps, alpha, result, context }))
        }))
    }

    /// Forgets the links below a number; what is left begins with their last tick.
    pub fn prune(&mut self, below: u64) -> Result<(), ChainError> {
        let (first, last) = (self.anchor.height, self.height());
        if below < first || below > last {
            return Err(ChainError::OutOfRange { from: below, to: below, first, last });
        }
        let count = (below - first) as usize;
        self.anchor = Anchor { height: below, tick: self.before(count) };
        self.links.drain(..count);
        Ok(())
    }

    /// The tick before a link that it holds.
    fn before(&self, index: usize) -> [u8; 16] {
        index.checked_sub(1).map_or(self.anchor.tick, |before| self.links[before].tick)
    }
}

/// What the work after an event begins with. The number of steps and of the link are part of it, so none serves as another.
fn context(event: &[u8], steps: u64, number: u64, before: [u8; 16]) -> B256 {
    let head = [b"dtn-aow-chain".as_slice(), &steps.to_be_bytes(), &number.to_be_bytes(), &before].concat();
    keccak256([keccak256(head), keccak256(event)].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn chain(events: u8) -> EventChain {
        let mut chain = EventChain::new(20);
        (0..events).for_each(|event| _ = chain.append(vec![event; 3]));
        chain
    }

    #[test]
    fn a_chain_holds_in_whole_in_part_and_after_it_was_pruned() {
        let mut chain = chain(6);
        assert_eq!((chain.verify(), chain.verify_part(2, 4), chain.height()), (Ok(()), Ok(()), 6));
        let anchor = Anchor { height: 4, tick: chain.links()[3].tick };
        assert_eq!(chain.prune(4), Ok(()));
        assert_eq!((chain.anchor(), chain.links().len(), chain.verify()), (anchor, 2, Ok(())));
        chain.append(b"more".to_vec());
        assert_eq!((chain.height(), chain.verify()), (7, Ok(())));
        assert!(matches!(chain.verify_part(3, 5), Err(ChainError::OutOfRange { first: 4, last: 7, .. })));
        assert!(chain.prune(3).is_err() && chain.prune(8).is_err());
    }

    #[test]
    fn each_link_is_proven_and_its_proof_serves_no_other() {
        let mut chain = EventChain::new(2500);
        (0..3).for_each(|event| _ = chain.append(vec![event; 3]));
        let proofs = chain.prove_part(0, 3, Security::Fast).unwrap();
        assert_eq!(chain.verify_proofs(0, 3, Security::Fast, &proofs), Ok(()));
        chain.prune(1).unwrap();
        assert_eq!(chain.verify_proofs(1, 3, Security::Fast, &proofs[1..]), Ok(()));
        assert!(matches!(chain.verify_proofs(0, 3, Security::Fast, &proofs), Err(ChainError::OutOfRange { .. })));
        let missing = chain.verify_proofs(1, 3, Security::Fast, &proofs[1..2]);
        assert_eq!(missing, Err(ChainError::Proofs { proofs: 1, links: 2 }));
        let swapped = [proofs[2].clone(), proofs[1].clone()];
        assert!(matches!(chain.verify_proofs(1, 3, Security::Fast, &swapped), Err(ChainError::Proof { link: 1, .. })));
        chain.links[1].event[0] ^= 1;
        assert_eq!(chain.prove_part(2, 3, Security::Fast), Err(ChainError::Broken(2)));
        let changed = chain.verify_proofs(1, 3, Security::Fast, &proofs[1..]);
        assert!(matches!(changed, Err(ChainError::Proof { link: 2, .. })), "{changed:?}");
    }

    #[test]
    fn tampering_anywhere_is_found() {
        let good = chain(5);
        for index in 0..5 {
            let mut changed = good.clone();
            changed.links[index].event[1] ^= 1;
            assert_eq!(changed.verify(), Err(ChainError::Broken(index as u64)));
            let mut changed = good.clone();
            changed.links[index].tick[15] ^= 1;
            assert_eq!(changed.verify(), Err(ChainError::Broken(index as u64)));
            changed.links[index].tick = [0xff; 16];
            assert_eq!(changed.verify(), Err(ChainError::NotAnElement(index as u64)));
            let mut missing = good.clone();
            missing.links.remove(index);
            assert_eq!(missing.verify().is_ok(), index == 4, "without link {index}");
        }
        let mut swapped = good.clone();
        swapped.links.swap(1, 2);
        assert_eq!(swapped.verify(), Err(ChainError::Broken(1)));
        for other in [EventChain { steps: 19, ..good.clone() }, EventChain { steps: 21, ..good.clone() }] {
            assert_eq!(other.verify(), Err(ChainError::Broken(0)));
        }
        let anchor = Anchor { height: 1, ..good.anchor };
        assert_eq!(EventChain { anchor, ..good }.verify(), Err(ChainError::Broken(1)));
    }
}
