"""Pretraining: what a model asks of training before its own objective is minimized."""

from dataclasses import dataclass

from likely.corruptions import Corruption


@dataclass(frozen=True)
class Greedy:
    """Layer by layer: each learns to give back the codes of those below, which stay as they are.

    Attributes:
        corruption: of what each layer sees; it has to give back what was there before. None for no corruption.
        epochs: passes over the training rows, per layer; None for a share of what the whole is trained for.

    Reference: Greedy Layer-Wise Training of Deep Networks (Bengio et al., 2007); with a corruption, Stacked
        Denoising Autoencoders (Vincent et al., 2010)
    """

    corruption: Corruption | None = None
    epochs: float | None = None
