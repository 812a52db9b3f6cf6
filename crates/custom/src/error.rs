//! Why nothing came of a tool.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use dtn_files::FileError;
use dtn_train::{OtherShape, WireError};
use dtn_trainer::Unmet;

use crate::LayersError;

/// Why nothing came of a tool.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// There is no such program.
    #[error("there is no program {}: {source}", program.display())]
    Absent {
        /// Where it should be.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a folder, or nobody may run it.
    #[error("{} is no program that can be run: it has to be a file that is executable (chmod +x)", .0.display())]
    NotExecutable(PathBuf),
    /// It cannot be started, or not be waited for.
    #[error("{} cannot be run: {source}", program.display())]
    Run {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says that it has failed, or was killed.
    #[error("{} ended with {status}{}", program.display(), last_words(.last))]
    Failed {
        /// Which.
        program: PathBuf,
        /// How.
        status: ExitStatus,
        /// The last line that it has written to its standard error.
        last: Option<String>,
    },
    /// It took too long, and was killed.
    #[error("{} was ended after {} s, which was all the time there was", program.display(), .after.as_secs())]
    TooLong {
        /// Which.
        program: PathBuf,
        /// How long it ran.
        after: Duration,
    },
    /// It wrote too much into its folder, and was killed.
    #[error("{} was ended: it wrote more than {most} bytes, or too many files, into its folder", program.display())]
    TooMuch {
        /// Which.
        program: PathBuf,
        /// The most bytes.
        most: u64,
    },
    /// It has written no model.
    #[error("{} ended well, and wrote neither model.json nor model.dtm into its folder", .0.display())]
    NoModel(PathBuf),
    /// What it has written as model.json is none.
    #[error("model.json of {}: {source}", program.display())]
    Layers {
        /// Whose.
        program: PathBuf,
        /// Why.
        source: LayersError,
    },
    /// What it has written as model.dtm is none.
    #[error("model.dtm of {}: {source}", program.display())]
    Wire {
        /// Whose.
        program: PathBuf,
        /// Why.
        source: WireError,
    },
    /// Its model is not one for the order.
    #[error("the model of {} cannot be claimed: {source}", program.display())]
    Unfit {
        /// Whose.
        program: PathBuf,
        /// Why.
        source: Unmet,
    },
    /// A model is not for the rows that it is to be scored on.
    #[error(transparent)]
    Model(#[from] OtherShape),
    /// It has not said a number.
    #[error("the last line that {} wrote to its standard output is {said:?}, and no number", program.display())]
    NoNumber {
        /// Which.
        program: PathBuf,
        /// What it has said.
        said: String,
    },
    /// A file of its folder.
    #[error("{}", with_source(.0))]
    File(#[from] FileError),
}

fn last_words(last: &Option<String>) -> String {
    last.as_ref().map_or_else(String::new, |last| format!(": {last}"))
}

fn with_source(error: &FileError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
