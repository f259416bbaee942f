"""MLP-Mixer (arXiv 2105.01601) on scikit-learn's digits: 16 patches of 2x2 pixels, 2 blocks; raw 0..16 pixels in, logits out."""

import pathlib
import sys

from sklearn.datasets import load_digits
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from training import train_and_ship  # noqa: E402

PATCHES, WIDTH, TOKENS, CHANNELS, BLOCKS = 16, 16, 24, 32, 2


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.tokens = nn.Sequential(nn.Linear(PATCHES, TOKENS), nn.GELU(), nn.Linear(TOKENS, PATCHES))
        self.channels = nn.Sequential(nn.Linear(WIDTH, CHANNELS), nn.GELU(), nn.Linear(CHANNELS, WIDTH))

    def forward(self, x):
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Linear(4, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(BLOCKS)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x):
        # Rows and columns of patches, and within them of pixels.
        x = (x / 16).reshape(-1, 4, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(-1, PATCHES, 4)
        return self.head(self.norm(self.blocks(self.patch(x))).mean(dim=1))


train_and_ship(HERE, load_digits(), lambda _: Mixer(), epochs=40, dynamo=False, opset=17)
