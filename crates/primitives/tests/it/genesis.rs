//! What a genesis says of work, and what becomes of it in the network's id.

use dtn_primitives::{
    Address, Engine, Genesis, GenesisError, Kind, KindError, Mining, SecretKey, TrainingTerms, VERSION, keccak256,
};
use serde_json::json;

fn genesis(training: Option<TrainingTerms>) -> Genesis {
    let keys = (1..=4).map(|number| SecretKey::from_bytes(&[number; 32]).unwrap());
    Genesis {
        version: VERSION,
        name: "training".into(),
        chain_id: 31337,
        timestamp: 1_700_000_000_000,
        max_block_bytes: 1 << 20,
        validators: keys.map(|key| key.public_key()).collect(),
        requesters: Vec::new(),
        engine: Engine::Pbft,
        kinds: Vec::new(),
        training,
    }
}

#[test]
fn every_term_of_training_is_part_of_the_network_id_as_the_formats_have_it() {
    let terms = TrainingTerms::default();
    let without = genesis(None).network_id();
    let TrainingTerms { price, view_timeout_ms, ruling_ms, max_life_ms, beacon_steps, beacon_ms, epoch_ms, token } =
        terms;
    let numbers = [price, view_timeout_ms, ruling_ms, max_life_ms, beacon_steps, beacon_ms, epoch_ms];
    let words: Vec<_> = numbers.iter().map(|number| [&[0; 24][..], &number.to_be_bytes()].concat()).collect();
    let id = keccak256([without.to_vec(), words.concat(), token.into_word().to_vec()].concat());
    assert_eq!(genesis(Some(terms)).network_id(), id);
    let changes: [fn(&mut TrainingTerms); 8] = [
        |terms| terms.price += 1,
        |terms| terms.view_timeout_ms += 1,
        |terms| terms.ruling_ms += 1,
        |terms| terms.max_life_ms += 1,
        |terms| terms.beacon_steps += 1,
        |terms| terms.beacon_ms += 1,
        |terms| terms.epoch_ms += 1,
        |terms| terms.token = Address::repeat_byte(1),
    ];
    for change in changes {
        let mut other = terms;
        change(&mut other);
        assert_ne!(genesis(Some(other)).network_id(), id);
    }
}

#[test]
fn a_genesis_file_has_terms_only_where_there_are_any_and_knows_no_others() {
    let without = serde_json::to_value(genesis(None)).unwrap();
    assert!(without.get("training").is_none());
    let with = genesis(Some(TrainingTerms::default()));
    let mut value = serde_json::to_value(&with).unwrap();
    assert_eq!(serde_json::from_value::<Genesis>(value.clone()).unwrap(), with);
    value["training"]["prize"] = 1.into();
    assert!(serde_json::from_value::<Genesis>(value).unwrap_err().to_string().contains("prize"));
}

#[test]
fn a_genesis_names_its_custom_kinds_of_work_in_any_order_and_each_once() {
    let with = |kinds: &[&str]| Genesis { kinds: kinds.iter().map(ToString::to_string).collect(), ..genesis(None) };
    let value = serde_json::to_value(with(&["sum", "product"])).unwrap();
    assert_eq!(value["kinds"], json!(["sum", "product"]));
    assert_eq!(serde_json::from_value::<Genesis>(value).unwrap(), with(&["sum", "product"]));
    assert!(serde_json::to_value(genesis(None)).unwrap().get("kinds").is_none());

    let ids: std::collections::BTreeSet<_> =
        [&[][..], &["sum"], &["product"], &["sum", "product"]].map(|kinds| with(kinds).network_id()).into();
    assert_eq!(ids.len(), 4, "they are part of the id");
    assert_eq!(with(&["product", "sum"]).network_id(), with(&["sum", "product"]).network_id());
    let mining = Mining { block_interval_ms: 1_000, confirmations: 3, expected_hashes: 20 };
    let mined = Genesis { engine: Engine::Nakamoto(mining), ..with(&["sum"]) };
    assert!(!ids.contains(&mined.network_id()));

    assert_eq!(with(&["sum", "sum"]).validator_set().unwrap_err(), GenesisError::DuplicateKind("sum".into()));
    let reserved = GenesisError::Kind(KindError::Reserved(Kind::ROUND));
    assert_eq!(with(&["round"]).validator_set().unwrap_err(), reserved);
    assert!(matches!(with(&["A sum"]).validator_set().unwrap_err(), GenesisError::Kind(KindError::Name(_))));
}
