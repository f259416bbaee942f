//! The lowerings: one file per ONNX operator, or per family of operators that differ in a formula only.

mod arg_max;
mod batch_normalization;
mod cast;
mod concat;
mod constant;
mod dequantize_linear;
mod elementwise;
mod gather;
mod gemm;
mod label_head;
mod layer_normalization;
mod mat_mul;
mod pad;
mod reduce;
mod reshape;
mod scaler;
mod shape;
mod slice;
mod softmax;
mod split;
mod transpose;

use super::lower::{Lowering, Result};
use super::proto::NodeProto;
use super::value::{Value, fault};
use crate::error::Problem;
use crate::graph::show_shape;

/// Lowers a node: gives its results, of which optional ones at the end may be missing.
pub(super) type Lower = fn(&mut Lowering) -> Result<Vec<Value>>;

/// The lowering of an operator.
pub(super) fn find(domain: &str, op: &str) -> Option<Lower> {
    match domain {
        "" => standard(op),
        "ai.onnx.ml" => Some(match op {
            "ArrayFeatureExtractor" => label_head::array_feature_extractor,
            "Binarizer" => scaler::binarizer,
            "FeatureVectorizer" => concat::feature_vectorizer,
            "LabelEncoder" => label_head::label_encoder,
            "LinearRegressor" => gemm::linear_regressor,
            "Normalizer" => scaler::normalizer,
            "Scaler" => scaler::scaler,
            "ZipMap" => label_head::zip_map,
            _ => return None,
        }),
        // As onnxruntime's optimizer writes it.
        "com.microsoft" if op == "Gelu" => Some(elementwise::lower),
        _ => None,
    }
}

fn standard(op: &str) -> Option<Lower> {
    Some(match op {
        "ArgMax" | "ArgMin" => arg_max::lower,
        "BatchNormalization" => batch_normalization::lower,
        "Cast" | "CastLike" => cast::lower,
        "Concat" => concat::lower,
        "Constant" => constant::lower,
        "ConstantOfShape" => constant::of_shape,
        "DequantizeLinear" => dequantize_linear::lower,
        "Dropout" | "Identity" => reshape::identity,
        "Expand" => shape::expand,
        "Flatten" => reshape::flatten,
        "Gather" => gather::lower,
        "GatherND" => gather::nd,
        "Gemm" => gemm::lower,
        "GlobalAveragePool" | "GlobalMaxPool" => reduce::global_pool,
        "LayerNormalization" | "RMSNormalization" => layer_normalization::lower,
        "LogSoftmax" | "Softmax" => softmax::lower,
        "LpNormalization" => reduce::lp_normalization,
        "MatMul" => mat_mul::lower,
        "Pad" => pad::lower,
        "Range" => constant::range,
        "Reshape" => reshape::lower,
        "Shape" | "Size" => shape::lower,
        "Slice" => slice::lower,
        "Split" => split::lower,
        "Squeeze" => reshape::squeeze,
        "Tile" => shape::tile,
        "Transpose" => transpose::lower,
        "Unsqueeze" => reshape::unsqueeze,
        _ if reduce::knows(op) => reduce::lower,
        _ if elementwise::knows(op) => elementwise::lower,
        _ => return None,
    })
}

/// What to say of an operator that has no lowering.
pub(super) fn unsupported(node: &NodeProto, inputs: &[Option<&Value>]) -> Problem {
    let shapes: Vec<_> = inputs
        .iter()
        .map(|input| match input {
            None | Some(Value::Poison) => "?".to_owned(),
            Some(v) => show_shape(v.shape()),
        })
        .collect();
    let op = if node.domain.is_empty() { node.op_type.clone() } else { format!("{}.{}", node.domain, node.op_type) };
    let on = if shapes.is_empty() { String::new() } else { format!(" (on {})", shapes.join(", ")) };
    fault(format!("operator {op} is not supported{on}")).help(advice(node))
}

/// What the user can do instead of using an operator.
fn advice(node: &NodeProto) -> &'static str {
    match node.op_type.as_str() {
        "QuantizeLinear" | "DynamicQuantizeLinear" | "QLinearMatMul" | "MatMulInteger" | "QGemm" | "QLinearAdd" => {
            "give the float model: the generator quantizes it itself"
        }
        op if op.contains("Conv") || op.contains("Pool") => {
            "only MLP-family networks can be compiled: replace the convolution by features computed before the model"
        }
        "LSTM" | "GRU" | "RNN" | "Loop" | "Scan" => {
            "only feed-forward networks can be compiled: export one step with its state as inputs and outputs"
        }
        "TfIdfVectorizer" | "StringNormalizer" | "Tokenizer" | "OneHotEncoder" | "CategoryMapper"
        | "DictVectorizer" => "only numeric inputs can be compiled: encode the features before the model",
        "TreeEnsembleClassifier"
        | "TreeEnsembleRegressor"
        | "TreeEnsemble"
        | "SVMClassifier"
        | "SVMRegressor"
        | "LinearClassifier" => "only neural networks can be compiled: train an MLP",
        "TopK" => "use ArgMax for the best class, or give the scores out",
        "Einsum" => "write it with MatMul and Transpose",
        "GatherElements" | "ScatterND" | "ScatterElements" | "NonZero" => {
            "indices that depend on the input are not supported: select with a mask (`Where`) or constant slices"
        }
        "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike" | "Bernoulli" => {
            "export the model in evaluation mode (`model.eval()`)"
        }
        "InstanceNormalization" | "GroupNormalization" | "MeanVarianceNormalization" => {
            "use BatchNormalization or LayerNormalization"
        }
        _ => "express it with supported operators, or cut it off the model",
    }
}
