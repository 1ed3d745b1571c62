"""Data files made by somebody who means harm, or by a broken disk: refused in one line of ours, before they unpack."""

import io
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from likely.data import open_source, unpacking
from likely.errors import DataError

GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }"


def npy(head: str | bytes, body: bytes = b"\0" * 48, version: int = 1) -> bytes:
    data = head if isinstance(head, bytes) else head.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(data)) + data + body


def with_shape(shape: object) -> bytes:
    return npy(GOOD.replace("(3, 2)", str(shape)))


def of_type(descr: str, body: bytes = b"\0" * 480) -> bytes:
    return npy(GOOD.replace("'<f8'", descr), body)


def refused(path) -> str:
    with pytest.raises(DataError) as caught:
        open_source(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    assert path.name in message
    return message


ARRAYS = {
    "an open bracket": npy("[" * 100),
    "braces": npy("{" * 5_000),
    "minus signs": with_shape("(" + "-" * 5_000 + "1, 2)"),
    "a huge shape": with_shape((10**18, 2)),
    "a shape beyond integers": with_shape((10**22, 2)),
    "a negative shape": with_shape((-3, 2)),
    "a shape of truths": with_shape((True, 2)),
    "a shape of 300 axes": with_shape((1,) * 300),
    "a shape that is computed": with_shape("(10**9, 2)"),
    "no type": of_type("()"),
    "records": of_type("[('a', '<f8')]"),
    "records in a word": of_type("'i4,f8'"),
    "arrays in cells": of_type("'3f8'"),
    "objects": of_type("'|O'", b"\x80\x04."),
    "values of no size": of_type("'V0'"),
    "an unknown type": of_type("'q9'"),
    "more keys": npy(GOOD[:-2] + "'more': 1}"),
    "no keys": npy("{}"),
    "a head of 4 GB": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + GOOD.encode(),
    "a version to come": npy(GOOD, version=9),
    "half of it": npy(GOOD)[:-20],
    "a magic word": b"\x93NUMPY",
    "nothing": b"",
    "a zip without an end": b"PK\x03\x04" + b"x" * 50,
}


@pytest.mark.parametrize("name", ARRAYS)
def test_heads_of_arrays(name, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(ARRAYS[name])
    refused(path)


def test_arrays_in_every_order_are_read_as_numpy_reads_them(tmp_path):
    rows = np.arange(6.0).reshape(3, 2)
    for i, array in enumerate([rows, np.asfortranarray(rows), rows.astype(">f4"), rows[::-1], rows > 2]):
        np.save(tmp_path / f"{i}.npy", array)
        np.savez_compressed(tmp_path / f"{i}.npz", X=array)
        for kind in ("npy", "npz"):
            np.testing.assert_array_equal(open_source(tmp_path / f"{i}.{kind}").read(np.arange(3)), array)
    (tmp_path / "old.npy").write_bytes(npy(GOOD.replace("(3, 2)", "(3L, 2L)")))  # as Python 2 wrote it
    assert len(open_source(tmp_path / "old.npy")) == 3


def zipped(path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_archives(tmp_path):
    path = tmp_path / "x.npz"
    assert "damaged" in refused(zipped(path, {"X.npy": b"hello"}))
    assert "holds no array" in refused(zipped(path, {"readme.txt": b"hello"}))
    assert "1,001 arrays" in refused(zipped(path, {f"{i}.npy": b"" for i in range(1001)}))
    zipped(path, {"X.npy": npy(GOOD)}, zipfile.ZIP_LZMA)
    data = bytearray(path.read_bytes())
    data[55:75] = b"\xff" * 20
    path.write_bytes(data)
    assert "damaged" in refused(path)
    zipped(path, {"X.npy": npy(GOOD)})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in refused(path)
    source = open_source(zipped(path, {"../../X.npy": npy(GOOD), "readme.txt": b"hello"}))
    assert len(source) == 3
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["x.npz"]


@pytest.fixture
def little_room(monkeypatch):
    monkeypatch.setattr(unpacking, "MIN_BYTES", 10_000)


def test_bombs_are_refused_before_they_go_off(tmp_path, little_room):
    zeros = np.zeros((100_000, 8))
    np.savez_compressed(tmp_path / "x.npz", X=zeros)
    assert "would unpack to 6,400,1" in refused(tmp_path / "x.npz")
    for name, column in {
        "numbers": pa.array(np.zeros(200_000)),
        "texts": pa.array(["x" * 1_000] * 2_000),
        "categories": pa.DictionaryArray.from_arrays(pa.array(np.zeros(2_000, np.int32)), pa.array(["x" * 1_000])),
        "bytes": pa.array([b"x" * 1_000] * 2_000, pa.binary(1_000)),
    }.items():
        path = tmp_path / f"{name}.parquet"
        pa.parquet.write_table(pa.table({"a": column}), path)
        assert "decompression bomb" in refused(path)
    path = tmp_path / "x.feather"
    pa.feather.write_feather(pa.table({"a": np.zeros(200_000)}), path, compression="zstd")
    assert "decompression bomb" in refused(path)


def test_what_is_repeated_within_measure_is_read(tmp_path, little_room):
    pa.parquet.write_table(pa.table({"a": ["x", "y"] * 100, "b": np.arange(200.0)}), tmp_path / "x.parquet")
    assert len(open_source(tmp_path / "x.parquet")) == 200


def test_columns_that_do_not_fit_their_buffers(tmp_path):
    """Arrow hands them out as they are, and a look at them ends the process."""
    table = pa.table({"a": ["one", "two", "three"], "b": [1.0, 2.0, 3.0]})
    path = tmp_path / "x.feather"
    out = io.BytesIO()
    pyarrow.feather.write_feather(table, out, compression="uncompressed")
    whole = out.getvalue()
    ends = struct.pack("<4i", 0, 3, 6, 11)
    assert ends in whole
    path.write_bytes(whole.replace(ends, struct.pack("<4i", 0, 3, 6, 2**20)))
    assert "cannot be read as an Arrow or Feather file" in refused(path)


def test_names_that_are_no_text(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"a\xff": 1}\n{"a\xff": 2}\n')
    assert "line 1: found bytes that are no UTF-8" in refused(tmp_path / "x.jsonl")
