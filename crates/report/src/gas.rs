//! What each call on the settlement chain cost, beside what the same step costs elsewhere.

use std::collections::BTreeMap;

use crate::{GasEntry, Table, left, right, units};

/// What a step costs in the systems that this one is compared with.
struct Reference {
    step: &'static str,
    published: Option<u64>,
    remeasured: Option<u64>,
    safe: Option<u64>,
}

const fn reference(
    step: &'static str,
    published: Option<u64>,
    remeasured: Option<u64>,
    safe: Option<u64>,
) -> Reference {
    Reference { step, published, remeasured, safe }
}

const DEPLOY: Reference = reference("deploy", Some(2_169_081), Some(1_068_749), Some(320_381));
const PROPOSE: Reference = reference("propose", Some(86_875), Some(76_399), None);
const CONFIRM: Reference = reference("confirm", Some(45_371), Some(50_583), Some(52_753));
const EXECUTE: Reference = reference("execute", Some(161_888), Some(94_996), Some(65_547));
const EXECUTE_SIGNED: Reference = reference("execute with signatures", None, None, Some(72_338));
const WHOLE: Reference = reference("one payout, all calls", Some(384_876), Some(323_144), Some(223_806));

const NOTES: [&str; 4] = [
    "PoT published: Proof of Training's table for its MultiSigContract, 3 of 30 owners, Istanbul rules. Its 161,888 for \
     execute is the price of a call below the threshold that did nothing; replayed under the same rules, an execute \
     that credits costs 83,084 to 190,865, depending on which owners confirmed. It moves no money: it adds to a number.",
    "PoT re-measured: the same contract, 3 of 5 owners, Osaka rules, receipts of anvil 1.7.1. With its 30 owners under \
     Berlin/London rules: deploy 2,209,833, propose 76,399 (the first 93,499), confirm 50,571, execute 94,984 to \
     214,165.",
    "Safe 1.5: 3 of 5 owners, Osaka rules, anvil 1.7.1; deploy is a proxy; confirm is approveHash and execute follows \
     three of them; execute with signatures sends native currency in one transaction with signatures made off chain, \
     which is then the whole payout.",
    "One payout, all calls: everything after deployment divided by the payouts; for the others propose, 3 confirm \
     and execute. Theirs include no certificate of the result; ours do. Claims of sequential work come on top.",
];

fn comparable(entry: &GasEntry) -> Option<&'static Reference> {
    if entry.contract != "MultiSigWallet" {
        return None;
    }
    match entry.function.as_str() {
        "constructor" => Some(&DEPLOY),
        "proposeTransaction" => Some(&PROPOSE),
        "confirmTransaction" => Some(&CONFIRM),
        "executeTransaction" => Some(&EXECUTE),
        "executeSignedTransaction" => Some(&EXECUTE_SIGNED),
        _ => None,
    }
}

/// Each function that was called, how often and for how much gas, beside the published and the re-measured figures of
/// the Proof-of-Training multisig and those of Safe. `payouts` is the number of rewards that the calls paid.
pub fn gas_table(entries: &[GasEntry], payouts: usize) -> Table {
    let columns = [
        left("call"),
        right("times"),
        right("gas"),
        right("PoT published"),
        right("PoT re-measured"),
        right("Safe 1.5"),
    ];
    let mut table = Table::new("Gas", columns);
    let mut calls: BTreeMap<(bool, &str, &str), Vec<&GasEntry>> = BTreeMap::new();
    for entry in entries {
        let deployed = entry.function != "constructor";
        calls.entry((deployed, &entry.contract, &entry.function)).or_default().push(entry);
    }
    let mut seen = Vec::new();
    for ((_, contract, function), made) in calls {
        let found = made.first().and_then(|entry| comparable(entry));
        seen.extend(found.map(|reference| reference.step));
        table.row(row(&call_name(contract, function), made.len().to_string(), range(&made), found));
    }
    for absent in [&DEPLOY, &PROPOSE, &CONFIRM, &EXECUTE, &EXECUTE_SIGNED] {
        if !seen.contains(&absent.step) {
            table.row(row(&format!("({})", absent.step), String::new(), units::NONE.into(), Some(absent)));
        }
    }
    let is_payout = |entry: &&GasEntry| !["", "AowChallenge"].contains(&entry.contract.as_str());
    let settling = entries.iter().filter(is_payout).filter(|entry| entry.function != "constructor");
    let spent: u64 = settling.map(|entry| entry.gas_used).sum();
    let each = if payouts == 0 { units::NONE.into() } else { units::thousands(spent / payouts as u64) };
    table.row(row(WHOLE.step, payouts.to_string(), each, Some(&WHOLE)));
    for note in NOTES {
        table.note(note);
    }
    table
}

fn call_name(contract: &str, function: &str) -> String {
    match (contract, function) {
        ("", function) => function.to_string(),
        (contract, "constructor") => format!("deploy {contract}"),
        (contract, function) => format!("{contract}.{function}"),
    }
}

/// The gas of one call, or the least and the most of several.
fn range(entries: &[&GasEntry]) -> String {
    let least = entries.iter().map(|entry| entry.gas_used).min().unwrap_or_default();
    let most = entries.iter().map(|entry| entry.gas_used).max().unwrap_or_default();
    if least == most {
        units::thousands(least)
    } else {
        format!("{} to {}", units::thousands(least), units::thousands(most))
    }
}

fn row(call: &str, times: String, gas: String, reference: Option<&Reference>) -> [String; 6] {
    let figure = |choose: fn(&Reference) -> Option<u64>| {
        reference.and_then(choose).map_or_else(|| units::NONE.to_string(), units::thousands)
    };
    [call.into(), times, gas, figure(|r| r.published), figure(|r| r.remeasured), figure(|r| r.safe)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::example;

    #[test]
    fn the_whole_flows_of_others_are_the_sums_of_their_steps() {
        let sum = |figure: fn(&Reference) -> Option<u64>| {
            let step = |reference| figure(reference).unwrap_or_default();
            step(&PROPOSE) + 3 * step(&CONFIRM) + step(&EXECUTE)
        };
        assert_eq!(Some(sum(|r| r.published)), WHOLE.published);
        assert_eq!(Some(sum(|r| r.remeasured)), WHOLE.remeasured);
        assert_eq!(Some(sum(|r| r.safe)), WHOLE.safe);
    }

    #[test]
    fn a_call_stands_beside_the_same_step_elsewhere() {
        let text = gas_table(&example().gas, 1).to_string();
        let line = |start: &str| {
            let found = text.lines().find(|line| line.trim_start().starts_with(start));
            found.unwrap_or_else(|| panic!("{start} in\n{text}")).to_string()
        };
        let confirm = line("MultiSigWallet.confirmTransaction");
        for figure in ["2", "30,890 to 30,902", "45,371", "50,583", "52,753"] {
            assert!(confirm.contains(figure), "{figure} in {confirm}");
        }
        assert!(line("(execute with signatures)").contains("72,338"));
        assert!(line("one payout, all calls").contains("242,318"), "transfers are not part of a payout");
        assert!(text.contains("did nothing"));
    }

    #[test]
    fn without_payouts_there_is_no_average() {
        assert!(gas_table(&[], 0).to_string().contains("384,876"));
    }
}
