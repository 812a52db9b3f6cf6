//! How often Streamlet makes something final by lot, as people read it.

use dtn_report::{Table, right};
use dtn_simulator::Lots;

/// A row for each network.
pub fn table(played: &[Lots]) -> Table {
    let columns = ["n", "dead", "epochs", "finalize", "p³", "off by", "first after", "closed form", "off by"];
    let mut table = Table::new("Streamlet by lot", columns.map(right));
    for Lots { nodes, dead, epochs, rate, expected, first, expected_first, .. } in played {
        let off = |seen: &f64, expected: &f64| format!("{:+.2} %", (seen / expected - 1.0) * 100.0);
        table.row([
            nodes.to_string(),
            dead.to_string(),
            epochs.to_string(),
            format!("{rate:.4}"),
            format!("{expected:.4}"),
            off(rate, expected),
            format!("{first:.2}"),
            format!("{expected_first:.2}"),
            off(first, expected_first),
        ]);
    }
    table
}
