//! Makes a scenario that fails as small as it gets.

use crate::Scenario;

/// The smallest scenario found that still `fails`, by leaving out one thing after the other until nothing more can be.
pub fn shrink(mut scenario: Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    while let Some(smaller) = scenario.smaller().into_iter().find(|smaller| fails(smaller)) {
        scenario = smaller;
    }
    scenario
}
