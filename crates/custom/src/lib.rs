//! A trainer and a scorer of one's own, as commands: whatever trains, in whatever language, by a protocol of files and exit
//! codes. `docs/protocols/orders.md` has it in words.
//!
//! - A [`Tool`] is a program that is run with a folder: bounded in time, memory and disk, without what this process knows of
//!   secrets, and gone with all of its children when it is done.
//! - [`train`] gives a tool rows as CSV, and takes a model from it, as floats or exactly.
//! - [`score`] gives a tool what a model says of rows, and takes a number from it.
//!
//! What comes of a tool is whatever its author makes of it. Nothing that peers agree on is computed here: they evaluate the
//! model that is claimed, in integers.

mod codes;
mod error;
mod folder;
mod layers;
mod task;
mod tool;

pub use error::ToolError;
pub use folder::MAX_OUTPUT_BYTES;
pub use layers::{LayersError, MAX_JSON_BYTES, model_of_json};
pub use task::{Asked, Task, score, train};
pub use tool::Tool;
