//! Reading data sets from CSV: numbers exactly as they are written, and every fault by its line.

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use csv::{ReaderBuilder, StringRecord};

use super::{
    DataError, Dataset, MAX_CLASSES, MAX_DATA_BYTES, MAX_FEATURES, MAX_ROWS, Task,
    scale::{Scaling, scaled},
};
use crate::number::{Decimal, MAX_ACTIVATION};

/// Which column is the label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelColumn {
    /// The last one.
    Last,
    /// The one of this name.
    Named(String),
}

/// How a file is to be read. Its first line names the columns.
#[derive(Debug, Clone)]
pub struct Import {
    /// The label; all others are features.
    pub label: LabelColumn,
    /// Labels are numbers, scaled to a mean of 0 and a deviation of 1, and not classes.
    pub is_number: bool,
    /// How features are scaled, each column by itself.
    pub scaling: Scaling,
    /// What is beyond ±8 after scaling, or a label beyond ±64, becomes that; it is an error otherwise.
    pub clip: bool,
}

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The data.
    pub data: Dataset,
    /// The names of its classes, by their numbers; none of numbers.
    pub classes: Vec<String>,
    /// How many values were clipped.
    pub clipped: usize,
}

/// Why a file is no data set. Lines count from 1, the header's.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It is longer than [`MAX_DATA_BYTES`].
    #[error("the file is longer than {} MiB", MAX_DATA_BYTES >> 20)]
    TooLong,
    /// It is no text in UTF-8.
    #[error("line {line}: {reason}")]
    NotText {
        /// Where.
        line: u64,
        /// What the parser says.
        reason: csv::Error,
    },
    /// Its first line has numbers only.
    #[error("the first line has numbers only: begin with a line that names the columns")]
    NoHeader,
    /// It has no column of this name.
    #[error("there is no column {name:?}: there are {}", .columns.join(", "))]
    NoColumn {
        /// The name.
        name: String,
        /// The columns.
        columns: Vec<String>,
    },
    /// A line has more or fewer fields than the first.
    #[error("line {line} has {is} fields, the first line {expected}")]
    Ragged {
        /// Where.
        line: u64,
        /// Its fields.
        is: usize,
        /// Those of the first line.
        expected: usize,
    },
    /// A field is no finite decimal number of at most 30 digits.
    #[error("line {line}, column {column:?}: {text:?} is no number")]
    NoNumber {
        /// Where.
        line: u64,
        /// In which column.
        column: String,
        /// What is there.
        text: String,
    },
    /// A line has no label.
    #[error("line {line} has no label")]
    NoLabel {
        /// Where.
        line: u64,
    },
    /// There are no two classes.
    #[error("all labels are {0:?}: there is nothing to learn")]
    OneClass(String),
    /// There are more than [`MAX_CLASSES`].
    #[error("there are {0} different labels, and at most {MAX_CLASSES} classes: are they numbers?")]
    Classes(usize),
    /// A column has numbers that cannot be scaled.
    #[error("column {column:?} has numbers beyond 2^36")]
    TooLarge {
        /// Which.
        column: String,
    },
    /// A feature or a label cannot be represented.
    #[error("line {line}, column {column:?}: {text} is beyond ±{limit} after scaling; clipping makes it that")]
    Beyond {
        /// Where.
        line: u64,
        /// In which column.
        column: String,
        /// What it would be, in decimals.
        text: String,
        /// The most that it may be.
        limit: u8,
    },
    /// The rows make no data set.
    #[error("{0}")]
    Data(#[from] DataError),
}

impl Import {
    /// Reads a file.
    pub fn read(&self, from: impl Read) -> Result<Imported, ImportError> {
        let mut text = Vec::new();
        from.take(MAX_DATA_BYTES as u64 + 1).read_to_end(&mut text)?;
        if text.len() > MAX_DATA_BYTES {
            return Err(ImportError::TooLong);
        }
        let table = Table::read(&text)?;
        let label = match &self.label {
            LabelColumn::Last => table.columns.len() - 1,
            LabelColumn::Named(name) => table.columns.iter().position(|column| column == name).ok_or_else(|| {
                let columns = table.columns.clone();
                ImportError::NoColumn { name: name.clone(), columns }
            })?,
        };
        let features: Vec<_> = (0..table.columns.len()).filter(|column| *column != label).collect();
        let too_few = || DataError::Count { what: "features", is: features.len(), least: 1, most: MAX_FEATURES };
        let width = u16::try_from(features.len()).ok().filter(|width| *width > 0).ok_or_else(too_few)?;
        if table.rows.is_empty() {
            return Err(rows(0).into());
        }
        let mut clipped = 0;
        let (task, labels, classes) = if self.is_number {
            let numbers = self.column(&table, label, Scaling::Standard, Range::LABELS, &mut clipped)?;
            (Task::Number, numbers, Vec::new())
        } else {
            let (labels, classes) = table.classes(label)?;
            (Task::Classes(classes.len() as u16), labels, classes)
        };
        let mut values = vec![0; features.len() * table.rows.len()];
        for (place, column) in features.into_iter().enumerate() {
            let column = self.column(&table, column, self.scaling, Range::FEATURES, &mut clipped)?;
            let places = values.iter_mut().skip(place).step_by(width.into());
            places.zip(column).for_each(|(place, value)| *place = value as i16);
        }
        Ok(Imported { data: Dataset::new(task, width, values, labels)?, classes, clipped })
    }

    /// The numbers of a column, within a range.
    fn column(
        &self,
        table: &Table,
        column: usize,
        scaling: Scaling,
        range: Range,
        clipped: &mut usize,
    ) -> Result<Vec<i32>, ImportError> {
        let name = || table.columns[column].clone();
        let numbers = table.numbers(column)?;
        let scaled = scaled(&numbers, scaling, range.bits).ok_or_else(|| ImportError::TooLarge { column: name() })?;
        let mut found = Vec::with_capacity(scaled.len());
        for (row, value) in scaled.into_iter().enumerate() {
            let within = value.clamp(range.least, range.most);
            if within != value && !self.clip {
                let text = format!("{:.3}", value as f64 / f64::from(1 << range.bits));
                let (line, limit) = (table.rows[row].0, (range.most >> range.bits) as u8 + range.is_open);
                return Err(ImportError::Beyond { line, column: name(), text, limit });
            }
            *clipped += usize::from(within != value);
            found.push(within as i32);
        }
        Ok(found)
    }
}

/// What a number may be.
#[derive(Debug, Clone, Copy)]
struct Range {
    bits: u32,
    least: i64,
    most: i64,
    /// 1 if the limit itself is one too many, as in two's complement.
    is_open: u8,
}

impl Range {
    const FEATURES: Self = Self { bits: 12, least: i16::MIN as i64, most: i16::MAX as i64, is_open: 1 };
    const LABELS: Self = Self { bits: 16, least: -(MAX_ACTIVATION as i64), most: MAX_ACTIVATION as i64, is_open: 0 };
}

/// There are none, or too many.
fn rows(is: usize) -> DataError {
    DataError::Count { what: "rows", is, least: 1, most: MAX_ROWS }
}

/// The fields of a file.
struct Table {
    columns: Vec<String>,
    /// With their lines.
    rows: Vec<(u64, StringRecord)>,
}

impl Table {
    fn read(text: &[u8]) -> Result<Self, ImportError> {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let mut table = Self { columns: Vec::new(), rows: Vec::new() };
        for record in reader.records() {
            let record = record.map_err(|reason| {
                let line = reason.position().map_or(0, csv::Position::line);
                ImportError::NotText { line, reason }
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            if table.columns.is_empty() {
                if record.iter().all(|field| Decimal::parse(field.trim()).is_some()) {
                    return Err(ImportError::NoHeader);
                }
                table.columns = record.iter().map(|name| name.trim().to_owned()).collect();
            } else if record.len() == table.columns.len() {
                // Before a file of many short lines takes more memory than all that is allowed.
                if table.rows.len() == MAX_ROWS {
                    return Err(rows(MAX_ROWS + 1).into());
                }
                table.rows.push((line, record));
            } else {
                return Err(ImportError::Ragged { line, is: record.len(), expected: table.columns.len() });
            }
        }
        if table.columns.is_empty() { Err(ImportError::NoHeader) } else { Ok(table) }
    }

    fn numbers(&self, column: usize) -> Result<Vec<Decimal>, ImportError> {
        let number = |(line, record): &(u64, StringRecord)| {
            let text = record[column].trim();
            Decimal::parse(text).ok_or_else(|| ImportError::NoNumber {
                line: *line,
                column: self.columns[column].clone(),
                text: text.chars().take(40).collect(),
            })
        };
        self.rows.iter().map(number).collect()
    }

    /// The class of each row, and the names of the classes: in the order of their numbers if all are whole numbers, else in
    /// that of their bytes.
    fn classes(&self, column: usize) -> Result<(Vec<i32>, Vec<String>), ImportError> {
        let label = |record: &StringRecord| record[column].trim().to_owned();
        if let Some((line, _)) = self.rows.iter().find(|(_, record)| label(record).is_empty()) {
            return Err(ImportError::NoLabel { line: *line });
        }
        let distinct: BTreeSet<String> = self.rows.iter().map(|(_, record)| label(record)).collect();
        let mut names: Vec<_> = distinct.into_iter().collect();
        let whole: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        if whole.is_some() {
            names.sort_by_key(|name| (name.parse::<i64>().ok(), name.clone()));
        }
        match &names[..] {
            [one] => Err(ImportError::OneClass(one.clone())),
            names if names.len() > MAX_CLASSES => Err(ImportError::Classes(names.len())),
            _ => {
                let number = |(_, record): &(u64, StringRecord)| {
                    names.iter().position(|name| *name == label(record)).unwrap_or_default() as i32
                };
                Ok((self.rows.iter().map(number).collect(), names))
            }
        }
    }
}
