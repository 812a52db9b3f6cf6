//! What training is: a family of models, its hyperparameters, and how long. Whatever costs too much is refused here, before
//! anything is trained.

use dtn_primitives::{
    B256,
    codec::{self, CodecError},
    keccak256,
};
use serde::{Deserialize, Serialize};

use crate::{
    data::{MAX_CLASSES, MAX_FEATURES, MAX_ROWS, Outline, Task},
    number::{Fraction, ONE},
};

/// Inputs of a layer and its bias, and rows of a batch: so many products of 50 bits stay below 2⁶².
pub const MAX_FAN_IN: usize = 1 << 12;
/// Weights and biases, or nodes and leaves, of a model.
pub const MAX_PARAMETERS: u64 = 1 << 17;
/// Multiplications of a training.
pub const MAX_MACS: u64 = 1 << 38;
/// Multiplications of a segment, which every peer repeats where it is disputed.
pub const MAX_SEGMENT_MACS: u64 = 1 << 29;
/// Multiplications to evaluate a model on all rows.
pub const MAX_EVALUATION_MACS: u64 = 1 << 30;
/// Segments of a run, so that a trace has at most 32 KiB.
pub const MAX_SEGMENTS: u64 = 960;
/// Bytes of all checkpoints of a run.
pub const MAX_CHECKPOINT_BYTES: u64 = 64 << 20;
/// Points of a grid.
pub const MAX_POINTS: usize = 256;
/// Hidden layers.
pub const MAX_HIDDEN_LAYERS: usize = 3;
/// Levels of a tree.
pub const MAX_DEPTH: u8 = 8;
/// Values of a feature that a tree tells apart.
pub const MAX_BINS: u8 = 64;
/// Bytes of an encoded recipe.
pub const MAX_RECIPE_BYTES: usize = 1536;

/// A kind of model, with what decides its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Family {
    /// Softmax regression for classes, least squares for numbers.
    Linear,
    /// A network with hidden layers of rectified linear units.
    Mlp {
        /// The units of each hidden layer, from the input on.
        hidden: Vec<u16>,
    },
    /// Boosted trees over histograms of integers.
    Gbdt {
        /// The levels of a tree.
        depth: u8,
        /// How many values of a feature are told apart.
        bins: u8,
    },
}

/// The values that a worker may choose from, a list for each hyperparameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// How far a step goes, above 0 and at most 1.
    pub learning_rate: Vec<Fraction>,
    /// How much of its velocity a weight keeps, below 1. Not of trees.
    #[serde(default)]
    pub momentum: Vec<Fraction>,
    /// How strongly weights are pulled to zero, at most 1; of trees, what is added to the weight of a leaf, above 0.
    #[serde(default)]
    pub l2: Vec<Fraction>,
    /// The part of the rows that a tree sees, above 0 and below 1: which rows those are makes a run its worker's. Only of
    /// trees.
    #[serde(default)]
    pub sample: Vec<Fraction>,
    /// The least weight of a leaf: of numbers its rows, of classes the sum of p·(1 - p). Only of trees.
    #[serde(default)]
    pub min_weight: Vec<Fraction>,
}

/// One value of each hyperparameter; zero of those that its family does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// See [`Grid::learning_rate`].
    pub learning_rate: Fraction,
    /// See [`Grid::momentum`].
    pub momentum: Fraction,
    /// See [`Grid::l2`].
    pub l2: Fraction,
    /// See [`Grid::sample`].
    pub sample: Fraction,
    /// See [`Grid::min_weight`].
    pub min_weight: Fraction,
}

impl Grid {
    fn axes(&self) -> [&[Fraction]; 5] {
        [&self.learning_rate, &self.momentum, &self.l2, &self.sample, &self.min_weight]
    }

    /// How many points it has.
    pub fn len(&self) -> usize {
        self.axes().iter().fold(1, |points: usize, axis| points.saturating_mul(axis.len().max(1)))
    }

    /// Whether there is nothing to choose, which no grid that is valid has.
    pub fn is_empty(&self) -> bool {
        self.learning_rate.is_empty()
    }

    /// The point of a number below [`Self::len`]: the last hyperparameter changes fastest.
    pub fn point(&self, number: usize) -> Option<Point> {
        let mut rest = (number < self.len()).then_some(number)?;
        let mut values = [Fraction(0); 5];
        for (axis, value) in self.axes().into_iter().zip(&mut values).rev() {
            *value = axis.get(rest % axis.len().max(1)).copied().unwrap_or_default();
            rest /= axis.len().max(1);
        }
        let [learning_rate, momentum, l2, sample, min_weight] = values;
        Some(Point { learning_rate, momentum, l2, sample, min_weight })
    }
}

/// What training is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The kind of model.
    pub family: Family,
    /// What a worker may choose.
    pub grid: Grid,
    /// How often each row is seen; of trees, how many rounds there are.
    pub epochs: u32,
    /// The rows of a step: a power of two, and 0 for trees, which see them all.
    #[serde(default)]
    pub batch: u16,
    /// After how many steps the state is hashed.
    pub segment_steps: u32,
}

/// Something of a recipe that has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`MAX_PARAMETERS`].
    Parameters,
    /// [`MAX_MACS`].
    Macs,
    /// [`MAX_SEGMENT_MACS`].
    SegmentMacs,
    /// [`MAX_EVALUATION_MACS`].
    EvaluationMacs,
    /// [`MAX_SEGMENTS`].
    Segments,
    /// [`MAX_CHECKPOINT_BYTES`].
    CheckpointBytes,
}

impl Limit {
    const fn most(self) -> u64 {
        match self {
            Self::Parameters => MAX_PARAMETERS,
            Self::Macs => MAX_MACS,
            Self::SegmentMacs => MAX_SEGMENT_MACS,
            Self::EvaluationMacs => MAX_EVALUATION_MACS,
            Self::Segments => MAX_SEGMENTS,
            Self::CheckpointBytes => MAX_CHECKPOINT_BYTES,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::Macs => "multiplications in all",
            Self::SegmentMacs => "multiplications a segment",
            Self::EvaluationMacs => "multiplications to evaluate it on these rows",
            Self::Segments => "segments",
            Self::CheckpointBytes => "bytes of checkpoints",
        }
    }
}

/// Why a recipe is none, or none for some data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// It costs too much.
    #[error("the recipe has {is} {}, {} more than the {} that are allowed", .limit.name(), .is - .limit.most(), .limit.most())]
    Above {
        /// What there is too much of.
        limit: Limit,
        /// How much there is.
        is: u64,
    },
    /// The grid has no point, or more than [`MAX_POINTS`].
    #[error("the grid has {0} points: give 1 to {MAX_POINTS}")]
    Points(usize),
    /// A value that a hyperparameter cannot have.
    #[error("{name} = {value}: give {range}")]
    Value {
        /// The hyperparameter.
        name: &'static str,
        /// Its value.
        value: Fraction,
        /// What it may be.
        range: &'static str,
    },
    /// A hyperparameter of another family.
    #[error("{name} is no hyperparameter of this family")]
    Foreign {
        /// The hyperparameter.
        name: &'static str,
    },
    /// A whole number that is out of its range.
    #[error("{name} = {value}: give {least} to {most}")]
    Range {
        /// What it is.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least that it may be.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A batch whose mean is no shift.
    #[error("batch = {0}: give a power of two up to {MAX_FAN_IN}, and no more than there are rows")]
    Batch(u16),
    /// A tree would see no row, or all of them.
    #[error("sample = {sample} of {rows} rows is none or all of them")]
    Sample {
        /// The part.
        sample: Fraction,
        /// The rows.
        rows: u32,
    },
}

/// The size of a model: what it takes in, what it gives, and how its numbers are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// What it tells.
    pub task: Task,
    /// Its features.
    pub inputs: u16,
    /// What is between.
    pub form: Form,
}

/// The two ways in which models are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Layers, with the units of the hidden ones.
    Dense(Vec<u16>),
    /// Trees, one for each output in each round.
    Boosted {
        /// Levels of a tree.
        depth: u8,
        /// Rounds.
        rounds: u32,
    },
}

impl Shape {
    /// Logits of a row.
    pub fn outputs(&self) -> usize {
        self.task.outputs()
    }

    /// The inputs without the bias, and the outputs, of each layer; none of trees.
    pub(crate) fn layers(&self) -> Vec<(usize, usize)> {
        let Form::Dense(hidden) = &self.form else { return Vec::new() };
        let hidden = hidden.iter().map(|units| usize::from(*units));
        let widths: Vec<_> = [self.inputs.into()].into_iter().chain(hidden).chain([self.outputs()]).collect();
        widths.windows(2).map(|pair| (pair[0], pair[1])).collect()
    }

    /// Its numbers.
    pub fn parameters(&self) -> u64 {
        match self.form {
            Form::Dense(_) => self.layers().into_iter().map(|(inputs, outputs)| macs(inputs, outputs)).sum(),
            Form::Boosted { depth, rounds } => self.trees(rounds) * ((2u64 << depth) - 1),
        }
    }

    /// The trees of so many rounds.
    fn trees(&self, rounds: u32) -> u64 {
        u64::from(rounds) * self.outputs() as u64
    }

    /// Multiplications to evaluate a row; of trees, comparisons.
    pub fn row_macs(&self) -> u64 {
        match self.form {
            Form::Dense(_) => self.parameters(),
            Form::Boosted { depth, rounds } => self.trees(rounds) * u64::from(depth),
        }
    }
}

/// The multiplications of a layer and a row, its bias among them.
fn macs(inputs: usize, outputs: usize) -> u64 {
    (inputs as u64 + 1) * outputs as u64
}

/// What a recipe means for some data: how long it takes and how large everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The model.
    pub shape: Shape,
    /// Steps of an epoch; of trees 1, a round.
    pub epoch_steps: u32,
    /// Steps in all.
    pub steps: u32,
    /// Segments in all; the last one may be shorter.
    pub segments: u32,
    /// Multiplications in all. Of trees, additions to histograms as if each level counted all of its rows, and candidates
    /// for splits, with the largest sample of the grid.
    pub macs: u64,
    /// Multiplications of a segment.
    pub segment_macs: u64,
    /// Bytes of a state at the end.
    pub state_bytes: u64,
}

impl Recipe {
    /// The bytes that are hashed and sent: postcard, in the order of the fields.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Self::encode`] has written.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_RECIPE_BYTES)
    }

    /// The hash of its encoding.
    pub fn hash(&self) -> B256 {
        keccak256(self.encode())
    }

    /// What it means for data, if it is valid and within all limits.
    pub fn plan(&self, data: Outline) -> Result<Plan, RecipeError> {
        range("features", data.features.into(), 1, MAX_FEATURES as u64)?;
        range("rows", data.rows.into(), 1, MAX_ROWS as u64)?;
        if let Task::Classes(classes) = data.task {
            range("classes", classes.into(), 2, MAX_CLASSES as u64)?;
        }
        self.check_family(data)?;
        self.check_grid()?;
        range("epochs", self.epochs.into(), 1, u32::MAX.into())?;
        range("segment_steps", self.segment_steps.into(), 1, u32::MAX.into())?;
        let shape = self.shape(data);
        below(Limit::Parameters, shape.parameters())?;
        let rows = u64::from(data.rows);
        let (epoch_steps, step_macs, replay_macs) = match &self.family {
            Family::Gbdt { depth, bins } => {
                let sampled = self.largest_sample(data.rows)?;
                let candidates = ((1u64 << depth) - 1) * u64::from(*bins);
                let per_output = u64::from(data.features) * (sampled * u64::from(*depth) + candidates);
                (1, shape.outputs() as u64 * per_output, rows.saturating_mul(shape.row_macs()))
            }
            _ => {
                let layers = shape.layers();
                let forward_and_gradient = 2 * shape.parameters();
                let back: u64 = layers[1..].iter().map(|(inputs, outputs)| (inputs * outputs) as u64).sum();
                let batch = u64::from(self.batch);
                ((rows / batch) as u32, batch * (forward_and_gradient + back), 0)
            }
        };
        let steps = u64::from(self.epochs) * u64::from(epoch_steps);
        range("steps", steps, 1, u32::MAX.into())?;
        let macs = steps.saturating_mul(step_macs);
        below(Limit::Macs, macs)?;
        let segments = steps.div_ceil(self.segment_steps.into());
        below(Limit::Segments, segments)?;
        let segment_macs = steps.min(self.segment_steps.into()) * step_macs + replay_macs;
        below(Limit::SegmentMacs, segment_macs)?;
        below(Limit::EvaluationMacs, rows.saturating_mul(shape.row_macs()))?;
        let (state_bytes, checkpoints) = match shape.form {
            Form::Dense(_) => (8 + 12 * shape.parameters(), segments + 1),
            // A state is the beginning of the next one.
            Form::Boosted { .. } => (8 + 4 * shape.parameters(), 1),
        };
        below(Limit::CheckpointBytes, state_bytes * checkpoints)?;
        let (steps, segments) = (steps as u32, segments as u32);
        Ok(Plan { shape, epoch_steps, steps, segments, macs, segment_macs, state_bytes })
    }

    fn shape(&self, data: Outline) -> Shape {
        let form = match &self.family {
            Family::Linear => Form::Dense(Vec::new()),
            Family::Mlp { hidden } => Form::Dense(hidden.clone()),
            Family::Gbdt { depth, .. } => Form::Boosted { depth: *depth, rounds: self.epochs },
        };
        Shape { task: data.task, inputs: data.features, form }
    }

    fn check_family(&self, data: Outline) -> Result<(), RecipeError> {
        match &self.family {
            Family::Gbdt { depth, bins } => {
                range("depth", (*depth).into(), 1, MAX_DEPTH.into())?;
                range("bins", (*bins).into(), 2, MAX_BINS.into())?;
                range("batch", self.batch.into(), 0, 0)
            }
            family => {
                if let Family::Mlp { hidden } = family {
                    range("hidden layers", hidden.len() as u64, 1, MAX_HIDDEN_LAYERS as u64)?;
                    let most = MAX_FAN_IN as u64 - 1;
                    hidden.iter().try_for_each(|units| range("hidden units", (*units).into(), 1, most))?;
                }
                let fits = self.batch.is_power_of_two() && u32::from(self.batch) <= data.rows.min(MAX_FAN_IN as u32);
                if fits { Ok(()) } else { Err(RecipeError::Batch(self.batch)) }
            }
        }
    }

    fn check_grid(&self) -> Result<(), RecipeError> {
        let grid = &self.grid;
        let points = if grid.is_empty() { 0 } else { grid.len() };
        if points == 0 || points > MAX_POINTS {
            return Err(RecipeError::Points(points));
        }
        let one = ONE as u32;
        within("learning_rate", &grid.learning_rate, 1..=one, "more than 0 and at most 1")?;
        if matches!(self.family, Family::Gbdt { .. }) {
            within("l2", &grid.l2, 1..=u32::MAX, "more than 0")?;
            within("sample", &grid.sample, 1..=one - 1, "more than 0 and less than 1")?;
            absent("momentum", &grid.momentum)?;
            let missing = if grid.l2.is_empty() { Some("l2") } else { grid.sample.is_empty().then_some("sample") };
            let value = Fraction(0);
            missing.map_or(Ok(()), |name| Err(RecipeError::Value { name, value, range: "a value" }))
        } else {
            within("momentum", &grid.momentum, 0..=one - 1, "0 or more and less than 1")?;
            within("l2", &grid.l2, 0..=one, "0 to 1")?;
            absent("sample", &grid.sample)?;
            absent("min_weight", &grid.min_weight)
        }
    }

    /// The most rows that a tree sees, if none sees none or all of them.
    fn largest_sample(&self, rows: u32) -> Result<u64, RecipeError> {
        let mut most = 0;
        for sample in &self.grid.sample {
            let sampled = sampled_rows(*sample, rows);
            if sampled == 0 {
                return Err(RecipeError::Sample { sample: *sample, rows });
            }
            most = most.max(sampled);
        }
        Ok(most.into())
    }
}

/// How many of the rows a tree sees, rounded down: never all of them.
pub(crate) fn sampled_rows(sample: Fraction, rows: u32) -> u32 {
    ((u64::from(rows) * u64::from(sample.0)) >> 16) as u32
}

fn below(limit: Limit, is: u64) -> Result<(), RecipeError> {
    if is <= limit.most() { Ok(()) } else { Err(RecipeError::Above { limit, is }) }
}

fn range(name: &'static str, value: u64, least: u64, most: u64) -> Result<(), RecipeError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(RecipeError::Range { name, value, least, most }) }
}

fn within(
    name: &'static str,
    values: &[Fraction],
    allowed: std::ops::RangeInclusive<u32>,
    range: &'static str,
) -> Result<(), RecipeError> {
    match values.iter().find(|value| !allowed.contains(&value.0)) {
        Some(value) => Err(RecipeError::Value { name, value: *value, range }),
        None => Ok(()),
    }
}

fn absent(name: &'static str, values: &[Fraction]) -> Result<(), RecipeError> {
    if values.is_empty() { Ok(()) } else { Err(RecipeError::Foreign { name }) }
}
