"""Test log-likelihood of ADBench tables: the default flow beside a Gaussian mixture and a kernel density.

Protocol: the normal rows of a table, at most `--rows` drawn at random, half of them for learning and half for the
figures, anew for each seed; columns standardized by the training half, those that are constant there left out; nats per
row of standardized values, mean over test rows. Every method is given the same numbers:

A density has no bound where the same value comes again and again, so that a column in which fewer than 95 % of the
values are different is taken for one of rounded numbers: each value is spread uniformly over the median gap between
neighboring values, and at least over a hundredth of the column's standard deviation. Rows that are equal before, as
whole numbers often are, stay in both halves: they are what such a table is made of.

The flow is fitted as a user would who passes nothing but data; a tenth of its training rows stop it. The mixture
is scikit-learn's, its covariances (full, tied, diagonal, spherical) and its number of components chosen by BIC, of
those with at least ten rows in mean for each component, and twice as many rows as columns for each full covariance:
below that BIC takes spikes on single rows. The kernel density has Gaussian kernels of one width, chosen by five-fold
cross-validation.
"""

import math
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import likely
from benchmarks.data import find, parser, say

Figure = tuple[float, Any]
"""Nats per test row, and what was chosen."""

COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 30, 50)
COVARIANCES = ("full", "tied", "diag", "spherical")
WIDTHS = np.geomspace(0.01, 2.0, 24)
N_FOLDS, N_HELD_OUT, CHUNK = 5, 400, 256

DIFFERENT = 0.95
LEAST_SPREAD = 0.01


class Halves(NamedTuple):
    """Standardized rows, float64."""

    train: np.ndarray
    test: np.ndarray


def halves(path: Path, n_rows: int, seed: int) -> Halves:
    """A table of ADBench as the protocol has it."""
    generator = np.random.default_rng(seed)
    with np.load(path) as file:
        x = file["X"].astype(np.float64)[file["y"] == 0]
    x = x[generator.permutation(len(x))[:n_rows]]
    x = np.stack([spread(column, generator) for column in x.T], 1)
    train, test = x[: len(x) // 2], x[len(x) // 2 :]
    kept = np.ptp(train, axis=0) > 0
    location, scale = train[:, kept].mean(0), train[:, kept].std(0)
    return Halves((train[:, kept] - location) / scale, (test[:, kept] - location) / scale)


def spread(column: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A column of rounded numbers as one of real numbers; others, and constant ones, as they are."""
    values = np.unique(column)
    if len(values) == 1 or len(values) >= DIFFERENT * len(column):
        return column
    width = max(float(np.median(np.diff(values))), LEAST_SPREAD * column.std())
    return column + width * (generator.random(len(column)) - 0.5)


def by_flow(rows: Halves, seed: int, time_limit: float | None) -> Figure:
    """The default flow by `likely.fit`."""
    config = likely.TrainConfig(seed=seed, time_limit=time_limit)
    fitted = likely.fit("flow", rows.train, train=config, calibrate="none", test=0.0)
    return float(fitted.log_prob(rows.test).mean()), fitted.history.best_step


def by_mixture(rows: Halves, seed: int) -> Figure:
    """The best mixture by BIC; a kind of covariance is given up when two more numbers of components are no better."""
    m, d = rows.train.shape
    best: tuple[float, GaussianMixture, Any] | None = None
    for kind in COVARIANCES:
        found = list[float]()
        for k in COMPONENTS:
            if not has_enough_rows(kind, k, m, d) or (len(found) > 2 and min(found[-2:]) > min(found[:-2])):
                break
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                try:
                    mixture = GaussianMixture(k, covariance_type=kind, random_state=seed).fit(rows.train)
                except ValueError:  # a covariance that is singular in spite of its floor
                    break
            found.append(float(mixture.bic(rows.train)))
            if best is None or found[-1] < best[0]:
                best = found[-1], mixture, [kind, k]
    if best is None:
        raise SystemExit(f"{m} rows of {d} columns are too few for any mixture")
    return float(best[1].score(rows.test)), best[2]


def has_enough_rows(kind: str, k: int, m: int, d: int) -> bool:
    """Whether m rows of d columns can teach a mixture of k normals, as the protocol has it."""
    return m >= 10 * k and (kind not in ("full", "tied") or m >= 2 * d * (k if kind == "full" else 1))


def by_kernels(rows: Halves, seed: int) -> Figure:
    """Gaussian kernels on all training rows; the width is what rows of a fold like best that the others say."""
    train = torch.from_numpy(rows.train)
    order = np.random.default_rng(seed).permutation(len(train))
    scores = torch.zeros(len(WIDTHS), dtype=torch.float64)
    for fold in np.array_split(order, N_FOLDS):
        others = train[np.setdiff1d(order, fold)]
        scores += kernel_density(others, train[fold[:N_HELD_OUT]], WIDTHS).mean(0)
    width = float(WIDTHS[int(scores.argmax())])
    return float(kernel_density(train, torch.from_numpy(rows.test), np.array([width])).mean()), round(width, 4)


def kernel_density(centers: torch.Tensor, x: torch.Tensor, widths: np.ndarray) -> torch.Tensor:
    """log of the mean of normals around centers (m, d) at x (n, d), of each width: (n, len(widths))."""
    m, d = centers.shape
    pieces = []
    for rows in x.split(CHUNK):
        squares = torch.cdist(rows, centers).square()
        each = [(-0.5 * squares / width**2).logsumexp(1) - d * math.log(width) for width in widths.tolist()]
        pieces.append(torch.stack(each, 1))
    return torch.cat(pieces) - math.log(m) - 0.5 * d * math.log(2 * math.pi)


def measure(path: Path, n_rows: int, seeds: int, time_limit: float | None) -> dict[str, float]:
    """Mean nats per test row by each method on one table, said in a line."""
    methods: dict[str, Callable[[Halves, int], Figure]] = {
        "flow": lambda rows, seed: by_flow(rows, seed, time_limit),
        "mixture": by_mixture,
        "kernels": by_kernels,
    }
    nats: dict[str, list[float]] = {name: [] for name in methods}
    chosen: dict[str, list[Any]] = {name: [] for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    for seed in range(seeds):
        rows = halves(path, n_rows, seed)
        for name, method in methods.items():
            start = time.perf_counter()
            value, choice = method(rows, seed)
            seconds[name] += (time.perf_counter() - start) / seeds
            nats[name].append(value)
            chosen[name].append(choice)
    means = {name: float(np.mean(each)) for name, each in nats.items()}
    say(
        benchmark="table_densities",
        table=table_name(path),
        train_rows=len(rows.train),
        columns=rows.train.shape[1],
        seeds=seeds,
        nats={name: round(value, 3) for name, value in means.items()},
        error={name: round(float(np.std(each, ddof=1)) / math.sqrt(seeds), 3) for name, each in nats.items()}
        if seeds > 1
        else None,
        chosen=chosen,
        seconds={name: round(value, 1) for name, value in seconds.items()},
    )
    return means


def table_name(path: Path) -> str:
    """Without the number that ADBench gives it."""
    return re.sub(r"^\d+_", "", path.stem)


def main() -> None:
    """One line per table, and one on how many of them the flow is better than the others."""
    arguments = parser(__doc__)
    arguments.add_argument("--tables", nargs="+", help="names of tables; by default all 22")
    arguments.add_argument("--rows", type=int, default=50_000)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--time-limit", type=float, help="seconds of a fit of the flow; by default its own choice")
    given = arguments.parse_args()
    paths = sorted(find(given.data, "adbench").glob("*.npz"), key=lambda path: int(path.stem.split("_")[0]))
    chosen = [path for path in paths if given.tables is None or table_name(path) in given.tables]
    figures = [measure(path, given.rows, given.seeds, given.time_limit) for path in chosen]
    better = {name: sum(each["flow"] > each[name] for each in figures) for name in ("mixture", "kernels")}
    both = sum(each["flow"] > max(each["mixture"], each["kernels"]) for each in figures)
    say(benchmark="table_densities", tables=len(figures), seeds=given.seeds, better_than={**better, "both": both})


if __name__ == "__main__":
    main()
