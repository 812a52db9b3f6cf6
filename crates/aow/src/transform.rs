//! From the values of polynomials on a domain to their coefficients, and on to their values on a longer domain.
//!
//! Winterfell's own transform works on eight columns at a time, and moves each several times between two orders. This one
//! works on rows, all columns at once, so that each root of unity is looked up once for all of them; on parts of the table
//! that fit into a core's cache; and leaves the values in the order in which they come out, which is that of the bits of
//! their index reversed. A number in between is any below 2¹²⁸ that stands for it.
//!
//! A polynomial modulo x²ᵐ − r² is split into those modulo xᵐ − r and xᵐ + r, until these are the values. The block of number
//! b, of those that are split at the same time, has an r of its own: the power bitreverse(b) of a root of unity, of a domain
//! that is shifted by s times sᵐ.

use rayon::prelude::*;
use winterfell::math::{FieldElement, StarkField};

use crate::{
    Element,
    element::{Multiplier, sum_and_difference},
};

/// Coefficients of as many polynomials as a row has cells. That of xⁱ, where i = a · `chunks` + b, stands in row
/// b · `chunk` + a: so the ones that are combined first are together.
pub(crate) struct Coefficients {
    cells: Vec<u128>,
    width: usize,
    shape: Shape,
}

/// How many rows are transformed at a time before the table is transposed, and how many such parts it has.
#[derive(Clone, Copy)]
struct Shape {
    chunk: usize,
    chunks: usize,
}

impl Shape {
    fn new(rows: usize) -> Self {
        let chunk = 1 << rows.ilog2().div_ceil(2);
        Self { chunk, chunks: rows / chunk }
    }

    fn rows(self) -> usize {
        self.chunk * self.chunks
    }
}

/// The roots of unity of the blocks.
struct Roots(Vec<Element>);

impl Roots {
    /// For the splitting of polynomials with so many coefficients, or, of the inverses, for what undoes it.
    fn new(length: usize, inverse: bool) -> Self {
        let mut roots = vec![Element::ONE];
        for order in 2..=length.ilog2() {
            let root = Element::get_root_of_unity(order);
            let root = if inverse { root.inverse() } else { root };
            for index in 0..roots.len() {
                roots.push(roots[index] * root);
            }
        }
        Self(roots)
    }
}

impl Coefficients {
    /// From the values at the powers of a root of unity, one slice for each polynomial.
    pub(crate) fn interpolate<'a>(columns: impl Iterator<Item = &'a [Element]>) -> Self {
        let columns: Vec<_> = columns.collect();
        let (width, rows) = (columns.len(), columns[0].len());
        let shape = Shape::new(rows);
        let Shape { chunk, chunks } = shape;
        let roots = Roots::new(rows, true);
        let scale = Multiplier::new(Element::from_u64(rows as u64).inverse());
        let mut parts = vec![0; rows * width];
        parts.par_chunks_mut(chunks * width).enumerate().for_each(|(part, cells)| {
            for (index, row) in cells.chunks_exact_mut(width).enumerate() {
                let source = bit_reverse(part * chunks + index, rows);
                for (cell, column) in row.iter_mut().zip(&columns) {
                    *cell = scale.times(column[source].value());
                }
            }
            merge(cells, width, part, &roots);
        });
        let mut cells = vec![0; rows * width];
        cells.par_chunks_mut(chunk * width).enumerate().for_each(|(offset, cells)| {
            gather(&parts, width, offset, chunks, cells);
            merge(cells, width, 0, &roots);
        });
        Self { cells, width, shape }
    }

    /// From the coefficients, one slice for each polynomial, which is taken apart to numbers of the field.
    pub(crate) fn new<E: FieldElement<BaseField = Element>>(columns: &[&[E]]) -> Self {
        let (width, rows) = (columns.len() * E::EXTENSION_DEGREE, columns[0].len());
        let shape = Shape::new(rows);
        let Shape { chunk, chunks } = shape;
        let mut cells = vec![0; rows * width];
        for (index, row) in cells.chunks_exact_mut(width).enumerate() {
            let power = index % chunk * chunks + index / chunk;
            let numbers =
                columns.iter().flat_map(|column| (0..E::EXTENSION_DEGREE).map(|i| column[power].base_element(i)));
            row.iter_mut().zip(numbers).for_each(|(cell, number)| *cell = number.value());
        }
        Self { cells, width, shape }
    }

    /// How many polynomials they are.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// One polynomial after the other.
    pub(crate) fn columns(&self) -> Vec<Vec<Element>> {
        let Shape { chunk, chunks } = self.shape;
        let column = |column| {
            let cell = |power| {
                let row = power % chunks * chunk + power / chunks;
                Element::reduced(self.cells[row * self.width + column])
            };
            (0..self.shape.rows()).map(cell).collect()
        };
        (0..self.width).into_par_iter().map(column).collect()
    }

    /// The values on a domain that is so many times longer and shifted, row by row, of index i in row [`bit_reverse`] of i.
    pub(crate) fn evaluate(&self, blowup: usize, shift: Element) -> Vec<Element> {
        let Self { cells, width, shape } = self;
        let (width, Shape { chunk, chunks }, rows) = (*width, self.shape, shape.rows());
        let roots = Roots::new(rows * blowup, false);
        // The powers that blocks of 2, 4, … rows are split with.
        let shifts: Vec<_> =
            std::iter::successors(Some(shift), |shift| Some(shift.square())).take(rows.ilog2() as usize).collect();
        let (late, early) = shifts.split_at(chunks.ilog2() as usize);
        // By all threads: the memory is new.
        let mut values: Vec<_> = rayon::iter::repeat_n(Element::ZERO, rows * blowup * width).collect();
        let mut parts = vec![0; rows * width];
        for (coset, values) in values.chunks_exact_mut(rows * width).enumerate() {
            parts.par_chunks_mut(chunk * width).zip(cells.par_chunks(chunk * width)).for_each(|(part, cells)| {
                part.copy_from_slice(cells);
                split(part, width, coset, &roots, early);
            });
            let scratch = || vec![0; chunks * width];
            values.par_chunks_mut(chunks * width).enumerate().for_each_init(scratch, |scratch, (part, values)| {
                gather(&parts, width, part, chunk, scratch);
                split(scratch, width, coset * chunk + part, &roots, late);
                values.iter_mut().zip(scratch).for_each(|(value, cell)| *value = Element::reduced(*cell));
            });
        }
        values
    }
}

/// Copies every `stride`th row from one on.
fn gather(source: &[u128], width: usize, first: usize, stride: usize, target: &mut [u128]) {
    let rows = source.chunks_exact(width).skip(first).step_by(stride);
    target.chunks_exact_mut(width).zip(rows).for_each(|(target, row)| target.copy_from_slice(row));
}

/// Splits the block of that number down to single rows, with as many shifts as that takes, the last first.
fn split(rows: &mut [u128], width: usize, block: usize, roots: &Roots, shifts: &[Element]) {
    let mut first = block;
    for (layer, shift) in shifts.iter().enumerate().rev() {
        let half = width << layer;
        for (rows, root) in rows.chunks_exact_mut(2 * half).zip(&roots.0[first..]) {
            let root = Multiplier::new(*root * *shift);
            let (ones, others) = rows.split_at_mut(half);
            for (one, other) in ones.iter_mut().zip(others) {
                (*one, *other) = sum_and_difference(*one, root.times(*other));
            }
        }
        first *= 2;
    }
}

/// Undoes [`split`] for a domain that is not shifted, but for a factor: the number of rows.
fn merge(rows: &mut [u128], width: usize, block: usize, inverse_roots: &Roots) {
    let (length, mut half) = (rows.len(), width);
    let mut first = block * (length / (2 * width));
    while half < length {
        for (rows, root) in rows.chunks_exact_mut(2 * half).zip(&inverse_roots.0[first..]) {
            let root = Multiplier::new(*root);
            let (ones, others) = rows.split_at_mut(half);
            for (one, other) in ones.iter_mut().zip(others) {
                let (sum, difference) = sum_and_difference(*one, *other);
                (*one, *other) = (sum, root.times(difference));
            }
        }
        half *= 2;
        first /= 2;
    }
}

/// The bits of an index below a power of two, in reverse.
pub(crate) fn bit_reverse(index: usize, length: usize) -> usize {
    index.reverse_bits().checked_shr(usize::BITS - length.ilog2()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use winterfell::math::{fft, polynom};

    use super::*;

    fn columns(rows: usize, width: usize) -> Vec<Vec<Element>> {
        let mut x = Element::from_u64(123);
        let mut next = || {
            x = x.cube_root() + Element::ONE;
            x
        };
        (0..width).map(|_| (0..rows).map(|_| next()).collect()).collect()
    }

    #[test]
    fn values_make_the_coefficients_that_winterfell_finds_and_these_make_its_values() {
        for (rows, width) in [(2, 1), (8, 3), (64, 4), (128, 1), (512, 5)] {
            let columns = columns(rows, width);
            let coefficients = Coefficients::interpolate(columns.iter().map(Vec::as_slice));
            let mut expected = columns.clone();
            let twiddles = fft::get_inv_twiddles(rows);
            expected.iter_mut().for_each(|column| fft::interpolate_poly(column, &twiddles));
            assert_eq!(coefficients.columns(), expected);

            let (blowup, shift) = (4, Element::GENERATOR);
            let slices: Vec<_> = expected.iter().map(Vec::as_slice).collect();
            let values = coefficients.evaluate(blowup, shift);
            assert_eq!(Coefficients::new(&slices).evaluate(blowup, shift), values);
            let root = Element::get_root_of_unity((blowup * rows).ilog2());
            for index in 0..blowup * rows {
                let x = shift * root.exp(index as u128);
                let row = &values[bit_reverse(index, blowup * rows) * width..][..width];
                for (value, polynomial) in row.iter().zip(&expected) {
                    assert_eq!(*value, polynom::eval(polynomial, x), "{rows} rows of {width}, {index}");
                }
            }
        }
    }
}
