"""Randomness: the one place that touches the global generators.

Every draw is a pure function of (seed, what it is for, when), so a run that is resumed, or cut into other
pieces, draws the same numbers, and nothing but integers has to be saved.
"""

import contextlib
import hashlib
from collections.abc import Iterator

import numpy as np
import torch


def derive(*key: int | str) -> int:
    """A seed below 2**63 that depends on every part of `key` and on nothing else."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def permutation(n: int, *key: int | str) -> np.ndarray:
    """The numbers 0 to n - 1 in an order that is a pure function of `key`; (n,) int64."""
    return np.random.Generator(np.random.Philox(derive(*key))).permutation(n)


def some_of(n: int, most: int, *key: int | str) -> np.ndarray:
    """At most so many of the numbers 0 to n - 1, drawn at random and in random order: a pure function of `key`.

    Rows often come sorted, by class or by time: whoever looks at some of them looks at these, never at the first ones.

    Returns:
        (min(n, most),) int64, each number once.
    """
    return permutation(n, *key)[:most]


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Puts torch's global generators back as they were, whatever happens inside."""
    with torch.random.fork_rng():
        yield


@contextlib.contextmanager
def seeded(*key: int | str) -> Iterator[None]:
    """Inside, torch's global generators follow `key`; afterwards they are as they were."""
    with preserved():
        restart(*key)
        yield


def restart(*key: int | str) -> None:
    """Starts torch's global generators at `key`. Call it inside `preserved` only."""
    seed = derive(*key)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
