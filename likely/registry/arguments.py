"""Arguments of constructors, of models and of parts alike, checked against their annotations."""

import dataclasses
import functools
import inspect
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from likely.errors import UserError
from likely.registry.names import PARTS, part_class, unknown

MAX_COUNT = 128
COUNTS = {"layers": MAX_COUNT, "blocks": MAX_COUNT, "residual_blocks": MAX_COUNT, "n_orders": 4096}
"""Arguments that say how many parts are made, one by one, and the most that they may be: beyond, nobody waits."""

STACKS = ("hidden", "channels", "z_sizes")
"""Arguments that have an entry for each of the parts that are made; as many as `MAX_COUNT`."""

_SLOW = {"PixelRNN": 48}
"""Classes whose layers take long to make, and how many they may have."""

_STEPS_MADE = ("Glow", "InverseAutoregressive")
"""Parts whose steps are made; those of others are only gone."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a constructor: what it takes, and its default, `MISSING` where it must be given."""

    MISSING: ClassVar = inspect.Parameter.empty

    name: str
    annotation: Any
    default: Any

    @functools.cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        config = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
        return TypeAdapter(tuple[self.annotation], config=config)  # type: ignore[name-defined]

    def validated(self, value: Any, owner: str) -> Any:
        """The value, an int made a float where a float is wanted. Raises UserError if the type is wrong."""
        try:
            return self._adapter.validate_python((value,))[0]
        except ValidationError as error:
            got = reprlib.repr(value)
            raise UserError(f"{owner}: {self.name} takes {_in_words(self.annotation)}, got {got}") from error


def arguments_of(cls: type) -> dict[str, Argument]:
    """What a model's or a part's constructor takes, by name, in order."""
    return dict(_arguments_of(cls))


@functools.cache
def _arguments_of(cls: type) -> dict[str, Argument]:
    hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {p.name: Argument(p.name, hints.get(p.name, Any), p.default) for p in parameters}


def check_names(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises UnknownName, telling the nearest, if an argument that is given is not known."""
    for name in given:
        if name not in known:
            raise unknown(f"argument of {owner}:", name, known, f"it takes {', '.join(known) or 'none'}")


def checked(cls: type, owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the constructor of `cls` takes them. `owner` stands for it in messages.

    Raises:
        UnknownName: for an argument that it does not take.
        UserError: for a value of the wrong type, or an argument that is missing.
    """
    known = _arguments_of(cls)
    check_names(owner, given, known)
    for argument in known.values():
        if argument.default is Argument.MISSING and argument.name not in given:
            raise UserError(f"{owner}: {argument.name} must be given: {_in_words(argument.annotation)}")
    arguments = {name: known[name].validated(value, owner) for name, value in given.items()}
    for name, value in arguments.items():
        _check_count(cls, owner, name, value)
    return arguments


def _check_count(cls: type, owner: str, name: str, value: Any) -> None:
    """Refuses, before anything is built, more parts than anybody would wait for: a file may say a billion layers."""
    limit = MAX_COUNT if name == "steps" and cls.__name__ in _STEPS_MADE else COUNTS.get(name)
    limit = _SLOW.get(cls.__name__, limit) if name == "layers" else limit
    if limit is not None and isinstance(value, int) and value > limit:
        raise UserError(f"{owner}: {name} is {value:,}; expected at most {limit:,}")
    if name in STACKS and isinstance(value, tuple) and len(value) > MAX_COUNT:
        raise UserError(f"{owner}: {name} has {len(value):,} entries; expected at most {MAX_COUNT}")


def construct(cls: type, owner: str, given: Mapping[str, Any]) -> Any:
    """An instance of `cls`; what its constructor refuses (ValueError) becomes a UserError, as in `checked`."""
    arguments = checked(cls, owner, given)
    try:
        return cls(**arguments)
    except ValueError as error:
        raise UserError(f"{owner}: {error}") from error


def _in_words(annotation: Any) -> str:
    if annotation is type(None):
        return "None"
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(map(_in_words, typing.get_args(annotation)))
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(annotation)))
    if inspect.isabstract(annotation):
        return " or ".join(name for name in PARTS if issubclass(part_class(name), annotation))
    return inspect.formatannotation(annotation)
