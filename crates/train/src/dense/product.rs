//! Sums of products, which are nearly all of what training a network takes.
//!
//! Products with zero are left out: of pictures most shades are zero, and of rectified units about half. Sums of integers do
//! not show it, nor in which order they were taken, nor how many at once.

use multiversion::multiversion;

/// A matrix by its rows, of which each has its entries that are not zero, with their columns.
#[derive(Debug, Default)]
pub(crate) struct Sparse {
    /// Where each row ends.
    ends: Vec<u32>,
    entries: Vec<(u32, i32)>,
}

impl Sparse {
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.entries.clear();
    }

    /// Appends an entry to the row that is not yet ended.
    pub(crate) fn push(&mut self, column: usize, value: i32) {
        if value != 0 {
            self.entries.push((column as u32, value));
        }
    }

    /// Ends a row.
    pub(crate) fn end_row(&mut self) {
        self.ends.push(self.entries.len() as u32);
    }

    /// Becomes a dense matrix.
    pub(crate) fn fill(&mut self, matrix: &[i32], width: usize) {
        self.clear();
        for row in matrix.chunks_exact(width) {
            row.iter().enumerate().for_each(|(column, value)| self.push(column, *value));
            self.end_row();
        }
    }

    /// Becomes the transpose of another one that has so many columns.
    pub(crate) fn fill_transposed(&mut self, of: &Self, columns: usize) {
        self.ends.clear();
        self.ends.resize(columns, 0);
        of.entries.iter().for_each(|(column, _)| self.ends[*column as usize] += 1);
        let mut before = 0;
        for end in &mut self.ends {
            // Each row's beginning, which moves on to its end as the row is filled.
            before += std::mem::replace(end, before);
        }
        self.entries.clear();
        self.entries.resize(of.entries.len(), (0, 0));
        for (row, entries) in of.rows().enumerate() {
            for (column, value) in entries {
                let place = &mut self.ends[*column as usize];
                self.entries[*place as usize] = (row as u32, *value);
                *place += 1;
            }
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[(u32, i32)]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let row = &self.entries[start as usize..*end as usize];
            start = *end;
            row
        })
    }
}

/// The product of a sparse and a dense matrix that has rows of this width; row by row.
pub(crate) fn multiply(left: &Sparse, right: &[i32], width: usize, product: &mut Vec<i64>) {
    product.clear();
    product.resize(left.ends.len() * width, 0);
    multiply_rows(left, right, width, product);
}

/// Eight sums at a time are kept in registers. A bound that the recipe keeps says that none of them overflows.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn multiply_rows(left: &Sparse, right: &[i32], width: usize, product: &mut [i64]) {
    for (entries, sums) in left.rows().zip(product.chunks_exact_mut(width)) {
        let mut at = 0;
        while at + 32 <= width {
            block::<32>(entries, right, width, at, sums);
            at += 32;
        }
        while at + 8 <= width {
            block::<8>(entries, right, width, at, sums);
            at += 8;
        }
        while at + 2 <= width {
            block::<2>(entries, right, width, at, sums);
            at += 2;
        }
        if at < width {
            block::<1>(entries, right, width, at, sums);
        }
    }
}

/// So many sums of a row, from a column on.
#[inline(always)]
fn block<const N: usize>(entries: &[(u32, i32)], right: &[i32], width: usize, at: usize, sums: &mut [i64]) {
    let mut block = [0i64; N];
    for (row, factor) in entries {
        let values = &right[*row as usize * width + at..][..N];
        for (sum, value) in block.iter_mut().zip(values) {
            *sum = sum.wrapping_add(i64::from(*value).wrapping_mul(i64::from(*factor)));
        }
    }
    sums[at..at + N].copy_from_slice(&block);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::number::{MAX_ACTIVATION, MAX_WEIGHT};

    fn sparse(matrix: &[i32], width: usize) -> Sparse {
        let mut sparse = Sparse::default();
        sparse.fill(matrix, width);
        sparse
    }

    fn dense(matrix: &Sparse, width: usize) -> Vec<i32> {
        let row = |entries: &[(u32, i32)]| {
            let mut row = vec![0; width];
            entries.iter().for_each(|(column, value)| row[*column as usize] = *value);
            row
        };
        matrix.rows().flat_map(row).collect()
    }

    #[test]
    fn the_largest_sum_that_a_recipe_allows_is_exact() {
        let (factors, weights) = (vec![MAX_ACTIVATION; 4096], vec![-MAX_WEIGHT; 4096 * 43]);
        let mut product = Vec::new();
        multiply(&sparse(&factors, 4096), &weights, 43, &mut product);
        assert_eq!(product, vec![-(1i64 << 62); 43]);
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_definition_whatever_the_width(
            rows in 1usize..5, inner in 1usize..9, width in 1usize..80, seed: u64,
        ) {
            let mut state = seed;
            let mut number = |most: i32| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let value = (state >> 33) as i32 % (2 * most + 1).max(1) - most;
                if state & 1 << 20 == 0 { 0 } else { value }
            };
            let left: Vec<_> = (0..rows * inner).map(|_| number(MAX_ACTIVATION)).collect();
            let right: Vec<_> = (0..inner * width).map(|_| number(MAX_WEIGHT)).collect();
            let mut product = Vec::new();
            multiply(&sparse(&left, inner), &right, width, &mut product);
            for (place, found) in product.into_iter().enumerate() {
                let (row, column) = (place / width, place % width);
                let terms = (0..inner).map(|k| i64::from(left[row * inner + k]) * i64::from(right[k * width + column]));
                prop_assert_eq!(found, terms.sum::<i64>());
            }
            let mut transposed = Sparse::default();
            transposed.fill_transposed(&sparse(&left, inner), inner);
            let expected: Vec<_> = (0..rows * inner).map(|at| left[at % rows * inner + at / rows]).collect();
            prop_assert_eq!(dense(&transposed, rows), expected);
        }
    }
}
