//! A coin that the validators of a network deal in its blocks.

use std::time::{Duration, SystemTime};

use dtn_consensus::coin::{Ceremony, Stage, Terms};
use dtn_primitives::{Payload, SecretKey, Transaction};
use tokio::time::sleep;

use crate::{Blocks, ClientError};

/// How long until new blocks are looked for.
const POLL: Duration = Duration::from_millis(300);

/// What is said when nobody has anything to say and a block has to show that time has passed. It is no part of a ceremony.
const TICK: &[u8] = b"DTN/coin/tick";

/// A ceremony as the blocks of a network have it. What validators say is in items of data, which the network puts in order
/// and does not look into.
#[derive(Debug)]
pub struct CoinDealing {
    blocks: Blocks,
    ceremony: Ceremony,
    /// The next block to be read.
    next: u64,
}

impl CoinDealing {
    /// That with this number, of the validators of now, from a height on at which nobody has said anything of it.
    pub fn new(blocks: Blocks, instance: u64, patience: Duration, from_height: u64) -> Self {
        let terms = Terms {
            validators: blocks.validators().clone(),
            network: blocks.client().domain.network_id,
            instance,
            patience_ms: patience.as_millis().try_into().unwrap_or(u64::MAX),
        };
        Self { blocks, ceremony: Ceremony::new(terms), next: from_height.max(1) }
    }

    /// What has come of it.
    pub fn ceremony(&self) -> &Ceremony {
        &self.ceremony
    }

    /// Reads the blocks that are final by now.
    pub async fn catch_up(&mut self) -> Result<(), ClientError> {
        let tip = self.blocks.tip().await?;
        while self.next <= tip {
            let block = self.blocks.at(self.next).await?.ok_or(ClientError::Gone(self.next))?.block;
            let said = |transaction: &'_ Transaction| match &transaction.payload {
                Payload::Data { items, .. } => items.iter().map(|item| (transaction.sender, item.to_vec())).collect(),
                _ => Vec::new(),
            };
            let said: Vec<_> = block.transactions.iter().flat_map(said).collect();
            self.ceremony.see(block.header.timestamp, said.iter().map(|(sender, item)| (*sender, item.as_slice())));
            self.next += 1;
        }
        Ok(())
    }

    /// Says what the validator with this key has to say, as soon as it has to, until the ceremony is over. Who stops and starts
    /// again says the same again. `tell` hears of each stage.
    pub async fn take_part(&mut self, key: &SecretKey, mut tell: impl FnMut(&Stage)) -> Result<Stage, ClientError> {
        let mut told = None;
        loop {
            self.catch_up().await?;
            let stage = self.ceremony.stage();
            if told.as_ref() != Some(&stage) {
                tell(&stage);
                told = Some(stage.clone());
            }
            match (self.ceremony.wanted(key), &stage) {
                (_, Stage::Ready(_) | Stage::Failed) => return Ok(stage),
                (Some(item), _) => self.say(item, key).await?,
                (None, Stage::Judging { until_ms: Some(until), .. }) if now_ms() > *until => {
                    self.say(TICK.to_vec(), key).await?;
                }
                (None, _) => sleep(POLL).await,
            }
        }
    }

    /// Says something, and reads on until it has come by.
    async fn say(&mut self, item: Vec<u8>, key: &SecretKey) -> Result<(), ClientError> {
        let client = self.blocks.client();
        let payload = Payload::Data { nonce: client.next_nonce(key).await?, items: vec![item].into() };
        let height = client.execute(&Transaction::sign(payload, key, &client.domain)).await?.height;
        loop {
            self.catch_up().await?;
            if self.next > height {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
