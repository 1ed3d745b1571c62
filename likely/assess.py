"""What a fitted model is worth on rows it has not seen: numbers, always beside baselines."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from likely.contract import Encoder, Model, Reconstructor, Sampler
from likely.data import Source
from likely.data.split import Split
from likely.data.subset import Subset
from likely.evaluation import (
    Assessment,
    Figure,
    accuracy_error,
    auroc,
    auroc_error,
    average_precision,
    bits_per_dim,
    find_copies,
    linear_probe_accuracy,
    mean_with_error,
    mse,
    nearest_neighbor_accuracy,
    psnr,
    ssim,
)
from likely.fitted import Fitted
from likely.fitting import Recipe, fit_rows
from likely.registry import Spec
from likely.tasks import DENSITY_SAMPLES
from likely.training import TrainConfig

MEANS = "column means"
MAX_VALUES = 50_000_000
MAX_ROWS = 10_000
"""Rows that are looked at pixel by pixel: at most so many, and so many values."""

N_SAMPLES = 1_000
"""Samples drawn to look for copies."""

NOVEL_NAMES = ("1", "anomaly", "abnormal", "novel", "outlier", "bad", "defect")
NORMAL_NAMES = ("0", "normal", "ordinary", "inlier", "good", "ok")


def assess(fitted: Fitted, test: Source, train: Source | None = None) -> Assessment:
    """Measures a model on test rows beside baselines that learn from its training rows.

    Args:
        fitted: the model.
        test: rows that it did not learn from, with labels where there are some.
        train: rows that it learned from; without them there are no baselines.

    Returns:
        Density (where the model has one), reconstruction, detection and code quality (where labels exist),
        copies (where the model samples), and verdicts in words.
    """
    bench = Bench(fitted, test, train)
    figures = [*_density(bench), *_reconstruction(bench), *_detection(bench), *_codes(bench), *_copies(bench)]
    return Assessment(
        len(test), tuple(figures), tuple(filter(None, (_verdict(figure, bench.name) for figure in figures)))
    )


class Bench:
    """A model and its baselines before the same rows."""

    def __init__(self, fitted: Fitted, test: Source, train: Source | None) -> None:
        self.fitted, self.schema, self.name = fitted, fitted.schema, fitted.spec.name
        self.test, self.train = test, train
        self.model: Model = fitted.model

    @property
    def z_size(self) -> int:
        """How many numbers a code has, of the model or of a baseline that stands beside it."""
        return math.prod(self.model.z_shape) if isinstance(self.model, Encoder) else 16

    def baseline(self, name: str) -> dict[str, Fitted]:
        """PCA or PPCA of the same size by its row's name; empty where it cannot be, or is the model itself."""
        n_rows = 0 if self.train is None else len(self.train)
        if self.z_size >= min(self.schema.n_values, n_rows) or self.schema.missing or self.name == name:
            return {}
        return {f"{name.upper()} ({self.z_size})": self._closed_form(name)}

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as one assessment
    def _closed_form(self, name: str) -> Fitted:
        assert self.train is not None
        recipe = Recipe(Spec(name, z_size=self.z_size), self.train, self.schema, TrainConfig(), None)
        everything = np.arange(len(self.train))
        none = everything[:0]
        return fit_rows(recipe, Split(everything, none, none, none))

    def beside(self, name: str, ask: Callable[[Fitted], Any]) -> dict[str, Any]:
        """An answer of the model, and of one baseline."""
        return {row: ask(each) for row, each in ({self.name: self.fitted} | self.baseline(name)).items()}

    @functools.cached_property
    def some_test(self) -> Source:
        """As many test rows as can be looked at value by value."""
        return some_rows(self.test, self.schema.n_values)

    @functools.cached_property
    def some_train(self) -> Source | None:
        """As many training rows."""
        return None if self.train is None else some_rows(self.train, self.schema.n_values)

    def seen(self, source: Source) -> np.ndarray:
        """Rows as the model sees them: (n, *x_shape), float64."""
        return self.fitted.see(source).double().numpy()

    def plain(self, source: Source) -> np.ndarray:
        """Rows whose differences mean something: raw values, or standard deviations where columns have units."""
        if self.schema.columns or self.schema.binarize:
            return self.seen(source)
        return np.asarray(source.read(np.arange(len(source))), np.float64)

    def again(self, fitted: Fitted, source: Source) -> np.ndarray:
        """Reconstructions of rows, to be held against `plain`."""
        if self.schema.columns or self.schema.binarize:
            return fitted.see_again(source).double().numpy()
        return np.asarray(fitted.reconstruct(source), np.float64)


def some_rows(source: Source, n_values: int) -> Source:
    """At most MAX_ROWS rows and MAX_VALUES values of a source, evenly spread."""
    most = min(len(source), MAX_ROWS, max(1, MAX_VALUES // n_values))
    ids = np.unique(np.linspace(0, len(source) - 1, most).round().astype(np.int64))
    return source if len(ids) == len(source) else Subset(source, ids)


def _density(bench: Bench) -> list[Figure]:
    if not bench.fitted.measure.is_density:
        return []
    log_p = bench.beside("ppca", lambda fitted: fitted.log_prob(bench.test))
    exact = {bench.name: bench.fitted.density_mark == "="}
    exact |= {row: fitted.density_mark == "=" for row, fitted in bench.baseline("ppca").items()}
    if bench.some_train is not None:
        log_p[MEANS], exact[MEANS] = _independent_log_prob(bench), True
    estimates = {row: mean_with_error(values) for row, values in log_p.items()}
    whole = bench.schema.domain in ("binary", "levels")
    figures = [
        Figure(
            "log-likelihood",
            "nats per row" if whole else "nats per row, a density in the units of the data",
            "higher",
            {row: each.mean for row, each in estimates.items()},
            {row: "=" if is_exact else ">=" for row, is_exact in exact.items()},
            {row: each.error for row, each in estimates.items()},
            f"Bounds by {DENSITY_SAMPLES} importance samples. '{MEANS}' takes every value as independent.",
        )
    ]
    if whole:
        bits = {row: mean_with_error(bits_per_dim(values, bench.schema.n_values)) for row, values in log_p.items()}
        figures.append(
            Figure(
                "bits per dimension",
                "bits",
                "lower",
                {row: each.mean for row, each in bits.items()},
                {row: "=" if is_exact else "<=" for row, is_exact in exact.items()},
                {row: each.error for row, each in bits.items()},
            )
        )
    return figures


def _independent_log_prob(bench: Bench) -> np.ndarray:
    """log p of test rows where each value follows its own histogram (whole values) or normal distribution."""
    assert bench.some_train is not None
    if bench.schema.domain in ("binary", "levels") and not bench.fitted.continuous:
        return _histogram_log_prob(bench, bench.seen(bench.some_train), bench.seen(bench.test))
    train, test = bench.seen(bench.some_train), bench.seen(bench.test)
    mean, variance = np.nanmean(train, 0), np.nanvar(train, 0) + 1e-6
    each = -0.5 * ((test - mean) ** 2 / variance + np.log(2 * math.pi * variance))
    log_det = bench.schema.log_det(torch.from_numpy(test)).numpy()
    return np.nansum(each.reshape(len(test), -1), 1) + log_det


def _histogram_log_prob(bench: Bench, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    top = bench.schema.levels - 1
    rows, new = (np.rint(x.reshape(len(x), -1) * top).astype(np.int64) for x in (train, test))
    counts = np.ones((rows.shape[1], top + 1))  # one of each level before any was seen (Laplace)
    np.add.at(counts, (np.arange(rows.shape[1]), rows), 1)
    log_p = np.log(counts / counts.sum(1, keepdims=True))
    return log_p[np.arange(new.shape[1]), new].sum(1)


def _reconstruction(bench: Bench) -> list[Figure]:
    if not isinstance(bench.model, Reconstructor):
        return []
    original = bench.plain(bench.some_test)
    again = bench.beside("pca", lambda fitted: bench.again(fitted, bench.some_test))
    if bench.some_train is not None:
        again[MEANS] = np.broadcast_to(np.nanmean(bench.plain(bench.some_train), 0), original.shape)
    unit = "standard deviations, squared" if bench.schema.columns else "raw values, squared"
    figures = [_mean_figure("MSE", unit, "lower", {row: mse(original, x) for row, x in again.items()})]
    data_range = 1.0 if bench.schema.binarize else bench.schema.high - bench.schema.low
    if bench.schema.kind != "image" or bench.schema.domain == "real":
        return figures
    axis = 0 if bench.schema.binarize else bench.schema.channel_axis
    peak = {row: psnr(original, x, data_range=data_range) for row, x in again.items()}
    similar = {row: ssim(original, x, data_range=data_range, channel_axis=axis) for row, x in again.items()}
    return [*figures, _mean_figure("PSNR", "dB", "higher", peak), _mean_figure("SSIM", "", "higher", similar)]


def _mean_figure(name: str, unit: str, better: Any, rows: Mapping[str, np.ndarray]) -> Figure:
    estimates = {row: mean_with_error(values[np.isfinite(values)]) for row, values in rows.items()}
    means, errors = ({row: each[i] for row, each in estimates.items()} for i in (0, 1))
    return Figure(name, unit, better, means, errors=errors)


def novel_rows(labels: np.ndarray | None, classes: tuple[str, ...]) -> np.ndarray | None:
    """Which rows their labels call novel: of classes not seen at fit, or "1" of 0/1 labels; None where none is."""
    if labels is None:
        return None
    names = np.array([str(label).lower() for label in labels])
    if set(names) <= {*NOVEL_NAMES, *NORMAL_NAMES}:
        novel = np.isin(names, NOVEL_NAMES)
    else:
        novel = ~np.isin([str(label) for label in labels], classes)
    return novel if novel.any() and not novel.all() else None


def _detection(bench: Bench) -> list[Figure]:
    novel = novel_rows(bench.test.labels, bench.schema.classes)
    if novel is None:
        return []
    surprise = bench.beside("pca", lambda fitted: fitted.surprise(bench.test))
    surprise |= {row: each.surprise(bench.test) for row, each in bench.baseline("ppca").items()}
    if bench.some_train is not None:
        off = bench.plain(bench.test) - np.nanmean(bench.plain(bench.some_train), 0)
        surprise[MEANS] = np.nansum((off**2).reshape(len(off), -1), 1)
    area = {row: auroc(values, novel) for row, values in surprise.items()}
    errors = {row: auroc_error(values, novel) for row, values in surprise.items()}
    precision = {row: average_precision(values, novel) for row, values in surprise.items()}
    note = f"{int(novel.sum())} of {len(novel)} test rows are novel by their labels; guessing gives {novel.mean():.3g}."
    return [
        Figure("AUROC", "", "higher", area, errors=errors),
        Figure("average precision", "", "higher", precision, note=note),
    ]


def _codes(bench: Bench) -> list[Figure]:
    train, test = bench.some_train, bench.some_test
    if not isinstance(bench.model, Encoder) or train is None or train.labels is None or test.labels is None:
        return []
    if len(np.unique(train.labels)) < 2:
        return []
    codes = bench.beside("pca", lambda fitted: (fitted.encode(train), fitted.encode(test)))
    codes["raw values"] = tuple(np.nan_to_num(bench.seen(rows)) for rows in (train, test))
    judged = {"linear probe accuracy": linear_probe_accuracy, "nearest-neighbor accuracy": nearest_neighbor_accuracy}
    figures = []
    for name, judge in judged.items():
        values = {row: judge(a, train.labels, b, test.labels) for row, (a, b) in codes.items()}
        errors = {row: accuracy_error(value, len(test)) for row, value in values.items()}
        figures.append(Figure(name, "share of test rows", "higher", values, errors=errors))
    return figures


def _copies(bench: Bench) -> list[Figure]:
    if not isinstance(bench.model, Sampler) or bench.some_train is None or bench.schema.missing:
        return []
    n = min(N_SAMPLES, max(1, MAX_VALUES // bench.schema.n_values))
    samples = bench.fitted.see_samples(n).double().numpy()
    found = find_copies(samples, bench.seen(bench.some_test), bench.seen(bench.some_train))
    note = (
        f"Share of {n} samples that lie nearer to a training row than 99 % of test rows do; without copying about "
        f"0.01. {found.identical:.2%} equal a training row in every value."
    )
    return [Figure("copies", "share of samples", "neither", {bench.name: found.share}, note=note)]


WORDS = {
    "log-likelihood": "Finds test rows {more} likely than {other}",
    "bits per dimension": "Codes test rows in {fewer} bits than {other}",
    "MSE": "Reconstructs test rows {better} than {other}",
    "AUROC": "Ranks novel rows {better} than {other}",
    "linear probe accuracy": "A linear classifier reads labels from its code {better} than from {other}",
}


def _verdict(figure: Figure, model: str) -> str:
    """A sentence that says plainly whether the model beats the best of its baselines."""
    others = {row: value for row, value in figure.values.items() if row != model}
    if figure.name == "copies":
        share = figure.values[model]
        return f"Samples are {'no copies' if share < 0.05 else 'suspiciously near to training rows'}: {share:.1%}."
    if figure.name not in WORDS or not others:
        return ""
    higher = figure.better == "higher"
    other = (max if higher else min)(others, key=lambda row: others[row])
    own, numbers = figure.values[model], f"{figure.values[model]:.4g} against {others[other]:.4g}"
    if own == others[other]:
        return f"{figure.name}: no better and no worse than {other}, {numbers}."
    words = {"more": "more", "fewer": "fewer", "better": "better", "other": other}
    words |= {} if (own > others[other]) == higher else {"more": "LESS", "fewer": "MORE", "better": "WORSE"}
    return f"{WORDS[figure.name].format(**words)}: {figure.name} {numbers}."
