"""Ordinary differential equations, solved for many rows at once, each row by itself.

A solver that takes one step size for a whole batch gives a row another answer when its neighbors change. Here each
row has a time and a step of its own, and rows that have arrived leave the batch: the answer for a row depends on
nothing but the row, and a batch takes as many evaluations as its slowest row.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from likely.errors import UserError

State = tuple[Tensor, ...]
"""What is carried along, in parts, each (batch, ...): the error of the worst part decides over a step."""

STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
"""Of Dormand and Prince: what each stage takes of the slopes before it; the last is the step itself, of order 5."""

NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
"""Where in the step each of these stages ends, as a share of it."""

ERRORS = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
"""What each slope counts in the difference between the steps of order 5 and order 4."""

FIRST_STEP = 0.01
"""The first step moves a row by this share of itself."""

SAFETY, SLOWEST, FASTEST = 0.9, 0.25, 4.0
"""The next step is what the error allows, less a tenth, and in between these shares of the last."""

GRADES = 4
"""Steps come in so many lengths from one to its double: rounding in another place of a batch does not change them."""

MAX_STEPS = 5000


class Field(Protocol):
    """The slope of each part of the state: t (batch,), context (batch, ...) as it was given, or None."""

    def __call__(self, t: Tensor, state: State, context: Tensor | None) -> State: ...


class _Rows(NamedTuple):
    """The rows that are on their way: all are of the same length."""

    ids: Tensor
    t: Tensor
    step: Tensor
    state: State
    slope: State
    context: Tensor | None

    def at(self, which: Tensor) -> "_Rows":
        """Some of them."""
        context = None if self.context is None else self.context[which]
        state, slope = (tuple(part[which] for part in parts) for parts in (self.state, self.slope))
        return _Rows(self.ids[which], self.t[which], self.step[which], state, slope, context)


def integrate(
    field: Field,
    state: State,
    start: float,
    stop: float,
    *,
    context: Tensor | None = None,
    tolerance: float = 1e-5,
) -> State:
    """Follows a field from one time to another by steps of order 5, each as long as its error allows.

    The error of a step, the difference from a step of order 4, is at most `tolerance * (1 + |state|)` in root mean
    square over the values of a row, in each part of the state. Steps are chosen row by row.

    Args:
        field: the slope.
        state: at `start`; parts (batch, ...), floating-point.
        start: a time.
        stop: another, later or earlier.
        context: (batch, ...) handed on to the field, or None.
        tolerance: the largest error of a step, absolute and relative.

    Returns:
        The state at `stop`, parts of the same shapes.

    Raises:
        ValueError: if the tolerance is not positive.
        UserError: if a row needs more than `MAX_STEPS` steps.

    Reference: A family of embedded Runge-Kutta formulae (Dormand & Prince, 1980), table 2; for the step size, Solving
        Ordinary Differential Equations I (Hairer, Norsett & Wanner, 1993), section II.4
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    result = tuple(part.clone() for part in state)
    rows = _begin(field, state, start, stop, context, tolerance)
    for _ in range(MAX_STEPS):
        rows = _advance(field, rows, stop, tolerance)
        arrived = rows.t == stop
        if arrived.any():
            for whole, part in zip(result, rows.state, strict=True):
                whole[rows.ids[arrived]] = part[arrived]
            rows = rows.at(~arrived)
        if not len(rows.ids):
            return result
    raise UserError(
        f"{len(rows.ids)} of {len(result[0])} rows did not arrive within {MAX_STEPS} steps at tolerance={tolerance:g}, "
        f"row {int(rows.ids[0])} first: it holds extreme values, or the tolerance is too small for {result[0].dtype}"
    )


def integrate_in_steps(
    field: Field, state: State, start: float, stop: float, n_steps: int, *, context: Tensor | None = None
) -> State:
    """Follows a field by equal steps of order 2: the slope in the middle of each is taken for the whole of it.

    Two evaluations a step, and nothing is known of the error.

    Args:
        field: the slope.
        state: at `start`; parts (batch, ...).
        start: a time.
        stop: another, later or earlier.
        n_steps: how many.
        context: (batch, ...) handed on to the field, or None.

    Returns:
        The state at `stop`.

    Raises:
        ValueError: if there is not one step at least.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    step = (stop - start) / n_steps
    whole = state[0].new_full((len(state[0]),), step)
    for i in range(n_steps):
        t = torch.full_like(whole, start + i * step)
        halfway = _moved(state, whole, (0.5,), [field(t, state, context)])
        state = _moved(state, whole, (1.0,), [field(t + step / 2, halfway, context)])
    return state


def _begin(field: Field, state: State, start: float, stop: float, context: Tensor | None, tolerance: float) -> _Rows:
    """All rows at the start, each with the first step that its slope suggests."""
    n, like = len(state[0]), state[0]
    t = torch.full((n,), start, dtype=like.dtype, device=like.device)
    slope = field(t, state, context)
    limits = [tolerance * (1 + part.abs()) for part in state]
    size, speed = _worst(state, limits), _worst(slope, limits)
    length = (FIRST_STEP * size.clamp_min(1) / speed.clamp_min(1e-12)).nan_to_num(FIRST_STEP)
    length = _graded(length.clamp(1e-6 * abs(stop - start), abs(stop - start)))
    ids = torch.arange(n, device=like.device)
    return _Rows(ids, t, length.copysign(length.new_tensor(stop - start)), state, slope, context)


def _advance(field: Field, rows: _Rows, stop: float, tolerance: float) -> _Rows:
    """One step of every row; a row whose error is too large stays where it is, and will take a shorter one."""
    last = (rows.t + rows.step - stop) * rows.step.sign() >= 0
    step = torch.where(last, stop - rows.t, rows.step)
    slopes = [rows.slope]
    for weights, node in zip(STAGES, NODES, strict=True):
        reached = _moved(rows.state, step, weights, slopes)
        slopes.append(field(rows.t + node * step, reached, rows.context))
    off = _moved(tuple(torch.zeros_like(part) for part in reached), step, ERRORS, slopes)
    pairs = zip(rows.state, reached, strict=True)
    error = _worst(off, [tolerance * (1 + torch.maximum(a.abs(), b.abs())) for a, b in pairs])
    good = error <= 1
    share = (SAFETY * error.clamp_min(1e-10) ** -0.2).nan_to_num(SLOWEST).clamp(SLOWEST, FASTEST)
    share = _graded(share)
    t = torch.where(last, torch.full_like(rows.t, stop), rows.t + step)
    return rows._replace(
        t=torch.where(good, t, rows.t),
        step=torch.where(good, step * share, step * share.clamp_max(1)),
        state=_chosen(good, reached, rows.state),
        slope=_chosen(good, slopes[-1], rows.slope),
    )


def _graded(numbers: Tensor) -> Tensor:
    """The grade below."""
    return torch.exp2((GRADES * numbers.log2()).floor() / GRADES)


def _moved(state: State, step: Tensor, weights: Sequence[float], slopes: Sequence[State]) -> State:
    """The state a step (batch,) further along the weighted slopes."""
    used = [(weight, slope) for weight, slope in zip(weights, slopes, strict=True) if weight]
    return tuple(
        part + _like(step, part) * sum(weight * slope[i] for weight, slope in used) for i, part in enumerate(state)
    )


@torch.no_grad()
def _worst(parts: Sequence[Tensor], limits: Sequence[Tensor]) -> Tensor:
    """(batch,): the root mean square of a row's values in units of their limits, of the part where it is largest.

    It decides over lengths of steps, which are constants to a derivative: of a root at zero there is none.
    """
    sizes = [(part / limit).flatten(1).square().mean(1).sqrt() for part, limit in zip(parts, limits, strict=True)]
    return torch.stack(sizes).amax(0)


def _chosen(which: Tensor, ones: State, others: State) -> State:
    return tuple(torch.where(_like(which, a), a, b) for a, b in zip(ones, others, strict=True))


def _like(numbers: Tensor, part: Tensor) -> Tensor:
    """(batch,) as (batch, 1, ...), with as many axes as a part of the state."""
    return numbers.view(-1, *[1] * (part.ndim - 1))
