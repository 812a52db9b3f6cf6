//! A coin whose key the validators of a network of real peers deal on its chain, and a protocol without blocks that is played
//! with it.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use dtn_client::CoinDealing;
use dtn_consensus::{
    Agreement, Party,
    coin::{Stage, Threshold},
};
use dtn_keys::{KeyInfo, Password};
use dtn_node::standalone::{Event, Peer, PeerConfig};
use dtn_primitives::{SecretKey, ValidatorSet};
use dtn_testbed::Home;
use serde_json::Value;

use crate::common::{Scene, succeed};

const PATIENCE: Duration = Duration::from_secs(2);

/// A network of four, of whose validators three deal.
struct Council {
    scene: Scene,
    validators: ValidatorSet,
}

impl Council {
    fn new() -> Self {
        let scene = Scene::up(4);
        let validators = scene.genesis().validator_set().unwrap();
        Self { scene, validators }
    }

    fn address(&self, index: usize) -> String {
        self.validators.iter().nth(index).unwrap().1.address.to_string()
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.scene.command(&["coin"]);
        command.args(arguments).arg("--json").env("DTN_KEYS", self.scene.home().join("keys"));
        command.env("DTN_PASSWORD_FILE", self.scene.home().join("password"));
        command
    }

    fn show(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&succeed(&mut self.command(&[&["show"], arguments].concat()))).unwrap()
    }

    /// The keys of the validators, in their order.
    fn keys(&self) -> Vec<SecretKey> {
        let home = self.scene.home();
        let password = Password::from_file(&home.join("password")).unwrap();
        let stored = std::fs::read_dir(home.join("keys")).unwrap().map(|file| file.unwrap().path());
        let keys = stored.map(|file| KeyInfo::at(&file).unwrap().unlock(&password).unwrap());
        let keys: BTreeMap<_, _> = keys.map(|key| (key.address(), key)).collect();
        self.validators.iter().map(|(_, validator)| keys[&validator.address].clone()).collect()
    }
}

#[test]
fn validators_deal_a_coin_on_their_chain_and_peers_agree_by_it() {
    let council = Council::new();
    let begun = council.show(&["--patience", "2s"]);
    assert_eq!((&begun["ready"], &begun["stage"]), (&false.into(), &"0 of 3 have dealt".into()));
    // One is away, and the others do not wait for it any longer than they said.
    let deal = |index| {
        let from = council.address(index);
        let mut command = council.command(&["deal", "--patience", "2s", "--from", &from]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let dealing = [0, 1, 2].map(deal);
    let dealt: Vec<Value> = dealing
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            serde_json::from_slice(&output.stdout).unwrap()
        })
        .into();
    for one in &dealt {
        assert_eq!((&one["ready"], &one["threshold"], &one["share"]), (&true.into(), &3.into(), &"there".into()));
        assert_eq!(one["public_key"], dealt[0]["public_key"]);
        let deals: Vec<_> = one["validators"].as_array().unwrap().iter().map(|it| it["deals"] == true).collect();
        assert_eq!(deals, [true, true, true, false]);
    }
    // The one that was away has its share all the same, and anybody sees the coin's key.
    let late = council.show(&["--patience", "2s", "--from", &council.address(3)]);
    assert_eq!((&late["share"], &late["public_key"]), (&"there".into(), &dealt[0]["public_key"]));
    assert_eq!(council.show(&["--patience", "2s"])["public_key"], dealt[0]["public_key"]);
    // Others' words are those of another ceremony.
    assert_eq!(council.show(&["--patience", "3s"])["stage"], "0 of 3 have dealt");
    let stranger = council.scene.client();
    let mut refused = council.command(&["deal", "--patience", "2s", "--from", &stranger]);
    let output = refused.output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("is no validator"));
    agree(&council);
}

/// Four peers without blocks decide a bit by the coin, with which they begin in two ways.
fn agree(council: &Council) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let home = Home::new(council.scene.home());
        let mut dealing = CoinDealing::new(dtn_testbed::blocks(&home, None).await.unwrap(), 1, PATIENCE, 1);
        dealing.catch_up().await.unwrap();
        let ceremony = dealing.ceremony();
        let Stage::Ready(dealt) = ceremony.stage() else { panic!("{}", ceremony.stage()) };
        let folder = council.scene.path("agreement");
        std::fs::create_dir(&folder).unwrap();
        let places: Vec<_> = PeerConfig::local(4, &folder).unwrap();
        let keys = council.keys();
        let peers: BTreeMap<_, _> =
            keys.iter().zip(&places).map(|(key, (_, place))| (key.address(), place.listen.clone())).collect();
        let mut running = Vec::new();
        for (key, (me, place)) in keys.into_iter().zip(places) {
            let (validators, peers) = (council.validators.clone(), peers.clone());
            let network_id = council.scene.genesis().network_id();
            let party = Party::new(me, key.clone(), validators.clone(), network_id, 1);
            let coin = Threshold::new(party.clone(), dealt.clone(), ceremony.share(&key).unwrap());
            let store = place.store.with_file_name("agreement.redb");
            dtn_node::standalone::mark_never_voted(&store).unwrap();
            let config = PeerConfig { network_id, validators, key, peers, store, ..place };
            let peer = Peer::start(config, |records| Agreement::new(party, coin, records)).await.unwrap();
            peer.handle().answer(me.0 % 2 == 0).await.unwrap();
            running.push(peer);
        }
        let mut decided = Vec::new();
        for peer in &mut running {
            let Event::Output(output) = peer.next().await.unwrap();
            decided.push(output.value);
        }
        assert!(decided.iter().all(|value| *value == decided[0]), "{decided:?}");
        for peer in running {
            assert!(peer.handle().counts().faults.is_empty());
            peer.shutdown().await;
        }
    });
}
