"""Whether the default GAN finds all modes: a ring of 8 and a grid of 25 normal distributions, three seeds each.

A mode is covered when at least 20 of 2,500 samples lie within three standard deviations of it.

Reference: VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning (Srivastava et al., 2017),
arXiv:1705.07761, section 4.1
"""

import argparse
import math
from itertools import product
from typing import NamedTuple

import numpy as np

import likely
from benchmarks.data import say
from likely.training import TrainConfig

N_ROWS = 120_000
N_SAMPLES = 2_500
LEAST = 20
"""Samples that cover a mode."""


class Modes(NamedTuple):
    """Where the normal distributions are, (n, 2), and the standard deviation of each value."""

    centers: np.ndarray
    scale: float

    def rows(self, n: int, seed: int) -> np.ndarray:
        """(n, 2) float32."""
        random = np.random.default_rng(seed)
        centers = self.centers[random.integers(len(self.centers), size=n)]
        return (centers + self.scale * random.standard_normal((n, 2))).astype(np.float32)

    def covered(self, samples: np.ndarray) -> tuple[int, float]:
        """How many modes samples (n, 2) cover, and the share of them within three standard deviations of one."""
        distances = np.linalg.norm(samples[:, None] - self.centers, axis=2)
        near = distances.min(1) <= 3 * self.scale
        counts = np.bincount(distances.argmin(1)[near], minlength=len(self.centers))
        return int((counts >= LEAST).sum()), float(near.mean())


ANGLES = 2 * math.pi * np.arange(8) / 8
CASES = {
    "ring": Modes(2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), 0.02),
    "grid": Modes(np.array(list(product(range(-4, 5, 2), repeat=2)), dtype=float), 0.05),
}


def measure(case: str, model: str, seed: int, epochs: float | None, time_limit: float | None) -> None:
    """Fits one model with its defaults and says what its samples cover; beside it what as many rows do."""
    modes = CASES[case]
    config = TrainConfig(seed=seed, epochs=epochs, time_limit=time_limit)
    fitted = likely.fit(model, modes.rows(N_ROWS, seed), train=config, calibrate="none", test=0.0)
    samples = np.asarray(fitted.sample(N_SAMPLES, seed=seed))
    found, share = modes.covered(samples)
    floor = modes.covered(modes.rows(N_SAMPLES, seed + 1_000))[1]
    say(
        case=case,
        model=model,
        seed=seed,
        modes=found,
        of=len(modes.centers),
        share=round(share, 4),
        share_of_rows=round(floor, 4),
        warnings=fitted.history.warnings,
        **fitted.info["training"],
    )


def main() -> None:
    """Every case and seed, or those that are named."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    arguments.add_argument("--models", nargs="+", default=["gan"])
    arguments.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments.add_argument("--epochs", type=float, help="passes over the 120,000 rows; by default as for any data")
    arguments.add_argument("--time-limit", type=float, help="seconds per fit, in place of passes")
    given = arguments.parse_args()
    for case in given.cases:
        for model in given.models:
            for seed in given.seeds:
                measure(case, model, seed, given.epochs, given.time_limit)


if __name__ == "__main__":
    main()
