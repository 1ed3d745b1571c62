"""A likelihood of the columns of a table: real numbers side by side with categories."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution

from likely.contract import Shape
from likely.errors import DataError
from likely.likelihoods.inversion import chosen
from likely.likelihoods.levels import draw_index
from likely.likelihoods.likelihood import AllowsOutliers, Likelihood, Observation, ordinary_values, precise
from likely.likelihoods.reals import Gaussian

_Size = torch.Size | list[int] | tuple[int, ...]
_NO_SHAPE = torch.Size()


@dataclass(frozen=True)
class Columns(Likelihood):
    """Vectors of a table's columns: each a real number, or a category as 0/1 values of which one is 1.

    A category's probability is the softmax of the logits of its values. It counts where x is 1, so that whatever
    leaves out all values of a missing category leaves out its probability. Of its noise the first number decides;
    a temperature divides its logits, and does with real numbers what it does for `reals`.

    Attributes:
        widths: how many values each column has, in order: 1 for a real number, and for a category as many as there
            are of it, 2 at least. `likely.fit` fills in those of the data where there are none here.
        reals: of the real numbers.
    """

    widths: tuple[int, ...] = ()
    reals: Likelihood = Gaussian(outliers=0.01)

    domains = frozenset({"real"})

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.widths):
            raise ValueError(f"Columns: widths must be 1 or more, got {self.widths}")
        if isinstance(self.reals, Columns) or "real" not in self.reals.domains:
            raise ValueError(f"Columns: reals must be a likelihood of real numbers, got {self.reals}")

    def __str__(self) -> str:
        """In few words, of however many columns."""
        n_reals = self.widths.count(1)
        return f"Columns({n_reals} numbers and {len(self.widths) - n_reals} categories, reals={self.reals})"

    @property
    def discrete(self) -> bool:
        """Whether all columns are categories."""
        return min(self.widths, default=1) > 1

    @property
    def raw_channels(self) -> int:
        """Those of the real numbers; a category reads the first alone."""
        return 1 if self.discrete else self.reals.raw_channels

    def build(self, x_shape: Shape) -> Observation:
        """As `Likelihood.build`; x_shape must be the sum of the widths.

        Raises:
            DataError: if it is another.
        """
        if not self.widths or tuple(x_shape) != (sum(self.widths),):
            raise DataError(f"Columns with {sum(self.widths)} values is no likelihood of rows of shape {x_shape}")
        return _ColumnsObservation(self.widths, self.reals, self.raw_channels)

    def blocks(self, n: int) -> tuple[int, ...]:
        """As `Likelihood.blocks`: a block for each column.

        Raises:
            DataError: if n is not the sum of the widths.
        """
        if n != sum(self.widths):
            raise DataError(f"Columns with {sum(self.widths)} values is no likelihood of rows of {n}")
        return self.widths

    def observations(self, places: Sequence[slice]) -> list[Observation]:
        """As `Likelihood.observations`.

        Raises:
            ValueError: if a place cuts a category.
        """
        column_at = {start: i for i, start in enumerate(itertools.accumulate((0, *self.widths)))}
        if not {end for place in places for end in (place.start, place.stop)} <= column_at.keys():
            raise ValueError(f"places must be whole columns of widths {self.widths}, got {list(places)}")
        each = [self.widths[column_at[place.start] : column_at[place.stop]] for place in places]
        known = {widths: self._part(widths) for widths in set(each)}
        return [known[widths] for widths in each]

    def _part(self, widths: tuple[int, ...]) -> Observation:
        if widths == (1,):
            return self.reals.build((1,))
        return _ColumnsObservation(widths, self.reals, self.raw_channels) if widths[1:] else _Categories(1, widths[0])


class _ColumnsObservation(Observation):
    """Sorts what it reads: real numbers first, then categories by their widths, so that no loop goes over columns."""

    def __init__(self, widths: tuple[int, ...], reals: Likelihood, raw_channels: int) -> None:
        super().__init__()
        counts = {width: widths.count(width) for width in sorted(set(widths))}
        parts = [reals.build((n,)) if width == 1 else _Categories(n, width) for width, n in counts.items()]
        self.parts, self.sizes = nn.ModuleList(parts), [n * width for width, n in counts.items()]
        # Categories have no use for the raw numbers after their logits.
        self.raw_sizes = [n * (raw_channels if width == 1 else width) for width, n in counts.items()]
        order = torch.cat(sorted(torch.arange(sum(widths)).split(widths), key=len))
        n_reals = counts.get(1, 0)
        of_reals = torch.arange(raw_channels).unsqueeze(1) * len(order) + order[:n_reals]
        self.register_buffer("raw_order", torch.cat([of_reals.flatten(), order[n_reals:]]), persistent=False)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)

    def values(self, raw: Tensor) -> Distribution:
        order, back = (self.get_buffer(name).to(raw.device) for name in ("order", "back"))
        each = [part.values(piece) for part, piece in zip(self._parts(), self._pieces(raw), strict=True)]
        return _SideBySide(each, self.sizes, order, back)

    def draw(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        order, back = (self.get_buffer(name).to(raw.device) for name in ("order", "back"))
        noises = noise.index_select(1, order).split(self.sizes, 1)
        pieces = zip(self._parts(), self._pieces(raw), noises, strict=True)
        x = [part.draw(piece, u, temperature) for part, piece, u in pieces]
        return torch.cat(x, 1).index_select(1, back)

    def _parts(self) -> Iterator[Observation]:
        return cast("Iterator[Observation]", iter(self.parts))

    def _pieces(self, raw: Tensor) -> Sequence[Tensor]:
        """What each part reads."""
        return raw.index_select(1, self.get_buffer("raw_order").to(raw.device)).split(self.raw_sizes, 1)


class _Categories(Observation):
    """Categories of one width, side by side: reads as many logits as they have values, and nothing after them."""

    def __init__(self, n: int, width: int) -> None:
        super().__init__()
        self.n, self.width = n, width

    def values(self, raw: Tensor) -> Distribution:
        return _OneHot(self._logits(raw).log_softmax(1))

    def draw(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        p = (self._logits(precise(raw)) / temperature).softmax(1)
        return _one_hot(chosen(p, noise[:, :: self.width]), self.width).to(noise.dtype)

    def _logits(self, raw: Tensor) -> Tensor:
        """(batch, width, n)."""
        return raw[:, : self.n * self.width].unflatten(1, (self.n, self.width)).transpose(1, 2)


class _OneHot(Distribution):
    """Categories as 0/1 values, (batch, n * width); log_p (batch, width, n) is normalized over the width.

    Its logarithms are of single values, and of a category's one is its logarithm and the others are 0.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, log_p: Tensor) -> None:
        self.log_p, self.width = log_p, log_p.shape[1]
        super().__init__(torch.Size((len(log_p), log_p[0].numel())), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._flat.exp()

    def sample(self, sample_shape: _Size = _NO_SHAPE) -> Tensor:
        return _one_hot(draw_index(self.log_p, sample_shape), self.width).to(self.log_p.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        return value * self._flat

    @property
    def _flat(self) -> Tensor:
        return self.log_p.transpose(1, 2).flatten(1)


class _SideBySide(AllowsOutliers):
    """Distributions (batch, size) of the values in a certain order; itself of the values in theirs, (batch, n)."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, each: list[Distribution], sizes: list[int], order: Tensor, back: Tensor) -> None:
        self.each, self.sizes, self.order, self.back = each, sizes, order, back
        super().__init__(torch.Size((each[0].batch_shape[0], len(order))), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._together([part.mean for part in self.each])

    def sample(self, sample_shape: _Size = _NO_SHAPE) -> Tensor:
        return self._together([part.sample(sample_shape) for part in self.each])

    def ordinary_sample(self) -> Tensor:
        return self._together([ordinary_values(part) for part in self.each])

    def log_prob(self, value: Tensor) -> Tensor:
        pieces = value.index_select(-1, self.order).split(self.sizes, -1)
        return self._together([part.log_prob(piece) for part, piece in zip(self.each, pieces, strict=True)])

    def _together(self, values: list[Tensor]) -> Tensor:
        return torch.cat(values, -1).index_select(-1, self.back)


def _one_hot(index: Tensor, width: int) -> Tensor:
    """(..., n) to 0/1 values (..., n * width)."""
    return F.one_hot(index, width).flatten(-2)
