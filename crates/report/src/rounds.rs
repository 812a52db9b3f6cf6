//! Rounds of sequential work: who completed them, what everybody found about everybody else, and what it took.

use alloy_primitives::{Address, B128, B256};
use serde::{Deserialize, Serialize};

use crate::{Table, left, right, units};

/// A round that is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundEntry {
    /// Its number.
    pub round: u64,
    /// How many steps of work it asked of each peer.
    pub steps: u64,
    /// The height of the block that opened it, from whose hash the work starts.
    pub height: u64,
    /// The height of the block that closed it.
    pub closed_at: u64,
    /// From the one block's timestamp to the other's, in milliseconds.
    pub duration_ms: u64,
    /// The randomness after it.
    pub beacon: B256,
    /// Who completed it, in the agreed order.
    pub completions: Vec<CompletionEntry>,
    /// Who did not.
    pub missing: Vec<Address>,
    /// What peers found about each other.
    pub verifications: Vec<VerificationEntry>,
}

/// What a peer states about its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletionEntry {
    /// Who.
    pub node: Address,
    /// What the steps lead to, 16 big-endian bytes.
    pub result: B128,
    /// The height of the block that records it.
    pub height: u64,
    /// How long the steps took, in microseconds.
    pub compute_us: u64,
    /// How long the proof took, in microseconds.
    pub prove_us: u64,
}

/// What a peer found about another's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationEntry {
    /// Who verified.
    pub verifier: Address,
    /// Whose proof.
    pub node: Address,
    /// Whether it holds.
    pub valid: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The size of the proof.
    pub bytes: u64,
    /// How long it took to get the proof, in microseconds.
    pub network_us: u64,
    /// How long it took to verify it, in microseconds.
    pub verify_us: u64,
}

/// What rounds took in all, in microseconds, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTotals {
    /// Work that was completed.
    pub computations: u64,
    /// The steps.
    pub compute_us: u64,
    /// The proofs.
    pub prove_us: u64,
    /// Proofs that a peer verified.
    pub verifications: u64,
    /// Those of them that hold.
    pub valid: u64,
    /// Verifying them.
    pub verify_us: u64,
    /// Getting them from the peers that made them.
    pub network_us: u64,
}

impl RoundTotals {
    /// Sums up.
    pub fn of(rounds: &[RoundEntry]) -> Self {
        let mut totals = Self::default();
        for completion in rounds.iter().flat_map(|round| &round.completions) {
            totals.computations += 1;
            totals.compute_us += completion.compute_us;
            totals.prove_us += completion.prove_us;
        }
        for verification in rounds.iter().flat_map(|round| &round.verifications) {
            totals.verifications += 1;
            totals.valid += u64::from(verification.valid);
            totals.verify_us += verification.verify_us;
            totals.network_us += verification.network_us;
        }
        totals
    }
}

/// One line a peer of a round. `names` gives the peers' names in the order in which they are listed.
pub fn round_table(round: &RoundEntry, names: &[(Address, String)]) -> Table {
    let title = format!(
        "Round {}: {} steps from the hash of block {}, closed by block {} after {}",
        round.round,
        units::thousands(round.steps),
        units::thousands(round.height),
        units::thousands(round.closed_at),
        units::duration(round.duration_ms.saturating_mul(1_000)),
    );
    let columns =
        [left("node"), left("result"), right("compute"), right("prove"), right("proof"), right("accepted by")];
    let mut table = Table::new(title, columns);
    for (node, name) in names {
        let about: Vec<_> = round.verifications.iter().filter(|it| it.node == *node).collect();
        let valid = about.iter().filter(|it| it.valid).count();
        let accepted = format!("{valid} of {}", about.len());
        let size = about.iter().map(|it| it.bytes).max().map_or_else(|| units::NONE.into(), units::bytes);
        let completion = round.completions.iter().find(|completion| completion.node == *node);
        let (result, compute, prove) = match completion {
            Some(it) => (it.result.to_string(), units::duration(it.compute_us), units::duration(it.prove_us)),
            None => ("missing".into(), units::NONE.into(), units::NONE.into()),
        };
        table.row([name.clone(), result, compute, prove, size, accepted]);
    }
    let (valid, all) = (round.verifications.iter().filter(|it| it.valid).count(), round.verifications.len());
    table.note(format!("verifications: {valid} of {all} successful; beacon {}", round.beacon));
    let mut reasons: Vec<_> =
        round.verifications.iter().filter_map(|it| Some((it.node, it.reason.as_ref()?))).collect();
    reasons.sort();
    reasons.dedup();
    for (node, reason) in reasons {
        let name =
            names.iter().find(|(known, _)| *known == node).map_or_else(|| node.to_string(), |(_, name)| name.clone());
        table.note(format!("{name} was refused: {reason}"));
    }
    table
}

/// What rounds took: totals and averages.
pub fn round_totals_table(totals: &RoundTotals) -> Table {
    let mut table =
        Table::new("What the rounds took", [left("part"), right("times"), right("total"), right("average")]);
    for (part, times, total) in [
        ("compute", totals.computations, totals.compute_us),
        ("prove", totals.computations, totals.prove_us),
        ("verify", totals.verifications, totals.verify_us),
        ("network", totals.verifications, totals.network_us),
    ] {
        let average = total.checked_div(times).map_or_else(|| units::NONE.into(), units::duration);
        table.row([part.into(), units::thousands(times), units::duration(total), average]);
    }
    let all = totals.compute_us + totals.prove_us + totals.verify_us;
    table.note(format!(
        "compute, prove and verify together: {}; network is the time to get a proof",
        units::duration(all)
    ));
    table
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> RoundEntry {
        let node = |number: u8| Address::repeat_byte(number);
        let completion = |number| CompletionEntry {
            node: node(number),
            result: B128::repeat_byte(number),
            height: 9,
            compute_us: 1_200_000,
            prove_us: 1_000_000,
        };
        let verification = |verifier, of, valid| VerificationEntry {
            verifier: node(verifier),
            node: node(of),
            valid,
            reason: (!valid).then(|| "it does not lead there".into()),
            bytes: 280_000,
            network_us: 4_000,
            verify_us: 3_000,
        };
        RoundEntry {
            round: 3,
            steps: 1 << 20,
            height: 7,
            closed_at: 9,
            duration_ms: 2_345,
            beacon: B256::repeat_byte(0xbe),
            completions: vec![completion(1), completion(2)],
            missing: vec![node(3)],
            verifications: vec![
                verification(1, 2, true),
                verification(2, 1, true),
                verification(1, 3, false),
                verification(2, 3, false),
            ],
        }
    }

    #[test]
    fn a_round_shows_who_was_accepted_by_whom_and_why_not() {
        let names: Vec<_> = (1..=3).map(|number| (Address::repeat_byte(number), format!("peer {number}"))).collect();
        let text = round_table(&example(), &names).to_string();
        for part in
            ["1,048,576 steps", "2.345 s", "1.200 s", "missing", "0 of 2", "2 of 4 successful", "peer 3 was refused"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(text.matches("it does not lead there").count(), 1, "{text}");
        let totals = RoundTotals::of(&[example(), example()]);
        assert_eq!((totals.computations, totals.verifications, totals.valid), (4, 8, 4));
        assert_eq!((totals.compute_us, totals.verify_us, totals.network_us), (4_800_000, 24_000, 32_000));
        let text = round_totals_table(&totals).to_string();
        assert!(text.contains("4.800 s") && text.contains("3.0 ms"), "{text}");
        assert!(round_totals_table(&RoundTotals::default()).to_string().contains(units::NONE));
    }
}
