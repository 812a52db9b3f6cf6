//! The economics of training orders: whether it pays to deviate, as tables and as a page.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use dtn_report::{Bars, Chart, Page, Progress, Table, Tell, left, right, units};
use dtn_simulator::training::{
    Coalition, Deviation, Economy, Line, Role, Setup, Stopped, Strategy, Tactic, adversarial, alone, break_even,
    coalition, seen,
};
use serde::Serialize;

use crate::virtual_time;

/// Parts of auditors that collude, and auditors of a segment, that are tried.
const SHARES: [f64; 4] = [0.10, 0.33, 0.50, 0.66];
const REDUNDANCIES: [u8; 3] = [1, 2, 3];
/// Stakes for which the profit of a forgery is shown, in parts of the reward.
const STAKES: [f64; 6] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0];

/// Whether it pays to deviate while all others are honest.
#[derive(Debug, Clone, Serialize)]
pub struct BestReply {
    /// The terms.
    pub setup: Setup,
    /// What honest accounts come to among their like.
    pub honest: Vec<Line>,
    /// Each strategy alone.
    pub alone: Vec<Deviation>,
    /// Forgers with a part of the auditors.
    pub coalitions: Vec<Coalition>,
}

/// Plays each strategy alone, and each coalition with each tactic.
pub fn best_reply(setup: &Setup, threads: usize, tell: Tell<'_>) -> Result<BestReply, Stopped> {
    tell(Progress::Stage { what: "strategies", parts: 1 + Strategy::deviations().count() as u64 });
    let strategies: Vec<_> = [Strategy::Honest].into_iter().chain(Strategy::deviations()).collect();
    let mut played = each(strategies.len(), threads, tell, |part| alone(setup, strategies[part]))?;
    let honest = played.remove(0);
    let deviations = Strategy::deviations().zip(&played);
    let alone = deviations.filter_map(|(strategy, played)| Deviation::of(strategy, played, &honest)).collect();
    let tactics = |(share, redundancy)| Tactic::ALL.map(|tactic| (share, redundancy, tactic));
    let parts = SHARES.into_iter().flat_map(|share| REDUNDANCIES.map(|redundancy| (share, redundancy)));
    let parts: Vec<_> = parts.flat_map(tactics).collect();
    tell(Progress::Stage { what: "coalitions", parts: parts.len() as u64 });
    let coalitions = each(parts.len(), threads, tell, |part| {
        let (share, redundancy, tactic) = parts[part];
        coalition(setup, share, redundancy, tactic)
    })?;
    tell(Progress::Over);
    Ok(BestReply { setup: setup.clone(), honest, alone, coalitions })
}

/// Plays the adversarial networks of these seeds. An error is the promise that the first of them breaks.
pub fn sweep(seeds: Range<u64>, threads: usize, tell: Tell<'_>) -> Result<(), Stopped> {
    tell(Progress::Stage { what: "seeds", parts: seeds.end - seeds.start });
    each((seeds.end - seeds.start) as usize, threads, tell, |part| adversarial(seeds.start + part as u64))?;
    tell(Progress::Over);
    Ok(())
}

/// Does parts on so many threads; what each gives, in their order, or the first error in that order.
fn each<T: Send>(
    parts: usize,
    threads: usize,
    tell: Tell<'_>,
    work: impl Fn(usize) -> Result<T, Stopped> + Sync,
) -> Result<Vec<T>, Stopped> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, parts.max(1)) {
            scope.spawn(|| {
                loop {
                    let part = next.fetch_add(1, Ordering::Relaxed);
                    if part >= parts {
                        return;
                    }
                    let found = work(part);
                    if found.is_err() {
                        next.store(parts, Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((part, found));
                    tell(Progress::Part);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(part, _)| *part);
    done.into_iter().map(|(_, found)| found).collect()
}

fn money(value: f64, within: f64) -> String {
    if within.is_finite() { format!("{value:+.3} ± {within:.3}") } else { format!("{value:+.3}") }
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

/// What a run came to, by strategy.
pub fn table(economy: &Economy) -> Table {
    let Setup { accounts, orders, claims, committee, redundancy, stake, .. } = &economy.setup;
    let title = format!(
        "{} training orders among {} accounts: {claims} claims, {committee} members, {redundancy} auditors a segment, a stake of \
         {stake}",
        units::thousands(orders),
        units::thousands(accounts),
    );
    let columns = [left("role"), left("strategy"), right("times"), right("payoff"), right("caught"), right("won")];
    let mut table = Table::new(title, columns);
    for line in &economy.lines {
        let won = if line.role == Role::Worker { percent(line.won) } else { units::NONE.into() };
        table.row([
            line.role.to_string(),
            name(line),
            units::thousands(line.times),
            money(line.payoff, line.within),
            percent(line.caught),
            won,
        ]);
    }
    table.note("Payoffs are in parts of the reward, a time each, less what computing costs, with 95 % intervals.");
    table.note(format!(
        "{} orders have a winner, {} of them one with a false trace. All training was checked for {} of what it took, and \
         rulings were another {}. An order lasts {}. Digest {}.",
        units::thousands(economy.won),
        units::thousands(economy.forged),
        percent(economy.checking),
        percent(economy.ruling),
        virtual_time(economy.lasts.as_secs_f64() * 1e3),
        economy.digest,
    ));
    table
}

fn name(line: &Line) -> String {
    match (line.colludes, line.role) {
        (true, Role::Worker) => "colluding forger".into(),
        (true, _) => "colluder".into(),
        (false, Role::Challenger) if line.strategy == Strategy::Honest => "looks on".into(),
        (false, _) => line.strategy.to_string(),
    }
}

impl BestReply {
    /// What an honest worker comes to.
    fn honest_worker(&self) -> (f64, f64) {
        let worker = self.honest.iter().find(|line| line.role == Role::Worker);
        worker.map_or((0.0, 0.0), |line| (line.payoff, line.within))
    }

    /// Each strategy alone, beside what is honest.
    pub fn alone(&self) -> Table {
        let title =
            format!("One who deviates among honest accounts, {} times each", units::thousands(self.setup.orders));
        let columns = ["payoff", "honest", "caught"].map(right);
        let mut table =
            Table::new(title, [left("strategy"), left("role")].into_iter().chain(columns).chain([left("")]));
        for deviation in &self.alone {
            let verdict = match (deviation.pays(), deviation.costs()) {
                (true, _) => "pays",
                (_, true) => "does not pay",
                _ => "no difference",
            };
            table.row([
                name(&deviation.line),
                deviation.line.role.to_string(),
                money(deviation.line.payoff, deviation.line.within),
                money(deviation.honest, deviation.honest_within),
                percent(deviation.line.caught),
                verdict.into(),
            ]);
        }
        table.note("In parts of the reward, with 95 % intervals; of each claim where there are several. Honest is what an account \
                    in the same place comes to where all are; of challengers, who stays away.");
        table
    }

    /// Each coalition, beside the closed form.
    pub fn together(&self) -> Table {
        let (honest, honest_within) = self.honest_worker();
        let title = format!("A forger with a part of {} auditors, where nobody else looks on", self.setup.accounts);
        let columns =
            ["auditors", "orders", "seen", "formula", "stake, formula", "stake, measured", "off by", "payoff"]
                .map(right);
        let first = [right("colluders"), left("tactic")];
        let mut table = Table::new(title, first.into_iter().chain(columns).chain([left("")]));
        for one in &self.coalitions {
            let pays = one.payoff - one.payoff_within > honest + honest_within;
            table.row([
                format!("{:.0} %", 100.0 * one.colluders),
                one.tactic.to_string(),
                one.redundancy.to_string(),
                units::thousands(one.orders),
                percent(one.caught),
                percent(one.seen),
                format!("{:.4}", one.formula),
                format!("{:.4} ± {:.4}", one.measured, one.within),
                format!("{:+.1} %", 100.0 * one.off()),
                money(one.payoff, one.payoff_within),
                if pays { "pays" } else { "" }.into(),
            ]);
        }
        table.note(format!(
            "Stakes at which a forgery that costs nothing breaks even, and payoffs at a stake of {} for one that costs a \
             training: {}. It pays if that is more than the {} of an honest claim. All in parts of the reward.",
            self.setup.stake,
            self.setup.run_cost,
            money(honest, honest_within),
        ));
        table.note(
            "stay: hope not to be seen, as the formula ω(1 − d)/d has it. quit: be late once an auditor is seen who does not \
             collude. denounce: challenge oneself then, before others can.",
        );
        table
    }

    fn of(&self, redundancy: u8, tactic: Tactic) -> impl Iterator<Item = &Coalition> {
        self.coalitions.iter().filter(move |one| one.redundancy == redundancy && one.tactic == tactic)
    }

    /// What a forgery brings by stake and coalition, with the tactic that is best for it.
    fn profits(&self, redundancy: u8) -> Table {
        let shares = SHARES.map(|share| right(format!("{:.0} % collude", 100.0 * share)));
        let mut table = Table::new(
            format!("What a forgery brings with {redundancy} auditors a segment, by the stake and the best tactic"),
            [left("stake")].into_iter().chain(shares),
        );
        for stake in STAKES {
            let profit = |share: f64| {
                let tried = Tactic::ALL.into_iter().flat_map(|tactic| self.of(redundancy, tactic));
                let tried = tried.filter(|one| one.colluders == share);
                let best = tried.map(|one| one.payoff + (one.stake - stake) * one.lost).fold(f64::MIN, f64::max);
                format!("{best:+.3}")
            };
            table.row([stake.to_string()].into_iter().chain(SHARES.map(profit)));
        }
        table.note("In parts of the reward, after the cost of a training. Profit ends where the lines above say, and a little below, \
                    since the lines are of a forgery that costs nothing.");
        table
    }

    /// Break-even stakes over coalitions: the formula's lines, and what was measured.
    fn boundary(&self, redundancy: u8) -> Chart {
        let mut chart = Chart::new("auditors that collude, in per cent", "stake, in parts of the reward");
        let auditors = self.setup.accounts;
        for tactic in Tactic::ALL {
            let formula = (5..=70).step_by(5).map(|percent| {
                let colluding = auditors * percent / 100;
                (percent as f64, break_even(seen(auditors, colluding, redundancy), tactic))
            });
            chart.line(format!("{tactic}, by the formula"), formula);
            let measured = self.of(redundancy, tactic).map(|one| (100.0 * one.colluders, one.measured));
            chart.line(format!("{tactic}, measured"), measured);
        }
        chart
    }

    /// All of it with pictures.
    pub fn page(&self) -> Page {
        let mut page = Page::new("Training orders: whether it pays to deviate");
        page.heading("One alone").table(&self.alone());
        page.figure("Payoffs in parts of the reward", &payoffs(self.alone.iter().map(|deviation| &deviation.line)));
        page.heading("With a part of the auditors").table(&self.together());
        for redundancy in REDUNDANCIES {
            let caption = format!("The stake below which forging pays, with {redundancy} auditors a segment");
            page.figure(&caption, &self.boundary(redundancy)).table(&self.profits(redundancy));
        }
        page
    }
}

fn payoffs<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Bars {
    let mut bars = Bars::new(["gain", "loss"]);
    for line in lines {
        let text = |is: bool| if is { format!("{:+.3}", line.payoff) } else { String::new() };
        let gains = line.payoff >= 0.0;
        let label = format!("{}, {}", name(line), line.role);
        bars.row(label, [(line.payoff.max(0.0), text(gains)), ((-line.payoff).max(0.0), text(!gains))]);
    }
    bars
}

/// A run with pictures.
pub fn page(economy: &Economy) -> Page {
    let mut page = Page::new("Training orders");
    if !economy.setup.about.is_empty() {
        page.paragraph(&economy.setup.about);
    }
    page.facts([
        ("orders with a winner", units::thousands(economy.won)),
        ("winners with a false trace", units::thousands(economy.forged)),
        ("checking, of all training", percent(economy.checking)),
        ("rulings, of all training", percent(economy.ruling)),
        ("an order lasts", virtual_time(economy.lasts.as_secs_f64() * 1e3)),
    ]);
    page.table(&table(economy));
    // A requester pays for a model, whose worth is its own business.
    let shown = economy.lines.iter().filter(|line| line.role != Role::Requester);
    page.figure("Payoffs in parts of the reward", &payoffs(shown));
    page
}
