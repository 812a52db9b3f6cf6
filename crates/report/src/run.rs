//! The three tables of a run: work, agreement, settlement.

use std::fmt;

use crate::{
    Agreement, ClaimEntry, GasEntry, RunReport, Settlement, Table, WorkEntry, earned_table, gas_table, left, right,
    round_table, training_table, units,
};

/// Who won each race and how long it took.
pub fn work_table(work: &[WorkEntry]) -> Table {
    let columns = [left("order"), left("for"), left("winner"), right("nonce"), left("hash"), right("searched")];
    let mut table = Table::new("Work", columns);
    for entry in work {
        table.row([
            units::short(entry.transaction),
            entry.subject.clone(),
            units::short(entry.winner),
            units::thousands(entry.nonce),
            units::short(entry.hash),
            units::duration(entry.duration_us),
        ]);
    }
    table
}

/// Which blocks became final, how soon, and who signed them.
pub fn agreement_table(agreement: &Agreement) -> Table {
    let title = format!(
        "Agreement: {} nodes, quorum {}, height {}",
        agreement.nodes,
        agreement.quorum,
        units::thousands(agreement.height)
    );
    let columns = [right("height"), left("block"), right("transactions"), right("final after"), left("signers")];
    let mut table = Table::new(title, columns);
    for certificate in &agreement.certificates {
        let signers: Vec<_> = certificate.signers.iter().map(units::short).collect();
        table.row([
            units::thousands(certificate.height),
            units::short(certificate.block),
            units::thousands(certificate.transactions),
            certificate.latency_us.map_or_else(|| units::NONE.into(), units::duration),
            signers.join(" "),
        ]);
    }
    table
}

/// What was paid to whom. `symbol` names the chain's native currency.
pub fn settlement_table(settlement: &Settlement, symbol: &str) -> Table {
    let columns = [left("result"), left("payee"), right("reward"), right("balance grew by"), left("transaction")];
    let mut table = Table::new(format!("Settlement: chain {}", settlement.chain_id), columns);
    for payout in &settlement.payouts {
        table.row([
            units::short(payout.result),
            payout.payee.to_string(),
            units::ether(payout.amount_wei, symbol),
            units::ether(payout.balance_delta_wei, symbol),
            units::short(payout.tx),
        ]);
    }
    let (registry, multisig, distributor) = (settlement.registry, settlement.multisig, settlement.distributor);
    table.note(format!("registry {registry}"));
    table.note(format!("multisig {multisig}"));
    table.note(format!("distributor {distributor}"));
    table
}

/// Which claims of sequential work were posted, and what became of them. `symbol` names the chain's native currency.
pub fn claims_table(claims: &[ClaimEntry], symbol: &str) -> Table {
    let columns = [right("round"), left("node"), right("bond"), left("what became of it")];
    let mut table = Table::new("Claims of sequential work", columns);
    for claim in claims {
        let became = match &claim.slashed {
            None => "stood for the whole window".into(),
            Some(slashed) => format!(
                "slashed: {} showed segment {} wrong and got {}, {} for the owners",
                units::short(slashed.challenger),
                slashed.segment,
                units::ether(slashed.reward_wei, symbol),
                units::ether(slashed.forfeited_wei, symbol),
            ),
        };
        let bond = units::ether(claim.bond_wei, symbol);
        table.row([units::thousands(claim.round), units::short(claim.node), bond, became]);
    }
    table
}

impl RunReport {
    /// The tables *work*, with one for each round, *agreement* and *settlement*, the last with claims and gas. `symbol`
    /// names the native currency.
    pub fn tables(&self, symbol: &str) -> impl fmt::Display + use<> {
        let gas: &[GasEntry] = &self.gas;
        let mut tables = vec![work_table(&self.work)];
        tables.extend(self.rounds.iter().map(|round| {
            let done = round.completions.iter().map(|completion| completion.node);
            let names: Vec<_> = done.chain(round.missing.iter().copied()).map(|it| (it, units::short(it))).collect();
            round_table(round, &names)
        }));
        if !self.training.is_empty() {
            tables.push(training_table(&self.training, symbol));
            tables.push(earned_table(&self.earned, symbol));
        }
        tables.extend([agreement_table(&self.agreement), settlement_table(&self.settlement, symbol)]);
        if !self.claims.is_empty() {
            tables.push(claims_table(&self.claims, symbol));
        }
        tables.push(gas_table(gas, self.settlement.payouts.len()));
        tables.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use crate::document::tests::example;

    #[test]
    fn the_tables_name_the_winner_the_signers_the_reward_and_the_gas() {
        let text = example().tables("BNB").to_string();
        let shown = [
            "MNIST, LeNet-5",
            "1,048,576 steps",
            "showed segment 128 wrong and got 0.005 BNB",
            "1.234 s",
            "quorum 3",
            "12.3 ms",
            "0.01 BNB",
            "30,890 to 30,902",
            "161,888",
        ];
        for part in shown {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
