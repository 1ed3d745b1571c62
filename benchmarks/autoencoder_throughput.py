"""Penalized and layer-by-layer training against a bare PyTorch loop with the same arithmetic, on MNIST in float32.

The loops alternate in one process; the figure is the median of the paired ratios.
"""

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.data import mnist, parser, say
from benchmarks.throughput import N_STEPS, paired
from likely.data.feed import TensorFeed
from likely.data.split import Split
from likely.models import Autoencoder
from likely.networks import MLP
from likely.penalties import Contractive
from likely.pretraining import Greedy
from likely.training import TrainConfig, train

Z_SIZE = 256
BATCH_SIZE = 128


def in_order(x: Tensor, seed: int = 0) -> Tensor:
    """The rows of each step's batch, for a bare loop: (N_STEPS, BATCH_SIZE)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(len(x), generator=generator)[torch.arange(N_STEPS * BATCH_SIZE) % len(x)].view(N_STEPS, -1)


def descend(parameters: list[nn.Parameter], losses) -> None:
    """AdamW down each loss in turn."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    for loss in losses:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def bare_contractive(x: Tensor, *, exact: bool) -> float:
    """Seconds of N_STEPS steps: one sigmoid layer with its exact Jacobian norm, or two with an estimate of it."""
    up = nn.Linear(784, Z_SIZE) if exact else nn.Sequential(nn.Linear(784, 512), nn.SiLU(), nn.Linear(512, Z_SIZE))
    down = nn.Linear(Z_SIZE, 784) if exact else nn.Sequential(nn.Linear(Z_SIZE, 512), nn.SiLU(), nn.Linear(512, 784))

    def loss(rows: Tensor) -> Tensor:
        z = torch.sigmoid(up(rows))
        if exact:
            squares = ((z * (1 - z)).square() * up.weight.square().sum(1)).sum(1)
        else:
            moved = rows.detach().requires_grad_()
            code = torch.sigmoid(up(moved))
            signs = torch.randint_like(code, 2) * 2 - 1
            squares = torch.autograd.grad(code, moved, signs, create_graph=True)[0].square().sum(1)
        return (0.5 * (down(z) - rows).square().sum(1) + 0.05 * squares).mean()

    start = time.perf_counter()
    descend([*up.parameters(), *down.parameters()], (loss(x[ids]) for ids in in_order(x)))
    return time.perf_counter() - start


def our_contractive(x: Tensor, *, exact: bool) -> float:
    """The same through `train`, validation rows and all."""
    network = MLP(() if exact else (512,), code_activation="sigmoid")
    model = Autoencoder((784,), Z_SIZE, network=network, penalty=Contractive())
    return our_seconds(model, x, N_STEPS)


def bare_greedy(x: Tensor) -> float:
    """Seconds of N_STEPS steps of each of two layers, and of the whole."""
    ups = nn.ModuleList([nn.Linear(784, 512), nn.Linear(512, Z_SIZE)])
    downs = nn.ModuleList([nn.Linear(512, 784), nn.Linear(Z_SIZE, 512)])

    def first(rows: Tensor) -> Tensor:
        return 0.5 * (downs[0](F.silu(ups[0](rows))) - rows).square().sum(1).mean()

    def second(rows: Tensor) -> Tensor:
        with torch.no_grad():
            below = F.silu(ups[0](rows))
        return 0.5 * (F.silu(downs[1](ups[1](below))) - below).square().sum(1).mean()

    def whole(rows: Tensor) -> Tensor:
        z = ups[1](F.silu(ups[0](rows)))
        return 0.5 * (downs[0](F.silu(downs[1](z))) - rows).square().sum(1).mean()

    start = time.perf_counter()
    for stage, (loss, parameters) in enumerate(
        (
            (first, [*ups[0].parameters(), *downs[0].parameters()]),
            (second, [*ups[1].parameters(), *downs[1].parameters()]),
            (whole, [*ups.parameters(), *downs.parameters()]),
        )
    ):
        descend(parameters, (loss(x[ids]) for ids in in_order(x, stage)))
    return time.perf_counter() - start


def our_greedy(x: Tensor) -> float:
    """The same through `train`."""
    epochs = N_STEPS * BATCH_SIZE / len(x)
    model = Autoencoder((784,), Z_SIZE, network=MLP((512,)), pretraining=Greedy(epochs=epochs))
    return our_seconds(model, x, N_STEPS)


def our_seconds(model: Autoencoder, x: Tensor, n_steps: int) -> float:
    """Of so many steps of `train`."""
    epochs = n_steps * BATCH_SIZE / len(x)
    config = TrainConfig(epochs=epochs, batch_size=BATCH_SIZE, precision="float32", learning_rate=1e-3, patience=None)
    ids = np.arange(len(x))
    split = Split(ids, ids[:1000], ids[:0], ids[:0])
    start = time.perf_counter()
    train(model, TensorFeed(x), config, split=split)
    return time.perf_counter() - start


def main() -> None:
    """Every case."""
    x = torch.from_numpy(mnist(parser(__doc__).parse_args().data)["x_train"]).flatten(1).float() / 255
    cases = {
        "contractive, exact": (lambda: our_contractive(x, exact=True), lambda: bare_contractive(x, exact=True)),
        "contractive, estimated": (lambda: our_contractive(x, exact=False), lambda: bare_contractive(x, exact=False)),
        "layer by layer": (lambda: our_greedy(x), lambda: bare_greedy(x)),
    }
    for case, (ours, bare) in cases.items():
        say(benchmark="autoencoder throughput", case=case, batch_size=BATCH_SIZE, **paired(ours, bare))


if __name__ == "__main__":
    main()
