//! How a command ends that somebody ends before it is done: by Ctrl-C, or by a signal.
//!
//! The exit codes stay those of every other failure, and what a command has begun to tidy up it tidies up.

use std::{
    future, io, process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use dtn_chain::codes::Code;
use dtn_peer::StopSignals;
use serde_json::Value;

use crate::{args::Manner, failure};

/// How long a command that keeps its thread busy is waited for.
const GRACE: Duration = Duration::from_millis(500);

/// Somebody has ended the command before it was done.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

impl Interrupted {
    /// Its code.
    pub(crate) fn code(&self) -> Code {
        ("interrupted", Value::Null)
    }
}

/// Whether the command sees to its end itself.
static IS_AWAITED: AtomicBool = AtomicBool::new(false);

/// Completes when the process is asked to end. From this call on, whoever calls sees to the end.
pub(crate) fn asked() -> impl Future<Output = io::Result<()>> {
    IS_AWAITED.store(true, Relaxed);
    let signals = StopSignals::new();
    async move {
        signals?.next().await;
        Ok(())
    }
}

/// What comes of something, unless the process is asked to end before.
pub(crate) async fn unless_asked<T>(doing: impl Future<Output = Result<T>>) -> Result<T> {
    let asked = asked();
    tokio::select! {
        biased;
        done = doing => done,
        asked = asked => {
            asked?;
            Err(Interrupted.into())
        }
    }
}

/// Follows something until the process is asked to end, which is how following ends.
pub(crate) async fn until_asked(following: impl Future<Output = Result<()>>) -> Result<()> {
    let asked = asked();
    tokio::select! {
        biased;
        ended = following => ended,
        asked = asked => Ok(asked?),
    }
}

/// Runs a command, which fails when the process is asked to end and it does not see to that itself.
pub(crate) async fn run(command: impl Future<Output = Result<()>>, manner: &Manner) -> Result<()> {
    // One that keeps its thread busy hears nothing of it.
    let manner = manner.clone();
    let beside = tokio::spawn(async move {
        asked_of_nobody().await;
        tokio::time::sleep(GRACE).await;
        failure::end(&Interrupted.into(), &manner);
        process::exit(1)
    });
    let ended = tokio::select! {
        biased;
        ended = command => ended,
        () = asked_of_nobody() => Err(Interrupted.into()),
    };
    beside.abort();
    ended
}

/// Completes when the process is asked to end and nobody else waits for that.
async fn asked_of_nobody() {
    let Ok(mut signals) = StopSignals::new() else { return future::pending().await };
    loop {
        signals.next().await;
        if !IS_AWAITED.load(Relaxed) {
            return;
        }
    }
}
