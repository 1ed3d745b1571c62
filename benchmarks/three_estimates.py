"""Three estimates of the same test log-likelihood: importance samples, annealing and, for a tiny code, quadrature.

A VAE with a code of two values on binarized digits, where the integral over the code can be computed, and one on
dynamically binarized MNIST: of 784-200-200-50, or one that was fitted before (`--fitted`). Importance samples are drawn
from the posterior as it was learned, and from normals that are fitted to each row. Each estimate comes with the error
of its mean over the test rows, as an estimate for these very rows, and with the number of rows whose weights are
heavy-tailed: of these the error covers nothing. `difference` is in nats, and in errors of the two together.

`python -m benchmarks.three_estimates --train DIR` fits the default VAE to MNIST for 300 epochs, as long as validation
gains something, and keeps it in DIR for `--fitted`: an hour of one core.
"""

import argparse
import itertools
import math
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

import likely
from benchmarks.data import Curve, mnist, parser, say
from likely.contract import LatentDensity
from likely.likelihoods import Bernoulli
from likely.networks import MLP
from likely.tasks.annealing import Annealing, annealed_estimate
from likely.tasks.importance import LogProbEstimate, importance_estimate
from likely.tasks.quadrature import quadrature
from likely.training import TrainConfig

N_SAMPLES = 5000
EPOCHS = 300


def compare(case: str, fitted: likely.Fitted, rows: np.ndarray, annealing: Annealing, by_quadrature: bool) -> None:
    """A line for each estimate."""
    model = fitted.model.eval()
    assert isinstance(model, LatentDensity)
    x = fitted.see(rows).to(next(model.parameters()).device)
    found = {}
    for name, estimate in (
        ("posterior samples", partial(importance_estimate, n_samples=N_SAMPLES, refine=False)),
        ("fitted samples", partial(importance_estimate, n_samples=N_SAMPLES)),
        ("annealing", partial(annealed_estimate, annealing=annealing)),
    ):
        start = time.monotonic()
        found[name] = estimate(model, x)
        tell(case, name, found[name], start)
    for (one, a), (other, b) in itertools.combinations(found.items(), 2):
        say_difference(case, f"{other} - {one}", b.mean - a.mean, a, b)
    if by_quadrature:
        exact = quadrature(model, x).mean().item()
        say(benchmark="three estimates", case=case, estimate="quadrature", log_prob=exact)
        for name, each in found.items():
            say_difference(case, f"{name} - quadrature", each.mean - exact, each)


def tell(case: str, name: str, found: LogProbEstimate, start: float) -> None:
    """One estimate: its mean over rows, its error, whether that can be trusted, and how many of its samples count."""
    say(
        benchmark="three estimates",
        case=case,
        estimate=name,
        rows=len(found),
        log_prob=round(found.mean, 4),
        error=round(found.mean_error, 4),
        heavy_tailed_rows=found.n_heavy,
        pareto_shape=None if found.pareto_shape.isnan().any() else round(float(found.pareto_shape.median()), 2),
        error_of_a_row=round(float(found.error.median()), 4),
        effective_samples=round(float(found.effective_samples.median()), 2),
        mean_log_weight=round(float(found.one_sample.mean()), 4),
        seconds=round(time.monotonic() - start, 1),
    )


def say_difference(case: str, name: str, difference: float, *estimates: LogProbEstimate) -> None:
    """A difference in nats and in standard errors."""
    error = math.hypot(*(each.mean_error for each in estimates))
    say(
        benchmark="three estimates",
        case=case,
        difference=name,
        nats=round(difference, 4),
        error=round(error, 4),
        in_errors=round(difference / error, 2),
    )


def tiny(given: argparse.Namespace) -> None:
    """Digits of 8 x 8 bits, a code of two values, a decoder of 2-32-64."""
    from sklearn.datasets import load_digits

    bits = (load_digits().images > 7.5).astype(np.float64)
    train, test = bits[:1500], bits[1500:][: given.rows]
    arguments = {"z_size": 2, "network": MLP((32,), activation="tanh"), "likelihood": Bernoulli()}
    config = TrainConfig(epochs=200, precision="float64", seed=0)
    fitted = likely.fit("vae", train, train=config, **arguments)
    compare("digits, 64-32-2", fitted.to(dtype=torch.float64), test, Annealing(32, 2000, 1), True)


def large(given: argparse.Namespace) -> None:
    """Dynamically binarized MNIST, 784-200-200-50 or what was fitted before."""
    data = mnist(given.data)
    if given.fitted is None:
        arguments = {"z_size": 50, "network": MLP((200, 200), activation="tanh"), "likelihood": Bernoulli()}
        config = TrainConfig(time_limit=given.seconds, seed=0)
        case = "mnist, 784-200-200-50"
        fitted = likely.fit("vae", data["x_train"], train=config, binarize=True, **arguments)
    else:
        case, fitted = f"mnist, {given.fitted.name}", likely.load(given.fitted)
    chosen = np.linspace(0, len(data["x_test"]) - 1, given.rows).round().astype(int)
    plan = Annealing(given.chains, given.temperatures, 1)
    compare(case, fitted, data["x_test"][chosen], plan, False)


def train(given: argparse.Namespace) -> None:
    """The default VAE, trained until nothing is gained."""
    config = TrainConfig(epochs=EPOCHS, patience=None, precision="float32", seed=0)
    images = mnist(given.data)["x_train"]
    settings = {"binarize": True, "calibrate": "none", "test": 0.0}
    likely.fit("vae", images, train=config, on_progress=Curve(), **settings).save(given.train)


def main() -> None:
    """Both cases, or those that are named."""
    arguments = parser(__doc__)
    arguments.add_argument("--cases", nargs="+", choices=["tiny", "mnist"], default=["tiny", "mnist"])
    arguments.add_argument("--rows", type=int, default=64, help="test rows")
    arguments.add_argument("--seconds", type=float, default=120.0, help="of training on MNIST")
    arguments.add_argument("--chains", type=int, default=16, help="of annealing on MNIST")
    arguments.add_argument("--temperatures", type=int, default=8000, help="of annealing on MNIST")
    arguments.add_argument("--fitted", type=Path, help="a model of binarized MNIST, instead of training one")
    arguments.add_argument("--train", type=Path, help="where to keep a fully trained one; nothing else is done")
    given = arguments.parse_args()
    if given.train is not None:
        train(given)
        return
    if "tiny" in given.cases:
        tiny(given)
    if "mnist" in given.cases:
        large(given)


if __name__ == "__main__":
    main()
