//! Columns on a longer domain, and the commitment to their rows.

use winter_prover::{ConstraintCommitment, proof::Queries};
use winterfell::{
    CompositionPoly, CompositionPolyTrace, EvaluationFrame, StarkDomain, TraceInfo, TraceLde, TracePolyTable,
    crypto::VectorCommitment, math::FieldElement, matrix::ColMatrix,
};

use crate::{
    Element,
    air::{Digest, Hash, Tree},
    hashing,
    transform::{Coefficients, bit_reverse},
};

/// The rows of polynomials' values, and a tree of their hashes.
pub(crate) struct Extension {
    /// In the order that [`Coefficients::evaluate`] leaves them in.
    cells: Vec<Element>,
    width: usize,
    tree: Tree,
}

impl Extension {
    fn new(coefficients: &Coefficients, domain: &StarkDomain<Element>) -> Self {
        let (rows, width) = (domain.lde_domain_size(), coefficients.width());
        let cells = coefficients.evaluate(domain.trace_to_lde_blowup(), domain.offset());
        let tree = hashing::tree(hashing::rows(rows, |index| row(&cells, width, rows, index)));
        Self { cells, width, tree }
    }

    fn rows(&self) -> usize {
        self.cells.len() / self.width
    }

    fn row(&self, index: usize) -> &[Element] {
        row(&self.cells, self.width, self.rows(), index)
    }

    fn root(&self) -> Digest {
        *self.tree.root()
    }

    fn open(&self, positions: &[usize]) -> Queries {
        let rows = positions.iter().map(|position| self.row(*position).to_vec()).collect();
        #[expect(clippy::expect_used, reason = "winterfell draws different positions, all of the domain")]
        let (_, paths) = self.tree.open_many(positions).expect("positions of the domain");
        Queries::new::<Hash, Element, Tree>(paths, rows)
    }
}

fn row(cells: &[Element], width: usize, rows: usize, index: usize) -> &[Element] {
    &cells[bit_reverse(index, rows) * width..][..width]
}

/// The table of the steps on the longer domain.
pub(crate) struct TraceExtension {
    extension: Extension,
    info: TraceInfo,
    blowup: usize,
}

impl TraceExtension {
    pub(crate) fn new<E: FieldElement<BaseField = Element>>(
        info: &TraceInfo,
        table: &ColMatrix<Element>,
        domain: &StarkDomain<Element>,
    ) -> (Self, TracePolyTable<E>) {
        let coefficients = Coefficients::interpolate(table.columns());
        let extension = Extension::new(&coefficients, domain);
        let polynomials = TracePolyTable::new(ColMatrix::new(coefficients.columns()));
        (Self { extension, info: info.clone(), blowup: domain.trace_to_lde_blowup() }, polynomials)
    }
}

impl<E: FieldElement<BaseField = Element>> TraceLde<E> for TraceExtension {
    type HashFn = Hash;
    type VC = Tree;

    fn get_main_trace_commitment(&self) -> Digest {
        self.extension.root()
    }

    fn set_aux_trace(&mut self, _: &ColMatrix<E>, _: &StarkDomain<Element>) -> (ColMatrix<E>, Digest) {
        unreachable!("the table has one segment")
    }

    fn read_main_trace_frame_into(&self, step: usize, frame: &mut EvaluationFrame<Element>) {
        let next = (step + self.blowup) % self.extension.rows();
        frame.current_mut().copy_from_slice(self.extension.row(step));
        frame.next_mut().copy_from_slice(self.extension.row(next));
    }

    fn read_aux_trace_frame_into(&self, _: usize, _: &mut EvaluationFrame<E>) {
        unreachable!("the table has one segment")
    }

    fn query(&self, positions: &[usize]) -> Vec<Queries> {
        vec![self.extension.open(positions)]
    }

    fn trace_len(&self) -> usize {
        self.extension.rows()
    }

    fn blowup(&self) -> usize {
        self.blowup
    }

    fn trace_info(&self) -> &TraceInfo {
        &self.info
    }
}

/// The columns of quotients on the longer domain.
pub(crate) struct QuotientExtension(Extension);

impl QuotientExtension {
    pub(crate) fn new<E: FieldElement<BaseField = Element>>(
        evaluations: CompositionPolyTrace<E>,
        columns: usize,
        domain: &StarkDomain<Element>,
    ) -> (Self, CompositionPoly<E>) {
        let polynomials = CompositionPoly::new(evaluations, domain, columns);
        let columns: Vec<_> = polynomials.data().columns().collect();
        (Self(Extension::new(&Coefficients::new(&columns), domain)), polynomials)
    }
}

impl<E: FieldElement<BaseField = Element>> ConstraintCommitment<E> for QuotientExtension {
    type HashFn = Hash;
    type VC = Tree;

    fn commitment(&self) -> Digest {
        self.0.root()
    }

    fn query(self, positions: &[usize]) -> Queries {
        self.0.open(positions)
    }
}
