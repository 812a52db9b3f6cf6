//! The steps as winterfell has them: a table of cells, what holds between them, and who proves it.
//!
//! Cells are numbered row by row, [`WIDTH`] to a row. The result of the last step is the last cell and that of the first
//! stands so many cells before it; the cells before that are filled by going back from the start. So the number of steps
//! says where the first result stands, and nothing else in the table depends on it.
//!
//! What holds in a row and on to the next one is demanded of all rows but the last, which has no next one. The cells of
//! the last are given instead, by going back from the result.

use winterfell::{
    Air, AirContext, Assertion, AuxRandElements, CompositionPoly, CompositionPolyTrace,
    ConstraintCompositionCoefficients, EvaluationFrame, PartitionOptions, ProofOptions, Prover, StarkDomain, TraceInfo,
    TracePolyTable, TraceTable, TransitionConstraintDegree,
    crypto::{DefaultRandomCoin, Hasher, MerkleTree, hashers::Blake3_256},
    math::{FieldElement, ToElements},
    matrix::ColMatrix,
};

use crate::{
    Delay, Element, Statement,
    constraints::Evaluator,
    extension::{QuotientExtension, TraceExtension},
};

/// Steps in a row of the table. One in a row, and proving takes twenty times as long.
pub(crate) const WIDTH: usize = 32;

pub(crate) type Hash = Blake3_256<Element>;
pub(crate) type Digest = <Hash as Hasher>::Digest;
pub(crate) type Coin = DefaultRandomCoin<Hash>;
pub(crate) type Tree = MerkleTree<Hash>;

/// The rows of the table for so many steps.
pub(crate) fn rows(steps: u64, width: usize) -> usize {
    (steps as usize).div_ceil(width).next_power_of_two()
}

/// What the challenges depend on besides the proof.
impl ToElements<Element> for Statement {
    fn to_elements(&self) -> Vec<Element> {
        let numbers = [self.start, self.steps.into(), self.alpha, self.result];
        let (context, _) = self.context.as_chunks::<8>();
        numbers.into_iter().chain(context.iter().map(|bytes| u64::from_be_bytes(*bytes).into())).collect()
    }
}

/// What holds between the cells of a statement's table.
pub(crate) struct Steps {
    context: AirContext<Element>,
    statement: Statement,
}

impl Steps {
    /// The constant of the map.
    pub(crate) fn alpha(&self) -> Element {
        self.statement.alpha
    }
}

impl Air for Steps {
    type BaseField = Element;
    type PublicInputs = Statement;

    fn new(table: TraceInfo, statement: Statement, options: ProofOptions) -> Self {
        let width = table.width();
        let degrees = vec![TransitionConstraintDegree::new(3); width];
        Self { context: AirContext::new(table, degrees, width + 1, options), statement }
    }

    fn context(&self) -> &AirContext<Element> {
        &self.context
    }

    /// y³ + α = x for each cell x and the one after it, y.
    fn evaluate_transition<E: FieldElement<BaseField = Element>>(
        &self,
        frame: &EvaluationFrame<E>,
        _periodic: &[E],
        result: &mut [E],
    ) {
        let alpha = E::from(self.statement.alpha);
        let after = frame.current()[1..].iter().chain(&frame.next()[..1]);
        for ((zero, &x), &y) in result.iter_mut().zip(frame.current()).zip(after) {
            *zero = y.square() * y + alpha - x;
        }
    }

    /// The first result, and the cells of the last row.
    fn get_assertions(&self) -> Vec<Assertion<Element>> {
        let Statement { start, steps, alpha, result, .. } = self.statement;
        let (delay, width, rows) = (Delay::new(alpha), self.context.trace_info().width(), self.context.trace_len());
        let first = width * rows - steps as usize;
        let mut assertions = vec![Assertion::single(first % width, first / width, delay.step(start))];
        let mut cell = result;
        for column in (0..width).rev() {
            assertions.push(Assertion::single(column, rows - 1, cell));
            cell = delay.back(cell);
        }
        assertions
    }
}

/// Who proves a statement.
pub(crate) struct StepsProver {
    pub(crate) statement: Statement,
    pub(crate) options: ProofOptions,
}

impl Prover for StepsProver {
    type BaseField = Element;
    type Air = Steps;
    type Trace = TraceTable<Element>;
    type HashFn = Hash;
    type VC = Tree;
    type RandomCoin = Coin;
    type TraceLde<E: FieldElement<BaseField = Element>> = TraceExtension;
    type ConstraintEvaluator<'a, E: FieldElement<BaseField = Element>> = Evaluator<'a, E>;
    type ConstraintCommitment<E: FieldElement<BaseField = Element>> = QuotientExtension;

    fn get_pub_inputs(&self, _table: &Self::Trace) -> Statement {
        self.statement
    }

    fn options(&self) -> &ProofOptions {
        &self.options
    }

    fn new_trace_lde<E: FieldElement<BaseField = Element>>(
        &self,
        info: &TraceInfo,
        table: &ColMatrix<Element>,
        domain: &StarkDomain<Element>,
        _partitions: PartitionOptions,
    ) -> (Self::TraceLde<E>, TracePolyTable<E>) {
        TraceExtension::new(info, table, domain)
    }

    fn new_evaluator<'a, E: FieldElement<BaseField = Element>>(
        &self,
        air: &'a Steps,
        _auxiliary: Option<AuxRandElements<E>>,
        coefficients: ConstraintCompositionCoefficients<E>,
    ) -> Self::ConstraintEvaluator<'a, E> {
        Evaluator::new(air, coefficients)
    }

    fn build_constraint_commitment<E: FieldElement<BaseField = Element>>(
        &self,
        evaluations: CompositionPolyTrace<E>,
        columns: usize,
        domain: &StarkDomain<Element>,
        _partitions: PartitionOptions,
    ) -> (Self::ConstraintCommitment<E>, CompositionPoly<E>) {
        QuotientExtension::new(evaluations, columns, domain)
    }
}
