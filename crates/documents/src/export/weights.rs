//! A network as safetensors, for programs that go on with it.

use std::collections::HashMap;

use dtn_train::Model;
use safetensors::{Dtype, tensor::TensorView};

use super::NotDense;

/// How weights are written, for whoever reads them.
const LAYOUT: &str =
    "layer.I.weight has a row for each input and a column for each output, layer.I.bias one for each output";

/// The bytes of a file with the weights of each layer as 32-bit integers; its metadata says how they are scaled.
pub fn safetensors(model: &Model) -> Result<Vec<u8>, NotDense> {
    let layers = model.layers().ok_or(NotDense)?;
    let bytes = |weights: &[i32]| weights.iter().flat_map(|weight| weight.to_le_bytes()).collect::<Vec<_>>();
    let mut tensors = Vec::new();
    for (at, (inputs, outputs, weights)) in layers.into_iter().enumerate() {
        let (matrix, bias) = weights.split_at(inputs * outputs);
        tensors.push((format!("layer.{at}.weight"), vec![inputs, outputs], bytes(matrix)));
        tensors.push((format!("layer.{at}.bias"), vec![outputs], bytes(bias)));
    }
    let facts = [
        ("format", "dtn"),
        ("layout", LAYOUT),
        ("weights", "divide by 2^24"),
        ("features", "are Q12: divide by 2^12 what a data set has"),
        ("root", &model.root().to_string()),
    ];
    let facts: HashMap<_, _> = facts.map(|(key, value)| (key.to_string(), value.to_string())).into();
    let mut views = Vec::new();
    for (name, shape, bytes) in &tensors {
        // Its bytes are as many as its shape says.
        views.push((name, TensorView::new(Dtype::I32, shape.clone(), bytes).map_err(|_| NotDense)?));
    }
    safetensors::serialize(views, Some(facts)).map_err(|_| NotDense)
}
