"""The space of codes: ways between rows, arithmetic, traversals, grids of quantiles, other conditions."""

import math
from collections.abc import Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from likely import arguments
from likely.contract import Batch, Decoder, Encoder, LatentDensity, Model, Shape
from likely.errors import Unsupported, UserError
from likely.rng import stream, torch_draws

DECODED_VALUES = 2_000_000
"""So many values are decoded at once, however many codes there are."""

N_DRAWS = 20_000
"""Codes that stand for a prior without a formula: a quantile in its middle is known to a hundredth of its scale."""

PARALLEL = 1e-4
"""Sine of an angle under which two directions are taken for one, or for opposites."""


class Way(Enum):
    """How to go from one code to another."""

    STRAIGHT = "straight"
    """z = (1 - t) a + t b."""
    GREAT_CIRCLE = "great circle"
    """The direction turns evenly from that of a to that of b, and the length goes evenly from |a| to |b|."""


def way_of(model: Model) -> Way:
    """The way that stays where codes are: a great circle where p(z) = N(0, I), and else straight.

    Codes of k values drawn from N(0, I) lie near the sphere of radius sqrt(k), and |z|^2 varies by sqrt(2 k). Half
    way between two of them a straight line is sqrt(k / 8) of these deviations too short: one for 8 values, four for
    128, where the decoder never learned what to do. Where codes lie is not known without such a prior.

    Reference: Sampling Generative Networks (White, 2016), arXiv:1609.04468
    """
    return Way.GREAT_CIRCLE if _is_standard_normal(model) else Way.STRAIGHT


def path(a: Tensor, b: Tensor, n_steps: int, way: Way) -> Tensor:
    """Codes on the way from a to b, both of shape z_shape.

    Codes on one line through the origin have no great circle, or no single one: between them the way is straight.

    Returns:
        (n_steps, *z_shape); the first is a and the last is b, to the last bit.

    Raises:
        UserError: if there are fewer than two steps.
    """
    arguments.whole("n_steps", n_steps, 2)
    share = torch.linspace(0, 1, n_steps, dtype=torch.float64, device=a.device)[:, None]
    start, end = a.double().flatten(), b.double().flatten()
    codes = _great_circle(start, end, share) if way is Way.GREAT_CIRCLE else torch.lerp(start, end, share)
    codes = codes.to(a.dtype).view(n_steps, *a.shape)
    codes[0], codes[-1] = a, b
    return codes


def _great_circle(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    lengths = a.norm(), b.norm()
    if min(lengths) == 0:
        return torch.lerp(a, b, share)
    first, last = a / lengths[0], b / lengths[1]
    cosine = (first @ last).clamp(-1, 1)
    # From the chord beside the direction a: an arc cosine loses all its digits where the angle is small.
    sine = (last - cosine * first).norm()
    if sine < PARALLEL:
        return torch.lerp(a, b, share)
    angle = torch.atan2(sine, cosine)
    direction = (((1 - share) * angle).sin() * first + (share * angle).sin() * last) / sine
    return direction * torch.lerp(lengths[0], lengths[1], share)


def interpolate(model: Model, a: Batch, b: Batch, n_steps: int = 9, way: Way | None = None) -> Tensor:
    """Decoder means on the way between the codes of two rows.

    Args:
        model: fitted.
        a: one row: x (1, *x_shape), with its condition where the model is conditional.
        b: the other one. Where its condition differs, the condition goes straight from one to the other.
        n_steps: how many, with both ends.
        way: by default `way_of(model)`.

    Returns:
        (n_steps, *x_shape).

    Raises:
        Unsupported: if the model does not encode and decode.
        UserError: if there are fewer than two steps.
    """
    coder = _coder(model, "interpolate")
    ends = coder.encode(*a)[0], coder.encode(*b)[0]
    codes = path(*ends, n_steps, way or way_of(model))
    condition = None
    if a.condition is not None and b.condition is not None:
        condition = path(a.condition[0], b.condition[0], n_steps, Way.STRAIGHT)
    return decoded(model, codes, condition)


def analogy(model: Model, rows: Batch, minus: Batch, plus: Batch) -> Tensor:
    """Rows less what one group has in common, and with what another has: arithmetic with codes.

    decode(encode(rows) - mean of encode(minus) + mean of encode(plus)).

    Args:
        model: fitted.
        rows: x (batch, *x_shape), with its condition where the model is conditional.
        minus: rows that have what is taken away.
        plus: rows that have what is put in its place.

    Returns:
        (batch, *x_shape).

    Raises:
        Unsupported: if the model does not encode and decode.

    Reference: Deep Feature Consistent Variational Autoencoder (Hou et al., 2017), arXiv:1610.00291
    """
    coder = _coder(model, "do arithmetic with codes")
    # The difference first: equal groups leave codes as they are, to the last bit.
    step = coder.encode(*plus).mean(0) - coder.encode(*minus).mean(0)
    return decoded(model, coder.encode(*rows) + step, rows.condition)


def spread(model: Model, codes: Tensor | None = None) -> Tensor:
    """The standard deviation of each value of the code: of the prior, and where there is none, of given codes.

    Args:
        model: fitted.
        codes: (n, *z_shape), of rows; they serve models without a prior.

    Returns:
        (*z_shape,).

    Raises:
        UserError: if the model has no prior and there are not two codes.
    """
    if _is_standard_normal(model):
        return torch.ones(_coder(model, "traverse").z_shape)
    return _codes_of(model, codes, "how far the values of its code go").std(0)


def traverse(model: Model, row: Batch, units: Sequence[int], offsets: Tensor) -> Tensor:
    """Decoder means of a row's code with one of its values moved, for some values.

    Args:
        model: fitted.
        row: one row: x (1, *x_shape), with its condition where the model is conditional.
        units: which values of the code, flattened.
        offsets: (len(units), steps), added to the row's own value.

    Returns:
        (len(units), steps, *x_shape).

    Raises:
        Unsupported: if the model does not encode and decode.
        UserError: if the code has no such value.
    """
    coder = _coder(model, "traverse")
    code = coder.encode(*row)
    size = math.prod(coder.z_shape)
    for unit in units:
        if not 0 <= unit < size:
            raise UserError(f"the code has no unit {unit}: its {size} values are numbered from 0 to {size - 1}")
    offsets = offsets.to(code)
    codes = code.flatten().repeat(*offsets.shape, 1)  # (units, steps, size)
    for line, unit in enumerate(units):
        codes[line, :, unit] += offsets[line]
    return _decoded_grid(model, codes.unflatten(-1, coder.z_shape), row.condition)


def quantile_grid(model: Model, n: int, codes: Tensor | None = None) -> Tensor:
    """Codes of two values at the middles of n equal shares of probability along each.

    Every cell of the grid stands for as many codes as any other, where the two values are independent; so the grid
    is fine where codes are dense. The quantiles are those of the prior, and where there is none, of given codes.

    Args:
        model: fitted.
        n: lines and columns.
        codes: (m, *z_shape), of rows; they serve models without a prior.

    Returns:
        (n, n, *z_shape): the first value rises from left to right, the second falls from line to line, as in a map.

    Raises:
        Unsupported: if the model does not decode codes of two values.
        UserError: if n is smaller than 1, or the model has no prior and there are no codes.

    Reference: Auto-Encoding Variational Bayes (Kingma & Welling, 2014), arXiv:1312.6114, figure 4
    """
    arguments.whole("n", n, 1)
    shape = _plane_shape(model)
    shares = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    if _is_standard_normal(model):
        along = torch.special.ndtri(shares)[:, None].expand(n, 2)
    else:
        known = _codes_of(model, codes, "how its codes are spread").double().flatten(1).cpu()
        along = known.quantile(shares, 0)  # (n, 2)
    first, second = torch.meshgrid(along[:, 0], along[:, 1].flip(0), indexing="xy")
    return torch.stack((first, second), -1).unflatten(-1, shape)


def manifold(model: Model, grid: Tensor, condition: Tensor | None = None) -> Tensor:
    """Decoder means over a grid of codes.

    Args:
        model: fitted.
        grid: (n, m, *z_shape), such as `quantile_grid` gives.
        condition: (1, *condition_shape), the same for all, or None.

    Returns:
        (n, m, *x_shape).
    """
    return _decoded_grid(model, grid, condition)


def recondition(model: Model, rows: Batch, conditions: Tensor) -> Tensor:
    """The same codes decoded under other conditions: what the code holds is kept, what the condition says changes.

    Args:
        model: fitted and conditional.
        rows: x (batch, *x_shape) with its own condition, under which it is encoded.
        conditions: (m, *condition_shape), those to decode under.

    Returns:
        (batch, m, *x_shape).

    Raises:
        Unsupported: if the model is not conditional, or does not encode and decode.

    Reference: Semi-supervised Learning with Deep Generative Models (Kingma et al., 2014), arXiv:1406.5298, figure 1
    """
    coder = _coder(model, "decode under another condition")
    if model.condition_shape is None:
        raise Unsupported(
            f"{type(model).__name__} was made without a condition, so there is none to change; those that "
            "take one do so by condition_shape, and `likely fit --condition label` gives them labels"
        )
    codes, m = coder.encode(*rows), len(conditions)
    repeated = conditions.repeat(len(codes), *[1] * (conditions.ndim - 1))
    return decoded(model, codes.repeat_interleave(m, 0), repeated).unflatten(0, (len(codes), m))


def decoded(model: Model, codes: Tensor, condition: Tensor | None = None) -> Tensor:
    """Decoder means of any number of codes (n, *z_shape), in pieces: (n, *x_shape)."""
    coder = _coder(model, "decode")
    size = max(1, DECODED_VALUES // math.prod(model.x_shape))
    pieces = codes.split(size)
    conditions = [None] * len(pieces) if condition is None else condition.split(size)
    return torch.cat([coder.decode(z, c) for z, c in zip(pieces, conditions, strict=True)])


def _decoded_grid(model: Model, codes: Tensor, condition: Tensor | None) -> Tensor:
    """Codes (lines, columns, *z_shape), all under one condition (1, *condition_shape)."""
    own = next(iter(model.state_dict().values()))
    flat = codes.flatten(0, 1).to(device=own.device, dtype=own.dtype)
    repeated = None if condition is None else condition.expand(len(flat), *condition.shape[1:])
    return decoded(model, flat, repeated).unflatten(0, codes.shape[:2])


def _coder(model: Model, verb: str) -> Any:
    """The model, where it both encodes and decodes."""
    if isinstance(model, Encoder) and isinstance(model, Decoder):
        return model
    raise Unsupported(
        f"{type(model).__name__} cannot {verb}: that takes codes both ways; `likely models` shows which models "
        "encode and decode"
    )


def _plane_shape(model: Model) -> Shape:
    if not isinstance(model, Decoder):
        raise Unsupported(f"{type(model).__name__} decodes nothing; `likely models` shows which models do")
    if math.prod(model.z_shape) != 2:
        size = math.prod(model.z_shape)
        raise Unsupported(f"a plane takes codes of 2 values, and those of this model have {size}; fit it with z_size=2")
    return model.z_shape


def _codes_of(model: Model, codes: Tensor | None, what: str) -> Tensor:
    """Codes by which to tell where codes are: draws from the prior, the same at every call, else those given."""
    if isinstance(model, LatentDensity):
        with stream("prior"), torch_draws(model):
            return model.draw_prior(N_DRAWS)
    if codes is None or len(codes) < 2:
        raise UserError(
            f"{type(model).__name__} has no prior over codes to say {what}: give some of its rows as `rows`"
        )
    return codes


@torch.no_grad()
def _is_standard_normal(model: Model) -> bool:
    """Whether p(z) = N(0, I): told by the density itself at some codes, so that all models are asked alike."""
    if not isinstance(model, LatentDensity):
        return False
    size, own = math.prod(model.z_shape), next(iter(model.state_dict().values()))
    at = torch.arange(6 * size, dtype=torch.float64).view(6, size)
    z = 2 * torch.sin(1.7 * at) * torch.linspace(0, 1, 6, dtype=torch.float64)[:, None]
    expected = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
    given = model.log_prior(z.to(own).view(6, *model.z_shape)).double().cpu()
    return bool(torch.allclose(given, expected, rtol=1e-3, atol=1e-3))
