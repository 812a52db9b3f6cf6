//! What happens in a run, one thing after the other.

use std::time::Duration;

use dtn_simulator::{Happening, What};
use serde_json::{Value, json};

use crate::{ms, virtual_time};

/// Which happenings are looked at.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only what this replica sends, receives or does.
    pub replica: Option<u16>,
    /// Only messages of this kind.
    pub kind: Option<String>,
}

impl Filter {
    /// Whether one is.
    pub fn shows(&self, happening: &Happening) -> bool {
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

/// It in a line, in a network of so many replicas.
pub fn as_text(happening: &Happening, n: usize) -> String {
    let name = |number: &u16| if usize::from(*number) == n { "client".into() } else { number.to_string() };
    let took = |sent: &Duration| virtual_time(ms(happening.at.saturating_sub(*sent)));
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

/// It for programs.
pub fn as_json(happening: &Happening) -> Value {
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
