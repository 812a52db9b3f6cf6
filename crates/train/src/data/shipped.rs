//! Real data that is in the program, so that there is something to train on without a network. Where it comes from is in
//! `crates/train/data/README.md`.

use super::{
    DataError, Dataset, Task,
    import::{Import, ImportError, LabelColumn},
    scale::Scaling,
};

/// The names of what is here.
pub const SHIPPED: [&str; 5] = ["digits", "breast-cancer", "wine", "iris", "diabetes"];

/// Pictures of 8 × 8, each with its digit.
const DIGITS: &str = include_str!("../../data/digits.csv");

/// A shade is a digit to this base.
const SHADES: u32 = 17;

/// There is no data of this name, or it does not read.
#[derive(Debug, thiserror::Error)]
pub enum UnknownData {
    /// No such name.
    #[error("no data named {name:?} is in this program: there are {}", SHIPPED.join(", "))]
    Name {
        /// What was asked for.
        name: String,
    },
    /// Not for a name of [`SHIPPED`], as a test shows.
    #[error("{0}")]
    Damaged(#[from] ImportError),
}

/// The data of this name: shades of digits from 0 to 1, everything else with a mean of 0 and a deviation of 1.
pub fn shipped(name: &str) -> Result<Dataset, UnknownData> {
    let text = match name {
        "digits" => return Ok(digits().map_err(ImportError::from)?),
        "breast-cancer" => include_str!("../../data/breast-cancer.csv"),
        "wine" => include_str!("../../data/wine.csv"),
        "iris" => include_str!("../../data/iris.csv"),
        "diabetes" => include_str!("../../data/diabetes.csv"),
        _ => return Err(UnknownData::Name { name: name.into() }),
    };
    let is_number = name == "diabetes";
    // A few cells of breast-cancer are more than eight deviations from the mean.
    let import = Import { label: LabelColumn::Last, is_number, scaling: Scaling::Standard, clip: true };
    Ok(import.read(text.as_bytes())?.data)
}

fn digits() -> Result<Dataset, DataError> {
    let rows = DIGITS.lines().skip(1).filter_map(|line| line.split_once(','));
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for (picture, label) in rows {
        values.extend(picture.chars().filter_map(|shade| shade.to_digit(SHADES)).map(|shade| (shade << 8) as i16));
        labels.extend(label.parse::<i32>());
    }
    Dataset::new(Task::Classes(10), 64, values, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_shipped_reads_and_has_the_rows_of_its_source() {
        let sizes = SHIPPED.map(|name| shipped(name).expect("shipped").outline());
        let sizes = sizes.map(|outline| (outline.rows, outline.features, outline.task));
        let classes = Task::Classes;
        assert_eq!(
            sizes,
            [
                (1797, 64, classes(10)),
                (569, 30, classes(2)),
                (178, 13, classes(3)),
                (150, 4, classes(3)),
                (442, 10, Task::Number),
            ]
        );
        assert!(matches!(shipped("mnist"), Err(UnknownData::Name { name }) if name == "mnist"));
    }
}
