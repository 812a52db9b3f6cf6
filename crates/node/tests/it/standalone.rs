//! Protocols without blocks, by peers over real sockets.

use std::{collections::BTreeMap, time::Duration};

use dtn_consensus::{Effect, Input, Memory, Protocol, Standalone};
use dtn_node::{
    NodeError,
    standalone::{Event, Peer, PeerConfig, PeerError},
};
use dtn_primitives::ValidatorIndex;
use tempfile::TempDir;

use crate::common::until;

/// Everybody says the number that it is told, once for all; the host adds up what all have said.
#[derive(Debug)]
struct Sum<const VERSION: u8> {
    n: usize,
    mine: Option<u64>,
    heard: BTreeMap<ValidatorIndex, u64>,
}

type Peers = Vec<Peer<Sum<1>>>;

impl<const VERSION: u8> Sum<VERSION> {
    fn new(n: usize, records: &[u64]) -> Self {
        Self { n, mine: records.first().copied(), heard: BTreeMap::new() }
    }

    /// All numbers, once they are there.
    fn complete(&self) -> Option<Vec<u64>> {
        let all: Vec<_> = self.heard.values().copied().chain(self.mine).collect();
        (all.len() == self.n).then_some(all)
    }
}

#[derive(Debug)]
enum Told {
    Number(u64),
    Sum(u64),
}

impl<const VERSION: u8> Protocol for Sum<VERSION> {
    type Message = u64;
    type Record = u64;
    type Timer = ();
    type Fault = String;
    type Ask = Vec<u64>;
    type Answer = Told;
    type Output = Result<u64, Memory>;

    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>> {
        match input {
            Input::Start { memory, .. } => {
                vec![Effect::Output(Err(memory)), Effect::SetTimer { timer: (), after: Duration::from_millis(50) }]
            }
            Input::Timer(()) => self.complete().map(Effect::Ask).into_iter().collect(),
            Input::Answer(Told::Sum(sum)) => vec![Effect::Output(Ok(sum))],
            Input::Answer(Told::Number(number)) => {
                let number = *self.mine.get_or_insert(number);
                vec![Effect::Persist(number), Effect::Broadcast(number)]
            }
            Input::Connected(to) => self.mine.map(|message| Effect::Send { to, message }).into_iter().collect(),
            Input::Message { from, message } => match self.heard.insert(from, message) {
                Some(before) if before != message => {
                    vec![Effect::Fault { from, fault: format!("{before} and {message}") }]
                }
                _ => vec![Effect::SetTimer { timer: (), after: Duration::from_millis(1) }],
            },
        }
    }
}

impl<const VERSION: u8> Standalone for Sum<VERSION> {
    const NAME: &'static str = if VERSION == 1 { "sum/1" } else { "sum/2" };

    fn kind(_: &u64) -> &'static str {
        "number"
    }

    fn slot(_: &u64) -> u64 {
        0
    }
}

async fn start<const VERSION: u8>(config: &PeerConfig, number: u64) -> Peer<Sum<VERSION>> {
    crate::common::log();
    let n = config.validators.len();
    let peer = Peer::start(config.clone(), |records| Sum::new(n, &records)).await.unwrap();
    peer.handle().answer(Told::Number(number)).await.unwrap();
    peer
}

async fn next(peer: &mut Peer<Sum<1>>) -> Event<Sum<1>> {
    tokio::time::timeout(crate::common::PATIENCE, peer.next()).await.expect("it has nothing to say").unwrap()
}

/// What the peer comes to once its host has done the sum that it asks for.
async fn sum(peer: &mut Peer<Sum<1>>) -> u64 {
    loop {
        match next(peer).await {
            Event::Asked(numbers) => peer.handle().answer(Told::Sum(numbers.iter().sum())).await.unwrap(),
            Event::Output(Ok(sum)) => return sum,
            Event::Output(Err(_)) => {}
        }
    }
}

async fn cluster(folder: &TempDir) -> (Vec<PeerConfig>, Peers) {
    let configs: Vec<_> = PeerConfig::local(4, folder.path()).unwrap().into_iter().map(|(_, config)| config).collect();
    let mut peers = Vec::new();
    for (config, number) in configs.iter().zip([1, 20, 300, 4_000]) {
        peers.push(start(config, number).await);
    }
    (configs, peers)
}

fn metric(peer: &Peer<Sum<1>>, sample: &str) -> Option<u64> {
    peer.handle().metrics().lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_ask_their_hosts_come_to_the_same_and_one_that_starts_again_says_what_it_said_before() {
    let folder = TempDir::new().unwrap();
    let (configs, mut peers) = cluster(&folder).await;
    for peer in &mut peers {
        assert!(matches!(next(peer).await, Event::Output(Err(Memory::NeverVoted))));
    }
    for peer in &mut peers {
        assert_eq!(sum(peer).await, 4_321);
    }
    for peer in &peers {
        let counts = peer.handle().counts();
        let (sent, received) = (counts.sent["number"], counts.received["number"]);
        // Each said it to each that it was linked to, and again when a link opened.
        assert!(sent.messages >= 3 && sent.bytes <= 2 * sent.messages && received.messages >= 3, "{counts:?}");
        assert!(counts.faults.is_empty(), "{counts:?}");
        assert!(metric(peer, "dtn_journal_records_total") == Some(1));
    }
    // It is told another number, and stands by the first one.
    peers.remove(0).shutdown().await;
    let mut again = start(&configs[0], 2).await;
    assert!(matches!(next(&mut again).await, Event::Output(Err(Memory::Kept))));
    assert_eq!(sum(&mut again).await, 4_321);
    assert!(peers.iter().all(|peer| peer.handle().counts().faults.is_empty()), "nobody was told another number");
    // Without its journal it does not know what it has said, and says so.
    again.shutdown().await;
    std::fs::remove_file(&configs[0].store).unwrap();
    let mut lost = start(&configs[0], 2).await;
    assert!(matches!(next(&mut lost).await, Event::Output(Err(Memory::Lost))));
    // So it contradicts itself, which the others notice.
    let [first, ..] = &peers[..] else { panic!("three are there") };
    until("a fault", || async { first.handle().counts().faults.contains_key(&ValidatorIndex(0)).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_speaks_another_protocol_is_cut_off_by_name_and_its_journal_is_no_other_protocols() {
    let folder = TempDir::new().unwrap();
    let (configs, mut peers) = cluster(&folder).await;
    assert_eq!(sum(&mut peers[1]).await, 4_321);
    peers.remove(0).shutdown().await;
    let refused = Peer::<Sum<2>>::start(configs[0].clone(), |records| Sum::new(4, &records)).await;
    let refused = refused.map(drop).unwrap_err();
    assert!(
        matches!(&refused, PeerError::Store(dtn_ledger::StoreError::OtherNetwork { .. })),
        "it would forget what it said: {refused}"
    );
    let store = configs[0].store.with_file_name("second.redb");
    let other = start::<2>(&PeerConfig { store, ..configs[0].clone() }, 1).await;
    for peer in &peers {
        let reason = "dtn_faults_total{peer=\"0\",kind=\"other_engine\"} ";
        until("a peer that is cut off", || async { metric(peer, reason) }).await;
    }
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_run_once_and_nobody_elses_key_at_all() {
    let folder = TempDir::new().unwrap();
    let mut configs = PeerConfig::local(4, folder.path()).unwrap();
    let (_, mut stranger) = configs.remove(3);
    stranger.key = dtn_primitives::SecretKey::from_bytes(&[99; 32]).unwrap();
    let refused = Peer::<Sum<1>>::start(stranger.clone(), |records| Sum::new(4, &records)).await.map(drop);
    assert!(matches!(refused, Err(PeerError::Node(NodeError::NotAValidator(_)))), "{refused:?}");
    let first = start::<1>(&configs[0].1, 1).await;
    let second = Peer::<Sum<1>>::start(configs[0].1.clone(), |records| Sum::new(4, &records)).await.map(drop);
    assert!(matches!(second, Err(PeerError::Store(dtn_ledger::StoreError::Locked { .. }))), "{second:?}");
    first.shutdown().await;
}
