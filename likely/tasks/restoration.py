"""Restoration: what rows were before something happened to them, and images of any size tile by tile."""

import itertools
import math

import torch
from torch import Tensor

from likely import contract
from likely.contract import DrawsMissing, Restorer, Sequential
from likely.corruptions import Corruption, Erasing, LinearOperator, Operator, finish
from likely.errors import DataError, UserError

TILE_VALUES = 1_000_000
"""So many values are restored at once, tile by tile."""


def restore(
    model: Restorer,
    y: Tensor,
    operator: contract.Operator | Corruption | None = None,
    condition: Tensor | None = None,
) -> Tensor:
    """What rows were before something happened to them.

    Images and signals of another size than the model's are restored by tiles of its size that overlap by half, and
    are continued beyond their borders as in a mirror. The middle of a tile counts most and its rim, an eighth of its
    side, not at all: there the model sees too little.

    Args:
        model: fitted.
        y: (batch, *y_shape), as the model sees values; NaN where something is missing.
        operator: what happened: an operator that was drawn for these very rows, or a corruption, of which each row
            tells what it can. By default what is missing was erased, and where nothing is missing, that happened
            which the model learned to undo.
        condition: (batch, *condition_shape), or None.

    Returns:
        (batch, *x_shape), or (batch, channels, ...) of the size that y came from.

    Raises:
        DataError: if y is nothing that the operator could have left of rows such as the model's.
        UserError: if it has to be said what happened.
    """
    if isinstance(operator, Corruption):
        return _undone(model, y, operator, condition)
    if operator is not None:
        return _undrawn(model, y, operator, condition)
    erased = _erased(model, y)
    parts = [
        (rows, _undone(model, y[rows], corruption, None if condition is None else condition[rows]))
        for rows, corruption in ((erased, Erasing()), (~erased, model.corruption))
        if rows.any()
    ]
    x = parts[0][1].new_empty(len(y), *parts[0][1].shape[1:])
    for rows, restored in parts:
        x[rows] = restored
    return x


def draw_restorations(model: DrawsMissing, y: Tensor, condition: Tensor | None = None, *, n_samples: int = 1) -> Tensor:
    """Draws of what rows were before values were erased.

    Args:
        model: fitted.
        y: (batch, *x_shape), as the model sees values; NaN where something is missing.
        condition: (batch, *condition_shape), or None.
        n_samples: draws per row.

    Returns:
        (n_samples, batch, *x_shape), what is there as it is.

    Raises:
        DataError: if rows are of another size than the model's: tiles that were drawn by themselves do not match.
    """
    if y.shape[1:] != model.x_shape:
        raise DataError(f"found rows of shape {tuple(y.shape[1:])}, expected {model.x_shape}, of which draws are made")
    return model.draw_restorations(y, Erasing().behind(y, model.x_shape), condition, n_samples=n_samples)


def channels_left(model: Restorer, operator: contract.Operator | Corruption | None) -> int:
    """How many channels are left of an image of the model's, by what happened to it: 1 of what became gray."""
    happened = model.corruption if operator is None else operator
    left = happened.y_shape(model.x_shape) if isinstance(happened, Corruption) else model.x_shape
    return left[0]


def only_fills(model: Restorer, y: Tensor, operator: contract.Operator | Corruption | None = None) -> Tensor:
    """(batch,): the rows in which `restore` does nothing but fill in what is missing, by arguments as it takes them."""
    everywhere = isinstance(model, DrawsMissing) or isinstance(operator or model.corruption, Erasing)
    if everywhere or operator is not None:
        return torch.full((len(y),), everywhere, device=y.device)
    return _erased(model, y)


def _erased(model: Restorer, y: Tensor) -> Tensor:
    """(batch,): the rows that lack something, where what the model learned to undo leaves nothing out; all rows of a
    model that can do nothing but fill in."""
    own = model.corruption
    if own is None and isinstance(model, DrawsMissing):  # it was taught nothing else: whole rows stay as they are
        return torch.ones(len(y), dtype=torch.bool, device=y.device)
    if own is not None and isinstance(own.behind(y, model.x_shape), LinearOperator):
        return torch.zeros(len(y), dtype=torch.bool, device=y.device)
    return y.isnan().flatten(1).any(1)


def _undrawn(model: Restorer, y: Tensor, operator: contract.Operator, condition: Tensor | None) -> Tensor:
    if isinstance(operator, Operator):
        operator = operator.to(y.device)
    try:
        return model.restore(y, operator, condition)
    except ValueError as error:
        raise DataError(f"{error}; an operator serves the rows that it was drawn for") from error


def _undone(model: Restorer, y: Tensor, corruption: Corruption | None, condition: Tensor | None) -> Tensor:
    if corruption is None:
        raise UserError("say what happened to the rows: operator=..., such as likely.corruptions.Downsampling(2)")
    try:
        corruption.check(model.x_shape)
    except ValueError as error:
        raise DataError(f"{error}; it cannot have happened to what this model was fitted on") from error
    operator = corruption.behind(y, model.x_shape)
    if not isinstance(operator, LinearOperator) and y.isnan().any():
        row = int(y.isnan().flatten(1).any(1).nonzero()[0])
        raise DataError(f"row {row} lacks values, and {corruption} leaves none out; say Erasing, or nothing")
    wanted = corruption.y_shape(model.x_shape)
    if y.shape[1:] == wanted:
        return model.restore(y, operator, condition)
    if isinstance(model, Sequential):
        found = f"found rows of shape {tuple(y.shape[1:])}, expected {wanted}"
        raise DataError(f"{found}: a model that draws value after value goes on from beginnings of its own size only")
    if len(wanted) == 1 or y.ndim != len(wanted) + 1 or y.shape[1] != wanted[0]:
        raise DataError(f"found rows of shape {tuple(y.shape[1:])}, expected {wanted}, as {corruption} leaves them")
    if any(side % corruption.factor for side in model.x_shape[1:]):
        sizes = "x".join(map(str, model.x_shape[1:]))
        found = f"found rows of shape {tuple(y.shape[1:])}, expected {wanted}"
        raise DataError(f"{found}: other sizes are restored by tiles of {sizes}, which {corruption} does not divide")
    return _tiled(model, y, corruption, condition)


def _tiled(model: Restorer, y: Tensor, corruption: Corruption, condition: Tensor | None) -> Tensor:
    channels, *tile = model.x_shape
    factor, sides = corruption.factor, y.shape[2:]
    small = [side // factor for side in tile]  # a tile, as y has it
    margins = [math.ceil(side / 4) for side in small]
    padded = y
    for axis, (n, side, margin) in enumerate(zip(sides, small, margins, strict=True), 2):
        padded = padded.index_select(axis, _mirror(n, margin, side).to(y.device))
    canvas = y.new_zeros(len(y), channels, *(factor * n for n in padded.shape[2:]))
    total, window = torch.zeros_like(canvas[0, 0]), _window(tile, [factor * (side // 8) for side in small]).to(y)
    places = list(itertools.product(*map(_starts, padded.shape[2:], small)))
    size = max(1, TILE_VALUES // (len(y) * math.prod(model.x_shape)))
    for some in (places[i : i + size] for i in range(0, len(places), size)):
        tiles = torch.cat([padded[_at(place, small)] for place in some])
        given = None if condition is None else condition.repeat(len(some), *[1] * (condition.ndim - 1))
        restored = model.restore(tiles, corruption.behind(tiles, model.x_shape), given)
        for place, piece in zip(some, restored.split(len(y)), strict=True):
            spot = _at(tuple(factor * first for first in place), tile)
            canvas[spot] += window * piece
            total[spot[2:]] += window
    inside = _at(tuple(factor * margin for margin in margins), [factor * n for n in sides])
    x = canvas[inside] / total[inside[2:]]
    # A blend of tiles is not always what A maps to y, although each of them is.
    return finish(x, y, corruption.behind(y, tuple(x.shape[1:])))


def _mirror(n: int, margin: int, least: int) -> Tensor:
    """Which of n values stand in a row that is continued by `margin` on both sides, and is at least so long."""
    length = max(n + 2 * margin, least)
    period = max(1, 2 * n - 2)
    steps = (torch.arange(length) - margin) % period
    return torch.minimum(steps, period - steps) if n > 1 else torch.zeros_like(steps)


def _starts(n: int, side: int) -> list[int]:
    """Where tiles begin: every half of one, and flush with the end."""
    return sorted({*range(0, n - side + 1, max(1, side // 2)), n - side})


def _at(place: tuple[int, ...], sides: list[int]) -> tuple[slice, ...]:
    spots = (slice(first, first + side) for first, side in zip(place, sides, strict=True))
    return (slice(None), slice(None), *spots)


def _window(tile: list[int], rims: list[int]) -> Tensor:
    """What each value of a tile counts: most in the middle, falling to nothing at the rim."""
    window = torch.ones(())
    for side, rim in zip(tile, rims, strict=True):
        middle = (torch.arange(side) + 0.5 - side / 2).abs()
        along = (side / 2 - rim - middle).clamp_min(0)
        window = window[..., None] * (along / along.max())
    return window
