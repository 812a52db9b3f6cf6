//! Checking a file of the ledger that somebody wrote, without the network.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use dtn_primitives::Genesis;

use super::{Entry, EntryError, Head};

/// The longest entry, in bytes: a transaction of 16 KiB takes some four times as much as JSON.
const MAX_ENTRY: u64 = 128 * 1024;

/// Why a file is not a ledger that is right.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry is longer than any can be.
    #[error("{}: entry {number} is wrong: it has more than {MAX_ENTRY} bytes", file.display())]
    Long {
        /// The file.
        file: PathBuf,
        /// Its number.
        number: u64,
    },
    /// An entry is wrong.
    #[error("{}: entry {number} is wrong", file.display())]
    Wrong {
        /// The file.
        file: PathBuf,
        /// Its number, which is its line.
        number: u64,
        /// Why.
        source: LineError,
    },
}

/// Why a line is not an entry that is right.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no entry.
    #[error("it is no entry")]
    Malformed(#[source] serde_json::Error),
    /// It is one that is written otherwise.
    #[error("it is not written as an entry is: fields were added, moved or spelled otherwise")]
    Spelled,
    /// What it says does not hold.
    #[error("{0}")]
    Entry(#[from] EntryError),
}

/// Checks the links, the signatures and the work of every entry of a file of one a line. Names the first that is wrong
/// by its number, which is its line.
pub fn check(file: &Path, genesis: Option<&Genesis>) -> Result<Head, CheckError> {
    let unread = |source| CheckError::Read { file: file.into(), source };
    let mut reader = BufReader::new(File::open(file).map_err(unread)?);
    let mut head = Head::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(MAX_ENTRY + 1).read_until(b'\n', &mut line).map_err(unread)? == 0 {
            return Ok(head);
        }
        let number = head.entries + 1;
        if line.len() as u64 > MAX_ENTRY {
            return Err(CheckError::Long { file: file.into(), number });
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let mut next = head;
        let checked = parse(line).and_then(|entry| Ok(next.check(&entry, genesis)?));
        checked.map_err(|source| CheckError::Wrong { file: file.into(), number, source })?;
        head = next;
    }
}

fn parse(line: &[u8]) -> Result<Entry, LineError> {
    let entry: Entry = serde_json::from_slice(line).map_err(LineError::Malformed)?;
    match serde_json::to_vec(&entry).map_err(LineError::Malformed)? == line {
        true => Ok(entry),
        false => Err(LineError::Spelled),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::{
        super::{Record, seed::tests::entries},
        *,
    };

    /// What is said of a file with these bytes.
    fn said(bytes: &[u8], genesis: Option<&Genesis>) -> Result<u64, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.jsonl");
        fs::write(&file, bytes).unwrap();
        check(&file, genesis).map(|head| head.entries).map_err(|error| told(&error))
    }

    /// An error with its causes.
    fn told(error: &dyn std::error::Error) -> String {
        let cause = error.source().map_or_else(String::new, |cause| format!(": {}", told(cause)));
        format!("{error}{cause}")
    }

    fn written(entries: &[Entry]) -> Vec<u8> {
        entries.iter().flat_map(|entry| [serde_json::to_vec(entry).unwrap(), b"\n".to_vec()].concat()).collect()
    }

    #[test]
    fn a_ledger_as_it_was_written_is_right_with_and_without_its_genesis() {
        let (entries, genesis) = entries();
        let bytes = written(&entries);
        for genesis in [None, Some(&genesis)] {
            assert_eq!(said(&bytes, genesis), Ok(entries.len() as u64));
            assert_eq!(said(bytes.strip_suffix(b"\n").unwrap(), genesis), Ok(entries.len() as u64));
            assert_eq!(said(b"", genesis), Ok(0));
        }
        let other = Genesis { timestamp: 1, ..genesis };
        assert!(said(&bytes, Some(&other)).unwrap_err().contains("entry 1 is wrong: it is of network"));
    }

    #[test]
    fn a_byte_changed_anywhere_is_noticed_in_its_entry() {
        let (entries, _) = entries();
        let bytes = written(&entries[..2]);
        let mut number = 1;
        for at in 0..bytes.len() - 1 {
            let mut changed = bytes.clone();
            changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
            let message = said(&changed, None).expect_err("a change is noticed");
            assert!(message.contains(&format!("entry {number} is wrong")), "byte {at}: {message}");
            number += u64::from(bytes[at] == b'\n');
        }
    }

    #[test]
    fn entries_that_are_left_out_repeated_moved_or_made_up_are_named_with_what_is_wrong() {
        let (entries, genesis) = entries();
        let refused = |entries: &[Entry]| said(&written(entries), None).unwrap_err();
        assert!(refused(&entries[1..]).contains("entry 1 is wrong: it has the number 2"));
        assert!(refused(&[entries[0].clone(), entries[0].clone()]).contains("entry 2 is wrong: it has the number 1"));
        let sealed = |change: fn(&mut Record)| {
            let mut record = entries[1].record.clone();
            change(&mut record);
            let entry_hash = dtn_primitives::keccak256(serde_json::to_vec(&record).unwrap());
            [entries[0].clone(), Entry { record, entry_hash }]
        };
        // With a hash that is right, what else is wrong is found.
        type Change = fn(&mut Record);
        let cases: [(Change, &str); 8] = [
            (|it| it.previous = it.hash, "it follows entry"),
            (|it| it.nonce += 1, "the claim: signature"),
            (|it| it.duration_us += 1, "the claim: signature"),
            (|it| it.ended_at_us = it.started_at_us - 1, "ends before it begins"),
            (|it| it.worker = it.requester, "the claim: signature"),
            (|it| it.requester = it.worker, "what was signed is transaction"),
            (|it| it.transaction = it.race, "what was signed is transaction"),
            (|it| it.chain_id = 56, "what was signed is transaction"),
        ];
        for (change, what) in cases {
            let message = refused(&sealed(change));
            assert!(message.contains("entry 2 is wrong") && message.contains(what), "{message}");
        }
        let renamed = sealed(|it| it.node = "Node9".into());
        assert_eq!(said(&written(&renamed), None), Ok(2), "who is who, only the genesis tells");
        assert!(said(&written(&renamed), Some(&genesis)).unwrap_err().contains("is not Node9 of the genesis"));
        assert!(said(b"{\"number\":1}\n", None).unwrap_err().contains("entry 1 is wrong: it is no entry"));
        let long = [b"\"", &vec![b'x'; MAX_ENTRY as usize][..], b"\""].concat();
        assert!(said(&long, None).unwrap_err().contains("more than"));
    }
}
