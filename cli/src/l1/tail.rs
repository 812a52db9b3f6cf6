//! `dtn-cli l1 tail`: final blocks as they come, each verified here.

use std::{future::Future, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use dtn_node::{ApiClient, FinalizedBlock};
use dtn_report::units;
use jsonrpsee::{core::client::Subscription, ws_client::WsClientBuilder};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{blocks::Verifier, client::Client, home::Home};
use crate::output::{self, reason};

/// How long a peer may take to take a subscription.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The pause after all peers were tried.
const PAUSE: Duration = Duration::from_millis(500);

/// How often peers answer in vain before it is given up.
const ROUNDS: u32 = 60;

/// Blocks that may wait here. A peer that sends more is left, and asked for the rest.
const BUFFER: usize = 256;

/// How long a peer may have no block before another is asked: it may be the only one that has none.
const SILENCE: Duration = Duration::from_secs(5);

/// Prints every final block from a height on, or from the next one, until it is interrupted. Goes on at another peer
/// when one ends, has nothing more or sends what does not hold; while none answers, it goes on trying.
pub(super) async fn run(home: &Home, from: Option<u64>, json: bool) -> Result<()> {
    let client = Client::open(home)?;
    let mut outage = Outage::new(|what| output::note(what));
    let tip = loop {
        match client.height().await {
            Ok(height) => break height,
            Err(error) => outage.begins(&reason(&error)),
        }
        sleep(PAUSE).await;
    };
    outage.ends();
    let from = from.unwrap_or(tip + 1);
    if tip >= from {
        // Final for a while: whether anybody keeps it can be told at once.
        client.certificate(from).await?;
    }
    let peers = home.client()?.peers;
    follow(&peers, from, client.verifier(), PAUSE, subscribe, |block| show(block, json), outage).await
}

/// A time in which nobody answers: that it begins is said once, and that it ends.
struct Outage<S> {
    lasts: bool,
    say: S,
}

impl<S: FnMut(&str)> Outage<S> {
    fn new(say: S) -> Self {
        Self { lasts: false, say }
    }

    fn begins(&mut self, why: &str) {
        if !std::mem::replace(&mut self.lasts, true) {
            (self.say)(&format!("{why}; trying on, until Ctrl-C"));
        }
    }

    fn ends(&mut self) {
        if std::mem::take(&mut self.lasts) {
            (self.say)("peers answer again");
        }
    }
}

/// A source of final blocks.
trait Blocks {
    /// The next one; `None` when the source ends.
    fn next(&mut self) -> impl Future<Output = Option<Result<FinalizedBlock>>>;
}

/// A subscription with the connection that carries it.
struct Live {
    blocks: Subscription<FinalizedBlock>,
    _client: jsonrpsee::ws_client::WsClient,
}

impl Blocks for Live {
    async fn next(&mut self) -> Option<Result<FinalizedBlock>> {
        Some(self.blocks.next().await?.map_err(Into::into))
    }
}

async fn subscribe(peer: SocketAddr, from: u64) -> Result<Live> {
    let client = WsClientBuilder::default().max_buffer_capacity_per_subscription(BUFFER);
    let connect = async {
        let client = client.build(format!("ws://{peer}")).await?;
        let blocks = client.subscribe_finalized(Some(from)).await?;
        anyhow::Ok(Live { blocks, _client: client })
    };
    timeout(CONNECT_TIMEOUT, connect).await.with_context(|| format!("no answer within {CONNECT_TIMEOUT:?}"))?
}

/// Follows one peer after the other, so that each height comes once and in order, whichever peer it comes from.
async fn follow<B: Blocks>(
    peers: &[SocketAddr],
    mut next: u64,
    verifier: Verifier<'_>,
    pause: Duration,
    mut subscribe: impl AsyncFnMut(SocketAddr, u64) -> Result<B>,
    mut show: impl FnMut(&FinalizedBlock) -> Result<()>,
    mut outage: Outage<impl FnMut(&str)>,
) -> Result<()> {
    let mut failed = 0;
    while failed < ROUNDS {
        let mut answered = false;
        failed += 1;
        for peer in peers {
            let mut blocks = match subscribe(*peer, next).await {
                Ok(blocks) => {
                    outage.ends();
                    answered = true;
                    blocks
                }
                Err(error) => {
                    tracing::debug!(%peer, error = reason(&error), "cannot follow this peer");
                    continue;
                }
            };
            let reason = loop {
                let block = match timeout(SILENCE, blocks.next()).await {
                    Ok(Some(Ok(block))) => block,
                    Ok(Some(Err(error))) => break reason(&error),
                    Ok(None) => break "it ended the subscription".into(),
                    Err(_) => {
                        failed = 0;
                        break "it has no more".into();
                    }
                };
                let root = block.transactions_root();
                if let Err(error) = verifier.block(next, &block.header, &block.certificate, root) {
                    tracing::warn!(%peer, error = reason(&error), "a peer sent what does not hold");
                    break "it lies".into();
                }
                show(&block)?;
                (next, failed) = (next + 1, 0);
            };
            tracing::debug!(%peer, reason, next, "going on at another peer");
        }
        if !answered {
            failed = 0;
            outage.begins("no peer answers");
        }
        sleep(pause).await;
    }
    bail!("no peer serves block {next}; is the network up (`dtn-cli l1 status`)? Was the block pruned?")
}

fn show(block: &FinalizedBlock, json: bool) -> Result<()> {
    let FinalizedBlock { header, certificate, transactions } = block;
    let hash = header.hash();
    if json {
        let transactions: Vec<_> = transactions.iter().map(|(hash, _)| hash).collect();
        let line = json!({
            "height": header.height,
            "hash": hash,
            "header": header,
            "certificate": certificate,
            "transactions": transactions,
        });
        return output::json_line(&line);
    }
    output::line(format!(
        "{:>8}  {}  {:>5} transactions  proposer {}  view {}  {} signatures",
        header.height,
        units::short(hash),
        transactions.len(),
        units::short(header.proposer),
        certificate.view,
        certificate.signatures.len(),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{cell::RefCell, collections::VecDeque};

    use dtn_primitives::{
        Address, B256, Block, Certificate, Domain, Genesis, Header, SecretKey, Signature, ValidatorIndex, ValidatorSet,
        Vote, VoteKind,
    };

    use super::*;

    struct Network {
        domain: Domain,
        validators: ValidatorSet,
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
                mining: None,
            };
            Self { domain: genesis.domain(), validators: genesis.validator_set().unwrap(), keys, genesis }
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

        /// What is shown when the peers' subscriptions give these blocks, one after the other, and then end.
        async fn shown(&self, from: u64, peers: Vec<Vec<FinalizedBlock>>) -> Vec<u64> {
            self.followed(from, peers.into_iter().map(Some).collect()).await.0
        }

        /// The same with what is said, where some subscriptions are not answered.
        async fn followed(&self, from: u64, peers: Vec<Option<Vec<FinalizedBlock>>>) -> (Vec<u64>, Vec<String>) {
            let script = RefCell::new(VecDeque::from(peers));
            let mut said = Vec::new();
            let (mut shown, addresses) = (Vec::new(), ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
            let subscribe = async |_, _| match script.borrow_mut().pop_front() {
                Some(Some(blocks)) => Ok(Scripted(blocks.into())),
                Some(None) => bail!("nobody listens there"),
                None => Ok(Scripted(VecDeque::new())),
            };
            let show = |block: &FinalizedBlock| {
                shown.push(block.header.height);
                Ok(())
            };
            let verifier = Verifier { domain: &self.domain, validators: &self.validators };
            let outage = Outage::new(|what: &str| said.push(what.to_string()));
            let ended = follow(&addresses, from, verifier, Duration::ZERO, subscribe, show, outage).await;
            let error = ended.unwrap_err().to_string();
            assert!(error.contains("no peer serves block"), "{error}");
            (shown, said)
        }
    }

    struct Scripted(VecDeque<FinalizedBlock>);

    impl Blocks for Scripted {
        async fn next(&mut self) -> Option<Result<FinalizedBlock>> {
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
    async fn while_nobody_answers_it_says_so_once_tries_on_and_says_when_somebody_does() {
        let network = Network::new();
        let block = |height| Some(vec![network.block(height, 3)]);
        let nobody = || std::iter::repeat_n(None, 2 * 2 * ROUNDS as usize);
        let script = [block(1), None].into_iter().chain(nobody()).chain([block(2), None]).chain(nobody());
        let (shown, said) = network.followed(1, script.chain([block(3)]).collect()).await;
        assert_eq!(shown, [1, 2, 3], "it outlasts any outage");
        let [lost, back] = ["no peer answers; trying on, until Ctrl-C", "peers answer again"];
        assert_eq!(said, [lost, back, lost, back]);
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
}
