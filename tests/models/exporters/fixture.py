"""Saves one fixture: the model as the exporter wrote it, inputs, onnxruntime outputs."""

import pathlib

import numpy as np
import onnx
import onnxruntime as ort

HERE = pathlib.Path(__file__).parent
ROWS = 8


def rows(*shape, seed=0, low=None):
    """ROWS random rows of the given shape: normal, or uniform from low to low + 2."""
    rng = np.random.default_rng(seed)
    size = (ROWS, *shape)
    values = rng.normal(size=size) * 1.5 if low is None else rng.uniform(low, low + 2, size)
    return values.astype(np.float32)


def scrub(model):
    """Drops what differs from machine to machine: stack traces with file paths."""
    def walk(graph):
        for thing in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
            thing.ClearField("doc_string")
            kept = [(p.key, p.value) for p in thing.metadata_props if "stack_trace" not in p.key]
            thing.ClearField("metadata_props")
            for key, value in kept:
                thing.metadata_props.add(key=key, value=value)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    walk(attribute.g)

    walk(model.graph)
    for function in model.functions:
        walk_nodes = onnx.GraphProto(node=function.node)
        walk(walk_nodes)
        del function.node[:]
        function.node.extend(walk_nodes.node)
        function.ClearField("doc_string")
        function.ClearField("metadata_props")


def run(session, arrays):
    """All rows at once; row by row where the model's batch is fixed to 1 or absent."""
    inputs = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    if len(inputs[0].shape) < arrays[0].ndim:
        feeds = [{i.name: a[r] for i, a in zip(inputs, arrays)} for r in range(ROWS)]
        return dict(zip(names, map(np.stack, zip(*(session.run(None, f) for f in feeds)))))
    if inputs[0].shape[0] == 1:
        feeds = [{i.name: a[r : r + 1] for i, a in zip(inputs, arrays)} for r in range(ROWS)]
        return dict(zip(names, map(np.concatenate, zip(*(session.run(None, f) for f in feeds)))))
    return dict(zip(names, session.run(None, {i.name: a for i, a in zip(inputs, arrays)})))


def check(path, arrays):
    """onnxruntime's outputs, without its graph optimisations."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = {}
    for key, value in run(session, arrays).items():
        if isinstance(value, list):  # a ZipMap: one {label: probability} per row
            value = np.array([list(row.values()) for row in value], np.float32)
        elif value.dtype == object:
            value = value.astype(str)
        assert value.dtype.kind != "f" or np.isfinite(value).all(), f"{key} is not finite"
        outputs[key] = value
    return session, outputs


def save(name, model, arrays, external=False):
    """Writes NAME.onnx, NAME.input.npy (.npz for several inputs) and NAME.output.npz."""
    path = HERE / f"{name}.onnx"
    scrub(model)
    data = f"{name}.onnx.data"
    (HERE / data).unlink(missing_ok=True)
    if external:
        onnx.save(model, path, save_as_external_data=True, location=data, size_threshold=0)
        (HERE / data).chmod(0o644)
    else:
        onnx.save(model, path)
    try:
        session, outputs = check(path, arrays)
    except Exception:  # nothing that onnxruntime can run
        path.unlink()
        raise
    names = [i.name for i in session.get_inputs()]
    if len(names) == 1:
        np.save(HERE / f"{name}.input.npy", arrays[0])
    else:
        np.savez(HERE / f"{name}.input.npz", **dict(zip(names, arrays)))
    np.savez(HERE / f"{name}.output.npz", **outputs)
    kinds = ", ".join(f"{k} {v.dtype}{list(v.shape)}" for k, v in outputs.items())
    print(f"{name}: {path.stat().st_size} bytes, opset {model.opset_import[0].version}, {kinds}")
    return outputs
