"""likely learns how likely data is: novelty, restoration, samples and features behind one small contract.

Importing it loads nothing heavy; each name below is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likely.data import open_source
    from likely.errors import DataError, Diverged, Interrupted, ModelFileError, UnknownName, Unsupported, UserError
    from likely.exploring import Manifold, analogy, interpolate, manifold, relabel, traverse
    from likely.fitted import Fitted, Scores, load
    from likely.fitting import fit
    from likely.registry import Spec, register
    from likely.training import TrainConfig, train
    from likely.walking import Walk, walk

__version__ = "0.1.0"

_HOMES = {
    "DataError": "likely.errors",
    "Diverged": "likely.errors",
    "Fitted": "likely.fitted",
    "Interrupted": "likely.errors",
    "Manifold": "likely.exploring",
    "ModelFileError": "likely.errors",
    "Scores": "likely.fitted",
    "Spec": "likely.registry",
    "TrainConfig": "likely.training",
    "UnknownName": "likely.errors",
    "Unsupported": "likely.errors",
    "UserError": "likely.errors",
    "Walk": "likely.walking",
    "analogy": "likely.exploring",
    "fit": "likely.fitting",
    "interpolate": "likely.exploring",
    "load": "likely.fitted",
    "manifold": "likely.exploring",
    "open_source": "likely.data",
    "register": "likely.registry",
    "relabel": "likely.exploring",
    "train": "likely.training",
    "traverse": "likely.exploring",
    "walk": "likely.walking",
}

__all__ = [
    "DataError",
    "Diverged",
    "Fitted",
    "Interrupted",
    "Manifold",
    "ModelFileError",
    "Scores",
    "Spec",
    "TrainConfig",
    "UnknownName",
    "Unsupported",
    "UserError",
    "Walk",
    "analogy",
    "fit",
    "interpolate",
    "load",
    "manifold",
    "open_source",
    "register",
    "relabel",
    "train",
    "traverse",
    "walk",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'likely' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
