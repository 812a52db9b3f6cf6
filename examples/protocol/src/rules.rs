//! The rules: a broadcast with a certificate, after Reiter's echo multicast ("Secure Agreement Protocols", CCS 1994). A peer
//! announces a value, everybody signs the first value that it hears of an announcer, and a quorum of signatures makes it
//! everybody's. Two quorums share a correct peer, so no announcer gets certificates for two values.

use std::{collections::BTreeMap, time::Duration};

use dtn_consensus::{Effect, Input, Protocol, Standalone};
use dtn_primitives::{B256, SecretKey, Signature, ValidatorIndex, ValidatorSet, codec, keccak256};
use serde::{Deserialize, Serialize};

/// A value, and who has signed it; with a quorum of signatures, its certificate. Peers say nothing else to each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub(crate) announcer: ValidatorIndex,
    pub(crate) value: String,
    pub(crate) signatures: BTreeMap<ValidatorIndex, Signature>,
}

#[derive(Debug)]
pub(crate) struct Broadcast {
    me: ValidatorIndex,
    key: SecretKey,
    validators: ValidatorSet,
    network: B256,
    quorum: usize,
    /// Of each announcer the value that this peer signs, which is durable before it does.
    first: BTreeMap<ValidatorIndex, String>,
    /// Under this peer's own value.
    signatures: BTreeMap<ValidatorIndex, Signature>,
    certified: BTreeMap<ValidatorIndex, Signed>,
}

impl Broadcast {
    pub(crate) fn new(
        (me, key): (ValidatorIndex, &SecretKey),
        (network, validators, quorum): (B256, &ValidatorSet, usize),
        records: Vec<(ValidatorIndex, String)>,
    ) -> Self {
        let (key, validators, first) = (key.clone(), validators.clone(), records.into_iter().collect());
        Self { me, key, validators, network, quorum, first, signatures: BTreeMap::new(), certified: BTreeMap::new() }
    }

    fn digest(&self, announcer: ValidatorIndex, value: &str) -> B256 {
        keccak256(codec::encode(&(Self::NAME, self.network, announcer, value)))
    }

    fn sign(&self, announcer: ValidatorIndex, value: String) -> Signed {
        let signatures = [(self.me, self.key.sign(self.digest(announcer, &value)))].into();
        Signed { announcer, value, signatures }
    }

    fn is_genuine(&self, signed: &Signed) -> bool {
        let digest = self.digest(signed.announcer, &signed.value);
        let mut signers = signed.signatures.iter().map(|(by, it)| (self.validators.get(*by), it));
        signers.all(|(signer, it)| signer.is_some_and(|signer| it.verify(digest, signer.address).is_ok()))
    }

    /// What others may have missed.
    fn again(&self) -> impl Iterator<Item = Signed> {
        let own = self.first.get(&self.me).filter(|_| !self.certified.contains_key(&self.me));
        own.map(|value| self.sign(self.me, value.clone())).into_iter().chain(self.certified.values().cloned())
    }
}

impl Protocol for Broadcast {
    type Message = Signed;
    type Record = (ValidatorIndex, String);
    type Timer = ();
    type Fault = &'static str;
    type Ask = ();
    type Answer = String;
    type Output = Signed;

    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>> {
        let me = self.me;
        match input {
            Input::Start { .. } | Input::Timer(()) => {
                let again = Effect::SetTimer { timer: (), after: Duration::from_secs(1) };
                self.again().map(Effect::Broadcast).chain([again]).collect()
            }
            Input::Connected(to) => self.again().map(|message| Effect::Send { to, message }).collect(),
            Input::Answer(value) => {
                let value = self.first.entry(me).or_insert(value).clone();
                vec![Effect::Persist((me, value.clone())), Effect::Broadcast(self.sign(me, value))]
            }
            Input::Message { from, message } if !self.is_genuine(&message) => {
                vec![Effect::Fault { from, fault: "a signature is none of its signer's" }]
            }
            Input::Message { message, .. } if self.certified.contains_key(&message.announcer) => Vec::new(),
            Input::Message { from, message: mut signed } => {
                let (announcer, value) = (signed.announcer, signed.value.clone());
                if announcer == me && self.first.get(&me) == Some(&value) {
                    self.signatures.extend(self.sign(me, value.clone()).signatures);
                    self.signatures.append(&mut signed.signatures);
                    signed.signatures.clone_from(&self.signatures);
                }
                if signed.signatures.len() >= self.quorum {
                    self.certified.insert(announcer, signed.clone());
                    return vec![Effect::Broadcast(signed.clone()), Effect::Output(signed)];
                }
                if announcer != from {
                    return Vec::new();
                }
                if *self.first.entry(from).or_insert(value.clone()) != value {
                    return vec![Effect::Fault { from, fault: "it announced another value before" }];
                }
                vec![Effect::Persist((from, value.clone())), Effect::Send { to: from, message: self.sign(from, value) }]
            }
        }
    }
}

impl Standalone for Broadcast {
    const NAME: &'static str = "certified-broadcast/1";

    fn kind(signed: &Signed) -> &'static str {
        if signed.signatures.len() == 1 { "signature" } else { "certificate" }
    }

    fn slot((announcer, _): &(ValidatorIndex, String)) -> u64 {
        announcer.0.into()
    }
}
