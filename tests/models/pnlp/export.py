"""A trained pNLP-Mixer as one ONNX file that says of itself how text becomes its input: `tinymlp.text` in its metadata.

Any tool runs it on counts. Weights are int8 behind DequantizeLinear, with a scale an output, so that the file is small.
"""

import io
import json

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

# Shorter weights stay as they are.
SHORTEST = 256


class Whole(nn.Module):
    """Counts to logits: the bottleneck as the dense layer that it stands for."""

    def __init__(self, mixer, weight, bias):
        super().__init__()
        self.bottleneck = nn.Linear(weight.shape[0], weight.shape[1])
        self.bottleneck.weight.data, self.bottleneck.bias.data = weight.t().contiguous(), bias.clone()
        self.mixer = mixer

    def forward(self, counts):
        return self.mixer(self.bottleneck(counts))


def export(mixer, weight, bias, spec, labels, path):
    """Writes the file.

    `mixer` is the module behind the bottleneck, of weights `weight` (features, outputs) and `bias`. `spec` has positions,
    hashes, buckets, window and punctuation; `labels` the lists of intents and, where the mixer gives them, of slots.
    """
    features = (2 * spec["window"] + 1) * spec["buckets"]
    assert weight.shape[0] == features, (weight.shape, features)
    file = io.BytesIO()
    torch.onnx.export(
        Whole(mixer, weight, bias).eval(), torch.zeros(1, spec["positions"], features), file,
        input_names=["counts"], output_names=list(labels), opset_version=17, dynamo=False,
    )
    model = onnx.load_from_string(file.getvalue())
    quantize(model.graph)
    text = dict(version=1, input="counts", tokenizer="words", normalize="uncased", punctuation=spec["punctuation"])
    text |= {key: spec[key] for key in ("hashes", "buckets", "window")} | dict(labels=labels)
    helper.set_model_props(model, {"tinymlp.text": json.dumps(text, ensure_ascii=False)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def quantize(graph):
    """Puts long matrices behind DequantizeLinear."""
    # Output axis by the operator that reads the matrix.
    axes = {}
    for node in graph.node:
        if node.op_type == "MatMul":
            axes |= {node.input[0]: 0, node.input[1]: 1}
        elif node.op_type == "Gemm":
            axes[node.input[1]] = 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if tensor.name not in axes or values.ndim != 2 or values.size < SHORTEST:
            continue
        axis = axes[tensor.name]
        largest = np.abs(values).max(axis=1 - axis, keepdims=True)
        scale = np.where(largest == 0, 1, largest / 127).astype(np.float32)
        integers = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
        graph.initializer.remove(tensor)
        parts = [(integers, "int8"), (scale.reshape(-1), "scale")]
        names = [f"{tensor.name}.{suffix}" for _, suffix in parts]
        graph.initializer.extend(numpy_helper.from_array(v, name) for (v, _), name in zip(parts, names))
        graph.node.insert(0, helper.make_node("DequantizeLinear", names, [tensor.name], name=f"{tensor.name}.real", axis=axis))
