"""256-64-64-64-10 ReLU MLP on MNIST at 16x16 pixels, trained in the integer arithmetic it is shipped for.

    python train.py ../shared/data/images/mnist

A float network is trained first, then one copy of it for each format of weights (int4, power of two), all on randomly
distorted training images. 5,000 of the 60,000 training images are held out: they choose the epoch. With --all nothing is
held out and the last epoch is taken: for a recipe that was chosen without. The 10,000 test images are read once, at the
end, by a separate evaluation in numpy integers of the ONNX files that were written.
"""

import argparse
import copy
import gzip
import json
import math
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, interpolate

HERE = pathlib.Path(__file__).parent
SIZES = (256, 64, 64, 64, 10)
LAYERS = [f"fc{i}" for i in range(1, len(SIZES))]
POWERS = [2**e for e in range(7)]
GRIDS = {"int4": list(range(-8, 8)), "pow2": sorted([0, *POWERS, *(-p for p in POWERS)])}
FILES = {"int4": "model.onnx", "pow2": "model_pow2.onnx"}
ACTIVATION_MAX = 255
VALIDATION_ROWS = 5000
BATCH = 250


# Data


def read_idx(path):
    """An IDX file of bytes: two zeros, type 8, number of dimensions, the dimensions, the data."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def read_split(folder, name):
    return read_idx(folder / f"{name}-images-idx3-ubyte.gz"), read_idx(folder / f"{name}-labels-idx1-ubyte.gz")


def area_weights():
    """16 x 24: a result pixel covers one and a half pixels, counted in halves (each row sums to 3)."""
    weights = np.zeros((16, 24), np.int64)
    for half in range(48):
        weights[half // 3, half // 2] += 1
    return weights


def to_16x16(images):
    """The middle 24x24 of 28x28 bytes, averaged by area to 16x16 and rounded (half up): N x 256 bytes."""
    weights = area_weights()
    ninths = weights @ images[:, 2:26, 2:26].astype(np.int64) @ weights.T
    return ((2 * ninths + 9) // 18).reshape(-1, 256).astype(np.uint8)


class Distortion:
    """Random rotation, scale, shear, shift and a smooth displacement, then the same reduction to 16x16."""

    def __init__(self, generator):
        self.generator = generator
        self.weights = torch.from_numpy(area_weights()).float() / 3
        self.crop = 24 / 28

    def uniform(self, n, most):
        return (torch.rand(n, generator=self.generator) * 2 - 1) * most

    def __call__(self, images):
        n = len(images)
        turn, shear = self.uniform(n, math.radians(9)), self.uniform(n, 0.1)
        wide, high = 1 + self.uniform(n, 0.1), 1 + self.uniform(n, 0.1)
        cos, sin = turn.cos(), turn.sin()
        theta = torch.stack([
            torch.stack([cos * wide, (shear * cos - sin) * high, self.uniform(n, 1.2 / 14)], 1),
            torch.stack([sin * wide, (shear * sin + cos) * high, self.uniform(n, 1.2 / 14)], 1),
        ], 1)
        theta[:, :, :2] *= self.crop
        grid = affine_grid(theta, (n, 1, 24, 24), align_corners=False)
        bumps = torch.randn(n, 2, 5, 5, generator=self.generator) * (0.6 / 14)
        bumps = interpolate(bumps, (24, 24), mode="bilinear", align_corners=True)
        grid += bumps.permute(0, 2, 3, 1)
        warped = grid_sample(images.float().unsqueeze(1), grid, align_corners=False).squeeze(1)
        return (self.weights @ warped @ self.weights.T).round().reshape(n, 256)


# Network


class Straight(torch.autograd.Function):
    """The second argument forward, the gradient of the first backward."""

    @staticmethod
    def forward(ctx, x, value):
        return value

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Mlp(nn.Module):
    """Pixels are 0..255. Weights and activations are integers once `quantize` was called."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(SIZES, SIZES[1:]))
        self.temperature = nn.Parameter(torch.zeros(()))
        self.format = None

    @torch.no_grad()
    def quantize(self, format, pixels):
        """Weight scales of the least squared error, then shifts so that one sum in a thousand saturates."""
        self.format, self.scales, self.shifts = format, [], []
        grid = torch.tensor(GRIDS[format], dtype=torch.float32)
        self.middles, self.grid = (grid[1:] + grid[:-1]) / 2, grid
        for layer in self.layers:
            largest = layer.weight.abs().max().item() / grid.abs().max().item()
            candidates = [largest * f for f in np.linspace(0.3, 1.1, 81)]
            errors = [((self.nearest(layer.weight / s) * s - layer.weight) ** 2).sum().item() for s in candidates]
            self.scales.append(candidates[int(np.argmin(errors))])
        x, unit = pixels, 1 / 255
        for layer, scale in list(zip(self.layers, self.scales))[:-1]:
            unit *= scale
            sums = x @ self.nearest(layer.weight / scale).T + (layer.bias / unit).round()
            self.shifts.append(max(0, math.ceil(math.log2(sums.flatten().float().kthvalue(
                int(0.999 * sums.numel())).values.item() / ACTIVATION_MAX))))
            x, unit = (sums / 2 ** self.shifts[-1]).floor().clamp(0, ACTIVATION_MAX), unit * 2 ** self.shifts[-1]

    def nearest(self, x):
        return self.grid[torch.bucketize(x, self.middles)]

    def integers(self):
        """Weights and biases of each layer as integers (in f32, exactly); gradients pass straight through."""
        unit = 1 / 255
        for i, (layer, scale) in enumerate(zip(self.layers, self.scales)):
            unit *= scale
            weight = (layer.weight / scale).clamp(self.grid[0].item(), self.grid[-1].item())
            bias = layer.bias / unit
            weight = Straight.apply(weight, self.nearest(weight.detach()))
            yield weight, Straight.apply(bias, bias.detach().round()), unit
            unit *= 2 ** self.shifts[i] if i < len(self.shifts) else 1

    def forward(self, x):
        if self.format is None:
            x = x / 255
            for layer in self.layers[:-1]:
                x = layer(x).relu()
            return self.layers[-1](x) * self.temperature.exp()
        for i, (weight, bias, unit) in enumerate(self.integers()):
            x = x @ weight.T + bias
            if i < len(self.shifts):
                x = (x / 2 ** self.shifts[i]).clamp(0, ACTIVATION_MAX + 0.999)
                x = Straight.apply(x, x.detach().floor())
        return x * (unit * self.temperature.exp())


@torch.no_grad()
def validate(model, pixels, labels):
    """Accuracy and mean cross-entropy."""
    logits = model(pixels)
    return (logits.argmax(1) == labels).float().mean().item(), cross_entropy(logits, labels).item()


def train(models, images, labels, validation, distort, epochs, rate, last):
    """Trains all models on the same batches; returns the weight average of the epoch that validates best of each, or
    of the `last`."""
    runs = []
    for model in models:
        adam = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
        steps = epochs * (len(images) // BATCH)
        warm = steps // 20
        cosine = torch.optim.lr_scheduler.LambdaLR(adam, lambda t, warm=warm, steps=steps: min(
            (t + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(0, t - warm) / (steps - warm)))))
        runs.append([model, copy.deepcopy(model), adam, cosine, (0.0, 0.0), None])
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=distort.generator)
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH):
            pixels = distort(images[batch])
            for model, average, adam, cosine, *_ in runs:
                adam.zero_grad()
                cross_entropy(model(pixels), labels[batch]).backward()
                adam.step()
                cosine.step()
                with torch.no_grad():
                    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 0.005)
        for run in runs:
            accuracy, loss = validate(run[1], *validation)
            if last or (accuracy, -loss) > run[4]:
                run[4:] = (accuracy, -loss), copy.deepcopy(run[1])
            print(f"epoch {epoch + 1:3} {run[0].format or 'float'}: validation {accuracy:.4f}, loss {loss:.4f}",
                  flush=True)
    return [run[5] for run in runs]


# Export and evaluation in integers


def export(model, path):
    """Float ONNX whose weights are integers times a power of two, and what the integers are, as metadata."""
    nodes, initializers, layers = [], [], {}
    x, unit = "pixels", 1 / 255
    for i, (name, (weight, bias, _)) in enumerate(zip(LAYERS, model.integers())):
        scale = 2.0 ** round(math.log2(model.scales[i]))
        unit *= scale
        layers[name] = {"weights": model.format, "scale": scale}
        for part, values in (("weight", weight.detach().double() * scale), ("bias", bias.detach().double() * unit)):
            initializers.append(numpy_helper.from_array(values.numpy().astype(np.float32), f"{name}.{part}"))
        nodes.append(helper.make_node(
            "Gemm", [x, f"{name}.weight", f"{name}.bias"], [f"{name}.sums"], name=name, transB=1))
        x = f"{name}.sums"
        if i < len(model.shifts):
            layers[name]["shift"] = model.shifts[i]
            unit *= 2 ** model.shifts[i]
            nodes.append(helper.make_node("Relu", [x], [f"relu{i + 1}.y"], name=f"relu{i + 1}"))
            x = f"relu{i + 1}.y"
    nodes.append(helper.make_node("ArgMax", [x], ["digit"], name="argmax", axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes, "mnist16", [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", SIZES[0]])],
        [helper.make_tensor_value_info("digit", TensorProto.INT64, ["batch"])], initializers)
    onnx_model = helper.make_model(
        graph, producer_name="tinymlp mnist16", ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    config = {"version": 1, "inputs": {"pixels": {"bits": 8, "scale": 1 / 255}}, "layers": layers}
    helper.set_model_props(onnx_model, {"tinymlp.quantization": json.dumps(config)})
    onnx.checker.check_model(onnx_model, full_check=True)
    onnx.save(onnx_model, path)


def evaluate_integers(path, pixels, labels):
    """Accuracy of an exported file in integers alone, and what its arithmetic meets on the way."""
    onnx_model = onnx.load(path)
    values = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in onnx_model.graph.initializer}
    config = json.loads({p.key: p.value for p in onnx_model.metadata_props}["tinymlp.quantization"])
    u, unit, largest, notes = pixels.astype(np.int64), config["inputs"]["pixels"]["scale"], 0, []
    for name in LAYERS:
        layer = config["layers"][name]
        unit *= layer["scale"]
        weight = np.rint(values[f"{name}.weight"] / layer["scale"]).astype(np.int64)
        bias = np.rint(values[f"{name}.bias"] / unit).astype(np.int64)
        assert np.isin(weight, GRIDS[layer["weights"]]).all()
        assert (weight * layer["scale"] == values[f"{name}.weight"]).all()
        largest = max(largest, int((np.abs(weight).sum(1) * ACTIVATION_MAX + np.abs(bias)).max()))
        notes.append(f"{name}: {(u != 0).sum(1).mean():.1f} of {u.shape[1]} operands and "
                     f"{100 * (weight != 0).mean():.1f} % of weights not zero")
        u = u @ weight.T + bias
        if "shift" in layer:
            u >>= layer["shift"]
            notes[-1] += f", shift {layer['shift']}, {100 * (u > ACTIVATION_MAX).mean():.3f} % saturated"
            u = u.clip(0, ACTIVATION_MAX)
            unit *= 2 ** layer["shift"]
    assert largest < 2**31
    return (u.argmax(1) == labels).mean(), u, [*notes, f"sums at most {largest} in magnitude for any input"]


def rows_of_each_class(labels, count):
    """Indices of the first `count` rows of each class, mixed."""
    rows = np.concatenate([np.flatnonzero(labels == digit)[:count] for digit in range(10)])
    return np.random.default_rng(0).permutation(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path, help="folder of the four MNIST files (*-ubyte.gz)")
    parser.add_argument("--float-epochs", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=90, help="in integers")
    parser.add_argument("--all", action="store_true", help="train with the validation images too")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)

    images, labels = read_split(options.data, "train")
    held_out = np.zeros(len(labels), bool)
    held_out[np.random.default_rng(options.seed).permutation(len(labels))[:VALIDATION_ROWS]] = True
    reduced = to_16x16(images)
    validation = torch.from_numpy(reduced[held_out]).float(), torch.from_numpy(labels[held_out]).long()
    used = np.full(len(labels), True) if options.all else ~held_out
    train_images, train_labels = torch.from_numpy(images[used]), torch.from_numpy(labels[used]).long()
    distort = Distortion(generator)

    [model] = train([Mlp()], train_images, train_labels, validation, distort, options.float_epochs, 4e-3,
                    options.all)
    quantized = [copy.deepcopy(model) for _ in GRIDS]
    for copied, format in zip(quantized, GRIDS):
        copied.quantize(format, torch.from_numpy(reduced[~held_out][:10000]).float())
    quantized = train(quantized, train_images, train_labels, validation, distort, options.epochs, 2e-3,
                      options.all)
    for model in quantized:
        export(model, HERE / FILES[model.format])

    rows = rows_of_each_class(labels[~held_out], 5)
    np.save(HERE / "calibration.npy", (reduced[~held_out][rows] / 255).astype(np.float32))

    # The test split is read here and nowhere before.
    images, labels = read_split(options.data, "t10k")
    pixels = to_16x16(images)
    rows = rows_of_each_class(labels, 5)
    np.save(HERE / "test_x.npy", (pixels[rows] / 255).astype(np.float32))
    np.save(HERE / "test_y.npy", labels[rows].astype(np.int32))
    for model in quantized:
        path = HERE / FILES[model.format]
        accuracy, sums, notes = evaluate_integers(path, pixels, labels)
        validated = evaluate_integers(path, reduced[held_out], validation[1].numpy())[0]
        digits = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
            None, {"pixels": (pixels / 255).astype(np.float32)})[0]
        print(f"{path.name}: test {accuracy:.4f} in integers, {(digits == labels).mean():.4f} in float "
              f"(onnxruntime); validation {validated:.4f} in integers")
        print(*notes, sep="\n")


if __name__ == "__main__":
    main()
