"""`Spec`, a model's name with its arguments, and its JSON: the only configuration there is."""

import ast
import contextlib
import dataclasses
import json
import math
import numbers
import reprlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from likely.errors import UserError
from likely.registry.arguments import Argument, arguments_of, check_names, checked, construct
from likely.registry.names import PARTS, is_class, model_class, part_class
from likely.registry.presets import PRESETS

if TYPE_CHECKING:
    from likely.contract import Model, Shape

# A file's values beyond these are refused before anything is built from them.
MAX_DEPTH = 16
MAX_LENGTH = 100_000  # as many columns as a table may have
MAX_INT = 2**53
MAX_TEXT = 10_000


def _normal(value: Any) -> Any:
    """Lists as tuples, NumPy's numbers as Python's; anything else is the very same object, as `clone` wants it."""
    if isinstance(value, list):
        return tuple(map(_normal, value))
    if isinstance(value, numbers.Integral) and not isinstance(value, int):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, (int, float)):
        return float(value)
    return value


class Spec:
    """A model's (or preset's) name with its arguments: a model that waits for the shape of its data.

    It has the parameters that scikit-learn's `clone` and grid search look for: {"model__z_size": [2, 8]} works
    whether or not z_size was given.

    Example:
        >>> Spec("vae", z_size=16)
        Spec('vae', z_size=16)
        >>> Spec.parse("vae", {"z_size": "16"}) == Spec("vae", z_size=16)
        True
    """

    def __init__(self, name: str, **arguments: Any) -> None:
        self.name = name
        self._arguments = {key: _normal(value) for key, value in arguments.items()}

    @property
    def arguments(self) -> dict[str, Any]:
        """A copy of the arguments that were given."""
        return dict(self._arguments)

    def resolve(self) -> "Spec":
        """The model behind a preset, with the preset's arguments where one's own say nothing else."""
        preset = PRESETS.get(self.name)
        if preset is None:
            return self
        return Spec(preset.model, **Spec.parse(preset.model, preset.settings)._arguments | self._arguments)

    def check(self) -> None:
        """Raises UnknownName for a name or argument that nobody knows, UserError for a value of the wrong type."""
        self._check_names()
        spec = self.resolve()
        checked(model_class(spec.name), self.name, {"x_shape": (1,), **spec._arguments})

    def build(self, x_shape: "Shape", **extra: Any) -> "Model":
        """The model for rows of shape `x_shape`; `extra` goes over the Spec's own arguments."""
        spec = self.resolve()
        arguments = Spec(spec.name, x_shape=list(x_shape), **{**spec._arguments, **extra})._arguments
        model: Model = construct(model_class(spec.name), self.name, arguments)
        return model

    @classmethod
    def parse(cls, name: str, texts: Mapping[str, str]) -> "Spec":
        """A Spec from the texts of `--set key=value`, each read as its argument's type says."""
        spec = cls(name, **texts)
        spec._check_names()
        known = spec._known()
        return cls(name, **{key: _parsed(known[key], text, name) for key, text in texts.items()})

    def to_json(self) -> dict[str, Any]:
        """{"type": "Spec", "name": ..., "arguments": {...}}. Raises UserError naming an argument no file can hold."""
        arguments = {key: to_json(value, name=f"{self.name}: {key}") for key, value in self._arguments.items()}
        return {"type": "Spec", "name": self.name, "arguments": arguments}

    @classmethod
    def from_json(cls, data: Any) -> "Spec":
        """The inverse of `to_json`, checked. Raises what `from_json` and `check` raise."""
        spec = from_json(data)
        if not isinstance(spec, Spec):
            raise UserError(f"expected a Spec, found {reprlib.repr(data)}")
        spec.check()
        return spec

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Name and arguments: those that were given, and with `deep` every other with its default."""
        if not deep:
            return {"name": self.name, **self._arguments}
        defaults = {key: None if a.default is a.MISSING else a.default for key, a in self._known().items()}
        return {"name": self.name, **defaults, **self.resolve()._arguments}

    def set_params(self, **parameters: Any) -> "Spec":
        """Changes name and arguments in place; raises UnknownName, and changes nothing, if one is not known."""
        changed = Spec(**{**self.get_params(deep=False), **parameters})
        changed._check_names()
        self.name, self._arguments = changed.name, changed._arguments
        return self

    def _known(self) -> dict[str, Argument]:
        known = arguments_of(model_class(self.resolve().name))
        del known["x_shape"]  # the data's, never the caller's
        return known

    def _check_names(self) -> None:
        check_names(self.name, self._arguments, self._known())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and (self.name, self._arguments) == (other.name, other._arguments)

    def __repr__(self) -> str:
        return f"Spec({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in self._arguments.items())])})"


def to_json(value: Any, *, name: str = "value") -> Any:
    """None, bools, numbers, text, tuples, parts and Specs as JSON. `name` is told when something else is met."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name), name=f"{name}.{f.name}") for f in dataclasses.fields(value)}
        return {"type": _part_name(value, name), **fields}
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case tuple() | list():
            return [to_json(item, name=name) for item in value]
        case Spec():
            return value.to_json()
    raise UserError(
        f"{name} is of type {type(value).__name__}, which works in `train` but in no file: "
        "make it a frozen dataclass, and that known with likely.register"
    )


def _part_name(part: Any, name: str) -> str:
    for known, entry in PARTS.items():
        if is_class(entry, type(part)):
            return known
    raise UserError(f"{name} is of type {type(part).__name__}, which is not known: call likely.register on it first")


def from_json(data: Any, *, depth: int = MAX_DEPTH) -> Any:
    """The value that JSON stands for; lists become tuples, objects become parts and Specs.

    Raises:
        UnknownName: if a part, a field or an argument is not known here.
        UserError: if the data is too deep, too long, not finite, or of the wrong type.
    """
    if depth < 1:
        raise UserError(f"nested deeper than {MAX_DEPTH}")
    match data:
        case None | bool():
            return data
        case int() if abs(data) < MAX_INT:
            return data
        case float() if math.isfinite(data):
            return data
        case str() if len(data) < MAX_TEXT:
            return data
        case list() | tuple() if len(data) <= MAX_LENGTH:
            return tuple(from_json(item, depth=depth - 1) for item in data)
        case {"type": "Spec", "name": str(name), "arguments": dict(arguments), **rest} if not rest:
            return _spec_from_json(name, arguments, depth)
        case {"type": str(name), **fields} if name != "Spec":
            return construct(part_class(name), name, _from_fields(fields, depth))
    raise UserError(f"no value that a file may hold, or too large: {reprlib.repr(data)}")


def _spec_from_json(name: str, arguments: dict[str, Any], depth: int) -> Spec:
    if arguments.keys() & {"self", "name"}:  # no model has these, and Spec's own constructor does
        raise UserError(f"no arguments that a model can have: {reprlib.repr(arguments)}")
    return Spec(name, **_from_fields(arguments, depth))


def _from_fields(fields: dict[Any, Any], depth: int) -> dict[str, Any]:
    return {key: from_json(value, depth=depth - 1) for key, value in fields.items()}


def parse_part(text: str, kind: type, *, name: str) -> Any:
    """A part of some kind (an abstract class) as the command line writes it: `Erasing`, `Downsampling(factor=2)`, JSON.

    Raises:
        UserError: if it is none; `name` is who asked for it.
    """
    return _parsed(Argument("it", kind, Argument.MISSING), text, name)


def _parsed(argument: Argument, text: str, owner: str) -> Any:
    for value in _readings(text):
        with contextlib.suppress(UserError):
            return argument.validated(value, owner)
    return argument.validated(text, owner)


def _call(text: str) -> Any:
    """Python's way of writing, as JSON: literals, and parts such as MLP or MLP(hidden=(512, 256)), inside each other.

    Raises:
        ValueError, SyntaxError: if it is nothing of the kind.
    """
    return _written(ast.parse(text, mode="eval").body)


def _written(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id=name), args=[], keywords=given) if name in PARTS:
            return {"type": name, **{str(each.arg): _written(each.value) for each in given}}
        case ast.Name(id=name) if name in PARTS:
            return {"type": name}
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return [_written(item) for item in items]
    return ast.literal_eval(node)


def _readings(text: str) -> Iterator[Any]:
    """What a text of the command line may mean: a word, JSON, or Python's way of writing."""
    word = text.strip()
    if word.lower() in ("none", "true", "false"):
        yield {"none": None, "true": True, "false": False}[word.lower()]
    for read in (json.loads, _call):
        try:
            value = read(word)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        value = from_json(value)
        yield value
        yield (value,)  # hidden=512 for a tuple of one
