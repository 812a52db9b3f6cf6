//! Strangers who hold connections to the peer ports, without a key and without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dtn_api::ApiClient;
use dtn_node::Node;
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};

use crate::common::*;

/// Connections to each port: more than the handshakes that one peer ever served at a time.
const STRANGERS: usize = 128;

/// Holds idle connections to ports and opens each again when it is closed.
struct Idle {
    tasks: JoinSet<()>,
    held: Arc<AtomicUsize>,
}

impl Idle {
    fn hold(ports: &[u16]) -> Self {
        let (mut tasks, held) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for port in ports.iter().copied() {
            for _ in 0..STRANGERS {
                let held = held.clone();
                tasks.spawn(async move {
                    loop {
                        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                            held.fetch_add(1, Ordering::SeqCst);
                            stream.read_u8().await.ok();
                            held.fetch_sub(1, Ordering::SeqCst);
                        }
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                });
            }
        }
        Self { tasks, held }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_validator_is_linked_to_all_while_strangers_hold_every_port() {
    let mut cluster = Cluster::start(4).await;
    let mut strangers = Idle::hold(&cluster.ports);
    let almost_all = 4 * STRANGERS - STRANGERS / 4;
    until("strangers at every port", || async { (strangers.held.load(Ordering::SeqCst) >= almost_all).then_some(()) })
        .await;
    for index in [3, 0] {
        cluster.stop(index).await;
        let began = Instant::now();
        cluster.nodes[index] = Some(Node::start(cluster.config(index)).await.unwrap());
        until("a validator that is linked to all", || async {
            (cluster.status(index).await.connected.len() == 3).then_some(())
        })
        .await;
        tracing::info!(index, took = ?began.elapsed(), "linked");
        for other in (0..4).filter(|other| *other != index) {
            until("all are linked to it", || async {
                cluster.status(other).await.connected.contains(&(index as u16)).then_some(())
            })
            .await;
        }
    }
    let order = cluster.order(0, None);
    cluster.client(1).submit(order.clone()).await.unwrap();
    let reply = cluster.client(1).reply(order.hash(&cluster.genesis.domain()), 60_000).await.unwrap();
    assert!(reply.is_some(), "final within a minute");
    strangers.tasks.shutdown().await;
    cluster.shutdown().await;
}
