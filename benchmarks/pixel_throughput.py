"""Training a gated PixelCNN through likely against a bare PyTorch loop with the same arithmetic.

The network has 5 layers of 32 channels after the first and reads 28 x 28 random bits, 64 a step. The bare loop is what
one would write by hand: float32, contiguous, tanh and sigmoid of halves. Loops alternate in one process; the figure is
the median of the paired ratios.
"""

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.data import parser, say
from benchmarks.throughput import bare_training, paired
from likely.data.feed import TensorFeed
from likely.data.split import Split
from likely.likelihoods import Bernoulli
from likely.models import GatedPixelCNN
from likely.training import TrainConfig, train

SIDE, LAYERS, CHANNELS, FIRST, KERNEL = 28, 5, 32, 7, 3
N_ROWS, BATCH_SIZE, N_STEPS = 2_000, 64, 60


class BareLayer(nn.Module):
    """Both stacks."""

    def __init__(self, n_in: int, kernel: int, *, first: bool) -> None:
        super().__init__()
        side, width = kernel // 2, 2 * CHANNELS
        self.first = first
        self.above_pad = (side, side, side, -1 if first else 0)
        self.left_pad = (side, -1) if first else (side, 0)
        self.above = nn.Conv2d(n_in, width, (side + (not first), kernel))
        self.left = nn.Conv2d(n_in, width, (1, side + (not first)))
        self.link = nn.Conv2d(width, width, 1, bias=False)
        self.mix = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)

    def forward(self, above: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, CHANNELS, h, w) each."""
        seen = self.above(F.pad(above, self.above_pad))
        u = self.left(F.pad(left, self.left_pad)) + self.link(seen)
        mixed = self.mix(gated(u))
        return gated(seen), mixed if self.first else left + mixed


class BareGatedPixelCNN(nn.Module):
    """No library, no checks, no caches."""

    def __init__(self) -> None:
        super().__init__()
        rest = [BareLayer(CHANNELS, KERNEL, first=False) for _ in range(LAYERS)]
        self.layers = nn.ModuleList([BareLayer(1, FIRST, first=True), *rest])
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 1), nn.ReLU(), nn.Conv2d(CHANNELS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """-log p of each row."""
        above = left = 2 * x - 1
        for layer in self.layers:
            above, left = layer(above, left)
        logits = self.head(left).float()
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def gated(u: Tensor) -> Tensor:
    """tanh of one half of the channels, times sigmoid of the other."""
    a, b = u.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


def our_training(x: Tensor, precision: str) -> float:
    """Seconds of N_STEPS steps through `train`; what it looks at for validation is one batch, once or twice."""
    config = TrainConfig(
        epochs=N_STEPS * BATCH_SIZE / len(x),
        batch_size=BATCH_SIZE,
        precision=precision,  # type: ignore[arg-type]
        learning_rate=1e-3,
        patience=None,
        device="cpu",
    )
    ids = np.arange(len(x))
    model = GatedPixelCNN(
        (1, SIDE, SIDE), channels=CHANNELS, layers=LAYERS, kernel=KERNEL, first_kernel=FIRST, likelihood=Bernoulli()
    )
    feed, split = TensorFeed(x), Split(ids, ids[:BATCH_SIZE], ids[:0], ids[:0])
    start = time.perf_counter()
    train(model, feed, config, split=split)
    return time.perf_counter() - start


def main() -> None:
    """As trained by default (precision by measurement), and in float32 on both sides."""
    arguments = parser(__doc__)
    arguments.add_argument("--pairs", type=int, default=3, help="runs of each loop")
    given = arguments.parse_args()
    x = (torch.rand(N_ROWS, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    for ours, bare in (("auto", "float32"), ("float32", "float32"), ("bfloat16", "bfloat16")):
        ratio = paired(
            lambda p=ours: our_training(x, p),  # type: ignore[misc]
            lambda p=bare: bare_training(BareGatedPixelCNN(), x, BATCH_SIZE, p, N_STEPS),  # type: ignore[misc]
            given.pairs,
        )
        rows_per_second = round(N_STEPS * BATCH_SIZE / our_training(x, ours))
        say(
            case="training a gated PixelCNN, 5 layers of 32 channels",
            precision=ours,
            against=f"{bare}, contiguous",
            batch_size=BATCH_SIZE,
            **ratio,
            images_per_second=rows_per_second,
        )


if __name__ == "__main__":
    main()
