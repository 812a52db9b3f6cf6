//! PBFT among replicas whose messages are reordered, duplicated and lost, who crash and restart, and one of whom lies.
//! Every run is a function of its seed, which a failure prints.

#![allow(clippy::unwrap_used)]

mod checkpoint;
mod durability;
mod network;
mod normal_case;
mod recall;
mod refusals;
mod view_change;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use dtn_consensus::{
    CHECKPOINT_INTERVAL, Decision, Effect, Evidence, Fault, Greeting, Input, LOG_WINDOW, Memory, Message, NewView,
    PIPELINE, Pbft, PbftConfig, PreparedCertificate, Protocol, Record, SILENCE, STALE_WINDOW, Timer, ViewChange,
    ViewChangeError,
    pbft::{Answer, Ask, Notice, Output},
    required,
};
use dtn_primitives::*;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

use network::*;
