//! What is claimed, and how it comes about: by the recipe, or by a trainer of one's own.

use std::{cmp::Ordering, ops::ControlFlow, sync::Arc, time::Duration};

use dtn_custom::{Asked, Task as ToolTask, Tool, score, train};
use dtn_files::FileError;
use dtn_primitives::{Address, B256};
use dtn_train::Model;
use dtn_trainer::{Blob, Library, Trained};
use dtn_training::{Grade, Proof, Reveal};

use crate::{
    Participant, ParticipantError,
    work::{Task, now_ms},
};

/// What is claimed.
#[derive(Debug)]
pub(crate) enum Made {
    /// A run, with its trace.
    Run(Box<Trained>),
    /// A model, of which nobody asks how it came about.
    Model(Model),
}

/// What is best of all that was trained.
#[derive(Debug)]
pub(crate) struct Best {
    pub(crate) made: Made,
    /// How good it is on the rows that everybody knows.
    pub(crate) grade: Grade,
    /// What one's own scorer says of it.
    number: Option<f64>,
}

impl Made {
    fn model(&self) -> &Model {
        match self {
            Self::Run(run) => &run.model,
            Self::Model(model) => model,
        }
    }

    /// What its worker commits to.
    pub(crate) fn reveal(&self, payee: Address) -> Reveal {
        match self {
            Self::Run(run) => run.reveal(payee),
            Self::Model(model) => Reveal { model: model.root(), trace: B256::ZERO, point: 0, attempt: 0, payee },
        }
    }

    /// Puts all of it where others can fetch it.
    pub(crate) fn keep(&self, order: B256, library: &Library) -> Result<(), FileError> {
        match self {
            Self::Run(run) => run.keep(library),
            Self::Model(model) => library.put(order, &Blob::Model(model.root()), &model.encode()),
        }
    }
}

impl Best {
    fn is_better_than(&self, other: &Self) -> bool {
        match (self.number, other.number) {
            (Some(mine), Some(others)) => mine.total_cmp(&others) == Ordering::Greater,
            _ => self.grade.rank() > other.grade.rank(),
        }
    }
}

impl Participant {
    /// Trains for an order until a time in milliseconds since the Unix epoch, and gives the best. Nothing if that was too short.
    pub(crate) async fn make(
        &self,
        task: &Arc<Task>,
        worker: Address,
        until_ms: u64,
    ) -> Result<Option<Best>, ParticipantError> {
        let proof = &task.brief.terms.proof;
        if let (Proof::Score { .. }, Some(trainer)) = (proof, &self.options.tools.trainer) {
            let made = self.by_trainer(task, trainer, until_ms).await?;
            return self.judge(task, made, until_ms).await.map(Some);
        }
        let points = self.options.points.min(proof.material().recipe.grid.len() as u16);
        let mut best: Option<Best> = None;
        for point in 0..points {
            let run = move |task: &Task, library: &Library| {
                let go_on = |_| if now_ms() < until_ms { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
                task.brief.train(point, (worker, 0), library, go_on)
            };
            let Some(trained) = self.shop.compute(task, run).await? else { break };
            let made = match proof {
                Proof::Trace(_) => Made::Run(Box::new(trained)),
                Proof::Score { .. } => Made::Model(trained.model),
            };
            let next = self.judge(task, made, until_ms).await?;
            if best.as_ref().is_none_or(|best| next.is_better_than(best)) {
                best = Some(next);
            }
        }
        Ok(best)
    }

    async fn by_trainer(&self, task: &Arc<Task>, tool: &Tool, until_ms: u64) -> Result<Made, ParticipantError> {
        let _turn = self.shop.tools.acquire().await;
        let rows = self.shop.compute(task, |task, library| task.brief.rows(library)).await?;
        let order = task.id();
        let work = self.at_work(task, tool, "trainer", until_ms)?;
        let terms = &task.brief.terms;
        let asked = Asked {
            order: Some(order),
            recipe: *terms.proof.material().recipe.clone(),
            baseline: Some(terms.deal.baseline),
            max_row_macs: task.brief.row_macs()?,
        };
        let model = train(&work, &asked, rows, |line| tracing::info!(%order, "trainer: {line}")).await?;
        Ok(Made::Model(model))
    }

    /// How good something is by the rows that everybody knows, and by one's own scorer on these.
    async fn judge(&self, task: &Arc<Task>, made: Made, until_ms: u64) -> Result<Best, ParticipantError> {
        let model = made.model().clone();
        let look = move |task: &Task, library: &Library| task.brief.on_the_fold(&model, library);
        let grade = self.shop.compute(task, look).await?;
        let Some(scorer) = &self.options.tools.scorer else { return Ok(Best { made, grade, number: None }) };
        let _turn = self.shop.tools.acquire().await;
        let (_, fold) = self.shop.compute(task, |task, library| task.brief.rows(library)).await?;
        let order = task.id();
        let work = self.at_work(task, scorer, "scorer", until_ms)?;
        let number = score(&work, made.model(), fold, |line| tracing::info!(%order, "scorer: {line}")).await?;
        Ok(Best { made, grade, number: Some(number) })
    }

    fn at_work(&self, task: &Task, tool: &Tool, name: &str, until_ms: u64) -> Result<ToolTask, ParticipantError> {
        let time = Duration::from_millis(until_ms.saturating_sub(now_ms()));
        if time.is_zero() {
            return Err(ParticipantError::NoTime);
        }
        Ok(ToolTask { tool: tool.clone(), folder: self.folder.work(task.id(), name), time })
    }
}
