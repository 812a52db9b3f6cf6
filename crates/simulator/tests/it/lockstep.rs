//! Rounds of events: what they promise, what they cost, and who gains by cheating.

use dtn_simulator::{
    property::{Case, Mutant, Property, Textbook, Verdict, beyond},
    seed_or,
};

#[test]
fn explore() {
    let first = seed_or(0);
    let mut count = 0;
    for seed in first..first + 300 {
        let case = Case::random(Textbook::Lockstep, seed);
        let begun = std::time::Instant::now();
        let played = case.play();
        let ms = begun.elapsed().as_millis();
        if !played.broken.is_empty() || ms > 500 {
            println!(
                "{seed} {ms} ms round {} {:?} {:?} {:?} {:?} {}",
                played.round,
                case.lockstep.mode,
                case.lockstep.pipeline,
                case.liars,
                played.broken,
                played.report.map(|it| it.to_string()).unwrap_or_default()
            );
            count += 1;
            if count > 20 {
                break;
            }
        }
    }
    for mutant in Mutant::ALL.into_iter().filter(|it| it.protocol() == Textbook::Lockstep) {
        let caught = (0..60).find_map(|seed| {
            let played = Case::random(Textbook::Lockstep, seed).with(mutant).play();
            let how = played.broken.get(&mutant.breaks()).cloned()?;
            (played.verdict(mutant.breaks()) == Verdict::BrokenInside).then_some((seed, how, played.broken))
        });
        println!("{mutant}: {caught:?}");
    }
    for property in Property::ALL {
        let caught = (0..60).find_map(|seed| {
            let case = beyond(Textbook::Lockstep, property, seed)?.case;
            let played = case.play();
            let how = played.broken.get(&property).cloned()?;
            Some((seed, how, played.verdict(property)))
        });
        println!("{property}: {caught:?}");
    }
}
