//! A training: from a seed to a model in segments, of which each can be repeated by itself.

use dtn_primitives::B256;

use crate::{
    data::Dataset,
    dense::Descent,
    gbdt::{Bins, Boosting},
    model::{Body, Model, write_layers, write_trees},
    number::MAX_VELOCITY,
    recipe::{Family, Form, Plan, Point, Recipe, RecipeError},
    wire::{Reader, WireError},
};

/// What is to be trained: a recipe at a point of its grid, data and a seed. From these there is exactly one run.
#[derive(Debug)]
pub struct Job<'a> {
    data: &'a Dataset,
    plan: Plan,
    point: Point,
    seed: B256,
    batch: usize,
    segment_steps: u32,
    /// Of trees.
    bins: Option<Bins>,
}

/// Why something is no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The recipe does not allow it.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The grid has no such point.
    #[error("the grid has no point {point}: its points are 0 to {}", .points - 1)]
    Point {
        /// The point.
        point: u16,
        /// How many there are.
        points: usize,
    },
}

/// Why bytes are no state of a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// They are no state of its shape.
    #[error("no state of this training: {0}")]
    Wire(#[from] WireError),
    /// They are of a step at which no segment begins or ends.
    #[error("the state is that after step {0}, at which no segment ends")]
    Step(u64),
}

impl<'a> Job<'a> {
    /// Checks everything that can be wrong.
    pub fn new(recipe: &Recipe, point: u16, data: &'a Dataset, seed: B256) -> Result<Self, JobError> {
        let plan = recipe.plan(data.outline())?;
        let points = recipe.grid.len();
        let point = recipe.grid.point(point.into()).ok_or(JobError::Point { point, points })?;
        let bins = match recipe.family {
            Family::Gbdt { bins, .. } => Some(Bins::new(data, bins)),
            _ => None,
        };
        let (batch, segment_steps) = (recipe.batch.into(), recipe.segment_steps);
        Ok(Self { data, plan, point, seed, batch, segment_steps, bins })
    }

    /// How long it takes and how large everything is.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The values of its hyperparameters.
    pub fn point(&self) -> Point {
        self.point
    }

    /// The step after which a segment begins: 0 for the first, the number of steps after the last.
    fn boundary(&self, segment: u32) -> u32 {
        self.plan.steps.min(segment.saturating_mul(self.segment_steps))
    }
}

/// A training under way, at the beginning of a segment or at the end.
#[derive(Debug)]
pub struct Run<'a> {
    job: &'a Job<'a>,
    segment: u32,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Dense(Box<Descent>),
    Boosted(Boosting),
}

impl<'a> Run<'a> {
    /// At the beginning, as the seed has it.
    pub fn start(job: &'a Job<'a>) -> Self {
        let machine = match job.plan.shape.form {
            Form::Dense(_) => Machine::Dense(Box::new(Descent::start(&job.plan.shape, job.seed))),
            Form::Boosted { .. } => Machine::Boosted(Boosting::resume(Vec::new(), job.data)),
        };
        Self { job, segment: 0, machine }
    }

    /// At a state that [`Self::state`] gave. What was trained before it is not looked at.
    pub fn resume(job: &'a Job<'a>, state: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(state, job.plan.state_bytes as usize)?;
        let step = reader.last_u64()?;
        let segment = u32::try_from(step).ok().map(|step| step.div_ceil(job.segment_steps));
        let segment = segment.filter(|segment| u64::from(job.boundary(*segment)) == step);
        let (segment, shape) = (segment.ok_or(StateError::Step(step))?, &job.plan.shape);
        let machine = match Body::read(&mut reader, shape, step as u32)? {
            Body::Dense(layers) => {
                let mut velocity = || match reader.i64()? {
                    velocity if velocity.unsigned_abs() <= MAX_VELOCITY as u64 => Ok(velocity),
                    _ => Err(WireError::Value("a velocity")),
                };
                let of_layer = |layer: &crate::dense::Layer| (0..layer.weights.len()).map(|_| velocity()).collect();
                let velocities = layers.iter().map(of_layer).collect::<Result<_, _>>()?;
                Machine::Dense(Box::new(Descent::resume(layers, velocities)))
            }
            Body::Boosted(trees) => Machine::Boosted(Boosting::resume(trees, job.data)),
        };
        reader.expect(0)?;
        Ok(Self { job, segment, machine })
    }

    /// At the beginning of a segment, or at the end, after training all before it.
    pub fn up_to(job: &'a Job<'a>, segment: u32) -> Self {
        let mut run = Self::start(job);
        while run.segment < segment && !run.is_over() {
            run.advance();
        }
        run
    }

    /// The segment that comes next, which is how many there are if all is done.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// Whether there is no segment left.
    pub fn is_over(&self) -> bool {
        self.segment == self.job.plan.segments
    }

    /// The state: the model's numbers, of layers the velocities of all weights, and how many steps were taken, little-endian.
    pub fn state(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.job.plan.state_bytes as usize);
        match &self.machine {
            Machine::Dense(descent) => {
                write_layers(&descent.layers, &mut bytes);
                let velocities = descent.velocities.iter().flatten();
                bytes.extend(velocities.flat_map(|velocity| velocity.to_le_bytes()));
            }
            Machine::Boosted(boosting) => write_trees(&boosting.trees, &mut bytes),
        }
        bytes.extend(u64::from(self.job.boundary(self.segment)).to_le_bytes());
        bytes
    }

    /// Trains one segment, if one is left.
    pub fn advance(&mut self) {
        self.steps(|_| {});
    }

    /// The same, and tells the witness of the segment: the BLAKE3 hash of the errors p - y of all its steps, before each, as
    /// numbers of four bytes, little-endian. Nothing that is published shows it, so who knows it has done the work.
    pub fn audit(&mut self) -> B256 {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = Vec::new();
        self.steps(|errors| {
            bytes.clear();
            bytes.extend(errors.iter().flat_map(|error| error.to_le_bytes()));
            hasher.update(&bytes);
        });
        B256::from(*hasher.finalize().as_bytes())
    }

    fn steps(&mut self, mut each: impl FnMut(&[i32])) {
        if self.is_over() {
            return;
        }
        let Job { data, plan, point, seed, batch, .. } = self.job;
        for step in self.job.boundary(self.segment)..self.job.boundary(self.segment + 1) {
            match (&mut self.machine, &plan.shape.form, &self.job.bins) {
                (Machine::Dense(descent), ..) => {
                    let place = (step / plan.epoch_steps, step % plan.epoch_steps);
                    each(descent.step(data, *seed, place, *batch, point));
                }
                (Machine::Boosted(boosting), Form::Boosted { depth, .. }, Some(bins)) => {
                    each(boosting.step(data, bins, *seed, step, *depth, point));
                }
                // A job has bins exactly if its shape is of trees.
                _ => {}
            }
        }
        self.segment += 1;
    }

    /// The model as it is now; of trees, one of the rounds until now.
    pub fn model(&self) -> Model {
        let mut shape = self.job.plan.shape.clone();
        let body = match &self.machine {
            Machine::Dense(descent) => Body::Dense(descent.layers.clone()),
            Machine::Boosted(boosting) => Body::Boosted(boosting.trees.clone()),
        };
        if let Form::Boosted { rounds, .. } = &mut shape.form {
            *rounds = self.job.boundary(self.segment);
        }
        Model::new(shape, body)
    }
}
