//! What an account keeps for its orders and claims: without it nobody can open what it has committed to.
//!
//! ```text
//! FOLDER/library/ORDER/…          what it holds of orders, unless the peer beside it holds that
//! FOLDER/claims/ORDER.json        what it has committed to
//! FOLDER/orders/ORDER/holdout     the rows that it holds out, and their secret
//! FOLDER/work/ORDER-…             where a trainer or a scorer of its own works, while it does
//! ```

use std::{
    io,
    path::{Path, PathBuf},
};

use dtn_files::{Access, FileError, make_private, read, write};
use dtn_primitives::B256;
use dtn_train::{Dataset, data::MAX_DATA_BYTES};
use dtn_trainer::Holdout;
use dtn_training::Reveal;

use crate::ParticipantError;

/// The longest file of claims.
const MAX_CLAIMS_BYTES: u64 = 1 << 20;

/// The bytes of a secret.
const SECRET: usize = 32;

/// A folder of an account.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// That at a path, which is made when something is put there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where its own library is.
    pub fn library(&self) -> PathBuf {
        self.0.join("library")
    }

    /// Where a tool works for an order.
    pub(crate) fn work(&self, order: B256, tool: &str) -> PathBuf {
        self.0.join("work").join(format!("{order:x}-{tool}"))
    }

    fn claims_file(&self, order: B256) -> PathBuf {
        self.0.join("claims").join(format!("{order:x}.json"))
    }

    fn holdout_file(&self, order: B256) -> PathBuf {
        self.0.join("orders").join(format!("{order:x}")).join("holdout")
    }

    /// What it has committed to for an order.
    pub fn claims(&self, order: B256) -> Result<Vec<Reveal>, ParticipantError> {
        let file = self.claims_file(order);
        let Some(bytes) = read_if_there(&file, MAX_CLAIMS_BYTES)? else { return Ok(Vec::new()) };
        serde_json::from_slice(&bytes).map_err(|source| ParticipantError::Claims { file, source })
    }

    /// Notes what it commits to, before anybody is told.
    pub fn keep_claim(&self, order: B256, reveal: &Reveal) -> Result<(), ParticipantError> {
        let mut claims = self.claims(order)?;
        if !claims.contains(reveal) {
            claims.push(*reveal);
        }
        let file = self.claims_file(order);
        let text = serde_json::to_vec_pretty(&claims)
            .map_err(|source| ParticipantError::Claims { file: file.clone(), source })?;
        Ok(put(&file, &text)?)
    }

    /// Keeps what it holds out of an order.
    pub fn keep_holdout(&self, order: B256, data: &Dataset, secret: B256) -> Result<(), ParticipantError> {
        Ok(put(&self.holdout_file(order), &[&secret[..], &data.encode()].concat())?)
    }

    /// What it holds out of an order; none if the order is not its own.
    pub fn holdout(&self, order: B256) -> Result<Option<Holdout>, ParticipantError> {
        let most = (SECRET + MAX_DATA_BYTES) as u64;
        let Some(bytes) = read_if_there(&self.holdout_file(order), most)? else { return Ok(None) };
        let Some((secret, data)) = bytes.split_first_chunk::<SECRET>() else { return Ok(None) };
        Ok(Some(Holdout::new(Dataset::decode(data)?, B256::from(*secret))))
    }
}

fn put(file: &Path, bytes: &[u8]) -> Result<(), FileError> {
    if let Some(folder) = file.parent() {
        make_private(folder)?;
    }
    write(file, bytes, Access::Owner)
}

fn read_if_there(file: &Path, most: u64) -> Result<Option<Vec<u8>>, FileError> {
    match read(file, most) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Read { file: file.into(), source }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::Address;
    use dtn_train::shipped;

    use super::*;

    #[test]
    fn what_is_kept_is_there_when_it_is_needed() {
        let at = tempfile::tempdir().unwrap();
        let (folder, order, other) = (Folder::new(at.path()), B256::repeat_byte(1), B256::repeat_byte(2));
        let reveal = |attempt| {
            let (model, trace) = (B256::repeat_byte(3), B256::repeat_byte(4));
            Reveal { model, trace, point: 1, attempt, payee: Address::repeat_byte(5) }
        };
        assert!(folder.claims(order).unwrap().is_empty() && folder.holdout(order).unwrap().is_none());
        for attempt in [0, 1, 0] {
            folder.keep_claim(order, &reveal(attempt)).unwrap();
        }
        assert_eq!(folder.claims(order).unwrap(), [reveal(0), reveal(1)]);
        let data = shipped("iris").unwrap();
        folder.keep_holdout(order, &data, B256::repeat_byte(9)).unwrap();
        let table = Holdout::new(data, B256::repeat_byte(9)).table();
        assert_eq!(folder.holdout(order).unwrap().unwrap().table(), table);
        assert!(folder.claims(other).unwrap().is_empty() && folder.holdout(other).unwrap().is_none());
        std::fs::write(folder.claims_file(other), "{").unwrap();
        assert!(matches!(folder.claims(other), Err(ParticipantError::Claims { .. })));
    }
}
