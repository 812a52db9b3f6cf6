//! Training orders: where they are, who has claimed what, who has stated what, and who was paid why.

use dtn_api::TrainingSummary;
use dtn_primitives::{Address, B256, U256};
use dtn_report::{Table, left, right, units};
use dtn_training::{
    Claim, Ending, Explanation, Grade, Member, Order, Payment, Phase, Stage, Subject, TrainingOrder, Void, Why,
};
use serde::Serialize;
use serde_json::{Value, json};

/// What the ledger's money is called.
const MONEY: &str = "ETH";

/// An order, for people and programs.
#[derive(Debug, Serialize)]
pub struct OrderDocument {
    /// Its hash.
    pub order: B256,
    /// The height of the block that opened it.
    pub height: u64,
    /// The hash of that block.
    pub block: B256,
    /// Who pays.
    pub requester: Address,
    /// Where it is, in words.
    pub phase: String,
    /// The last moment of the phase, in milliseconds since the Unix epoch.
    pub deadline_ms: u64,
    /// `trace` or `score`: what a claim has to show.
    pub proof: &'static str,
    /// How many classes are told apart; 0 for numbers.
    pub classes: u16,
    /// The baseline, in words.
    pub baseline: String,
    /// Rows that are drawn from those held out.
    pub rows_drawn: u32,
    /// Rows that everybody knows.
    pub rows_of_the_fold: Option<u32>,
    /// Segments of a trace.
    pub segments: u16,
    /// Multiplications of a training.
    pub training_macs: u64,
    /// In wei, by name.
    pub money: Value,
    /// The claims, in their order.
    pub claims: Vec<ClaimDocument>,
    /// The committee, in its order.
    pub committee: Vec<MemberDocument>,
    /// The claim that leads, or has won.
    pub leader: Option<u8>,
    /// What waits for a ruling, in words.
    pub disputed: Vec<String>,
    /// How it has ended.
    pub ending: Option<EndingDocument>,
    /// Who was paid what at the end, bonds aside.
    pub payments: Vec<PaymentDocument>,
}

/// A claim.
#[derive(Debug, Serialize)]
pub struct ClaimDocument {
    /// Its number.
    pub claim: u8,
    /// Who has trained.
    pub worker: Address,
    /// The model, once it is revealed.
    pub model: Option<B256>,
    /// Who is paid if it wins.
    pub payee: Option<Address>,
    /// On the drawn rows: the part that is right, or the mean square of errors.
    pub hidden: Option<f64>,
    /// The same on the rows that everybody knows.
    pub fold: Option<f64>,
    /// Whether all of its segments were audited.
    pub audited: bool,
    /// Whether something of it came too late.
    pub late: bool,
    /// What is false about it.
    pub fault: Option<String>,
    /// Who has shown that.
    pub shown_by: Option<Address>,
}

/// A member of the committee.
#[derive(Debug, Serialize)]
pub struct MemberDocument {
    /// Which validator.
    pub account: Address,
    /// Whether it has stated scores.
    pub scored: bool,
    /// Whether it has stated audits of the leader.
    pub audited: bool,
    /// The segments that it audits.
    pub segments: usize,
    /// How many statements were due and did not come.
    pub late: u8,
    /// What it has stated falsely.
    pub fault: Option<String>,
    /// Who has shown that.
    pub shown_by: Option<Address>,
}

/// How an order has ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "ending")]
pub enum EndingDocument {
    /// A claim has won.
    Final {
        /// Which.
        claim: u8,
        /// Who has trained it.
        worker: Address,
    },
    /// Nobody has.
    Void {
        /// Why, in words.
        why: String,
    },
}

/// Money that an order has paid.
#[derive(Debug, Serialize)]
pub struct PaymentDocument {
    /// Whose it is; none for the pot.
    pub to: Option<Address>,
    /// In wei.
    pub amount: U256,
    /// What for, in words.
    pub why: String,
}

fn payment(Payment { to, amount, why }: &Payment) -> PaymentDocument {
    PaymentDocument { to: *to, amount: U256::from(*amount), why: why.to_string() }
}

fn ending(order: &Order) -> Option<EndingDocument> {
    match order.phase() {
        Phase::Ended(Ending::Final { claim }) => {
            let worker = order.claims().get(usize::from(claim)).map(|claim| claim.worker).unwrap_or_default();
            Some(EndingDocument::Final { claim, worker })
        }
        Phase::Ended(Ending::Void(why)) => Some(EndingDocument::Void { why: Void::to_string(&why) }),
        _ => None,
    }
}

fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Score { claim } => format!("the score of claim {claim}"),
        Subject::Evaluated { claim, member, .. } => format!("that member {member} has evaluated claim {claim}"),
        Subject::Segment { claim, segment } => format!("segment {segment} of claim {claim}"),
        Subject::Audited { claim, segment, member, .. } => {
            format!("that member {member} has trained segment {segment} of claim {claim} again")
        }
    }
}

impl OrderDocument {
    /// That of an order.
    pub fn of(TrainingOrder { height, block, proof, order }: &TrainingOrder) -> Self {
        let (deal, work) = (order.deal(), order.work());
        let of_fold = work.fold.map(|fold| fold.rows);
        let money = [
            ("reward", deal.money.reward),
            ("deposit", deal.money.deposit),
            ("worker_stake", deal.money.worker),
            ("member_stake", deal.money.member),
            ("bond", deal.money.bond),
        ];
        let claims = (0..).zip(order.claims()).map(|(number, claim)| claim_document(order, number, claim)).collect();
        let committee =
            order.committee().iter().enumerate().map(|(place, member)| member_document(order, place, member));
        Self {
            order: order.id(),
            height: *height,
            block: *block,
            requester: order.requester(),
            phase: order.phase().to_string(),
            deadline_ms: order.deadline_ms(),
            proof: proof.name(),
            classes: deal.classes,
            baseline: deal.baseline.to_string(),
            rows_drawn: deal.draw,
            rows_of_the_fold: of_fold,
            segments: work.segments,
            training_macs: work.training,
            money: money.iter().map(|(name, wei)| ((*name).to_string(), json!(U256::from(*wei)))).collect(),
            claims,
            committee: committee.collect(),
            leader: order.leader(),
            disputed: order.open_subjects().map(|open| subject(&open)).collect(),
            ending: ending(order),
            payments: order.settlement().iter().map(payment).collect(),
        }
    }

    /// For people: the order, its claims, its committee, and who was paid.
    pub fn tables(&self, now_ms: u64) -> Vec<Table> {
        let mut tables = vec![self.summary(now_ms)];
        tables.extend(
            [self.claims_table(), self.committee_table(), self.payments_table()]
                .into_iter()
                .filter(|it| !it.is_empty()),
        );
        tables
    }

    fn summary(&self, now_ms: u64) -> Table {
        let mut table = Table::new(format!("Order {}", self.order), [left("what"), left("is")]);
        let phase = match &self.ending {
            Some(EndingDocument::Final { claim, worker }) => format!("over: claim {claim} of {worker} has won"),
            Some(EndingDocument::Void { why }) => format!("over: {why}"),
            None => {
                let left = self.deadline_ms.saturating_sub(now_ms);
                format!("{}, for {} at most", self.phase, units::duration(left * 1_000))
            }
        };
        table.row(["phase".to_string(), phase]);
        table.row(["requester".to_string(), self.requester.to_string()]);
        let wei = |name: &str| self.money[name].as_str().and_then(|text| text.parse::<U256>().ok()).unwrap_or_default();
        table.row(["reward".to_string(), units::ether(wei("reward"), MONEY)]);
        let stakes =
            [wei("worker_stake"), wei("member_stake"), wei("bond"), wei("deposit")].map(|it| units::ether(it, MONEY));
        let [worker, member, bond, deposit] = stakes;
        table.row([
            "at stake".to_string(),
            format!("a claim {worker}, a member {member}, a challenge {bond}, the requester {deposit}"),
        ]);
        let fold = self.rows_of_the_fold.map_or_else(String::new, |rows| format!(", {rows} are known to all"));
        table.row(["rows".to_string(), format!("{} are drawn of those held out{fold}", self.rows_drawn)]);
        table.row(["baseline".to_string(), self.baseline.clone()]);
        if self.segments > 0 {
            let macs = units::thousands(self.training_macs);
            table.row(["training".to_string(), format!("{} segments, {macs} multiplications", self.segments)]);
        }
        for disputed in &self.disputed {
            table.row(["waits for a ruling".to_string(), disputed.clone()]);
        }
        table
    }

    fn claims_table(&self) -> Table {
        let columns = [right("claim"), left("worker"), right("known rows"), right("hidden rows"), left("verdict")];
        let mut table = Table::new("Claims", columns);
        for claim in &self.claims {
            let grade = |of: Option<f64>| of.map_or_else(|| "-".to_string(), |it| self.grade(it));
            table.row([
                claim.claim.to_string(),
                claim.worker.to_string(),
                grade(claim.fold),
                grade(claim.hidden),
                self.verdict(claim),
            ]);
        }
        table
    }

    fn grade(&self, summary: f64) -> String {
        if self.classes == 0 { format!("{summary:.4}") } else { format!("{:.2} %", 100.0 * summary) }
    }

    fn verdict(&self, claim: &ClaimDocument) -> String {
        match (&claim.fault, &self.ending) {
            (Some(fault), _) => format!("false: {fault}"),
            _ if claim.late => "late".into(),
            (None, Some(EndingDocument::Final { claim: winner, .. })) if *winner == claim.claim => "has won".into(),
            (None, Some(_)) => "stands".into(),
            _ if claim.model.is_none() => "committed".into(),
            _ if self.leader == Some(claim.claim) => "leads".into(),
            _ => "revealed".into(),
        }
    }

    fn committee_table(&self) -> Table {
        let mut table = Table::new(
            "Committee",
            [left("member"), left("scores"), left("audits"), right("segments"), left("verdict")],
        );
        let yes = |is: bool| if is { "stated" } else { "-" };
        for member in &self.committee {
            let verdict = match (&member.fault, member.late) {
                (Some(fault), _) => format!("false: {fault}"),
                (None, 0) => "stands".into(),
                (None, late) => format!("{late} times late"),
            };
            let cells =
                [yes(member.scored).to_string(), yes(member.audited).to_string(), member.segments.to_string(), verdict];
            table.row([member.account.to_string()].into_iter().chain(cells));
        }
        table
    }

    fn payments_table(&self) -> Table {
        let mut table = Table::new("Paid at the end", [left("to"), right("amount"), left("for")]);
        for PaymentDocument { to, amount, why } in &self.payments {
            let to = to.map_or_else(|| "the pot".to_string(), |to| to.to_string());
            table.row([to, units::ether(*amount, MONEY), why.clone()]);
        }
        table
    }
}

fn claim_document(order: &Order, number: u8, claim: &Claim) -> ClaimDocument {
    let reveal = match claim.stage {
        Stage::Revealed(reveal) => Some(reveal),
        Stage::Committed(_) => None,
    };
    let classes = order.deal().classes;
    let grade = |grade: Option<Grade>, rows: u32| grade.map(|grade| grade.summary(classes, rows));
    let grades = claim.grades.unwrap_or_default();
    ClaimDocument {
        claim: number,
        worker: claim.worker,
        model: reveal.map(|reveal| reveal.model),
        payee: reveal.map(|reveal| reveal.payee),
        hidden: grade(grades.hidden, order.deal().draw),
        fold: order.work().fold.and_then(|fold| grade(grades.fold, fold.rows)),
        audited: claim.audited,
        late: claim.late,
        fault: claim.out.map(|out| out.fault.to_string()),
        shown_by: claim.out.and_then(|out| out.by),
    }
}

fn member_document(order: &Order, place: usize, member: &Member) -> MemberDocument {
    MemberDocument {
        account: member.account,
        scored: member.scores.is_some(),
        audited: member.audit.is_some(),
        segments: order.segments_of(place).len(),
        late: member.late,
        fault: member.out.map(|out| out.fault.to_string()),
        shown_by: member.out.and_then(|out| out.by),
    }
}

/// Orders in a list.
pub fn list(orders: &[TrainingSummary], now_ms: u64) -> Table {
    let columns = [left("order"), right("reward"), right("claims"), left("phase"), right("for")];
    let mut table = Table::new("Training orders", columns);
    for TrainingSummary { order, reward, claims, phase, deadline_ms, winner, .. } in orders {
        let phase = winner.map_or_else(|| phase.clone(), |winner| format!("won by {winner}"));
        let left = units::duration(deadline_ms.saturating_sub(now_ms) * 1_000);
        table.row([order.to_string(), units::ether(*reward, MONEY), claims.to_string(), phase, left]);
    }
    table
}

/// Why an account was paid, or was not.
#[derive(Debug, Serialize)]
pub struct ExplanationDocument {
    /// The order.
    pub order: B256,
    /// The account.
    pub account: Address,
    /// Whether it took part.
    pub took_part: bool,
    /// The rules that concern it, in the order in which they were applied.
    pub rules: Vec<RuleDocument>,
    /// What it was paid at the end.
    pub paid: Vec<PaymentDocument>,
    /// What it lost of what it had staked, in wei.
    pub lost: Vec<PaymentDocument>,
}

/// A rule, and whether it was kept.
#[derive(Debug, Serialize)]
pub struct RuleDocument {
    /// In words.
    pub rule: String,
    /// Whether it was kept; none as long as that is open.
    pub kept: Option<bool>,
}

impl ExplanationDocument {
    /// That of an account in an order.
    pub fn of(order: &Order, account: Address) -> Self {
        let Explanation { findings, paid } = order.explain(account);
        let lost = |payment: &&Payment| match payment.why {
            Why::Slashed { from } | Why::Late { from } => from == account,
            Why::LostBond { by } => by == account,
            Why::Forfeited => account == order.requester(),
            _ => false,
        };
        let rules = findings.iter().map(|found| RuleDocument { rule: found.rule.to_string(), kept: found.kept });
        Self {
            order: order.id(),
            account,
            took_part: !(findings.is_empty() && paid.is_empty()),
            rules: rules.collect(),
            paid: paid.iter().map(payment).collect(),
            lost: order.settlement().iter().filter(lost).map(payment).collect(),
        }
    }

    /// For people.
    pub fn tables(&self) -> Vec<Table> {
        let mut rules = Table::new(format!("{} in order {}", self.account, self.order), [left("kept"), left("rule")]);
        if !self.took_part {
            rules.row(["-", "it never took part: it has not ordered, claimed, stated or challenged anything here"]);
        }
        for RuleDocument { rule, kept } in &self.rules {
            let kept = match kept {
                Some(true) => "yes",
                Some(false) => "no",
                None => "open",
            };
            rules.row([kept.to_string(), rule.clone()]);
        }
        let mut money = Table::new("Money at the end", [left("what"), right("amount"), left("for")]);
        for (what, payments) in [("paid", &self.paid), ("lost", &self.lost)] {
            for PaymentDocument { amount, why, .. } in payments {
                money.row([what.to_string(), units::ether(*amount, MONEY), why.clone()]);
            }
        }
        [rules, money].into_iter().filter(|table| !table.is_empty()).collect()
    }
}
