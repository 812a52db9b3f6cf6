//! Who catches what: each mutant against each property, and each promise beyond its assumptions.

use serde::Serialize;

use super::{CLAIMS, Case, Claim, Course, Mutant, Property, Scheduled, Spread, Textbook, Verdict, beyond, claims};

/// Rounds that plain crusader agreement is kept undecided.
const ROUNDS: u64 = 10_000;

/// A seed under which a property is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caught {
    /// The first seed.
    pub seed: u64,
    /// How it is broken.
    pub how: String,
}

/// What catches a mutant, by property; and what breaks a promise beyond its assumptions.
#[derive(Debug, Serialize)]
pub struct Matrix {
    /// Whose rules and promises.
    pub protocols: Vec<Textbook>,
    /// Seeds that were tried for each mutant.
    pub seeds: u64,
    /// By mutant, for each property the first seed that catches it.
    pub mutants: Vec<(Mutant, Vec<(Property, Caught)>)>,
    /// By promise, what breaks it beyond, if anything was found to.
    pub beyond: Vec<(Claim, &'static str, Option<Caught>)>,
    /// What a scheduler that sees the coin does to agreement.
    pub coin_reader: Option<CoinReader>,
}

/// Agreement under a scheduler that sees the coin.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CoinReader {
    /// Rounds after which it is undecided with crusader agreement that does not bind; 0 if it has decided.
    pub undecided: u64,
    /// Rounds until the first replica decides with binding crusader agreement, over as many seeds as rounds are hundreds.
    pub binding: Option<Spread>,
}

/// Plays so many rounds of agreement without binding crusader agreement under a scheduler that sees the coin, and with it
/// under a hundredth as many seeds.
pub fn read_coin(rounds: u64) -> CoinReader {
    let case = |seed, mutant| {
        let mut case = Case::calm(Textbook::Agreement, 4, seed);
        (case.values, case.mutant) = (vec![true, false, true, true], mutant);
        case.scheduled = Some(Scheduled { course: Course::CoinReader, rounds });
        case.play()
    };
    let plain = case(0, Some(Mutant::AgreementNotBinding));
    let undecided = if plain.broken.contains_key(&Property::Termination) { rounds } else { 0 };
    let decided = (0..rounds.div_ceil(100)).map(|seed| case(seed, None).round as f64);
    CoinReader { undecided, binding: Spread::of(decided) }
}

/// Plays each mutant of these protocols under seeds from 0 on, inside the assumptions, and each promise beyond them. A mutant that is caught by
/// the property that it is meant to break is not looked at for longer than `seeds` / 10 more.
pub fn matrix(protocols: &[Textbook], seeds: u64) -> Matrix {
    let mutants = Mutant::of(protocols).into_iter().map(|mutant| (mutant, catch(mutant, seeds))).collect();
    let broken = |claim: &Claim| {
        let first = (0..seeds).find_map(|seed| {
            let played = beyond(claim.protocol, claim.property, seed)?.case.play();
            let how = played
                .broken
                .get(&claim.property)
                .filter(|_| played.verdict(claim.property) == Verdict::BrokenBeyond)?;
            Some(Caught { seed, how: how.clone() })
        });
        let name = beyond(claim.protocol, claim.property, 0).map_or("", |beyond| beyond.name);
        (*claim, name, first)
    };
    let promised = CLAIMS.iter().filter(|claim| claim.has_beyond() && protocols.contains(&claim.protocol));
    let beyond = promised.map(broken).collect();
    let coin_reader = protocols.contains(&Textbook::Agreement).then(|| read_coin(ROUNDS));
    Matrix { protocols: protocols.to_vec(), seeds, mutants, beyond, coin_reader }
}

fn catch(mutant: Mutant, seeds: u64) -> Vec<(Property, Caught)> {
    let (mut caught, mut end): (Vec<(Property, Caught)>, _) = (Vec::new(), seeds);
    let mut seed = 0;
    while seed < end {
        let played = Case::random(mutant.protocol(), seed).with(mutant).play();
        for (property, how) in
            played.broken.iter().filter(|(property, _)| played.verdict(**property) == Verdict::BrokenInside)
        {
            if caught.iter().all(|(known, _)| known != property) {
                caught.push((*property, Caught { seed, how: how.clone() }));
                if *property == mutant.breaks() {
                    end = end.min(seed + seeds / 10);
                }
            }
        }
        seed += 1;
    }
    caught.sort_by_key(|(property, _)| *property);
    caught
}

impl Matrix {
    /// What nothing catches: mutants, promises that no mutant of their protocol breaks, and promises that nothing beyond
    /// breaks.
    pub fn gaps(&self) -> Vec<String> {
        let is_caught = |mutant: &Mutant, property| {
            let row = self.mutants.iter().find(|(of, _)| of == mutant);
            row.is_some_and(|(_, caught)| caught.iter().any(|(by, _)| *by == property))
        };
        let mutants = Mutant::of(&self.protocols);
        let missed = mutants.iter().filter(|mutant| !is_caught(mutant, mutant.breaks()));
        let mut gaps: Vec<_> = missed
            .map(|mutant| {
                format!(
                    "{}: {} of a protocol that {mutant} is broken under no seed",
                    mutant.protocol(),
                    mutant.breaks()
                )
            })
            .collect();
        for claim in CLAIMS.iter().filter(|claim| self.protocols.contains(&claim.protocol)) {
            let own = mutants.iter().filter(|mutant| mutant.protocol() == claim.protocol);
            if !own.into_iter().any(|mutant| is_caught(mutant, claim.property)) {
                gaps.push(format!("{}: no mutant breaks {}", claim.protocol, claim.property));
            }
        }
        for (mutant, caught) in &self.mutants {
            let promised: Vec<_> = claims(mutant.protocol()).map(|claim| claim.property).collect();
            let other =
                caught.iter().filter(|(property, _)| !promised.contains(property) && *property != Property::Totality);
            gaps.extend(
                other.map(|(property, _)| format!("{}: {property} is broken and not promised", mutant.protocol())),
            );
        }
        let holds = self.beyond.iter().filter(|(_, _, caught)| caught.is_none());
        gaps.extend(holds.map(|(claim, ..)| format!("{}: nothing breaks {} beyond", claim.protocol, claim.property)));
        gaps
    }
}
