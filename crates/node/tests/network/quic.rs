//! QUIC: a network over it where the program is built with it, and a refusal that says so where not.

use super::*;

/// Moves every address of a configuration from TCP to QUIC.
fn over_quic(config: &mut NodeConfig) {
    for address in config.peers.values_mut().chain([&mut config.listen]) {
        *address = format!("{}/quic-v1", address.to_string().replace("/tcp/", "/udp/")).parse().unwrap();
    }
}

#[cfg(feature = "quic")]
#[tokio::test(flavor = "multi_thread")]
async fn a_network_over_quic_finalizes_and_a_taken_port_is_named() {
    let mut cluster = Cluster::start_with(4, |_, config| over_quic(config)).await;
    for nonce in 0..3 {
        finalizes(&cluster, nonce, [1, 2]).await;
    }
    let mut config = NodeConfig { store: cluster.folder.path().join("spare.redb"), ..cluster.config(0) };
    over_quic(&mut config);
    assert!(matches!(Node::start(config).await.err(), Some(NodeError::Listen { .. })));
    // With one peer gone all of the others are needed, and the one that comes back takes what it missed.
    cluster.stop(3).await;
    finalizes(&cluster, 3, [1, 2]).await;
    // Within one process the old socket stays until its connections are drained.
    let node = until("the port is free again", || async {
        let mut config = cluster.config(3);
        over_quic(&mut config);
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
    over_quic(&mut config);
    assert!(matches!(Node::start(config).await.err(), Some(NodeError::WithoutQuic(_))));
    cluster.shutdown().await;
}

#[cfg(feature = "quic")]
mod strangers {
    use std::{collections::HashSet, pin::Pin};

    use futures::future::poll_fn;
    use libp2p::{
        Transport as _,
        core::{
            Endpoint, StreamMuxer as _,
            transport::{DialOpts as Options, PortUse},
        },
        identity::Keypair,
        quic,
    };
    use tokio::{net::UdpSocket, task::JoinSet};

    use super::*;

    /// Handshakes at each port with which nobody goes on.
    const HALF: usize = 128;

    /// Connections to each port of keys that nobody knows, each opened again when it is closed.
    const WHOLE: usize = 8;

    fn dial(port: u16) -> <quic::tokio::Transport as libp2p::Transport>::Dial {
        let mut transport = quic::tokio::Transport::new(quic::Config::new(&Keypair::generate_ed25519()));
        let address = format!("/ip4/127.0.0.1/udp/{port}/quic-v1").parse().unwrap();
        transport.dial(address, Options { role: Endpoint::Dialer, port_use: PortUse::New }).unwrap()
    }

    /// The first packets of handshakes, each of another connection.
    async fn first_packets() -> Vec<Vec<u8>> {
        let sink = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = sink.local_addr().unwrap().port();
        let (mut dials, mut known, mut packets) = (JoinSet::new(), HashSet::new(), Vec::new());
        let mut buffer = vec![0; 2_000];
        while packets.len() < HALF {
            if dials.len() < HALF {
                dials.spawn(dial(port));
            }
            let (length, _) = sink.recv_from(&mut buffer).await.unwrap();
            // A connection's id follows the flags, the version and its own length (RFC 9000, section 17.2).
            let id = buffer[6..6 + usize::from(buffer[5])].to_vec();
            if known.insert(id) {
                packets.push(buffer[..length].to_vec());
            }
        }
        packets
    }

    /// Begins handshakes, each again and again from a port of its own.
    async fn begin(port: u16, packet: Vec<u8>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        loop {
            socket.send_to(&packet, ("127.0.0.1", port)).await.ok();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Connects and says nothing for as long as that is borne.
    async fn connect(port: u16) {
        loop {
            if let Ok((_, mut connection)) = dial(port).await {
                while poll_fn(|context| Pin::new(&mut connection).poll_inbound(context)).await.is_ok() {}
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_restarted_validator_is_linked_to_all_while_strangers_crowd_every_quic_port() {
        let mut cluster = Cluster::start_with(4, |_, config| over_quic(config)).await;
        let ports = cluster.ports.clone();
        let packets = first_packets().await;
        let mut strangers = JoinSet::new();
        for port in ports.iter().copied() {
            packets.iter().for_each(|packet| _ = strangers.spawn(begin(port, packet.clone())));
            (0..WHOLE).for_each(|_| _ = strangers.spawn(connect(port)));
        }
        let crowded = |api| async move { counts(api, "dtn_handshakes", HALF as f64 / 2.0).await };
        for index in [3, 0] {
            cluster.stop(index).await;
            let node = until("the port is free again", || async {
                let mut config = cluster.config(index);
                over_quic(&mut config);
                Node::start(config).await.ok()
            });
            let node = node.await;
            crowded(node.api()).await;
            cluster.nodes[index] = Some(node);
            until("a validator that is linked to all", || async {
                (cluster.status(index).await.connected.len() == 3).then_some(())
            })
            .await;
        }
        finalizes(&cluster, 0, [1, 2]).await;
        strangers.shutdown().await;
        cluster.shutdown().await;
    }
}
