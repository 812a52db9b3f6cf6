//! What an order asks for, and everything that a peer can find out about its claims by itself.

use std::ops::ControlFlow;

use dtn_files::FileError;
use dtn_primitives::{Address, B256, codec};
use dtn_train::{
    Dataset, Evaluation, Fault, JobError, Manifest, Model, Origin, OtherShape, Outline, Progress, Recipe, Shape, Task,
    WireError, audit_statement, data::DataError, state_hash, train,
};
use dtn_training::{Call, Grade, Grades, Material, Need, Order, Proof, Reveal, Stage, Subject, Table, Terms, Verdict};

use crate::{
    Blob, Library,
    blob::states_of,
    holdout::{Opening, OpeningError},
};

/// What an order asks for, and what binds its runs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// The network.
    pub network: B256,
    /// The hash of the block that opened it; zeros while it is in none.
    pub block: B256,
    /// The order.
    pub id: B256,
    /// What was agreed.
    pub terms: Terms,
}

/// A run that is done.
#[derive(Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// Its trace.
    pub manifest: Manifest,
    /// The state at the beginning of each segment.
    pub states: Vec<Vec<u8>>,
}

/// What a peer finds of a claim.
#[derive(Debug)]
pub struct Found {
    /// Which.
    pub claim: u8,
    /// What it is worth.
    pub grades: Grades,
    evaluation: Evaluation,
    commitment: B256,
}

impl Found {
    /// What a member has to state of it.
    pub fn statement(&self, order: B256, member: Address) -> B256 {
        self.evaluation.statement(order, self.commitment, member)
    }
}

/// Why something is not found out.
#[derive(Debug, thiserror::Error)]
pub enum Unmet {
    /// These are not here.
    #[error("{} of what it takes are not here", .0.len())]
    Missing(Vec<Blob>),
    /// What is here is not what the order or the claim says.
    #[error("{0}")]
    Other(&'static str),
    /// The opened rows show nothing.
    #[error(transparent)]
    Rows(#[from] OpeningError),
    /// A model is for other rows.
    #[error(transparent)]
    Model(#[from] OtherShape),
    /// A model takes more multiplications than the order pays for.
    #[error("the model takes {is} multiplications a row, and the order {most} at most")]
    Large {
        /// What it takes.
        is: u64,
        /// The most.
        most: u64,
    },
    /// The bytes of a model are none.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The bytes of data are none.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The recipe is none for the data.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A manifest is none.
    #[error(transparent)]
    Manifest(#[from] Fault),
    /// The order has no such claim, member, segment or trace.
    #[error("the order has no such {0}")]
    Unknown(&'static str),
    /// The library cannot be read or written.
    #[error(transparent)]
    Library(#[from] FileError),
}

/// A claim as it was revealed, with its commitment, which statements name.
struct Revealed {
    worker: Address,
    reveal: Reveal,
    commitment: B256,
}

impl Brief {
    /// What a trace is of.
    fn trace(&self) -> Result<(&Recipe, Table), Unmet> {
        match &self.terms.proof {
            Proof::Trace(Material { recipe, data, .. }) => Ok((recipe, *data)),
            Proof::Score { .. } => Err(Unmet::Unknown("trace")),
        }
    }

    /// Whether a model is one for the order's rows, and takes no more multiplications than the order pays for.
    pub fn admits(&self, model: &Model) -> Result<(), Unmet> {
        admit(model, (self.terms.deal.task(), self.terms.proof.material().features), self.row_macs()?)
    }

    /// The most multiplications that a model may take for a row.
    pub fn row_macs(&self) -> Result<u64, Unmet> {
        match &self.terms.proof {
            Proof::Score { row_macs, .. } => Ok(*row_macs),
            Proof::Trace(Material { recipe, data, features, .. }) => {
                let outline = Outline { task: self.terms.deal.task(), features: *features, rows: data.rows };
                Ok(recipe.plan(outline).map_err(JobError::from)?.shape.row_macs())
            }
        }
    }

    /// The rows to learn from, and those that everybody knows to score by.
    pub fn rows(&self, library: &Library) -> Result<(Dataset, Dataset), Unmet> {
        let Material { data, fold, .. } = self.terms.proof.material();
        let missing: Vec<_> = [data, fold].map(|table| Blob::Data(table.root)).into();
        let missing: Vec<_> = missing.into_iter().filter(|blob| !library.has(self.id, blob)).collect();
        if !missing.is_empty() {
            return Err(Unmet::Missing(missing));
        }
        Ok((self.data(library, *data)?, self.data(library, *fold)?))
    }

    fn bytes(&self, library: &Library, blob: Blob) -> Result<Vec<u8>, Unmet> {
        library.get(self.id, &blob)?.ok_or_else(|| Unmet::Missing(vec![blob]))
    }

    fn data(&self, library: &Library, table: Table) -> Result<Dataset, Unmet> {
        let data = Dataset::decode(&self.bytes(library, Blob::Data(table.root))?)?;
        if data.outline().rows == table.rows { Ok(data) } else { Err(Unmet::Other("the data has other rows")) }
    }

    fn model(&self, library: &Library, root: B256) -> Result<Model, Unmet> {
        Ok(Model::decode(&self.bytes(library, Blob::Model(root))?)?)
    }

    fn origin(&self, worker: Address, attempt: u16) -> Origin {
        Origin { network: self.network, block: self.block, order: self.id, worker, attempt }
    }

    fn claim(&self, order: &Order, number: u8) -> Result<Revealed, Unmet> {
        let claim = order.claims().get(usize::from(number)).ok_or(Unmet::Unknown("claim"))?;
        let Stage::Revealed(reveal) = claim.stage else { return Err(Unmet::Unknown("claim")) };
        Ok(Revealed { worker: claim.worker, reveal, commitment: reveal.commitment(self.id, claim.worker) })
    }

    /// Whether a library has what somebody needs who votes for the order, or a call about it. `order` is its state, where it has
    /// one already.
    pub fn check(&self, order: Option<&Order>, need: &Need, library: &Library) -> Result<(), Unmet> {
        match need {
            Need::Data(_) => self.check_data(library),
            Need::Rows { of, numbers, hash } => {
                let opening = Opening::decode(&self.bytes(library, Blob::Rows(*hash))?).map_err(OpeningError::from)?;
                let rows = opening.data(*of, numbers, self.terms.deal.classes)?;
                match rows.outline().features == self.terms.proof.material().features {
                    true => Ok(()),
                    false => Err(Unmet::Other("the rows have other features")),
                }
            }
            Need::Model(root) => {
                let order = order.ok_or(Unmet::Unknown("claim"))?;
                let model = self.model(library, *root)?;
                self.admits(&model)?;
                for data in self.tables(order, library)? {
                    Evaluation::of(&model, &data)?;
                }
                Ok(())
            }
            Need::Trace(reveal) => self.check_trace(order.ok_or(Unmet::Unknown("claim"))?, reveal, library),
            Need::Ruling(subject, verdict) => {
                let order = order.ok_or(Unmet::Unknown("claim"))?;
                let found = self.verdict(order, *subject, library)?;
                if found == *verdict { Ok(()) } else { Err(Unmet::Other("another verdict was found here")) }
            }
        }
    }

    fn check_data(&self, library: &Library) -> Result<(), Unmet> {
        let Material { recipe, features, .. } = self.terms.proof.material();
        let (data, fold) = self.rows(library)?;
        let (is, of_fold) = (data.outline(), fold.outline());
        if is.features != *features || of_fold.features != *features || is.task != of_fold.task {
            return Err(Unmet::Other("the tables have other features or labels"));
        }
        if is.task.outputs() != usize::from(self.terms.deal.classes.max(1)) {
            return Err(Unmet::Other("the tables have other classes"));
        }
        recipe.plan(is).map_err(JobError::from)?;
        Ok(())
    }

    /// A trace is there if each segment can be trained again.
    fn check_trace(&self, order: &Order, reveal: &Reveal, library: &Library) -> Result<(), Unmet> {
        let states = self.states(order, reveal, library)?;
        // The first state is the seed's; the last one is the model's.
        let states = states[1..states.len() - 1].iter().map(|hash| Blob::State(*hash));
        let missing: Vec<_> = states.filter(|state| !library.has(self.id, state)).collect();
        if missing.is_empty() { Ok(()) } else { Err(Unmet::Missing(missing)) }
    }

    /// The hashes of a claim's states: that at the beginning, and those at the end of each segment.
    fn states(&self, order: &Order, reveal: &Reveal, library: &Library) -> Result<Vec<B256>, Unmet> {
        let bytes = self.bytes(library, Blob::Trace(reveal.trace))?;
        let states = states_of(&bytes).map_err(|_| Unmet::Other("the trace is none"))?;
        let expected = usize::from(order.work().segments) + 1;
        if states.len() == expected { Ok(states) } else { Err(Unmet::Other("the trace has other segments")) }
    }

    /// What a claim's run must have been. Only the states are the worker's word.
    fn manifest(&self, order: &Order, claim: &Revealed, library: &Library) -> Result<Manifest, Unmet> {
        let (recipe, data) = self.trace()?;
        let Reveal { model, point, attempt, .. } = claim.reveal;
        let states = self.states(order, &claim.reveal, library)?;
        let origin = self.origin(claim.worker, attempt);
        Ok(Manifest { origin, recipe: recipe.clone(), point, data: data.root, model, states })
    }

    /// The rows that were drawn, if they were opened, and those that everybody knows.
    fn tables(&self, order: &Order, library: &Library) -> Result<Vec<Dataset>, Unmet> {
        Ok([self.hidden(order, library)?, self.fold(library)?].into_iter().flatten().collect())
    }

    fn hidden(&self, order: &Order, library: &Library) -> Result<Option<Dataset>, Unmet> {
        let Some(hash) = order.rows() else { return Ok(None) };
        let opening = Opening::decode(&self.bytes(library, Blob::Rows(hash))?).map_err(OpeningError::from)?;
        let deal = &self.terms.deal;
        Ok(Some(opening.data(deal.holdout, &order.drawn_rows(), deal.classes)?))
    }

    /// The rows that everybody knows, where they count.
    fn fold(&self, library: &Library) -> Result<Option<Dataset>, Unmet> {
        match &self.terms.proof {
            Proof::Trace(material) => self.data(library, material.fold).map(Some),
            Proof::Score { .. } => Ok(None),
        }
    }

    /// What a claim is worth, and what the model says of all rows.
    fn evaluate(&self, order: &Order, model: &Model, library: &Library) -> Result<(Grades, Evaluation), Unmet> {
        let of = |data: Option<Dataset>| data.map(|data| Evaluation::of(model, &data)).transpose();
        let (hidden, fold) = (of(self.hidden(order, library)?)?, of(self.fold(library)?)?);
        let grade = |evaluation: &Option<Evaluation>| evaluation.as_ref().map(|it| Grade::from(it.score));
        let grades = Grades { hidden: grade(&hidden), fold: grade(&fold) };
        let mut evaluations = [hidden, fold].into_iter().flatten();
        let mut all = evaluations.next().ok_or(Unmet::Unknown("rows"))?;
        all.logits.extend(evaluations.flat_map(|evaluation| evaluation.logits));
        Ok((grades, all))
    }

    fn score(&self, order: &Order, number: u8, member: Address, library: &Library) -> Result<(Grades, B256), Unmet> {
        let claim = self.claim(order, number)?;
        let model = self.model(library, claim.reveal.model)?;
        let (grades, evaluation) = self.evaluate(order, &model, library)?;
        Ok((grades, evaluation.statement(self.id, claim.commitment, member)))
    }

    /// What this peer finds of all claims that are revealed, in their order.
    pub fn found(&self, order: &Order, library: &Library) -> Result<Vec<Found>, Unmet> {
        let find = |number: u16| {
            let claim = self.claim(order, number as u8)?;
            let model = self.model(library, claim.reveal.model)?;
            let (grades, evaluation) = self.evaluate(order, &model, library)?;
            Ok(Found { claim: number as u8, grades, evaluation, commitment: claim.commitment })
        };
        order.scored_claims().into_iter().map(find).collect()
    }

    /// What a member of the committee states about all claims that are revealed.
    pub fn scores(&self, order: &Order, member: Address, library: &Library) -> Result<Call, Unmet> {
        let found = self.found(order, library)?;
        let stated = found.iter().map(|found| (found.grades, found.statement(self.id, member)));
        let (grades, statements) = stated.unzip();
        Ok(Call::Scores { grades, statements })
    }

    /// Trains a segment of a claim's run again. Its witness, or what is wrong with it.
    pub fn segment(
        &self,
        order: &Order,
        number: u8,
        segment: u16,
        library: &Library,
    ) -> Result<Result<B256, Fault>, Unmet> {
        let claim = self.claim(order, number)?;
        let manifest = self.manifest(order, &claim, library)?;
        let data = self.data(library, self.trace()?.1)?;
        let job = manifest.job(&data)?;
        let checkpoint = match segment {
            0 => None,
            _ => Some(self.bytes(library, Blob::State(manifest.states[usize::from(segment)]))?),
        };
        Ok(manifest.check_segment(&job, segment.into(), checkpoint.as_deref()))
    }

    /// What a member of the committee states about its segments of the leader; the first one that does not hold otherwise, for
    /// a challenge.
    pub fn audit(&self, order: &Order, member: Address, library: &Library) -> Result<Result<Call, Subject>, Unmet> {
        let claim = order.leader().ok_or(Unmet::Unknown("leader"))?;
        let commitment = self.claim(order, claim)?.commitment;
        let place = order.committee().iter().position(|it| it.account == member).ok_or(Unmet::Unknown("member"))?;
        let mut statements = Vec::new();
        for segment in order.segments_of(place) {
            match self.segment(order, claim, segment, library)? {
                Ok(witness) => {
                    statements.push(audit_statement(self.id, commitment, member, segment.into(), witness));
                }
                Err(_) => return Ok(Err(Subject::Segment { claim, segment })),
            }
        }
        Ok(Ok(Call::Audit { claim, statements }))
    }

    /// What is so about a subject, by this peer's own computation.
    pub fn verdict(&self, order: &Order, subject: Subject, library: &Library) -> Result<Verdict, Unmet> {
        let member = |place: u8| order.committee().get(usize::from(place)).map(|member| member.account);
        let unknown = Unmet::Unknown("member");
        Ok(match subject {
            Subject::Score { claim } => {
                let model = self.model(library, self.claim(order, claim)?.reveal.model)?;
                Verdict::Grades(self.evaluate(order, &model, library)?.0)
            }
            Subject::Evaluated { claim, member: place, statement } => {
                let member = member(place).ok_or(unknown)?;
                Verdict::Holds(self.score(order, claim, member, library)?.1 == statement)
            }
            Subject::Segment { claim, segment } => {
                Verdict::Holds(self.segment(order, claim, segment, library)?.is_ok())
            }
            Subject::Audited { claim, segment, member: place, statement } => {
                let (member, commitment) = (member(place).ok_or(unknown)?, self.claim(order, claim)?.commitment);
                let is = self.segment(order, claim, segment, library)?.ok();
                let is = is.map(|witness| audit_statement(self.id, commitment, member, segment.into(), witness));
                Verdict::Holds(is == Some(statement))
            }
        })
    }

    /// Trains by the order's recipe at a point of its grid. Nothing comes of it if `each`, which is called after each segment, says to break.
    pub fn train(
        &self,
        point: u16,
        (worker, attempt): (Address, u16),
        library: &Library,
        mut each: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<Trained>, Unmet> {
        let Material { recipe, data, .. } = self.terms.proof.material();
        let data = self.data(library, *data)?;
        let mut states = Vec::new();
        let trained = train(recipe, point, &data, self.origin(worker, attempt), |progress, state| {
            states.push(state.to_vec());
            each(progress)
        })?;
        Ok(trained.map(|(model, manifest)| Trained { model, manifest, states }))
    }

    /// How good a model is on the rows that everybody knows: what a worker goes by.
    pub fn on_the_fold(&self, model: &Model, library: &Library) -> Result<Grade, Unmet> {
        let fold = self.data(library, self.terms.proof.material().fold)?;
        Ok(Evaluation::of(model, &fold)?.score.into())
    }
}

/// Whether a model is for rows of such a task and so many features, and takes no more multiplications for a row.
pub fn admit(model: &Model, (task, features): (Task, u16), most: u64) -> Result<(), Unmet> {
    let Shape { task: expected, inputs: expected_features, .. } = *model.shape();
    if (expected, expected_features) != (task, features) {
        return Err(OtherShape { expected_features, expected, features, task }.into());
    }
    let is = model.shape().row_macs();
    if is > most { Err(Unmet::Large { is, most }) } else { Ok(()) }
}

impl Trained {
    /// What its worker commits to.
    pub fn reveal(&self, payee: Address) -> Reveal {
        let Manifest { origin, point, model, .. } = &self.manifest;
        let trace = self.manifest.trace_root();
        Reveal { model: *model, trace, point: *point, attempt: origin.attempt, payee }
    }

    /// Puts all of it where others can fetch it.
    pub fn keep(&self, library: &Library) -> Result<(), FileError> {
        let order = self.manifest.origin.order;
        library.put(order, &Blob::Model(self.manifest.model), &self.model.encode())?;
        library.put(order, &Blob::Trace(self.manifest.trace_root()), &codec::encode(&self.manifest.states))?;
        for state in &self.states {
            library.put(order, &Blob::State(state_hash(state)), state)?;
        }
        Ok(())
    }
}
