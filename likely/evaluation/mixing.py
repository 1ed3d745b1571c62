"""How fast chains forget where they were."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mixing:
    """How fast a Markov chain mixes, from some independent chains of it.

    Attributes:
        autocorrelation: (n_steps,), of states 0, 1, ... steps apart; 1 at first.
        steps_per_draw: steps of a chain that tell as much of a mean as one independent draw does; at least 1. What
            chains shorter than it tell is no more than that it is about as long as they are.
        effective_size: independent draws that all states together are worth.
        between: how much farther the means of chains lie apart than those of chains that mixed would: Gelman and
            Rubin's potential scale reduction; 1 where they forgot where they began, NaN of a single chain.
    """

    autocorrelation: np.ndarray
    steps_per_draw: float
    effective_size: float
    between: float

    @property
    def mixed(self) -> bool:
        """Whether the chains are many times as long as their memory, and agree."""
        long_enough = len(self.autocorrelation) >= 10 * self.steps_per_draw
        return bool(long_enough and not self.between > 1.05)


def mixing(states: np.ndarray) -> Mixing:
    """How fast chains mix, over all values of their states by their variances.

    Args:
        states: (n_steps, n_chains, ...), after the chains have gone as long as it takes to forget their beginnings.

    Returns:
        The figures; of states that never vary, those of draws that are all independent.

    Raises:
        ValueError: if there are fewer than 4 steps.

    Reference: for where to cut the sum of autocorrelations off, Practical Markov Chain Monte Carlo (Geyer, 1992),
        section 3.3; for `between`, Inference from Iterative Simulation Using Multiple Sequences (Gelman & Rubin, 1992)
    """
    if len(states) < 4:
        raise ValueError(f"states must be of 4 steps or more, got {len(states)}")
    x = np.asarray(states, np.float64).reshape(*states.shape[:2], -1)
    off = x - x.mean((0, 1))  # (n_steps, n_chains, values): from the mean of all chains, so that stuck ones stay so
    autocorrelation = _autocorrelation(off)
    steps = min(_integrated(autocorrelation), float(len(x)))
    return Mixing(autocorrelation, steps, x.shape[0] * x.shape[1] / steps, _between(x))


def _autocorrelation(off: np.ndarray) -> np.ndarray:
    """(n_steps,), by Fourier transforms; each lag by the number of pairs that it has."""
    n = len(off)
    spectrum = np.abs(np.fft.rfft(off, 2 * n, axis=0)) ** 2
    sums = np.fft.irfft(spectrum.sum((1, 2)), 2 * n)[:n]
    if sums[0] <= 1e-12:
        return (np.arange(n) == 0).astype(np.float64)
    covariance = sums / (n - np.arange(n))
    return covariance / covariance[0]


def _integrated(autocorrelation: np.ndarray) -> float:
    """1 + 2 times the sum of autocorrelations, cut off where the sums of neighbors are no longer positive."""
    pairs = autocorrelation[: len(autocorrelation) // 2 * 2].reshape(-1, 2).sum(1)
    positive = np.minimum.accumulate(pairs[: np.argmax(pairs <= 0)] if (pairs <= 0).any() else pairs)
    return max(1.0, 2 * float(positive.sum()) - 1)


def _between(x: np.ndarray) -> float:
    """The square root of all variance over that within chains, in mean over values."""
    n, n_chains = x.shape[:2]
    within = float(x.var(0, ddof=1).mean(0).sum())
    if n_chains < 2:
        return float("nan")
    if within <= 0:
        return 1.0 if np.ptp(x, (0, 1)).max() == 0 else float("inf")
    among = float(x.mean(0).var(0, ddof=1).sum())
    return float(np.sqrt((n - 1) / n + among / within))
