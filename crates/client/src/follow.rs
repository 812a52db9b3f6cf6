//! Watching what becomes final, and believing none of it unverified.

use std::{future::Future, net::SocketAddr, time::Duration};

use dtn_api::{ApiClient, FinalizedBlock};
use jsonrpsee::{
    core::{ClientError, client::Subscription},
    ws_client::{WsClient, WsClientBuilder},
};
use tokio::time::{sleep, timeout};

use crate::Verifier;

/// How long a peer may take to take a subscription.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Blocks that may wait here. A peer that sends more is left, and asked for the rest.
const BUFFER: usize = 256;

/// How long a peer may have no block before another is asked: it may be the only one that has none.
const SILENCE: Duration = Duration::from_secs(5);

/// How often peers answer in vain before it is given up.
const ROUNDS: u32 = 60;

/// Follows one peer after the other, so that each height comes once and in order, whichever peer it comes from. It goes on
/// at another peer when one ends, has nothing more or sends what does not hold; while none answers, it goes on trying.
#[derive(Debug, Clone)]
pub struct Follower<'a> {
    /// What the blocks have to agree with.
    pub verifier: Verifier<'a>,
    /// Where the peers answer; they are asked in this order.
    pub peers: Vec<SocketAddr>,
    /// The height of the next block.
    pub next: u64,
    /// The pause after all peers were tried.
    pub pause: Duration,
}

/// What a follower tells.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// The next block, verified.
    Block(&'a FinalizedBlock),
    /// No peer answers.
    Outage,
    /// After an outage, one answers again.
    Back,
}

/// Why nothing is followed any more.
#[derive(Debug, thiserror::Error)]
pub enum FollowError<E> {
    /// Peers answer, and for too long none of them has the block.
    #[error("no peer serves block {0}")]
    Gone(u64),
    /// Whoever was told had enough.
    #[error(transparent)]
    Told(E),
}

/// A source of final blocks.
trait Source {
    /// The next one; `None` when the source ends.
    fn next(&mut self) -> impl Future<Output = Option<Result<FinalizedBlock, String>>>;
}

/// A subscription with the connection that carries it.
struct Live {
    blocks: Subscription<FinalizedBlock>,
    _client: WsClient,
}

impl Source for Live {
    async fn next(&mut self) -> Option<Result<FinalizedBlock, String>> {
        Some(self.blocks.next().await?.map_err(|error| error.to_string()))
    }
}

async fn subscribe(peer: SocketAddr, from: u64) -> Result<Live, ClientError> {
    let client = WsClientBuilder::default().max_buffer_capacity_per_subscription(BUFFER);
    let connect = async {
        let client = client.build(format!("ws://{peer}")).await?;
        let blocks = client.subscribe_finalized(Some(from)).await?;
        Ok(Live { blocks, _client: client })
    };
    timeout(CONNECT_TIMEOUT, connect).await.unwrap_or(Err(ClientError::RequestTimeout))
}

impl Follower<'_> {
    /// Follows until it is dropped, or `tell` fails, or what comes next is kept by no peer that answers.
    pub async fn run<E>(self, tell: impl FnMut(News<'_>) -> Result<(), E>) -> Result<(), FollowError<E>> {
        self.run_at(subscribe, tell).await
    }

    async fn run_at<B: Source, E>(
        mut self,
        mut subscribe: impl AsyncFnMut(SocketAddr, u64) -> Result<B, ClientError>,
        mut tell: impl FnMut(News<'_>) -> Result<(), E>,
    ) -> Result<(), FollowError<E>> {
        let (mut failed, mut is_out) = (0, false);
        while failed < ROUNDS {
            let mut answered = false;
            failed += 1;
            for peer in &self.peers {
                let mut blocks = match subscribe(*peer, self.next).await {
                    Ok(blocks) => blocks,
                    Err(error) => {
                        tracing::debug!(%peer, %error, "cannot follow this peer");
                        continue;
                    }
                };
                answered = true;
                if std::mem::take(&mut is_out) {
                    tell(News::Back).map_err(FollowError::Told)?;
                }
                let reason = loop {
                    let block = match timeout(SILENCE, blocks.next()).await {
                        Ok(Some(Ok(block))) => block,
                        Ok(Some(Err(error))) => break error,
                        Ok(None) => break "it ended the subscription".into(),
                        Err(_) => {
                            failed = 0;
                            break "it has no more".into();
                        }
                    };
                    let root = block.transactions_root();
                    if let Err(error) = self.verifier.block(self.next, &block.header, &block.certificate, root) {
                        tracing::warn!(%peer, %error, "a peer sent what does not hold");
                        break "it lies".into();
                    }
                    tell(News::Block(&block)).map_err(FollowError::Told)?;
                    (self.next, failed) = (self.next + 1, 0);
                };
                tracing::debug!(%peer, reason, next = self.next, "going on at another peer");
            }
            if !answered {
                failed = 0;
                if !std::mem::replace(&mut is_out, true) {
                    tell(News::Outage).map_err(FollowError::Told)?;
                }
            }
            sleep(self.pause).await;
        }
        Err(FollowError::Gone(self.next))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{cell::RefCell, collections::VecDeque};

    use dtn_primitives::{
        Address, B256, Block, Certificate, Domain, Genesis, Header, Membership, SecretKey, Signature, ValidatorIndex,
        Vote, VoteKind,
    };

    use super::*;

    struct Network {
        domain: Domain,
        membership: Membership,
        keys: Vec<SecretKey>,
        genesis: Genesis,
    }

    impl Network {
        fn new() -> Self {
            let mut keys: Vec<_> = (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
            keys.sort_by_key(SecretKey::address);
            let genesis = Genesis {
                version: dtn_primitives::VERSION,
                name: "tail".into(),
                chain_id: 31_337,
                timestamp: 0,
                max_block_bytes: 1 << 20,
                validators: keys.iter().map(SecretKey::public_key).collect(),
                requesters: Vec::new(),
                engine: dtn_primitives::Engine::Pbft,
                kinds: Vec::new(),
                training: None,
            };
            Self { domain: genesis.domain(), membership: genesis.membership().unwrap(), keys, genesis }
        }

        /// A final block that so many validators signed.
        fn block(&self, height: u64, signers: usize) -> FinalizedBlock {
            let transactions = vec![(B256::repeat_byte(height as u8), Signature([7; 65]))];
            let header = Header {
                network_id: self.genesis.network_id(),
                chain_id: self.genesis.chain_id,
                epoch: 0,
                height,
                timestamp: height,
                proposer: Address::ZERO,
                parent_hash: B256::ZERO,
                transactions_root: Block::root_of_signed_hashes(transactions.iter().copied()),
                results_root: B256::ZERO,
            };
            let vote = |(index, key): (usize, &SecretKey)| {
                let index = ValidatorIndex(index as u16);
                Vote::sign(VoteKind::Commit, (0, 0, height), header.hash(), index, key, &self.domain)
            };
            let votes: Vec<_> = self.keys.iter().take(signers).enumerate().map(vote).collect();
            FinalizedBlock { certificate: Certificate::from_votes(&votes).unwrap(), header, transactions }
        }

        /// What is shown when the peers' subscriptions give these blocks, one after the other, and then nobody answers.
        async fn shown(&self, from: u64, peers: Vec<Vec<FinalizedBlock>>) -> Vec<u64> {
            let script = RefCell::new(VecDeque::from(peers));
            let (mut shown, peers) = (Vec::new(), vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
            let subscribe = async |_, _| match script.borrow_mut().pop_front() {
                Some(blocks) => Ok(Scripted(blocks.into())),
                None => Err(ClientError::RequestTimeout),
            };
            let tell = |news: News<'_>| match news {
                News::Block(block) => {
                    shown.push(block.header.height);
                    Ok(())
                }
                News::Outage => Err(()),
                News::Back => unreachable!("the outage is the end"),
            };
            let verifier = Verifier { domain: &self.domain, membership: &self.membership };
            let follower = Follower { verifier, peers, next: from, pause: Duration::ZERO };
            assert!(matches!(follower.run_at(subscribe, tell).await, Err(FollowError::Told(()))));
            shown
        }
    }

    struct Scripted(VecDeque<FinalizedBlock>);

    impl Source for Scripted {
        async fn next(&mut self) -> Option<Result<FinalizedBlock, String>> {
            self.0.pop_front().map(Ok)
        }
    }

    #[tokio::test]
    async fn when_a_peer_ends_another_goes_on_without_gap_or_repetition() {
        let network = Network::new();
        let blocks = |heights: std::ops::RangeInclusive<u64>| heights.map(|height| network.block(height, 3)).collect();
        let shown = network.shown(5, vec![blocks(5..=7), vec![], blocks(8..=8), blocks(9..=10)]).await;
        assert_eq!(shown, [5, 6, 7, 8, 9, 10]);
    }

    #[tokio::test]
    async fn what_does_not_hold_is_not_shown() {
        let network = Network::new();
        let good = network.block(1, 3);
        let few = network.block(1, 2);
        let (mut other, mut spoiled, mut renamed) = (good.clone(), good.clone(), good.clone());
        other.header.timestamp += 1;
        spoiled.transactions[0].1 = Signature([8; 65]);
        renamed.certificate.height = 2;
        let again = network.block(2, 3);
        for bad in [few, other, spoiled, renamed, again] {
            assert_eq!(network.shown(1, vec![vec![bad], vec![good.clone()]]).await, [1]);
        }
        let mut skipped = network.block(3, 3);
        skipped.header.height = 2;
        assert_eq!(network.shown(1, vec![vec![good.clone(), skipped]]).await, [1]);
        assert_eq!(network.shown(1, vec![vec![good.clone(), good]]).await, [1], "no height twice");
    }

    #[tokio::test]
    async fn an_outage_and_its_end_are_told_once_each_and_a_block_that_none_keeps_ends_it() {
        let network = Network::new();
        let (mut calls, mut told) = (0, Vec::new());
        let subscribe = async |_, _| {
            calls += 1;
            if calls <= 7 { Err(ClientError::RequestTimeout) } else { Ok(Scripted(VecDeque::new())) }
        };
        let tell = |news: News<'_>| {
            told.push(matches!(news, News::Outage));
            Ok::<_, ()>(())
        };
        let verifier = Verifier { domain: &network.domain, membership: &network.membership };
        let peers = vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        let follower = Follower { verifier, peers, next: 5, pause: Duration::ZERO };
        assert!(matches!(follower.run_at(subscribe, tell).await, Err(FollowError::Gone(5))));
        assert_eq!(told, [true, false]);
    }
}
