"""Arrays in .npy and .npz files that nobody vouches for: heads are checked before anything is allocated."""

import ast
import math
import os
import re
import stat
import zipfile
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from likely.data.unpacking import check_unpacked, decoding
from likely.errors import DataError

MAX_HEAD = 10_000
"""Bytes that the head of an array may have. One of numbers has 118, whatever its size."""
MAX_ARRAYS = 1_000
MAX_AXES = 32

_NPY, _ZIP = b"\x93NUMPY", b"PK"
_ENCRYPTED = 0x1


class _Damaged(ValueError):
    """What is wrong, in words."""


def read_arrays(path: Path, name: str, *, mapped: bool = False) -> np.ndarray | dict[str, np.ndarray]:
    """The array of an .npy file, or those of an .npz file by name; by what is in the file, not by its ending.

    Args:
        path: the file.
        name: what the user typed.
        mapped: whether a single array stays on the disk, read when it is looked at.

    Raises:
        DataError: if it is damaged, holds a pickle, or unpacks to more than `check_unpacked` allows.
    """
    with decoding(name, partial(_unreadable, name)), open(path, "rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _Damaged("it is no regular file")
        start = file.read(len(_NPY))
        file.seek(0)
        if start.startswith(_ZIP):
            return _members(file, name, n_bytes)
        return _mapped(path, file, n_bytes) if mapped else _array(file, n_bytes)


def _members(file: IO[bytes], name: str, n_bytes: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        members = [each for each in archive.infolist() if each.filename.endswith(".npy")]
        if len(members) > MAX_ARRAYS:
            raise _Damaged(f"it holds {len(members):,} arrays, expected at most {MAX_ARRAYS:,}")
        check_unpacked(name, n_bytes, sum(each.file_size for each in members))
        return {each.filename.removesuffix(".npy"): _member(archive, each) for each in members}


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.flag_bits & _ENCRYPTED:
        raise _Damaged(f"its array {member.filename} is encrypted")
    with archive.open(member) as file:
        return _array(file, member.file_size)


def _mapped(path: Path, file: IO[bytes], n_bytes: int) -> np.ndarray:
    shape, fortran, dtype = _described(file, n_bytes)
    order: Any = "F" if fortran else "C"
    return np.memmap(path, dtype, "r", file.tell(), shape, order)


def _array(file: IO[bytes], n_bytes: int) -> np.ndarray:
    """The array that begins here, in a file of so many bytes."""
    shape, fortran, dtype = _described(file, n_bytes)
    array = np.empty(math.prod(shape), dtype)
    into = array.view(np.uint8).data if array.nbytes else memoryview(bytearray())
    while into:
        n = file.readinto(into)  # type: ignore[attr-defined]
        if not n:
            raise _Damaged("it is damaged or cut short")
        into = into[n:]
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _described(file: IO[bytes], n_bytes: int) -> "tuple[tuple[int, ...], bool, np.dtype[Any]]":
    """What the head says, and the rest of the file can hold; what is read next is the first value."""
    if file.seekable() and file.read(1) == b"\x80":
        raise _Damaged("pickle")
    file.seek(0)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise _Damaged(f"it is of version {version[0]}.{version[1]} of the .npy format, expected 1.0 to 3.0")
    n_length = 2 if version == (1, 0) else 4
    n_head = int.from_bytes(file.read(n_length), "little")
    if n_head > MAX_HEAD:
        raise _Damaged(f"its head would have {n_head:,} bytes, expected at most {MAX_HEAD:,}")
    shape, fortran, dtype = _head(file.read(n_head))
    left = n_bytes - len(_NPY) - 2 - n_length - n_head
    if math.prod(shape) * dtype.itemsize > left:
        shown = " x ".join(map(str, shape))[:60]
        raise _Damaged(
            f"it is damaged or cut short: it says that it holds {shown} values of type {dtype}, and has {left:,} bytes"
        )
    return shape, fortran, dtype


def _head(text: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    words = re.sub(r"(?<=\d)L", "", text.decode("latin-1")).strip()  # Python 2 wrote 10L
    match ast.literal_eval(words):
        case {"descr": str(kind), "fortran_order": bool(fortran), "shape": tuple(shape), **rest} if (
            not rest and len(shape) <= MAX_AXES and all(type(size) is int and 0 <= size < 2**63 for size in shape)
        ):
            dtype = np.dtype(kind)
        case {"descr": list()}:
            raise _Damaged("found records of several fields, expected an array of plain numbers")
        case _:
            raise _Damaged("its head does not describe an array")
    if dtype.hasobject:
        raise _Damaged("pickle")
    if dtype.names or dtype.subdtype:
        raise _Damaged("found records of several fields, expected an array of plain numbers")
    if not dtype.itemsize:
        raise _Damaged(f"it holds values of type {dtype}, which take no space")
    return shape, fortran, dtype


def _unreadable(name: str, error: Exception) -> DataError:
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if "pickle" in text.lower():
        mend = "save plain numbers with numpy.save(path, array) or numpy.savez(path, X=array)"
        return DataError(f"{name} holds a pickle, which could run code when it is read, and is refused; {mend}")
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{name} cannot be read: {error.strerror}")
    if not isinstance(error, _Damaged):
        text = f"it is damaged or cut short ({text})"
    return DataError(f"{name}: {text}; save it again")
