//! What validators sign by hand beside distributions, as the golden vectors have it: rotations, resolutions, recoveries.

use alloy_primitives::{U256, hex, keccak256};
use alloy_sol_types::SolValue as _;
use dtn_primitives::*;
use serde_json::{Value, json};

use crate::golden::{aggregate, certificate, certificate_of, genesis, keys};

/// Without the first of the validators, and with three more.
pub(crate) fn rotation() -> Rotation {
    let mut validators: Vec<_> = keys()[1..].iter().map(SecretKey::address).collect();
    validators.extend((0xf1..=0xf3).map(Address::repeat_byte));
    Rotation { epoch: 0, validators }
}

pub(crate) fn rotation_vector() -> Value {
    let rotation = rotation();
    let message = SettlementMessage::Rotation(rotation.clone());
    json!({
        "epoch": rotation.epoch,
        "validators": rotation.validators,
        "digest": message.digest(&genesis().domain()),
        "certificate": hex::encode_prefixed(certificate(&message).to_bytes()),
        "aggregate": hex::encode_prefixed(aggregate(&message).to_bytes()),
    })
}

/// What is done, by which contract, and with which number: `Formats.action` of the contracts.
fn action(what: &str, target: Address, value: U256) -> B256 {
    keccak256((what, target, value).abi_encode_params())
}

pub(crate) fn resolution_vector() -> Value {
    let (what, target, value) = ("retract", Address::repeat_byte(0x4e), U256::from(128));
    let message = SettlementMessage::Resolution { epoch: 0, action: action(what, target, value) };
    json!({
        "epoch": 0,
        "what": what,
        "target": target,
        "value": value.to_string(),
        "action": action(what, target, value),
        "digest": message.digest(&genesis().domain()),
        "certificate": hex::encode_prefixed(certificate(&message).to_bytes()),
        "aggregate": hex::encode_prefixed(aggregate(&message).to_bytes()),
    })
}

/// To the same validators as the rotation, which is another message all the same. One more than may be faulty have signed.
pub(crate) fn recovery_vector() -> Value {
    let next = rotation();
    let message = SettlementMessage::Recovery(next.clone());
    json!({
        "epoch": next.epoch,
        "validators": next.validators,
        "digest": message.digest(&genesis().domain()),
        "certificate": hex::encode_prefixed(certificate_of(2, &message).to_bytes()),
        "aggregate": hex::encode_prefixed(aggregate(&message).to_bytes()),
    })
}
