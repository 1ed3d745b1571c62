"""Games between a generator and a critic: what they are played for, and what keeps them fair."""

from likely.adversarial.games import Game, Hinge, LeastSquares, NonSaturating, Relativistic, Wasserstein
from likely.adversarial.spectral import STARTING_ITERATIONS, SpectralNorm, iterate, normalize_spectra, spectral_norms

__all__ = [
    "STARTING_ITERATIONS",
    "Game",
    "Hinge",
    "LeastSquares",
    "NonSaturating",
    "Relativistic",
    "SpectralNorm",
    "Wasserstein",
    "iterate",
    "normalize_spectra",
    "spectral_norms",
]
