//! Lower bounds. Each is a protocol for an adversary, and is played here.

use serde::Serialize;

use super::{Bivalent, Case, CoinReader, Mutant, Played, Property, Textbook, beyond, bivalent, read_coin};

/// Seeds under which a bound may show.
const SEEDS: u64 = 1_000;

/// A bound that was played.
#[derive(Debug, Clone, Serialize)]
pub struct Bound {
    /// What nobody can do.
    pub bound: &'static str,
    /// Who has proven it.
    pub theorem: &'static str,
    /// What the adversary does.
    pub adversary: String,
    /// What comes of it; nothing if it did not come about.
    pub found: Option<String>,
}

/// All of them.
#[derive(Debug, Clone, Serialize)]
pub struct Bounds {
    /// One by one.
    pub bounds: Vec<Bound>,
    /// Rounds of an agreement that is kept undecided, and what each could have come to.
    pub bivalent: Vec<Bivalent>,
}

impl Bounds {
    /// Whether each has shown.
    pub fn are_shown(&self) -> bool {
        self.bounds.iter().all(|bound| bound.found.is_some())
    }
}

fn messages(played: &Played) -> u64 {
    let sent = played.report.iter().flat_map(|report| report.sent.values());
    sent.map(|traffic| traffic.messages).sum()
}

/// That it takes messages: who tells so few that liars are all whom somebody hears of has that one come to something else.
fn few_messages() -> Bound {
    let isolates = |seed| {
        let few = Case::calm(Textbook::DolevStrong, 5, seed).with(Mutant::LockStepTellsFew);
        let played = few.play();
        let how = played.broken.get(&Property::Agreement)?;
        let told = Case { mutant: None, ..few }.play();
        let holds = !told.broken.contains_key(&Property::Agreement);
        let (few, many) = (messages(&played), messages(&told));
        holds.then(|| format!("seed {seed}, {few} messages: {how}; with {many} messages, which tell all, they agree"))
    };
    Bound {
        bound: "broadcast among n > f takes more than (f/2)^2 messages",
        theorem: "Dolev & Reischuk 1985",
        adversary: "two liars are all whom the victim hears, of a protocol that tells few".into(),
        found: (0..SEEDS).find_map(isolates),
    }
}

/// What breaks a promise beyond its assumptions.
fn past(bound: &'static str, theorem: &'static str, protocol: Textbook, property: Property) -> Bound {
    let breaks = |seed| {
        let played = beyond(protocol, property, seed)?.case.play();
        Some(format!("seed {seed}: {}", played.broken.get(&property)?))
    };
    let name = beyond(protocol, property, 0).map_or("", |beyond| beyond.name);
    Bound { bound, theorem, adversary: format!("{protocol}: {name}"), found: (0..SEEDS).find_map(breaks) }
}

/// Plays each, those of agreement for so many rounds.
pub fn bounds(rounds: u64) -> Bounds {
    let CoinReader { undecided, binding } = read_coin(rounds);
    let mean = binding.map_or(f64::NAN, |rounds| rounds.mean);
    let undecided = (undecided == rounds && mean < 10.0).then(|| {
        format!("undecided after {rounds} rounds; where crusader agreement binds, decided after {mean:.2} on average")
    });
    let bivalent = bivalent(rounds.min(100));
    let every = bivalent.len() as u64 == rounds.min(100);
    let both = every
        .then(|| format!("each of {} rounds could have ended with either value, and ended with none", bivalent.len()));
    let (broadcast, agreement, lock_step) = (Textbook::Broadcast, Textbook::Agreement, Textbook::DolevStrong);
    let bounds = vec![
        past(
            "no broadcast without clocks among n = 3f",
            "Pease, Shostak & Lamport 1980",
            broadcast,
            Property::Agreement,
        ),
        past("no agreement without clocks among n = 3f", "Bracha & Toueg 1985", agreement, Property::Agreement),
        past("no broadcast in f rounds", "Dolev & Strong 1983", lock_step, Property::Agreement),
        past("no lock step without its bound on messages", "Dolev & Strong 1983", lock_step, Property::Validity),
        few_messages(),
        Bound {
            bound: "no agreement without chance, whatever messages take, and one that may stop",
            theorem: "Fischer, Lynch & Paterson 1985",
            adversary: "messages fall so that a round begins with both values".into(),
            found: both,
        },
        Bound {
            bound: "no agreement by a coin that is seen before values are bound",
            theorem: "Tholoniat & Gramoli 2019",
            adversary: "whoever schedules messages sees the coin, and has the slow one come to the other value".into(),
            found: undecided,
        },
    ];
    Bounds { bounds, bivalent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_shows_and_an_agreement_that_does_not_bind_stays_open_round_after_round() {
        let bounds = bounds(100);
        assert!(bounds.are_shown(), "{bounds:#?}");
        assert!(
            (1..)
                .zip(&bounds.bivalent)
                .all(|(round, it)| it.round == round && it.decides.iter().all(|end| *end >= round))
        );
        assert!(bounds.bivalent.iter().all(|it| it.values.contains(&true) && it.values.contains(&false)));
    }
}
