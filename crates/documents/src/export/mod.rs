//! What is known of a training order, written for programs that have nothing of ours: everything that its payment rests on.

mod onnx;
mod weights;

use dtn_primitives::{Address, B256};
use dtn_training::{Claim, Ending, Forfeit, Material, Member, Order, Payment, Phase, Stage, TrainingOrder, Void, Why};
use serde_json::{Value, json};

pub use onnx::onnx;
pub use weights::safetensors;

/// A model of trees has no such form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a model of trees cannot be written so exactly: only linear models and networks can")]
pub struct NotDense;

/// Everything that is known of an order but bytes: amounts in decimal text, fractions in steps of 2^-16, hashes in hexadecimal.
pub fn order(network_id: B256, at: &TrainingOrder) -> Value {
    let TrainingOrder { height, block, proof, order } = at;
    let (deal, work) = (order.deal(), order.work());
    let Material { recipe, data, features, fold } = proof.material();
    let money = &deal.money;
    let winner = match order.phase() {
        Phase::Ended(Ending::Final { claim }) => Some(claim),
        _ => None,
    };
    let accounts = |of: &[Address]| of.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "network_id": network_id,
        "order": order.id(),
        "block": block,
        "height": height,
        "requester": order.requester(),
        "proof": proof.name(),
        "recipe": recipe,
        "features": features,
        "classes": deal.classes,
        "data": data,
        "fold": fold,
        "holdout": deal.holdout,
        "draw": deal.draw,
        "baseline_q16": deal.baseline.0,
        "money": {
            "reward": money.reward.to_string(),
            "deposit": money.deposit.to_string(),
            "worker": money.worker.to_string(),
            "member": money.member.to_string(),
            "bond": money.bond.to_string(),
        },
        "committee_size": deal.committee,
        "redundancy": deal.redundancy,
        "max_claims": deal.claims,
        "work": {
            "training": work.training,
            "segment": work.segment,
            "evaluation": work.evaluation,
            "segments": work.segments,
            "points": work.points,
        },
        "beacon": order.beacon(),
        "rows": order.rows(),
        "forfeit": order.forfeit().map(|forfeit| match forfeit {
            Forfeit::Withheld => "withheld",
            Forfeit::Poisoned => "poisoned",
        }),
        "claims": (0u8..).zip(order.claims()).map(|(number, it)| claim(order, number, it)).collect::<Vec<_>>(),
        "committee": order.committee().iter().map(member).collect::<Vec<_>>(),
        "right": accounts(order.right()),
        "wrong": accounts(order.wrong()),
        "leader": order.leader(),
        "winner": winner,
        "ending": ending(order),
        "payments": order.settlement().iter().map(payment).collect::<Vec<_>>(),
    })
}

fn ending(order: &Order) -> &'static str {
    match order.phase() {
        Phase::Ended(Ending::Final { .. }) => "final",
        Phase::Ended(Ending::Void(why)) => match why {
            Void::NoClaim => "no_claim",
            Void::NoBeacon => "no_beacon",
            Void::FewMembers => "few_members",
            Void::NoRows => "no_rows",
            Void::NoReveal => "no_reveal",
            Void::NoneGood => "none_good",
            Void::NoRuling => "no_ruling",
        },
        _ => "open",
    }
}

fn claim(order: &Order, number: u8, claim: &Claim) -> Value {
    let (reveal, commitment) = match claim.stage {
        Stage::Revealed(reveal) => (Some(reveal), reveal.commitment(order.id(), claim.worker)),
        Stage::Committed(commitment) => (None, commitment),
    };
    json!({
        "claim": number,
        "worker": claim.worker,
        "commitment": commitment,
        "model": reveal.map(|reveal| reveal.model),
        "trace": reveal.map(|reveal| reveal.trace),
        "point": reveal.map(|reveal| reveal.point),
        "attempt": reveal.map(|reveal| reveal.attempt),
        "payee": reveal.map(|reveal| reveal.payee),
        "grades": claim.grades,
        "audited": claim.audited,
        "late": claim.late,
        "fault": claim.out.map(|out| out.fault.to_string()),
        "shown_by": claim.out.and_then(|out| out.by),
    })
}

fn member(member: &Member) -> Value {
    json!({
        "account": member.account,
        "macs": member.macs,
        "late": member.late,
        "fault": member.out.map(|out| out.fault.to_string()),
        "shown_by": member.out.and_then(|out| out.by),
    })
}

fn payment(Payment { to, amount, why }: &Payment) -> Value {
    let why = match why {
        Why::Prize { worker } => json!({ "kind": "prize", "worker": worker }),
        Why::Statements { macs } => json!({ "kind": "statements", "macs": macs }),
        Why::Bounty => json!({ "kind": "bounty" }),
        Why::Slashed { from } => json!({ "kind": "slashed", "from": from }),
        Why::Stake => json!({ "kind": "stake" }),
        Why::Bond => json!({ "kind": "bond" }),
        Why::Unearned => json!({ "kind": "unearned" }),
        Why::Deposit => json!({ "kind": "deposit" }),
        Why::Forfeited => json!({ "kind": "forfeited" }),
        Why::Late { from } => json!({ "kind": "late", "from": from }),
        Why::LostBond { by } => json!({ "kind": "lost_bond", "by": by }),
    };
    json!({ "to": to, "amount": amount.to_string(), "why": why })
}
