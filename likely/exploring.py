"""Looking around in what a model learned: ways between rows, arithmetic, traversals, the plane of a code, other labels.

Rows come and go in the caller's own terms. What comes back are decoder means, smoother than data, and no draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from likely import arguments
from likely.contract import Batch, Decoder, Encoder
from likely.data import Rows, Source, open_source
from likely.errors import DataError, Unsupported, UserError
from likely.fitted import Fitted
from likely.tasks import latent
from likely.tasks.latent import Way


@dataclass(frozen=True)
class Manifold:
    """What the plane of a code of two values decodes to.

    Attributes:
        rows: n * n of them, line by line.
        codes: (n, n, *z_shape): the first value rises from left to right, the second falls from line to line, as in
            a map.
    """

    rows: Rows
    codes: np.ndarray


def interpolate(
    fitted: Fitted, a: Any, b: Any, n_steps: int = 9, *, condition: Any = None, way: Way | str | None = None
) -> Rows:
    """Rows on the way from one row to another: decoder means between their codes.

    The way is a great circle where the model's prior is N(0, I), since codes lie near a sphere and a straight line
    leaves it (White, 2016, arXiv:1609.04468); else it is straight.

    Args:
        fitted: a model that encodes and decodes.
        a: the first row, alone or as rows of one, in the caller's terms.
        b: the last row.
        n_steps: how many rows, with both ends: the reconstructions of a and b.
        condition: of a model that was fitted with labels, that of both rows, or a pair; of two that differ the
            condition goes straight from one to the other. By default those that a source of rows has.
        way: "straight" or "great circle", where it shall not be chosen by the prior.

    Returns:
        n_steps rows, in the caller's units.

    Raises:
        DataError: if a or b is not one row like those of the fit, or its label is unknown.
        Unsupported: if the model does not encode and decode.
        UserError: if there are fewer than two steps, or no such way.

    Example:
        >>> import likely
        >>> X = np.random.default_rng(0).normal(size=(300, 3))
        >>> likely.interpolate(likely.fit("ppca", X, z_size=2), X[0], X[1], n_steps=5).shape
        (5, 3)
    """
    _check(fitted, "interpolate")
    chosen = _way(way)
    first, last = _batches(fitted, (_single(fitted, a), _single(fitted, b)), condition)
    x = fitted.ask(lambda: latent.interpolate(fitted.model, first, last, n_steps, chosen))
    return _rows(fitted, x)


def analogy(fitted: Fitted, rows: Any, minus: Any, plus: Any, *, condition: Any = None) -> Rows:
    """Rows less what one group has in common, and with what another has: arithmetic with codes.

    decode(encode(rows) - mean of encode(minus) + mean of encode(plus)): with `minus` faces without and `plus` faces
    with glasses, the faces of `rows` put glasses on.

    Args:
        fitted: a model that encodes and decodes.
        rows: those to change, in the caller's terms.
        minus: rows that have what is taken away.
        plus: rows that have what is put in its place.
        condition: of a model that was fitted with labels, that of all rows, or three: of `rows`, `minus` and
            `plus`. By default those that sources of rows have.

    Returns:
        As many rows as `rows` has, in the caller's units.

    Raises:
        DataError: if rows are not like those of the fit, or a label is unknown.
        Unsupported: if the model does not encode and decode.

    Reference: Deep Feature Consistent Variational Autoencoder (Hou et al., 2017), arXiv:1610.00291
    """
    _check(fitted, "do arithmetic with codes")
    three = _batches(fitted, (_sourced(fitted, rows), _sourced(fitted, minus), _sourced(fitted, plus)), condition)
    return _rows(fitted, fitted.ask(lambda: latent.analogy(fitted.model, *three)))


def traverse(
    fitted: Fitted,
    row: Any,
    units: int | Sequence[int] | None = None,
    *,
    span: float = 3.0,
    n_steps: int = 9,
    rows: Any = None,
    condition: Any = None,
) -> dict[int, Rows]:
    """A row's code with one of its values moved while the others stay: what this value stands for.

    Args:
        fitted: a model that encodes and decodes.
        row: alone or as rows of one, in the caller's terms.
        units: which values of the code, counted from 0; all by default.
        span: how far to either side of the row's own value, in standard deviations of the prior, or of the codes of
            `rows`.
        n_steps: how many rows for each; of an odd number the one in the middle is the reconstruction.
        rows: rows whose codes tell how far a value goes, for models without a prior.
        condition: the label of the row, for a model that was fitted with labels.

    Returns:
        By unit, n_steps rows in the caller's units.

    Raises:
        DataError: if row is not one row like those of the fit, or its label is unknown.
        Unsupported: if the model does not encode and decode.
        UserError: if the code has no such value, n_steps is smaller than 2, or the model has no prior and needs `rows`.

    Example:
        >>> import likely
        >>> X = np.random.default_rng(0).normal(size=(300, 3))
        >>> likely.traverse(likely.fit("pca", X, z_size=2), X[0], rows=X)[1].shape
        (9, 3)
    """
    model = _check(fitted, "traverse")
    arguments.whole("n_steps", n_steps, 2)
    arguments.positive("span", span)
    (own,) = _batches(fitted, (_single(fitted, row),), condition)
    codes = _known_codes(fitted, rows, condition)
    scale = fitted.ask(lambda: latent.spread(model, codes)).flatten()
    chosen = range(len(scale)) if units is None else [units] if isinstance(units, int) else list(units)
    offsets = torch.linspace(-span, span, n_steps, dtype=torch.float64)
    # A unit that there is not is told by `latent.traverse`, so its scale does not matter.
    each = torch.stack([offsets * float(scale[unit % len(scale)]) for unit in chosen])
    x = fitted.ask(lambda: latent.traverse(model, own, chosen, each))
    return {unit: _rows(fitted, line) for unit, line in zip(chosen, x, strict=True)}


def manifold(fitted: Fitted, n: int = 15, *, rows: Any = None, condition: Any = None) -> Manifold:
    """What the plane of a code of two values decodes to, at a grid of quantiles.

    Each cell stands for as many codes of the prior as any other, so the grid is fine where codes are dense.

    Args:
        fitted: a model whose codes have two values.
        n: lines and columns.
        rows: rows whose codes the quantiles are those of, value by value, for models without a prior.
        condition: the label under which all is decoded, for a model that was fitted with labels.

    Returns:
        The rows and their codes.

    Raises:
        DataError: if the label is unknown, or missing.
        Unsupported: if the code is no plane.
        UserError: if n is smaller than 1, or the model has no prior and needs `rows`.

    Reference: Auto-Encoding Variational Bayes (Kingma & Welling, 2014), arXiv:1312.6114, figure 4
    """
    model = fitted.capable(Decoder, "decode")
    given = _one_condition(fitted, condition)
    codes = _known_codes(fitted, rows, condition)
    grid = fitted.ask(lambda: latent.quantile_grid(model, n, codes))
    x = fitted.ask(lambda: latent.manifold(model, grid, given))
    return Manifold(_rows(fitted, x.flatten(0, 1)), grid.numpy())


def relabel(
    fitted: Fitted, rows: Any, labels: Sequence[Any] | None = None, *, condition: Any = None
) -> dict[Any, Rows]:
    """Rows as they would be under other labels: each keeps its code, its style, while the label changes.

    Args:
        fitted: a model that was fitted with labels (`condition="label"`), and encodes and decodes.
        rows: in the caller's terms.
        labels: those to decode under; by default every class seen at fit.
        condition: the labels that the rows have, one for all or one each. By default those that a source has.

    Returns:
        By label, as many rows as `rows` has, in the caller's units.

    Raises:
        DataError: if rows are not like those of the fit, or a label is unknown.
        Unsupported: if the model was fitted without labels, or does not encode and decode.

    Reference: Semi-supervised Learning with Deep Generative Models (Kingma et al., 2014), arXiv:1406.5298, figure 1
    """
    model = _check(fitted, "decode under another label")
    if model.condition_shape is None:
        raise Unsupported(f"{fitted.spec.name} was fitted without labels, so it has none to change: fit it with them")
    chosen = list(fitted.schema.classes if labels is None else labels)
    source = _sourced(fitted, rows)
    own = fitted.batch(source, condition=_labels(condition, len(source)))
    others = fitted.condition(chosen, len(chosen))
    assert others is not None
    x = fitted.ask(lambda: latent.recondition(model, own, others))
    return {label: _rows(fitted, x[:, i]) for i, label in enumerate(chosen)}


def _check(fitted: Fitted, verb: str) -> Any:
    for capability in (Encoder, Decoder):
        fitted.capable(capability, verb)
    return fitted.model


def _rows(fitted: Fitted, x: torch.Tensor) -> Rows:
    return cast(Rows, fitted.schema.to_rows(x, draws=False))


def _way(way: Way | str | None) -> Way | None:
    try:
        return None if way is None else Way(way)
    except ValueError:
        names = " or ".join(repr(each.value) for each in Way)
        raise UserError(f"way={way!r} is not known; give {names}") from None


def _sourced(fitted: Fitted, rows: Any) -> Source:
    """Rows as a source; an array that is one row is rows of one."""
    if isinstance(rows, Source):
        return rows
    if isinstance(rows, np.ndarray | list | tuple) and np.shape(rows) == fitted.schema.row_shape:
        rows = np.asarray(rows)[None]
    return open_source(rows)


def _single(fitted: Fitted, row: Any) -> Source:
    source = _sourced(fitted, row)
    if len(source) != 1:
        raise DataError(f"found {len(source)} rows, expected one: give a single row, such as X[0] or frame[:1]")
    return source


def _batches(fitted: Fitted, sources: Sequence[Source], condition: Any) -> list[Batch]:
    """Each source's rows with their labels: one label for all, or one entry for each source."""
    each = [condition] * len(sources) if np.ndim(condition) == 0 else list(condition)
    if len(each) != len(sources):
        raise UserError(f"found {len(each)} conditions, expected one for all, or {len(sources)}")
    return [
        fitted.batch(source, condition=_labels(labels, len(source)))
        for source, labels in zip(sources, each, strict=True)
    ]


def _labels(condition: Any, n: int) -> Any:
    """One label, or none, for n rows; what is already one for each stays."""
    if condition is None or np.ndim(condition):
        return condition
    return np.full(n, condition)


def _one_condition(fitted: Fitted, label: Any) -> torch.Tensor | None:
    if label is None and fitted.model.condition_shape is not None:
        classes = ", ".join(fitted.schema.classes[:20])
        raise DataError(
            f"{fitted.spec.name} was fitted with labels: give one as `condition`; the classes are {classes}"
        )
    return fitted.condition(_labels(label, 1), 1)


def _known_codes(fitted: Fitted, rows: Any, condition: Any) -> torch.Tensor | None:
    """The codes of rows that tell where codes lie; None where none were given."""
    if rows is None:
        return None
    source = _sourced(fitted, rows)
    # A source's own labels are those of its rows; the caller's one label is that of what is decoded.
    labels = None if source.labels is not None else _labels(condition, len(source))
    return torch.from_numpy(fitted.encode(source, condition=labels))
