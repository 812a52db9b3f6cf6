//! Everything that the command line prints. A reader that goes away, as `head` does, ends the program quietly.
//!
//! What people read may have text of strangers: orders, answers of peers, files. Control characters and bidirectional
//! marks in it are escaped here, so that no terminal obeys them. What programs read is exact.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use dtn_chain::asked::{self, Asked};
pub(crate) use dtn_report::units::date;
use dtn_report::{Progress, Table, text};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::said;

/// Prints a line or several, for people.
pub(crate) fn line(text: impl Display) -> Result<()> {
    exact(format_args!("{}\n", text::lines(&said::without_secrets(&text.to_string()))))
}

/// Prints a list for people; of one that is empty, what makes some.
pub(crate) fn list(table: &Table, nothing: impl Display) -> Result<()> {
    line(table.or(nothing))
}

/// Whether this process has printed JSON: what it found stands there, and a failure is not added to it.
static HAS_PRINTED_JSON: AtomicBool = AtomicBool::new(false);

/// Whether it has.
pub(crate) fn has_printed_json() -> bool {
    HAS_PRINTED_JSON.load(Relaxed)
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    HAS_PRINTED_JSON.store(true, Relaxed);
    exact(format_args!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Prints a value as JSON, on one line.
pub(crate) fn json_line(value: &impl Serialize) -> Result<()> {
    HAS_PRINTED_JSON.store(true, Relaxed);
    exact(format_args!("{}\n", serde_json::to_string(value)?))
}

/// How long a command is silent before it says what it waits for: at first, and later.
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// When this process last said something.
static LAST_SAID: Mutex<Option<Instant>> = Mutex::new(None);

fn say() {
    *LAST_SAID.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Says what is waited for, where nothing was said for a while and a node does not answer. It never ends.
pub(crate) async fn say_what_is_waited_for() {
    let began = Instant::now();
    loop {
        tokio::time::sleep(PATIENCE[0] / 4).await;
        let said = *LAST_SAID.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = PATIENCE[usize::from(said.is_some())];
        let is_silent = said.unwrap_or(began).elapsed() >= patience;
        let Some(Asked { node, method, is_answered }) = asked::last().filter(|_| is_silent) else { continue };
        if said.is_none() || !is_answered {
            note(format_args!("waiting for {node}, which was asked for {method}"));
        }
    }
}

/// Prints a text of our own as it is.
pub(crate) fn exact(text: impl Display) -> Result<()> {
    say();
    let mut out = io::stdout().lock();
    Ok(write!(out, "{text}").and_then(|()| out.flush())?)
}

/// Says something beside the output, on standard error. That it cannot be said, as on a full disk or a terminal that was
/// closed, is no reason to fail.
pub(crate) fn note(text: impl Display) {
    say();
    writeln!(io::stderr(), "{}", text::lines(&said::shown(&text.to_string()))).ok();
}

/// Says what went wrong without being a failure.
pub(crate) fn warn(text: impl Display) {
    note(format_args!("warning: {text}"));
}

/// Whether an error means that nobody reads the output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_pipe = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_pipe))
}

/// A bar on standard error, invisible where that is no terminal.
pub(crate) fn progress(length: u64, what: &'static str) -> ProgressBar {
    say();
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}");
    let bar = ProgressBar::new(length).with_prefix(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Shows how far a measurement is, by a bar for each of its stages.
pub(crate) fn bars() -> impl Fn(Progress) + Sync {
    let current = Mutex::new(ProgressBar::hidden());
    move |progress| {
        let mut bar = current.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Stage { what, parts } => *bar = self::progress(parts, what),
            Progress::Part => bar.inc(1),
            Progress::Parts(done) => bar.set_position(done),
            Progress::About(what) => bar.set_message(what),
            Progress::Over => bar.finish_and_clear(),
        }
    }
}
