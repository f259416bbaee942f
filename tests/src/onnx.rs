//! Builds ONNX models for tests, from the importer's own messages.

use prost::Message;
use tinymlp_codegen::import::proto::{
    AttributeProto, DimensionProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type,
    data_type,
};

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Value {
    /// A float.
    Float(f32),
    /// An integer.
    Int(i64),
    /// Text.
    Text(&'static str),
    /// Floats.
    Floats(Vec<f32>),
    /// Integers.
    Ints(Vec<i64>),
    /// Texts.
    Texts(Vec<&'static str>),
    /// A tensor.
    Tensor(TensorProto),
    /// A graph.
    Graph(GraphProto),
    /// In a function, the value of the call's attribute of that name.
    Reference(&'static str),
}

macro_rules! from {
    ($($type:ty => $variant:ident: $x:ident -> $value:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from($x: $type) -> Self {
                Self::$variant($value)
            }
        }
    )*};
}

from! {
    f32 => Float: x -> x, i64 => Int: x -> x, i32 => Int: x -> x.into(), &'static str => Text: x -> x,
    &[f32] => Floats: x -> x.to_vec(), &[i64] => Ints: x -> x.to_vec(), &[&'static str] => Texts: x -> x.to_vec(),
    TensorProto => Tensor: x -> x, GraphProto => Graph: x -> x,
}

/// An attribute.
pub fn attribute(name: &str, value: impl Into<Value>) -> AttributeProto {
    let mut a = AttributeProto { name: name.into(), ..AttributeProto::default() };
    a.r#type = match value.into() {
        Value::Float(x) => set(&mut a.f, x, attribute_type::FLOAT),
        Value::Int(x) => set(&mut a.i, x, attribute_type::INT),
        Value::Text(x) => set(&mut a.s, x.into(), attribute_type::STRING),
        Value::Floats(x) => set(&mut a.floats, x, attribute_type::FLOATS),
        Value::Ints(x) => set(&mut a.ints, x, attribute_type::INTS),
        Value::Texts(x) => {
            set(&mut a.strings, x.iter().map(|s| s.as_bytes().to_vec()).collect(), attribute_type::STRINGS)
        }
        Value::Tensor(x) => set(&mut a.t, Some(x), attribute_type::TENSOR),
        Value::Graph(x) => set(&mut a.g, Some(x), attribute_type::GRAPH),
        Value::Reference(x) => set(&mut a.ref_attr_name, x.into(), attribute_type::INT),
    };
    a
}

fn set<T>(field: &mut T, value: T, r#type: i32) -> i32 {
    *field = value;
    r#type
}

/// A float tensor.
pub fn floats(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    let raw_data = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorProto {
        name: name.into(),
        dims: dims.into(),
        data_type: data_type::FLOAT,
        raw_data,
        ..TensorProto::default()
    }
}

/// A tensor of integers.
pub fn ints(name: &str, dims: &[i64], data: &[i64]) -> TensorProto {
    let raw_data = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorProto {
        name: name.into(),
        dims: dims.into(),
        data_type: data_type::INT64,
        raw_data,
        ..TensorProto::default()
    }
}

/// A tensor of text.
pub fn texts(name: &str, dims: &[i64], data: &[&str]) -> TensorProto {
    let string_data = data.iter().map(|s| s.as_bytes().to_vec()).collect();
    TensorProto {
        name: name.into(),
        dims: dims.into(),
        data_type: data_type::STRING,
        string_data,
        ..TensorProto::default()
    }
}

/// A node; an operator of another domain is written `domain:Operator`.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    let (domain, op) = op.split_once(':').unwrap_or(("", op));
    let names = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
    NodeProto {
        input: names(inputs),
        output: names(outputs),
        op_type: op.into(),
        domain: domain.into(),
        attribute: attributes,
        ..NodeProto::default()
    }
}

/// An input or output of the given shape; negative extents are symbolic.
pub fn value_info(name: &str, elem_type: i32, dims: Option<&[i64]>) -> ValueInfoProto {
    let extent = |(axis, &d): (usize, &i64)| match d {
        d if d < 0 => DimensionProto { dim_value: None, dim_param: Some(format!("symbol{axis}")) },
        d => DimensionProto { dim_value: Some(d), dim_param: None },
    };
    let shape = dims.map(|dims| TensorShapeProto { dim: dims.iter().enumerate().map(extent).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// A model under construction.
#[derive(Clone, Debug)]
pub struct Model(pub ModelProto);

impl Model {
    /// An empty model of an opset, with ai.onnx.ml at version 3.
    pub fn new(opset: i64) -> Self {
        let import = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
        Self(ModelProto {
            ir_version: 8,
            producer_name: "tinymlp-tests".into(),
            graph: Some(GraphProto { name: "test".into(), ..GraphProto::default() }),
            opset_import: vec![import("", opset), import("ai.onnx.ml", 3)],
            ..ModelProto::default()
        })
    }

    /// The graph.
    ///
    /// # Panics
    /// Never: every model here has one.
    pub fn graph(&mut self) -> &mut GraphProto {
        self.0.graph.as_mut().expect("a graph")
    }

    /// Adds a float input; a negative extent is symbolic.
    #[must_use]
    pub fn input(mut self, name: &str, dims: &[i64]) -> Self {
        self.graph().input.push(value_info(name, data_type::FLOAT, Some(dims)));
        self
    }

    /// Adds an entry of the metadata.
    #[must_use]
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.0.metadata_props.push(StringStringEntryProto { key: key.into(), value: value.into() });
        self
    }

    /// Adds an initializer.
    #[must_use]
    pub fn initializer(mut self, tensor: TensorProto) -> Self {
        self.graph().initializer.push(tensor);
        self
    }

    /// Adds a node.
    #[must_use]
    pub fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> Self {
        self.graph().node.push(node(op, inputs, outputs, attributes));
        self
    }

    /// Adds a float output of unknown shape.
    #[must_use]
    pub fn output(mut self, name: &str) -> Self {
        self.graph().output.push(value_info(name, data_type::FLOAT, None));
        self
    }

    /// Adds a function of the domain `local`.
    #[must_use]
    pub fn function(mut self, name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<NodeProto>) -> Self {
        let names = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        self.0.functions.push(FunctionProto {
            name: name.into(),
            domain: "local".into(),
            input: names(inputs),
            output: names(outputs),
            node: nodes,
            opset_import: self.0.opset_import.clone(),
            ..FunctionProto::default()
        });
        self
    }

    /// The contents of the file.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }
}
