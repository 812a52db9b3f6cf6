//! Liars in a file: a list of who lies, and how.

use std::collections::BTreeMap;

use dtn_adversary::Kind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Liar {
    replica: usize,
    behaviour: Kind,
}

pub(crate) fn serialize<S: Serializer>(liars: &BTreeMap<usize, Kind>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(liars.iter().map(|(replica, behaviour)| Liar { replica: *replica, behaviour: *behaviour }))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<usize, Kind>, D::Error> {
    let mut liars = BTreeMap::new();
    for Liar { replica, behaviour } in Vec::deserialize(deserializer)? {
        if liars.insert(replica, behaviour).is_some() {
            return Err(D::Error::custom(format!("replica {replica} lies in one way only")));
        }
    }
    Ok(liars)
}
