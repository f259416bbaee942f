"""Converts an ONNX multilayer perceptron to C with emlearn.

    python emlearn_convert.py model.onnx {classifier,regressor} network.h

emlearn takes scikit-learn's models, so the network's weights go into one of those. Only emlearn's method 'loadable', in
float, is used: its fixed-point code for networks does not work in 0.23. Prints the folder of emlearn's C headers, and
the numbers of inputs and outputs.
"""

import sys

import emlearn
import emlearn.common
import numpy
import onnx
import onnx.numpy_helper
from sklearn.neural_network import MLPClassifier, MLPRegressor


def layers(model):
    """Weights as [inputs, outputs] and biases, of a chain of Gemm, or MatMul and Add, with ReLU between."""
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in model.graph.initializer}
    weights, biases, relus = [], [], 0
    for node in model.graph.node:
        operands = [constants[name] for name in node.input if name in constants]
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        if node.op_type in ("Gemm", "MatMul"):
            weights.append(operands[0].T if transposed else operands[0])
            biases.extend(operands[1:2])
        elif node.op_type == "Add":
            biases.append(operands[0])
        elif node.op_type == "Relu":
            relus += 1
        else:
            sys.exit(f"{node.op_type} is no layer that emlearn has")
    if not (len(weights) == len(biases) == relus + 1):
        sys.exit("this is no chain of layers with ReLU between them")
    return weights, biases


def main(path, kind, out):
    weights, biases = layers(onnx.load(path))
    estimator = MLPClassifier() if kind == "classifier" else MLPRegressor()
    estimator.coefs_ = [w.astype(numpy.float64) for w in weights]
    estimator.intercepts_ = [b.astype(numpy.float64) for b in biases]
    estimator.n_layers_ = len(weights) + 1
    estimator.n_outputs_ = weights[-1].shape[1]
    estimator.activation = "relu"
    # As scikit-learn sets it for several classes, and for real outputs.
    estimator.out_activation_ = "softmax" if kind == "classifier" else "identity"
    converted = emlearn.convert(estimator, method="loadable", return_type=kind)
    converted.save(name="network", file=out)
    print(emlearn.common.get_include_dir())
    print(weights[0].shape[0], weights[-1].shape[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
