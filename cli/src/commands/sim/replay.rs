//! `dtn-cli sim replay`: a recorded run, message by message.

use std::{collections::VecDeque, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_runs::{ms, virtual_time, watch};
use dtn_simulator::{Happening, What};
use serde_json::{Value, json};

use super::options;
use crate::output;

/// Show a recorded run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sim pbft --nodes 7 --byzantine 2 --behaviour equivocate --record run.toml
  dtn-cli sim replay run.toml
  dtn-cli sim replay failed.toml --last 50
  dtn-cli sim replay run.toml --replica 3 --kind commit --json

The file is a scenario with what came of its run. The run is played again; if it is another one than was recorded, because
the file or the program has changed, the command says so and exits with code 1.")]
pub(crate) struct Replay {
    /// The file of `--record`, or of a sweep's failure
    file: PathBuf,
    /// Only what this replica sends, receives or does
    #[arg(long)]
    replica: Option<u16>,
    /// Only messages of this kind, such as pre_prepare, prepare, commit, view_change
    #[arg(long)]
    kind: Option<String>,
    /// Only the last so many lines
    #[arg(long)]
    last: Option<usize>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(replay: &Replay) -> Result<()> {
    let scenario = options::read(&replay.file)?;
    let name = replay.file.display();
    let recorded = scenario.recorded.clone().with_context(|| {
        format!("{name} has no [recorded] part: `dtn-cli sim pbft {name} --record FILE` writes a file that has")
    })?;
    let (mut shown, mut failed) = (VecDeque::new(), None);
    let (outcome, _) = watch(&scenario, &mut |happening| {
        if failed.is_some() || !replay.shows(happening) {
            return;
        }
        let line = if replay.json { as_json(happening).to_string() } else { as_text(happening, scenario.n) };
        match replay.last {
            None => failed = replay.print(line).err(),
            Some(last) => {
                shown.push_back(line);
                if shown.len() > last {
                    shown.pop_front();
                }
            }
        }
    });
    failed.map_or(Ok(()), Err)?;
    shown.into_iter().try_for_each(|line| replay.print(line))?;
    if replay.json {
        output::json_line(&json!({ "ended": { "offence": outcome.offence, "run": outcome.recorded() } }))?;
    } else {
        output::line(format!("{} ({} events, digest {})", outcome.summary(), outcome.events, outcome.digest))?;
    }
    ensure!(
        outcome.recorded() == recorded,
        "{name} records another run: {} in {} events with digest {}; the file or the program has changed",
        recorded.verdict,
        recorded.events,
        recorded.digest
    );
    Ok(())
}

impl Replay {
    fn print(&self, line: String) -> Result<()> {
        if self.json { output::exact(line + "\n") } else { output::line(line) }
    }

    fn shows(&self, happening: &Happening) -> bool {
        let (replicas, of_kind) = match &happening.what {
            What::Delivered { from, to, kind, .. } | What::Lost { from, to, kind, .. } => {
                (vec![*from, *to], Some(*kind))
            }
            What::Timer { replica, .. }
            | What::View { replica, .. }
            | What::Decided { replica, .. }
            | What::Silent { replica, .. }
            | What::Found { replica, .. }
            | What::Reorganized { replica, .. }
            | What::BelowCheckpoint { replica, .. } => (vec![*replica], None),
            What::Crashed(replica) | What::Restarted(replica) => (vec![*replica], None),
            What::Healed | What::Replied { .. } | What::Violated(_) => (Vec::new(), None),
        };
        self.replica.is_none_or(|replica| replicas.contains(&replica))
            && self.kind.as_ref().is_none_or(|kind| of_kind == Some(kind))
    }
}

fn as_text(happening: &Happening, n: usize) -> String {
    let name = |number: &u16| if usize::from(*number) == n { "client".into() } else { number.to_string() };
    let took = |sent: &std::time::Duration| virtual_time(ms(happening.at.saturating_sub(*sent)));
    let what = match &happening.what {
        What::Delivered { from, to, kind, bytes, sent } => {
            format!("{:>6} -> {:<6} {kind}, {bytes} B, after {}", name(from), name(to), took(sent))
        }
        What::Lost { from, to, kind, .. } => format!("{:>6} -x {:<6} {kind} is lost", name(from), name(to)),
        What::Timer { replica, timer } => format!("{replica:>6} timer {timer}"),
        What::Crashed(replica) => format!("{replica:>6} loses power"),
        What::Restarted(replica) => format!("{replica:>6} starts"),
        What::Healed => "       the partition ends".into(),
        What::View { replica, view } => format!("{replica:>6} goes to view {view}"),
        What::Decided { replica, height, block } => format!("{replica:>6} decides height {height}, block {block}"),
        What::Silent { replica, until } => format!("{replica:>6} votes for no height below {until}"),
        What::Found { replica, height, block } => format!("{replica:>6} finds height {height}, block {block}"),
        What::Reorganized { replica, depth } => {
            format!("{replica:>6} leaves {depth} blocks for a chain with more work")
        }
        What::BelowCheckpoint { replica, from, height } => {
            format!("{replica:>6} refuses the chain of {from}, which leaves out the final block at height {height}")
        }
        What::Replied { height } => format!("client knows that height {height} is final"),
        What::Violated(violation) => format!("!!     {violation}"),
    };
    format!("{:>8} {:>12.3} ms {what}", happening.event, ms(happening.at))
}

fn as_json(happening: &Happening) -> Value {
    let what = match &happening.what {
        What::Delivered { from, to, kind, bytes, sent } => {
            json!({"delivered": {"from": from, "to": to, "kind": kind, "bytes": bytes, "sent_ms": ms(*sent)}})
        }
        What::Lost { from, to, kind, sent } => {
            json!({"lost": {"from": from, "to": to, "kind": kind, "sent_ms": ms(*sent)}})
        }
        What::Timer { replica, timer } => json!({"timer": {"replica": replica, "timer": timer}}),
        What::Crashed(replica) => json!({"crashed": {"replica": replica}}),
        What::Restarted(replica) => json!({"restarted": {"replica": replica}}),
        What::Healed => json!("healed"),
        What::View { replica, view } => json!({"view": {"replica": replica, "view": view}}),
        What::Decided { replica, height, block } => {
            json!({"decided": {"replica": replica, "height": height, "block": block}})
        }
        What::Silent { replica, until } => json!({"silent": {"replica": replica, "until": until}}),
        What::Found { replica, height, block } => {
            json!({"found": {"replica": replica, "height": height, "block": block}})
        }
        What::Reorganized { replica, depth } => json!({"reorganized": {"replica": replica, "depth": depth}}),
        What::BelowCheckpoint { replica, from, height } => {
            json!({"below_checkpoint": {"replica": replica, "from": from, "height": height}})
        }
        What::Replied { height } => json!({"replied": {"height": height}}),
        What::Violated(violation) => json!({"violated": violation}),
    };
    json!({"event": happening.event, "at_ms": ms(happening.at), "what": what})
}
