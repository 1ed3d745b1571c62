"""Samples beside real rows: how far they are from test rows, next to how far other real rows are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from likely.assess.bench import N_SAMPLES, Bench
from likely.assess.real_rows import N_NEIGHBORS, Measured, RealRows, as_handed_out
from likely.contract import Sampler
from likely.data import Source
from likely.data.subset import Subset
from likely.evaluation import Figure, Histogram

REAL = "real rows"
"""The floor: real rows in the place of samples."""

MIN_JUDGED = 20
"""Of fewer samples and test rows nothing can be said."""

TWO_SAMPLE, FRECHET, MMD = "two-sample accuracy", "Fréchet distance", "kernel MMD"
PRECISION, RECALL, DENSITY, COVERAGE = (f"sample {name}" for name in ("precision", "recall", "density", "coverage"))
SHARES = "class shares"
OWN_FIGURES = (TWO_SAMPLE, FRECHET, MMD, PRECISION, RECALL, DENSITY, COVERAGE, SHARES)
"""Names of the figures."""

FAR_OFF, N_ERRORS = 0.25, 2.5
"""A class is drawn too often or too seldom if its share is off by so much of itself, and by so many standard errors."""

NEARLY = 1.1
"""Samples whose Fréchet distance is at most so many times the floor are as near as real rows."""


@dataclass(frozen=True)
class Judgment:
    """What was found: figures, sentences on them, and the shares of classes."""

    figures: tuple[Figure, ...] = ()
    verdicts: tuple[str, ...] = ()
    histograms: tuple[Histogram, ...] = ()


def samples(bench: Bench) -> Judgment:
    """Samples of the model beside test rows, next to other real rows and to samples of PPCA.

    Nothing where the model does not sample, rows have missing values, or there are too few of them.
    """
    if not isinstance(bench.model, Sampler) or bench.some_train is None or bench.schema.missing:
        return Judgment()
    test, train = _of_learned_classes(bench.some_test, bench.some_train), bench.some_train
    drawn = bench.draws(bench.fitted)
    n = min(N_SAMPLES, len(test), len(drawn), len(train) // 3)
    if n < MIN_JUDGED:
        return Judgment()
    real = RealRows(bench.fitted, test, train, n)
    if not (real.test.isfinite().all() and real.floor.isfinite().all()):
        return Judgment()
    given = as_handed_out(bench.fitted, drawn)
    rows = {bench.name: given, REAL: real.floor} | _by_ppca(bench)
    measured = {
        row: real.measured_floor() if row == REAL else real.measured(x) for row, x in rows.items() if len(x) >= n
    }
    figures = [_told(measured, n), _distance(real, measured), _discrepancy(real, measured), *_near(real, measured)]
    sentences = [told_in_words(measured), distance_in_words(measured, real.space.title)]
    histograms = []
    if real.space.classes:
        histograms.append(_histogram(real, rows))
        figures.append(_shares(real, measured))
        sentences.append(classes_in_words(real.space.classes, real.shares(given), real.class_shares, len(given)))
    return Judgment(tuple(figures), tuple(sentences), tuple(histograms))


def _of_learned_classes(test: Source, train: Source) -> Source:
    """Test rows less those of classes that nobody learned from."""
    if test.labels is None or train.labels is None:
        return test
    known = np.isin(test.labels, np.unique(train.labels))
    return test if known.all() else Subset(test, np.flatnonzero(known))


def _by_ppca(bench: Bench) -> dict[str, Tensor]:
    """Samples of the baseline; of categories, as if they were numbers, it would draw nonsense."""
    baseline = {} if bench.schema.has_categorical else bench.baseline("ppca")
    return {row: as_handed_out(fitted, bench.draws(fitted)) for row, fitted in baseline.items()}


def _told(measured: Mapping[str, Measured], n: int) -> Figure:
    note = (
        f"Of {n:,} samples and as many test rows (at most {N_SAMPLES:,}), the share that a classifier assigns rightly "
        f"without having learned from it; guessing gives 0.5. '{REAL}': as many training rows in the place of samples, "
        "the floor."
    )
    values, errors = (
        {row: getattr(each.told, name) for row, each in measured.items()} for name in ("accuracy", "accuracy_error")
    )
    return Figure(TWO_SAMPLE, "share of rows", "lower", values, errors=errors, note=note)


def _distance(real: RealRows, measured: Mapping[str, Measured]) -> Figure:
    note = (
        f"Between the Gaussians with the means and covariances of {len(real.test):,} rows each, in the space of "
        f"{real.space.title}, made of other training rows. Few rows make it too large, for the floor as well: that "
        f"is the mean over halves of {2 * len(real.test):,} real rows, and its ± the spread from half to half."
    )
    values, errors = ({row: each.frechet[i] for row, each in measured.items()} for i in (0, 1))
    return Figure(FRECHET, "squared", "lower", values, errors=errors, note=note)


def _discrepancy(real: RealRows, measured: Mapping[str, Measured]) -> Figure:
    values, errors = ({row: each.mmd[i] for row, each in measured.items()} for i in (0, 1))
    note = (
        f"By a Gaussian kernel as wide as the median distance, in the space of {real.space.title}; 0 in mean where "
        "nothing differs."
    )
    return Figure(MMD, "squared", "lower", values, errors=errors, note=note)


def _near(real: RealRows, measured: Mapping[str, Measured]) -> list[Figure]:
    meanings = {
        PRECISION: ("share of samples", "Samples that lie within the reach of some test row."),
        RECALL: ("share of test rows", "Test rows that lie within the reach of some sample."),
        DENSITY: ("", f"Within the reach of how many test rows a sample lies, in mean, over {N_NEIGHBORS}."),
        COVERAGE: ("share of test rows", "Test rows within whose own reach some sample lies."),
    }
    reach = f" The reach of a row goes to the {N_NEIGHBORS}th nearest of its kind, in the space of {real.space.title}."
    return [
        Figure(
            name,
            unit,
            "higher",
            {row: getattr(each.near, name.removeprefix("sample ")) for row, each in measured.items()},
            note=meaning + (reach if name == PRECISION else ""),
        )
        for name, (unit, meaning) in meanings.items()
    ]


def _shares(real: RealRows, measured: Mapping[str, Measured]) -> Figure:
    off = {row: float(np.abs(each.shares - real.class_shares).sum() / 2) for row, each in measured.items()}
    note = "Half the sum of absolute differences between the shares of classes and those in the data (total variation)."
    return Figure(SHARES, "share of rows in a wrong class", "lower", off, note=note)


def _histogram(real: RealRows, rows: Mapping[str, Tensor]) -> Histogram:
    own = next(iter(rows))
    shares = {row: real.class_shares if row == REAL else real.shares(x) for row, x in rows.items()}
    note = (
        f"What the small classifier takes rows for: {len(rows[own]):,} samples, and all real rows that were looked at."
    )
    return Histogram(SHARES, real.space.classes, {row: tuple(each.tolist()) for row, each in shares.items()}, note)


def told_in_words(measured: Mapping[str, Measured]) -> str:
    """Whether a classifier tells samples of the model, which comes first, from real rows."""
    own, _, *others = measured
    told = measured[own].told
    if told.accuracy - 0.5 <= 2 * told.accuracy_error:
        return f"A classifier does not tell its samples from test rows: right in {told.accuracy:.0%}, guessing in 50%."
    text = f"A classifier tells its samples from test rows: right in {told.accuracy:.0%} of cases, guessing in 50%"
    return "; ".join([text, *(f"of {row}'s in {measured[row].told.accuracy:.0%}" for row in others)]) + "."


def distance_in_words(measured: Mapping[str, Measured], space: str) -> str:
    """How much farther samples of the model, which comes first, are from test rows than real rows are."""
    own, _, *others = measured
    value, floor = measured[own].frechet, measured[REAL].frechet
    times = {row: each.frechet.mean / floor.mean if floor.mean > 0 else math.inf for row, each in measured.items()}
    if value.mean <= floor.mean + 2 * floor.error or times[own] <= NEARLY:
        text = "Its samples lie as near to test rows as other real rows do"
    else:
        text = f"Its samples lie {times[own]:.3g} times as far from test rows as other real rows do"
    beside = "".join(f", {row}'s {times[row]:.3g} times" for row in others)
    return f"{text}{beside}: {FRECHET} {value.mean:.3g} against {floor.mean:.3g}, in the space of {space}."


def classes_in_words(classes: tuple[str, ...], drawn: np.ndarray, shares: np.ndarray, n: int) -> str:
    """Which classes are drawn too often or too seldom, of n samples, and by more than chance does."""
    gone = [name for name, share, real in zip(classes, drawn, shares, strict=True) if not share and real * n > 3]
    error = np.sqrt(shares * (1 - shares) / n)
    gap = np.abs(drawn - shares)
    off = np.flatnonzero((gap > FAR_OFF * shares) & (gap > N_ERRORS * error))
    if not len(off) and not gone:
        return f"It draws all {len(classes)} classes about as often as they are."
    worst = sorted(off, key=lambda i: -gap[i])[:3]
    named = ", ".join(f"{classes[i]} in {drawn[i]:.1%} (data: {shares[i]:.1%})" for i in worst)
    missing = f" NEVER: {', '.join(gone[:10])}." if gone else ""
    return f"It draws {len(off)} of {len(classes)} classes TOO OFTEN OR TOO SELDOM, the worst: {named}.{missing}"
