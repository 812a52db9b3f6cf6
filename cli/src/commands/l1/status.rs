//! `dtn-cli l1 status`: how all peers are doing, at once.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use dtn_documents::peers;
use dtn_testbed::{Found, Home, Survey};
use tokio::time::{MissedTickBehavior, interval};

use crate::{interruption, output};

/// The shortest pause between two looks at a network.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Clears a terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows the statuses of all peers, once or again and again.
pub(super) async fn run(home: &Home, watch: Option<Duration>, json: bool) -> Result<()> {
    let survey = Survey::of(home)?;
    let Some(pause) = watch else {
        return print(json, home, survey.ask().await);
    };
    let mut ticks = interval(pause.max(MIN_PAUSE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watching = async {
        loop {
            ticks.tick().await;
            let answers = survey.ask().await;
            if json {
                output::json_line(&answers.into_iter().map(Found::peer).collect::<Vec<_>>())?;
            } else {
                if io::stdout().is_terminal() {
                    output::exact(CLEAR)?;
                }
                output::line(peers::table(home.path(), &answers))?;
            }
        }
    };
    interruption::until_asked(watching).await
}

/// Prints the statuses of all peers; fails if none answers.
pub(super) fn print(json: bool, home: &Home, answers: Vec<Found>) -> Result<()> {
    let table = peers::table(home.path(), &answers);
    // A network's peers say the same of all its ports.
    let others: BTreeSet<_> = answers.iter().filter_map(Found::other).map(str::to_string).collect();
    let others = others.into_iter().collect::<Vec<_>>().join("; ");
    let statuses: Vec<_> = answers.into_iter().map(Found::peer).collect();
    let printed = super::print(json, &statuses, || table.to_string());
    // That nobody reads it to the end changes nothing of what was found.
    if statuses.iter().any(Option::is_some) {
        return printed;
    }
    let up = format!("start them with `dtn-cli l1 up --home {}`", home.path().display());
    ensure!(others.is_empty(), "no peer of this network answers, and its addresses are taken: {others}");
    bail!("no peer answers: {up}")
}
