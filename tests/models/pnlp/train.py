"""Trains a pNLP-Mixer (arXiv 2202.04350) for one data set: intent, and slots where the set has them.

    python train.py snips ../../../../shared/data/text --size x-small --seed 0 --out runs

The front end is the project's own: `tinymlp features` writes the buckets of the counting Bloom filters, so that training
and device cannot differ. Recipe: Adam, learning rate 1e-3 with cosine decay, batches of 256, dropout of words; the epoch is
chosen on the validation split (exact match where there are slots, else intent accuracy), and the test split is read once,
after that.
"""

import argparse
import gzip
import json
import pathlib
import subprocess
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from export import export

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIZES = {"x-small": dict(buckets=1024, window=0, width=64, blocks=2), "base": dict(buckets=1024, window=1, width=256, blocks=2)}
HASHES, HIDDEN = 64, 256
# Files by split, columns of intent, text and slots, whether the text comes as tokens, words of the longest text kept.
SETS = {
    "snips": dict(files=["snips/train", "snips/valid", "snips/test"], slots=True, tokens=True, positions=32),
    "atis": dict(files=["atis/train", "atis/valid", "atis/test"], slots=True, tokens=True, positions=32),
    "mtop": dict(files=["mtop/en/train", "mtop/en/valid", "mtop/en/test1000"], slots=True, tokens=True, positions=32),
    "clinc150": dict(files=["clinc150/train", "clinc150/valid", "clinc150/test"], slots=False, tokens=False, positions=32),
}
NO_WORD = -100


def features(tinymlp, path, spec, size, cached):
    """Buckets (texts, positions, hashes); the number of buckets where there is no word."""
    command = [*tinymlp.split(), "features", str(path), "--column", "2", "--positions", str(spec["positions"]), "--hashes", str(HASHES)]
    command += ["--buckets", str(size["buckets"]), "--output", str(cached)] + (["--tokens"] if spec["tokens"] else [])
    subprocess.run(command, cwd=ROOT, check=True)
    return np.load(cached).astype(np.int64)


class Split:
    def __init__(self, name, data, spec, size, labels, work, tinymlp):
        path = data / f"{name}.tsv.gz"
        rows = [line.split("\t") for line in gzip.open(path, "rt", encoding="utf-8").read().split("\n")[:-1]]
        self.buckets = torch.from_numpy(features(tinymlp, path, spec, size, work / (name.replace("/", "_") + ".npy")))
        intents, tags = labels
        self.intent = torch.tensor([intents.get(row[0], -1) for row in rows])
        self.words = (self.buckets[:, :, 0] < size["buckets"])
        self.slots = None
        if tags is not None:
            self.slots = torch.full(self.words.shape, NO_WORD)
            # Tags that no training row has cannot be right.
            for k, row in enumerate(rows):
                found = [tags.get(tag, -1) for tag in row[2].split(" ")[: spec["positions"]]]
                assert len(found) == int(self.words[k].sum()), (path, k, row)
                self.slots[k, : len(found)] = torch.tensor(found)
            # Utterances that are cut keep slots that nothing can find.
            self.cut = torch.tensor([len(row[2].split(" ")) > spec["positions"] for row in rows])


class Block(nn.Module):
    def __init__(self, positions, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(positions, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, positions))
        self.channels = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width))

    def forward(self, x):
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """What runs after the bottleneck: rows of (positions, width) to logits of the intent, and of a tag a word."""

    def __init__(self, positions, width, blocks, intents, tags):
        super().__init__()
        self.blocks = nn.Sequential(*[Block(positions, width) for _ in range(blocks)])
        self.attention, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.intent = nn.Linear(width, intents)
        self.slots = nn.Linear(width, tags) if tags else None

    def forward(self, x):
        x = self.blocks(x)
        pooled = (torch.softmax(self.attention(x), dim=1) * self.value(x)).sum(dim=1)
        intent = self.intent(pooled)
        return (intent, self.slots(x)) if self.slots is not None else intent


class Model(nn.Module):
    """The bottleneck is a sum of rows of weights: a Linear over counts that are almost all zero."""

    def __init__(self, size, positions, intents, tags):
        super().__init__()
        self.buckets, self.window = size["buckets"], size["window"]
        rows = (2 * self.window + 1) * self.buckets
        # The last row is that of no word.
        self.weight = nn.Parameter(torch.randn(rows + 1, size["width"]) / HASHES**0.5)
        self.bias = nn.Parameter(torch.zeros(size["width"]))
        self.mixer = Mixer(positions, size["width"], size["blocks"], intents, tags)

    def bottleneck(self, buckets):
        texts, positions, hashes = buckets.shape
        none = self.weight.shape[0] - 1
        word = buckets[:, :, 0] < self.buckets
        parts = []
        for k in range(-self.window, self.window + 1):
            shifted = torch.full_like(buckets, self.buckets)
            if k < 0:
                shifted[:, -k:] = buckets[:, :k]
            elif k > 0:
                shifted[:, :-k] = buckets[:, k:]
            else:
                shifted = buckets
            # Rows without a word of their own have no neighbours either.
            there = (shifted < self.buckets) & word[:, :, None]
            parts.append(torch.where(there, shifted + (k + self.window) * self.buckets, none))
        rows = torch.cat(parts, dim=2).reshape(texts * positions, -1)
        summed = F.embedding_bag(rows, self.weight, mode="sum", padding_idx=none)
        return summed.reshape(texts, positions, -1) + self.bias

    def forward(self, buckets):
        return self.mixer(self.bottleneck(buckets))


def dropped(buckets, none, share, generator):
    """Some words as a word that was never seen: their buckets are random."""
    gone = (torch.rand(buckets.shape[:2], generator=generator) < share) & (buckets[:, :, 0] < none)
    buckets = buckets.clone()
    buckets[gone] = torch.randint(0, none, (int(gone.sum()), buckets.shape[2]), generator=generator)
    return buckets


def score(model, split, batch=512):
    model.eval()
    right = {"intent": 0, "slots": 0, "exact": 0}
    with torch.no_grad():
        for at in range(0, len(split.intent), batch):
            out = model(split.buckets[at : at + batch])
            intent = (out[0] if split.slots is not None else out).argmax(1) == split.intent[at : at + batch]
            right["intent"] += int(intent.sum())
            if split.slots is not None:
                tags, words = split.slots[at : at + batch], split.words[at : at + batch]
                slots = ((out[1].argmax(2) == tags) | ~words).all(1) & ~split.cut[at : at + batch]
                right["slots"] += int(slots.sum())
                right["exact"] += int((slots & intent).sum())
    names = right if split.slots is not None else ["intent"]
    return {name: right[name] / len(split.intent) for name in names}


def train(options):
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    spec, size = SETS[options.set], SIZES[options.size]
    data, out = pathlib.Path(options.data).resolve(), pathlib.Path(options.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    # Labels are those of the training rows.
    rows = [line.split("\t") for line in gzip.open(data / f"{spec['files'][0]}.tsv.gz", "rt", encoding="utf-8")]
    intents = {name: k for k, name in enumerate(sorted({row[0] for row in rows}))}
    names = sorted({tag for row in rows for tag in row[2].strip().split(" ")}) if spec["slots"] else []
    tags = {name: k for k, name in enumerate(names)} if spec["slots"] else None
    split = lambda k: Split(spec["files"][k], data, spec, size, (intents, tags), out, options.tinymlp)
    first, valid = split(0), split(1)
    model = Model(size, spec["positions"], len(intents), len(names))
    parameters = sum(p.numel() for p in model.parameters()) - size["width"]
    print(f"{options.set} {options.size}: {parameters} parameters, {len(intents)} intents, {len(names)} tags", flush=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.rate)
    steps = options.epochs * -(-len(first.intent) // options.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, kept = -1.0, None
    what = "exact" if spec["slots"] else "intent"
    for epoch in range(options.epochs):
        model.train()
        start, total = time.time(), 0.0
        for batch in torch.randperm(len(first.intent), generator=generator).split(options.batch):
            answer = model(dropped(first.buckets[batch], size["buckets"], options.dropout, generator))
            intent = answer[0] if spec["slots"] else answer
            loss = F.cross_entropy(intent, first.intent[batch])
            if spec["slots"]:
                loss = loss + F.cross_entropy(answer[1].transpose(1, 2), first.slots[batch], ignore_index=NO_WORD)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        found = score(model, valid)
        if found[what] > best:
            best, kept = found[what], {k: v.clone() for k, v in model.state_dict().items()}
        shown = ", ".join(f"{k} {100 * v:.2f}" for k, v in found.items())
        print(f"epoch {epoch}: loss {total / len(first.intent):.4f}, valid {shown}, {time.time() - start:.0f} s", flush=True)
    model.load_state_dict(kept)
    test = score(model, split(2))
    figures = dict(set=options.set, size=options.size, seed=options.seed, parameters=parameters, valid=score(model, valid), test=test)
    print(json.dumps(figures), flush=True)
    name = f"{options.set}-{options.size}-{options.seed}"
    (out / f"{name}.json").write_text(json.dumps(dict(figures, intents=list(intents), tags=names), indent=1) + "\n")
    torch.save(kept, out / f"{name}.pt")
    form = dict(positions=spec["positions"], hashes=HASHES, buckets=size["buckets"], window=size["window"], punctuation=not spec["tokens"])
    labels = dict(intent=list(intents), **(dict(slots=names) if spec["slots"] else {}))
    export(model.mixer, model.weight.data[:-1], model.bias.data, form, labels, out / f"{name}.onnx")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("data", help="folder of the data sets")
    parser.add_argument("--size", choices=SIZES, default="x-small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--dropout", type=float, default=0.1, help="share of words that are left without features in training")
    parser.add_argument("--out", default="runs")
    command = "cargo run -q --release -p tinymlp-codegen --features cli --"
    parser.add_argument("--tinymlp", default=command, help="the command of the code generator")
    train(parser.parse_args())
