//! How a peer that fell behind, starts empty or only follows takes what the others have decided: certified blocks, or
//! the state at a stable checkpoint where the blocks below it are gone. Nothing is taken on one peer's word.

use std::{collections::BTreeMap, sync::Arc};

use dtn_ledger::{Ledger, LedgerError, Manifest, StoreError};
use dtn_primitives::{B256, Block, Certificate, codec};

use crate::{
    link::Offence,
    network::{Command, Exchange, Remote, Requester},
    wire::{self, CertifiedBlock, MAX_SYNC_REQUEST, SyncRequest, SyncResponse},
};

/// Looks at the clock after which an unanswered request is given up.
const PATIENCE: u32 = 24;

/// What this peer knows about the others' heights, and what it is fetching.
#[derive(Default)]
pub(crate) struct Follow {
    /// The height that each peer last told.
    heights: BTreeMap<Remote, u64>,
    /// Who is being asked, and for how many looks at the clock.
    asked: Option<(Remote, u32)>,
    /// Who was asked last and gave nothing; others are asked first.
    unhelpful: Option<Remote>,
    /// The state that is being taken over, as much as has arrived and holds.
    transfer: Option<(Manifest, Vec<Vec<u8>>)>,
}

/// What an answer brought.
pub(crate) enum Answer {
    /// Nothing that was asked for.
    Nothing,
    /// What no correct peer sends.
    Offence(String),
    /// Blocks, to be committed by the owner of the ledger as far as they hold.
    Blocks(Vec<CertifiedBlock>),
    /// A part of the state; more is to be fetched.
    Part,
    /// The ledger has taken over the state at a checkpoint.
    Installed,
}

impl Follow {
    /// A peer told its height.
    pub(crate) fn heard(&mut self, peer: Remote, height: u64) {
        self.heights.insert(peer, height);
    }

    /// The heights that peers told.
    pub(crate) fn heights(&self) -> impl Iterator<Item = u64> {
        self.heights.values().copied()
    }

    pub(crate) fn disconnected(&mut self, peer: Remote) {
        self.heights.remove(&peer);
        self.asked = self.asked.take().filter(|(asked, _)| *asked != peer);
    }

    /// Looks at the clock: gives up on a peer that has been asked for too long.
    pub(crate) fn lose_patience(&mut self) {
        if let Some((peer, looks)) = &mut self.asked {
            *looks += 1;
            if *looks > PATIENCE {
                self.unhelpful = Some(*peer);
                self.asked = None;
            }
        }
    }

    /// Asks a peer that says it is ahead for what is missing, unless one is being asked.
    pub(crate) fn fetch(&mut self, ledger: &Ledger) -> Option<Command> {
        let height = ledger.tip().height;
        let ahead = self.heights.iter().filter(|(_, theirs)| **theirs > height);
        let ahead = ahead.max_by_key(|(peer, theirs)| (Some(**peer) != self.unhelpful, **theirs));
        let (&to, _) = ahead.filter(|_| self.asked.is_none())?;
        self.transfer.take_if(|(manifest, _)| manifest.header.height <= height);
        let request = match &self.transfer {
            Some((manifest, chunks)) => {
                SyncRequest::Chunk { height: manifest.header.height, index: chunks.len() as u32 }
            }
            None => SyncRequest::Blocks { from: height + 1 },
        };
        self.asked = Some((to, 0));
        Some(Command::Request { exchange: Exchange::Sync, to, request: codec::encode(&request) })
    }

    /// Takes the answer of the peer that was asked, as far as it holds by itself.
    pub(crate) fn answered(
        &mut self,
        ledger: &mut Ledger,
        from: Remote,
        response: Option<Vec<u8>>,
    ) -> Result<Answer, StoreError> {
        if self.asked.take_if(|(asked, _)| *asked == from).is_none() {
            return Ok(Answer::Nothing);
        }
        let Some(response) = response else { return Ok(Answer::Nothing) };
        let limit = wire::max_sync_response(ledger.genesis().max_block_bytes);
        match codec::decode(&response, limit) {
            Err(error) => Ok(Answer::Offence(error.to_string())),
            Ok(SyncResponse::Blocks(blocks)) => {
                // A peer that gives blocks where a part of the state was wanted no longer has that state.
                self.transfer = None;
                Ok(if blocks.is_empty() { Answer::Nothing } else { Answer::Blocks(blocks) })
            }
            Ok(SyncResponse::Snapshot(manifest)) => Ok(self.begin(ledger, *manifest)),
            Ok(SyncResponse::Chunk(chunk)) => self.take_chunk(ledger, chunk),
        }
    }

    fn begin(&mut self, ledger: &Ledger, manifest: Manifest) -> Answer {
        if manifest.header.height <= ledger.tip().height {
            return Answer::Nothing;
        }
        if let Err(error) = manifest.verify(ledger.domain(), ledger.validators()) {
            return Answer::Offence(format!("a bad snapshot: {error}"));
        }
        tracing::info!(height = manifest.header.height, chunks = manifest.chunks.len(), "taking over the state");
        self.transfer = Some((manifest, Vec::new()));
        Answer::Part
    }

    fn take_chunk(&mut self, ledger: &mut Ledger, chunk: Vec<u8>) -> Result<Answer, StoreError> {
        let Some((manifest, chunks)) = &mut self.transfer else { return Ok(Answer::Nothing) };
        if let Err(error) = manifest.check_chunk(chunks.len(), &chunk) {
            return Ok(Answer::Offence(error.to_string()));
        }
        chunks.push(chunk);
        if chunks.len() < manifest.chunks.len() {
            return Ok(Answer::Part);
        }
        let Some((manifest, chunks)) = self.transfer.take() else { return Ok(Answer::Nothing) };
        match ledger.install(&manifest, &chunks) {
            Ok(()) => {
                tracing::info!(height = manifest.header.height, "took over the state");
                Ok(Answer::Installed)
            }
            Err(LedgerError::Store(error)) => Err(error),
            Err(error) => Ok(Answer::Offence(error.to_string())),
        }
    }

    /// After an answer: whether the peer that gave it brought this one further. One that did not is believed again when
    /// it next tells its height.
    pub(crate) fn judge(&mut self, peer: Remote, helped: bool) {
        if helped {
            self.unhelpful = None;
        } else {
            self.heights.remove(&peer);
            self.unhelpful = Some(peer);
        }
    }
}

/// Commits blocks above the tip in their order, as far as they hold. Gives what is wrong with the first that does not; an
/// error is the store's, not the peer's fault.
pub(crate) fn commit_all(
    mut tip: u64,
    blocks: Vec<CertifiedBlock>,
    mut commit: impl FnMut(Arc<Block>, Certificate) -> Result<(), LedgerError>,
) -> Result<Option<String>, LedgerError> {
    for CertifiedBlock { block, certificate } in blocks {
        let height = block.header.height;
        if height <= tip {
            continue;
        }
        match commit(Arc::new(block), certificate) {
            Ok(()) => tip = height,
            Err(error @ LedgerError::Store(_)) => return Err(error),
            Err(error) => return Ok(Some(format!("a bad block {height}: {error}"))),
        }
    }
    Ok(None)
}

/// Answers what another peer wants to know.
pub(crate) fn respond(ledger: &Ledger, request: &[u8], from: Requester) -> Result<Command, StoreError> {
    match from.exchange {
        Exchange::Sync => respond_sync(ledger, request, from),
        Exchange::Proof => {
            let Ok(digest) = B256::try_from(request) else {
                return Ok(Command::CutOff { peer: from.peer, offence: Offence::Malformed });
            };
            let response = ledger.store().proof(digest)?.unwrap_or_default();
            Ok(Command::Respond { to: from, response })
        }
    }
}

fn respond_sync(ledger: &Ledger, request: &[u8], from: Requester) -> Result<Command, StoreError> {
    let Ok(request) = codec::decode::<SyncRequest>(request, MAX_SYNC_REQUEST) else {
        return Ok(Command::CutOff { peer: from.peer, offence: Offence::Malformed });
    };
    let response = match request {
        SyncRequest::Blocks { from } if from < ledger.lowest_block()? => {
            ledger.snapshot_manifest()?.map(|manifest| SyncResponse::Snapshot(Box::new(manifest)))
        }
        SyncRequest::Blocks { from } => Some(SyncResponse::Blocks(certified_blocks(ledger, from)?)),
        SyncRequest::Chunk { height, index } => ledger.snapshot_chunk(height, index)?.map(SyncResponse::Chunk),
    };
    let response = response.unwrap_or(SyncResponse::Blocks(Vec::new()));
    Ok(Command::Respond { to: from, response: codec::encode(&response) })
}

fn certified_blocks(ledger: &Ledger, from: u64) -> Result<Vec<CertifiedBlock>, StoreError> {
    let (mut blocks, mut size) = (Vec::new(), 0);
    for height in from..=ledger.tip().height {
        let (Some(block), Some(certificate)) = (ledger.block(height)?, ledger.certificate(height)?) else { break };
        let certified = CertifiedBlock { block, certificate };
        size += codec::encode(&certified).len();
        blocks.push(certified);
        if size >= wire::SYNC_RESPONSE_TARGET {
            break;
        }
    }
    Ok(blocks)
}
