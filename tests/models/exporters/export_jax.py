"""JAX fixtures: `export_jax.py jax2onnx` writes jax_*, `export_jax.py jax2tf` writes jaxtf_*.

The two need different environments: requirements-jax.txt and requirements-jax2tf.txt.
"""

import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np

from fixture import rows, save

WEIGHTS = np.random.default_rng(0)


def dense(n, m):
    w = WEIGHTS.normal(0, n**-0.5, (n, m)).astype(np.float32)
    b = WEIGHTS.normal(0, 0.3, m).astype(np.float32)
    return lambda x: jnp.dot(x, w) + b


def mlp(activation, head=lambda x: x):
    a, b = dense(6, 8), dense(8, 4)
    return lambda x: head(b(activation(a(x))))


def residual():
    a, b, c, d = dense(6, 8), dense(8, 8), dense(8, 8), dense(8, 3)

    def forward(x):
        x = jnp.tanh(a(x))
        return d(x + c(jax.nn.silu(b(x))))

    return forward


def two_inputs():
    a, b = dense(9, 5), dense(5, 2)
    return lambda x, y: b(jax.nn.sigmoid(a(jnp.concatenate([x, y], axis=-1))))


def standardised():
    mean, std = WEIGHTS.normal(size=6).astype(np.float32), WEIGHTS.uniform(0.5, 2, 6).astype(np.float32)
    inner = mlp(jax.nn.relu)
    return lambda x: inner((x - mean) / std)


def layernorm(x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(var + 1e-5)


def gated():
    a, b = dense(6, 8), dense(4, 3)

    def forward(x):
        x, gate = jnp.split(a(x), 2, axis=-1)
        return b(x * jax.nn.sigmoid(gate))

    return forward


def flax_mlp(activation):
    from flax import nnx

    rngs = nnx.Rngs(0)

    class Mlp(nnx.Module):
        def __init__(self):
            self.a = nnx.Linear(6, 8, rngs=rngs)
            self.norm = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
            self.dropout = nnx.Dropout(0.2, deterministic=True, rngs=rngs)
            self.b = nnx.Linear(8, 4, rngs=rngs)
            for part in (self.a.bias, self.b.bias, self.norm.bias, self.norm.mean):
                part[...] = jnp.asarray(WEIGHTS.normal(0, 0.3, part.shape).astype(np.float32))

        def __call__(self, x):
            return self.b(self.dropout(activation(self.norm(self.a(x)))))

    return Mlp()


MODELS = {
    "relu": lambda: mlp(jax.nn.relu),
    "gelu": lambda: mlp(jax.nn.gelu),
    "gelu_exact": lambda: mlp(lambda x: jax.nn.gelu(x, approximate=False)),
    "silu": lambda: mlp(jax.nn.silu),
    "elu": lambda: mlp(jax.nn.elu),
    "selu": lambda: mlp(jax.nn.selu),
    "leaky_relu": lambda: mlp(jax.nn.leaky_relu),
    "relu6": lambda: mlp(jax.nn.relu6),
    "softplus": lambda: mlp(jax.nn.softplus),
    "hard_swish": lambda: mlp(jax.nn.hard_swish),
    "softmax": lambda: mlp(jax.nn.relu, jax.nn.softmax),
    "log_softmax": lambda: mlp(jax.nn.relu, jax.nn.log_softmax),
    "layernorm": lambda: mlp(layernorm),
    "argmax": lambda: mlp(jax.nn.relu, lambda x: jnp.argmax(x, axis=-1)),
    "residual": residual,
    "gated": gated,
    "standardised": standardised,
    "two_inputs": two_inputs,
}
FLAX = {
    "flax_relu": lambda: flax_mlp(jax.nn.relu),
    "flax_gelu": lambda: flax_mlp(jax.nn.gelu),
}


def by_jax2onnx(fn, shapes):
    from jax2onnx import to_onnx

    return to_onnx(fn, [("B", *shape) for shape in shapes])


def by_jax2tf(fn, shapes):
    import tensorflow as tf
    import tf2onnx
    from jax.experimental import jax2tf

    signature = [tf.TensorSpec([None, *shape], tf.float32, name=f"x{n}") for n, shape in enumerate(shapes)]
    polymorphic = [f"(b, {', '.join(map(str, shape))})" for shape in shapes]
    converted = jax2tf.convert(fn, polymorphic_shapes=polymorphic, native_serialization=False, enable_xla=False)
    function = tf.function(converted, input_signature=signature, autograph=False)
    return tf2onnx.convert.from_function(function, input_signature=signature, opset=17)[0]


JAX2TF_CANNOT = {"elu", "selu", "softplus", "layernorm", *FLAX}  # see README.md

how = sys.argv[1]
prefix, export, skipped = {
    "jax2onnx": ("jax", by_jax2onnx, set()), "jax2tf": ("jaxtf", by_jax2tf, JAX2TF_CANNOT)
}[how]
for name, make in {**MODELS, **FLAX}.items():
    if name in skipped:
        continue
    WEIGHTS = np.random.default_rng(0)
    fn = make()
    arrays = [rows(6), rows(3, seed=1)] if name == "two_inputs" else [rows(6)]
    outputs = save(f"{prefix}_{name}", export(fn, [a.shape[1:] for a in arrays]), arrays)
    np.testing.assert_allclose(list(outputs.values())[0], fn(*arrays), rtol=1e-4, atol=1e-5)
