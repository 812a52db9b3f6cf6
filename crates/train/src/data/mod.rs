//! Rows to learn from: features in Q12 and a label each. A data set has one encoding and one root.

mod holdout;
mod import;
mod scale;
mod shipped;

use std::fmt;

use dtn_primitives::{B256, keccak256, merkle};

pub use holdout::Holdout;
pub use import::{Import, ImportError, Imported, LabelColumn};
pub use scale::Scaling;
pub use shipped::{SHIPPED, UnknownData, shipped};

use crate::{
    number::MAX_ACTIVATION,
    random::shuffle,
    wire::{Reader, WireError},
};

/// The features of a row: with a bias, as many as a layer takes in.
pub const MAX_FEATURES: usize = crate::recipe::MAX_FAN_IN - 1;
/// The rows of a data set: so many squared errors fit 64 bits.
pub const MAX_ROWS: usize = 1_000_000;
/// The classes of a data set.
pub const MAX_CLASSES: usize = 256;
/// The bytes of an encoded data set, and of a file that is imported.
pub const MAX_DATA_BYTES: usize = 64 << 20;

/// What an encoded data set begins with; the last byte is the version.
const MAGIC: &[u8; 8] = b"DTNdata\x01";

/// What is to be told of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Which of so many classes it belongs to.
    Classes(u16),
    /// A number.
    Number,
}

impl Task {
    /// The logits of a model for it.
    pub fn outputs(self) -> usize {
        match self {
            Self::Classes(classes) => classes.into(),
            Self::Number => 1,
        }
    }

    /// Its classes, or 0 for a number.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Classes(classes) => classes,
            Self::Number => 0,
        }
    }

    /// What [`Self::code`] gave.
    pub(crate) fn of_code(code: u16) -> Option<Self> {
        match usize::from(code) {
            0 => Some(Self::Number),
            2..=MAX_CLASSES => Some(Self::Classes(code)),
            _ => None,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classes(classes) => write!(f, "{classes} classes"),
            Self::Number => f.write_str("a number"),
        }
    }
}

/// The size of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// What is to be told.
    pub task: Task,
    /// Features of a row.
    pub features: u16,
    /// Rows.
    pub rows: u32,
}

/// Why something is no data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// Something is too few or too many.
    #[error("{is} {what}: there may be {least} to {most}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        is: usize,
        /// The fewest.
        least: usize,
        /// The most.
        most: usize,
    },
    /// There are not as many features as rows would have.
    #[error("{values} features do not make {rows} rows of {features}")]
    Ragged {
        /// All features.
        values: usize,
        /// Rows.
        rows: usize,
        /// Features of a row.
        features: u16,
    },
    /// A label is no class, or beyond 64.
    #[error("row {row} has the label {label}, which it cannot have")]
    Label {
        /// The row, from 0.
        row: usize,
        /// The label.
        label: i32,
    },
    /// A file is none.
    #[error("no data set: {0}")]
    Wire(#[from] WireError),
}

/// Rows with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    task: Task,
    features: u16,
    values: Vec<i16>,
    labels: Vec<i32>,
}

impl Dataset {
    /// Features row by row, Q12, and a label each: a class, or a number in Q16 of at most 64.
    pub fn new(task: Task, features: u16, values: Vec<i16>, labels: Vec<i32>) -> Result<Self, DataError> {
        let count = |what, is, least, most| {
            if (least..=most).contains(&is) { Ok(()) } else { Err(DataError::Count { what, is, least, most }) }
        };
        count("features", features.into(), 1, MAX_FEATURES)?;
        count("rows", labels.len(), 1, MAX_ROWS)?;
        if let Task::Classes(classes) = task {
            count("classes", classes.into(), 2, MAX_CLASSES)?;
        }
        let rows = labels.len();
        if values.len() != rows * usize::from(features) {
            return Err(DataError::Ragged { values: values.len(), rows, features });
        }
        count("bytes", encoded_len(rows, features), 0, MAX_DATA_BYTES)?;
        let fits = |label: &i32| match task {
            Task::Classes(classes) => (0..i32::from(classes)).contains(label),
            Task::Number => (-MAX_ACTIVATION..=MAX_ACTIVATION).contains(label),
        };
        match labels.iter().enumerate().find(|(_, label)| !fits(label)) {
            Some((row, label)) => Err(DataError::Label { row, label: *label }),
            None => Ok(Self { task, features, values, labels }),
        }
    }

    /// Its size.
    pub fn outline(&self) -> Outline {
        Outline { task: self.task, features: self.features, rows: self.labels.len() as u32 }
    }

    /// The rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The features of a row. Panics if there is no such row.
    pub fn features(&self, row: usize) -> &[i16] {
        let width = usize::from(self.features);
        &self.values[row * width..(row + 1) * width]
    }

    /// The label of a row. Panics if there is no such row.
    pub fn label(&self, row: usize) -> i32 {
        self.labels[row]
    }

    /// What it is hashed and stored as: a header of sixteen bytes, and row by row the features and the label, little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(encoded_len(self.rows(), self.features));
        bytes.extend(self.header());
        (0..self.rows()).for_each(|row| self.write_row(row, &mut bytes));
        bytes
    }

    fn header(&self) -> Vec<u8> {
        let rows = self.labels.len() as u32;
        [&MAGIC[..], &self.task.code().to_le_bytes(), &self.features.to_le_bytes(), &rows.to_le_bytes()].concat()
    }

    fn write_row(&self, row: usize, bytes: &mut Vec<u8>) {
        bytes.extend(self.features(row).iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(self.label(row).to_le_bytes());
    }

    /// Reads what [`Self::encode`] has written.
    pub fn decode(bytes: &[u8]) -> Result<Self, DataError> {
        let mut reader = Reader::new(bytes, MAX_DATA_BYTES)?;
        reader.magic(MAGIC)?;
        let task = Task::of_code(reader.u16()?).ok_or(WireError::Value("the number of classes"))?;
        let (features, rows) = (reader.u16()?, reader.u32()?);
        let row_bytes = 2 * usize::from(features) + 4;
        reader.expect(u64::from(rows) * row_bytes as u64)?;
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let row = reader.take(row_bytes)?;
            let (features, label) = row.split_at(row_bytes - 4);
            values.extend(features.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])));
            labels.push(i32::from_le_bytes([label[0], label[1], label[2], label[3]]));
        }
        Self::new(task, features, values, labels)
    }

    /// What binds a training to it: `keccak256("DTN/train/data" ‖ header ‖ root)` with the root of the [`merkle`] tree over
    /// its rows, each after its number, big-endian.
    pub fn root(&self) -> B256 {
        let mut bytes = Vec::new();
        let leaf = |row: usize| {
            bytes.clear();
            bytes.extend((row as u32).to_be_bytes());
            self.write_row(row, &mut bytes);
            merkle::leaf(&bytes)
        };
        let leaves: Vec<_> = (0..self.rows()).map(leaf).collect();
        keccak256([b"DTN/train/data", &self.header()[..], &merkle::root(&leaves)[..]].concat())
    }

    /// Two parts: so many rows that a seed draws, and the rest, each in the order in which they are here. The first of the
    /// two is the rest, which is for training.
    pub fn split(&self, held_out: u32, seed: B256) -> Result<(Self, Self), DataError> {
        let order = shuffle(seed, self.rows() as u32);
        let (out, rest) = order.split_at(order.len().min(held_out as usize));
        let part = |rows: &[u32]| {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            let values = rows.iter().flat_map(|row| self.features(*row as usize)).copied().collect();
            let labels = rows.iter().map(|row| self.label(*row as usize)).collect();
            Self::new(self.task, self.features, values, labels)
        };
        Ok((part(rest)?, part(out)?))
    }
}

fn encoded_len(rows: usize, features: u16) -> usize {
    16 + rows * (2 * usize::from(features) + 4)
}
