"""Three estimates of the same test log-likelihood: importance samples, annealing and, for a tiny code, quadrature.

A VAE with a code of two values on binarized digits, where the integral over the code can be computed, and one of
784-200-200-50 on dynamically binarized MNIST. Each estimate comes with the standard error of its mean over the test
rows, as an estimate for these very rows; `difference` is annealing (or quadrature) less importance samples, in nats and
in standard errors of the difference.
"""

import argparse
import math
import time

import numpy as np
import torch

import likely
from benchmarks.data import mnist, parser, say
from likely.contract import LatentDensity
from likely.likelihoods import Bernoulli
from likely.networks import MLP
from likely.tasks.annealing import Annealing, annealed_estimate
from likely.tasks.importance import LogProbEstimate, importance_estimate
from likely.tasks.quadrature import quadrature
from likely.training import TrainConfig

N_SAMPLES = 5000
WIDTH = 1.15
"""A learned posterior is too narrow: samples of it miss codes that explain a row, and their error does not know. So
there is a second line of samples, of the posterior at this width, which annealing is held against."""


def compare(case: str, fitted: likely.Fitted, rows: np.ndarray, annealing: Annealing, by_quadrature: bool) -> None:
    """A line for each estimate."""
    model = fitted.model.eval()
    assert isinstance(model, LatentDensity)
    x = fitted.see(rows).to(next(model.parameters()).device)
    start = time.monotonic()
    sampled = importance_estimate(model, x, n_samples=N_SAMPLES)
    tell(case, f"importance samples, {N_SAMPLES}", sampled, start)
    start = time.monotonic()
    wide = importance_estimate(model, x, n_samples=N_SAMPLES, width=WIDTH)
    tell(case, f"importance samples, {N_SAMPLES}, wider by {WIDTH}", wide, start)
    start = time.monotonic()
    annealed = annealed_estimate(model, x, annealing=annealing)
    tell(case, f"annealing, {annealing.n_chains} x {annealing.n_temperatures}", annealed, start)
    say_difference(case, "annealing - importance samples", annealed.mean - sampled.mean, annealed, sampled)
    say_difference(case, "annealing - wider importance samples", annealed.mean - wide.mean, annealed, wide)
    if by_quadrature:
        exact = quadrature(model, x).mean().item()
        say(benchmark="three estimates", case=case, estimate="quadrature", log_prob=exact)
        for name, found in (("importance samples", sampled), ("wider", wide), ("annealing", annealed)):
            say_difference(case, f"{name} - quadrature", found.mean - exact, found)


def tell(case: str, name: str, found: LogProbEstimate, start: float) -> None:
    """One estimate: its mean over rows, its error, and how many of its samples count."""
    say(
        benchmark="three estimates",
        case=case,
        estimate=name,
        rows=len(found),
        log_prob=round(found.mean, 4),
        error=round(found.mean_error, 4),
        error_of_a_row=round(float(found.error.median()), 4),
        effective_samples=round(float(found.effective_samples.median()), 2),
        one_sample=round(float(found.one_sample.mean()), 4),
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
    """Dynamically binarized MNIST, 784-200-200-50."""
    data = mnist(given.data)
    arguments = {"z_size": 50, "network": MLP((200, 200), activation="tanh"), "likelihood": Bernoulli()}
    config = TrainConfig(time_limit=given.seconds, seed=0)
    fitted = likely.fit("vae", data["x_train"], train=config, binarize=True, **arguments)
    chosen = np.linspace(0, len(data["x_test"]) - 1, given.rows).round().astype(int)
    plan = Annealing(given.chains, given.temperatures, 1)
    compare("mnist, 784-200-200-50", fitted, data["x_test"][chosen], plan, False)


def main() -> None:
    """Both cases, or those that are named."""
    arguments = parser(__doc__)
    arguments.add_argument("--cases", nargs="+", choices=["tiny", "mnist"], default=["tiny", "mnist"])
    arguments.add_argument("--rows", type=int, default=64, help="test rows")
    arguments.add_argument("--seconds", type=float, default=120.0, help="of training on MNIST")
    arguments.add_argument("--chains", type=int, default=16, help="of annealing on MNIST")
    arguments.add_argument("--temperatures", type=int, default=8000, help="of annealing on MNIST")
    given = arguments.parse_args()
    if "tiny" in given.cases:
        tiny(given)
    if "mnist" in given.cases:
        large(given)


if __name__ == "__main__":
    main()
