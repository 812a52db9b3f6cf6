//! A protocol of the textbook, by peers over real sockets.

use dtn_consensus::{
    Agreement, Party,
    coin::{Ceremony, Stage, Terms, Threshold},
};
use dtn_node::standalone::{Event, Peer, PeerConfig};
use dtn_primitives::ValidatorIndex;
use tempfile::TempDir;

/// The coin that these deal in the open, in one block all dealings and in the next all verdicts.
fn dealt(configs: &[(ValidatorIndex, PeerConfig)]) -> Ceremony {
    let PeerConfig { validators, network_id: network, .. } = configs[0].1.clone();
    let mut ceremony = Ceremony::new(Terms { validators, network, instance: 1, patience_ms: 0 });
    for timestamp_ms in [1, 2] {
        let said: Vec<_> = configs
            .iter()
            .filter_map(|(_, config)| Some((config.key.address(), ceremony.wanted(&config.key)?)))
            .collect();
        ceremony.see(timestamp_ms, said.iter().map(|(sender, item)| (*sender, item.as_slice())));
    }
    ceremony
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_peers_decide_a_bit_by_a_coin_that_they_have_dealt_although_they_begin_with_both() {
    let folder = TempDir::new().unwrap();
    let configs = PeerConfig::local(4, folder.path()).unwrap();
    let ceremony = dealt(&configs);
    let Stage::Ready(dealt) = ceremony.stage() else { panic!("{}", ceremony.stage()) };
    let mut peers = Vec::new();
    for (me, config) in configs {
        let party = Party::new(me, config.key.clone(), config.validators.clone(), config.network_id, 1);
        let coin = Threshold::new(party.clone(), dealt.clone(), ceremony.share(&config.key).unwrap());
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
