"""How often ordinary rows are flagged, beside the rate that was asked for, and what holding rows out costs.

Rates: a source of three tight classes of five columns; a model that overfits (probabilistic PCA of 60 of 64 columns; an
autoencoder trained for far too long, without early stopping); fitted anew for each of `--repetitions` draws of n rows,
and asked of 200 fresh rows. `deviations` is how far the mean rate lies from what the calibration rows allow (the next
multiple of 1 / (m + 1) below the rate), in standard deviations: given its m calibration rows a fit has a rate of its
own, which follows a beta law, and its fresh rows are binomial.

Cost: AUROC on the normal half and the anomalies of ADBench tables that are not learned from, fitted to at most
`--rows` normal rows: with rows held out, as by default, and without (`calibrate="none"`).
"""

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

import likely
from benchmarks.data import parser, say
from likely.networks import MLP
from likely.registry import Spec

RATES = (0.1, 0.05, 0.01)
N_FRESH = 200


def classes(generator: np.random.Generator, n: int) -> np.ndarray:
    """Three tight classes of five columns: what moves a class's level is larger than its spread."""
    centers = np.array([[0, 0, 0, 0, 0], [4, 0, 4, 0, 4], [0, 4, 4, -4, 0]], float)
    return centers[generator.integers(3, size=n)] + 0.05 * generator.normal(size=(n, 5))


def noise(generator: np.random.Generator, n: int) -> np.ndarray:
    """64 columns of noise."""
    return generator.normal(size=(n, 64))


OVERFITTED: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], Spec, likely.TrainConfig]] = {
    "ppca": (noise, Spec("ppca", z_size=60), likely.TrainConfig(device="cpu")),
    "autoencoder": (
        classes,
        Spec("autoencoder", z_size=3, network=MLP((32,))),
        likely.TrainConfig(epochs=100, batch_size=100, patience=None, device="cpu"),
    ),
}


def rates(model: str, n: int, repetitions: int) -> None:
    """Flagged shares of fresh ordinary rows."""
    draw, spec, train = OVERFITTED[model]
    flagged: dict[float, list[float]] = {rate: [] for rate in RATES}
    gaps = []
    for seed in range(repetitions):
        rows = draw(np.random.default_rng(seed), n + N_FRESH)
        config = likely.TrainConfig(**{**train.to_json(), "seed": seed})
        fitted = likely.fit(spec, rows[:n], test=0.0, train=config)
        for rate in RATES:
            flagged[rate].append(float(fitted.score(rows[n:], false_alarm_rate=rate).is_novel.mean()))
        known = fitted.learned_from(rows[:n])
        gaps.append(float(np.median(fitted.surprise(rows[n:])) - np.median(fitted.surprise(rows[:n][known]))))
    m = fitted.info["split"]["calibration"]
    for rate, found in flagged.items():
        exact = math.floor(rate * (m + 1) + 1e-9) / (m + 1)
        sd = math.sqrt(exact * (1 - exact) * (1 / (m + 2) + 1 / N_FRESH) / repetitions)
        mean = float(np.mean(found))
        say(
            model=model,
            rows=n,
            calibration_rows=m,
            asked=rate,
            exact=round(exact, 5),
            flagged=round(mean, 5),
            deviations=round((mean - exact) / sd, 2) if sd else 0.0,
            middle_half=[round(float(each), 4) for each in np.quantile(found, (0.25, 0.75))],
            overfit_by=round(float(np.mean(gaps)), 3),
        )


def cost(path: Path, model: str, n_rows: int, seed: int) -> None:
    """AUROC with rows held out for calibration, and without."""
    with np.load(path) as file:
        x, y = file["X"].astype(np.float64), file["y"]
    order = np.random.default_rng(seed).permutation(len(x))
    normal = order[y[order] == 0]
    learned = normal[: min(n_rows, len(normal) // 2)]
    judged = np.setdiff1d(order, learned)
    train = likely.TrainConfig(seed=seed, device="cpu")
    found = {}
    for calibrate in ("held-out", "none"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = likely.fit(model, x[learned], test=0.0, calibrate=calibrate, train=train)  # type: ignore[arg-type]
            found[calibrate] = float(roc_auc_score(y[judged], fitted.anomaly_score(x[judged])))
    say(table=path.stem, model=model, rows=len(learned), seed=seed, auroc={k: round(v, 4) for k, v in found.items()})


def main() -> None:
    """Rates for every model and size; with --cost, what holding rows out costs."""
    arguments = parser(__doc__)
    arguments.add_argument("--models", nargs="+", choices=OVERFITTED, default=list(OVERFITTED))
    arguments.add_argument("--sizes", nargs="+", type=int, default=[100, 300, 1000, 5000])
    arguments.add_argument("--repetitions", type=int, default=200)
    arguments.add_argument("--cost", nargs="*", help="models, such as vae pca, on ADBench tables")
    arguments.add_argument("--rows", type=int, default=300)
    arguments.add_argument("--seeds", type=int, default=3)
    given = arguments.parse_args()
    if given.cost is not None:
        for path in sorted((Path(given.data) / "adbench").glob("*.npz")):
            for model in given.cost or ["pca", "vae"]:
                for seed in range(given.seeds):
                    cost(path, model, given.rows, seed)
        return
    for model in given.models:
        for n in given.sizes:
            rates(model, n, given.repetitions)


if __name__ == "__main__":
    main()
