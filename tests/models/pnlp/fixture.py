"""Trains a pNLP-Mixer that is as small as a test wants it, on sentences made up here: small.onnx, small.train.tsv, small.test.tsv.

    python fixture.py

Everything follows from the seeds. The test sentences name things that the training sentences do not.
"""

import pathlib
import random

import train
from export import export
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
SPEC = dict(positions=12, hashes=16, buckets=128, window=1, punctuation=False, tokens=True)
WIDTH, HIDDEN, BLOCKS, EPOCHS = 16, 24, 1, 60

PATTERNS = {
    "play": ["play {song}", "please play {song} by {artist}", "i want to hear {artist}", "put on {song} now"],
    "alarm": ["wake me at {time}", "set an alarm for {time}", "alarm {time} {day}", "please wake me {day} at {time}"],
    "weather": ["weather {day}", "will it rain in {place} {day}", "how warm is {place}", "is it cold in {place} now"],
}
THINGS = {
    "train": {
        "song": ["blue river", "dancing alone", "old road", "seven winds", "night train"],
        "artist": ["anna bell", "the harbour", "mira stone", "los verdes"],
        "time": ["six", "half past nine", "noon", "eight thirty", "quarter to five"],
        "day": ["today", "tomorrow", "on monday", "on friday"],
        "place": ["oslo", "new york", "lima", "cape town", "zürich"],
    },
    "test": {
        "song": ["blue road", "seven rivers", "dancing night"],
        "artist": ["anna stone", "the verdes"],
        "time": ["half past six", "quarter to nine", "five"],
        "day": ["today", "on sunday"],
        "place": ["new town", "york", "limassol"],
    },
}


def sentences(split, count, seed):
    """Rows of intent, words, tags."""
    choose = random.Random(seed)
    rows = []
    for _ in range(count):
        intent = choose.choice(sorted(PATTERNS))
        words, tags = [], []
        for part in choose.choice(PATTERNS[intent]).split(" "):
            if not part.startswith("{"):
                words.append(part)
                tags.append("O")
                continue
            kind = part[1:-1]
            thing = choose.choice(THINGS[split][kind]).split(" ")
            words += thing
            tags += [("B-" if k == 0 else "I-") + kind for k in range(len(thing))]
        rows.append((intent, " ".join(words), " ".join(tags)))
    return rows


def save(rows, path):
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    train.HASHES, train.HIDDEN = SPEC["hashes"], HIDDEN
    rows = save(sentences("train", 240, 0), HERE / "small.train.tsv")
    save(sentences("test", 60, 1), HERE / "small.test.tsv")
    size = dict(buckets=SPEC["buckets"], window=SPEC["window"], width=WIDTH, blocks=BLOCKS)
    command = "cargo run -q --release -p tinymlp-codegen --features cli --"
    work = HERE / "small.npy"
    buckets = train.features(command, HERE / "small.train.tsv", SPEC, size, work)
    work.unlink()
    words = train.Words()
    texts = train.padded(words.of(buckets, size["buckets"]), SPEC["positions"], train.NO_WORD)
    table = words.table()
    intents = sorted(PATTERNS)
    tags = sorted({tag for row in rows for tag in row[2].split(" ")})
    intent = torch.tensor([intents.index(row[0]) for row in rows])
    slots = [[tags.index(tag) for tag in row[2].split(" ")] for row in rows]
    slots = train.padded(slots, SPEC["positions"], train.NO_TAG)
    model = train.Model(size, SPEC["positions"], len(intents), len(tags))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(rows)).split(32):
            found = model.seldom(texts[batch], table)
            loss = F.cross_entropy(found[0], intent[batch])
            loss = loss + F.cross_entropy(found[1].transpose(1, 2), slots[batch], ignore_index=train.NO_TAG)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
    print(f"loss of the last epoch {total:.4f}")
    labels = dict(intent=intents, slots=tags)
    weight = model.weight.data.reshape(-1, WIDTH)
    export(model.mixer, weight, model.bias.data, SPEC, labels, HERE / "small.onnx")


if __name__ == "__main__":
    main()
