"""Test rows that something happened to, and what a model makes of what is left of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from likely.assess.bench import Bench, some_rows
from likely.assess.rows import mean_figure
from likely.contract import Operator, Reconstructor, Restorer
from likely.corruptions import finish, start
from likely.data import Source
from likely.data.subset import Subset
from likely.evaluation import Figure, mse, psnr
from likely.fitted import Fitted
from likely.rng import preserved, restart

UNTOUCHED = "no restoration"
"""The baseline that every restorer has to beat: what is left, as it is."""

N_RESTORED = 1_000
MAX_RESTORED_VALUES = 8_000_000
"""Rows that are restored: at most so many, and so many values, so many of them at once."""
VALUES_AT_ONCE = 1_000_000

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
    """

    x: Tensor
    y: Tensor
    operator: Operator
    left: Tensor
    restored: Tensor


def damage(fitted: Fitted, rows: Source) -> Damage | None:
    """What the model learned to undo, done to rows and undone; the same at each call. None where it learned nothing."""
    model = fitted.model
    if not isinstance(model, Restorer) or model.corruption is None or model.condition_shape is not None:
        return None
    x = fitted.see(rows)
    device = next(iter(model.state_dict().values())).device
    size = max(1, VALUES_AT_ONCE // max(1, x[0].numel()))
    with preserved(), torch.inference_mode():
        restart(0, "restoration")
        y = model.corruption.draw(x).apply(x)
        operator = model.corruption.behind(y, model.x_shape)
        pieces = [
            model.restore(y[i : i + size].to(device), operator.rows(slice(i, i + size)).to(device)).cpu()
            for i in range(0, len(x), size)
        ]
        left = y.expand_as(x) if y.shape[2:] == x.shape[2:] else start(y, operator)
    return Damage(x, y, operator, left, torch.cat(pieces))


def restoration(bench: Bench) -> list[Figure]:
    """How near rows come to what they were, beside what is left of them and what PCA makes of that."""
    rows = some_rows(bench.test, max(1, bench.schema.n_values))
    most = max(1, min(N_RESTORED, MAX_RESTORED_VALUES // max(1, bench.schema.n_values)))
    rows = rows if len(rows) <= most else Subset(rows, torch.linspace(0, len(rows) - 1, most).long().numpy())
    found = damage(bench.fitted, rows)
    if found is None:
        return []
    guesses = {bench.name: found.restored} | _by_pca(bench, found)
    # Of what is missing nothing is known: there stands what the model itself begins with.
    guesses[UNTOUCHED] = torch.where(found.left.isnan(), start(found.y, found.operator), found.left)
    arrays = {row: guess.double().numpy() for row, guess in guesses.items()}
    original = found.x.double().numpy()
    note = f"What happened to the rows: {bench.model.corruption}."
    if bench.schema.kind == "image" and bench.schema.domain != "real":
        peak = {row: psnr(original, guess, data_range=1.0) for row, guess in arrays.items()}
        return [mean_figure("restored PSNR", "dB", "higher", peak, note)]
    unit = "standard deviations, squared" if bench.schema.domain == "real" or bench.schema.columns else "of the range"
    errors = {row: mse(original, guess) for row, guess in arrays.items()}
    return [mean_figure("restored MSE", unit, "lower", errors, note)]


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
