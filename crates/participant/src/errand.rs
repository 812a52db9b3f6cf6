//! What an account has to do for an order, decided from the order's state alone: whoever starts anew goes on where it was.

use dtn_primitives::{Address, keccak256};
use dtn_training::{Member, Order, Phase, Stage};

/// What an account takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles {
    /// Trains, and claims.
    pub provide: bool,
    /// Is a validator: rules on what is in dispute. It states scores and audits whenever it is drawn.
    pub validate: bool,
    /// Checks what others state, and challenges what is false. Providers always check a leader before whom they would win.
    pub challenge: bool,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Errand {
    /// Train, and claim.
    Train,
    /// Open the drawn rows.
    Open,
    /// Reveal a claim.
    Reveal(u8),
    /// State what each claim is worth.
    Score,
    /// See whether scores, and the statements behind them, are true.
    CheckScores,
    /// Show the trace of a claim that leads.
    Trace(u8),
    /// State that the own segments of the leader hold.
    Audit(u8),
    /// See whether all segments of the leader hold.
    CheckSegments(u8),
    /// See whether the statements behind audits are true.
    CheckAudits(u8),
    /// Rule on what is in dispute.
    Rule,
}

impl Errand {
    /// Whether it is done once it was done: nothing in the order's state shows it.
    pub(crate) fn is_look(self) -> bool {
        matches!(self, Self::CheckScores | Self::CheckSegments(_) | Self::CheckAudits(_))
    }
}

/// Whether an account may provide without leaving an order too few for its committee, in which nobody sits who claims: anybody
/// but a validator may, and of the validators so many as are left over, by a hash that all of them know.
pub(crate) fn may_provide(order: &Order, me: Address, validators: &[Address]) -> bool {
    let rank = |account: &Address| keccak256([&order.id()[..], &account[..]].concat());
    let spare = validators.len().saturating_sub(order.deal().committee.into());
    let before = || validators.iter().filter(|other| rank(other) < rank(&me)).count();
    !validators.contains(&me) || before() < spare
}

/// What an account has to do for an order now.
pub fn errands(order: &Order, me: Address, roles: Roles) -> Vec<Errand> {
    let mut due = Vec::new();
    let seat = order.committee().iter().find(|member| member.account == me && member.out.is_none());
    let owes = |what: fn(&Member) -> bool| seat.is_some_and(what);
    let own = || (0u8..).zip(order.claims()).filter(|(_, claim)| claim.worker == me);
    match order.phase() {
        Phase::Claiming if roles.provide && order.requester() != me && own().next().is_none() => {
            due.push(Errand::Train)
        }
        Phase::Opening if order.requester() == me => due.push(Errand::Open),
        Phase::Revealing => {
            let hidden = own().filter(|(_, claim)| matches!(claim.stage, Stage::Committed(_)));
            due.extend(hidden.map(|(number, _)| Errand::Reveal(number)));
        }
        Phase::Scoring if owes(|member| member.scores.is_none()) => due.push(Errand::Score),
        Phase::Tracing => {
            let leads = own().map(|(number, _)| number).find(|number| order.leader() == Some(*number));
            due.extend(leads.map(Errand::Trace));
        }
        Phase::Auditing | Phase::Challenging | Phase::Ruling => disputes(order, me, roles, seat, &mut due),
        _ => {}
    }
    due
}

fn disputes(order: &Order, me: Address, roles: Roles, seat: Option<&Member>, due: &mut Vec<Errand>) {
    let phase = order.phase();
    // Who would win if the leader fell looks at all of it.
    let is_next = order.claims().iter().any(|claim| {
        let stands = matches!(claim.stage, Stage::Revealed(_)) && claim.out.is_none() && !claim.late;
        claim.worker == me && stands
    });
    match order.leader() {
        None if phase == Phase::Challenging && (roles.challenge || seat.is_some()) => due.push(Errand::CheckScores),
        Some(leader) if phase != Phase::Ruling => {
            let is_own = order.claims().get(usize::from(leader)).is_some_and(|claim| claim.worker == me);
            let has_to = seat.is_some_and(|member| member.audit.is_none() && phase == Phase::Auditing);
            if has_to {
                due.push(Errand::Audit(leader));
            }
            if (roles.challenge || is_next) && !is_own {
                due.push(Errand::CheckSegments(leader));
            }
            if phase == Phase::Challenging && (roles.challenge || seat.is_some()) {
                due.push(Errand::CheckAudits(leader));
            }
        }
        _ => {}
    }
    if roles.validate && order.open_subjects().next().is_some() {
        due.push(Errand::Rule);
    }
}
