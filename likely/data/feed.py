"""Feeds: rows as a model takes them, by id; what training and every answer read from."""

import abc
import hashlib
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from likely.contract import Batch, Shape
from likely.data.augmentation import Augmentation, as_augmentations, augmented
from likely.data.on_disk import DiskRows
from likely.data.schema import Schema
from likely.data.source import Rows, Source
from likely.data.unseen import Unseen
from likely.rng import uniform_like

MAX_CACHED_BYTES = 2 * 2**30
"""In-memory data whose model tensors take more than this is converted batch by batch instead of once."""

N_AHEAD = 3
"""How many batches are decoded ahead of the step when rows come from files."""


class Feed(abc.ABC):
    """Rows as model tensors on the CPU, by id; what is random in them is drawn later, by `draw`."""

    x_shape: Shape
    in_memory: bool
    augmentation: tuple[Augmentation, ...] = ()
    """What happens to training rows, in this order, and to no others."""
    groups: np.ndarray | None = None
    """(n,) which rows belong together, as `Source.groups`."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def load(self, ids: np.ndarray) -> Batch:
        """The rows of `ids`, x (len(ids), *x_shape), without what is random."""

    @abc.abstractmethod
    def digest(self) -> str:
        """Names the content: another digest, other data."""

    def draw(self, x: Tensor) -> Tensor:
        """Draws what is random in rows (dequantization, dynamic binarization)."""
        return x

    def augment(self, x: Tensor) -> Tensor:
        """Training rows augmented; still without what `draw` draws."""
        return augmented(x, self.augmentation)

    def ready(self, batch: Batch, device: torch.device, *, training: bool = False) -> Batch:
        """A loaded batch on the device, augmented where it trains, with what is random in it drawn."""
        x = batch.x.to(device, non_blocking=True)
        x = self.draw(self.augment(x) if training and self.augmentation else x)
        return Batch(x, None if batch.condition is None else batch.condition.to(device, non_blocking=True))

    def batches(self, ids: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """All of `ids` in order, in pieces."""
        return self.stream([ids[i : i + batch_size] for i in range(0, len(ids), batch_size)])

    def stream(self, pieces: Sequence[np.ndarray] | Iterator[np.ndarray]) -> Iterator[Batch]:
        """The rows of each piece of ids in turn; read ahead of the consumer where that means decoding files."""
        if self.in_memory:
            yield from map(self.load, pieces)
            return
        with ThreadPoolExecutor(1) as reader:
            waiting: deque[Future[Batch]] = deque()
            for piece in pieces:
                waiting.append(reader.submit(self.load, piece))
                if len(waiting) > N_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class TensorFeed(Feed):
    """A tensor x (n, *x_shape) and, for conditional models, condition (n, *condition_shape).

    Args:
        x: the rows.
        condition: what they are given.
        augmentation: what happens to training rows, for images (n, channels, h, w): parts or their names.
    """

    in_memory = True

    def __init__(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        *,
        augmentation: str | Augmentation | Sequence[str | Augmentation] = (),
    ) -> None:
        if condition is not None and len(condition) != len(x):
            raise ValueError(f"x has {len(x)} rows, condition has {len(condition)}")
        self.x, self.condition, self.augmentation = x, condition, as_augmentations(augmentation)
        self.x_shape = tuple(x.shape[1:])

    def __len__(self) -> int:
        return len(self.x)

    def load(self, ids: np.ndarray) -> Batch:
        """As `Feed.load`."""
        rows = torch.from_numpy(ids)
        return Batch(self.x[rows], None if self.condition is None else self.condition[rows])

    def digest(self) -> str:
        """A hash of every byte."""
        from likely.data.source import digest_of

        arrays = [self.x] if self.condition is None else [self.x, self.condition]
        return digest_of(*(array.detach().cpu().numpy() for array in arrays))


class SourceFeed(Feed):
    """The rows of a source as its schema maps them.

    Args:
        source: where the rows are.
        schema: what they are.
        continuous: whether the model takes whole values as a density's, so that they are dequantized.
        missing_ok: whether the model takes NaN as missing.
        condition: (n, *condition_shape) in the order of ids, or None.
        dtype: of the tensors.
    """

    def __init__(
        self,
        source: Source,
        schema: Schema,
        *,
        continuous: bool = False,
        missing_ok: bool = False,
        condition: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.source, self.schema, self.continuous, self.missing_ok = source, schema, continuous, missing_ok
        self.condition, self.dtype, self.in_memory = condition, dtype, source.in_memory
        self.augmentation, self.groups = source.augmentation, source.groups
        self.x_shape = schema.x_shape
        self._cache: Tensor | None = None
        self._on_disk: DiskRows | None = None
        if source.mapped:
            blocks = (self._as_model(ids, rows).numpy() for ids, rows in source.blocks())
            self._on_disk = DiskRows.of_blocks(blocks, self.x_shape, numpy_type(dtype))
        elif source.in_memory and len(source) * math.prod(self.x_shape) * dtype.itemsize <= MAX_CACHED_BYTES:
            self._cache = self._read(np.arange(len(source)))

    def __len__(self) -> int:
        return len(self.source)

    def load(self, ids: np.ndarray) -> Batch:
        """As `Feed.load`."""
        x = self._rows(ids)
        return Batch(x, None if self.condition is None else self.condition[torch.from_numpy(ids)])

    def digest(self) -> str:
        """Of the source, and of how its rows become those of the model."""
        content = hashlib.blake2b(self.source.digest().encode(), digest_size=16)
        content.update(repr((self.schema, self.continuous, self.dtype)).encode())
        return content.hexdigest()

    def augment(self, x: Tensor) -> Tensor:
        """As `Feed.augment`; levels stay levels and bits stay bits, as a model of them needs."""
        x = super().augment(x)
        steps = 0 if self.schema.binarize else self.schema.levels - 1
        return (x * steps).round() / steps if steps > 0 else x

    def draw(self, x: Tensor) -> Tensor:
        """As `Feed.draw`."""
        if not self.schema.is_random(self.continuous):
            return x
        return self.schema.draw(x, uniform_like(x), self.continuous)

    def _rows(self, ids: np.ndarray) -> Tensor:
        if self._on_disk is not None:
            return torch.from_numpy(self._on_disk.read(ids))
        return self._read(ids) if self._cache is None else self._cache[torch.from_numpy(ids)]

    def _read(self, ids: np.ndarray) -> Tensor:
        return self._as_model(ids, self.source.read(ids))

    def _as_model(self, ids: np.ndarray, rows: Rows) -> Tensor:
        # The schema knows the training rows; what others hold beyond them teaches nothing, and is no reason to stop.
        return self.schema.to_model(
            rows,
            dtype=self.dtype,
            missing_ok=self.missing_ok,
            place=lambda i: self.source.place(int(ids[i])),
            unseen=Unseen(len(ids)),
        )


def numpy_type(dtype: torch.dtype) -> np.dtype:
    """What numpy calls a type of tensors."""
    return np.dtype(str(dtype).removeprefix("torch."))
