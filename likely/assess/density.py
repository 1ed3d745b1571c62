"""How likely test rows are."""

import math

import numpy as np
import torch

from likely.assess.bench import MEANS, Bench
from likely.contract import AnnealedEnergy, Density, Model
from likely.data import Schema, Source
from likely.data.subset import some_rows
from likely.evaluation import Figure, bits_per_dim, mean_with_error
from likely.fitted import Fitted
from likely.tasks import DENSITY_SAMPLES, how_estimated, rows_enough
from likely.tasks.partition import LogPartition, log_partition

ANNEALING_STEPS = 5000
"""Temperatures of the chains that estimate the constant of an energy."""


def density(bench: Bench) -> list[Figure]:
    """Log-likelihood, and bits per dimension of whole values, where the model has a density, or can estimate it."""
    constant = _constant(bench.model)
    if not isinstance(bench.model, Density):
        return []
    # Of categories PPCA would give a density, as if they were numbers, which compares with no probability.
    beside = {} if bench.schema.has_categorical else bench.baseline("ppca")
    models = {bench.name: bench.fitted} | beside
    test = some_rows(bench.test, rows_enough(bench.model, len(bench.test)))
    log_p = {row: _log_prob(fitted, test, constant) for row, fitted in models.items()}
    marks = {row: fitted.density_mark for row, fitted in models.items()}
    if bench.some_train is not None:
        log_p[MEANS], marks[MEANS] = _independent_log_prob(bench, test), "="
    estimates = {row: mean_with_error(values) for row, values in log_p.items()}
    whole = bench.schema.domain in ("binary", "levels")
    is_density = not whole and bench.fitted.continuous
    figures = [
        Figure(
            "log-likelihood",
            "nats per row, a density in the units of the data" if is_density else "nats per row",
            "higher",
            {row: each.mean for row, each in estimates.items()},
            {row: ">=" if mark == "<=" else mark for row, mark in marks.items()},
            {row: _with_constant(each.error, constant, row == bench.name) for row, each in estimates.items()},
            _note(bench, test, constant),
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
                marks,
                {
                    row: _with_constant(each.error, constant, row == bench.name, bench.schema.n_values * math.log(2))
                    for row, each in bits.items()
                },
            )
        )
    return figures


def _constant(model: Model) -> LogPartition | None:
    """What the model's energy lacks of a log-probability, where that can be estimated."""
    return log_partition(model, n_temperatures=ANNEALING_STEPS) if isinstance(model, AnnealedEnergy) else None


def _log_prob(fitted: Fitted, rows: Source, constant: LogPartition | None) -> np.ndarray:
    """log p of rows; of an energy with this constant."""
    if isinstance(fitted.model, AnnealedEnergy) and constant is not None:
        return -fitted.surprise(rows) - constant.value
    return fitted.log_prob(rows)


def _with_constant(error: float, constant: LogPartition | None, lacks_it: bool, unit: float = 1.0) -> float:
    """The standard error of a mean over rows, with that of the constant, which all of them share."""
    return error if constant is None or not lacks_it else math.hypot(error, constant.error / unit)


def _note(bench: Bench, test: Source, constant: LogPartition | None) -> str:
    estimated = how_estimated(bench.model)
    how = f"{bench.name}: {estimated}" if estimated else f"Bounds by {DENSITY_SAMPLES} importance samples"
    if constant is not None:
        how = f"{bench.name}: {constant.told}"
    over = f", over {len(test):,} of {len(bench.test):,} test rows" if len(test) < len(bench.test) else ""
    return f"{how}{over}. '{MEANS}' takes every value as independent."


def _independent_log_prob(bench: Bench, rows: Source) -> np.ndarray:
    """log p of rows where each value follows its own histogram (whole values, categories) or a normal."""
    assert bench.some_train is not None
    if bench.schema.domain in ("binary", "levels") and not bench.fitted.continuous:
        return _histogram_log_prob(bench, bench.seen(bench.some_train), bench.seen(rows))
    train, test = bench.seen(bench.some_train), bench.seen(rows)
    mean, variance = np.nanmean(train, 0), np.nanvar(train, 0) + 1e-6
    each = -0.5 * ((test - mean) ** 2 / variance + np.log(2 * math.pi * variance))
    if bench.schema.has_categorical:
        each = np.where(_of_categories(bench.schema), test * _log_frequencies(bench.schema, train), each)
    log_det = bench.schema.log_det(torch.from_numpy(test)).numpy()
    return np.nansum(each.reshape(len(test), -1), 1) + log_det


def _of_categories(schema: Schema) -> np.ndarray:
    """(n_values,): whether a value is one of a category's."""
    return np.repeat([column.kind == "categorical" for column in schema.columns], [c.width for c in schema.columns])


def _log_frequencies(schema: Schema, train: np.ndarray) -> np.ndarray:
    """(n_values,): how often a category is this one, with one of each before any was seen (Laplace); of numbers 0."""
    widths = np.array(schema.widths)
    counts = np.where(_of_categories(schema), np.nansum(train, 0) + 1, 1)
    totals = np.add.reduceat(counts, np.cumsum(widths) - widths)
    return np.log(counts / np.repeat(totals, widths))


def _histogram_log_prob(bench: Bench, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    top = bench.schema.levels - 1
    rows, new = (np.rint(x.reshape(len(x), -1) * top).astype(np.int64) for x in (train, test))
    counts = np.ones((rows.shape[1], top + 1))  # one of each level before any was seen (Laplace)
    np.add.at(counts, (np.arange(rows.shape[1]), rows), 1)
    log_p = np.log(counts / counts.sum(1, keepdims=True))
    return log_p[np.arange(new.shape[1]), new].sum(1)
