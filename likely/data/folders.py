"""What is in a folder of images: names, labels by sub-folder, official parts. Nothing is decoded here."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likely.errors import DataError, printable

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_SHOWN = 5
_PARTS = {"train": "train", "test": "test", "val": "validation", "valid": "validation", "validation": "validation"}


class Skipped(UserWarning):
    """Files that lie among images and are none."""


def skipped_told(skipped: Sequence[str]) -> str:
    """Such as "2 files skipped, which are hidden or no images: .DS_Store, notes.txt"."""
    shown = ", ".join(skipped[:_SHOWN]) + (", ..." if len(skipped) > _SHOWN else "")
    files = "1 file" if len(skipped) == 1 else f"{len(skipped):,} files"
    return f"{files} skipped, {'which is' if len(skipped) == 1 else 'which are'} hidden or no images: {shown}"


@dataclass(frozen=True)
class Listing:
    """The images of a folder in the order of their names, and what else was there."""

    names: tuple[str, ...]
    """Paths below the folder, with / between their parts."""
    stamps: tuple[tuple[int, int], ...]
    """Size in bytes and time of the last change in ns of each."""
    skipped: tuple[str, ...]


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def list_images(root: Path, name: str) -> Listing:
    """Every image below a folder. Hidden files are skipped; links are followed, each folder is entered once.

    Raises:
        DataError: if there is none, or a folder, a broken link or a pipe bears an image's name.
    """
    found: dict[str, tuple[int, int]] = {}
    skipped: list[str] = []
    seen: set[tuple[int, int]] = set()
    pending = [""]
    while pending:
        folder = pending.pop()
        status = os.stat(root / folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        pending.extend(reversed(_list_folder(root, folder, found, skipped)))
    if not found:
        others = f" among {len(skipped)} other files" if skipped else ""
        raise DataError(f"{name}: found no image{others}; expected files named {' '.join(IMAGE_SUFFIXES)}")
    names = sorted(found, key=lambda each: (unicodedata.normalize("NFC", each), each))
    return Listing(tuple(names), tuple(found[each] for each in names), tuple(sorted(skipped)))


def _list_folder(root: Path, folder: str, found: dict[str, tuple[int, int]], skipped: list[str]) -> list[str]:
    """Sorts the entries of one folder into images and skipped files; returns its sub-folders."""
    folders: list[str] = []
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{printable(folder) or root}: the folder cannot be read: {error.strerror}") from None
    for entry in entries:
        name = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith("."):
            skipped.append(printable(name))
        elif is_image_name(entry.name):
            found[name] = _stamp(entry, name)
        elif os.path.isdir(entry):  # entry.is_dir() raises on a link to itself
            folders.append(name)
        else:
            skipped.append(printable(name))
    return folders


def _stamp(entry: os.DirEntry[str], name: str) -> tuple[int, int]:
    if os.path.isdir(entry):
        raise DataError(f"{printable(name)} is a folder with an image's name; rename or remove it")
    if not os.path.isfile(entry):
        raise DataError(f"{printable(name)} is a broken link or no regular file; replace or remove it")
    status = entry.stat()
    return status.st_size, status.st_mtime_ns


def labels_and_parts(names: Sequence[str]) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    """Labels by the first sub-folder, and parts where the folders at the top are train/ with test/ or validation/.

    Returns:
        labels (n,) of str, None where there are no sub-folders; a file outside of them is labelled "."; and
        ids by part, without "train".
    """
    paths = [name.split("/") for name in names]
    top = {path[0] for path in paths if len(path) > 1}
    if not all(len(path) > 1 for path in paths) or "train" not in top or len(top) < 2 or not top <= _PARTS.keys():
        return _labels([path[:-1] for path in paths]), {}
    of_row = np.array([_PARTS[path[0]] for path in paths])
    parts = {part: np.flatnonzero(of_row == part) for part in ("validation", "test") if (of_row == part).any()}
    return _labels([path[1:-1] for path in paths]), parts


def _labels(folders: Sequence[Sequence[str]]) -> np.ndarray | None:
    if not any(folders):
        return None
    return np.array([unicodedata.normalize("NFC", printable(path[0])) if path else "." for path in folders])
