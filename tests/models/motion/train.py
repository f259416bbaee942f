"""What someone wearing an accelerometer does: features of a window in, logits of four activities out.

Trained on recordings of BasicMotions (as the package sktime brings it, official split: the test part is read once, at the
end) and on as many synthetic ones, since those of the data set come without gravity. What is shipped beside the network is
synthetic: calibration rows, test rows, and recording.csv, which the emulated sensor plays.
"""

import importlib.util
import pathlib
import sys

import numpy as np
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from training import evaluate, export, report, select  # noqa: E402

ACTIVITIES = ["Standing", "Walking", "Running", "Badminton"]
RATE, WINDOW = 10, 32  # Hz, samples
GRAVITY = 9.80665
LIMIT = 4000  # milli-g that the sensor measures


def features(window):
    """Those of boards/demos/src/motion/features.rs, in the same integers. window: [WINDOW, 3] in milli-g."""
    x = window.astype(np.int64)
    d = x - (x.sum(0) >> 5)
    deviation = np.abs(d).sum(0) >> 5
    change = np.abs(np.diff(x, axis=0)).sum(0) >> 5
    crossings = ((d[1:] >= 0) != (d[:-1] >= 0)).sum(0)
    energy = int(np.sqrt((d * d).sum() >> 5))
    return np.concatenate([deviation, change, crossings, [energy]])


def milli_g(series):
    """[steps, 3] in m/s^2 as the sensor gives it: steps of 2."""
    return np.clip(2 * np.round(series / GRAVITY * 500), -LIMIT, LIMIT - 2).astype(np.int16)


def rotation(rng):
    """The sensor sits a little differently every time."""
    q, r = np.linalg.qr(np.eye(3) + 0.15 * rng.standard_normal((3, 3)))
    return q * np.sign(np.diag(r))


def synthetic(activity, steps, rng):
    """A series of one activity, in m/s^2 with gravity: [steps, 3]."""
    t = np.arange(steps) / RATE
    wave = lambda f, a: a * np.sin(2 * np.pi * f * t + rng.uniform(0, 2 * np.pi))  # noqa: E731
    a = np.zeros((steps, 3))
    if activity == 0:
        a += rng.uniform(0.1, 0.4) * rng.standard_normal((steps, 3))
        for at in rng.integers(0, steps, rng.integers(0, 3)):
            a[at : at + 3] += rng.uniform(-2, 2, 3)
    elif activity == 3:
        a += rng.uniform(1, 2.5) * rng.standard_normal((steps, 3))
        at = 0
        while (at := at + int(rng.integers(6, 22))) < steps:
            stroke = rng.uniform(12, 30) * np.array([1, -0.8, 0.4]) @ rotation(rng) * np.array([1, 1, 0.8])
            a[at : at + 4] += np.outer([0.5, 1, -0.6, -0.3], stroke)[: steps - at]
    else:
        f = rng.uniform(1.6, 2.1) if activity == 1 else rng.uniform(2.4, 3.2)
        strength = rng.uniform(2.5, 5) if activity == 1 else rng.uniform(11, 17)
        for axis, share in enumerate([0.45, 1, 0.25] if activity == 1 else [1, 0.95, 0.3]):
            a[:, axis] = wave(f, share * strength) + wave(2 * f, 0.3 * share * strength) + wave(f / 2, 0.3 * strength)
        a += 0.12 * strength * rng.standard_normal((steps, 3))
    return (a + [0, GRAVITY, 0]) @ rotation(rng)


def synthetic_set(per_activity, rng):
    series = [synthetic(activity, 100, rng) for activity in range(4) for _ in range(per_activity)]
    return np.array(series), np.repeat(np.arange(4), per_activity)


def recorded(part):
    """A part of BasicMotions: [series, 100, 3] in m/s^2, and the activities."""
    package = pathlib.Path(importlib.util.find_spec("sktime").origin).parent
    x, y = [], []
    for line in open(package / f"datasets/data/BasicMotions/BasicMotions_{part}.ts"):
        if line[0] not in "#@":
            *dimensions, label = line.strip().split(":")
            x.append([[float(v) for v in d.split(",")] for d in dimensions[:3]])
            y.append(ACTIVITIES.index(label))
    return np.array(x).transpose(0, 2, 1), np.array(y)


def windows(series, labels):
    """Features of windows that overlap by half."""
    rows = [(features(milli_g(s)[at : at + WINDOW]), label)
            for s, label in zip(series, labels) for at in range(0, len(s) - WINDOW + 1, WINDOW // 2)]
    return np.array([r[0] for r in rows], np.float32), np.array([r[1] for r in rows], np.int64)


def hold_out(series, labels, share, rng):
    """Whole series are held out: windows of one series are alike."""
    held = np.zeros(len(labels), bool)
    for activity in range(4):
        of = np.flatnonzero(labels == activity)
        held[rng.permutation(of)[: round(share * len(of))]] = True
    return (series[~held], labels[~held]), (series[held], labels[held])


class Motion(nn.Module):
    def __init__(self, x_train):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(x_train.mean(0)))
        self.register_buffer("std", torch.from_numpy(x_train.std(0)))
        self.hidden = nn.Sequential(nn.Linear(10, 16), nn.ReLU())
        self.out = nn.Linear(16, 4)

    def forward(self, x):
        return self.out(self.hidden((x - self.mean) / self.std))


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    made = synthetic_set(10, rng)
    parts = [hold_out(*recorded("TRAIN"), 0.3, rng), hold_out(*made, 0.3, rng)]
    train, val = (windows(*[np.concatenate(z) for z in zip(*[p[i] for p in parts])]) for i in (0, 1))
    made_test = windows(*synthetic_set(5, rng))
    print(f"windows: train {len(train[1])}, validation {len(val[1])}")
    runs, weight_decay = select(lambda: Motion(train[0]), train, val, 200)
    (accuracy, _), seed, model = runs[0]
    print(f"shipped seed {seed}, weight decay {weight_decay}: validation {accuracy:.4f}")
    real_test = windows(*recorded("TEST"))
    report(f"BasicMotions test windows ({len(real_test[1])})", [evaluate(r[2], real_test)[0] for r in runs])
    print(f"shipped: {evaluate(model, real_test)[0]:.4f}; synthetic test windows {evaluate(model, made_test)[0]:.4f}")

    export(model, 10, HERE / "model.onnx", False, 17)
    np.save(HERE / "calibration.npy", windows(*synthetic_set(10, rng))[0])
    np.save(HERE / "test_x.npy", made_test[0])
    np.save(HERE / "test_y.npy", made_test[1].astype(np.int32))
    series = [milli_g(synthetic(activity, 64, rng)) for activity in range(4)]
    with open(HERE / "recording.csv", "w") as file:
        file.write("x,y,z,activity\n")
        for activity, samples in enumerate(series):
            file.writelines(",".join(map(str, sample)) + f",{activity}\n" for sample in samples)
    # Those of the first window of every activity, for a test of the firmware's code.
    with open(HERE / "recording_features.csv", "w") as file:
        file.write(",".join(f"{what}_{axis}" for what in ("deviation", "change", "crossings") for axis in "xyz") + ",energy\n")
        file.writelines(",".join(map(str, features(samples[:WINDOW]))) + "\n" for samples in series)


main()
