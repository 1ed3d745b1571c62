"""Imputation on ADBench tables: root mean squared error on cells that were removed at random.

Protocol: columns standardized by the training part, constant ones left out; at most `--rows` rows, drawn at random, of
which 80 % are for learning and 20 % for the figures; 20 % of the cells of both parts are removed at random. Every
imputer learns from the training part with its holes, and fills in those of the test part. Errors are in standard
deviations of the column. Beside VAEs stand scikit-learn's imputers with their defaults: the mean of the
column, the 5 nearest neighbors, and iterated Bayesian ridge regressions.
"""

import re
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import likely
from benchmarks.data import find, parser, say
from likely.likelihoods import Gaussian
from likely.registry import Spec

Impute = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Fills in the second array by what the first, which has holes too, teaches."""

MODELS = {
    "vae": Spec("vae"),
    "vae-floor": Spec("vae", likelihood=Gaussian(min_scale=0.2, outliers=0.01)),
}
"""By name: the defaults, and with a likelihood that gains nothing by fitting a column closer than a fifth of its
standard deviation, as columns of few distinct values invite it to."""

REMOVED = 0.2
TEST = 0.2


class Table(NamedTuple):
    """Standardized rows with holes, and those of the test part as they were."""

    train: np.ndarray
    test: np.ndarray
    original: np.ndarray


def with_holes(path: Path, n_rows: int, seed: int) -> Table:
    """A table of ADBench as the protocol has it."""
    generator = np.random.default_rng(seed)
    with np.load(path) as file:
        x = file["X"].astype(np.float64)
    x = x[generator.permutation(len(x))[:n_rows]]
    n_test = round(TEST * len(x))
    train, test = x[n_test:], x[:n_test]
    kept = np.ptp(train, axis=0) > 0
    location, scale = train[:, kept].mean(0), train[:, kept].std(0)
    train, test = (train[:, kept] - location) / scale, (test[:, kept] - location) / scale
    holes = [generator.random(part.shape) < REMOVED for part in (train, test)]
    return Table(np.where(holes[0], np.nan, train), np.where(holes[1], np.nan, test), test)


def by_model(spec: Spec, seed: int) -> Impute:
    """By a model of this library."""

    def impute(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        fitted = likely.fit(spec, train, train=likely.TrainConfig(seed=seed), calibrate="none", test=0.0)
        return np.asarray(fitted.restore(test))

    return impute


def by_scikit_learn(imputer: SimpleImputer | KNNImputer | IterativeImputer) -> Impute:
    """By an imputer of scikit-learn."""

    def impute(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            filled: np.ndarray = imputer.fit(train).transform(test)
        return filled

    return impute


def imputers(models: Iterable[str], seed: int) -> dict[str, Impute]:
    """Every imputer by name."""
    others = {
        "mean": SimpleImputer(keep_empty_features=True),
        "knn": KNNImputer(keep_empty_features=True),
        "iterative": IterativeImputer(random_state=seed, keep_empty_features=True),
    }
    ours = {name: by_model(MODELS[name], seed) for name in models}
    return ours | {name: by_scikit_learn(imputer) for name, imputer in others.items()}


def main() -> None:
    """One line per table, and one per model that counts on how many tables it is better than others."""
    arguments = parser(__doc__)
    arguments.add_argument("--tables", nargs="+", help="names of tables; by default all 22")
    arguments.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments.add_argument("--rows", type=int, default=5_000)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    paths = sorted(find(given.data, "adbench").glob("*.npz"), key=lambda path: int(path.stem.split("_")[0]))
    errors = []
    for path in paths:
        name = re.sub(r"^\d+_", "", path.stem)
        if given.tables is None or name in given.tables:
            table = with_holes(path, given.rows, given.seed)
            errors.append(measure(name, table, imputers(given.models, given.seed)))
    for own in given.models:
        better = {other: sum(each[own] < each[other] for each in errors) for other in errors[0] if other != own}
        mean = round(float(np.mean([each[own] for each in errors])), 4)
        say(benchmark="imputation", model=own, tables=len(errors), better_than=better, mean_rmse=mean)


def measure(name: str, table: Table, each: dict[str, Impute]) -> dict[str, float]:
    """The error of each imputer on one table, said in a line."""
    removed = np.isnan(table.test)
    errors, seconds = {}, {}
    for imputer, impute in each.items():
        start = time.perf_counter()
        filled = impute(table.train, table.test)
        seconds[imputer] = round(time.perf_counter() - start, 1)
        errors[imputer] = float(np.sqrt(np.square(filled - table.original)[removed].mean()))
    rows, columns = table.train.shape
    rmse = {imputer: round(error, 4) for imputer, error in errors.items()}
    say(benchmark="imputation", table=name, train_rows=rows, columns=columns, rmse=rmse, seconds=seconds)
    return errors


if __name__ == "__main__":
    main()
