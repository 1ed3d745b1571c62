"""What a fitted directory tells of how it came about: read by reports and to find the data again, so checked."""

from collections.abc import Callable, Mapping
from typing import Any

from likely.errors import ModelFileError

MAX_LETTERS = 10_000
MAX_NOTES = 1_000

Check = Callable[[Any], bool]


def check_info(info: Mapping[str, Any]) -> None:
    """Raises ModelFileError, naming the field, for what is there and is not what `likely.fit` writes.

    Everything may be missing, and what is not known here may be anything: nobody reads it.
    """
    _check("info", info, _INFO)


def _check(name: str, found: Mapping[str, Any], checks: Mapping[str, "Check | Mapping[str, Any]"]) -> None:
    for field, check in checks.items():
        value = found.get(field)
        if value is None:
            continue
        if isinstance(check, Mapping):
            if not isinstance(value, dict):
                raise _wrong(f"{name}.{field}", value)
            _check(f"{name}.{field}", value, check)
        elif not check(value):
            raise _wrong(f"{name}.{field}", value)


def _wrong(name: str, value: Any) -> ModelFileError:
    shown = repr(value)
    return ModelFileError(f"{name} is {shown if len(shown) <= 60 else shown[:57] + '...'}, which no fit writes")


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_LETTERS


def _texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 100_000 and all(map(_text, value))


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**53


def _share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1


def _sides(value: Any) -> bool:
    return _count(value) or (isinstance(value, list) and len(value) == 2 and all(map(_count, value)))


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= 10 and all(map(_count, value.values()))


_OPTIONS: dict[str, Check] = {
    "label": _text,
    "drop": _texts,
    "missing": _texts,
    "size": lambda value: isinstance(value, list) and _sides(value),
    "channels": lambda value: type(value) is int and value in (1, 3),
    "patch": _sides,
    "augment": lambda value: isinstance(value, list) and len(value) <= MAX_NOTES,
}

_INFO: dict[str, Any] = {
    "created": _text,
    "data": {"name": _text, "rows": _count, "digest": _text, "bytes": _count, "options": _OPTIONS},
    "split": _counts,
    "calibration": _text,
    "test": _share,
    "train": {"seed": lambda value: type(value) is int and abs(value) < 2**63},
    "training": {
        "seconds": _number,
        "steps": _count,
        "best_step": _count,
        "batch_size": _count,
        "precision": _text,
        "device": _text,
        "stopped": _text,
        "torch": _text,
    },
    "chosen": lambda value: _texts(value) and len(value) <= MAX_NOTES,
    "false_alarm_rate": lambda value: _share(value) and value > 0,
}
