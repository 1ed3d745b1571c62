"""Opening files, and reading JSON, that nobody vouches for."""

import json
import math
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Any

from likely.errors import ModelFileError, quoted_path

MAX_JSON_DEPTH = 32
MAX_JSON_CONTAINERS = 400_000

MEND = "copy the model again from where it came, or fit it again"

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".bin")
"""Endings of files that run code when they are opened. They are told about, and never opened."""


class Directory:
    """An open directory. What is read through it lies in it, whatever becomes of its name meanwhile.

    Only plain files of their own are read: no links, hard links, pipes or devices, nothing above a size.

    Raises:
        ModelFileError: if it is not a directory, or is reached by a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise ModelFileError(_why_no_directory(path, error)) from error

    def __enter__(self) -> "Directory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def is_replaced(self, path: Path) -> bool:
        """Whether another directory, or none, stands at a path where this one stood."""
        try:
            found = os.stat(path, follow_symlinks=False)
        except OSError:
            return True
        return not os.path.samestat(found, os.fstat(self._descriptor))

    def check(self, name: str, max_bytes: int) -> None:
        """Looks at a file without opening it. Raises ModelFileError if it is missing, too large, or not plain."""
        try:
            self._check(name, os.stat(name, dir_fd=self._descriptor, follow_symlinks=False), max_bytes)
        except FileNotFoundError as error:
            raise ModelFileError(f"{self.path / name} is missing{self._pickles()}; {MEND}") from error
        except OSError as error:
            raise ModelFileError(f"{self.path / name} cannot be read: {error.strerror}") from error

    def read(self, name: str, max_bytes: int) -> bytes:
        """All of a file, checked as in `check` before and after it is opened."""
        self.check(name, max_bytes)
        # Neither flag matters for the file that was checked, both do if another has taken its place.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with open(os.open(name, flags, dir_fd=self._descriptor), "rb") as file:
                found = os.fstat(file.fileno())
                self._check(name, found, max_bytes)
                data = file.read(found.st_size + 1)
        except OSError as error:
            raise ModelFileError(f"{self.path / name} cannot be read: {error.strerror}") from error
        if len(data) != found.st_size:
            raise ModelFileError(f"{self.path / name} changed while it was read: try again")
        return data

    def _check(self, name: str, found: os.stat_result, max_bytes: int) -> None:
        wrong = _why_not_plain(found, max_bytes)
        if wrong:
            raise ModelFileError(f"{self.path / name} {wrong}")

    def _pickles(self) -> str:
        found = sorted(name for name in os.listdir(self._descriptor) if name.lower().endswith(PICKLES))
        return f"; {found[0]!r} is a pickle, which could run code and is never opened" if found else ""


def _why_not_plain(found: os.stat_result, max_bytes: int) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "is a link, and a fitted directory holds none: copy the file itself there"
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if found.st_nlink != 1:
        return "is a hard link, and a fitted directory holds none: copy the file itself there"
    if found.st_size > max_bytes:
        return f"has {found.st_size:,} bytes, and at most {max_bytes:,} make sense there"
    return ""


def _why_no_directory(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return f"{path} is a link: give the fitted directory itself, {str(path.resolve())!r}"
    if path.suffix.lower() in PICKLES and path.exists():
        return f"{path} is a pickle, which could run code and is never opened: give a fitted directory"
    if path.is_file():
        return f"{path} is a file and no fitted directory: give the directory first, which `likely fit` wrote"
    if path.exists():
        return f"{path} is no fitted directory: {error.strerror}"
    if path.with_name(f"{path.name}.partial").exists():
        return f"{path} is not finished: run the same `likely fit` with --resume"
    return f"{path} does not exist: `likely fit SOURCE --model NAME --out {quoted_path(str(path))}` makes it"


def parse_json(data: bytes, *, finite: bool = True, max_containers: int = MAX_JSON_CONTAINERS) -> Any:
    """What JSON says, if it says it in one way only.

    Args:
        data: JSON in UTF-8.
        finite: whether NaN and infinity are refused.
        max_containers: how many lists and objects there may be; they take 30 times the space of their two letters.

    Raises:
        ModelFileError: if it is not JSON in UTF-8, has too many lists and objects, repeats a key, holds a number
            that is not finite, or is nested deeper than 32.
    """
    if data[:1] == b"\x80" or data[:2] == b"PK":
        raise ModelFileError("it is a pickle, which could run code and is never opened")
    n_containers = data.count(b"[") + data.count(b"{")
    if n_containers > max_containers:
        raise ModelFileError(f"it has {n_containers:,} lists and objects, and at most {max_containers:,} make sense")
    try:
        number = _finite if finite else float
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_float=number, parse_constant=number)
        _check_depth(value, MAX_JSON_DEPTH)
    except RecursionError as error:
        raise ModelFileError(f"its JSON is nested deeper than {MAX_JSON_DEPTH}") from error
    except ValueError as error:
        raise ModelFileError(f"it is damaged: {error}") from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it has the same key twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it has a number that is not finite, {text[:20]}")
    return number


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, (dict, list)):
        return
    if not left:
        raise RecursionError
    for item in value.values() if isinstance(value, dict) else value:
        _check_depth(item, left - 1)
