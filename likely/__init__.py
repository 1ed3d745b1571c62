"""likely learns how likely data is: novelty, restoration, samples and features behind one small contract.

Importing it loads nothing heavy; each name below is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likely.data import open_source
    from likely.errors import DataError, Diverged, Interrupted, ModelFileError, UnknownName, Unsupported, UserError
    from likely.fitted import Fitted, Scores, load
    from likely.fitting import fit
    from likely.registry import Spec, register
    from likely.training import TrainConfig, train

__version__ = "0.1.0"

_HOMES = {
    "DataError": "likely.errors",
    "Diverged": "likely.errors",
    "Fitted": "likely.fitted",
    "Interrupted": "likely.errors",
    "ModelFileError": "likely.errors",
    "Scores": "likely.fitted",
    "Spec": "likely.registry",
    "TrainConfig": "likely.training",
    "UnknownName": "likely.errors",
    "Unsupported": "likely.errors",
    "UserError": "likely.errors",
    "fit": "likely.fitting",
    "load": "likely.fitted",
    "open_source": "likely.data",
    "register": "likely.registry",
    "train": "likely.training",
}

__all__ = [
    "DataError",
    "Diverged",
    "Fitted",
    "Interrupted",
    "ModelFileError",
    "Scores",
    "Spec",
    "TrainConfig",
    "UnknownName",
    "Unsupported",
    "UserError",
    "fit",
    "load",
    "open_source",
    "register",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'likely' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
