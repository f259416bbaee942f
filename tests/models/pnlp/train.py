"""Trains a pNLP-Mixer (arXiv 2202.04350) for one data set: intent, and slots where the set has them.

    python train.py snips ../../../../shared/data/text --size x-small --seed 0 --out runs

The front end is the project's own: `tinymlp features` writes the buckets of the counting Bloom filters, so that training
and device cannot differ. The epoch is chosen on the validation split (exact match where there are slots, else intent
accuracy), and the test split is read once, after that, and only with --test.

Recipe: AdamW (decay 0.01) with warm-up and cosine decay, batches of 128, an exponential mean of the weights, products in
bfloat16. What makes training rows go further: words whose features are random, and values of slots that change places with
values of the same slot in other rows.
"""

import argparse
import copy
import gzip
import json
import math
import pathlib
import random
import subprocess
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from export import export

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIZES = {
    "x-small": dict(buckets=1024, window=0, width=64, blocks=2, rate=4e-3),
    "base": dict(buckets=1024, window=1, width=256, blocks=2, rate=2e-3),
}
HASHES, HIDDEN = 64, 256
# Files by split, whether there are slots, whether the text comes as tokens, words of the longest text kept, epochs by size.
SETS = {
    "snips": dict(
        files=["snips/train", "snips/valid", "snips/test"],
        slots=True,
        tokens=True,
        positions=32,
        epochs={"x-small": 40, "base": 25},
    ),
    "atis": dict(
        files=["atis/train", "atis/valid", "atis/test"],
        slots=True,
        tokens=True,
        positions=32,
        epochs={"x-small": 60, "base": 30},
    ),
    "mtop": dict(
        files=["mtop/en/train", "mtop/en/valid", "mtop/en/test1000"],
        slots=True,
        tokens=True,
        positions=32,
        epochs={"x-small": 60, "base": 25},
    ),
    "clinc150": dict(
        files=["clinc150/train", "clinc150/valid", "clinc150/test"],
        slots=False,
        tokens=False,
        positions=32,
        epochs={"x-small": 40, "base": 25},
    ),
}
NO_WORD, NO_TAG = -1, -100


def features(tinymlp, path, spec, size, cached):
    """Buckets (texts, positions, hashes); the number of buckets where there is no word."""
    command = [*tinymlp.split(), "features", str(path), "--column", "2", "--positions", str(spec["positions"])]
    command += ["--hashes", str(HASHES), "--buckets", str(size["buckets"]), "--output", str(cached)]
    subprocess.run(command + (["--tokens"] if spec["tokens"] else []), cwd=ROOT, check=True)
    return np.load(cached).astype(np.int64)


class Words:
    """Every word that was seen by its buckets, numbered."""

    def __init__(self):
        self.numbers, self.rows = {}, []

    def of(self, buckets, none):
        """Numbers of the words of texts: lists, as long as the texts."""
        texts = []
        for text in buckets:
            text = [row for row in text if row[0] < none]
            for row in text:
                if row.tobytes() not in self.numbers:
                    self.numbers[row.tobytes()] = len(self.rows)
                    self.rows.append(row)
            texts.append([self.numbers[row.tobytes()] for row in text])
        return texts

    def table(self):
        """Buckets (words, hashes)."""
        return torch.from_numpy(np.array(self.rows))


def padded(lists, positions, none):
    out = np.full((len(lists), positions), none, dtype=np.int64)
    for row, found in zip(out, lists):
        row[: len(found)] = found[:positions]
    return torch.from_numpy(out)


class Split:
    """A file's rows: names of intents, and of tags by word, and the numbers of words."""

    def __init__(self, name, data, spec, size, words, work, tinymlp):
        path = data / f"{name}.tsv.gz"
        rows = [line.split("\t") for line in gzip.open(path, "rt", encoding="utf-8").read().split("\n")[:-1]]
        found = features(tinymlp, path, spec, size, work / (name.replace("/", "_") + ".npy"))
        texts = words.of(found, size["buckets"])
        tags = [row[2].split(" ") for row in rows] if spec["slots"] else None
        # A token that is nothing but an accent is no word: its row's tags have no words to be of.
        fit = lambda k: tags is None or min(len(tags[k]), spec["positions"]) == len(texts[k])
        kept = [k for k in range(len(rows)) if fit(k)]
        self.lost = len(rows) - len(kept)
        if self.lost:
            print(f"{path}: {self.lost} rows left out, whose tags are not one a word", flush=True)
        self.words = [texts[k] for k in kept]
        self.intents = [rows[k][0] for k in kept]
        self.tags = [tags[k] for k in kept] if spec["slots"] else None


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
        self.window = size["window"]
        places = 2 * self.window + 1
        self.weight = nn.Parameter(torch.randn(places, size["buckets"], size["width"]) / HASHES**0.5)
        self.bias = nn.Parameter(torch.zeros(size["width"]))
        self.mixer = Mixer(positions, size["width"], size["blocks"], intents, tags)

    def forward(self, words, table):
        """`words` (texts, positions) are numbers of rows of `table` (words, hashes), NO_WORD where there is none."""
        rows = self.bias
        for k in range(-self.window, self.window + 1):
            summed = F.embedding_bag(table, self.weight[k + self.window], mode="sum")
            # The last row, of NO_WORD, is that of no counts.
            summed = torch.cat([summed, torch.zeros_like(summed[:1])])
            beside = torch.full_like(words, NO_WORD)
            if k < 0:
                beside[:, -k:] = words[:, :k]
            elif k > 0:
                beside[:, :-k] = words[:, k:]
            else:
                beside = words
            # Rows without a word of their own have no neighbours either.
            rows = rows + summed[torch.where(words == NO_WORD, NO_WORD, beside)]
        return self.mixer(rows)

    def seldom(self, words, table):
        """The same, summing the rows of every word once."""
        there, words = used(words, table)
        return self(words, there)


def used(words, table):
    """The rows of a table that are used, and the numbers among these."""
    numbers, words = torch.unique(words, return_inverse=True)
    if numbers[0] == NO_WORD:
        numbers, words = numbers[1:], words - 1
    return table[numbers], words


def spans(tags):
    """Slots of BIO tags: (start, end, name)."""
    found, at = [], 0
    while at < len(tags):
        end = at + 1
        if tags[at] != "O":
            name = tags[at][2:]
            while end < len(tags) and tags[end] == f"I-{name}":
                end += 1
            found.append((at, end, name))
        at = end
    return found


class Swap:
    """Gives slots the values that other rows have for them: a new text with its tags."""

    def __init__(self, split, rows, share, generator):
        self.share, self.generator = share, generator
        self.values = {}
        for text, tags in [(split.words[k], split.tags[k]) for k in rows]:
            for start, end, name in spans(tags[: len(text)]):
                self.values.setdefault(name, set()).add(tuple(text[start:end]))
        self.values = {name: sorted(found) for name, found in self.values.items()}

    def __call__(self, text, tags, positions):
        tags = tags[: len(text)]
        if self.generator.random() >= self.share:
            return text, tags
        words, names, at = [], [], 0
        for start, end, name in spans(tags):
            value = text[start:end]
            if self.generator.random() < 0.7:
                value = self.generator.choice(self.values[name])
            words += [*text[at:start], *value]
            names += [*tags[at:start], f"B-{name}", *[f"I-{name}"] * (len(value) - 1)]
            at = end
        words, names = words + text[at:], names + tags[at:]
        return (words, names) if len(words) <= positions else (text, tags)


def unseen(words, table, share, buckets, generator):
    """Some words as words that were never seen: their buckets are random."""
    gone = (torch.rand(words.shape, generator=generator) < share) & (words != NO_WORD)
    count = int(gone.sum())
    words = words.clone()
    words[gone] = len(table) + torch.arange(count)
    return words, torch.cat([table, torch.randint(0, buckets, (count, table.shape[1]), generator=generator)])


class Targets:
    """Numbers of labels; names that no training row has cannot be right."""

    def __init__(self, split, spec):
        self.positions = spec["positions"]
        self.intents = sorted(set(split.intents))
        self.tags = sorted({tag for tags in split.tags for tag in tags}) if spec["slots"] else []
        self.intent_of = {name: k for k, name in enumerate(self.intents)}
        self.tag_of = {name: k for k, name in enumerate(self.tags)}

    def intent(self, names):
        return torch.tensor([self.intent_of.get(name, -1) for name in names])

    def slots(self, texts):
        return padded([[self.tag_of.get(tag, -1) for tag in tags] for tags in texts], self.positions, NO_TAG)


def score(model, split, table, targets, batch=512):
    """Shares of texts: right intent, all tags right, both; and of words with a tag, the right one. Texts that are cut have tags
    that nothing can find; rows that were left out are wrong."""
    model.eval()
    words, intents = padded(split.words, targets.positions, NO_WORD), targets.intent(split.intents)
    right = {"intent": 0, "slots": 0, "exact": 0}
    tagged, found = 0, 0
    outside = targets.tag_of.get("O", NO_TAG)
    with torch.no_grad():
        for at in range(0, len(words), batch):
            out = model.seldom(words[at : at + batch], table)
            intent = (out[0] if targets.tags else out).argmax(1) == intents[at : at + batch]
            right["intent"] += int(intent.sum())
            if targets.tags:
                tags = targets.slots(split.tags[at : at + batch])
                cut = torch.tensor([len(tags) > targets.positions for tags in split.tags[at : at + batch]])
                same = out[1].argmax(2) == tags
                slots = (same | (tags == NO_TAG)).all(1) & ~cut
                right["slots"] += int(slots.sum())
                right["exact"] += int((slots & intent).sum())
                inside = (tags != NO_TAG) & (tags != outside)
                tagged += int(inside.sum())
                found += int((same & inside).sum())
    shares = {name: right[name] / (len(words) + split.lost) for name in (right if targets.tags else ["intent"])}
    return shares | ({"tagged": found / tagged} if targets.tags else {})


def train(options):
    torch.manual_seed(options.seed)
    chosen, generator = random.Random(options.seed), torch.Generator().manual_seed(options.seed)
    spec, size = SETS[options.set], SIZES[options.size]
    epochs, peak = options.epochs or spec["epochs"][options.size], options.rate or size["rate"]
    data, out = pathlib.Path(options.data).resolve(), pathlib.Path(options.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    words = Words()
    first, valid = [Split(name, data, spec, size, words, out, options.tinymlp) for name in spec["files"][:2]]
    table, targets = words.table(), Targets(first, spec)
    order = list(range(len(first.words)))
    chosen.shuffle(order)
    order = order[: max(1, round(options.share * len(order)))]
    swap = Swap(first, order, options.swap, chosen) if spec["slots"] else None
    model = Model(size, spec["positions"], len(targets.intents), len(targets.tags))
    mean = copy.deepcopy(model).requires_grad_(False)
    parameters = sum(p.numel() for p in model.parameters())
    labels = f"{len(targets.intents)} intents, {len(targets.tags)} tags"
    print(f"{options.set} {options.size}: {parameters} parameters, {labels}", flush=True)
    groups = [[p for p in model.parameters() if p.ndim >= 2], [p for p in model.parameters() if p.ndim < 2]]
    decays = [dict(params=group, weight_decay=decay) for group, decay in zip(groups, (0.01, 0.0))]
    optimizer = torch.optim.AdamW(decays, lr=peak)
    steps = epochs * -(-len(order) // options.batch)
    warm = min(200, max(1, steps // 10))
    rate = lambda step: min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    best, kept, done = -1.0, None, 0
    what = "exact" if spec["slots"] else "intent"
    for epoch in range(epochs):
        model.train()
        chosen.shuffle(order)
        start, total = time.time(), 0.0
        for at in range(0, len(order), options.batch):
            rows = order[at : at + options.batch]
            texts = [first.words[k] for k in rows]
            if swap:
                texts, tags = zip(*[swap(first.words[k], first.tags[k], spec["positions"]) for k in rows])
            there, numbers = used(padded(texts, spec["positions"], NO_WORD), table)
            numbers, there = unseen(numbers, there, options.unseen, size["buckets"], generator)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                answer = model(numbers, there)
            intent = answer[0] if swap else answer
            loss = F.cross_entropy(intent.float(), targets.intent([first.intents[k] for k in rows]))
            if swap:
                loss = loss + F.cross_entropy(answer[1].float().transpose(1, 2), targets.slots(tags), ignore_index=NO_TAG)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            with torch.no_grad():
                for slow, fast in zip(mean.parameters(), model.parameters()):
                    slow.lerp_(fast, 1 - min(0.998, (1 + done) / (10 + done)))
            total += loss.item() * len(rows)
        found = score(mean, valid, table, targets)
        if found[what] > best:
            best, kept = found[what], copy.deepcopy(mean.state_dict())
        shown = ", ".join(f"{k} {100 * v:.2f}" for k, v in found.items())
        print(f"epoch {epoch}: loss {total / len(order):.4f}, valid {shown}, {time.time() - start:.0f} s", flush=True)
    mean.load_state_dict(kept)
    figures = dict(set=options.set, size=options.size, seed=options.seed, share=options.share, epochs=epochs)
    figures |= dict(parameters=parameters, valid=score(mean, valid, table, targets))
    if options.test:
        last = Split(spec["files"][2], data, spec, size, words, out, options.tinymlp)
        figures["test"] = score(mean, last, words.table(), targets)
    print(json.dumps(figures), flush=True)
    name = f"{options.set}-{options.size}-{options.seed}"
    (out / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    form = dict(positions=spec["positions"], hashes=HASHES, buckets=size["buckets"], window=size["window"])
    form["punctuation"] = not spec["tokens"]
    labels = dict(intent=targets.intents, **(dict(slots=targets.tags) if spec["slots"] else {}))
    weight = mean.weight.data.reshape(-1, size["width"])
    export(mean.mixer, weight, mean.bias.data, form, labels, out / f"{name}.onnx")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("data", help="folder of the data sets")
    parser.add_argument("--size", choices=SIZES, default="x-small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="by size and set, if not given")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, help="the highest step; by size, if not given")
    parser.add_argument("--unseen", type=float, default=0.05, help="share of words with random features in training")
    parser.add_argument("--swap", type=float, default=0.4, help="share of training rows whose slots change values")
    parser.add_argument("--share", type=float, default=1.0, help="share of the training rows that is used")
    parser.add_argument("--test", action="store_true", help="read the test split at the end")
    parser.add_argument("--out", default="runs")
    command = "cargo run -q --release -p tinymlp-codegen --features cli --"
    parser.add_argument("--tinymlp", default=command, help="the command of the code generator")
    train(parser.parse_args())
