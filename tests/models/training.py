"""What the train.py scripts share: split, training, selection, export.

Train, validation and test are three different stratified sets. The weight
decay, the stopping epoch and the shipped seed are chosen on validation only;
the test set is read once, at the end, for every seed of the chosen setting. The
same procedure over other splits then shows how much one small test set says.
"""

import numpy as np
import onnx
import onnxruntime as ort
import torch
from sklearn.model_selection import train_test_split
from torch.nn.functional import cross_entropy

SEEDS = range(5)
WEIGHT_DECAYS = (1e-3, 1e-2, 1e-1)
SHIPPED_SPLIT, OTHER_SPLITS = 0, range(1, 6)


def split(data, seed):
    """60 % train, 20 % validation, 20 % test of a scikit-learn data set."""
    x, y = data.data.astype(np.float32), data.target.astype(np.int64)
    x, x_test, y, y_test = train_test_split(
        x, y, test_size=0.2, stratify=y, random_state=seed
    )
    x_train, x_val, y_train, y_val = train_test_split(
        x, y, test_size=0.25, stratify=y, random_state=seed
    )
    return (x_train, y_train), (x_val, y_val), (x_test, y_test)


@torch.no_grad()
def evaluate(model, rows):
    """Accuracy and mean cross-entropy."""
    model.eval()
    x, y = map(torch.from_numpy, rows)
    logits = model(x)
    return (logits.argmax(1) == y).float().mean().item(), cross_entropy(logits, y).item()


def fit(build, train, val, seed, weight_decay, epochs):
    """Adam; returns the model of the epoch with the lowest validation loss."""
    torch.manual_seed(seed)
    model = build()
    x, y = map(torch.from_numpy, train)
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=weight_decay)
    best_loss, best_state = float("inf"), None
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(x)).split(32):
            adam.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            adam.step()
        _, loss = evaluate(model, val)
        if loss < best_loss:
            best_loss = loss
            best_state = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best_state)
    return model


def select(build, train, val, epochs):
    """The models of all seeds at the weight decay that validates best, the best first."""
    best = None
    for weight_decay in WEIGHT_DECAYS:
        runs = []
        for seed in SEEDS:
            model = fit(build, train, val, seed, weight_decay, epochs)
            accuracy, loss = evaluate(model, val)
            runs.append(((accuracy, -loss), seed, model))
        score = tuple(np.mean([r[0] for r in runs], axis=0))
        if best is None or score > best[0]:
            best = score, sorted(runs, key=lambda r: r[0], reverse=True), weight_decay
    return best[1], best[2]


def export(model, n_inputs, path, dynamo, opset):
    """Float ONNX with a symbolic batch, weights inside, no paths of this machine."""
    model.eval()
    batch = {"dynamic_shapes": {"x": {0: torch.export.Dim("batch")}}} if dynamo else {
        "dynamic_axes": {"x": {0: "batch"}, "logits": {0: "batch"}}
    }
    torch.onnx.export(
        model, (torch.zeros(2, n_inputs),), str(path), dynamo=dynamo, opset_version=opset,
        external_data=False, input_names=["x"], output_names=["logits"], **batch,
    )
    onnx_model = onnx.load(path)
    for thing in [onnx_model, onnx_model.graph, *onnx_model.graph.node,
                  *onnx_model.graph.input, *onnx_model.graph.output,
                  *onnx_model.graph.value_info, *onnx_model.graph.initializer]:
        thing.ClearField("doc_string")
        thing.ClearField("metadata_props")
    onnx.checker.check_model(onnx_model, full_check=True)
    onnx.save(onnx_model, path)


def report(what, accuracies):
    print(f"{what}: mean {np.mean(accuracies):.4f}, min {min(accuracies):.4f}, max {max(accuracies):.4f}")


def train_and_ship(folder, data, build, *, epochs, dynamo, opset):
    torch.set_num_threads(1)
    train, val, test = split(data, SHIPPED_SPLIT)
    print("rows: train {}, validation {}, test {}".format(*(len(s[1]) for s in (train, val, test))))
    runs, weight_decay = select(lambda: build(train[0]), train, val, epochs)
    (val_accuracy, _), seed, model = runs[0]

    accuracies = [evaluate(run[2], test)[0] for run in runs]
    report(f"test accuracy, {len(runs)} seeds, weight decay {weight_decay}", accuracies)
    print(f"shipped seed {seed}: validation {val_accuracy:.4f}, test {accuracies[0]:.4f}, "
          f"{sum(p.numel() for p in model.parameters())} parameters")

    export(model, train[0].shape[1], folder / "model.onnx", dynamo, opset)
    rows = np.random.default_rng(0).permutation(len(train[0]))[:200]
    np.save(folder / "calibration.npy", train[0][rows])
    np.save(folder / "test_x.npy", test[0])
    np.save(folder / "test_y.npy", test[1].astype(np.int32))
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(None, {"x": test[0]})[0]
    print(f"onnxruntime test accuracy {(logits.argmax(1) == test[1]).mean():.4f}")

    accuracies = []
    for seed in OTHER_SPLITS:
        train, val, test = split(data, seed)
        runs, _ = select(lambda: build(train[0]), train, val, epochs)
        accuracies.append(evaluate(runs[0][2], test)[0])
    report(f"test accuracy, {len(accuracies)} other splits", accuracies)
