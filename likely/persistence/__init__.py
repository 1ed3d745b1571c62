"""Fitted directories and checkpoints: written whole or not at all, and read as if a stranger had written them.

`directory` writes and reads a fitted directory, `reading` opens files and JSON that are not trusted, `weights` turns
a model's tensors into bytes and back, `checkpoints` keeps the state of a run. There is no pickle anywhere.
"""

from likely.persistence.checkpoints import Checkpoints
from likely.persistence.directory import Loaded, add_extra, load, read_extra, save

__all__ = ["Checkpoints", "Loaded", "add_extra", "load", "read_extra", "save"]
