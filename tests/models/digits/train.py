"""64-32-10 ReLU MLP on scikit-learn's digits; raw 0..16 pixels in, logits out."""

import pathlib
import sys

from sklearn.datasets import load_digits
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from training import train_and_ship  # noqa: E402


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 32)
        self.relu = nn.ReLU()
        self.output = nn.Linear(32, 10)

    def forward(self, x):
        return self.output(self.relu(self.hidden(x / 16)))


train_and_ship(HERE, load_digits(), lambda _: Mlp(), epochs=100, dynamo=False, opset=17)
