//! A protocol of the textbook, by peers over real sockets.

use dtn_consensus::{
    Agreement, Party,
    coin::{Threshold, deal},
};
use dtn_node::standalone::{Event, Peer, PeerConfig};
use dtn_primitives::B256;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_peers_decide_a_bit_by_a_threshold_coin_although_they_begin_with_both() {
    let folder = TempDir::new().unwrap();
    let (dealt, secrets) = deal(B256::repeat_byte(9), 4, 3).unwrap();
    let mut peers = Vec::new();
    for (me, config) in PeerConfig::local(4, folder.path()).unwrap() {
        let party = Party::new(me, config.key.clone(), config.validators.clone(), config.network_id, 1);
        let coin = Threshold::new(party.clone(), dealt.clone(), secrets[me.as_usize()].clone());
        let peer = Peer::start(config, |records| Agreement::new(party, coin, records)).await.unwrap();
        peer.handle().answer(me.0 % 2 == 0).await.unwrap();
        peers.push(peer);
    }
    let mut decided = Vec::new();
    for peer in &mut peers {
        let Event::Output(output) = peer.next().await.unwrap();
        decided.push(output.value);
    }
    assert!(decided.iter().all(|value| *value == decided[0]), "{decided:?}");
    for peer in peers {
        assert!(peer.handle().counts().faults.is_empty());
        peer.shutdown().await;
    }
}
