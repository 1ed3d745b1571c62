"""Opening again the data that a fit learned, or other data in the same way, from what the fit wrote down."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from likely.data import Source, open_source
from likely.data.folders import is_image_name
from likely.data.split import Split
from likely.data.tables import TableSource
from likely.errors import DataError
from likely.fitted import Fitted
from likely.fitting import OPENING, choose_split

MAX_UNKNOWN_BYTES = 2**30
"""How large a file is read to look whether it is the one of the fit, where older models do not tell its size."""


def reopen(info: Mapping[str, Any]) -> tuple[Source, Split]:
    """The data of a fit and how it was split, from what the fit wrote down.

    Raises:
        DataError: if it was no file, is not where it was, or has changed.
    """
    match info:
        case {"data": {"name": str(name), "options": dict(options)}} if options.keys() <= OPENING.keys():
            _check_size(name, info["data"].get("bytes"))
            # Rows that are judged are never augmented, and a part of one's own need not be known here.
            source = open_source(name, **{**options, "augment": ()})
        case _:
            raise DataError("the model does not say how to open the data that it learned")
    split = split_again(info, source)
    if split is None:
        raise DataError(f"{name} has changed since the fit, so its test rows cannot be told")
    return source, split


def _check_size(name: str, n_bytes: Any) -> None:
    """Refuses a file that is not the one of the fit by its size alone: a model may name any file, however large."""
    path = Path(name).expanduser()
    found = path.stat().st_size if path.is_file() else None
    if found is not None and found != n_bytes and (n_bytes is not None or found > MAX_UNKNOWN_BYTES):
        raise DataError(f"{name} has changed since the fit: it has {found:,} bytes, so its test rows cannot be told")


def split_again(info: Mapping[str, Any], source: Source) -> Split | None:
    """How a fit split its data, given that data again; None if the source is other data."""
    match info:
        case {
            "data": {"digest": str(digest)},
            "train": {"seed": int(seed)},
            "calibration": "held-out" | "none" as calibrate,
            "test": float(test),
            "split": dict(sizes),
        } if 0 <= test < 1 and digest == source.digest():
            split = choose_split(source, seed, calibrate, test)[0]
            # Another version may have split the same rows otherwise.
            return split if split.sizes() == sizes else None
    return None


def open_like(
    fitted: Fitted,
    data: Any,
    *,
    label: str | None = None,
    drop: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    missing: Sequence[str] = (),
    whole: bool = False,
) -> Source:
    """Opens other data as that of the fit was opened, by those of its options that apply to it.

    A column that served as label or was left out at fit does so again where there is one, and need not be there, nor
    need each row have a label. Text is read as it was at fit: a column of text stays text, numbers are written with
    the same marks.

    Args:
        fitted: the model.
        data: as for `open_source`.
        label: the column that holds labels, where it is another than at fit.
        drop: further columns to leave out.
        size: to resize images to, where it is another than at fit.
        channels: to read images with, where they are others than at fit.
        missing: further words that mean missing.
        whole: opens images whole, even where the fit cut patches out of them.
    """
    options = OPENING | ((fitted.info.get("data") or {}).get("options") or {})
    known = label or options["label"]
    images: dict[str, Any] = {"size": size or options["size"], "channels": channels or options["channels"]}
    if isinstance(data, str | os.PathLike):
        if os.path.isdir(data) or is_image_name(os.fspath(data)):
            patch = None if whole else options["patch"]
            return open_source(data, label=label, drop=drop, missing=missing, patch=patch, **images)
        if os.fspath(data).endswith(".npz") and known:
            with contextlib.suppress(*(() if label else (DataError,))):
                return open_source(data, label=known)
    source = open_source(data, missing=missing, size=size, channels=channels, like=fitted.schema.later_reading)
    if not isinstance(source, TableSource):
        return source if not label and not drop else open_source(data, label=label, drop=drop)
    source.warn()
    there = source.table.column_names
    known = known if label or known in there else None
    drop = [*(name for name in options["drop"] if name in there), *drop]
    return source.setting_aside(known, drop, labels_may_lack=True)
