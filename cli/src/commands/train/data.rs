//! Which data a command works on: shipped with the program, a CSV file or an encoded data set, and which part of it.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use dtn_peer::files::{self, Access};
use dtn_primitives::B256;
use dtn_train::{
    Dataset, Holdout, Import, LabelColumn, Scaling,
    data::{MAX_DATA_BYTES, SHIPPED},
    shipped,
};

use crate::output;

/// What data, read how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub(super) struct DataOptions {
    /// digits, breast-cancer, wine, iris or diabetes; or a file: CSV, or what --save-data has written
    data: String,
    /// The column of a CSV file that is the label; the last one without
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Labels of a CSV file are numbers, not classes
    #[arg(long)]
    number: bool,
    /// How the features of a CSV file are scaled, each column by itself
    #[arg(long, value_enum, default_value_t = Scale::Standard)]
    scale: Scale,
    /// What is beyond ±8 after scaling becomes that, instead of being refused
    #[arg(long)]
    clip: bool,
    /// How many rows are kept from training: a number, or a part such as 20%
    #[arg(long, default_value = "20%", value_name = "ROWS")]
    holdout: Holdout,
    /// Which rows those are is drawn from this
    #[arg(long, default_value_t = B256::ZERO, hide_default_value = true, value_name = "HASH")]
    split: B256,
}

/// How columns are scaled.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scale {
    /// To a mean of 0 and a standard deviation of 1
    Standard,
    /// To 0 up to 1
    Minmax,
    /// Not at all
    None,
}

/// The rows to train on, and those to score on.
pub(super) struct Parts {
    pub(super) training: Dataset,
    pub(super) holdout: Dataset,
}

impl DataOptions {
    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.data
    }

    /// All rows.
    pub(super) fn all(&self) -> Result<Dataset> {
        if SHIPPED.contains(&self.data.as_str()) {
            return Ok(shipped(&self.data)?);
        }
        let path = PathBuf::from(&self.data);
        let known = || format!("{}; what is in this program is called {}", path.display(), SHIPPED.join(", "));
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
            let file = File::open(&path).with_context(known)?;
            return self.import(file).with_context(|| path.display().to_string());
        }
        let bytes = files::read(&path, MAX_DATA_BYTES as u64).with_context(known)?;
        Dataset::decode(&bytes).with_context(|| path.display().to_string())
    }

    fn import(&self, file: File) -> Result<Dataset> {
        let import = Import {
            label: self.label.clone().map_or(LabelColumn::Last, LabelColumn::Named),
            is_number: self.number,
            scaling: match self.scale {
                Scale::Standard => Scaling::Standard,
                Scale::Minmax => Scaling::MinMax,
                Scale::None => Scaling::None,
            },
            clip: self.clip,
        };
        let imported = import.read(file)?;
        if imported.clipped > 0 {
            output::warn(format_args!("{} values were beyond their limit, and were clipped", imported.clipped));
        }
        Ok(imported.data)
    }

    /// How many of so many rows are held out.
    pub(super) fn held_out(&self, rows: u32) -> u32 {
        self.holdout.of(rows)
    }

    /// The two parts of it.
    pub(super) fn parts(&self) -> Result<Parts> {
        let data = self.all()?;
        let rows = data.rows() as u32;
        let held_out = self.held_out(rows);
        ensure!(
            (1..rows).contains(&held_out),
            "--holdout is {held_out} rows of {rows}: keep at least one, and train on at least one"
        );
        let (training, holdout) = data.split(held_out, self.split)?;
        Ok(Parts { training, holdout })
    }
}

/// Reads a file of at most so many bytes.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>> {
    files::read(path, most as u64).with_context(|| format!("reading {}", path.display()))
}

/// Writes a file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(files::write(path, bytes, Access::Shared)?)
}
