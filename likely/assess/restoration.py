"""Test rows that something happened to, and what a model makes of what is left of them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from likely.assess.bench import MEANS, Bench, rows_to_look_at
from likely.assess.rows import mean_figure
from likely.contract import ImputesMissing, Model, Operator, Reconstructor, Restorer, Sequential
from likely.corruptions import Corruption, Erasing, Truncation, finish, start
from likely.data import Schema, Source
from likely.data.subset import some_rows
from likely.evaluation import Figure, mse, psnr
from likely.fitted import Fitted
from likely.rng import stream, torch_draws

UNTOUCHED = "no restoration"
"""The baseline that every restorer has to beat: what is left, as it is."""

ERASED = Erasing(0.2)
"""What happens to rows of a model that only fills in what is missing."""

N_RESTORED = 1_000
MAX_RESTORED_VALUES = 8_000_000
"""Rows that are restored: at most so many, and so many values, so many of them at once."""
VALUES_AT_ONCE = 1_000_000

MAX_IMPUTED_VALUES = 200_000
"""Of a model that only fills in: it looks for the code of each row step by step, which takes its time."""

HALF_LOST = Truncation(0.5)
"""What happens to images and signals of a model that goes on from a beginning."""

MAX_WIDE_PCA = 2500
"""A model whose code is wider than its rows stands beside a PCA of a few components, unless rows are wider than this:
finding them would take longer than all else."""


@dataclass(frozen=True)
class Damage:
    """Rows as a model sees them, and what happened to them: each (n, *x_shape), but for the operator.

    Attributes:
        x: as they were.
        y: (n, *y_shape), what is left of them; NaN where something is missing.
        operator: what y tells of what happened.
        left: y as rows: enlarged where it is smaller, gray in every channel where it is gray.
        restored: by the model.
        corruption: of which the operator was drawn.
    """

    x: Tensor
    y: Tensor
    operator: Operator
    left: Tensor
    restored: Tensor
    corruption: Corruption


def damage(fitted: Fitted, rows: Source) -> Damage | None:
    """What the model learned to undo, done to rows and undone; the same at each call. None where it learned nothing.

    A model that fills in what is missing has values erased, and the lower half where it goes on from a beginning.
    """
    model, corruption = fitted.model, _undone_by(fitted.model)
    if not isinstance(model, Restorer) or corruption is None or model.condition_shape is not None:
        return None
    x = fitted.see(rows)
    device = next(iter(model.state_dict().values())).device
    size = max(1, VALUES_AT_ONCE // max(1, x[0].numel()))
    with stream(0, "restoration"), torch_draws(model), torch.inference_mode():
        y = corruption.draw(x).apply(x)
        y = _with_whole_categories(y, x, fitted.schema) if corruption is ERASED else y
        operator = corruption.behind(y, model.x_shape)
        pieces = [
            model.restore(y[i : i + size].to(device), operator.rows(slice(i, i + size)).to(device)).cpu()
            for i in range(0, len(x), size)
        ]
        left = y.expand_as(x) if y.shape[2:] == x.shape[2:] else start(y, operator)
    return Damage(x, y, operator, left, torch.cat(pieces), corruption)


def _with_whole_categories(y: Tensor, x: Tensor, schema: Schema) -> Tensor:
    """y with all values of a category missing where its first is, and none where it is not."""
    if not schema.has_categorical:
        return y
    widths = torch.tensor(schema.widths)
    first = (widths.cumsum(0) - widths).repeat_interleave(widths)
    of_category = (widths > 1).repeat_interleave(widths)
    return torch.where(of_category, torch.where(y[:, first].isnan(), y[:, first], x), y)


def _undone_by(model: Model) -> Corruption | None:
    if not isinstance(model, Restorer):
        return None
    if isinstance(model, Sequential):
        return HALF_LOST if model.n_orders == 1 and len(model.x_shape) > 1 else None
    own: Corruption | None = model.corruption
    return ERASED if own is None and isinstance(model, ImputesMissing) else own


def restoration(bench: Bench) -> list[Figure]:
    """How near rows come to what they were, beside what is left of them and what PCA makes of that.

    Nothing of a model that goes on from a beginning: it draws, and a draw is farther from a row than a mean that
    looks like none.
    """
    if isinstance(bench.model, Sequential):
        return []
    rows = rows_to_look_at(bench.test, max(1, bench.schema.n_values))
    imputes = isinstance(bench.model, ImputesMissing)
    n_values = MAX_IMPUTED_VALUES if imputes else MAX_RESTORED_VALUES
    most = max(1, min(N_RESTORED, n_values // max(1, bench.schema.n_values)))
    found = damage(bench.fitted, some_rows(rows, most))
    if found is None:
        return []
    guesses = {bench.name: found.restored} | _by_pca(bench, found)
    if imputes:
        guesses[MEANS] = torch.where(found.y.isnan(), _means(bench, found.x), found.x)
    else:
        # Of what is missing nothing is known: there stands what the model itself begins with.
        guesses[UNTOUCHED] = torch.where(found.left.isnan(), start(found.y, found.operator), found.left)
    arrays = {row: guess.double().numpy() for row, guess in guesses.items()}
    original = found.x.double().numpy()
    note = f"What happened to the rows: {found.corruption}."
    if bench.schema.kind == "image" and bench.schema.domain != "real" and not bench.schema.missing:
        peak = {row: psnr(original, guess, data_range=1.0) for row, guess in arrays.items()}
        return [mean_figure("restored PSNR", "dB", "higher", peak, note)]
    unit = "standard deviations, squared" if bench.schema.domain == "real" or bench.schema.columns else "of the range"
    if not imputes:
        errors = {row: mse(original, guess) for row, guess in arrays.items()}
        return [mean_figure("restored MSE", unit, "lower", errors, note)]
    note += " Errors are of the values that were erased."
    errors = {row: _errors_of_erased(found, guess) for row, guess in guesses.items()}
    return [mean_figure("restored MSE", unit, "lower", errors, note)]


def _means(bench: Bench, x: Tensor) -> Tensor:
    """Of each value over the training rows, or over these where there are none: (*x_shape)."""
    rows = x if bench.some_train is None else torch.from_numpy(bench.seen(bench.some_train))
    return rows.to(x.dtype).nanmean(0).nan_to_num()


def _errors_of_erased(found: Damage, guess: Tensor) -> np.ndarray:
    """The mean squared error of each row over what was there and was erased; NaN where that is nothing."""
    off = torch.where(found.y.isnan() & ~found.x.isnan(), guess - found.x, torch.nan)
    errors: np.ndarray = off.double().square().flatten(1).nanmean(1).numpy()
    return errors


def _by_pca(bench: Bench, found: Damage) -> dict[str, Tensor]:
    """The same algorithm with PCA to propose."""
    baseline = bench.baseline("pca") or _narrow_pca(bench)
    begun = start(found.y, found.operator).double()
    answers = {}
    for row, fitted in baseline.items():
        assert isinstance(fitted.model, Reconstructor)
        answers[row] = finish(fitted.model.reconstruct(begun), found.y.double(), found.operator)
    return answers


def _narrow_pca(bench: Bench) -> dict[str, Fitted]:
    size = min(64, bench.schema.n_values // 4, 0 if bench.train is None else len(bench.train) // 2)
    if size < 1 or bench.schema.missing or bench.schema.n_values > MAX_WIDE_PCA:
        return {}
    return {f"PCA ({size})": bench.closed_form("pca", size)}
