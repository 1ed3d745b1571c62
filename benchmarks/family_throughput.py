"""A flow, flow matching, an adversarial network and a Boltzmann machine against bare loops with the same arithmetic.

Vectors of 64 values (the machine: 784 bits and 500 hidden units), 128 rows a step and player, float32. The loops
alternate in one process; the figure is the median of the paired ratios. What keeps an average of its weights does so
in both loops.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.bare_families import BareFlowMatching, BareGAN, BareRBM, BareRealNVP
from benchmarks.data import parser, say
from benchmarks.throughput import paired
from likely.contract import GradientFitted, NoHeldOutObjective
from likely.data.feed import TensorFeed
from likely.data.split import Split
from likely.flows import RealNVP
from likely.models import GAN, RBM, Flow, FlowMatching
from likely.training import TrainConfig, train

N, N_BITS, N_HIDDEN, BATCH_SIZE, N_ROWS = 64, 784, 500, 128, 20_000
DECAY = 0.999


class Case(NamedTuple):
    """A model, the same by hand, and the number of values of a row."""

    ours: Callable[[], GradientFitted]
    bare: Callable[[], torch.nn.Module]
    n: int = N


CASES = {
    "flow": Case(lambda: Flow((N,), design=RealNVP(hidden=(128, 128))), lambda: BareRealNVP(N)),
    "flow matching": Case(lambda: FlowMatching((N,)), lambda: BareFlowMatching(N)),
    "adversarial": Case(lambda: GAN((N,)), lambda: BareGAN(N, z_size=N, width=128)),
    "boltzmann": Case(lambda: RBM((N_BITS,), N_HIDDEN), lambda: BareRBM(N_BITS, N_HIDDEN, BATCH_SIZE), N_BITS),
}
"""By family."""


def bare_seconds(model: torch.nn.Module, x: Tensor, n_steps: int, *, averages: bool) -> float:
    """Of so many steps of a bare loop, each turn on rows of its own."""
    turns = [(turn.loss, torch.optim.AdamW(turn.parameters, lr=1e-3, fused=True)) for turn in model.turns()]
    order, at = torch.randperm(len(x)), 0
    average = {name: value.detach().clone() for name, value in model.state_dict().items()} if averages else {}
    start = time.perf_counter()
    for _ in range(n_steps):
        for loss_of, optimizer in turns:
            rows = x[order[at : at + BATCH_SIZE]]
            at = (at + BATCH_SIZE) % (len(x) - BATCH_SIZE)
            optimizer.zero_grad(set_to_none=True)
            loss_of(rows).mean().backward()
            optimizer.step()
        for name, value in model.state_dict().items() if averages else ():
            average[name].lerp_(value, 1 - DECAY)
    return time.perf_counter() - start


def our_seconds(model: GradientFitted, x: Tensor, n_steps: int) -> float:
    """Of as many steps of `train`, validation rows and all."""
    epochs = n_steps * BATCH_SIZE * sum(player.steps for player in model.players().values()) / len(x)
    config = TrainConfig(epochs=epochs, batch_size=BATCH_SIZE, precision="float32", patience=None, device="cpu")
    ids = np.arange(len(x))
    start = time.perf_counter()
    train(model, TensorFeed(x), config, split=Split(ids, ids[:1000], ids[:0], ids[:0]))
    return time.perf_counter() - start


def main() -> None:
    """Every family."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=600, help="of training in each run")
    arguments.add_argument("--pairs", type=int, default=5, help="runs of both")
    arguments.add_argument("--case", choices=CASES, action="append", help="only this family; may be repeated")
    given = arguments.parse_args()
    for name in given.case or CASES:
        case = CASES[name]
        x = torch.randn(N_ROWS, case.n) if case.n == N else (torch.rand(N_ROWS, case.n) < 0.3).float()
        averages = isinstance(case.ours(), NoHeldOutObjective)
        ratio = paired(
            lambda case=case, x=x: our_seconds(case.ours(), x, given.steps),  # type: ignore[misc]
            lambda case=case, x=x, a=averages: bare_seconds(case.bare(), x, given.steps, averages=a),  # type: ignore[misc]
            given.pairs,
        )
        say(benchmark="family_throughput", case=name, batch_size=BATCH_SIZE, steps=given.steps, **ratio)


if __name__ == "__main__":
    main()
