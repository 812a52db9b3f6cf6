//! Growing a tree: where each node splits, from histograms of the slopes of its rows.

use super::{
    bins::Bins,
    tree::{Node, Tree},
};
use crate::{
    data::Dataset,
    number::{MAX_ACTIVATION, divide},
    recipe::Point,
};

/// The first and second derivatives of some rows, summed, Q16.
type Sums = [i64; 2];

/// What a tree is grown from.
pub(super) struct Grower<'a> {
    data: &'a Dataset,
    bins: &'a Bins,
    slopes: Vec<Sums>,
    depth: u8,
    learning_rate: i128,
    l2: i64,
    min_weight: i64,
    tree: Tree,
}

/// A node that is to be split or to be a leaf.
struct Place {
    node: usize,
    level: u8,
    rows: Vec<u32>,
    total: Sums,
}

/// Where a node splits best.
struct Split {
    feature: usize,
    bin: usize,
    left: Sums,
}

impl<'a> Grower<'a> {
    /// For a tree from the slopes of all rows.
    pub(super) fn new(data: &'a Dataset, bins: &'a Bins, slopes: Vec<Sums>, depth: u8, point: &Point) -> Self {
        let [learning_rate, l2, min_weight] =
            [point.learning_rate, point.l2, point.min_weight].map(|value| i64::from(value.0));
        let learning_rate = learning_rate.into();
        Self { data, bins, slopes, depth, learning_rate, l2, min_weight, tree: Tree::new(depth) }
    }

    /// Grows the tree from some of the rows.
    pub(super) fn grow(mut self, rows: Vec<u32>) -> Tree {
        let total = rows.iter().fold([0; 2], |sum, row| plus(sum, self.slopes[*row as usize]));
        let histogram = self.histogram(&rows, total);
        self.divide(Place { node: 0, level: 0, rows, total }, histogram);
        self.tree
    }

    /// Splits a place and what comes of it, or leaves it to be a leaf, to which the leftmost way leads.
    fn divide(&mut self, place: Place, mut histogram: Vec<Sums>) {
        let Some(Split { feature, bin, left }) = self.best(&histogram, place.total) else {
            return self.end(place);
        };
        let threshold = self.bins.upper(bin);
        self.tree.nodes[place.node] = Node { feature: feature as u16, threshold };
        let goes_left = |row: &u32| self.data.features(*row as usize)[feature] <= threshold;
        let (of_left, of_right): (Vec<u32>, Vec<u32>) = place.rows.iter().partition(|row| goes_left(row));
        let level = place.level + 1;
        let child = |side, rows, total| Place { node: 2 * place.node + 1 + side, level, rows, total };
        let left_child = child(0, of_left, left);
        let right_child = child(1, of_right, [place.total[0] - left[0], place.total[1] - left[1]]);
        if level == self.depth {
            self.end(left_child);
            return self.end(right_child);
        }
        // The rows of the smaller side are counted; the other side is what is left.
        let is_left_smaller = left_child.rows.len() <= right_child.rows.len();
        let smaller = if is_left_smaller { &left_child } else { &right_child };
        let counted = self.histogram(&smaller.rows, smaller.total);
        histogram.iter_mut().zip(&counted).for_each(|(sum, of)| *sum = [sum[0] - of[0], sum[1] - of[1]]);
        let (of_left, of_right) = if is_left_smaller { (counted, histogram) } else { (histogram, counted) };
        self.divide(left_child, of_left);
        self.divide(right_child, of_right);
    }

    /// The sums of some rows in each bin.
    fn histogram(&self, rows: &[u32], total: Sums) -> Vec<Sums> {
        let mut histogram = vec![[0; 2]; self.bins.len()];
        for row in rows {
            let slope = self.slopes[*row as usize];
            for bin in self.bins.of_row(*row) {
                let sum = &mut histogram[*bin as usize];
                *sum = plus(*sum, slope);
            }
        }
        // Whoever is in none of the others is in the common one.
        for feature in 0..self.bins.features() {
            let listed = histogram[self.bins.range(feature)].iter().fold([0; 2], |sum, of| plus(sum, *of));
            histogram[self.bins.common(feature)] = [total[0] - listed[0], total[1] - listed[1]];
        }
        histogram
    }

    /// The split that gains the most; of several the one of the lowest feature, and there of the lowest bin.
    fn best(&self, histogram: &[Sums], total: Sums) -> Option<Split> {
        let mut most = self.gain(total);
        let mut best = None;
        for feature in 0..self.bins.features() {
            let range = self.bins.range(feature);
            let mut left = [0; 2];
            let bins = range.start..range.end - 1;
            for (bin, sums) in bins.clone().zip(histogram[bins].iter().copied()) {
                if sums == [0; 2] {
                    continue; // The same as at the bin before.
                }
                left = plus(left, sums);
                let right = [total[0] - left[0], total[1] - left[1]];
                if left[1] < self.min_weight {
                    continue;
                }
                if right[1] < self.min_weight {
                    break;
                }
                let gain = self.gain(left) + self.gain(right);
                if gain > most {
                    (most, best) = (gain, Some(Split { feature, bin, left }));
                }
            }
        }
        best
    }

    /// G² / (H + λ), rounded down, Q16: twice what a leaf of these rows takes from the loss.
    fn gain(&self, [slope, weight]: Sums) -> i128 {
        let (slope, weight) = (slope.unsigned_abs(), (weight + self.l2) as u64);
        match slope.checked_mul(slope) {
            // Nearly always, and many times faster.
            Some(square) => (square / weight).into(),
            None => (u128::from(slope) * u128::from(slope) / u128::from(weight)) as i128,
        }
    }

    /// Makes a leaf of a place: -G / (H + λ) times the learning rate, to the nearest.
    fn end(&mut self, Place { node, level, total: [slope, weight], .. }: Place) {
        let value = divide(-i128::from(slope) * self.learning_rate, (weight + self.l2).into());
        let limit = i128::from(MAX_ACTIVATION);
        // Leftmost below the node.
        let mut at = node;
        for _ in level..self.depth {
            at = 2 * at + 1;
        }
        let leaf = at - self.tree.nodes.len();
        self.tree.leaves[leaf] = value.clamp(-limit, limit) as i32;
    }
}

fn plus(one: Sums, other: Sums) -> Sums {
    [one[0].wrapping_add(other[0]), one[1].wrapping_add(other[1])]
}
