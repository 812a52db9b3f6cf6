//! A network as an ONNX graph of 64-bit integers, which gives the very logits that peers compare.
//!
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>; only the messages and fields that are written.

use dtn_train::{MAX_ACTIVATION, Model, ONE};
use prost::Message;

use super::NotDense;

/// The version of the file's format, and of the operators.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// `TensorProto.DataType.INT64`.
const INT64: i32 = 7;

/// What a weight is behind its point, in bits.
const WEIGHT_BITS: u32 = 24;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetId>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetId {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Message)]
struct Kind {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorKind>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorKind {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    dim_param: Option<String>,
}

/// A graph under construction.
#[derive(Default)]
struct Graph {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Graph {
    fn constant(&mut self, name: &str, dims: &[usize], values: impl Iterator<Item = i64>) -> String {
        let dims = dims.iter().map(|dim| *dim as i64).collect();
        let raw_data = values.flat_map(i64::to_le_bytes).collect();
        self.initializers.push(TensorProto { dims, data_type: INT64, name: name.into(), raw_data });
        name.into()
    }

    fn node(&mut self, op_type: &str, inputs: [&str; 2], output: String) -> String {
        let input = inputs.map(String::from).into();
        self.nodes.push(NodeProto { input, output: vec![output.clone()], op_type: op_type.into() });
        output
    }
}

/// The bytes of the graph: `features` (rows × features, Q12) to `logits` (rows × outputs, Q16), both of 64-bit integers.
pub fn onnx(model: &Model) -> Result<Vec<u8>, NotDense> {
    let layers = model.layers().ok_or(NotDense)?;
    let mut graph = Graph::default();
    let one = |value: i64| std::iter::once(value);
    let scale = graph.constant("to_q16", &[1], one(1 << 4));
    let half = graph.constant("half", &[1], one(1 << (WEIGHT_BITS - 1)));
    let unit = graph.constant("unit", &[1], one(1 << WEIGHT_BITS));
    let most = graph.constant("most", &[1], one(i64::from(MAX_ACTIVATION)));
    let least = graph.constant("least", &[1], one(-i64::from(MAX_ACTIVATION)));
    let zero = graph.constant("zero", &[1], one(0));
    let mut values = graph.node("Mul", ["features", &scale], "values".into());
    let (count, mut outputs_of_last) = (layers.len(), 0);
    for (at, (inputs, outputs, weights)) in layers.into_iter().enumerate() {
        let name = |part: &str| format!("layer.{at}.{part}");
        let (matrix, bias) = weights.split_at(inputs * outputs);
        let matrix = graph.constant(&name("weight"), &[inputs, outputs], matrix.iter().map(|it| i64::from(*it)));
        // The bias is the weight of an input that is one, Q16.
        let bias = graph.constant(&name("bias"), &[outputs], bias.iter().map(|it| i64::from(*it) * i64::from(ONE)));
        let product = graph.node("MatMul", [&values, &matrix], name("product"));
        let sum = graph.node("Add", [&product, &bias], name("sum"));
        // Rounded to the nearest, halves up: the remainder has the sign of the divisor, so that this is a floor.
        let raised = graph.node("Add", [&sum, &half], name("raised"));
        let rest = graph.node("Mod", [&raised, &unit], name("rest"));
        let whole = graph.node("Sub", [&raised, &rest], name("whole"));
        let shifted = graph.node("Div", [&whole, &unit], name("shifted"));
        let above = graph.node("Max", [&shifted, &least], name("above"));
        values = match at + 1 == count {
            true => graph.node("Min", [&above, &most], "logits".into()),
            false => {
                let within = graph.node("Min", [&above, &most], name("within"));
                graph.node("Max", [&within, &zero], name("rectified"))
            }
        };
        outputs_of_last = outputs;
    }
    let value = |name: &str, columns: usize| {
        let rows = Dimension { dim_value: None, dim_param: Some("rows".into()) };
        let columns = Dimension { dim_value: Some(columns as i64), dim_param: None };
        let shape = Some(TensorShape { dim: vec![rows, columns] });
        ValueInfo { name: name.into(), kind: Some(Kind { tensor: Some(TensorKind { elem_type: INT64, shape }) }) }
    };
    let graph = GraphProto {
        node: graph.nodes,
        name: "dtn".into(),
        initializer: graph.initializers,
        input: vec![value("features", model.shape().inputs.into())],
        output: vec![value("logits", outputs_of_last)],
    };
    let opset_import = vec![OperatorSetId { domain: String::new(), version: OPSET }];
    let file = ModelProto { ir_version: IR_VERSION, producer_name: "dtn".into(), graph: Some(graph), opset_import };
    Ok(file.encode_to_vec())
}
