//! What breaks where a theorem says nothing.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Case, Course, Lie, Property, Scheduled, Textbook, chains,
    lockstep::{BUCKET, DEADLINE, timed},
};
use crate::{Engine, Latency, adversary::Kind, property::case::DELTA};

/// A case beyond the assumptions, that breaks a property.
#[derive(Debug)]
pub struct Beyond {
    /// What it is called.
    pub name: &'static str,
    /// What happens.
    pub case: Case,
}

/// Nobody among so many for whom it is made lies, but these do.
fn lying(protocol: Textbook, n: usize, faulty: usize, liars: &[(usize, Lie)], seed: u64) -> Case {
    let mut case = Case::calm(protocol, n, seed);
    (case.faulty, case.liars) = (faulty, liars.iter().copied().collect());
    case
}

/// What breaks rounds of events.
fn lockstep(property: Property, seed: u64) -> Option<(&'static str, Case)> {
    let calm = |liars: &[(usize, Lie)]| lying(Textbook::Lockstep, 4, 1, liars, seed);
    let slow = |liars: &[(usize, Lie)]| {
        let mut case = calm(liars);
        case.lockstep = timed();
        case.setting.latency = Latency::Uniform { least: Duration::from_millis(1), most: 4 * DEADLINE };
        case
    };
    Some(match property {
        Property::Agreement => ("messages take longer than a deadline", slow(&[])),
        Property::Validity => ("messages take longer than a deadline", slow(&[])),
        Property::Termination => ("one is silent for whom all wait", {
            let mut case = calm(&[(3, Lie::Silent)]);
            case.faulty = 0;
            case
        }),
        Property::Secrecy => {
            let mut case = calm(&[(3, Lie::Peeker)]);
            case.lockstep.mode = BUCKET;
            ("buckets, which have no commitments", case)
        }
        _ => return None,
    })
}

/// The same for a protocol that chains blocks.
fn chained(protocol: Textbook, property: Property, engine: Engine, seed: u64) -> Option<Beyond> {
    if property == Property::Accountability {
        return Some(Beyond {
            name: "a quorum conspires",
            case: Case::chained(protocol, chains::conspiring(engine, seed)),
        });
    }
    let (name, n, faulty, liars) = match property {
        Property::Agreement => ("split at n = 3f", 3, 1, vec![(seed as usize % 3, Kind::Equivocator)]),
        Property::Termination => ("f + 1 are silent", 4, 1, vec![(2, Kind::Silent), (3, Kind::Silent)]),
        _ => return None,
    };
    let case = Case::chained(protocol, chains::lying(engine, n, &liars, seed));
    Some(Beyond { name, case: Case { faulty, ..case } })
}

/// The scenario that breaks this property of this protocol, as the seed has messages fall. `None` if it does not promise
/// that, or promises it whatever happens.
pub fn beyond(protocol: Textbook, property: Property, seed: u64) -> Option<Beyond> {
    let calm = |n, faulty, liars: &[(usize, Lie)]| lying(protocol, n, faulty, liars, seed);
    let mut rng = StdRng::seed_from_u64(seed);
    if let Some(engine) = protocol.engine() {
        return chained(protocol, property, engine, seed);
    }
    let (name, case) = match (protocol, property) {
        (Textbook::Broadcast, Property::Agreement) => ("split at n = 3f", calm(3, 1, &[(0, Lie::TwoFaced)])),
        (Textbook::Broadcast, Property::Validity) => {
            ("f + 1 impostors", calm(4, 1, &[(1, Lie::Impostor), (2, Lie::Impostor)]))
        }
        (Textbook::Broadcast, Property::Totality) => {
            let mut case = calm(4, 1, &[(2, Lie::Isolator), (3, Lie::Isolator)]);
            case.sender = 2;
            ("f + 1 tell all but one", case)
        }
        (Textbook::Broadcast | Textbook::Agreement | Textbook::CommonSubset, Property::Termination) => {
            ("f + 1 are silent", calm(4, 1, &[(2, Lie::Silent), (3, Lie::Silent)]))
        }
        (Textbook::DolevStrong, Property::Agreement) => {
            let sender_and_another = [(0, Lie::LateReleaser), (1, Lie::Silent)];
            ("f rounds: f signatures released in the last one", calm(5, 1, &sender_and_another))
        }
        (Textbook::DolevStrong, Property::Validity) => {
            let mut case = calm(4, 1, &[]);
            case.setting.latency = Latency::Uniform { least: DELTA, most: 4 * DELTA };
            ("messages take longer than a round", case)
        }
        (Textbook::DolevStrong, Property::Termination) => {
            let mut case = calm(4, 1, &[]);
            case.late = Some((3, Duration::from_millis(rng.random_range(300..600))));
            ("one begins late", case)
        }
        (Textbook::Agreement, Property::Agreement) => {
            let mut case = calm(3, 1, &[(2, Lie::TwoFaced)]);
            case.values = vec![false, true, rng.random()];
            ("split at n = 3f", case)
        }
        (Textbook::CommonSubset, Property::Agreement) => ("split at n = 3f", calm(3, 1, &[(2, Lie::TwoFaced)])),
        (Textbook::CommonSubset, Property::Validity) => {
            ("f + 1 impostors", calm(4, 1, &[(1, Lie::Impostor), (2, Lie::Impostor)]))
        }
        (Textbook::Agreement, Property::Validity) => {
            ("f + 1 say both values", calm(4, 1, &[(2, Lie::Flooder), (3, Lie::Flooder)]))
        }
        (Textbook::Agreement, Property::Binding) => {
            let mut case = calm(4, 1, &[]);
            case.scheduled = Some(Scheduled { course: Course::TwoLiars, rounds: 1 });
            ("f + 1 plan when messages arrive", case)
        }
        (Textbook::Lockstep, property) => lockstep(property, seed)?,
        _ => return None,
    };
    Some(Beyond { name, case })
}
