"""Keras fixtures: keras_NAME by Keras 3's own model.export, tfkeras_NAME by tf2onnx from tf_keras."""

import os
import pathlib
import tempfile

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
import tf_keras

from fixture import rows, save


def sequential(k):
    dense = k.layers.Dense
    return k.Sequential([k.Input((6,)), dense(8, "relu"), dense(4, "softmax")])


def relu6(k):
    dense, relu = k.layers.Dense, k.layers.ReLU
    return k.Sequential([
        k.Input((6,)), dense(6), relu(6.0), dense(6), relu(None, 0.2), dense(6), relu(1.0, 0.1, 0.3), dense(4),
        k.layers.Activation(tf.nn.relu6) if k is tf_keras else k.layers.Activation("relu6"),
    ])


def activations(*names):
    def build(k):
        layers = [k.Input((6,))]
        for name in names:
            if name == "gelu_tanh":
                name = lambda x: k.activations.gelu(x, approximate=True)
            layers += [k.layers.Dense(6), k.layers.Activation(name)]
        return k.Sequential([*layers, k.layers.Dense(4)])

    return build


def activation_layers(k):
    l = k.layers
    return k.Sequential([
        k.Input((6,)), l.Dense(6), l.LeakyReLU(), l.Dense(6), l.PReLU("random_normal"), l.Dense(6), l.ELU(0.7),
        l.Dense(6), l.Softmax(),
    ])


def functional(k):
    l = k.layers
    x = k.Input((6,), name="features")
    a = l.BatchNormalization()(l.Dense(8, use_bias=False)(x))
    a = l.Dropout(0.2)(l.Activation("relu")(a))
    b = l.Add()([a, l.Dense(8, "tanh")(a)])
    c = l.Concatenate()([b, x])
    return k.Model(x, l.Dense(4)(l.BatchNormalization()(c)))


def two_inputs_two_outputs(k):
    l = k.layers
    a, b = k.Input((6,), name="a"), k.Input((3,), name="b")
    x = l.Concatenate()([l.Dense(5, "relu")(a), l.Dense(5, "sigmoid")(b)])
    return k.Model([a, b], [l.Dense(4, "softmax", name="kind")(x), l.Dense(1, name="size")(x)])


def gated(k):
    l = k.layers
    x = k.Input((6,))
    y = l.Multiply()([l.Dense(5)(x), l.Dense(5, "sigmoid")(x)])
    y = l.Subtract()([y, l.Dense(5)(x)])
    y = l.Average()([y, l.Maximum()([y, l.Dense(5)(x)])])
    return k.Model(x, l.Dense(2)(y))


def shapes(k):
    l = k.layers
    x = k.Input((2, 6))
    y = l.Flatten()(l.Permute((2, 1))(l.Dense(4, "relu")(x)))
    return k.Model(x, l.Dense(3)(l.Reshape((8,))(l.Reshape((4, 2))(y))))


def pooling(k):
    l = k.layers
    x = k.Input((5, 6))
    y = l.Concatenate()([l.GlobalAveragePooling1D()(x), l.GlobalMaxPooling1D()(x)])
    return k.Model(x, l.Dense(3)(y))


def rescaled(k):
    l = k.layers
    return k.Sequential([k.Input((6,)), l.Rescaling(0.5, 0.1), l.Dense(4), l.LayerNormalization()])


def normalization(k):
    l = k.layers
    normalization = l.Normalization()
    normalization.adapt(rows(6, seed=1) + 1)
    return k.Sequential([k.Input((6,)), normalization, l.Dense(4)])


MODELS = {
    "sequential": sequential, "relu6": relu6, "functional": functional,
    "two_inputs_two_outputs": two_inputs_two_outputs, "gated": gated, "shapes": shapes,
    "pooling": pooling, "rescaled": rescaled, "activation_layers": activation_layers,
    "acts_elu": activations("elu", "selu", "softplus", "softsign"),
    "acts_sigmoid": activations("sigmoid", "hard_sigmoid", "tanh", "exponential"),
    "acts_swish": activations("swish", "mish"),
    "acts_gelu_tanh": activations("gelu_tanh"),
}
KERAS3_ONLY = {
    "acts_keras3": activations("leaky_relu", "hard_swish", "hard_tanh", "log_sigmoid"),
    "log_softmax": activations("log_softmax"),
}
TF_KERAS_ONLY = {"normalization": normalization}  # see README.md


def weigh(model):
    """Random weights everywhere, biases and BatchNormalization statistics included."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "Normalization":
            continue
        layer.set_weights([
            rng.uniform(0.5, 1.5, w.shape) if "variance" in v.name or "gamma" in v.name
            else rng.normal(0, 0.6, w.shape)
            for v, w in zip(layer.weights, layer.get_weights())
        ])


def export(model, opset):
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "m.onnx")
        if isinstance(model, tf_keras.Model):
            tf2onnx.convert.from_keras(model, opset=opset, output_path=path)
        else:
            model.export(path, format="onnx", verbose=False, opset_version=opset)
        return onnx.load(path)


def fixture(name, build, k, opset=None):
    k.backend.clear_session()
    k.utils.set_random_seed(0)
    model = build(k)
    weigh(model)
    arrays = [rows(*i.shape[1:], seed=n) for n, i in enumerate(model.inputs)]
    expected = model(arrays if len(arrays) > 1 else arrays[0])
    expected = expected if isinstance(expected, (list, tuple)) else [expected]
    outputs = save(name, export(model, opset), arrays)
    for a, b in zip(outputs.values(), expected, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-5)


for name, build in MODELS.items():
    fixture(f"keras_{name}", build, keras)
    fixture(f"tfkeras_{name}", build, tf_keras)
for name, build in KERAS3_ONLY.items():
    fixture(f"keras_{name}", build, keras)
for name, build in TF_KERAS_ONLY.items():
    fixture(f"tfkeras_{name}", build, tf_keras)
for opset in (11, 13, 18):
    fixture(f"keras_functional_opset{opset}", functional, keras, opset)
