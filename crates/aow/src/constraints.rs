//! The quotients of what has to hold: winterfell's evaluator for these steps alone.
//!
//! What it demands of a row are sums of cells, or of what is left of a step, times challenges. They are reduced once for each
//! sum rather than once for each product.

use rayon::prelude::*;
use winterfell::{
    Air, CompositionPolyTrace, ConstraintCompositionCoefficients, ConstraintEvaluator, EvaluationFrame, StarkDomain,
    TraceLde,
    math::{FieldElement, batch_inversion},
};

use crate::{Element, air::Steps, element::Products};

/// Rows that one task evaluates.
const TASK: usize = 512;

/// A sum over some columns, minus what it is where it has to hold.
struct Boundary<E> {
    columns: Vec<usize>,
    coefficients: Sums,
    expected: E,
    /// 1 / (x − the point where it has to hold), of each x.
    inverses: Vec<Element>,
}

/// Coefficients, one list of numbers for each of the degrees of the extension.
struct Sums(Vec<Vec<Element>>);

impl Sums {
    fn new<E: FieldElement<BaseField = Element>>(coefficients: &[E]) -> Self {
        let part = |degree| coefficients.iter().map(|coefficient| coefficient.base_element(degree)).collect();
        Self((0..E::EXTENSION_DEGREE).map(part).collect())
    }

    fn of<E: FieldElement<BaseField = Element>>(&self, values: impl Iterator<Item = Element> + Clone) -> E {
        let mut sums = [Element::ZERO; 2];
        for (sum, coefficients) in sums.iter_mut().zip(&self.0) {
            let mut products = Products::default();
            coefficients.iter().zip(values.clone()).for_each(|(a, b)| products.add(*a, b));
            *sum = products.sum();
        }
        E::slice_from_base_elements(&sums[..E::EXTENSION_DEGREE])[0]
    }
}

/// What evaluates a statement's table.
pub(crate) struct Evaluator<'a, E: FieldElement> {
    air: &'a Steps,
    coefficients: ConstraintCompositionCoefficients<E>,
}

impl<'a, E: FieldElement> Evaluator<'a, E> {
    pub(crate) fn new(air: &'a Steps, coefficients: ConstraintCompositionCoefficients<E>) -> Self {
        Self { air, coefficients }
    }
}

impl<E: FieldElement<BaseField = Element>> ConstraintEvaluator<E> for Evaluator<'_, E> {
    type Air = Steps;

    fn evaluate<T: TraceLde<E>>(self, table: &T, domain: &StarkDomain<Element>) -> CompositionPolyTrace<E> {
        let (air, challenges) = (self.air, self.coefficients);
        let points: Vec<_> = (0..domain.ce_domain_size()).map(|step| domain.get_ce_x_at(step)).collect();
        let boundaries: Vec<_> = air
            .get_boundary_constraints(None, &challenges.boundary)
            .main_constraints()
            .iter()
            .map(|group| {
                let constraints = group.constraints();
                let coefficients: Vec<_> = constraints.iter().map(|constraint| *constraint.cc()).collect();
                let expected = constraints.iter().map(|constraint| constraint.cc().mul_base(constraint.poly()[0]));
                // All are of one row, so what divides them is x − the point of that row.
                let (_, point) = group.divisor().numerator()[0];
                let from: Vec<_> = points.iter().map(|x| *x - point).collect();
                Boundary {
                    columns: constraints.iter().map(|constraint| constraint.column()).collect(),
                    coefficients: Sums::new(&coefficients),
                    expected: expected.fold(E::ZERO, |sum, value| sum + value),
                    inverses: batch_inversion(&from),
                }
            })
            .collect();

        let transitions = air.get_transition_constraints(&challenges.transition);
        let divisor = transitions.divisor();
        let steps = Sums::new(&challenges.transition);
        // The α of each step, times its challenge.
        let sum = challenges.transition.iter().fold(E::ZERO, |sum, challenge| sum + *challenge);
        let alphas = sum.mul_base(air.alpha());
        // xⁿ − 1 is the same again after as many points as the domain is longer than the table.
        let period = domain.trace_to_ce_blowup();
        let exemption = |x| divisor.evaluate_exemptions_at(x);
        let inverses: Vec<_> =
            points[..period].iter().map(|x| (x.exp(domain.trace_length() as u128) - Element::ONE).inverse()).collect();

        let width = air.trace_info().width();
        let quotient = |frame: &mut EvaluationFrame<Element>, left: &mut [Element], step: usize| {
            table.read_main_trace_frame_into(step * domain.ce_to_lde_blowup(), frame);
            let row = frame.current();
            let after = row[1..].iter().chain(&frame.next()[..1]);
            for ((left, x), y) in left.iter_mut().zip(row).zip(after) {
                *left = y.cube() - *x;
            }
            let x = points[step];
            let taken: E = steps.of(left.iter().copied());
            let mut sum = (taken + alphas).mul_base(exemption(x) * inverses[step % period]);
            for Boundary { columns, coefficients, expected, inverses } in &boundaries {
                let found: E = coefficients.of(columns.iter().map(|column| row[*column]));
                sum += (found - *expected).mul_base(inverses[step]);
            }
            sum
        };
        let mut quotients = vec![E::ZERO; points.len()];
        quotients.par_chunks_mut(TASK).enumerate().for_each(|(task, quotients)| {
            let (mut frame, mut left) = (EvaluationFrame::new(width), vec![Element::ZERO; width]);
            for (index, value) in quotients.iter_mut().enumerate() {
                *value = quotient(&mut frame, &mut left, task * TASK + index);
            }
        });
        CompositionPolyTrace::new(quotients)
    }
}
