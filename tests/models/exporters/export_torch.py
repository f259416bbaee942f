"""PyTorch fixtures: NAME_ts.onnx by the TorchScript exporter, NAME_dynamo.onnx by torch.export."""

import contextlib
import io
import logging
import warnings

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import nn

from fixture import rows, save

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
torch.set_num_threads(1)


class Fn(nn.Module):
    """forward = fn(x) or fn(x, y), between a Linear in front and one behind where given."""

    def __init__(self, fn, front=None, behind=None):
        super().__init__()
        self.fn, self.front, self.behind = fn, front, behind

    def forward(self, x):
        x = x if self.front is None else self.front(x)
        x = self.fn(x)
        return x if self.behind is None else self.behind(x)


class Fn2(Fn):
    def forward(self, x, y):
        return self.behind(self.fn(self.front(x), y))


def chain(*activations):
    """Linear, activation, Linear, activation, ..., Linear; every layer is 6 wide."""
    layers = [nn.Linear(6, 6)]
    for activation in activations:
        layers += [activation, nn.Linear(6, 6)]
    return nn.Sequential(*layers[:-1], nn.Linear(6, 4))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x):
        x = x + torch.relu(self.a(x))
        x += torch.tanh(self.b(x))
        return self.c(x)


class Gated(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how, self.a, self.b = how, nn.Linear(6, 8), nn.Linear(4, 3)

    def forward(self, x):
        x = self.a(x)
        if self.how == "chunk":
            x1, x2 = x.chunk(2, dim=1)
            return self.b(x1 * torch.sigmoid(x2))
        if self.how == "split":
            x1, x2, x3 = torch.split(x, [2, 2, 4], dim=-1)
            return self.b(torch.cat([x1, x2], dim=-1) * torch.sigmoid(x3))
        return self.b(F.glu(x, dim=-1))


class Mixer(nn.Module):
    """One MLP-Mixer block without LayerNorm on 4 tokens of 6 channels."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4))
        self.channels = nn.Sequential(nn.Linear(6, 7), nn.GELU(), nn.Linear(7, 6))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(x)
        return self.head(x.mean(dim=1))


class Pnlp(nn.Module):
    """A pNLP-Mixer behind its bottleneck: one block on 4 words of 6 channels, attention pooling, an intent and a tag a word."""

    heads = 2

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(6), nn.LayerNorm(6)
        self.tokens = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4))
        self.channels = nn.Sequential(nn.Linear(6, 7), nn.GELU(), nn.Linear(7, 6))
        self.attention, self.value = nn.Linear(6, 6), nn.Linear(6, 6)
        self.intent, self.slots = nn.Linear(6, 3), nn.Linear(6, 5)

    def forward(self, x):
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norm2(x))
        pooled = (torch.softmax(self.attention(x), dim=1) * self.value(x)).sum(dim=1)
        return self.intent(pooled), self.slots(x)


class TwoHeads(nn.Module):
    heads = 2

    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(8, 1)

    def forward(self, x):
        x = torch.relu(self.body(x))
        return self.a(x), torch.sigmoid(self.b(x)).squeeze(-1)


class Kernels(nn.Module):
    """Every kernel of the runtime at least once, in a made-up attention block over [batch, 4, 6]."""

    heads = 2

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(24, 5)
        self.prelu = nn.PReLU(4)
        self.prelu.weight.data.uniform_(0.05, 0.5)
        self.register_buffer("factor", torch.linspace(0.5, 1.5, 8))
        self.register_buffer("term", torch.linspace(-0.3, 0.3, 8))

    def forward(self, x):
        h = self.prelu(self.a(x))
        attention = torch.softmax(h @ h.transpose(1, 2) / 2.83, dim=-1)
        h = h + attention @ h
        h = torch.tanh(self.b(h)) * self.factor + self.term
        gated = h * torch.sigmoid(h[:, [3, 2, 1, 0], :])
        scaled = h / (1.5 + torch.abs(gated))
        pooled = torch.cat([gated.mean(dim=1), scaled.amax(dim=1), scaled[:, 1:3, ::2].flatten(1)], dim=1)
        logits = self.c(pooled)
        return torch.log_softmax(logits, dim=-1), logits.argmax(dim=-1)


class Broadcast(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(6, 1)
        self.scale = nn.Parameter(torch.rand(5) + 0.5)
        self.shift = nn.Parameter(torch.rand(1, 5))
        self.table = nn.Parameter(torch.rand(3, 1))

    def forward(self, x):
        row, one = self.a(x), self.b(x)
        x = row * self.scale + self.shift
        x = x * one / (one.abs() + 1.0) - one
        return x.unsqueeze(1) / (self.table + 1.0)


def mathematics(x):
    return torch.cat([
        torch.exp(x[:, 0:1]), torch.log(x[:, 1:2]), torch.sqrt(x[:, 2:3]),
        torch.reciprocal(x[:, 3:4]), torch.sin(x[:, 4:5]), torch.cos(x[:, 5:6]),
        torch.abs(x[:, 0:1] - 1), -x[:, 1:2], x[:, 2:3] ** 2, x[:, 3:4] ** 3,
        torch.pow(x[:, 4:5], 1.7), torch.rsqrt(x[:, 5:6]), 2.0 ** x[:, 0:1],
        torch.erf(x[:, 1:2]), 1.0 - x[:, 2:3], 1.0 / x[:, 3:4], torch.sign(x[:, 4:5] - 1),
        torch.log1p(x[:, 5:6]), torch.square(x[:, 1:2]),
    ], dim=1)


def mathematics2(x):
    return torch.cat([
        torch.floor(x), torch.ceil(x), torch.round(x), torch.tan(x / 4), torch.atan(x),
        F.tanhshrink(x), F.softshrink(x), F.hardshrink(x), torch.fmod(x, 0.7),
    ], dim=1)


def comparisons(x):
    return torch.cat([
        torch.where(x > 0, x, 0.1 * x), (x >= 0.5).float() * x, torch.minimum(x, x * x),
        torch.maximum(x, 1 - x), x.clamp(min=-0.5), x.clamp(max=0.5), (x < 0).to(torch.float32),
        torch.where((x > -1) & (x < 1), x, torch.zeros_like(x)),
    ], dim=1)


def reductions(x):  # [batch, 4, 6]
    return torch.cat([
        x.mean(dim=1), x.sum(dim=2), x.amax(dim=1), x.amin(dim=-1), x.max(dim=1).values,
        x.mean(dim=(1, 2), keepdim=True).squeeze(1), x.norm(dim=2), x.var(dim=1, unbiased=False),
        x.prod(dim=2), torch.logsumexp(x, dim=1),
    ], dim=1)


def view_by_size(x):
    return x.view(x.size(0), -1)


def shapes(x):  # [batch, 6]
    x = x.unsqueeze(1)  # [batch, 1, 6]
    x = torch.cat([x, 2 * x], dim=1).permute(0, 2, 1)  # [batch, 6, 2]
    x = x.reshape(-1, 4, 3).transpose(1, 2).flatten(1)  # [batch, 12]
    x = torch.stack([x, -x], dim=-1)[..., 0]
    return F.pad(x.unsqueeze(-1).expand(-1, -1, 2).sum(-1).unsqueeze(1).squeeze(1), (1, 2))


def slices(x):
    return torch.cat([x[:, 1:5], x[:, ::2], x[:, -2:], x[:, 3].unsqueeze(1), x[:, [0, 5, 2]], x[..., 0:1]], dim=1)


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


class Opset(nn.Module):
    """Operators whose definition changed between opset versions."""

    def __init__(self):
        super().__init__()
        self.a, self.bn, self.b = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(6, 4)

    def forward(self, x):
        x = self.bn(self.a(x)).clamp(-0.8, 2.0)
        x1, x2 = torch.split(x, 4, dim=1)
        x = torch.cat([x1[:, 1:4], F.elu(x2[:, :3])], dim=1).unsqueeze(2)
        x = x.squeeze(2)
        m, s = x.mean(dim=1, keepdim=True), torch.sum(x, dim=1, keepdim=True)
        return torch.softmax(self.b(F.dropout(x - m * s, training=self.training)), dim=1)


six = (rows(6),)
CASES = {
    "mlp": (mlp, six),
    "mlp_nobias": (lambda: nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 4, bias=False)), six),
    "mlp_matmul": (lambda: Fn(lambda x, w=torch.randn(6, 5), b=torch.randn(5): torch.relu(x @ w + b)), six),
    "mlp_3d": (mlp, (rows(3, 6),)),
    "acts_leaky": (lambda: chain(nn.LeakyReLU(), nn.LeakyReLU(0.2)), six),
    "acts_prelu": (lambda: chain(nn.PReLU(), nn.PReLU(6, init=0.1)), six),
    "acts_clip": (lambda: chain(nn.ReLU6(), nn.Hardtanh(), Fn(lambda x: x.clamp(-0.3, 0.9))), six),
    "acts_elu": (lambda: chain(nn.ELU(), nn.ELU(0.7), nn.SELU(), nn.CELU(), nn.CELU(1.3)), six),
    "acts_soft": (lambda: chain(nn.Softplus(), nn.Softplus(beta=2.0), nn.Softsign()), six),
    "acts_sigmoid": (lambda: chain(nn.Sigmoid(), nn.Tanh(), nn.LogSigmoid()), six),
    "acts_hard": (lambda: chain(nn.Hardsigmoid(), nn.Hardswish()), six),
    "acts_silu": (lambda: chain(nn.SiLU(), nn.Mish()), six),
    "acts_gelu": (lambda: chain(nn.GELU(), nn.GELU(approximate="tanh")), six),
    "acts_threshold": (lambda: chain(nn.Threshold(0.1, -0.2)), six),
    "math": (lambda: Fn(mathematics, None, nn.Linear(19, 4)), (rows(6, low=0.2),)),
    "math2": (lambda: Fn(mathematics2, nn.Linear(6, 4)), six),
    "math_rare": (lambda: Fn(lambda x: torch.cat(
        [torch.sinh(x), torch.cosh(x), torch.expm1(x)], dim=1), nn.Linear(6, 4)), six),
    "compare": (lambda: Fn(comparisons, nn.Linear(6, 4)), six),
    "batchnorm_dropout": (lambda: nn.Sequential(
        nn.BatchNorm1d(6), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 4)), six),
    "layernorm": (lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 4)), six),
    "rmsnorm": (lambda: nn.Sequential(nn.Linear(6, 8), nn.RMSNorm(8), nn.ReLU(), nn.Linear(8, 4)), six),
    "l2_normalize": (lambda: Fn(lambda x: F.normalize(x, dim=-1), nn.Linear(6, 4)), six),
    "residual": (Residual, six),
    "concat_inputs": (lambda: Fn2(lambda x, y: torch.cat([torch.relu(x), y], dim=1), nn.Linear(6, 4), nn.Linear(7, 2)),
                      (rows(6), rows(3, seed=1))),
    "gate_chunk": (lambda: Gated("chunk"), six),
    "gate_split": (lambda: Gated("split"), six),
    "gate_glu": (lambda: Gated("glu"), six),
    "flatten_2d": (lambda: nn.Sequential(nn.Flatten(), *mlp()), six),
    "flatten_3d": (lambda: nn.Sequential(nn.Flatten(), *mlp()), (rows(2, 3),)),
    "view_by_size": (lambda: Fn(view_by_size, None, mlp()), (rows(2, 3),)),
    "shapes": (lambda: Fn(shapes, None, nn.Linear(15, 4)), six),
    "slices": (lambda: Fn(slices, None, nn.Linear(14, 4)), six),
    "mixer": (Mixer, (rows(4, 6),)),
    "pnlp": (Pnlp, (rows(4, 6),)),
    "reductions": (lambda: Fn(reductions, None, nn.Linear(47, 4)), (rows(4, 6),)),
    "softmax": (lambda: nn.Sequential(*mlp(), nn.Softmax(dim=1)), six),
    "log_softmax": (lambda: nn.Sequential(*mlp(), nn.LogSoftmax(dim=-1)), six),
    "softmax_axis": (lambda: Fn(lambda x: F.softmax(x, dim=1), nn.Linear(6, 3)), (rows(4, 6),)),
    "argmax": (lambda: Fn(lambda x: x.argmax(dim=1), mlp()), six),
    "two_outputs": (TwoHeads, six),
    "broadcast": (Broadcast, six),
    "kernels": (Kernels, (rows(4, 6),)),
}


def build(make, seed=0):
    """Random weights, a little larger than PyTorch's; BatchNorm with non-trivial statistics."""
    torch.manual_seed(seed)
    model = make().eval()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight.data *= 1.7
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(std=0.3)
    return model


def export(model, arrays, dynamo, opset=None, static=False, names=True, rows_traced=3):
    inputs = tuple(torch.from_numpy(a[:rows_traced] if rows_traced else a[0]) for a in arrays)
    options = {} if opset is None else {"opset_version": opset}
    if dynamo:
        if not static:
            options["dynamic_shapes"] = tuple({0: torch.export.Dim("batch")} for _ in inputs)
        with contextlib.redirect_stdout(io.StringIO()):
            program = torch.onnx.export(model, inputs, dynamo=True, **options)
        return program.model_proto
    if names:
        options["input_names"] = ["x", "y"][: len(inputs)]
        options["output_names"] = ["out", "out2"][: getattr(model, "heads", 1)]
        if not static:
            options["dynamic_axes"] = {n: {0: "batch"} for n in options["input_names"] + options["output_names"]}
    buffer = io.BytesIO()
    torch.onnx.export(model, inputs, buffer, dynamo=False, **options)
    return onnx.load_from_string(buffer.getvalue())


def fixture(name, make, arrays, dynamo, external=False, **options):
    model = build(make)
    outputs = save(name, export(model, arrays, dynamo, **options), arrays, external)
    with torch.no_grad():
        expected = model(*map(torch.from_numpy, arrays))
    expected = expected if isinstance(expected, tuple) else (expected,)
    for a, b in zip(outputs.values(), expected, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-5)


TS_CANNOT = {"rmsnorm", "acts_threshold", "math_rare"}  # see README.md

for case, (make, arrays) in CASES.items():
    if case not in TS_CANNOT:
        fixture(f"torch_{case}_ts", make, arrays, dynamo=False)
    fixture(f"torch_{case}_dynamo", make, arrays, dynamo=True)

for dynamo, suffix in ((False, "ts"), (True, "dynamo")):
    fixture(f"torch_external_{suffix}", mlp, six, dynamo, external=True)
    # As most scripts export: one example row, no dynamic axes, no names.
    one_row = {"static": True, "names": False, "rows_traced": 1}
    fixture(f"torch_static_batch_{suffix}", mlp, six, dynamo, **one_row)
    fixture(f"torch_static_view_{suffix}", CASES["view_by_size"][0], (rows(2, 3),), dynamo, **one_row)
    fixture(f"torch_no_batch_{suffix}", mlp, six, dynamo, static=True, rows_traced=0)

for opset in (7, 9, 11, 13, 16, 17, 18, 20, 21, 23):
    fixture(f"torch_opset{opset:02}_ts", Opset, six, False, opset=opset)
for opset in (18, 20, 21, 23, 24, 25):
    fixture(f"torch_opset{opset}_dynamo", Opset, six, True, opset=opset)

# What older exporters write for operators that have a node of their own today.
for case, opsets in {"view_by_size": (9, 11, 13), "layernorm": (11, 13), "acts_gelu": (13, 17), "acts_silu": (13,),
                     "acts_hard": (11,), "acts_elu": (12,), "log_softmax": (11,), "softmax_axis": (11,),
                     "reductions": (11, 17), "mixer": (11, 17), "pnlp": (13,), "slices": (11,), "shapes": (11,),
                     "broadcast": (9,), "gate_chunk": (11,)}.items():
    for opset in opsets:
        fixture(f"torch_{case}_opset{opset:02}_ts", *CASES[case], dynamo=False, opset=opset)
for case, opset in (("acts_gelu", 18), ("rmsnorm", 23), ("acts_silu", 24)):
    fixture(f"torch_{case}_opset{opset}_dynamo", *CASES[case], dynamo=True, opset=opset)
