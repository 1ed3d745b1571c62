"""Whether the defaults are good: autoencoder against PCA, VAE against PPCA, of the same size, on test rows."""

from pathlib import Path

import numpy as np

import likely
from benchmarks.data import find, parser, say
from likely.assess import assess
from likely.data import open_source
from likely.data.subset import Subset
from likely.reopening import split_again
from likely.training import TrainConfig

CASES = {
    "digits": "digits",
    "mnist": "mnist.npz",
    "cifar10": "cifar10",
    "cardio": "adbench/6_cardio.npz",
    "pendigits": "adbench/28_pendigits.npz",
    "magic.gamma": "adbench/22_magic.gamma.npz",
}


def measure(case: str, path: str | Path, model: str, time_limit: float | None) -> None:
    """Fits one model with its defaults and says how it stands beside its baseline."""
    source = open_source(str(path))
    config = TrainConfig(time_limit=time_limit)
    fitted = likely.fit(model, source, train=config)
    split = split_again(fitted.info, source)
    known = np.union1d(split.train, split.validation)
    assessment = assess(fitted, Subset(source, split.test), Subset(source, known))
    figures = {figure.name: figure for figure in assessment.figures}
    for name in ("MSE",) if model == "autoencoder" else ("log-likelihood", "bits per dimension"):
        if name in figures:
            values = {row: round(value, 5) for row, value in figures[name].values.items()}
            say(case=case, model=model, figure=name, values=values, **fitted.info["training"])


def main() -> None:
    """Every case, or those that are named."""
    arguments = parser(__doc__)
    arguments.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    arguments.add_argument("--models", nargs="+", default=["autoencoder", "vae"])
    arguments.add_argument("--time-limit", type=float, help="seconds per fit; by default none")
    given = arguments.parse_args()
    for case in given.cases:
        path = CASES[case] if case == "digits" else find(given.data, CASES[case])
        for model in given.models:
            measure(case, path, model, given.time_limit)


if __name__ == "__main__":
    main()
