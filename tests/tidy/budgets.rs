//! How much a reader has to hold in mind at once.
//!
//! A budget that is reached is a reason to split by meaning, or to delete. What was over its budget when the budget came
//! stands in [`EXCEPTIONS`] with the figure that it had, and may only shrink: whoever brings it below its budget takes its
//! line out. A new line, or a larger figure, is a commit of its own that says why.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    code::{functions, is_test_file},
    expect_none,
    tree::texts,
};

/// Lines of a function, from its name to its closing brace.
const FUNCTION: usize = 70;

/// Lines of a file.
const FILE: usize = 600;

/// Lines of the files in `src`, without those that hold nothing but tests. Every crate has one.
const CRATES: &[(&str, usize)] = &[
    ("cli", 9000),
    ("crates/adversary", 2500),
    ("crates/aow", 4000),
    ("crates/api", 1000),
    ("crates/bench", 3500),
    ("crates/bindings", 1000),
    ("crates/chain", 4000),
    ("crates/client", 2500),
    ("crates/compile", 500),
    ("crates/config", 500),
    ("crates/consensus", 5000),
    ("crates/custom", 1000),
    ("crates/documents", 2000),
    ("crates/files", 500),
    ("crates/keys", 1500),
    ("crates/ledger", 3500),
    ("crates/node", 6000),
    ("crates/participant", 2000),
    ("crates/peer", 2000),
    ("crates/pow", 3000),
    ("crates/primitives", 4500),
    ("crates/report", 3500),
    ("crates/runs", 2000),
    ("crates/settlement", 6000),
    ("crates/simulator", 6000),
    ("crates/testbed", 3500),
    ("crates/train", 4000),
    ("crates/trainer", 1500),
    ("crates/training", 2500),
];

/// What is over its budget: a crate, a file, or a file and a function in it, and its lines.
#[rustfmt::skip]
const EXCEPTIONS: &[(&str, usize)] = &[
    // crates, to the next hundred
    ("cli", 13000),
    ("crates/bench", 4300),
    ("crates/chain", 4200),
    ("crates/consensus", 10300),
    ("crates/documents", 2600),
    ("crates/ledger", 8000),
    ("crates/node", 13900),
    ("crates/primitives", 5200),
    ("crates/report", 3600),
    ("crates/runs", 2500),
    ("crates/settlement", 7300),
    ("crates/simulator", 15600),
    ("crates/testbed", 4400),
    ("crates/training", 2700),
    // files
    ("crates/consensus/src/nakamoto/mod.rs", 614),
    ("crates/consensus/tests/it/nakamoto.rs", 710),
    ("crates/node/src/follow.rs", 641),
    ("crates/node/src/link.rs", 601),
    ("crates/node/src/metrics.rs", 718),
    ("crates/node/src/network/mod.rs", 636),
    ("crates/settlement/tests/it/aow.rs", 761),
    ("crates/simulator/src/host.rs", 682),
    ("crates/simulator/src/scenario.rs", 700),
    ("crates/simulator/src/world/mod.rs", 691),
    ("crates/simulator/tests/it/model/mod.rs", 624),
    ("tests/it/chain.rs", 665),
    // functions
    ("crates/aow/src/wire.rs check", 80),
    ("crates/consensus/tests/it/pbft/checkpoint.rs a_checkpoint_is_stable_with_a_quorum_for_the_same_state_and_moves_the_window", 76),
    ("crates/consensus/tests/it/pbft/view_change.rs a_prepared_block_is_what_the_next_view_begins_with", 77),
    ("crates/ledger/src/mempool/admission.rs admit_hashed", 101),
    ("crates/ledger/tests/it/checkpoints.rs a_snapshot_with_anything_changed_is_refused_and_changes_nothing", 88),
    ("crates/ledger/tests/it/solutions.rs cases", 75),
    ("crates/node/src/link.rs run", 96),
    ("crates/node/src/metrics.rs new", 137),
    ("crates/node/src/network/mod.rs bind", 92),
    ("crates/node/src/node.rs start", 111),
    ("crates/node/tests/it/proofs.rs no_proof_that_was_tampered_with_on_its_way_is_accepted_and_the_peer_lives_on", 73),
    ("crates/primitives/tests/it/golden.rs vectors", 212),
    ("crates/report/src/sequence.rs fmt", 95),
    ("crates/settlement/tests/it/aow.rs every_refusal_is_told_by_its_name", 95),
    ("crates/simulator/src/world/mod.rs new", 105),
    ("crates/simulator/src/world/mod.rs work", 75),
    ("crates/testbed/src/processes.rs start_missing", 75),
    ("tests/it/errors.rs the_distributor_says_why_it_refuses", 132),
    ("tests/it/errors.rs the_registry_says_why_it_refuses", 95),
    ("tests/it/rewards.rs earnings_become_claims_through_a_certificate_the_owners_and_a_delay", 74),
    ("tests/it/wallet.rs owners_deploy_fund_agree_and_pay", 103),
];

/// The lines of everything that has a budget, with that budget.
fn measured() -> BTreeMap<String, (usize, usize)> {
    let mut measured: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in texts(&["rs"]) {
        let lines = file.text.lines().count();
        measured.insert(file.path.clone(), (lines, FILE));
        for function in functions(&file.text) {
            let name = format!("{} {}", file.path, function.name);
            let longest = measured.entry(name).or_insert((0, FUNCTION));
            longest.0 = longest.0.max(function.lines);
        }
        if let Some((name, _)) = file.path.split_once("/src/")
            && !is_test_file(&file.path)
            && let Some((_, budget)) = CRATES.iter().find(|(of, _)| *of == name)
        {
            measured.entry(name.to_owned()).or_insert((0, *budget)).0 += lines;
        }
    }
    measured
}

#[test]
fn functions_files_and_crates_keep_their_budgets_and_exceptions_only_shrink() {
    let measured = measured();
    let exceptions: BTreeMap<&str, usize> = EXCEPTIONS.iter().copied().collect();
    assert_eq!(exceptions.len(), EXCEPTIONS.len(), "an exception is written twice");
    let mut wrong = Vec::new();
    for (name, (lines, budget)) in &measured {
        match exceptions.get(name.as_str()) {
            None if lines > budget => wrong.push(format!("{name} has {lines} lines, and may have {budget}")),
            Some(allowed) if lines > allowed => {
                wrong.push(format!("{name} has grown from {allowed} to {lines} lines, where {budget} is the budget"));
            }
            Some(_) if lines <= budget => {
                wrong.push(format!("{name} has {lines} lines of {budget}: it needs no exception any more"));
            }
            _ => {}
        }
    }
    let gone = exceptions.keys().filter(|name| !measured.contains_key(**name));
    wrong.extend(gone.map(|name| format!("{name} has an exception, and is not there")));
    expect_none("budgets", &wrong);
}

#[test]
fn every_crate_has_a_budget() {
    let sources = texts(&["toml"]);
    let crates: BTreeSet<_> = sources
        .iter()
        .filter_map(|file| file.path.strip_suffix("/Cargo.toml"))
        .filter(|name| *name == "cli" || name.starts_with("crates/"))
        .collect();
    let without = crates.iter().filter(|name| CRATES.iter().all(|(of, _)| of != *name));
    let wrong: Vec<_> = without.map(|name| format!("{name} is not in CRATES")).collect();
    expect_none("budgets of crates", &wrong);
}
