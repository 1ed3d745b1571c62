"""Making one's own models and parts known."""

import dataclasses
import re
from typing import TypeVar

from likely.errors import UserError
from likely.registry.names import MODELS, PARTS, is_class
from likely.registry.presets import PRESETS

Class = TypeVar("Class", bound=type)


def register(cls: Class, *, name: str | None = None) -> Class:
    """Makes one's own model or part known, so that it can be named, saved and loaded. Works as a decorator.

    Args:
        cls: a subclass of `Model`, or a frozen dataclass.
        name: what it is called; by default a model's class name in snake case, a part's class name as it is.

    Raises:
        UserError: if the name is taken by another class, or `cls` is neither.
    """
    from likely.contract import Model

    if issubclass(cls, Model):
        known, key = MODELS, name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
    elif dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        known, key = PARTS, name or cls.__name__
    else:
        raise UserError(f"register takes a model or a frozen dataclass, got {cls.__name__}")
    if key in PRESETS or key == "Spec" or (key in known and not is_class(known[key], cls)):
        raise UserError(f"the name {key!r} is taken: register {cls.__name__} with another, register(..., name=...)")
    known[key] = cls
    return cls
