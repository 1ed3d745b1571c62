"""The rows that a model learned from, by digests: known again wherever they stand, and telling nothing else."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from likely.errors import ModelFileError

STEPS = 2.0**20
"""Values are told apart in steps of one of so many of a scale: the last digits that a file drops change no digest."""

MAX_STEPS = 2.0**52


@dataclass(frozen=True)
class Learned:
    """Digests of rows.

    Attributes:
        salt: (16,) bytes of its own, so that digests of two models tell nothing of each other.
        digests: (n,) uint64, rising; a row that was there twice is there twice.
    """

    salt: bytes
    digests: np.ndarray

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> "Learned":
        """Of rows as a model takes them, block by block: (n, ...) float64 each, NaN where missing."""
        salt = secrets.token_bytes(16)
        digests = np.concatenate([np.empty(0, np.uint64), *(_digests(block, salt) for block in blocks)])
        digests.sort()
        return cls(salt, digests)

    def digest(self, x: np.ndarray) -> np.ndarray:
        """The digests of rows x (n, ...) float64: (n,) uint64."""
        return _digests(x, self.salt)

    def known(self, digests: np.ndarray) -> np.ndarray:
        """Which rows were learned from, of their digests (n,): (n,) bool; each as often as it was there at fit.

        Where rows of few values are often equal by chance, so that a row comes more often than it was learned, the
        first ones count as known.
        """
        order = np.argsort(digests, kind="stable")
        rising = digests[order]
        nth = np.arange(len(rising)) - np.searchsorted(rising, rising)
        known = np.empty(len(digests), dtype=bool)
        times = np.searchsorted(self.digests, rising, "right") - np.searchsorted(self.digests, rising)
        known[order] = nth < times
        return known

    def tensors(self) -> dict[str, Tensor]:
        """As they are saved, by name."""
        salt = torch.frombuffer(bytearray(self.salt), dtype=torch.uint8)
        return {"learned": torch.from_numpy(self.digests.view(np.int64)), "learned_salt": salt}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Learned | None":
        """The inverse of `tensors`; None where there are none.

        Raises:
            ModelFileError: if they are no digests.
        """
        digests, salt = tensors.get("learned"), tensors.get("learned_salt")
        if digests is None and salt is None:
            return None
        if digests is None or salt is None or (digests.dtype, salt.dtype) != (torch.int64, torch.uint8):
            raise ModelFileError("the digests of the rows that the model learned from are damaged; fit it again")
        if digests.ndim != 1 or salt.shape != (16,):
            raise ModelFileError("the digests of the rows that the model learned from are damaged; fit it again")
        return cls(salt.numpy().tobytes(), np.sort(digests.numpy().view(np.uint64)))


def _digests(x: np.ndarray, salt: bytes) -> np.ndarray:
    values = x.reshape(len(x), -1)
    steps = np.rint((values * STEPS).clip(-MAX_STEPS, MAX_STEPS))
    rows = np.ascontiguousarray(np.where(np.isnan(values), 2 * MAX_STEPS, steps).astype(np.int64))
    digests = b"".join(hashlib.blake2b(row, digest_size=8, key=salt).digest() for row in rows)
    return np.frombuffer(digests, dtype=np.uint64)
