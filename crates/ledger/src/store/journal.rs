//! What this replica has said, which is durable before others may see it.

use redb::{Durability, ReadableDatabase, ReadableTable};

use super::{Memory, Store, StoreError, tables::*};

impl Store {
    /// Appends records to the journal, in their order, in one durable transaction: what a replica must remember before
    /// others may see what it said. It makes durable what was written before, too. A record belongs to a height and goes
    /// when the block of that height is committed. Records of height `u64::MAX` belong to none: each replaces the one
    /// before it. From then on the store's memory is [`Memory::Kept`].
    pub fn append_journal<'a>(&self, records: impl IntoIterator<Item = (u64, &'a [u8])>) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |transaction| {
            let mut journal = transaction.open_table(JOURNAL)?;
            for (height, record) in records {
                let (first, last) = (sequence_key(height, 0), sequence_key(height, u64::MAX));
                if height == u64::MAX {
                    journal.retain(|key, _| key < first.as_slice())?;
                }
                let before = match journal.range(first.as_slice()..=last.as_slice())?.next_back() {
                    Some(record) => Some(sequence(record?.0.value())?),
                    None => None,
                };
                let key = sequence_key(height, before.map_or(0, |sequence| sequence + 1));
                journal.insert(key.as_slice(), seal(JOURNAL, &key, record).as_slice())?;
            }
            put(&mut transaction.open_table(META)?, META, MEMORY_KEY, &Memory::Kept)
        })
    }

    /// Keeps records of a protocol without blocks, each in the place of the one that had its slot before, in one durable
    /// transaction. From then on the store's memory is [`Memory::Kept`]. [`Store::journal`] gives them by their slots.
    pub fn keep<'a>(&self, records: impl IntoIterator<Item = (u64, &'a [u8])>) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |transaction| {
            let mut journal = transaction.open_table(JOURNAL)?;
            for (slot, record) in records {
                let key = sequence_key(slot, 0);
                journal.insert(key.as_slice(), seal(JOURNAL, &key, record).as_slice())?;
            }
            put(&mut transaction.open_table(META)?, META, MEMORY_KEY, &Memory::Kept)
        })
    }

    /// The journal: by height, and of one height in the order in which it was appended.
    pub fn journal(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.label.guard(|| {
            let table = self.database.begin_read()?.open_table(JOURNAL)?;
            let mut records = Vec::new();
            for record in table.iter()? {
                let (key, value) = record?;
                let bytes = unsealed(JOURNAL, key.value(), value.value())?;
                records.push((height(key.value())?, bytes.to_vec()));
            }
            Ok(records)
        })
    }
}
