//! What miners did in a run, in figures.

use dtn_report::{Table, left, right, units};
use dtn_simulator::{Miners, Report, Scenario};
use serde::Serialize;

use super::outcome::{ms, virtual_time};

/// The most miners whose shares are shown in a table.
const SHOWN: usize = 12;

/// The figures of miners.
#[derive(Debug, Clone, Serialize)]
pub struct Mining {
    /// The time between two blocks that the work is adjusted to.
    pub block_interval_ms: f64,
    /// How many blocks have to be on top of one before it becomes final.
    pub confirmations: u64,
    /// The mean time from one final block to the next, from when they were found.
    pub mean_interval_ms: Option<f64>,
    /// How many blocks were found.
    pub found: usize,
    /// How many became final.
    pub finals: usize,
    /// The share of the blocks that were found, at heights with a final block, that are not final.
    pub fork_rate: Option<f64>,
    /// How often a correct replica left blocks for a chain with more work.
    pub reorganizations: u64,
    /// The most that one left at a time.
    pub deepest: u64,
    /// How often a correct replica was shown a chain that leaves out a final block.
    pub below_checkpoint: u64,
    /// The expected hashes of the last final block.
    pub last_work: Option<u64>,
    /// The part of each.
    pub miners: Vec<Miner>,
}

/// A replica's part.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Miner {
    /// Of the work, in the beginning.
    pub of_work: f64,
    /// Of the final blocks.
    pub of_finals: f64,
}

impl Mining {
    pub(crate) fn of(scenario: &Scenario, miners: &Miners, report: &Report) -> Self {
        let mined = &report.measured.mined;
        let rate = |miner: usize| miners.rate(miner, scenario.n, std::time::Duration::ZERO);
        let all = (0..scenario.n).map(rate).sum::<f64>();
        let miner = |miner: usize| Miner {
            of_work: rate(miner) / all,
            of_finals: mined.share(miner as u16).unwrap_or_default(),
        };
        Self {
            block_interval_ms: ms(miners.block_interval),
            confirmations: miners.confirmations,
            mean_interval_ms: mined.interval_above(0).map(ms),
            found: mined.found.len(),
            finals: mined.finals.len(),
            fork_rate: mined.fork_rate(),
            reorganizations: mined.reorganizations,
            deepest: mined.deepest,
            below_checkpoint: mined.below_checkpoint,
            last_work: mined.finals.values().next_back().map(|last| last.found.work),
            miners: (0..scenario.n).map(miner).collect(),
        }
    }

    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let share = |share: Option<f64>| share.map_or_else(|| units::NONE.into(), percent);
        vec![
            ("mean interval", self.mean_interval_ms.map_or_else(|| units::NONE.into(), virtual_time)),
            ("found", units::thousands(self.found)),
            ("final", units::thousands(self.finals)),
            ("fork rate", share(self.fork_rate)),
            ("reorganizations", units::thousands(self.reorganizations)),
            ("deepest", units::thousands(self.deepest)),
            ("chains below a checkpoint", units::thousands(self.below_checkpoint)),
            ("hashes a block, last", self.last_work.map_or_else(|| units::NONE.into(), units::thousands)),
        ]
    }

    pub(crate) fn table(&self) -> String {
        let target = virtual_time(self.block_interval_ms);
        let title = format!("Mining, a block in {target}, final with {} on top", self.confirmations);
        let facts = self.facts();
        let mut figures = Table::new(title, facts.iter().map(|(name, _)| right(*name)));
        figures.row(facts.into_iter().map(|(_, figure)| figure).collect::<Vec<_>>());
        let mut shares = Table::new("Miners", [left("replica"), right("of the work"), right("of the final blocks")]);
        for (replica, Miner { of_work, of_finals }) in self.miners.iter().take(SHOWN).enumerate() {
            shares.row([replica.to_string(), percent(*of_work), percent(*of_finals)]);
        }
        if self.miners.len() > SHOWN {
            shares.note(format!("and {} more", self.miners.len() - SHOWN));
        }
        format!("{figures}\n{shares}")
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
