"""30-10-2 ReLU MLP on scikit-learn's breast cancer data; raw features in, logits out."""

import pathlib
import sys

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from training import train_and_ship  # noqa: E402


class Mlp(nn.Module):
    def __init__(self, x_train):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(x_train.mean(0)))
        self.register_buffer("std", torch.from_numpy(x_train.std(0)))
        self.hidden = nn.Linear(30, 10)
        self.relu = nn.ReLU()
        self.output = nn.Linear(10, 2)

    def forward(self, x):
        x = (x - self.mean) / self.std
        return self.output(self.relu(self.hidden(x)))


train_and_ship(HERE, load_breast_cancer(), Mlp, epochs=150, dynamo=False, opset=17)
