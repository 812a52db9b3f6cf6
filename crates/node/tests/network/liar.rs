//! Validators that lie. Behind each runs a correct peer with its key; what that says to the others and hears of them passes
//! through here, where it may be changed, held back or left out. So its lies are about what happens.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use dtn_ledger::Ledger;
use dtn_node::LinesConfig;
use futures::stream::FuturesUnordered;
use libp2p::Stream;
use tokio::{sync::mpsc, task::JoinSet};

use super::*;

/// What becomes of a frame on its way between the liar and another validator.
type Change = Arc<dyn Fn(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + Sync>;

/// The liar is the first validator: the first primary, whom all others dial.
const LIAR: usize = 0;

/// The frames of a link, by the byte that they begin with.
const CONSENSUS: u8 = 0;
const HEIGHT: u8 = 1;
const TRANSACTIONS: u8 = 2;

const MAX_FRAME: usize = 64 << 20;

struct Lies {
    /// What it says to another.
    says: Change,
    /// What it hears of another.
    hears: Change,
}

fn as_it_is() -> Change {
    Arc::new(|_, frame| vec![frame])
}

/// What runs between a liar and the others, until it is dropped.
type Between = JoinSet<()>;

/// A network of four of which the first lies, with what `adjust` makes of the configurations.
async fn cluster_with(lies: Lies, adjust: impl Fn(usize, &mut NodeConfig)) -> (Cluster, Between) {
    let (lies, between) = (RefCell::new(Some(lies)), RefCell::new(Between::new()));
    let cluster = Cluster::start_with(4, |index, config| {
        adjust(index, config);
        if index == LIAR {
            *between.borrow_mut() = get_between(config, lies.take().unwrap());
        }
    })
    .await;
    (cluster, between.into_inner())
}

/// Leads the links of a peer that is about to start past its lies.
fn get_between(config: &mut NodeConfig, lies: Lies) -> Between {
    let mut keys: Vec<_> = (1..=4).map(key).collect();
    keys.sort_by_key(SecretKey::address);
    let ids: Vec<_> = keys.iter().map(|key| peer_id(&key.public_key())).collect();
    let front = config.listen.clone();
    config.listen = format!("/ip4/127.0.0.1/tcp/{}", free_port()).parse().unwrap();
    let (own, liar) = (config.key.address(), config.listen.clone());
    config.peers.retain(|address, _| *address == own);

    let mut between = JoinSet::new();
    let mut facing = swarm(&keys[LIAR]);
    facing.listen_on(front).unwrap();
    let mut incoming = facing.behaviour().new_control().accept(LINK).unwrap();
    between.spawn(async move { while facing.next().await.is_some() {} });
    let mut links = Vec::new();
    for (index, key) in keys.iter().enumerate().filter(|(index, _)| *index != LIAR) {
        let (found, mut others) = mpsc::channel(4);
        links.push((ids[index], found));
        let mut posing = swarm(key);
        let (liar, lies) = ((ids[LIAR], liar.clone()), [lies.says.clone(), lies.hears.clone()]);
        let mut control = posing.behaviour().new_control();
        between.spawn(async move {
            loop {
                if !posing.is_connected(&liar.0) {
                    posing.dial(DialOpts::peer_id(liar.0).addresses(vec![liar.1.clone()]).build()).ok();
                }
                tokio::time::timeout(Duration::from_millis(50), posing.next()).await.ok();
            }
        });
        between.spawn(async move {
            while let Some(other) = others.recv().await {
                let near = loop {
                    match control.open_stream(liar.0, LINK).await {
                        Ok(stream) => break stream,
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                };
                let ((from_liar, to_liar), (from_other, to_other)) = (near.split(), Stream::split(other));
                let [says, hears] = &lies;
                tokio::select! {
                    () = pass(from_liar, to_other, |frame| says(index, frame)) => {}
                    () = pass(from_other, to_liar, |frame| hears(index, frame)) => {}
                }
            }
        });
    }
    between.spawn(async move {
        while let Some((id, stream)) = incoming.next().await {
            let link = links.iter().find(|(known, _)| *known == id);
            if let Some((_, found)) = link {
                found.send(stream).await.ok();
            }
        }
    });
    between
}

/// Passes frames on, until there are no more.
async fn pass(
    mut from: impl futures::AsyncRead + Unpin,
    mut to: impl futures::AsyncWrite + Unpin,
    change: impl Fn(Vec<u8>) -> Vec<Vec<u8>>,
) {
    let mut length = [0; 4];
    while from.read_exact(&mut length).await.is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        if from.read_exact(&mut frame).await.is_err() {
            return;
        }
        // One that is empty says that its sender is there.
        let frames = if frame.is_empty() { vec![frame] } else { change(frame) };
        for frame in frames {
            if to.write_all(&framed(&frame)).await.is_err() {
                return;
            }
        }
        to.flush().await.ok();
    }
}

/// What a frame says of consensus, if it is about that.
fn consensus(frame: &[u8]) -> Option<Message> {
    let (_, _, message): (u8, u8, Message) =
        (frame[0] == CONSENSUS).then(|| codec::decode(frame, MAX_FRAME).ok())??;
    Some(message)
}

fn frame(message: Message) -> Vec<u8> {
    codec::encode(&(CONSENSUS, PBFT, message))
}

/// All others have one chain and one state in the end.
async fn others_agree(cluster: Cluster) {
    let height = cluster.status(1).await.height;
    cluster.all_reach(height).await;
    for index in 1..4 {
        let status = cluster.status(index).await;
        assert!(status.faults[1..].iter().all(|count| *count == 0), "an honest peer is blamed: {status:?}");
        assert!(status.evidence.iter().all(|validator| usize::from(*validator) == LIAR), "{status:?}");
    }
    let (genesis, stores) = (cluster.genesis.clone(), [1, 2, 3].map(|index| cluster.store(index)));
    let folder = cluster.close().await;
    let mut ledgers = stores.map(|store| Ledger::open(&store, genesis.clone()).unwrap());
    let lowest = ledgers.iter().map(|ledger| ledger.tip().height).min().unwrap();
    assert!(lowest >= height);
    let hash = |ledger: &Ledger| ledger.block(lowest).unwrap().unwrap().header.hash();
    assert!(ledgers.iter().all(|ledger| hash(ledger) == hash(&ledgers[0])));
    let mut states: Vec<_> =
        ledgers.iter_mut().map(|ledger| (ledger.tip().height, ledger.checkpoint().unwrap())).collect();
    states.sort_unstable();
    for pair in states.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        assert_eq!(pair[0].1, pair[1].1, "two states after one block");
    }
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_permutes_its_blocks_for_some_leaves_all_in_one_state() {
    let permuted = Arc::new(AtomicUsize::new(0));
    let count = permuted.clone();
    let says = move |to: usize, said: Vec<u8>| {
        let permute = |block: Arc<Block>| {
            count.fetch_add(usize::from(block.transactions.len() > 1), Relaxed);
            let mut block = Arc::unwrap_or_clone(block);
            block.transactions.reverse();
            Arc::new(block)
        };
        // One has it as it is, and certifies the same hash.
        match consensus(&said) {
            Some(Message::PrePrepare { vote, block }) if to > 1 => {
                vec![frame(Message::PrePrepare { vote, block: permute(block) })]
            }
            Some(Message::Body(block)) if to > 1 => vec![frame(Message::Body(permute(block)))],
            _ => vec![said],
        }
    };
    let lies = Lies { says: Arc::new(says), hears: as_it_is() };
    let (cluster, _between) = cluster_with(lies, |index, config| {
        let listen = "127.0.0.1:0".parse().unwrap();
        config.lines = (index > 0).then(|| LinesConfig { listen, expected_hashes: 1_000.try_into().unwrap() });
    })
    .await;
    // Which copy of a line opens its race depends on which is executed first.
    let ports = [1, 2].map(|peer| cluster.nodes[peer].as_ref().unwrap().lines().unwrap());
    let mut lines = Vec::new();
    for port in ports {
        lines.push(TcpStream::connect(port).await.unwrap());
    }
    for turn in 0.. {
        let line = format!("line {turn}\n");
        lines.iter_mut().map(|port| port.write_all(line.as_bytes())).collect::<FuturesUnordered<_>>().count().await;
        finalizes(&cluster, turn, [1, 2]).await;
        if permuted.load(Relaxed) > 3 {
            break;
        }
    }
    println!("{} permuted bodies were sent", permuted.load(Relaxed));
    others_agree(cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_tells_a_height_that_nobody_has_silences_no_new_network_and_keeps_nobody_from_catching_up() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let says = move |_: usize, said: Vec<u8>| match said[0] {
        HEIGHT => {
            count.fetch_add(1, Relaxed);
            vec![codec::encode(&(HEIGHT, 1u64 << 60))]
        }
        _ => vec![said],
    };
    // To start with, each validator waits until it votes.
    let lies = Lies { says: Arc::new(says), hears: as_it_is() };
    let (mut cluster, _between) = cluster_with(lies, |_, _| ()).await;
    for nonce in 0..3 {
        finalizes(&cluster, nonce, [1, 2]).await;
    }
    cluster.stop(3).await;
    for nonce in 3..6 {
        finalizes(&cluster, nonce, [1, 2]).await;
    }
    std::fs::remove_file(cluster.store(3)).unwrap();
    cluster.nodes[3] = Some(Node::start(cluster.config(3)).await.unwrap());
    cluster.all_reach(6).await;
    cluster.votes(3).await;
    finalizes(&cluster, 6, [1, 3]).await;
    assert!(told.load(Relaxed) > 0);
    others_agree(cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_leaves_out_an_order_does_not_keep_it_out_however_much_else_it_decides() {
    // It hears of no transactions but those that are handed in to it.
    let hears = |_: usize, heard: Vec<u8>| if heard[0] == TRANSACTIONS { Vec::new() } else { vec![heard] };
    let lies = Lies { says: as_it_is(), hears: Arc::new(hears) };
    let (cluster, _between) = cluster_with(lies, |_, _| ()).await;
    let domain = cluster.genesis.domain();
    let own = key(50);
    let load = async {
        let liar = cluster.client(LIAR);
        for nonce in 0.. {
            let data = Payload::Data { nonce, items: vec![[7; 64]].into() };
            let hash = liar.submit(Transaction::sign(data, &own, &domain)).await.unwrap();
            liar.reply(hash, 60_000).await.unwrap();
            // Its turn of sixteen blocks lasts for several view timeouts.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let order = async {
        until("blocks of the liar", || async { (cluster.status(1).await.height >= 3).then_some(()) }).await;
        let began = std::time::Instant::now();
        let before = cluster.status(1).await;
        finalizes(&cluster, 0, [1, 2]).await;
        let after = cluster.status(1).await;
        println!(
            "final after {:?}, from height {} in view {} to {} in {}",
            began.elapsed(),
            before.height,
            before.view,
            after.height,
            after.view
        );
    };
    tokio::select! {
        () = load => unreachable!("it has no end"),
        () = order => {}
    }
    others_agree(cluster).await;
}
