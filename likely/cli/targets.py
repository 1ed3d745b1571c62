"""Where an answer goes: a name under which nothing is lost that was there."""

import contextlib
import os
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from likely.errors import UserError
from likely.files import new_directory, new_file


@dataclass(frozen=True)
class Target:
    """The file or folder that a verb writes.

    Attributes:
        typed: its name, as the user typed it.
        option: the option that names it.
        overwrite: whether a file that is there may be replaced.
        kept: paths of what the verb reads: never written to, nor into where they are folders.
        learned: the path of the file that the model learned from, or empty: never written to.
        instead: what to do in place of writing into a fitted directory, in words.
    """

    typed: str
    option: str = "-o"
    overwrite: bool = False
    kept: tuple[str, ...] = ()
    learned: str = ""
    instead: str = "choose a place outside of it"

    @property
    def suffix(self) -> str:
        """The ending of its name, in small letters."""
        return Path(self.typed).suffix.lower()

    def check(self, kinds: Sequence[str], *, folder: bool = False, beside: "Target | None" = None) -> None:
        """Refuses, before anything is computed, a place that nothing can be written to, or where something is lost.

        Args:
            kinds: the endings that there are.
            folder: whether a name without an ending is a folder to be made.
            beside: what else the verb writes.

        Raises:
            UserError: if it is such a place; says what mends it.
        """
        path = Path(self.typed)
        if not path.parent.is_dir():
            raise self._refused(f": there is no folder {path.parent}; mkdir -p {path.parent}")
        if not os.access(path.parent, os.W_OK):
            raise self._refused(f": nothing can be written to {path.parent}; choose another place")
        is_folder = folder and not path.suffix
        if not is_folder and self.suffix not in kinds:
            ways = [*([", ".join(kinds)] if kinds else []), *(["a folder of PNG files"] if folder else [])]
            raise self._refused(f": answers here are written as {', or '.join(ways)}; choose such a name")
        if beside is not None and _is_same_name(path, Path(beside.typed)):
            raise self._refused(f" and {beside.option} {beside.typed} are one file; give each a name of its own")
        self._check_nothing_is_lost()
        if is_folder and path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise self._refused(f" is there already; choose another name, or remove it first: rm -r {self.typed}")
        if not is_folder:
            self._check_free()

    @contextlib.contextmanager
    def file(self) -> Iterator[BinaryIO]:
        """A file to fill, which comes to its name when it is whole; what was there is looked at again then."""
        with new_file(self.typed, overwrite=self.overwrite, check=self._check_again) as file:
            yield file

    def write(self, data: bytes) -> None:
        """Writes the file."""
        with self.file() as file:
            file.write(data)

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder to fill, which comes to its name when it is whole."""
        with new_directory(self.typed) as directory:
            yield directory

    def _check_again(self) -> None:
        self._check_nothing_is_lost()
        self._check_free()

    def _check_free(self) -> None:
        path = Path(self.typed)
        if path.is_dir():
            raise self._refused(" is a folder; choose another name")
        if not os.path.lexists(path):
            return
        if not stat.S_ISREG(os.lstat(path).st_mode) and not path.is_symlink():
            raise self._refused(" is there already and no regular file; choose another name")
        if not self.overwrite:
            raise self._refused(" is there already; add --overwrite to replace it, or choose another name")

    def _check_nothing_is_lost(self) -> None:
        path = Path(self.typed)
        for kept in self.kept:
            source = Path(kept).expanduser()
            if _is_same_file(path, source):
                raise self._refused(f" is the source {kept} itself; choose another name")
            if source.is_dir() and _is_below(path, source):
                raise self._refused(f" lies inside the source {kept}; choose a place outside of it")
        if self.learned and os.path.isfile(self.learned) and _is_same_file(path, Path(self.learned)):
            raise self._refused(" is what the model learned from; choose another name")
        fitted = _fitted_around(path)
        if fitted is not None:
            raise self._refused(f" lies inside {fitted}, where nothing but the model belongs; {self.instead}")

    def _refused(self, why: str) -> UserError:
        return UserError(f"{self.option} {self.typed}{why}")


def learned_from(info: Mapping[str, Any]) -> str:
    """The path of the data that a model learned from, as its fit wrote it down; empty where there is none."""
    name = (info.get("data") or {}).get("name")
    return name if isinstance(name, str) else ""


def _is_same_file(a: Path, b: Path) -> bool:
    """Whether two paths lead to one file, by whatever names: relative, links, hard links, other case."""
    try:
        return a.samefile(b)
    except (OSError, ValueError):  # one of them is not there
        return False


def _is_same_name(a: Path, b: Path) -> bool:
    """Whether two files would be one, on a disk that tells cases apart or on one that does not."""
    one, other = (unicodedata.normalize("NFC", each.name).casefold() for each in (a, b))
    return _is_same_file(a, b) or (one == other and _is_same_file(a.parent, b.parent))


def _is_below(path: Path, folder: Path) -> bool:
    return any(_is_same_file(parent, folder) for parent in _parents(path))


def _parents(path: Path) -> list[Path]:
    """The folders that a file lies in, the nearest first, where links lead."""
    nearest = Path(os.path.realpath(path.parent))
    return [nearest, *nearest.parents]


def _fitted_around(path: Path) -> str | None:
    """The fitted directory, or the unfinished run of one, that a path lies in."""
    for parent in _parents(path):
        if (parent / "manifest.json").is_file() and (parent / "config.json").is_file():
            return f"the fitted directory {parent.name}"
        if parent.suffix == ".partial" and (
            (parent / "checkpoint.safetensors").exists() or (parent.with_suffix("") / "manifest.json").is_file()
        ):
            return f"the unfinished run {parent.name}"
    return None
