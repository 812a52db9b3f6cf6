//! A training order as a page: its phases by actors, what its claims are worth, its run and who audited it, and its money.

use std::collections::BTreeMap;

use dtn_primitives::{Address, U256};
use dtn_report::{Bars, Cells, Chart, Page, Pictures, Sequence, Table, left, right, units};
use dtn_train::{Dataset, Evaluation, Task};
use dtn_training::{Call, Order, Payment, TrainingOrder, Why};

use crate::training_orders::OrderDocument;

/// How many rows are shown as pictures.
const PICTURES: usize = 24;

/// The colours of what is so and of what is not.
const TRUE: usize = 3;
const FALSE: usize = 7;

/// What is known of an order.
#[derive(Debug)]
pub struct Story {
    /// The order.
    pub at: TrainingOrder,
    /// The calls about it, with the times of their blocks in milliseconds since the Unix epoch, and who made them.
    pub calls: Vec<(u64, Address, Call)>,
    /// The loss of the run that won, or led, on the rows that everybody knows: at the beginning of each segment of which the
    /// state is there, with the segment's number, and at the end.
    pub losses: Vec<(u32, f64)>,
    /// What the model that has won says of the drawn rows.
    pub said: Option<(Dataset, Evaluation)>,
}

impl Story {
    /// The page.
    pub fn page(&self) -> Page {
        let document = OrderDocument::of(&self.at);
        let mut page = Page::new(format!("Training order {}", units::short(document.order)));
        page.facts(self.facts(&document));
        page.heading("Who did what, when").figure("Calls in final blocks, by account", &self.lanes());
        page.heading("Claims")
            .figure("On the known and on the hidden rows, with 95 % intervals", &self.claims(&document));
        document.tables(0).iter().skip(1).for_each(|table| _ = page.table(table));
        self.run(&mut page);
        self.rows(&mut page);
        page.heading("Money").paragraph(
            "What went into the order is what came out of it: the reward, the deposit and all stakes, to the last wei.",
        );
        page.figure("Paid at the end", &self.paid()).table(&self.money(&document));
        page
    }

    fn order(&self) -> &Order {
        &self.at.order
    }

    fn facts(&self, document: &OrderDocument) -> Vec<(&'static str, String)> {
        let order = self.order();
        let work = order.work();
        let trained = u128::from(work.training) * order.claims().len() as u128;
        let checked: u128 = order.committee().iter().map(|member| u128::from(member.macs)).sum();
        let share = |part: u128, whole: u128| format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64);
        let out = document.claims.iter().filter(|claim| claim.fault.is_some()).count()
            + document.committee.iter().filter(|member| member.fault.is_some()).count();
        vec![
            ("phase", document.phase.clone()),
            ("claims", document.claims.len().to_string()),
            ("segments", work.segments.to_string()),
            ("multiplications of a training", units::thousands(work.training)),
            ("checked by the committee, of all trained", share(checked, trained)),
            ("accounts that lost their stake", out.to_string()),
        ]
    }

    /// Names for accounts: what they are in the order.
    fn actors(&self) -> Vec<(Address, String)> {
        let order = self.order();
        let mut actors = vec![(order.requester(), "requester".to_string())];
        for (number, claim) in order.claims().iter().enumerate() {
            actors.push((claim.worker, format!("claim {number}")));
        }
        for (number, member) in order.committee().iter().enumerate() {
            actors.push((member.account, format!("member {number}")));
        }
        for (_, by, _) in &self.calls {
            if actors.iter().all(|(account, _)| account != by) {
                actors.push((*by, format!("challenger {}", units::short(by))));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        actors.retain(|(account, _)| seen.insert(*account));
        actors
    }

    fn lanes(&self) -> Sequence {
        let actors = self.actors();
        let mut lanes = Sequence::new(actors.iter().map(|(_, name)| name.clone()));
        let Some(begin) = self.calls.iter().map(|(time, ..)| *time).min() else { return lanes };
        for (time, by, call) in &self.calls {
            let Some(lane) = actors.iter().position(|(account, _)| account == by) else { continue };
            lanes.mark(lane, (time - begin) as f64, call.name());
        }
        lanes
    }

    fn claims(&self, document: &OrderDocument) -> Bars {
        let mut bars = Bars::new(["known rows", "hidden rows"]);
        let (hidden_rows, known_rows) = (document.rows_drawn, document.rows_of_the_fold.unwrap_or(1));
        for claim in &document.claims {
            let bar = |value: Option<f64>, rows: u32| match value {
                None => (0.0, "not known".to_string()),
                Some(value) if document.classes == 0 => (value, format!("{value:.4}")),
                Some(value) => {
                    let error = 1.96 * (value * (1.0 - value) / f64::from(rows.max(1))).sqrt();
                    (value, format!("{:.1} ± {:.1} %", 100.0 * value, 100.0 * error))
                }
            };
            let label = format!("claim {}", claim.claim);
            bars.row(label, [bar(claim.fold, known_rows), bar(claim.hidden, hidden_rows)]);
        }
        bars
    }

    /// The run that led: its loss, and who trained which of its segments again.
    fn run(&self, page: &mut Page) {
        let (order, segments) = (self.order(), self.order().work().segments);
        if segments == 0 {
            return;
        }
        page.heading("The run that led");
        if self.losses.len() > 1 {
            let mut chart = Chart::new("segments", "loss a row on the known rows");
            chart.line("loss", self.losses.iter().map(|(segment, loss)| (f64::from(*segment), *loss)));
            page.figure("Loss by segment", &chart);
        }
        let members = (0..order.committee().len()).map(|number| format!("member {number}"));
        let mut grid = Cells::new("audits", members, (0..segments).map(|segment| segment.to_string()));
        for (place, member) in order.committee().iter().enumerate() {
            for segment in order.segments_of(place) {
                let colour = if member.out.is_some() { FALSE } else { TRUE };
                let share = if member.audit.is_some() { 1.0 } else { 0.15 };
                grid.cell((place, segment.into()), share, colour, "");
            }
        }
        page.figure("Who trained which segment again (filled: stated; the last colour: found to be false)", &grid);
    }

    /// What the model that has won says of hidden rows.
    fn rows(&self, page: &mut Page) {
        let Some((data, evaluation)) = &self.said else { return };
        let Task::Classes(classes) = data.outline().task else { return };
        let said = evaluation.classes(data.outline().task);
        page.heading("What the model says of the hidden rows");
        let mut counts = BTreeMap::<(usize, usize), usize>::new();
        for (row, said) in said.iter().enumerate() {
            *counts.entry((data.label(row) as usize, *said)).or_default() += 1;
        }
        let names = || (0..classes).map(|class| class.to_string());
        let mut cells = Cells::new("labels and what was said", names(), names());
        let most = counts.values().copied().max().unwrap_or(1) as f64;
        for ((label, said), count) in &counts {
            let colour = if label == said { TRUE } else { FALSE };
            cells.cell((*label, *said), 0.15 + 0.85 * *count as f64 / most, colour, count.to_string());
        }
        page.figure("Labels (down) and what was said (across)", &cells);
        let features = usize::from(data.outline().features);
        let across = features.isqrt();
        if across * across != features {
            return;
        }
        let mut pictures = Pictures::new();
        let wrong_first = (0..data.rows()).filter(|row| said[*row] != data.label(*row) as usize);
        let right = (0..data.rows()).filter(|row| said[*row] == data.label(*row) as usize);
        for row in wrong_first.chain(right).take(PICTURES) {
            let values = data.features(row);
            let (least, most) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(1));
            let range = f64::from(most.saturating_sub(least).max(1));
            let points = values.iter().map(|value| f64::from(value.saturating_sub(least)) / range);
            let is_right = said[row] == data.label(row) as usize;
            let caption = if is_right { said[row].to_string() } else { format!("{}: {}", data.label(row), said[row]) };
            pictures.picture(across, points, caption, Some(if is_right { TRUE } else { FALSE }));
        }
        page.figure("Rows, those that it gets wrong first: label, and what it says", &pictures);
    }

    fn paid(&self) -> Bars {
        let (actors, mut bars) = (self.actors(), Bars::new(["ETH"]));
        for Payment { to, amount, why } in self.order().settlement() {
            let name = |to: Address| actors.iter().find(|(account, _)| *account == to).map(|(_, name)| name.clone());
            let to = to.map_or_else(|| "the pot".to_string(), |to| name(to).unwrap_or_else(|| units::short(to)));
            let ether = amount as f64 / 1e18;
            bars.row(format!("{to}: {}", in_a_word(why)), [(ether, format!("{ether:.4}"))]);
        }
        bars
    }

    fn money(&self, document: &OrderDocument) -> Table {
        let (order, money) = (self.order(), &self.order().deal().money);
        let mut table = Table::new("What went in and what came out", [left("what"), right("amount")]);
        let stakes = [
            ("the reward", money.reward),
            ("the deposit", money.deposit),
            ("stakes of claims", money.worker * order.claims().len() as u128),
            ("stakes of members", money.member * order.committee().len() as u128),
        ];
        for (what, amount) in stakes {
            table.row([what.to_string(), units::ether(U256::from(amount), "ETH")]);
        }
        let into: u128 = stakes.iter().map(|(_, amount)| amount).sum();
        let out: U256 = document.payments.iter().map(|payment| payment.amount).sum();
        table.row(["in all, in".to_string(), units::ether(U256::from(into), "ETH")]);
        table.row(["in all, out (bonds of challenges aside)".to_string(), units::ether(out, "ETH")]);
        table
    }
}

fn in_a_word(why: Why) -> &'static str {
    match why {
        Why::Prize { .. } => "prize",
        Why::Statements { .. } => "statements",
        Why::Bounty => "bounty",
        Why::Slashed { .. } => "slashed",
        Why::Stake => "stake",
        Why::Bond => "bond",
        Why::Unearned => "unearned",
        Why::Deposit => "deposit",
        Why::Forfeited => "forfeited",
        Why::Late { .. } => "late",
        Why::LostBond { .. } => "lost bond",
    }
}
