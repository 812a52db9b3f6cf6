//! What was shown to this peer: the proofs of rounds, and evidence of validators that contradicted themselves.

use dtn_primitives::{B256, Evidence};
use redb::{Durability, ReadableDatabase, ReadableTable, WriteTransaction};

use super::{Store, StoreError, error::corrupt, tables::*};
use crate::proofs::Proven;

impl Store {
    /// A proof of a completion, by its digest.
    pub fn proof(&self, digest: B256) -> Result<Option<Vec<u8>>, StoreError> {
        self.label.guard(|| {
            let table = self.database.begin_read()?.open_table(PROOFS)?;
            let proof = table.get(digest.as_slice())?;
            proof.map(|proof| Ok(unsealed(PROOFS, digest.as_slice(), proof.value())?.to_vec())).transpose()
        })
    }

    /// What the proofs show.
    pub(crate) fn proven(&self) -> Result<Vec<Proven>, StoreError> {
        self.label.guard(|| {
            let table = self.database.begin_read()?.open_table(PROVEN)?;
            let records = table.iter()?.map(|record| {
                let (key, value) = record?;
                let () = unseal(PROVEN, key.value(), value.value())?;
                Proven::from_bytes(key.value()).ok_or_else(|| corrupt("the key of a proof is too short"))
            });
            records.collect()
        })
    }

    pub(crate) fn put_proof(&self, proven: &Proven, proof: &[u8]) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| {
            put(&mut transaction.open_table(PROVEN)?, PROVEN, &proven.to_bytes(), &())?;
            let sealed = seal(PROOFS, proven.digest.as_slice(), proof);
            transaction.open_table(PROOFS)?.insert(proven.digest.as_slice(), sealed.as_slice())?;
            Ok(())
        })
    }

    /// Forgets what some proofs show, and the proofs unless they are used otherwise.
    pub(crate) fn remove_proofs(&self, old: &[Proven], is_used: impl Fn(B256) -> bool) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| {
            let (mut known, mut proofs) = (transaction.open_table(PROVEN)?, transaction.open_table(PROOFS)?);
            for proven in old {
                known.remove(proven.to_bytes().as_slice())?;
                if !is_used(proven.digest) {
                    proofs.remove(proven.digest.as_slice())?;
                }
            }
            Ok(())
        })
    }

    /// What this peer holds or has computed: orders, each with what it is.
    pub(crate) fn held(&self) -> Result<Vec<(B256, B256)>, StoreError> {
        self.label.guard(|| {
            let table = self.database.begin_read()?.open_table(HELD)?;
            let records = table.iter()?.map(|record| {
                let (key, value) = record?;
                let () = unseal(HELD, key.value(), value.value())?;
                let (order, need) = key.value().split_at_checked(32).ok_or_else(|| corrupt("a key is too short"))?;
                let hash = |bytes: &[u8]| bytes.try_into().map_err(|_| corrupt("a key has not 64 bytes"));
                Ok((hash(order)?, hash(need)?))
            });
            records.collect()
        })
    }

    /// Notes that this peer holds something. It becomes durable with the next vote.
    pub(crate) fn put_held(&self, order: B256, need: B256) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| {
            put(&mut transaction.open_table(HELD)?, HELD, &[order, need].concat(), &())
        })
    }

    /// Makes evidence durable.
    pub fn add_evidence(&self, evidence: &Evidence) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |transaction| {
            put(&mut transaction.open_table(EVIDENCE)?, EVIDENCE, evidence.id().as_slice(), evidence)
        })
    }

    /// All evidence, in the order of its ids.
    pub fn evidence(&self) -> Result<Vec<Evidence>, StoreError> {
        self.label.guard(|| {
            let table = self.database.begin_read()?.open_table(EVIDENCE)?;
            let records = table.iter()?.map(|record| {
                let (key, value) = record?;
                unseal(EVIDENCE, key.value(), value.value())
            });
            records.collect()
        })
    }
}

/// Forgets what was held for an order.
pub(super) fn forget_held(transaction: &WriteTransaction, order: B256) -> Result<(), redb::Error> {
    let (first, last) = ([order, B256::ZERO].concat(), [order, B256::repeat_byte(u8::MAX)].concat());
    transaction.open_table(HELD)?.retain_in(first.as_slice()..=last.as_slice(), |_, _| false)?;
    Ok(())
}
