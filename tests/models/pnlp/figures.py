"""The table of README.md: the models that train.py left in a folder, as floats and as the integers of a device.

    python figures.py ../../../../shared/data/text runs --update

Calibration rows are 64 of the training split, evenly spaced. Every figure is `tinymlp evaluate`'s: of the float network,
and of the integers that the generated code computes. Nothing is chosen here.
"""

import argparse
import gzip
import json
import pathlib
import statistics
import subprocess

from train import ROOT, SETS

HERE = pathlib.Path(__file__).parent
SIZES, FORMATS = ["x-small", "base"], ["int8", "int4", "pow2"]
OUT_OF_SCOPE = "oos"


def rows_of(data, name):
    """Label, text and tags; MTOP has more columns."""
    lines = gzip.open(data / f"{name}.tsv.gz", "rt", encoding="utf-8").read().split("\n")[:-1]
    return ["\t".join(line.split("\t")[:3]) for line in lines]


def evaluate(tinymlp, model, calibration, inputs, weights):
    command = [*tinymlp.split(), "evaluate", str(model), "--calibration", str(calibration), "--inputs", str(inputs)]
    command += ["--json"] + (["--weights", weights] if weights != "int8" else [])
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    return {kind: {name: found[kind][name] for name in ("intent", "exact")} for kind in ("float", "quantized")}


def measured(tinymlp, data, runs, set_name, size, seed, formats):
    """Figures by split and format, kept beside the model."""
    model = runs / f"{set_name}-{size}-{seed}.onnx"
    kept = model.with_suffix(".figures.json")
    figures = json.loads(kept.read_text()) if kept.is_file() else {}
    files = SETS[set_name]["files"]
    calibration = runs / f"{set_name}.calibration.tsv"
    train = rows_of(data, files[0])
    calibration.write_text("\n".join(train[k * len(train) // 64] for k in range(64)) + "\n", encoding="utf-8")
    for split, name in zip(("valid", "test"), files[1:]):
        inputs = runs / f"{set_name}.{split}.tsv"
        rows = [row for row in rows_of(data, name) if row.split("\t")[0] != OUT_OF_SCOPE]
        inputs.write_text("\n".join(rows) + "\n", encoding="utf-8")
        for weights in formats:
            if f"{split} {weights}" not in figures:
                figures[f"{split} {weights}"] = evaluate(tinymlp, model, calibration, inputs, weights)
                kept.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def spread(values):
    if any(v is None for v in values):
        return "-"
    values = [100 * v for v in values]
    return f"{statistics.mean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def table(options):
    data, runs = pathlib.Path(options.data).resolve(), pathlib.Path(options.runs).resolve()
    lines = ["| set | size | parameters | seeds | intent, validation | intent, test: float | int8 | exact, validation |"]
    lines[0] += " exact, test: float | int8 |"
    lines.append("| --- " * 10 + "|")
    packed = ["| set | weights | intent, test | exact, test |", "| --- | --- | --- | --- |"]
    for set_name in SETS:
        for size in SIZES:
            found = sorted(int(path.stem.split("-")[-1]) for path in runs.glob(f"{set_name}-{size}-?.onnx"))
            formats = FORMATS if size == "base" else FORMATS[:1]
            all_of = [measured(options.tinymlp, data, runs, set_name, size, seed, formats) for seed in found]
            if not found:
                continue
            about = json.loads(next(runs.glob(f"{set_name}-{size}-?.json")).read_text())
            of = lambda split, weights, kind, what: spread([f[f"{split} {weights}"][kind][what] for f in all_of])
            cells = [set_name, size, f"{about['parameters']:,}", str(len(found))]
            for what in ("intent", "exact"):
                cells.append(of("valid", "int8", "float", what))
                cells += [of("test", "int8", kind, what) for kind in ("float", "quantized")]
            lines.append("| " + " | ".join(cells) + " |")
            for weights in formats[1:]:
                cells = [set_name, weights, *[of("test", weights, "quantized", what) for what in ("intent", "exact")]]
                packed.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\nBase with packed weights:\n\n" + "\n".join(packed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of the data sets")
    parser.add_argument("runs", help="folder that train.py wrote to")
    parser.add_argument("--update", action="store_true", help="write the table into README.md")
    command = "cargo run -q --release -p tinymlp-codegen --features cli --"
    parser.add_argument("--tinymlp", default=command, help="the command of the code generator")
    options = parser.parse_args()
    text = table(options)
    print(text)
    if options.update:
        readme, (first, last) = HERE / "README.md", ("<!-- figures:begin -->\n", "<!-- figures:end -->")
        before, rest = readme.read_text(encoding="utf-8").split(first)
        readme.write_text(before + first + text + "\n" + last + rest.split(last)[1], encoding="utf-8")
