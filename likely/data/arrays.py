"""Rows in a numpy array: handed in, or read from .npy and .npz files, or scikit-learn's digits."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from likely.data import on_disk
from likely.data.numpy_files import read_arrays
from likely.data.on_disk import DiskRows
from likely.data.source import Source, as_slice
from likely.errors import DataError

_PART_NAMES = {
    "train": ("x_train",),
    "validation": ("x_valid", "x_val", "x_validation"),
    "test": ("x_test",),
}


class ArraySource(Source):
    """Rows of an array (n, ...), in memory or mapped."""

    kind: ClassVar[str] = "array"

    def __init__(
        self,
        array: np.ndarray,
        *,
        name: str = "array",
        labels: np.ndarray | None = None,
        parts: Mapping[str, np.ndarray] | None = None,
        sections: Mapping[str, int] | None = None,
    ) -> None:
        """Holds on to the array; nothing is copied unless its type has to change.

        Args:
            array: (n, ...) of at least two axes, numbers or bool.
            name: what the user typed.
            labels: (n,), numbers that are whole, or text.
            parts: ids of the official parts.
            sections: the name and length of each array that was stacked; serves `place`.

        Raises:
            DataError: if the array is not made of plain numbers or has too few axes, or labels do not match.
        """
        self.name, self._on_disk = name, DiskRows.of(array)
        self.mapped = self._on_disk is not None
        self.array = checked_array(array, name)
        self.labels = None if labels is None else checked_labels(labels, len(self.array), name)
        self.parts = dict(parts or {})
        self._sections = dict(sections or {})
        self.row_bytes = 8 * int(np.prod(self.array.shape[1:]))

    def __len__(self) -> int:
        return len(self.array)

    def read(self, ids: np.ndarray) -> np.ndarray:
        """As `Source.read`; consecutive ids give a view."""
        ids = np.asarray(ids)
        span = as_slice(ids)
        is_span = span is not None and span.stop <= len(self.array)
        if self._on_disk is not None and (is_span or 0 <= ids.min() <= ids.max() < len(self.array)):
            return _readable(self._on_disk.read(ids))
        return _readable(self.array[span] if is_span else self.array.take(ids, axis=0))

    def place(self, id: int) -> str:
        """As `Source.place`; in stacked arrays "row 12 of x_test"."""
        within = int(id)
        for section, n_rows in self._sections.items():
            if within < n_rows:
                return f"row {within} of {section}"
            within -= n_rows
        return f"row {id}"

    def digest(self) -> str:
        """As `Source.digest`: of every value."""
        dtype = _readable(self.array[:0]).dtype
        content = hashlib.blake2b(f"{self.array.shape} {dtype}".encode(), digest_size=16)
        for _, rows in self.blocks():
            content.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        return self._finish_digest(content)


def _readable(array: np.ndarray) -> np.ndarray:
    """In a type that everything here reads: native byte order, bool, integers, float32 or float64."""
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return np.asarray(array, dtype=array.dtype.newbyteorder("="))


def checked_array(array: np.ndarray, name: str) -> np.ndarray:
    """The array in a type that everything here reads, or as it is where it is mapped."""
    if isinstance(array, np.ma.MaskedArray):
        raise DataError(f"{name}: found a masked array; expected plain numbers: hand in array.filled(numpy.nan)")
    if array.dtype.kind == "c":
        raise DataError(f"{name}: found complex numbers, expected real ones; hand in .real, .imag or numpy.abs of it")
    if array.dtype.kind not in "biuf":
        mend = "turn it into numbers first, such as with array.astype(float)"
        raise DataError(f"{name}: found values of type {array.dtype}, expected numbers; {mend}")
    if array.ndim < 2:
        mend = "one feature is array.reshape(-1, 1), one row is array.reshape(1, -1)"
        raise DataError(
            f"{name}: found shape {array.shape}, expected (rows, features) or (rows, height, width); {mend}"
        )
    if 0 in array.shape[1:]:
        raise DataError(f"{name}: found shape {array.shape}: rows without a value; expected at least one per row")
    return np.asarray(array) if isinstance(array, np.memmap) else _readable(array)


def checked_labels(labels: np.ndarray, n_rows: int, name: str) -> np.ndarray:
    """Labels as (n,) int64 or str.

    Raises:
        DataError: if there is not one class per row.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (n_rows,):
        raise DataError(f"{name}: found labels of shape {labels.shape}, expected one per row: ({n_rows},)")
    if labels.dtype.kind in "biu":
        return labels.astype(np.int64)
    if labels.dtype.kind == "f":
        return _whole_labels(labels, name)
    if labels.dtype.kind in "UO":
        return labels.astype(np.str_)
    raise DataError(f"{name}: found labels of type {labels.dtype}, expected whole numbers or text")


def _whole_labels(labels: np.ndarray, name: str) -> np.ndarray:
    odd = np.flatnonzero(~np.isfinite(labels) | (labels != np.rint(labels)))
    if len(odd):
        found = f"{name}: found the label {labels[odd[0]]} in row {odd[0]}"
        raise DataError(f"{found}, expected whole numbers or text: a label names a class")
    return labels.astype(np.int64)


def digits() -> ArraySource:
    """scikit-learn's 1,797 handwritten digits: 8 x 8 uint8 images of 17 levels, 0 to 16, with labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return ArraySource(data.images.astype(np.uint8), name="digits", labels=data.target)


def read_npy(path: Path, name: str) -> ArraySource:
    """Rows of an .npy file."""
    array = read_arrays(path, name, mapped=path.stat().st_size > on_disk.LARGE_BYTES)
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name} holds several arrays; rename it to {path.stem}.npz")
    return ArraySource(array, name=name)


def read_npz(path: Path, name: str, label: str | None = None) -> ArraySource:
    """Rows of an .npz file: X with y as in ADBench, x_train, x_test and so on as in MNIST, or a single array.

    Args:
        path: the file.
        name: what the user typed.
        label: the array that holds the labels; y where None.
    """
    arrays = read_arrays(path, name)
    if isinstance(arrays, np.ndarray):
        raise DataError(f"{name} is a single array; rename it to {path.stem}.npy")
    if "format" in arrays and arrays.keys() & {"indptr", "row", "offsets"}:
        mend = "save it as numpy.savez(path, X=scipy.sparse.load_npz(path).toarray())"
        raise DataError(f"{name} holds a sparse matrix of scipy, expected plain numbers; {mend}")
    if label is not None and label not in arrays:
        raise DataError(f"{name} holds no array {label!r} for labels; it holds {', '.join(arrays)}")
    by_lower = {key.lower(): key for key in arrays}
    if "x_train" in by_lower:
        return _stacked(arrays, by_lower, name)
    key = by_lower.get("x") or _only_array(arrays, label, name)
    return ArraySource(arrays[key], name=name, labels=arrays.get(label or by_lower.get("y", "")))


def _only_array(arrays: dict[str, np.ndarray], label: str | None, name: str) -> str:
    rest = [key for key in arrays if key != label and key.lower() != "y"]
    if len(rest) == 1:
        return rest[0]
    held = ", ".join(f"{key} {array.shape}" for key, array in arrays.items()) or "no array"
    raise DataError(
        f"{name} holds {held}; expected X (and y), or x_train, x_test: save the rows under one of these names"
    )


def _stacked(arrays: dict[str, np.ndarray], by_lower: dict[str, str], name: str) -> ArraySource:
    keys = {
        part: by_lower[known] for part, options in _PART_NAMES.items() for known in options if known in by_lower
    }  # train first
    rows = {key: checked_array(arrays[key], f"{name}, array {key}") for key in keys.values()}
    train = rows[keys["train"]]
    for key, array in rows.items():
        if array.shape[1:] != train.shape[1:] or array.dtype != train.dtype:
            found = f"{name}: {key} has rows of shape {array.shape[1:]} and type {array.dtype}"
            raise DataError(f"{found}, expected {train.shape[1:]} and {train.dtype} as in {keys['train']}")
    sections = {key: len(array) for key, array in rows.items()}
    starts = np.cumsum([0, *sections.values()])
    ids = {
        part: np.arange(start, start + len(rows[key])) for (part, key), start in zip(keys.items(), starts, strict=False)
    }
    labels = _stacked_labels(arrays, by_lower, keys, sections, name)
    del ids["train"]
    return ArraySource(np.concatenate(list(rows.values())), name=name, labels=labels, parts=ids, sections=sections)


def _stacked_labels(
    arrays: dict[str, np.ndarray],
    by_lower: dict[str, str],
    keys: dict[str, str],
    sections: dict[str, int],
    name: str,
) -> np.ndarray | None:
    partners = [by_lower.get("y" + key.lower()[1:]) for key in keys.values()]
    found = [arrays[partner] for partner in partners if partner is not None]
    if len(found) < len(partners):
        return None
    pairs = zip(found, sections.values(), strict=True)
    return np.concatenate([checked_labels(labels, n_rows, name) for labels, n_rows in pairs])
