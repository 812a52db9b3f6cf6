//! Training in integers: what one machine has trained, any other can repeat to the last bit, as a whole or a segment at a
//! time.
//!
//! - A [`Dataset`] has features and labels, read from CSV by [`Import`] or [`shipped`] with the program.
//! - A [`Recipe`] says what training is; whatever costs too much is refused by [`Recipe::plan`].
//! - An [`Origin`] binds a run to who trains: its seed decides the initial weights and the order of the rows.
//! - [`train`] gives a [`Model`] and a [`Manifest`], which holds the hash of each state at the end of a segment;
//!   [`Manifest::check`] repeats all of it, [`Manifest::check_segment`] one segment.
//! - An [`Evaluation`] is what a model says of rows, and its [`Score`].
//!
//! Sums of integers are the same in any order, so that neither vectors nor threads nor the compiler change a bit; there is no
//! float here, no clock and nothing that differs between machines. What is computed is specified in
//! `docs/protocols/training.md`, for other languages to follow.

mod codes;
pub mod data;
mod dense;
mod gbdt;
mod model;
mod number;
mod random;
mod recipe;
mod run;
mod score;
mod trace;
mod wire;

pub use data::{Dataset, Holdout, Import, Imported, LabelColumn, Outline, Scaling, Task, shipped};
pub use model::{MAX_MODEL_BYTES, Model, OtherShape};
pub use number::{FEATURE_ONE, Fraction, MAX_ACTIVATION, MAX_VELOCITY, MAX_WEIGHT, NoFraction, ONE};
pub use random::{Origin, shuffle};
pub use recipe::{
    Family, Form, Grid, Limit, MAX_BINS, MAX_CHECKPOINT_BYTES, MAX_DEPTH, MAX_EVALUATION_MACS, MAX_FAN_IN,
    MAX_HIDDEN_LAYERS, MAX_MACS, MAX_PARAMETERS, MAX_POINTS, MAX_RECIPE_BYTES, MAX_SEGMENT_MACS, MAX_SEGMENTS, Plan,
    Point, Recipe, RecipeError, Shape,
};
pub use run::{Job, JobError, Run, StateError};
pub use score::{Evaluation, Score};
pub use trace::{Fault, MAX_MANIFEST_BYTES, Manifest, Progress, audit_statement, state_hash, trace_root, train};
pub use wire::WireError;
