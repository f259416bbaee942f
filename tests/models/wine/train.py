"""Residual SiLU MLP on scikit-learn's wine; 13 raw features in, logits out."""

import pathlib
import sys

import torch
from sklearn.datasets import load_wine
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from training import train_and_ship  # noqa: E402


class ResidualMlp(nn.Module):
    def __init__(self, x_train):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(x_train.mean(0)))
        self.register_buffer("std", torch.from_numpy(x_train.std(0)))
        self.stem = nn.Sequential(nn.Linear(13, 16), nn.SiLU())
        self.block = nn.Sequential(nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 16))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = self.stem((x - self.mean) / self.std)
        return self.head(x + self.block(x))


train_and_ship(HERE, load_wine(), ResidualMlp, epochs=150, dynamo=True, opset=18)
