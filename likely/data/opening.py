"""One door for every kind of data: whatever the caller has becomes a source."""

import copy
import difflib
import inspect
import os
import stat
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from likely.data.arrays import ArraySource, digits, read_npy, read_npz
from likely.data.endings import INSTEAD, is_table
from likely.data.folders import is_image_name
from likely.data.source import Source
from likely.data.tensors import tensor_to_array
from likely.errors import DataError, printable

if TYPE_CHECKING:
    from likely.data.augmentation import Augmentation
    from likely.data.reading import Reading

BUILT_IN: dict[str, Callable[[], Source]] = {"digits": digits}
"""Data that needs no file, by name."""

MAX_PIXELS = 100_000_000
"""An image of more pixels than this is taken for a decompression bomb."""

FILE_KINDS = (
    ".npy, .npz, .csv, .tsv, .txt (also .gz), .jsonl, .xlsx, .parquet, .feather, "
    "an image (.png .jpg .webp .bmp .gif .tif), or a folder of images"
)
_OF_TABLES = ("label", "drop", "missing")
_PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".ckpt"}


def open_source(
    data: Any,
    *,
    label: str | None = None,
    drop: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    missing: Sequence[str] = (),
    patch: int | tuple[int, int] | None = None,
    augment: "str | Augmentation | Sequence[str | Augmentation]" = (),
    max_pixels: int = MAX_PIXELS,
    like: "Reading | None" = None,
) -> Source:
    """Opens data of any kind as a source of rows.

    Args:
        data: a Source (returned as it is), a numpy array, a torch tensor, a DataFrame (pandas, polars, or any
            other that narwhals knows), a pyarrow.Table, or a str or Path: the built-in "digits", an .npy, .npz,
            table (.csv, .tsv, .txt, the same with .gz, .jsonl, .xlsx, .parquet, .feather), an image, or a folder of
            images. Sub-folders of a folder are labels; train/
            and test/ at its top are official parts, with labels below them.
        label: the column of a table, or the array of an .npz file, that holds labels: it is no part of the rows.
        drop: columns of a table to leave out.
        size: (height, width) to resize images to, with antialiasing.
        channels: 1 to read images as gray, 3 to read them as RGB.
        missing: words, or numbers as they are written, that mean missing in a table: NA, n/a, -999. Else only what is
            empty is missing.
        patch: the side, or (height, width), of patches that are cut from images of any size and are the rows, each
            half over the next (`likely.data.patches.PatchSource`).
        augment: what happens to images while a model trains on them, in this order: parts such as
            `likely.data.augmentation.Affine`, or names: affine, elastic, warp (both), shift, flips, quarter-turns.
        max_pixels: images with more pixels are refused.
        like: how a text file is to be read, of a `Schema` (`later_reading`); as its own cells tell where None.

    Returns:
        The source.

    Raises:
        DataError: if the data cannot be read, or an option does not apply to it.
        UserError: if an augmentation is not known.

    Example:
        >>> source = open_source("digits")
        >>> len(source), source.read(np.array([0])).shape
        (1797, (1, 8, 8))
    """
    options = {"label": label, "drop": tuple(drop), "size": size, "channels": channels, "patch": patch}
    options |= {"missing": tuple(missing)}
    options = {name: value for name, value in options.items() if value not in (None, ())}
    source = _opened(data, options, max_pixels, like)
    return source if augment == () else _augmenting(source, augment)


def _augmenting(source: Source, augment: Any) -> Source:
    """The source with augmentations; the caller's own is left as it is."""
    from likely.data.augmentation import as_augmentations  # it loads torch

    source = copy.copy(source)
    source.augmentation = as_augmentations(augment)
    return source


def _opened(data: Any, options: dict[str, Any], max_pixels: int, like: "Reading | None") -> Source:
    if isinstance(data, Source):
        return _with(lambda: data, "an open source", options)
    if isinstance(data, np.ndarray):
        return _with(lambda: ArraySource(data), "an array", options)
    if isinstance(data, str | os.PathLike):
        return _open_path(os.fspath(data), options, max_pixels, like)
    # Only where torch is loaded already can the caller have a tensor.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.Tensor):
        return _with(lambda: ArraySource(tensor_to_array(data), name="tensor"), "a tensor", options)
    return _open_frame(data, options, like)


def _open_frame(data: Any, options: dict[str, Any], like: "Reading | None") -> Source:
    from likely.data.tables import frame_source

    return _with(lambda **given: frame_source(data, **given, like=like), "a table", options, *_OF_TABLES)


def _with(build: Callable[..., Source], what: str, options: dict[str, Any], *known: str) -> Source:
    for name in options:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes no such option"
            raise DataError(f"the option {name} does not apply to {what}; {takes}: leave {name} out")
    return build(**options)


def _open_path(text: str, options: dict[str, Any], max_pixels: int, like: "Reading | None") -> Source:
    if text in BUILT_IN:
        if os.path.exists(text):
            there = f"{text} is the built-in data of that name"
            warnings.warn(f"{there}; what lies here under it is ./{text}", UserWarning, stacklevel=4)
        return _with(BUILT_IN[text], f"the built-in {text}", options)
    if not text:
        raise DataError(f"found an empty path; expected {FILE_KINDS}")
    path = Path(text).expanduser()
    mode = _mode(path, text)
    if stat.S_ISDIR(mode):
        return _open_images(path, text, options, max_pixels)
    if not stat.S_ISREG(mode):
        raise DataError(f"{text} is no regular file; expected {FILE_KINDS}")
    return _open_file(path, text, options, max_pixels, like)


def _mode(path: Path, text: str) -> int:
    shown = printable(text if len(text) < 200 else text[:197] + "...")
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"there is no file or folder {shown}{_nearest(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{shown} cannot be read: {reason}; check the path") from None


def _open_file(path: Path, text: str, options: dict[str, Any], max_pixels: int, like: "Reading | None") -> Source:
    match path.suffix.lower():
        case ".npy":
            return _with(lambda: read_npy(path, text), "an .npy file", options)
        case ".npz":
            return _with(lambda **given: read_npz(path, text, **given), "an .npz file", options, "label")
        case _ if is_table(path.name):
            from likely.data.tables import file_source

            return _with(lambda **given: file_source(path, text, **given, like=like), "a table", options, *_OF_TABLES)
        case suffix if suffix in _PICKLES:
            mend = "save its arrays with numpy.savez(path, X=array)"
            raise DataError(f"{text} is a pickle by its name, which could run code when it is read; {mend}")
        case _ if is_image_name(path.name):
            return _open_images(path, text, options, max_pixels)
    instead = f"; {INSTEAD[path.suffix.lower()]}" if path.suffix.lower() in INSTEAD else ""
    raise DataError(f"{text} is of no kind that can be read{instead}; expected {FILE_KINDS}")


def _open_images(path: Path, text: str, options: dict[str, Any], max_pixels: int) -> Source:
    from likely.data.images import ImageSource
    from likely.data.patches import PatchSource, checked_patch

    def build(patch: Any = None, **given: Any) -> Source:
        if patch is not None:
            patch = checked_patch(patch)
        images = ImageSource(path, name=text, max_pixels=max_pixels, **given)
        return images if patch is None else PatchSource(images, patch)

    return _with(build, "images", options, "size", "channels", "patch")


def _nearest(path: Path) -> str:
    try:
        there = sorted(entry.name for entry in os.scandir(path.parent))
    except OSError:
        return f": there is no folder {path.parent}"
    near = difflib.get_close_matches(path.name, [*there, *BUILT_IN], n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f"; built in: {', '.join(BUILT_IN)}"


OPTIONS = tuple(inspect.signature(open_source).parameters)[1:-1]
"""The names of the options of `open_source`."""
