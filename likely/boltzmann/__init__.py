"""Boltzmann machines: energies over visible and hidden units, their conditionals, and how they are learned."""

from likely.boltzmann.layer import LearningMachine, Stage, drawn_up
from likely.boltzmann.machine import MAX_ENUMERATED, Machine
from likely.boltzmann.negative import (
    ContrastiveDivergence,
    Learning,
    NegativePhase,
    ParallelTempering,
    PersistentChains,
    exchanged,
)
from likely.boltzmann.path import MachinePath, annealed
from likely.boltzmann.units import BernoulliUnits, GaussianUnits, Units, VisibleUnits, bits, default_units

__all__ = [
    "MAX_ENUMERATED",
    "BernoulliUnits",
    "ContrastiveDivergence",
    "GaussianUnits",
    "Learning",
    "LearningMachine",
    "Machine",
    "MachinePath",
    "NegativePhase",
    "ParallelTempering",
    "PersistentChains",
    "Stage",
    "Units",
    "VisibleUnits",
    "annealed",
    "bits",
    "default_units",
    "drawn_up",
    "exchanged",
]
