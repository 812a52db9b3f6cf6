//! The textbook's protocols: what they promise under thousands of seeds, what their decisions cost beside what is proven,
//! and who catches them with a rule left out.

use std::ops::Range;

use dtn_report::{Chart, Page, Table, left, right};
use dtn_simulator::property::{
    Bivalent, Bound, Bounds, Case, Claim, CoinKind, CoinReader, Lie, Matrix, Measured, Played, Property, Spread,
    Textbook, Verdict, claims, exponent, measure,
};
use serde::Serialize;

/// Rounds that are shown one by one.
const SHOWN: usize = 8;

/// Failing seeds that are named one by one.
const NAMED: usize = 5;

/// What was found of a promise.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// The promise.
    pub claim: Claim,
    /// Cases in which it held.
    pub held: u64,
    /// Seeds that broke it where its theorem says that nothing can, and how.
    pub broken_inside: Vec<(u64, String)>,
    /// Those beyond the assumptions.
    pub broken_beyond: Vec<(u64, String)>,
}

/// The promises of a protocol, under many seeds.
#[derive(Debug, Serialize)]
pub struct Promises {
    /// Whose.
    pub protocol: Textbook,
    /// How many cases were played.
    pub cases: u64,
    /// In how many of as many others, with more liars than are tolerated, correct replicas decided differently.
    pub forked: u64,
    /// What the cases have that the theorem does not assume, in words, if anything.
    pub beyond: Option<String>,
    /// What was found of each promise.
    pub kept: Vec<Kept>,
}

/// Replicas and liars as somebody chose them.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// The number of replicas.
    pub n: usize,
    /// For how many faulty ones the protocol is made.
    pub faulty: usize,
    /// How many lie.
    pub liars: usize,
    /// How.
    pub lie: Lie,
}

/// The case of a seed: as was chosen, or as chance has it.
fn case(protocol: Textbook, choice: Option<Choice>, seed: u64) -> Case {
    choice.map_or_else(
        || Case::random(protocol, seed),
        |it| Case::chosen(protocol, (it.n, it.faulty), (it.liars, it.lie), seed),
    )
}

/// What the theorem of a protocol needs and a choice does not have, in words.
pub fn refusal(protocol: Textbook, choice: Choice) -> Option<String> {
    case(protocol, Some(choice), 0).assumes().err()
}

/// Plays something under each seed, on so many threads.
fn each(seeds: Range<u64>, threads: usize, play: impl Fn(u64) -> Option<Played> + Sync) -> Vec<(u64, Played)> {
    let threads = threads.max(1);
    let share = |first: usize| {
        let own = seeds.clone().skip(first).step_by(threads);
        own.filter_map(|seed| Some((seed, play(seed)?))).collect::<Vec<_>>()
    };
    let mut played: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    played.sort_by_key(|(seed, _)| *seed);
    played
}

/// Plays a protocol under each seed, on so many threads. What it promises where more lie than are tolerated has cases of its own,
/// unless somebody chose.
pub fn promises(protocol: Textbook, choice: Option<Choice>, seeds: Range<u64>, threads: usize) -> Promises {
    let played = each(seeds.clone(), threads, |seed| Some(case(protocol, choice, seed).play()));
    let is_of_forks = |property| property == Property::Accountability && choice.is_none();
    let outnumbered = match claims(protocol).any(|claim| is_of_forks(claim.property)) {
        true => each(seeds, threads, |seed| Some(Case::outnumbered(protocol, seed)?.play())),
        false => Vec::new(),
    };
    let kept = claims(protocol).map(|claim| {
        let played = if is_of_forks(claim.property) { &outnumbered } else { &played };
        let such = |verdict| played.iter().filter(move |(_, played)| played.verdict(claim.property) == verdict);
        let broken = |verdict| such(verdict).map(|(seed, it)| (*seed, it.broken[&claim.property].clone())).collect();
        Kept {
            claim: *claim,
            held: such(Verdict::Holds).count() as u64,
            broken_inside: broken(Verdict::BrokenInside),
            broken_beyond: broken(Verdict::BrokenBeyond),
        }
    });
    let kept = kept.collect();
    let beyond = played.iter().find_map(|(_, played)| played.assumptions.clone().err());
    let forked = outnumbered.iter().filter(|(_, played)| played.convicted.is_some()).count() as u64;
    Promises { protocol, cases: played.len() as u64, forked, beyond, kept }
}

/// The promises of some protocols as a table.
pub fn promises_table(all: &[Promises]) -> Table {
    let columns = [left("protocol"), left("promise"), left("by"), left("assumes"), right("held"), left("verdict")];
    let mut table = Table::new("Promises", columns);
    for promises in all {
        for Kept { claim, held, broken_inside, broken_beyond } in &promises.kept {
            let named = |broken: &[(u64, String)]| {
                let seeds: Vec<_> = broken.iter().take(NAMED).map(|(seed, _)| seed.to_string()).collect();
                seeds.join(", ")
            };
            let verdict = match (&broken_inside[..], &broken_beyond[..]) {
                ([], []) => Verdict::Holds.to_string(),
                ([], beyond) => format!("{}, seeds {}", Verdict::BrokenBeyond, named(beyond)),
                (inside, _) => format!("{}, seeds {}", Verdict::BrokenInside, named(inside)),
            };
            table.row([
                claim.protocol.to_string(),
                claim.property.to_string(),
                claim.theorem.to_owned(),
                claim.assumes.to_owned(),
                format!("{held} of {}", promises.cases),
                verdict,
            ]);
        }
        promises.beyond.iter().for_each(|why| _ = table.note(why.clone()));
        if promises.forked > 0 {
            let Promises { protocol, cases, forked, .. } = promises;
            table.note(format!("{protocol} forked in {forked} of {cases} cases with more liars than are tolerated."));
        }
    }
    table
}

/// A protocol's costs as n grows, beside what is proven.
#[derive(Debug, Serialize)]
pub struct Growth {
    /// Which protocol.
    pub protocol: Textbook,
    /// The closed form of its messages, with r for the rounds that a run took.
    pub closed_form: &'static str,
    /// What no protocol does better.
    pub lower_bound: &'static str,
    /// The k of the n^k that fits its messages best, and those a round where rounds are by chance.
    pub messages_exponent: Option<f64>,
    /// That of its bits.
    pub bits_exponent: Option<f64>,
    /// Its figures, by n.
    pub measured: Vec<Measured>,
}

/// What decisions cost.
#[derive(Debug, Serialize)]
pub struct Analysis {
    /// Which coin agreement tosses.
    pub coin: CoinKind,
    /// The protocols, the one with the fewest messages among the most replicas first.
    pub ranking: Vec<Growth>,
}

const DOLEV_REISCHUK: &str = "(f/2)^2 messages (Dolev & Reischuk 1985)";

fn proven(protocol: Textbook, coin: CoinKind, relays: bool) -> (&'static str, &'static str) {
    match protocol {
        Textbook::Broadcast => ("(n-1) + 2n(n-1)", DOLEV_REISCHUK),
        Textbook::DolevStrong => ("(n-1) + (n-1)(n-2)", "f+1 rounds (Dolev & Strong 1983); (f/2)^2 messages"),
        Textbook::Agreement if coin == CoinKind::Local => {
            ("n(n-1)(3r + 2)", "no bound on rounds (Fischer, Lynch & Paterson 1985)")
        }
        Textbook::CommonSubset if coin == CoinKind::Local => {
            ("none", "no bound on rounds (Fischer, Lynch & Paterson 1985)")
        }
        Textbook::CommonSubset => {
            ("n((n-1) + 2n(n-1)) + n(n-1)(4r + 2n)", "no bound on rounds (Fischer, Lynch & Paterson 1985)")
        }
        Textbook::Pbft => ("2n^2 - n + 1", DOLEV_REISCHUK),
        Textbook::Streamlet if relays => ("3(n+1)n(n-1) + n(n-1)", DOLEV_REISCHUK),
        Textbook::Streamlet => ("3(n^2 - 1) + n(n-1)", DOLEV_REISCHUK),
        Textbook::Simplex if relays => ("(n-1) + 3n(n-1)", DOLEV_REISCHUK),
        Textbook::Simplex => ("(n-1) + 2n(n-1)", DOLEV_REISCHUK),
        Textbook::HotStuff2 => ("5(n-1)", "n - 1 messages where nobody lies"),
        Textbook::Lockstep => ("2n(n-1)", "two messages one after the other (Baughman & Levine 2001)"),
        Textbook::Agreement => ("n(n-1)(4r + 2)", "no bound on rounds (Fischer, Lynch & Paterson 1985)"),
    }
}

/// Measures some protocols among each number of replicas. `faulty` is as many as n > 3f allows, unless it is given.
/// Replicas that chain blocks may pass on what they hear.
pub fn analyze(
    protocols: &[Textbook],
    nodes: &[usize],
    faulty: Option<usize>,
    (coin, relays): (CoinKind, bool),
    runs: u64,
) -> Analysis {
    let growth = |protocol: &Textbook| {
        let of = |n: &usize| measure(*protocol, *n, faulty.unwrap_or(n.saturating_sub(1) / 3), (coin, relays), 0..runs);
        let measured: Vec<_> = nodes.iter().filter_map(of).collect();
        // Rounds by chance say nothing about n: what each takes does.
        let a_round = |it: &Measured, cost: f64| match (it.protocol, it.rounds) {
            (Textbook::Agreement, Some(rounds)) => cost / rounds.mean,
            _ => cost,
        };
        let fit = |cost: &dyn Fn(&Measured) -> f64| {
            exponent(&measured.iter().map(|it| (it.n as f64, a_round(it, cost(it)))).collect::<Vec<_>>())
        };
        let (closed_form, lower_bound) = proven(*protocol, coin, relays);
        Growth {
            protocol: *protocol,
            closed_form,
            lower_bound,
            messages_exponent: fit(&|it| it.messages.mean),
            bits_exponent: fit(&|it| it.bits.mean),
            measured,
        }
    };
    let mut ranking: Vec<_> = protocols.iter().map(growth).collect();
    let most = |growth: &Growth| growth.measured.last().map_or(f64::INFINITY, |it| it.messages.mean);
    ranking.sort_by(|one, other| most(one).total_cmp(&most(other)));
    Analysis { coin, ranking }
}

/// What a chart shows of each protocol and number of replicas.
type Cost = fn(&Measured) -> f64;

/// The power of n that fits that.
type Exponent = fn(&Growth) -> Option<f64>;

impl Analysis {
    /// Whether every run had as many messages as the closed form says, and broke nothing.
    pub fn is_exact(&self) -> bool {
        self.ranking.iter().flat_map(|growth| &growth.measured).all(|it| it.off == 0 && it.broken.is_empty())
    }

    /// With charts.
    pub fn page(&self) -> Page {
        let mut page = Page::new("What a decision costs");
        page.paragraph(
            "Protocols of the textbook in the simulator, where nobody lies and all begin alike. Lines without marks are the powers \
             of n that fit best.",
        );
        let none: Exponent = |_| None;
        let costs: [(&str, &str, Cost, Exponent); 4] = [
            ("Messages", "messages a decision", |it| it.messages.mean, |growth| growth.messages_exponent),
            ("Bits", "bits a decision", |it| it.bits.mean, |growth| growth.bits_exponent),
            ("Causal rounds", "the longest chain of messages", |it| it.causal_rounds.mean, none),
            ("Time of this machine", "milliseconds a decision", |it| it.wall_ms.mean, none),
        ];
        for (caption, axis, cost, exponent) in costs {
            let mut chart = Chart::new("replicas", axis).logarithmic();
            for growth in &self.ranking {
                let points: Vec<_> = growth.measured.iter().map(|it| (it.n as f64, cost(it))).collect();
                // Through the mean of what was measured, on axes on which a power is straight.
                let middle = |of: fn(&(f64, f64)) -> f64| {
                    (points.iter().map(|point| of(point).ln()).sum::<f64>() / points.len() as f64).exp()
                };
                let fitted = exponent(growth).filter(|_| points.len() > 1).map(|k| {
                    let (x, y) = (middle(|point| point.0), middle(|point| point.1));
                    let at = |(n, _): &(f64, f64)| (*n, y * (n / x).powf(k));
                    (k, points.first().into_iter().chain(points.last()).map(at).collect::<Vec<_>>())
                });
                chart.line(growth.protocol.to_string(), points);
                if let Some((k, ends)) = fitted {
                    chart.curve(format!("{}: n^{k:.2}", growth.protocol), ends);
                }
            }
            page.figure(caption, &chart);
        }
        self.each_table().iter().for_each(|table| _ = page.table(table));
        page
    }

    /// The figures, and how they grow.
    pub fn tables(&self) -> String {
        let [costs, growth] = self.each_table();
        format!("{costs}\n{growth}")
    }

    fn each_table(&self) -> [Table; 2] {
        let columns = [
            left("protocol"),
            right("n"),
            right("f"),
            right("causal rounds"),
            right("rounds"),
            right("messages"),
            right("closed form"),
            right("bits: min"),
            right("mean"),
            right("median"),
            right("max"),
            right("sd"),
            right("ms"),
        ];
        let mut costs = Table::new("A decision", columns);
        for it in self.ranking.iter().flat_map(|growth| &growth.measured) {
            let figure = |figure: f64| format!("{figure:.0}");
            let mean =
                |spread: &Spread| if spread.sd > 0.0 { format!("{:.2}", spread.mean) } else { figure(spread.mean) };
            let form = match &it.expected_messages {
                None => "none".to_owned(),
                Some(_) if it.off == 0 => "exact".to_owned(),
                Some(expected) => format!("{} ({} off)", mean(expected), it.off),
            };
            let mut row = vec![it.protocol.to_string(), it.n.to_string(), it.faulty.to_string()];
            row.extend([mean(&it.causal_rounds), it.rounds.as_ref().map_or_else(String::new, mean)]);
            row.extend([mean(&it.messages), form]);
            row.extend([it.bits.min, it.bits.mean, it.bits.median, it.bits.max, it.bits.sd].map(figure));
            row.push(format!("{:.1}", it.wall_ms.mean));
            costs.row(row);
        }
        let runs = self.ranking.iter().flat_map(|growth| &growth.measured).map(|it| it.runs).max().unwrap_or_default();
        costs.note(format!(
            "Means of {runs} runs in which nobody lies and all begin alike; ms is time of this machine."
        ));
        let measured = |protocol: Textbook| self.ranking.iter().any(|growth| growth.protocol == protocol);
        if measured(Textbook::Agreement) {
            costs.note(format!(
                "Agreement tosses the {} coin. Its rounds are those until the first replica decides.",
                self.coin
            ));
        }
        if measured(Textbook::CommonSubset) {
            costs.note(format!(
                "A common subset tosses the {} coin. Its rounds are those of all its agreements together.",
                self.coin
            ));
        }
        if measured(Textbook::Streamlet) {
            costs.note("Streamlet: three epochs make a block final, and the commits that settle it come on top.");
        }
        let columns = ["protocol", "messages", "bits", "closed form", "lower bound"].map(left);
        let mut growth = Table::new("As n grows", columns);
        for it in &self.ranking {
            let power = |exponent: Option<f64>| exponent.map_or_else(|| "?".to_owned(), |k| format!("n^{k:.2}"));
            let power = [it.messages_exponent, it.bits_exponent].map(power);
            let [messages, bits] = power;
            growth.row([it.protocol.to_string(), messages, bits, it.closed_form.into(), it.lower_bound.into()]);
        }
        growth.note("Fitted by least squares; those of agreement to what a round takes.");
        [costs, growth]
    }
}

/// What no protocol can escape, and what came of it.
pub fn bounds_tables(bounds: &Bounds) -> String {
    let columns = ["bound", "by", "what the adversary does", "what comes of it"].map(left);
    let mut each = Table::new("Lower bounds, played", columns);
    for Bound { bound, theorem, adversary, found } in &bounds.bounds {
        let found = found.clone().unwrap_or_else(|| "nothing: it did not come about".to_owned());
        each.row([(*bound).to_owned(), (*theorem).to_owned(), adversary.clone(), found]);
    }
    let columns = [right("round"), left("begins with"), right("all false in round"), right("all true in round")];
    let mut open = Table::new("An agreement that is kept undecided", columns);
    for Bivalent { round, values, decides: [no, yes] } in bounds.bivalent.iter().take(SHOWN) {
        let values: Vec<_> = values.iter().map(bool::to_string).collect();
        open.row([round.to_string(), values.join(", "), no.to_string(), yes.to_string()]);
    }
    let left = bounds.bivalent.len().saturating_sub(SHOWN);
    if left > 0 {
        open.note(format!("and {left} rounds more"));
    }
    open.note("From each of these rounds messages may fall so that all decide either value, and so that the next begins like this.");
    format!("{each}\n{open}")
}

/// Which mutant is caught by which property, and what breaks promises beyond their assumptions.
pub fn matrix_tables(matrix: &Matrix) -> String {
    let mut columns = vec![left("protocol"), left("mutant")];
    columns.extend(Property::ALL.iter().map(|property| right(property.to_string())));
    let mut mutants = Table::new("Mutants: the first seed that catches each", columns);
    for (mutant, caught) in &matrix.mutants {
        let first = |property: &Property| caught.iter().find(|(by, _)| by == property).map(|(_, it)| it.seed);
        let mut row = vec![mutant.protocol().to_string(), mutant.to_string()];
        row.extend(Property::ALL.iter().map(|it| first(it).map_or_else(String::new, |seed| seed.to_string())));
        mutants.row(row);
    }
    let columns = [left("protocol"), left("promise"), left("scenario"), right("seed"), left("what happens")];
    let mut beyond = Table::new("Beyond the assumptions: what breaks each promise", columns);
    for (claim, name, caught) in &matrix.beyond {
        let (seed, how) = caught.as_ref().map_or_else(Default::default, |it| (it.seed.to_string(), it.how.clone()));
        beyond.row([claim.protocol.to_string(), claim.property.to_string(), (*name).to_owned(), seed, how]);
    }
    if let Some(CoinReader { undecided, binding }) = matrix.coin_reader {
        beyond.note(format!(
            "A scheduler that sees the coin keeps agreement without binding undecided for {undecided} rounds; with binding the \
             first decides after {:.2} on average.",
            binding.map_or(f64::NAN, |rounds| rounds.mean)
        ));
    }
    format!("{mutants}\n{beyond}")
}
