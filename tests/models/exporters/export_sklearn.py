"""scikit-learn fixtures through skl2onnx: small MLPs trained on iris, breast cancer and diabetes."""

import warnings

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler

from fixture import ROWS, save

warnings.filterwarnings("ignore")


def fixture(name, model, x, y, zipmap=False, opset=None):
    x = x.astype(np.float32)
    model.fit(x, y)
    options = None
    if zipmap is not None:
        options = {id(model[-1] if hasattr(model, "steps") else model): {"zipmap": zipmap}}
    exported = to_onnx(model, x[:1], options=options, target_opset=opset)
    test = x[np.random.default_rng(0).permutation(len(x))[:ROWS]]
    outputs = list(save(f"sklearn_{name}", exported, [test]).values())
    predicted = model.predict(test)
    if predicted.dtype.kind == "f":
        np.testing.assert_allclose(outputs[0].reshape(predicted.shape), predicted, rtol=1e-3, atol=1e-4)
    else:
        assert (outputs[0] == predicted).all(), (outputs[0], predicted)


def classifier(**options):
    return MLPClassifier((8,), max_iter=300, random_state=0, **options)


def regressor(**options):
    return MLPRegressor(hidden_layer_sizes=(8,), max_iter=300, random_state=0, **options)


iris = load_iris()
x, y = iris.data, iris.target
words = iris.target_names[y]
two = y < 2

fixture("multiclass", classifier(), x, y)
fixture("multiclass_zipmap", classifier(), x, y, zipmap=True)
fixture("multiclass_columns", classifier(), x, y, zipmap="columns")
fixture("multiclass_labels_10_20_30", classifier(), x, 10 * (y + 1))
fixture("multiclass_strings", classifier(), x, words)
fixture("multiclass_strings_zipmap", classifier(), x, words, zipmap=True)
fixture("binary", classifier(), x[two], y[two])
fixture("binary_zipmap", classifier(), x[two], y[two], zipmap=True)
fixture("binary_strings", classifier(), x[two], words[two])
fixture("multilabel", classifier(), x, np.stack([y == 0, y != 1], axis=1).astype(int))
fixture("tanh", classifier(activation="tanh"), x, y)
fixture("logistic", classifier(activation="logistic"), x, y)
fixture("identity", classifier(activation="identity"), x, y)
fixture("deep", MLPClassifier((8, 6, 5), max_iter=300, random_state=0), x, y)
for opset in (11, 13, 15, 18, 21):
    fixture(f"multiclass_opset{opset}", classifier(), x, y, opset=opset)

fixture("standard_scaler", make_pipeline(StandardScaler(), classifier()), x, y)
fixture("standard_scaler_zipmap", make_pipeline(StandardScaler(), classifier()), x, words, zipmap=True)
fixture("standard_scaler_nomean", make_pipeline(StandardScaler(with_mean=False), classifier()), x, y)
fixture("minmax_scaler", make_pipeline(MinMaxScaler(), classifier()), x, y)
fixture("minmax_scaler_clip", make_pipeline(MinMaxScaler(clip=True), classifier()), x, y)
fixture("robust_scaler", make_pipeline(RobustScaler(), classifier()), x, y)
fixture("maxabs_scaler", make_pipeline(MaxAbsScaler(), classifier()), x, y)
fixture("normalizer", make_pipeline(Normalizer(), classifier()), x, y)
cancer = load_breast_cancer()
fixture("pca", make_pipeline(StandardScaler(), PCA(6), classifier()), cancer.data, cancer.target)

diabetes = load_diabetes()
fixture("regressor", regressor(), diabetes.data, diabetes.target / 100, zipmap=None)
fixture("regressor_tanh", regressor(activation="tanh"), diabetes.data, diabetes.target / 100, zipmap=None)
fixture("regressor_two_targets", make_pipeline(StandardScaler(), regressor()), x[:, :2], x[:, 2:], zipmap=None)
