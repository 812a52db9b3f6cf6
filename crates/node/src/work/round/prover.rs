//! Does this peer's work of rounds, and checks that of others, on threads of its own: the core only hears of the ends.

use std::{
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use dtn_aow::{Delay, Element, ProofError, Security, Start, Trace};
use dtn_primitives::B128;
use tokio::sync::mpsc;

/// What proofs of rounds must show, the same in every network.
pub const ROUND_SECURITY: Security = Security::Proven128;

/// Work that is done and proven.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) round: u64,
    pub(crate) result: B128,
    pub(crate) proof: Vec<u8>,
    pub(crate) started_at_us: u64,
    pub(crate) compute_us: u64,
    pub(crate) prove_us: u64,
}

/// What is known of a proof.
#[derive(Debug)]
pub(crate) struct Verdict<T> {
    /// What the proof is of, as it was handed in.
    pub(crate) subject: T,
    pub(crate) proof: Vec<u8>,
    pub(crate) outcome: Result<(), ProofError>,
    pub(crate) verify_us: u64,
}

/// The work of one round. Dropping it ends it at once.
#[derive(Debug)]
pub(crate) struct Work {
    round: u64,
    cancelled: Arc<AtomicBool>,
}

impl Work {
    /// Begins with the steps and goes on with the proof, on so many threads. Reports the end unless it is dropped before.
    ///
    /// With `half` it does half of the steps and proves those, as a peer would that hopes to get away with it.
    pub(crate) fn begin(
        start: Start,
        half: bool,
        threads: NonZeroUsize,
        finished: mpsc::UnboundedSender<Finished>,
    ) -> Self {
        let cancelled = Arc::new(AtomicBool::new(false));
        let (round, flag) = (start.round, cancelled.clone());
        thread::spawn(move || match work(&start, half, threads, &flag) {
            // Nobody listens only when the node has stopped.
            Ok(work) if !flag.load(Ordering::Relaxed) => drop(finished.send(work)),
            Ok(_) | Err(WorkError::Proof(ProofError::Cancelled)) => {}
            Err(error) => tracing::error!(round, %error, "the work of the round failed"),
        });
        Self { round, cancelled }
    }

    /// The round that it is for.
    pub(crate) fn round(&self) -> u64 {
        self.round
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("threads for the proof: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

fn work(start: &Start, half: bool, threads: NonZeroUsize, cancelled: &AtomicBool) -> Result<Finished, WorkError> {
    let steps = if half { (start.steps / 2).max(1) } else { start.steps };
    let started_at_us = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros().try_into().unwrap_or(u64::MAX));
    let began = Instant::now();
    let go_on = |_| if cancelled.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let trace = Trace::run(Delay::default(), start.element(), steps, go_on)?;
    let (compute_us, result) = (began.elapsed().as_micros() as u64, B128::new(trace.result().to_bytes()));
    let began = Instant::now();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build()?;
    let proof = pool.install(|| trace.prove(start.context(), ROUND_SECURITY))?;
    let prove_us = began.elapsed().as_micros() as u64;
    Ok(Finished { round: start.round, result, proof, started_at_us, compute_us, prove_us })
}

/// Checks proofs one after the other on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Verifier<T> {
    jobs: std_mpsc::Sender<(T, Start, B128, Vec<u8>)>,
}

impl<T: Send + 'static> Verifier<T> {
    /// A verifier that reports to `verdicts`.
    pub(crate) fn spawn(verdicts: mpsc::UnboundedSender<Verdict<T>>) -> Self {
        let (jobs, waiting) = std_mpsc::channel::<(T, Start, B128, Vec<u8>)>();
        thread::spawn(move || {
            for (subject, start, result, proof) in waiting {
                let began = Instant::now();
                let outcome = check(&start, result, &proof);
                let verify_us = began.elapsed().as_micros() as u64;
                if verdicts.send(Verdict { subject, proof, outcome, verify_us }).is_err() {
                    return;
                }
            }
        });
        Self { jobs }
    }

    /// Has a proof checked: that the steps which begin where the round, the node and the network say lead to a result.
    pub(crate) fn check(&self, subject: T, start: Start, result: B128, proof: Vec<u8>) {
        // The thread is gone only if it has panicked, which the process's log shows; the proof then stays unverified.
        self.jobs.send((subject, start, result, proof)).ok();
    }
}

fn check(start: &Start, result: B128, proof: &[u8]) -> Result<(), ProofError> {
    let result = Element::from_bytes(result.0).ok_or(ProofError::NotAnElement("the result"))?;
    dtn_aow::verify(&start.statement(result), ROUND_SECURITY, proof)
}
