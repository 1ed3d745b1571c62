"""Data: sources of raw rows, and the schema that says what they are and maps them to model tensors and back.

Importing it loads nothing heavy; each name below is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likely.data.column import Column
    from likely.data.description import ColumnSummary, Description, describe
    from likely.data.inference import infer_schema
    from likely.data.opening import open_source
    from likely.data.schema import Schema
    from likely.data.source import Rows, Source

_HOMES = {
    "Column": "likely.data.column",
    "ColumnSummary": "likely.data.description",
    "Description": "likely.data.description",
    "Rows": "likely.data.source",
    "Schema": "likely.data.schema",
    "Source": "likely.data.source",
    "describe": "likely.data.description",
    "infer_schema": "likely.data.inference",
    "open_source": "likely.data.opening",
}

__all__ = [
    "Column",
    "ColumnSummary",
    "Description",
    "Rows",
    "Schema",
    "Source",
    "describe",
    "infer_schema",
    "open_source",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'likely.data' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
