"""Every model that samples, in one table on one data set: a JSON line each, and one of the floor before them.

All learn from the same rows without labels for as long as `--seconds` says; then as many samples as there are test rows
(at most 10,000) are held against these, beside as many other real rows in the samples' place. Distances are taken in
the space of a small classifier of the labels, trained from a fixed seed: they compare models of one data set here, and
with nothing published elsewhere. On MNIST the floor is that of train against test, 10,000 rows each.

    python -m benchmarks.samplers --seconds 60
    python -m benchmarks.samplers --source mnist --seconds 1800 --models NAME,NAME
"""

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import likely
from benchmarks.data import mnist, parser, say
from likely.assess.real_rows import Measured, RealRows, as_handed_out
from likely.contract import Sampler
from likely.data import Source, open_source
from likely.data.subset import Subset
from likely.errors import UserError
from likely.registry import MODELS, PRESETS, Spec, model_class
from likely.rng import permutation
from likely.training import TrainConfig

MAX_ROWS = 10_000
FIRST = 1_000
"""Samples that are drawn and timed before the rest are, as far as `--sampling-seconds` allows."""

N_SEEN = 150_000
"""Rows that the classifier of the pinned space sees while it learns, some of them often."""

QUARTER = 0.25


def main() -> None:
    """A line for the floor, and one for each model."""
    given = _arguments()
    train, test = _rows(given)
    real: RealRows | None = None
    for name in _names(given):
        try:
            fitted, seconds = _fitted(name, train, given)
            if real is None:
                n = min(MAX_ROWS, len(test), len(train) // 3)
                real = RealRows(fitted, test, train, n, n_seen=min(N_SEEN, 50 * len(train)))
                _say(given, real, model="real rows", n_samples=n, **_figures(real, real.measured_floor(), n))
            drawing, figures = _judged(fitted, real, given.sampling_seconds)
        except (UserError, RuntimeError, ValueError) as error:
            say(benchmark="samplers", source=given.source, model=name, failed=str(error).splitlines()[0])
            continue
        steps = fitted.history.total_steps if fitted.history.rows else 0
        _say(given, real, model=name, seconds=round(seconds, 1), steps=steps, **drawing, **figures)


def _arguments() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("--source", default="digits", help="digits, mnist, or what likely.fit takes")
    arguments.add_argument("--label", help="the column or array that holds labels, of another source")
    arguments.add_argument("--seconds", type=float, default=60.0, help="of training each model")
    arguments.add_argument("--models", help="names, separated by commas; by default every model that samples")
    arguments.add_argument("--presets", action="store_true", help="the presets of those models as well")
    arguments.add_argument("--sampling-seconds", type=float, default=300.0, help="in which a model has to draw")
    arguments.add_argument("--learning-rate", type=float, default=TrainConfig.learning_rate)
    arguments.add_argument("--batch-size", type=int)
    arguments.add_argument("--device", default=TrainConfig.device)
    arguments.add_argument("--seed", type=int, default=0)
    given: argparse.Namespace = arguments.parse_args()
    return given


def _names(given: argparse.Namespace) -> list[str]:
    if given.models:
        return list(given.models.split(","))
    names = [name for name in MODELS if issubclass(model_class(name), Sampler)]
    return names + [name for name, preset in PRESETS.items() if given.presets and preset.model in names]


def _rows(given: argparse.Namespace) -> tuple[Source, Source]:
    """Rows to learn from and rows to be held against."""
    if given.source == "mnist":
        arrays = mnist(given.data)
        train, test = open_source(arrays["x_train"]), open_source(arrays["x_test"])
        train.labels, test.labels = arrays["y_train"].astype(np.int64), arrays["y_test"].astype(np.int64)
        return train, test
    source = open_source(given.source, label=given.label)
    order = permutation(len(source), "test rows")
    return (Subset(source, np.sort(each)) for each in (order[len(order) // 4 :], order[: len(order) // 4]))  # type: ignore[return-value]


def _fitted(name: str, train: Source, given: argparse.Namespace) -> tuple[likely.Fitted, float]:
    config = TrainConfig(
        time_limit=given.seconds,
        learning_rate=given.learning_rate,
        batch_size=given.batch_size,
        device=given.device,
        seed=given.seed,
    )
    begun = time.monotonic()
    fitted = likely.fit(Spec(name), train, train=config, calibrate="none", test=0.0)
    return fitted, time.monotonic() - begun


def _judged(fitted: likely.Fitted, real: RealRows, limit: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """How fast it draws, and the figures of what it draws."""
    wanted = len(real.test)
    begun = time.monotonic()
    drawn = fitted.see_samples(min(FIRST, wanted))
    each = (time.monotonic() - begun) / len(drawn)
    if len(drawn) < wanted and each * wanted <= limit:
        drawn = fitted.see_samples(wanted, seed=1)
    x = as_handed_out(fitted, drawn[drawn.isfinite().flatten(1).all(1)])
    drawing = {"seconds_per_1000_samples": float(f"{1000 * each:.3g}"), "n_samples": len(x)}
    return drawing, _figures(real, real.measured(x), len(x))


def _figures(real: RealRows, found: Measured, n: int) -> dict[str, Any]:
    floor = real.floor_distance(n)
    figures = {
        "frechet": found.frechet.mean,
        "frechet_error": found.frechet.error,
        "frechet_floor": floor.mean,
        "frechet_over_floor": found.frechet.mean / floor.mean,
        "two_sample_accuracy": found.told.accuracy,
        "two_sample_error": found.told.accuracy_error,
        "auroc": found.told.auroc,
        "mmd": found.mmd.mean,
        "mmd_error": found.mmd.error,
        **vars(found.near),
    }
    return {name: float(f"{value:.4g}") for name, value in figures.items()} | dict(_classes(real, found))


def _classes(real: RealRows, found: Measured) -> Iterator[tuple[str, Any]]:
    """The share of each class, and whether every one is within a quarter of what it is in the data."""
    if real.space.classes:
        off = np.abs(found.shares / real.class_shares - 1)
        yield "classes", {c: round(float(p), 4) for c, p in zip(real.space.classes, found.shares, strict=True)}
        yield "farthest_class", round(float(off.max()), 3)
        yield "classes_within_a_quarter", bool((off <= QUARTER).all())


def _say(given: argparse.Namespace, real: RealRows, **figures: Any) -> None:
    say(benchmark="samplers", source=given.source, space=real.space.title, **figures)


if __name__ == "__main__":
    main()
