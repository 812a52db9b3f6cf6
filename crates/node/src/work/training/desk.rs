//! The thread that looks at what orders for trained models are about: it evaluates, trains and hashes for as long as that takes, and
//! reads and writes the library. Whoever votes waits for its word, not for it.

use std::{sync::mpsc as std_mpsc, thread};

use dtn_primitives::B256;
use dtn_trainer::{Blob, Brief, Library, Unmet};
use dtn_training::{Need, Order};
use tokio::sync::mpsc;

use crate::network::Remote;

/// What is to be done.
pub(crate) enum Job {
    /// Look whether the library has what a vote takes.
    Check {
        /// What it is told apart by.
        id: B256,
        /// What the order asks for.
        brief: Box<Brief>,
        /// Its state, if it has one already.
        order: Option<Box<Order>>,
        /// What it takes.
        need: Need,
    },
    /// Check that these bytes are a blob, and keep it.
    Keep {
        /// The order that it belongs to.
        order: B256,
        /// Which.
        blob: Blob,
        /// What somebody says that it is.
        bytes: Vec<u8>,
        /// Which peer, or a client.
        from: Option<Remote>,
    },
    /// Forget all that is of an order.
    Forget(B256),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Done {
    /// What a look has shown.
    Checked {
        /// What it is told apart by.
        id: B256,
        /// What it is.
        finding: Finding,
    },
    /// Whether bytes were what they should be.
    Kept {
        /// The order.
        order: B256,
        /// The blob.
        blob: Blob,
        /// Which peer gave it, or a client.
        from: Option<Remote>,
        /// Why not, if not.
        outcome: Result<(), String>,
    },
}

/// What a look has shown.
#[derive(Debug)]
pub(crate) enum Finding {
    /// All is here, and as it should be.
    Met,
    /// These have to be fetched first.
    Missing(Vec<Blob>),
    /// It is not as it should be.
    Wrong(String),
}

/// Whom to tell what is to be done. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Desk {
    jobs: std_mpsc::Sender<Job>,
}

impl Desk {
    /// Starts the thread, which reports to `done`.
    pub(crate) fn spawn(library: Library, done: mpsc::UnboundedSender<Done>) -> Self {
        let (jobs, waiting) = std_mpsc::channel();
        thread::spawn(move || {
            for job in waiting {
                let Some(report) = perform(job, &library) else { continue };
                if done.send(report).is_err() {
                    return;
                }
            }
        });
        Self { jobs }
    }

    pub(crate) fn ask(&self, job: Job) {
        // The thread is gone only if it has panicked, which the process's log shows; nothing is voted for then that needs it.
        self.jobs.send(job).ok();
    }
}

fn perform(job: Job, library: &Library) -> Option<Done> {
    match job {
        Job::Check { id, brief, order, need } => {
            let finding = match brief.check(order.as_deref(), &need, library) {
                Ok(()) => Finding::Met,
                Err(Unmet::Missing(blobs)) => Finding::Missing(blobs),
                Err(error) => Finding::Wrong(error.to_string()),
            };
            Some(Done::Checked { id, finding })
        }
        Job::Keep { order, blob, bytes, from } => {
            let checked = blob.check(&bytes).map_err(|error| error.to_string());
            let outcome = checked.and_then(|()| library.put(order, &blob, &bytes).map_err(|error| error.to_string()));
            Some(Done::Kept { order, blob, from, outcome })
        }
        Job::Forget(order) => {
            if let Err(error) = library.forget(order) {
                tracing::warn!(%order, %error, "what is of an order that is over could not be removed");
            }
            None
        }
    }
}
