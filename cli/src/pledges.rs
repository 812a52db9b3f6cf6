//! What keys have signed from here of which nobody may sign a second version: whoever holds two has the signer barred, and its
//! stake taken, however honest the mistake was.

use std::{
    fmt,
    path::{Path, PathBuf, absolute},
};

use alloy_primitives::{Address, B256};
use anyhow::Result;
use dtn_chain::codes::Code;
use dtn_peer::files::{self, Access, FileError, Held};
use dtn_primitives::{Distribution, Domain, SettlementMessage};
use dtn_settlement::{deploy::Deployment, evidence::Subject, message::SignedMessage};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{context::Context, failure::Coded, output};

/// That a key has signed something, or was about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pledge {
    /// Whose key.
    signer: Address,
    network_id: B256,
    chain_id: u64,
    /// Of what it may sign one version.
    subject: Subject,
    /// The version that it has signed.
    digest: B256,
    /// The file in which that was.
    file: PathBuf,
}

/// A key is asked to sign what contradicts what it has signed before.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Contradicts {
    before: Pledge,
    now: B256,
    record: PathBuf,
}

impl fmt::Display for Contradicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pledge { signer, subject, digest, file, .. } = &self.before;
        write!(
            f,
            "{signer} has signed another {subject} already, that of {} with digest {digest}. Whoever has both signatures has the \
             validator barred for good and its whole stake taken, so nothing was signed ({} has what was signed from here)",
            file.display(),
            self.record.display()
        )
    }
}

impl Contradicts {
    /// Its code.
    pub(crate) fn code(&self) -> Code {
        let Pledge { signer, network_id, chain_id, subject, digest, file } = &self.before;
        let slot = json!({ "network_id": network_id, "chain_id": chain_id, "subject": subject });
        let data =
            json!({ "signer": signer, "slot": slot, "signed": { "digest": digest, "file": file }, "digest": self.now });
        ("would_contradict", data)
    }
}

/// The record of them, a line each.
#[derive(Debug)]
pub(crate) struct Pledges {
    file: PathBuf,
}

impl Pledges {
    /// That of a file, whether it exists or not.
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Writes down that a key signs a message, which has to be done before it does: it is on the disk when this returns. Refused
    /// if the key has signed another version. What nobody is barred for is not written down.
    pub(crate) fn make(&self, signed: &SignedMessage, signer: Address, named: &Path) -> Result<()> {
        let Some(subject) = Subject::of(&signed.content) else { return Ok(()) };
        let SignedMessage { network_id, chain_id, .. } = *signed;
        let file = absolute(named).unwrap_or_else(|_| named.into());
        let new = Pledge { signer, network_id, chain_id, subject, digest: signed.digest(), file };
        files::make_parent(&self.file)?;
        files::write_new(&self.file, b"", Access::Shared)?;
        // Another command may be about to sign the other version.
        let held = Held::new(&self.file)?;
        let mut text = files::read_text(held.path(), files::MOST)?;
        let same = |one: &Pledge| {
            (one.signer, one.network_id, one.chain_id, one.subject) == (signer, network_id, chain_id, subject)
        };
        let before: Vec<_> = self.read_lines(&text)?.into_iter().filter(same).collect();
        if let Some(other) = before.iter().find(|one| one.digest != new.digest) {
            let (before, now, record) = (other.clone(), new.digest, self.file.clone());
            return Err(Contradicts { before, now, record }.into());
        }
        if !before.is_empty() {
            return Ok(());
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text += &serde_json::to_string(&new)?;
        text.push('\n');
        Ok(files::write(held.path(), text.as_bytes(), Access::Shared)?)
    }

    /// The first number from one on under which no key has signed another distribution from here, in an epoch of a network.
    /// `digest` tells what is signed of this one under a number.
    pub(crate) fn free_number(
        &self,
        network: (B256, u64),
        (epoch, from): (u64, u32),
        digest: impl Fn(u32) -> B256,
    ) -> Result<u32> {
        let text = match files::read_text(&self.file, files::MOST) {
            Err(FileError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let pledges = self.read_lines(&text)?;
        let mut number = from;
        let is_taken = |number| {
            let subject = Subject::Distribution { epoch, number };
            let mut signed =
                pledges.iter().filter(|one| (one.network_id, one.chain_id) == network && one.subject == subject);
            signed.any(|one| one.digest != digest(number))
        };
        while number < u32::MAX && is_taken(number) {
            number += 1;
        }
        Ok(number)
    }

    /// What cannot be read is not taken for nothing: what stands there may be what keeps a key from contradicting itself.
    fn read_lines(&self, text: &str) -> Result<Vec<Pledge>> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let read = |(place, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| {
                let line = place + 1;
                let what = format!(
                    "line {line} of {}, which says what keys have signed, is not valid ({error}): nothing was signed",
                    self.file.display()
                );
                Coded::not_valid(&self.file, Some(line), what).into()
            })
        };
        lines.map(read).collect()
    }
}

/// The number of a distribution, from one on: not one under which a key has signed another one from here, which is said.
pub(crate) fn free_number(
    distribution: &Distribution,
    (epoch, next): (u64, u32),
    deployment: &Deployment,
    context: &Context,
) -> Result<u32> {
    let Deployment { network_id, chain_id, .. } = *deployment;
    let domain = Domain::new(network_id, chain_id);
    let digest = |number| {
        let numbered = Distribution { number, ..distribution.clone() };
        SettlementMessage::of_distribution(epoch, &numbered).digest(&domain)
    };
    let free = context.pledges().free_number((network_id, chain_id), (epoch, next), digest)?;
    if free > next {
        let passed = match free - next {
            1 => format!("number {next}"),
            _ => format!("numbers {next} to {}", free - 1),
        };
        output::note(format_args!(
            "note: another distribution was signed from here under {passed}, so this one has number {free}: whoever signs two under \
             one number is barred"
        ));
    }
    Ok(free)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::{Earnings, Rotation};
    use dtn_settlement::message::Content;

    use super::*;

    fn distribution(epoch: u64, number: u32, distributor: u8) -> SignedMessage {
        let earnings = Earnings::new([]).unwrap();
        let distributor = Address::repeat_byte(distributor);
        let distribution = Distribution { distributor, number, root: earnings.root(), allotments: Vec::new() };
        let content = Content::Distribution { epoch, distribution, earnings: Vec::new() };
        SignedMessage::new(B256::ZERO, 31337, content).unwrap()
    }

    fn rotation(epoch: u64, last: u8) -> SignedMessage {
        let validators = [1, 2, 3, last].map(Address::repeat_byte).to_vec();
        SignedMessage::new(B256::ZERO, 31337, Content::Rotation(Rotation { epoch, validators })).unwrap()
    }

    #[test]
    fn a_key_signs_one_version_of_each_thing_and_the_same_as_often_as_it_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let pledges = Pledges::new(folder.path().join("made/signed.jsonl"));
        let (one, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
        for signed in [rotation(0, 4), rotation(0, 4), rotation(1, 5)] {
            pledges.make(&signed, one, Path::new("a.json")).unwrap();
        }
        pledges.make(&rotation(0, 5), other, Path::new("b.json")).unwrap();
        let refused = pledges.make(&rotation(0, 5), one, Path::new("b.json")).unwrap_err();
        let (code, data) = refused.downcast_ref::<Contradicts>().unwrap().code();
        assert_eq!((code, &data["slot"]["subject"]), ("would_contradict", &json!({ "rotation": { "epoch": 0 } })));
        assert!(data["signed"]["file"].as_str().unwrap().ends_with("a.json"), "{data}");
    }

    #[test]
    fn numbers_that_were_signed_are_passed_over_whichever_contract_they_were_for() {
        let folder = tempfile::tempdir().unwrap();
        let pledges = Pledges::new(folder.path().join("signed.jsonl"));
        let network = (B256::ZERO, 31337);
        let free = |network, epoch, distributor| {
            let digest = |number| distribution(epoch, number, distributor).digest();
            pledges.free_number(network, (epoch, 1), digest)
        };
        assert_eq!(free(network, 0, 3).unwrap(), 1);
        pledges.make(&distribution(0, 1, 1), Address::ZERO, Path::new("a.json")).unwrap();
        pledges.make(&distribution(0, 2, 2), Address::repeat_byte(1), Path::new("a.json")).unwrap();
        assert_eq!(free(network, 0, 3).unwrap(), 3);
        assert_eq!((free(network, 1, 3).unwrap(), free((B256::ZERO, 1), 0, 3).unwrap()), (1, 1), "of others");
        assert_eq!(free(network, 0, 1).unwrap(), 1, "the same once more is no contradiction");
        assert!(pledges.make(&distribution(0, 1, 2), Address::ZERO, Path::new("b.json")).is_err());
        files::write(&pledges.file, b"{}\n", Access::Shared).unwrap();
        assert!(free(network, 0, 3).is_err());
        assert!(pledges.make(&rotation(0, 4), Address::ZERO, Path::new("b.json")).is_err(), "a record that is damaged");
    }
}
