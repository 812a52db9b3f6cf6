//! What training is, by options or by a file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use dtn_peer::files;
use dtn_train::{Family, Fraction, Grid, Recipe};

/// A family of models and how it is trained. Of hyperparameters several values make a grid.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recipe")]
pub(super) struct RecipeOptions {
    #[command(flatten)]
    family: FamilyOptions,
    /// How often each row is seen; of trees, the rounds
    #[arg(long, default_value_t = 40)]
    epochs: u32,
    /// The rows of a step, a power of two; 0 of trees [default: 32]
    #[arg(long)]
    batch: Option<u16>,
    /// The steps after which the state is hashed [default: 32, of trees 4]
    #[arg(long)]
    segment_steps: Option<u32>,
    /// How many values of a feature trees tell apart
    #[arg(long, default_value_t = 64)]
    bins: u8,
    /// How far a step goes [default: 0.05, of trees 0.3]
    #[arg(long, value_delimiter = ',')]
    learning_rate: Vec<Fraction>,
    /// How much of its velocity a weight keeps [default: 0.9]
    #[arg(long, value_delimiter = ',')]
    momentum: Vec<Fraction>,
    /// How strongly weights are pulled to zero [default: 0.001, of trees 0.3]
    #[arg(long, value_delimiter = ',')]
    l2: Vec<Fraction>,
    /// The part of the rows that a tree sees [default: 0.5]
    #[arg(long, value_delimiter = ',')]
    sample: Vec<Fraction>,
    /// The least weight of a leaf
    #[arg(long, value_delimiter = ',')]
    min_weight: Vec<Fraction>,
}

/// One of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct FamilyOptions {
    /// Softmax regression; of numbers, least squares
    #[arg(long)]
    linear: bool,
    /// A network with so many units in each of one to three hidden layers
    #[arg(long, value_delimiter = ',', value_name = "UNITS")]
    mlp: Vec<u16>,
    /// Boosted trees with so many levels
    #[arg(long, value_name = "LEVELS")]
    gbdt: Option<u8>,
    /// A recipe in TOML
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "epochs", "batch", "segment_steps", "bins", "learning_rate", "momentum", "l2", "sample", "min_weight",
    ])]
    recipe: Option<PathBuf>,
}

impl RecipeOptions {
    /// What they say, not yet checked.
    pub(super) fn recipe(&self) -> Result<Recipe> {
        let FamilyOptions { linear, mlp, gbdt, recipe } = &self.family;
        if let Some(file) = recipe {
            return Ok(files::read_toml(file)?);
        }
        let are_trees = gbdt.is_some();
        let family = match gbdt {
            Some(depth) => Family::Gbdt { depth: *depth, bins: self.bins },
            None if *linear => Family::Linear,
            None => Family::Mlp { hidden: mlp.clone() },
        };
        let or = |given: &Vec<Fraction>, default: Option<u32>| match default {
            Some(default) if given.is_empty() => vec![Fraction(default)],
            _ => given.clone(),
        };
        // In steps of 2^-16, what the help says.
        let grid = Grid {
            learning_rate: or(&self.learning_rate, Some(if are_trees { 19_661 } else { 3277 })),
            momentum: or(&self.momentum, (!are_trees).then_some(58_982)),
            l2: or(&self.l2, Some(if are_trees { 19_661 } else { 66 })),
            sample: or(&self.sample, are_trees.then_some(32_768)),
            min_weight: self.min_weight.clone(),
        };
        let batch = self.batch.unwrap_or(if are_trees { 0 } else { 32 });
        let segment_steps = self.segment_steps.unwrap_or(if are_trees { 4 } else { 32 });
        Ok(Recipe { family, grid, epochs: self.epochs, batch, segment_steps })
    }
}
