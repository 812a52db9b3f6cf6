//! A network as other programs write it: floats in JSON, rounded to what the kernel computes with.

use dtn_train::{MAX_HIDDEN_LAYERS, MAX_PARAMETERS, MAX_WEIGHT, Model, Task, WireError};
use serde::Deserialize;

/// The longest file: 64 bytes a weight of the largest model.
pub const MAX_JSON_BYTES: u64 = 64 * MAX_PARAMETERS;

/// A one of weights, Q24.
const ONE: f64 = 16_777_216.0;

/// Why a file is no network.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// It is no JSON, or another one.
    #[error("{0}; it has to be {{\"layers\": [{{\"weights\": [[…]], \"bias\": […]}}]}}")]
    Json(#[from] serde_json::Error),
    /// It has too many layers, or none.
    #[error("it has {0} layers, and has to have 1 to {most}", most = MAX_HIDDEN_LAYERS + 1)]
    Layers(usize),
    /// A layer has another number of rows than it has inputs.
    #[error("layer {layer} has weights for {is} inputs, and there are {expected}")]
    Inputs {
        /// Which, from 0.
        layer: usize,
        /// How many rows it has.
        is: usize,
        /// How many inputs there are.
        expected: usize,
    },
    /// A row of weights is not as long as the bias.
    #[error("layer {layer} has {is} weights for input {input}, and {expected} biases")]
    Outputs {
        /// Which, from 0.
        layer: usize,
        /// Which row, from 0.
        input: usize,
        /// How many weights it has.
        is: usize,
        /// How many biases there are.
        expected: usize,
    },
    /// The last layer has another number of outputs than is asked for.
    #[error("the last layer has {is} outputs, and has to have {expected}")]
    Last {
        /// How many it has.
        is: usize,
        /// How many are asked for.
        expected: usize,
    },
    /// A weight is larger than the kernel computes with.
    #[error("layer {layer} has a weight or bias of {is}, and the largest are 16 and -16")]
    Weight {
        /// Which, from 0.
        layer: usize,
        /// What it is.
        is: f64,
    },
    /// It is wider or larger than any model may be.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What a file has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layers {
    layers: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    /// A row for each input, with a weight for each output.
    weights: Vec<Vec<f64>>,
    bias: Vec<f64>,
}

/// Reads a network from `{"layers": [{"weights": [[…]], "bias": […]}]}`, with a row of weights for each input and a weight in it
/// for each output, as scikit-learn's `coefs_` and the transpose of PyTorch's `weight` have them. Each number is rounded to the
/// nearest multiple of 2⁻²⁴; between layers is a ReLU.
pub fn model_of_json(bytes: &[u8], task: Task) -> Result<Model, LayersError> {
    let Layers { layers } = serde_json::from_slice(bytes)?;
    if !(1..=MAX_HIDDEN_LAYERS + 1).contains(&layers.len()) {
        return Err(LayersError::Layers(layers.len()));
    }
    let mut expected = layers[0].weights.len();
    let mut widths = vec![expected];
    let mut weights = Vec::new();
    for (number, Layer { weights: rows, bias }) in layers.iter().enumerate() {
        if rows.len() != expected {
            return Err(LayersError::Inputs { layer: number, is: rows.len(), expected });
        }
        expected = bias.len();
        if let Some((input, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != expected) {
            return Err(LayersError::Outputs { layer: number, input, is: row.len(), expected });
        }
        let rounded = rows.iter().flatten().chain(bias).map(|weight| round(number, *weight));
        weights.push(rounded.collect::<Result<Vec<_>, _>>()?);
        widths.push(expected);
    }
    if expected != task.outputs() {
        return Err(LayersError::Last { is: expected, expected: task.outputs() });
    }
    Ok(Model::of_layers(task, &widths, weights)?)
}

fn round(layer: usize, is: f64) -> Result<i32, LayersError> {
    let rounded = (is * ONE).round();
    match rounded.abs() <= f64::from(MAX_WEIGHT) {
        true => Ok(rounded as i32),
        false => Err(LayersError::Weight { layer, is }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_train::{Dataset, Evaluation, Score};

    use super::*;

    fn refused(text: &str) -> String {
        model_of_json(text.as_bytes(), Task::Classes(2)).unwrap_err().to_string()
    }

    #[test]
    fn floats_become_the_nearest_weights_and_the_model_says_what_they_say() {
        let text = r#"{"layers": [
            {"weights": [[1, -1, 0.5], [0, 1, -16]], "bias": [0.25, 0, 2.98023223876953125e-8]},
            {"weights": [[1, 0], [0, 1], [0.1, 0.3]], "bias": [0, 16]}]}"#;
        let model = model_of_json(text.as_bytes(), Task::Classes(2)).unwrap();
        let layers = model.layers().unwrap();
        assert_eq!((layers.len(), layers[0].0, layers[0].1, layers[1].0, layers[1].1), (2, 2, 3, 3, 2));
        let one = 1 << 24;
        // Halves go away from zero.
        assert_eq!(layers[0].2, [one, -one, one / 2, 0, one, -16 * one, one / 4, 0, 1]);
        assert_eq!(layers[1].2, [one, 0, 0, one, 1_677_722, 5_033_165, 0, 16 * one]);
        // Features 1 and 0.5: hidden 1.25, 0 and 0; the outputs 1.25 and 16.
        let data = Dataset::new(Task::Classes(2), 2, vec![4096, 2048, 0, 0], vec![1, 0]).unwrap();
        let said = Evaluation::of(&model, &data).unwrap();
        assert_eq!(said.logits[..2], [81_920, 16 << 16]);
        assert!(matches!(said.score, Score::Classes { correct: 1, .. }));
    }

    #[test]
    fn what_is_no_network_for_the_task_is_refused_in_one_line_that_says_why() {
        for (text, why) in [
            ("", "EOF"),
            ("\u{0}\u{1}", "expected value"),
            ("[1, 2]", "layers"),
            (r#"{"layers": [{"weights": [[NaN, 0]], "bias": [0, 0]}]}"#, "expected"),
            (r#"{"layers": [{"weights": [[1e999, 0]], "bias": [0, 0]}]}"#, "out of range"),
            (r#"{"layers": []}"#, "0 layers"),
            (r#"{"layers": [{"weights": [], "bias": [0, 0]}]}"#, "features"),
            (r#"{"layers": [{"weights": [[0, 0]], "bias": [0, 0], "activation": "tanh"}]}"#, "activation"),
            (r#"{"layers": [{"weights": [[0, 0], [0]], "bias": [0, 0]}]}"#, "1 weights for input 1, and 2 biases"),
            (
                r#"{"layers": [{"weights": [[0]], "bias": [0]}, {"weights": [[0, 0], [0, 0]], "bias": [0, 0]}]}"#,
                "2 inputs",
            ),
            (r#"{"layers": [{"weights": [[0]], "bias": [0]}]}"#, "1 outputs, and has to have 2"),
            (r#"{"layers": [{"weights": [[0, 16.1]], "bias": [0, 0]}]}"#, "16.1"),
            (r#"{"layers": [{"weights": [[0, 1e300]], "bias": [0, 0]}]}"#, "layer 0"),
        ] {
            let said = refused(text);
            assert!(said.contains(why) && !said.contains('\n'), "{text}: {said}");
        }
        let five = format!(r#"{{"layers": [{}]}}"#, [r#"{"weights": [[0]], "bias": [0]}"#; 5].join(","));
        assert!(refused(&five).contains("5 layers"), "{}", refused(&five));
        let row = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        let wide = format!(
            r#"{{"layers": [{{"weights": [{0}], "bias": {0}}}, {{"weights": [{1}], "bias": [0,0]}}]}}"#,
            row(5000),
            vec!["[0,0]"; 5000].join(",")
        );
        assert!(refused(&wide).contains("hidden units"), "{}", refused(&wide));
    }
}
