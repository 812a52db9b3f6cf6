//! What training gives: a model, and the one file and root that it has.

use dtn_primitives::{B256, keccak256, merkle};

use crate::{
    data::{Dataset, MAX_FEATURES, Task},
    dense::{self, Layer},
    gbdt::{self, Node, Tree},
    number::{MAX_ACTIVATION, MAX_WEIGHT},
    recipe::{Form, MAX_DEPTH, MAX_HIDDEN_LAYERS, MAX_PARAMETERS, Shape},
    wire::{Reader, WireError},
};

/// What a model file begins with; the last byte is the version.
const MAGIC: &[u8; 8] = b"DTNmodl\x01";

/// The header, in which all that is not used is zero: numbers begin at a multiple of a word of the EVM.
const HEADER: usize = 32;

/// The leaves of a model's root.
const CHUNK: usize = 1024;

/// The bytes of the largest model file.
pub const MAX_MODEL_BYTES: usize = HEADER + 4 * MAX_PARAMETERS as usize;

/// A model that is trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    shape: Shape,
    body: Body,
}

/// The numbers of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// Layers.
    Dense(Vec<Layer>),
    /// Trees, round by round.
    Boosted(Vec<Tree>),
}

impl Body {
    /// The body's bytes: weights, layer by layer; or tree by tree nodes and leaves. Little-endian.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Dense(layers) => write_layers(layers, bytes),
            Self::Boosted(trees) => write_trees(trees, bytes),
        }
    }

    /// Reads what [`Self::write`] has written, where trees may be of fewer rounds than the model has in the end.
    pub(crate) fn read(reader: &mut Reader<'_>, shape: &Shape, rounds: u32) -> Result<Self, WireError> {
        match shape.form {
            Form::Dense(_) => {
                let layer = |(inputs, outputs): (usize, usize)| {
                    let weight = |_| reader.within(MAX_WEIGHT, "a weight");
                    let weights = (0..(inputs + 1) * outputs).map(weight).collect::<Result<_, _>>()?;
                    Ok(Layer { inputs, outputs, weights })
                };
                Ok(Self::Dense(shape.layers().into_iter().map(layer).collect::<Result<_, _>>()?))
            }
            Form::Boosted { depth, .. } => {
                let trees = (0..rounds as usize * shape.outputs()).map(|_| read_tree(reader, depth, shape.inputs));
                Ok(Self::Boosted(trees.collect::<Result<_, _>>()?))
            }
        }
    }
}

pub(crate) fn write_layers(layers: &[Layer], bytes: &mut Vec<u8>) {
    for layer in layers {
        bytes.extend(layer.weights.iter().flat_map(|weight| weight.to_le_bytes()));
    }
}

pub(crate) fn write_trees(trees: &[Tree], bytes: &mut Vec<u8>) {
    for Tree { nodes, leaves } in trees {
        for Node { feature, threshold } in nodes {
            bytes.extend(feature.to_le_bytes());
            bytes.extend(threshold.to_le_bytes());
        }
        bytes.extend(leaves.iter().flat_map(|leaf| leaf.to_le_bytes()));
    }
}

fn read_tree(reader: &mut Reader<'_>, depth: u8, inputs: u16) -> Result<Tree, WireError> {
    let mut tree = Tree::new(depth);
    for node in &mut tree.nodes {
        *node = Node { feature: reader.u16()?, threshold: reader.i16()? };
        if node.feature >= inputs {
            return Err(WireError::Value("a feature of a node"));
        }
    }
    for leaf in &mut tree.leaves {
        *leaf = reader.within(MAX_ACTIVATION, "a leaf")?;
    }
    Ok(tree)
}

/// A model and rows do not fit each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model is for {expected_features} features and {expected}, the data has {features} and {task}")]
pub struct OtherShape {
    /// The model's features.
    pub expected_features: u16,
    /// What the model tells.
    pub expected: Task,
    /// The data's features.
    pub features: u16,
    /// What the data asks.
    pub task: Task,
}

impl Model {
    pub(crate) fn new(shape: Shape, body: Body) -> Self {
        Self { shape, body }
    }

    /// A network that was trained elsewhere: how wide its inputs, its hidden layers and its outputs are, and the weights of each
    /// layer as [`Self::layers`] gives them. Refused is what [`Self::decode`] refuses.
    pub fn of_layers(task: Task, widths: &[usize], weights: Vec<Vec<i32>>) -> Result<Self, WireError> {
        let width = |width: &usize| u16::try_from(*width).map_err(|_| WireError::Value("the width of a layer"));
        let widths: Vec<u16> = widths.iter().map(width).collect::<Result<_, _>>()?;
        let [inputs, hidden @ .., _] = widths.as_slice() else { return Err(WireError::Value("the number of layers")) };
        if hidden.len() > MAX_HIDDEN_LAYERS {
            return Err(WireError::Value("the number of layers"));
        }
        let shape = Shape { task, inputs: *inputs, form: Form::Dense(hidden.to_vec()) };
        let layers = shape.layers().into_iter().zip(weights);
        let layers = layers.map(|((inputs, outputs), weights)| Layer { inputs, outputs, weights }).collect();
        Self::decode(&Self { shape, body: Body::Dense(layers) }.encode())
    }

    /// Its size.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The layers of a network: how many inputs and outputs each has, and its weights, Q24, a row for each input and a last one
    /// for the bias, with a column for each output. None of trees.
    pub fn layers(&self) -> Option<Vec<(usize, usize, &[i32])>> {
        match &self.body {
            Body::Dense(layers) => {
                Some(layers.iter().map(|layer| (layer.inputs, layer.outputs, layer.weights.as_slice())).collect())
            }
            Body::Boosted(_) => None,
        }
    }

    /// The file: a header of 32 bytes, and the numbers.
    pub fn encode(&self) -> Vec<u8> {
        let Shape { task, inputs, form } = &self.shape;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(task.code().to_le_bytes());
        bytes.extend(inputs.to_le_bytes());
        match form {
            Form::Dense(hidden) => {
                bytes.extend([0, hidden.len() as u8]);
                bytes.extend(hidden.iter().flat_map(|units| units.to_le_bytes()));
            }
            Form::Boosted { depth, rounds } => {
                bytes.extend([1, *depth]);
                bytes.extend(rounds.to_le_bytes());
            }
        }
        bytes.resize(HEADER, 0);
        self.body.write(&mut bytes);
        bytes
    }

    /// Reads a file: nothing may be missing, follow, or be out of its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut header = Reader::new(bytes, MAX_MODEL_BYTES)?;
        let mut header = Reader::new(header.take(HEADER)?, HEADER)?;
        header.magic(MAGIC)?;
        let task = Task::of_code(header.u16()?).ok_or(WireError::Value("the number of classes"))?;
        let inputs = header.u16()?;
        if !(1..=MAX_FEATURES).contains(&inputs.into()) {
            return Err(WireError::Value("the number of features"));
        }
        let form = read_form(&mut header)?;
        if header.rest().iter().any(|byte| *byte != 0) {
            return Err(WireError::Value("the rest of the header"));
        }
        let shape = Shape { task, inputs, form };
        if shape.parameters() > MAX_PARAMETERS {
            return Err(WireError::Value("the number of parameters"));
        }
        let mut reader = Reader::new(bytes, MAX_MODEL_BYTES)?;
        reader.take(HEADER)?;
        reader.expect(4 * shape.parameters())?;
        let rounds = if let Form::Boosted { rounds, .. } = shape.form { rounds } else { 0 };
        Ok(Self { body: Body::read(&mut reader, &shape, rounds)?, shape })
    }

    /// What stands for it: `keccak256("DTN/train/model" ‖ length ‖ root)` with the length of the file in four bytes,
    /// big-endian, and the root of the [`merkle`] tree over its chunks of 1 KiB, each after its number.
    pub fn root(&self) -> B256 {
        let bytes = self.encode();
        tree_root(b"DTN/train/model", bytes.len() as u32, bytes.chunks(CHUNK))
    }

    /// What it says of rows from `rows.start` on, Q16, row by row.
    pub(crate) fn logits(&self, data: &Dataset, rows: std::ops::Range<usize>) -> Vec<i32> {
        match &self.body {
            Body::Dense(layers) => dense::logits(layers, data, rows),
            Body::Boosted(trees) => gbdt::logits(trees, data, rows),
        }
    }

    /// Whether it can be evaluated on such data.
    pub(crate) fn fits(&self, data: &Dataset) -> Result<(), OtherShape> {
        let (outline, Shape { task, inputs, .. }) = (data.outline(), &self.shape);
        if (outline.task, outline.features) == (*task, *inputs) {
            return Ok(());
        }
        let (features, task, expected) = (outline.features, outline.task, *task);
        Err(OtherShape { expected_features: *inputs, expected, features, task })
    }
}

fn read_form(header: &mut Reader<'_>) -> Result<Form, WireError> {
    match (header.u8()?, header.u8()?) {
        (0, layers) if usize::from(layers) <= MAX_HIDDEN_LAYERS => {
            let unit = |_| match header.u16()? {
                units if (1..=MAX_FEATURES).contains(&units.into()) => Ok(units),
                _ => Err(WireError::Value("the number of hidden units")),
            };
            Ok(Form::Dense((0..layers).map(unit).collect::<Result<_, _>>()?))
        }
        (1, depth) if (1..=MAX_DEPTH).contains(&depth) => match header.u32()? {
            0 => Err(WireError::Value("the number of rounds")),
            rounds => Ok(Form::Boosted { depth, rounds }),
        },
        _ => Err(WireError::Value("the form of the model")),
    }
}

/// `keccak256(tag ‖ number ‖ root)` with the root of the tree over items, each after its number; numbers big-endian.
pub(crate) fn tree_root<'a>(tag: &[u8], number: u32, items: impl Iterator<Item = &'a [u8]>) -> B256 {
    let leaf = |(number, item): (usize, &[u8])| merkle::leaf(&[&(number as u32).to_be_bytes(), item].concat());
    let leaves: Vec<_> = items.enumerate().map(leaf).collect();
    keccak256([tag, &number.to_be_bytes()[..], &merkle::root(&leaves)[..]].concat())
}
