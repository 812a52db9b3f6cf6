//! QUIC: a network over it where the program is built with it, and a refusal that says so where not.

use super::*;

fn over_quic(cluster_ports: &[u16], keys: &[SecretKey], config: &mut NodeConfig) {
    for (key, port) in keys.iter().zip(cluster_ports) {
        config.peers.insert(key.address(), format!("/ip4/127.0.0.1/udp/{port}/quic-v1").parse().unwrap());
    }
    config.listen = config.peers[&config.key.address()].clone();
}

#[cfg(feature = "quic")]
#[tokio::test(flavor = "multi_thread")]
async fn a_network_over_quic_finalizes_and_a_taken_port_is_named() {
    let mut cluster = Cluster::start(4).await;
    for index in 0..4 {
        cluster.stop(index).await;
    }
    for index in 0..4 {
        let mut config = cluster.config(index);
        over_quic(&cluster.ports, &cluster.keys, &mut config);
        cluster.nodes[index] = Some(Node::start(config).await.unwrap());
    }
    for nonce in 0..3 {
        finalizes(&cluster, nonce, [1, 2]).await;
    }
    let mut config = NodeConfig { store: cluster.folder.path().join("spare.redb"), ..cluster.config(0) };
    over_quic(&cluster.ports, &cluster.keys, &mut config);
    assert!(matches!(Node::start(config).await.err(), Some(NodeError::Listen { .. })));
    // With one peer gone all of the others are needed, and the one that comes back takes what it missed.
    cluster.stop(3).await;
    finalizes(&cluster, 3, [1, 2]).await;
    // Within one process the old socket stays until its connections are drained.
    let node = until("the port is free again", || async {
        let mut config = cluster.config(3);
        over_quic(&cluster.ports, &cluster.keys, &mut config);
        Node::start(config).await.ok()
    })
    .await;
    cluster.nodes[3] = Some(node);
    let height = cluster.status(0).await.height;
    cluster.all_reach(height).await;
    cluster.shutdown().await;
}

#[cfg(not(feature = "quic"))]
#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_quic_is_refused_by_a_program_without_it() {
    let mut cluster = Cluster::start(4).await;
    cluster.stop(0).await;
    let mut config = cluster.config(0);
    over_quic(&cluster.ports, &cluster.keys, &mut config);
    assert!(matches!(Node::start(config).await.err(), Some(NodeError::WithoutQuic(_))));
    cluster.shutdown().await;
}
