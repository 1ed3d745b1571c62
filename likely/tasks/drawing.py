"""Drawing new rows, however a model draws them."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from likely.contract import Sampler, Sequential

MAX_ROWS_IN_SEQUENCE = 256
"""Rows drawn value after value at once: what is kept for each value of so many rows fits into memory."""


def draw(
    model: Sampler,
    n: int,
    condition: Tensor | None = None,
    *,
    temperature: float = 1.0,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Draws of p(x), as many at once as fit.

    Args:
        model: fitted.
        n: how many rows.
        condition: (n, *condition_shape), or None; a conditional model then draws as it saw in training.
        temperature: of models that draw value after value, as `Sequential.complete`; others know only 1.
        on_step: told how many steps are done, of how many, where drawing takes steps.

    Returns:
        (n, *x_shape).
    """
    if not isinstance(model, Sequential):
        return model.sample(n, condition)
    given = model.draw_conditions(n) if condition is None else condition
    like = next(model.parameters())
    noise = torch.rand(n, *model.x_shape, dtype=like.dtype, device=like.device)
    pieces = []
    for start in range(0, n, MAX_ROWS_IN_SEQUENCE):
        rows = slice(start, start + MAX_ROWS_IN_SEQUENCE)
        begun, own = torch.full_like(noise[rows], torch.nan), None if given is None else given[rows]
        watch = on_step and partial(_tell, on_step, n, start, len(begun))
        pieces.append(model.complete(begun, noise[rows], own, temperature=temperature, on_step=watch))
    return torch.cat(pieces)


def _tell(on_step: Callable[[int, int], None], n: int, before: int, size: int, done: int, total: int) -> None:
    on_step(before * total + size * done, n * total)
