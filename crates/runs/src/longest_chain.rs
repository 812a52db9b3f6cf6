//! The longest chain by chance alone: what an adversary among its miners gets, beside what is proven.

use dtn_report::{Chart, Page, Table, right, units};
use dtn_simulator::longest_chain::{Estimate, growth, least_quality, most_adversary, selfish, selfish_share, undone};
use serde::Serialize;

/// How many races are run for each number of confirmations, of so many blocks.
const RACES_A_BLOCK: u64 = 10;

/// What is played.
#[derive(Debug, Clone, Serialize)]
pub struct Odds {
    /// The parts of the work that the adversary has.
    pub alphas: Vec<f64>,
    /// The parts of the others on its block in a tie.
    pub gammas: Vec<f64>,
    /// How many blocks are on top of one.
    pub confirmations: Vec<u32>,
    /// How long a block takes to the others, in times between two blocks.
    pub delays: Vec<f64>,
    /// Blocks of each run.
    pub blocks: u64,
    /// Decides what is left to chance.
    pub seed: u64,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The adversary's part of the work.
    pub alpha: f64,
    /// The part of the others on its block in a tie, the confirmations, or the delay.
    pub of: f64,
    /// What came of it.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct LongestChain {
    /// What was played.
    pub odds: Odds,
    /// The part of the final blocks that a selfish miner has.
    pub selfish: Vec<Row>,
    /// How often a confirmed block is undone.
    pub undone: Vec<Row>,
    /// Blocks in the time of one, if the adversary is silent.
    pub growth: Vec<Row>,
    /// With each delay, the part of the work below which an adversary is overtaken.
    pub most_adversary: Vec<(f64, f64)>,
}

fn rows<T: Copy + Into<f64>>(odds: &Odds, of: &[T], figure: impl Fn(f64, T) -> Estimate) -> Vec<Row> {
    let pairs = of.iter().flat_map(|of| odds.alphas.iter().map(|alpha| (*alpha, *of)));
    pairs.map(|(alpha, of)| Row { alpha, of: of.into(), estimate: figure(alpha, of) }).collect()
}

impl Odds {
    /// Plays it.
    pub fn play(self) -> LongestChain {
        let Self { blocks, seed, .. } = self;
        LongestChain {
            selfish: rows(&self, &self.gammas, |alpha, gamma| selfish(alpha, gamma, blocks, seed)),
            undone: rows(&self, &self.confirmations, |alpha, deep| undone(alpha, deep, blocks / RACES_A_BLOCK, seed)),
            growth: rows(&self, &self.delays, |alpha, delay| growth(alpha, delay, blocks, seed)),
            most_adversary: self.delays.iter().map(|delay| (*delay, most_adversary(*delay))).collect(),
            odds: self,
        }
    }
}

fn percent(part: f64) -> String {
    format!("{:.3} %", part * 100.0)
}

fn rate(blocks: f64) -> String {
    format!("{blocks:.4}")
}

fn table(title: &str, of: &str, what: &str, rows: &[Row], shown: fn(f64) -> String) -> Table {
    let columns = [right("of the work"), right(of), right(what), right("proven"), right("off"), right("errors")];
    let mut table = Table::new(title, columns);
    for Row { alpha, of, estimate } in rows {
        let Estimate { measured, error, exact } = estimate;
        let errors = if *error > 0.0 { (measured - exact).abs() / error } else { 0.0 };
        table.row([
            percent(*alpha),
            of.to_string(),
            shown(*measured),
            shown(*exact),
            format!("{:+.2} %", estimate.off() * 100.0),
            format!("{errors:.1}"),
        ]);
    }
    table
}

impl LongestChain {
    /// Whether chance explains each difference from what is proven.
    pub fn is_right(&self) -> bool {
        [&self.selfish, &self.undone, &self.growth].into_iter().flatten().all(|row| row.estimate.is_right())
    }

    /// As people read it.
    pub fn tables(&self) -> [Table; 3] {
        let Odds { blocks, seed, .. } = self.odds;
        let mut selfish = table("A selfish miner's part of the chain", "γ", "of the blocks", &self.selfish, percent);
        selfish.note("γ is the part of the others that works on its block in a tie. By Eyal & Sirer, 2014.");
        let mut undone = table("Blocks that are undone", "confirmations", "undone", &self.undone, percent);
        undone.note("The adversary works in secret from the block on that is undone. By Grunspan & Pérez-Marco, 2018.");
        let mut growth = table("Growth of the chain", "delay", "blocks a time", &self.growth, rate);
        growth.note("Time and delay are in mean times between two blocks of all. By Pass, Seeman & Shelat, 2017.");
        for (delay, most) in &self.most_adversary {
            growth
                .note(format!("With a delay of {delay} an adversary with less than {} is overtaken.", percent(*most)));
        }
        growth.note(format!("{} blocks a figure, seed {seed}. Errors are standard errors.", units::thousands(blocks)));
        [selfish, undone, growth]
    }

    /// With charts.
    pub fn page(&self) -> Page {
        let mut page = Page::new("The longest chain, by chance");
        let [selfish, undone, growth] = self.tables();
        let mut shares = Chart::new("part of the work, in percent", "part of the blocks");
        for gamma in &self.odds.gammas {
            let own = self.selfish.iter().filter(|row| row.of == *gamma);
            shares.line(format!("γ = {gamma}"), own.map(|row| (row.alpha * 100.0, row.estimate.measured)));
            let curve = (5..49).map(|alpha| f64::from(alpha) / 100.0);
            let proven = curve.map(|alpha| (alpha * 100.0, selfish_share(alpha, *gamma)));
            shares.curve(format!("γ = {gamma}, proven"), proven);
        }
        shares.curve("its work", (5..49).map(|alpha| (f64::from(alpha), f64::from(alpha) / 100.0)));
        page.heading("Selfish mining").figure("A selfish miner's part of the final blocks", &shares).table(&selfish);
        let mut quality = Chart::new("part of the work of the adversary, in percent", "honest part of the chain");
        let worst = self.selfish.iter().filter(|row| row.of == self.odds.gammas.iter().copied().fold(0.0, f64::max));
        quality.line("measured", worst.map(|row| (row.alpha * 100.0, 1.0 - row.estimate.measured)));
        let least = (5..49).map(|alpha| (f64::from(alpha), least_quality(f64::from(alpha) / 100.0)));
        quality.curve("the least that is proven", least);
        page.heading("Quality").figure("Honest blocks of the chain, beside a selfish miner", &quality);
        let mut depth = Chart::new("confirmations", "part that is undone");
        for alpha in &self.odds.alphas {
            let own = self.undone.iter().filter(|row| row.alpha == *alpha);
            depth.line(percent(*alpha), own.map(|row| (row.of, row.estimate.measured)));
        }
        page.heading("Consistency").figure("Confirmed blocks that are undone", &depth).table(&undone);
        let mut speed = Chart::new("delay, in times between two blocks", "blocks in the time of one");
        for alpha in &self.odds.alphas {
            let own = self.growth.iter().filter(|row| row.alpha == *alpha);
            speed.line(percent(*alpha), own.map(|row| (row.of, row.estimate.measured)));
        }
        page.heading("Growth").figure("Growth with a silent adversary", &speed).table(&growth);
        page
    }
}
