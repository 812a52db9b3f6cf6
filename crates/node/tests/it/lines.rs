//! Line ports on real sockets: what is taken, what is refused in words, and what becomes of it.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, num::NonZeroU64, time::Duration};

use dtn_api::ApiClient;
use dtn_node::{LinesConfig, Node, NodeConfig, NodeError, Role};
use dtn_primitives::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::common::*;

const RECEIVED: &str = "Transaction received. Processing POW...\n";

fn listen(config: &mut NodeConfig) {
    let listen = "127.0.0.1:0".parse().unwrap();
    config.lines = Some(LinesConfig { listen, expected_hashes: NonZeroU64::new(1_000).unwrap() });
}

async fn cluster() -> Cluster {
    Cluster::start_with(4, |_, config| listen(config)).await
}

async fn connect(cluster: &Cluster, peer: usize) -> TcpStream {
    TcpStream::connect(cluster.nodes[peer].as_ref().unwrap().lines().unwrap()).await.unwrap()
}

/// Sends bytes and ends; gives what is answered.
async fn send(cluster: &Cluster, peer: usize, bytes: &[u8]) -> String {
    let (mut reader, mut writer) = connect(cluster, peer).await.into_split();
    let bytes = bytes.to_vec();
    let writing = tokio::spawn(async move {
        writer.write_all(&bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut answer = String::new();
    timeout(PATIENCE, reader.read_to_string(&mut answer)).await.unwrap().unwrap();
    writing.await.unwrap();
    answer
}

/// The lines of all final blocks of a peer, by sender and in order, with the orders that were won.
async fn lines(cluster: &Cluster, peer: usize) -> (BTreeMap<Address, Vec<Line>>, usize) {
    let client = cluster.client(peer);
    let (mut lines, mut won): (BTreeMap<Address, Vec<Line>>, usize) = Default::default();
    for height in 1.. {
        let Some(view) = client.block(height).await.unwrap() else { break };
        for transaction in view.block.transactions {
            if let Payload::Line(line) = transaction.payload {
                lines.entry(transaction.sender).or_default().push(line);
            }
        }
        // A block may end more races than a page of results has room for.
        let mut of_block = 0;
        loop {
            let page = client.results(height, Some(of_block)).await.unwrap();
            match page.iter().filter(|it| it.header.height == height).count() {
                0 => break,
                more => of_block += more,
            }
        }
        won += of_block;
    }
    (lines, won)
}

/// Waits until a peer has so many final lines and races that are won.
async fn wait_for(cluster: &Cluster, peer: usize, count: usize, races: usize) -> BTreeMap<Address, Vec<Line>> {
    until(&format!("{count} lines and {races} races"), || async {
        let (lines, won) = lines(cluster, peer).await;
        (lines.values().map(Vec::len).sum::<usize>() >= count && won >= races).then_some(lines)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_to_three_ports_is_answered_by_each_and_won_once() {
    let cluster = cluster().await;
    let sent = [0, 1, 2].map(|peer| send(&cluster, peer, b"Your transaction data\n"));
    assert_eq!(futures::future::join_all(sent).await, [RECEIVED; 3]);
    let lines = wait_for(&cluster, 3, 3, 1).await;
    assert_eq!(lines.len(), 3);
    assert!(lines.values().flatten().all(|line| &line.data[..] == b"Your transaction data" && line.nonce == 0));
    assert_eq!(send(&cluster, 0, b"Your transaction data\n").await, RECEIVED);
    wait_for(&cluster, 3, 4, 2).await;
    assert_eq!(cluster.client(3).results(1, None).await.unwrap().len(), 2, "the same again is another transaction");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_bytes_come_each_line_is_taken_or_refused_in_words() {
    let cluster = cluster().await;
    let longest = vec![b'x'; MAX_LINE_BYTES];
    let too_long = vec![b'y'; 100_000];
    let binary: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    let parts: [&[u8]; 9] =
        [b"\n\r\n", &binary, b"\n", &longest, b"\r\n", &too_long, b"\nafter\n", b"\n", b"without end"];
    let refused = format!("error: a line has more than {MAX_LINE_BYTES} bytes and was not taken\n");
    let answered = send(&cluster, 2, &parts.concat()).await;
    assert_eq!(answered, [RECEIVED, RECEIVED, &refused, RECEIVED, RECEIVED].concat());
    let taken = wait_for(&cluster, 0, 4, 4).await.into_values().next().unwrap();
    let taken: Vec<_> = taken.iter().map(|line| line.data.to_vec()).collect();
    assert_eq!(taken, [binary, longest, b"after".to_vec(), b"without end".to_vec()]);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_many_connections_have_consecutive_nonces_across_a_restart() {
    let mut cluster = cluster().await;
    let text =
        |from: u64, connection: u64| -> String { (from..from + 30).map(|it| format!("{connection} {it}\n")).collect() };
    let all = async |cluster: &Cluster, from: u64| {
        let texts: Vec<_> = (0..20).map(|connection| text(from, connection)).collect();
        let sent = texts.iter().map(|text| send(cluster, 1, text.as_bytes()));
        let answers = futures::future::join_all(sent).await;
        assert!(answers.iter().all(|answer| *answer == RECEIVED.repeat(30)), "{answers:?}");
    };
    // More than may wait at a time: who sends faster has to wait.
    all(&cluster, 0).await;
    wait_for(&cluster, 0, 600, 600).await;
    cluster.stop(1).await;
    let mut config = cluster.config(1);
    listen(&mut config);
    cluster.nodes[1] = Some(Node::start(config).await.unwrap());
    all(&cluster, 30).await;
    let taken = wait_for(&cluster, 0, 1_200, 1_200).await.remove(&cluster.keys[1].address()).unwrap();
    assert!(taken.iter().map(|line| line.nonce).eq(0..1_200));
    let mut data: Vec<_> = taken.iter().map(|line| line.data.clone()).collect();
    data.sort();
    data.dedup();
    assert_eq!(data.len(), 1_200, "each line once");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_order_does_not_wait_for_lines_that_nobody_can_solve() {
    const LINES: usize = 200;
    let cluster = Cluster::start_with(4, |index, config| {
        listen(config);
        let hardest = NonZeroU64::new(MAX_LINE_HASHES).unwrap();
        config.lines.as_mut().filter(|_| index == 3).into_iter().for_each(|lines| lines.expected_hashes = hardest);
    })
    .await;
    let impossible: String = (0..LINES).map(|line| format!("line {line}\n")).collect();
    assert_eq!(send(&cluster, 3, impossible.as_bytes()).await, RECEIVED.repeat(LINES));
    wait_for(&cluster, 0, LINES, 0).await;
    let order = cluster.order(0, Some(1_000_000));
    let hash = cluster.client(0).submit(order).await.unwrap();
    until("the order's result", || async {
        let results = cluster.client(0).results(1, None).await.unwrap();
        results.iter().any(|result| result.result.id == hash).then_some(())
    })
    .await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_told_so_and_has_room_when_another_ends() {
    let cluster = cluster().await;
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(connect(&cluster, 0).await);
    }
    let refused = |answer: &str| answer.starts_with("error: 256 connections are open");
    let mut answer = String::new();
    let mut one_more = connect(&cluster, 0).await;
    timeout(PATIENCE, one_more.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(refused(&answer), "{answer}");
    drop(open.pop());
    until("room for another", || async {
        let mut another = connect(&cluster, 0).await;
        another.write_all(b"room\n").await.ok()?;
        let mut answer = vec![0; RECEIVED.len()];
        another.read_exact(&mut answer).await.ok()?;
        (answer == RECEIVED.as_bytes()).then_some(())
    })
    .await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_half_a_line_is_left_after_a_while() {
    let cluster = cluster().await;
    let began = Instant::now();
    let (mut silent, mut half) = (connect(&cluster, 0).await, connect(&cluster, 0).await);
    half.write_all(b"whole\nhalf").await.unwrap();
    let (mut nothing, mut answer) = (String::new(), String::new());
    timeout(PATIENCE, silent.read_to_string(&mut nothing)).await.unwrap().unwrap();
    timeout(PATIENCE, half.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert_eq!(nothing, "");
    assert_eq!(answer, format!("{RECEIVED}error: a line did not end within 10 s and was not taken\n"));
    assert!(began.elapsed() >= Duration::from_secs(10));
    let taken = wait_for(&cluster, 1, 1, 1).await.into_values().next().unwrap();
    assert_eq!(&taken[0].data[..], b"whole");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_to_race_votes_and_takes_in_lines_but_claims_nothing() {
    let cluster = Cluster::start_with(4, |index, config| {
        listen(config);
        config.mine = index == 3;
    })
    .await;
    assert_eq!(send(&cluster, 0, b"a\nb\nc\n").await, RECEIVED.repeat(3));
    wait_for(&cluster, 1, 3, 3).await;
    let results = cluster.client(2).results(1, None).await.unwrap();
    assert!(results.iter().all(|it| it.result.worker == cluster.keys[3].address()), "{results:?}");
    cluster.shutdown().await;
}

#[tokio::test]
async fn an_observer_and_a_taken_line_port_are_refused_by_name() {
    let cluster = Cluster::start(4).await;
    let store = cluster.folder.path().join("spare.redb");
    let mut observer = NodeConfig { role: Role::Observer, key: key(77), store: store.clone(), ..cluster.config(0) };
    listen(&mut observer);
    assert!(matches!(Node::start(observer).await, Err(NodeError::ObserverLines)));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listen = format!("/ip4/127.0.0.1/tcp/{}", free_port()).parse().unwrap();
    let mut config = NodeConfig { store, listen, ..cluster.config(0) };
    config.lines = Some(LinesConfig { listen: address, expected_hashes: NonZeroU64::MIN });
    match Node::start(config).await {
        Err(NodeError::Lines { address: refused, .. }) => assert_eq!(refused, address),
        other => panic!("expected the line port to be refused, not {:?}", other.err()),
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_hung_up_on_and_nothing_that_it_sends_is_signed() {
    let cluster = cluster().await;
    let requests: [&[u8]; 4] = [
        b"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9\r\n\r\nsign this\n",
        b"GET /line HTTP/1.1\r\n\r\n",
        b"a line before\r\nHost: evil.example\r\n\r\nsign this\n",
        b"\x16\x03\x01\x00\x10hello\nsign this\n",
    ];
    for request in requests {
        let (mut socket, mut answer) = (connect(&cluster, 0).await, Vec::new());
        socket.write_all(request).await.unwrap();
        // It may be reset, because there was more to read.
        timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap().ok();
        assert_eq!(answer, b"", "{}", request.escape_ascii());
    }
    // What is sent by others is taken as ever, and is all there is.
    assert_eq!(send(&cluster, 0, b"a line\n").await, RECEIVED);
    let taken = wait_for(&cluster, 1, 1, 1).await;
    assert_eq!(taken.into_values().flatten().map(|line| line.data.to_vec()).collect::<Vec<_>>(), [b"a line".to_vec()]);
    cluster.shutdown().await;
}
