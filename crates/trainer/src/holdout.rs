//! Rows that a requester holds out: committed to by a root, each behind a salt, so that nobody can guess one before it is
//! opened. The tree binds the place of a row: of two rows with one number, the requester could choose later which to show.

use dtn_primitives::{
    B256,
    codec::{self, CodecError},
    keccak256, merkle,
};
use dtn_train::{
    Dataset, Task,
    data::{DataError, MAX_DATA_BYTES},
};
use dtn_training::Table;
use serde::{Deserialize, Serialize};

/// The bytes of the longest opening.
pub const MAX_OPENING_BYTES: usize = MAX_DATA_BYTES;

/// Rows that are held out, as their requester has them.
#[derive(Debug)]
pub struct Holdout {
    data: Dataset,
    secret: B256,
    /// The nodes from the leaves up, of one depth everywhere; where there is no row is zero.
    levels: Vec<Vec<B256>>,
}

/// A row that is shown, with what leads to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRow {
    /// Which of the rows held out.
    pub number: u32,
    /// What kept it from being guessed.
    pub salt: B256,
    /// Its features, Q12.
    pub values: Vec<i16>,
    /// Its label: a class, or a number in Q16.
    pub label: i32,
    /// From its leaf to the root.
    pub path: Vec<B256>,
}

/// Rows that are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// How many classes are told apart; 0 for numbers.
    pub classes: u16,
    /// The features of a row.
    pub features: u16,
    /// The rows, by their numbers.
    pub rows: Vec<OpenRow>,
}

/// Why an opening shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// It is no encoding of one.
    #[error(transparent)]
    Encoding(#[from] CodecError),
    /// It tells other classes apart.
    #[error("it has {is} classes, and the order {expected}")]
    Classes {
        /// How many it has.
        is: u16,
        /// The order's.
        expected: u16,
    },
    /// It has other rows than those that were drawn.
    #[error("its rows are not those that were drawn")]
    Rows,
    /// A row is not one of those that were held out.
    #[error("row {0} is not what was held out")]
    Row(u32),
    /// The rows are no data.
    #[error(transparent)]
    Data(#[from] DataError),
}

fn classes_of(task: Task) -> u16 {
    match task {
        Task::Classes(classes) => classes,
        Task::Number => 0,
    }
}

/// `leaf(number 4 ‖ salt 32 ‖ features, 2 each ‖ label 4)`, the number big-endian, the rest little-endian as in a data set.
fn leaf(number: u32, salt: B256, values: &[i16], label: i32) -> B256 {
    let mut bytes = [&number.to_be_bytes()[..], &salt[..]].concat();
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend(label.to_le_bytes());
    merkle::leaf(&bytes)
}

/// `keccak256("DTN/train/holdout" ‖ classes 2 ‖ features 2 ‖ rows 4 ‖ tree)`, numbers big-endian.
fn root(classes: u16, features: u16, rows: u32, tree: B256) -> B256 {
    let head = [&classes.to_be_bytes()[..], &features.to_be_bytes(), &rows.to_be_bytes()].concat();
    keccak256([b"DTN/train/holdout", &head[..], &tree[..]].concat())
}

impl Holdout {
    /// Salts rows by a secret: `keccak256(secret ‖ number 4)`, big-endian.
    pub fn new(data: Dataset, secret: B256) -> Self {
        let leaf = |number: u32| {
            let row = number as usize;
            leaf(number, salt(secret, number), data.features(row), data.label(row))
        };
        let levels = levels((0..data.outline().rows).map(leaf).collect());
        Self { data, secret, levels }
    }

    /// What the order names.
    pub fn table(&self) -> Table {
        let outline = self.data.outline();
        let root = root(classes_of(outline.task), outline.features, outline.rows, self.top());
        Table { root, rows: outline.rows }
    }

    fn top(&self) -> B256 {
        self.levels.last().map_or(B256::ZERO, |top| top[0])
    }

    /// The rows.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// Shows rows; those that are none are left out.
    pub fn open(&self, numbers: &[u32]) -> Opening {
        let outline = self.data.outline();
        let row = |number: &u32| {
            let row = *number as usize;
            if row >= self.data.rows() {
                return None;
            }
            let below = &self.levels[..self.levels.len() - 1];
            let path = below.iter().enumerate().map(|(depth, level)| level[(row >> depth) ^ 1]).collect();
            let (values, label) = (self.data.features(row).to_vec(), self.data.label(row));
            Some(OpenRow { number: *number, salt: salt(self.secret, *number), values, label, path })
        };
        let (classes, features) = (classes_of(outline.task), outline.features);
        Opening { classes, features, rows: numbers.iter().filter_map(row).collect() }
    }
}

fn salt(secret: B256, number: u32) -> B256 {
    keccak256([&secret[..], &number.to_be_bytes()].concat())
}

impl Opening {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Self::encode`] has written.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_OPENING_BYTES)
    }

    /// The rows as data, if they are the drawn ones of a table.
    pub fn data(&self, of: Table, numbers: &[u32], classes: u16) -> Result<Dataset, OpeningError> {
        let (is, expected) = (self.classes, classes);
        if is != expected {
            return Err(OpeningError::Classes { is, expected });
        }
        if !self.rows.iter().map(|row| row.number).eq(numbers.iter().copied()) {
            return Err(OpeningError::Rows);
        }
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let leaf = leaf(row.number, row.salt, &row.values, row.label);
            let is_held_out = row.values.len() == usize::from(self.features)
                && row.number < of.rows
                && row.path.len() == depth(of.rows)
                && root(classes, self.features, of.rows, climb(row.number, leaf, &row.path)) == of.root;
            if !is_held_out {
                return Err(OpeningError::Row(row.number));
            }
            values.extend(&row.values);
            labels.push(row.label);
        }
        let task = if classes == 0 { Task::Number } else { Task::Classes(classes) };
        Ok(Dataset::new(task, self.features, values, labels)?)
    }
}

/// How many levels are above the leaves of so many rows.
fn depth(rows: u32) -> usize {
    rows.next_power_of_two().trailing_zeros() as usize
}

fn node(left: B256, right: B256) -> B256 {
    keccak256([left, right].concat())
}

fn levels(mut leaves: Vec<B256>) -> Vec<Vec<B256>> {
    leaves.resize(leaves.len().next_power_of_two(), B256::ZERO);
    let mut levels = vec![leaves];
    while let Some(level) = levels.last().filter(|level| level.len() > 1) {
        let above = level.chunks(2).map(|pair| node(pair[0], pair[1])).collect();
        levels.push(above);
    }
    levels
}

/// The root that a path leads to from a place.
fn climb(number: u32, leaf: B256, path: &[B256]) -> B256 {
    path.iter().enumerate().fold(leaf, |below, (depth, sibling)| match number >> depth & 1 {
        0 => node(below, *sibling),
        _ => node(*sibling, below),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn data() -> Dataset {
        let values = (0..20i16).collect();
        Dataset::new(Task::Classes(3), 2, values, (0..10).map(|row| row % 3).collect()).unwrap()
    }

    #[test]
    fn rows_that_are_opened_are_those_that_were_held_out() {
        let holdout = Holdout::new(data(), B256::repeat_byte(7));
        let (table, numbers) = (holdout.table(), [1, 4, 9]);
        let opening = Opening::decode(&holdout.open(&numbers).encode()).unwrap();
        let shown = opening.data(table, &numbers, 3).unwrap();
        assert_eq!((shown.rows(), shown.features(2), shown.label(1)), (3, data().features(9), data().label(4)));
        assert_eq!(opening.data(table, &[1, 4], 3), Err(OpeningError::Rows));
        assert_eq!(opening.data(table, &numbers, 2), Err(OpeningError::Classes { is: 3, expected: 2 }));
        let changes: [fn(&mut Opening); 6] = [
            |it| it.rows[1].label = 0,
            |it| it.rows[1].values[0] += 1,
            |it| it.rows[1].salt = B256::ZERO,
            |it| it.rows[1].path.clear(),
            |it| _ = it.rows[1].values.pop(),
            |it| it.rows[1] = OpenRow { number: 4, ..it.rows[0].clone() },
        ];
        for change in changes {
            let mut lie = opening.clone();
            change(&mut lie);
            assert_eq!(lie.data(table, &numbers, 3), Err(OpeningError::Row(4)));
        }
        let narrow = Opening { features: 1, ..opening.clone() };
        assert_eq!(narrow.data(table, &numbers, 3), Err(OpeningError::Row(1)));
        let fewer = Table { rows: 9, ..table };
        assert_eq!(opening.data(fewer, &numbers, 3), Err(OpeningError::Row(1)));
    }

    #[test]
    fn a_row_cannot_be_shown_in_another_ones_place() {
        let holdout = Holdout::new(data(), B256::repeat_byte(7));
        let mut opening = holdout.open(&[4]);
        for number in [5, 12, 20] {
            opening.rows[0].number = number;
            assert_eq!(opening.data(holdout.table(), &[number], 3), Err(OpeningError::Row(number)));
        }
        // Two rows of one number: the second one is in the place of another.
        let mut twice: Vec<_> = (0..4).map(|row| leaf(row, salt(B256::ZERO, row), &[0, 0], 0)).collect();
        twice[3] = leaf(2, B256::ZERO, &[0, 0], 1);
        let levels = levels(twice);
        let table = Table { root: root(3, 2, 4, levels[2][0]), rows: 4 };
        let path = vec![levels[0][2], levels[1][0]];
        let row = OpenRow { number: 2, salt: B256::ZERO, values: vec![0, 0], label: 1, path };
        let opening = Opening { classes: 3, features: 2, rows: vec![row] };
        assert_eq!(opening.data(table, &[2], 3), Err(OpeningError::Row(2)));
        assert_eq!(holdout.open(&[10, 3]).rows.len(), 1, "there is no such row");
    }

    #[test]
    fn without_its_secret_the_same_rows_have_another_root() {
        let of = |secret| Holdout::new(data(), B256::repeat_byte(secret)).table().root;
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), of(1));
    }
}
