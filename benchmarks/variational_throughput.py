"""Every option of the VAE, and the ladder, against a bare PyTorch loop with the same arithmetic, in float32.

The network is 784-200-200-50 on random bits, 128 rows a step. The loops alternate in one process; the figure is the
median of the paired ratios.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.bare_variational import (
    IAF,
    BareLadder,
    BareVAE,
    Flow,
    Full,
    ImportanceSamples,
    Mixture,
    TotalCorrelation,
    Vamp,
)
from benchmarks.data import parser, say
from benchmarks.throughput import paired
from likely.contract import GradientFitted
from likely.data.feed import TensorFeed
from likely.data.split import Split
from likely.likelihoods import Bernoulli
from likely.models import VAE, LadderVAE
from likely.networks import MLP
from likely.training import TrainConfig, train
from likely.variational import (
    ELBO,
    CyclicalWarmUp,
    FlowPrior,
    FullNormal,
    ImportanceWeighted,
    InverseAutoregressive,
    LinearWarmUp,
    NormalMixture,
    VampPrior,
)

N_ROWS, BATCH_SIZE, Z_SIZE, N_CLASSES = 20_000, 128, 50, 10
NETWORK = MLP((200, 200), activation="tanh")
WARM_UP = 1000


class Case(NamedTuple):
    """A model, the same by hand, and whether both see a condition."""

    ours: Callable[[], GradientFitted]
    bare: Callable[[], torch.nn.Module]
    condition: bool = False


def vae(**arguments) -> Callable[[], VAE]:
    """The network with some options."""
    return lambda: VAE((784,), Z_SIZE, network=NETWORK, likelihood=Bernoulli(), **arguments)


CASES = {
    "plain": Case(vae(), BareVAE),
    "beta": Case(vae(beta=4.0), lambda: BareVAE(weight=lambda step: 4.0)),
    "linear warm-up": Case(
        vae(bound=ELBO(LinearWarmUp(WARM_UP))), lambda: BareVAE(weight=lambda step: min(1.0, step / WARM_UP))
    ),
    "cyclical warm-up": Case(
        vae(bound=ELBO(CyclicalWarmUp(WARM_UP))),
        lambda: BareVAE(weight=lambda step: min(1.0, step % WARM_UP / (0.5 * WARM_UP)) if step < 4 * WARM_UP else 1.0),
    ),
    "free bits": Case(vae(bound=ELBO(free_bits=0.1)), lambda: BareVAE(free_bits=0.1)),
    "importance weights, k = 5": Case(vae(bound=ImportanceWeighted(5)), lambda: ImportanceSamples(5)),
    "total correlation": Case(vae(bound=ELBO(total_correlation=5.0)), lambda: TotalCorrelation(5.0)),
    "full covariance": Case(vae(posterior=FullNormal()), Full),
    "autoregressive posterior": Case(vae(posterior=InverseAutoregressive()), IAF),
    "mixture prior": Case(vae(prior=NormalMixture()), lambda: Mixture(50)),
    "vampprior": Case(vae(prior=VampPrior()), lambda: Vamp(500)),
    "flow prior": Case(vae(prior=FlowPrior()), lambda: Flow(6)),
    "condition": Case(vae(condition_shape=(N_CLASSES,)), lambda: BareVAE(condition_size=N_CLASSES), True),
    "ladder": Case(
        lambda: LadderVAE((784,), (Z_SIZE, 20), width=128, network=NETWORK, likelihood=Bernoulli(), bound=ELBO()),
        lambda: BareLadder(20, 128),
    ),
}
"""By what is set."""


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
"""The second counts what the process itself was given, which on a busy machine says more; of one thread only."""


class Workload(NamedTuple):
    """Rows, and how many steps on them are timed by which clock."""

    x: Tensor
    condition: Tensor | None
    n_steps: int
    clock: Callable[[], float]


def bare_seconds(case: Case, work: Workload) -> float:
    """Of so many steps of a bare loop."""
    x, condition, n_steps, clock = work
    model = case.bare()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    order = torch.randperm(len(x))
    start = clock()
    for step in range(n_steps):
        first = step * BATCH_SIZE % (len(x) - BATCH_SIZE)
        ids = order[first : first + BATCH_SIZE]
        loss = model(x[ids], None if condition is None else condition[ids], step).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return clock() - start


def our_seconds(case: Case, work: Workload) -> float:
    """Of as many steps of `train`, validation rows and all."""
    x, condition, n_steps, clock = work
    config = TrainConfig(
        epochs=n_steps * BATCH_SIZE / len(x), batch_size=BATCH_SIZE, precision="float32", patience=None
    )
    ids = np.arange(len(x))
    feed, model = TensorFeed(x, condition), case.ours()
    start = clock()
    train(model, feed, config, split=Split(ids, ids[:1000], ids[:0], ids[:0]))
    return clock() - start


def chosen(names: Iterable[str]) -> dict[str, Case]:
    """Cases whose name holds one of these; all of them if none is given."""
    names = tuple(names)
    return {name: case for name, case in CASES.items() if not names or any(part in name for part in names)}


def main() -> None:
    """Every case."""
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=400, help="of training in each run")
    arguments.add_argument("--pairs", type=int, default=5, help="runs of both")
    arguments.add_argument("--case", action="append", default=[], help="cases whose name holds this")
    arguments.add_argument("--clock", choices=CLOCKS, default="wall", help="processor: for one thread")
    given = arguments.parse_args()
    x = torch.bernoulli(torch.full((N_ROWS, 784), 0.3))
    labels = torch.eye(N_CLASSES)[torch.randint(N_CLASSES, (N_ROWS,))]
    for name, case in chosen(given.case).items():
        work = Workload(x, labels if case.condition else None, given.steps, CLOCKS[given.clock])
        ratio = paired(
            lambda case=case, work=work: our_seconds(case, work),  # type: ignore[misc]
            lambda case=case, work=work: bare_seconds(case, work),  # type: ignore[misc]
            given.pairs,
        )
        say(benchmark="variational throughput", case=name, batch_size=BATCH_SIZE, clock=given.clock, **ratio)


if __name__ == "__main__":
    main()
