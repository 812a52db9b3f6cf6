//! Scenarios as files.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{Impossible, Scenario};

/// Why a file is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is not TOML, or has something in it that a scenario does not have. The text shows the place.
    #[error("{0}")]
    Malformed(String),
    /// It asks for what cannot be.
    #[error("line {line}: {impossible}")]
    Impossible {
        /// The line, from 1.
        line: usize,
        /// What it asks for.
        impossible: Impossible,
    },
}

impl Scenario {
    /// Reads a scenario, and checks it.
    pub fn from_toml(text: &str) -> Result<Self, FileError> {
        let malformed = |error: toml::de::Error| FileError::Malformed(error.to_string().trim_end().to_string());
        let mut scenario: Self = toml::from_str(text).map_err(malformed)?;
        if scenario.n == 0 && !scenario.regions.is_empty() {
            scenario.n = scenario.regions.iter().fold(0, |sum: usize, region| sum.saturating_add(region.nodes));
        }
        scenario.check().map_err(|impossible| {
            let at = DeTable::parse(text).ok().map_or(0, |table| find(&table, &impossible.place).start);
            FileError::Impossible { line: text[..at].lines().count().max(1), impossible }
        })?;
        Ok(scenario)
    }

    /// Writes a scenario as [`Scenario::from_toml`] reads it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a scenario is made of tables, lists, texts and numbers")
    }
}

/// The part of a document that a place names, or the innermost around it that is written down.
fn find(table: &Spanned<DeTable<'_>>, place: &[String]) -> Range<usize> {
    let (mut found, mut value) = (None::<Range<usize>>, None::<&DeValue<'_>>);
    for step in place {
        let next = match value {
            None => table.get_ref().get_key_value(step.as_str()),
            Some(DeValue::Table(table)) => table.get_key_value(step.as_str()),
            Some(DeValue::Array(array)) => {
                // By its number, or as the one in which a key has a value.
                let has = |item: &&Spanned<DeValue<'_>>| {
                    let pair = step.split_once('=').zip(item.get_ref().as_table());
                    pair.and_then(|((key, value), table)| {
                        Some(table.get(key)?.get_ref().as_integer()?.as_str() == value)
                    }) == Some(true)
                };
                let numbered = step.parse().ok().and_then(|index: usize| array.get(index));
                let Some(item) = numbered.or_else(|| array.iter().find(has)) else { break };
                found = Some(item.span());
                value = Some(item.get_ref());
                continue;
            }
            _ => None,
        };
        let Some((key, next)) = next else { break };
        found = Some(key.span());
        value = Some(next.get_ref());
    }
    // The first character of the place is on its line.
    found.map_or(0..0, |found| found.start + 1..found.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
about = "everything at once"
nodes = 7
seed = 3
gst = "20s"

[links]
latency = "normal:250ms,50ms"
jitter = "5ms"
bandwidth = "30mbps"
loss = 0.01

[[link]]
from = [0]
to = [1, 2]
loss = 0.5

[load]
blocks = 3
every = "100ms"

[synchrony]
model = "partial"
delta = "1s"
scheduler = "split-votes"

[[crash]]
replica = 3
at = "1s"
down = "2s"

[[crash]]
replica = 4
at = "write 5 durable"

[[partition]]
from = "3s"
until = "6s"
groups = [[0, 1], [2]]

[[byzantine]]
replica = 6
behaviour = "equivocate"
"#;

    #[test]
    fn a_scenario_is_written_as_it_is_read() {
        let scenario = Scenario::from_toml(FULL).expect("a scenario");
        assert_eq!((scenario.n, scenario.crashes.len(), scenario.adversaries.len()), (7, 2, 1));
        assert_eq!(Scenario::from_toml(&scenario.to_toml()), Ok(scenario));
        for seed in 0..200 {
            let scenario = Scenario::random(seed);
            let text = scenario.to_toml();
            assert_eq!(Scenario::from_toml(&text).as_ref(), Ok(&scenario), "{text}");
        }
    }

    #[test]
    fn disks_first_starts_and_strangers_are_written_as_they_are_read() {
        let text = r#"
nodes = 7
gst = "20s"

[load]
source = "requests"
clients = 3

[strangers]
readers = 2.5
lines = 10
holding = "2s"

[[start]]
replica = 1
at = "3s"

[[crash]]
replica = 2
at = "4s"
down = "1s"
disk = "lost"

[[crash]]
replica = 3
at = "write 9"
down = "1s"
disk = "as of write 5"

[[partition]]
from = "5s"
until = "6s"
groups = [[0]]
through = [6]
"#;
        let scenario = Scenario::from_toml(text).expect("a scenario");
        assert_eq!(scenario.forgetful().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(Scenario::from_toml(&scenario.to_toml()), Ok(scenario));
        for (from, to, reason) in [
            ("disk = \"lost\"", "disk = \"gone\"", "write kept, lost, or as of 2s"),
            ("as of write 5", "as of write 9", "no disk is copied before"),
            ("replica = 1\nat = \"3s\"", "replica = 1\nat = \"25s\"", "everyone runs from the gst on"),
            ("readers = 2.5", "readers = 0.5", "1 to 1000000 times as long"),
            ("source = \"requests\"", "source = \"client\"", "beside requests of clients"),
            ("through = [6]", "through = [7]", "there is no replica 7"),
        ] {
            assert!(text.contains(from), "{from}");
            let said = Scenario::from_toml(&text.replacen(from, to, 1)).expect_err(to).to_string();
            assert!(said.contains(reason), "{to}: {said}");
        }
        let more = "\n[[crash]]\nreplica = 4\nat = \"1s\"\ndown = \"1s\"\ndisk = \"lost\"\n";
        let said = Scenario::from_toml(&format!("{text}{more}")).expect_err("three of seven").to_string();
        assert!(said.contains("3 replicas lie, never come back or lose their disks"), "{said}");
        assert!(Scenario::from_toml(&format!("beyond_tolerance = true{text}{more}")).is_ok());
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let with = |from: &str, to: &str| {
            assert!(FULL.contains(from), "{from}");
            Scenario::from_toml(&FULL.replacen(from, to, 1)).expect_err(to).to_string()
        };
        // The line is that of the change, or of the text that is named.
        let line_of = |text: &str| FULL[..=FULL.find(text).expect(text)].lines().count();
        for (from, to, line, reason) in [
            ("nodes = 7", "nodes = 3", "", "4 to 1000 replicas"),
            ("nodes = 7", "nodes = 0", "", "4 to 1000 replicas"),
            ("replica = 6", "replica = 7", "", "there is no replica 7"),
            (
                "replica = 6",
                "replica = 9\nbehaviour = \"silent\"\n[[byzantine]]\nreplica = 0",
                "",
                "there is no replica 9",
            ),
            ("groups = [[0, 1], [2]]", "groups = [[0, 1], [1]]", "", "replica 1 is in it twice"),
            ("until = \"6s\"", "until = \"2s\"", "", "ends before it begins"),
            ("loss = 0.5", "loss = 1.5", "", "not a share"),
            ("to = [1, 2]", "to = \"sydney\"", "", "no replica is in"),
            ("latency = \"normal:250ms,50ms\"", "latency = \"constant:2m\"", "", "more than 60 s"),
            ("at = \"write 5 durable\"", "at = \"25s\"", "", "nobody crashes then"),
            ("blocks = 3", "blocks = 0", "", "10,000 blocks"),
            ("delta = \"1s\"\n", "", "[synchrony]", "delta is needed"),
        ] {
            let (said, line) = (with(from, to), line_of(if line.is_empty() { from } else { line }));
            assert!(said.starts_with(&format!("line {line}: ")) && said.contains(reason), "{to}: {said}");
        }
        for (from, to, line, reason) in [
            ("nodes = 7", "nodes = \"7\"", "", "invalid type"),
            ("nodes = 7", "nodez = 7", "", "unknown field"),
            ("30mbps", "fast", "", "no bandwidth"),
            ("latency = \"normal:250ms,50ms\"", "latency = \"-5ms\"", "", "no latency"),
            ("equivocate", "kind", "", "there is no adversary kind"),
            ("loss = 0.01", "loss =", "", "TOML parse error"),
        ] {
            let (said, line) = (with(from, to), line_of(if line.is_empty() { from } else { line }));
            assert!(said.contains(&format!("line {line},")) && said.contains(reason), "{to}: {said}");
        }
    }

    #[test]
    fn partitions_may_not_overlap_and_liars_and_the_lost_are_not_more_than_are_tolerated() {
        let more = "\n[[partition]]\nfrom = \"5s\"\nuntil = \"7s\"\ngroups = [[0]]\n";
        let said = Scenario::from_toml(&format!("{FULL}{more}")).expect_err("it overlaps").to_string();
        assert!(said.starts_with("line 46: ") && said.contains("overlaps partition 0"), "{said}");
        let more = "\n[[byzantine]]\nreplica = 5\nbehaviour = \"silent\"\n";
        let said = Scenario::from_toml(&format!("{FULL}{more}")).expect_err("three of seven").to_string();
        assert!(said.contains("7 replicas tolerate 2 at most"), "{said}");
    }

    #[test]
    fn regions_make_up_the_nodes_and_have_to_exist() {
        let region = |name: &str| format!("[[region]]\nname = \"{name}\"\nnodes = 5\nup = \"10mbps\"\n");
        let scenario = Scenario::from_toml(&(region("sydney") + &region("london"))).expect("a scenario");
        assert_eq!((scenario.n, scenario.members(&crate::Group::Region("london".into()))), (10, vec![5, 6, 7, 8, 9]));
        let said = Scenario::from_toml(&(region("sydney") + &region("atlantis"))).expect_err("unknown").to_string();
        assert!(said.starts_with("line 6: ") && said.contains("there are virginia, "), "{said}");
    }
}
