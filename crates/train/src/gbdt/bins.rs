//! The values of features, as few as a tree tells apart.

use crate::data::Dataset;

/// Each feature's values in bins, in ascending order, all bins numbered through; and for each row the bins that it is in.
#[derive(Debug)]
pub(crate) struct Bins {
    /// The first bin of each feature, and the number of all bins.
    starts: Vec<u32>,
    /// The largest value of each bin.
    uppers: Vec<i16>,
    /// The bin of each feature that has the most rows, the first of several.
    common: Vec<u32>,
    /// Where the bins of each row end in `entries`.
    ends: Vec<u32>,
    /// The bins of each row, without the common ones: of pictures, most of a row's.
    entries: Vec<u32>,
}

impl Bins {
    /// A bin for each value if there are at most `most`, else as many rows in each as is possible.
    pub(crate) fn new(data: &Dataset, most: u8) -> Self {
        let features = usize::from(data.outline().features);
        let mut bins =
            Self { starts: vec![0], uppers: Vec::new(), common: Vec::new(), ends: Vec::new(), entries: Vec::new() };
        let mut column = Vec::with_capacity(data.rows());
        for feature in 0..features {
            column.clear();
            column.extend((0..data.rows()).map(|row| data.features(row)[feature]));
            column.sort_unstable();
            let start = bins.uppers.len();
            bins.uppers.extend(uppers(&column, most.into()));
            let rows_until = bins.uppers[start..].iter().map(|upper| column.partition_point(|value| value <= upper));
            let (mut before, mut common) = (0, (0, 0));
            for (bin, until) in rows_until.enumerate() {
                common = if until - before > common.0 { (until - before, bin) } else { common };
                before = until;
            }
            bins.common.push((start + common.1) as u32);
            bins.starts.push(bins.uppers.len() as u32);
        }
        for row in 0..data.rows() {
            for (feature, value) in data.features(row).iter().enumerate() {
                let bin = bins.bin(feature, *value);
                if bin != bins.common[feature] {
                    bins.entries.push(bin);
                }
            }
            bins.ends.push(bins.entries.len() as u32);
        }
        bins
    }

    /// The bin that a value of the data is in.
    fn bin(&self, feature: usize, value: i16) -> u32 {
        let range = self.range(feature);
        let uppers = &self.uppers[range.clone()];
        (range.start + uppers.partition_point(|upper| *upper < value)) as u32
    }

    /// All bins.
    pub(crate) fn len(&self) -> usize {
        self.uppers.len()
    }

    pub(crate) fn features(&self) -> usize {
        self.common.len()
    }

    /// The bins of a feature.
    pub(crate) fn range(&self, feature: usize) -> std::ops::Range<usize> {
        self.starts[feature] as usize..self.starts[feature + 1] as usize
    }

    pub(crate) fn upper(&self, bin: usize) -> i16 {
        self.uppers[bin]
    }

    /// The bin of a feature that rows do not list.
    pub(crate) fn common(&self, feature: usize) -> usize {
        self.common[feature] as usize
    }

    /// The bins of a row without the common ones.
    pub(crate) fn of_row(&self, row: u32) -> &[u32] {
        let row = row as usize;
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.entries[start as usize..self.ends[row] as usize]
    }
}

/// The largest value of each bin, from a column in ascending order: all values if they are at most `most`, else those at
/// ⌈q·rows / most⌉ for q from 1 to `most`, each once.
fn uppers(column: &[i16], most: usize) -> Vec<i16> {
    let mut values = column.to_vec();
    values.dedup();
    if values.len() > most {
        values = (1..=most).map(|q| column[(q * column.len()).div_ceil(most) - 1]).collect();
        values.dedup();
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Task};

    #[test]
    fn few_values_have_a_bin_each_and_many_share_them_by_rows() {
        assert_eq!(uppers(&[1, 1, 1, 2, 5], 3), [1, 2, 5]);
        assert_eq!(uppers(&[1, 2, 3, 4, 5, 6, 7], 3), [3, 5, 7]);
        assert_eq!(uppers(&[1, 1, 1, 1, 1, 1, 2, 3, 4], 3), [1, 4]);
    }

    #[test]
    fn a_row_lists_the_bins_that_are_not_the_common_ones() {
        let data = Dataset::new(Task::Number, 2, vec![0, 5, 0, 6, 3, 5], vec![0; 3]).expect("rows");
        let bins = Bins::new(&data, 64);
        assert_eq!((bins.len(), bins.range(1), bins.common(0), bins.common(1)), (4, 2..4, 0, 2));
        assert_eq!([0, 1, 2].map(|row| bins.of_row(row).to_vec()), [vec![], vec![3], vec![1]]);
    }
}
