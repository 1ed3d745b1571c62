"""Data too large to hold: read from the disk it is what it is in memory, and little of it is in memory at any time."""

import errno
import resource
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import likely
from likely.data import disk_table, infer_schema, on_disk, open_source
from likely.data.disk_table import DiskTable
from likely.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def large(monkeypatch):
    """Opens a path as if it were too large to hold, in pieces of a few rows."""

    def opened(path, **options):
        with monkeypatch.context() as now:
            now.setattr(on_disk, "LARGE_BYTES", 0)
            now.setattr(disk_table, "ROWS_AT_ONCE", 50)
            source = open_source(str(path), **options)
        assert source.mapped
        return source

    return opened


def mixed(n: int = 330) -> pa.Table:
    draw = np.random.default_rng(0)
    return pa.table(
        {
            "x": draw.normal(size=n).round(4),
            "count": draw.integers(0, 9, n),
            "city": pa.array(np.array(["Bonn", "Kiel", "NA"])[draw.integers(0, 3, n)]),
            "gaps": pa.array(draw.normal(size=n), mask=draw.random(n) < 0.1),
            "flag": draw.random(n) < 0.5,
        }
    )


IDS = [np.arange(330), np.arange(40, 130), np.array([7, 3, 3, 329, 0, 51]), np.random.default_rng(1).permutation(330)]


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_the_same_from_the_disk(tmp_path, large, dtype, order):
    array = np.asarray(np.random.default_rng(0).normal(40, 9, size=(330, 5)).astype(dtype), order=order)
    np.save(tmp_path / "x.npy", array)
    here, there = open_source(str(tmp_path / "x.npy")), large(tmp_path / "x.npy")
    assert there.digest() == here.digest()
    for ids in IDS:
        np.testing.assert_array_equal(there.read(ids), here.read(ids))
        assert there.read(ids).dtype == here.read(ids).dtype
    for one, other in zip(infer_schema(there).columns, infer_schema(here).columns, strict=True):
        np.testing.assert_allclose([one.location, one.scale], [other.location, other.scale])  # sums in another order
        assert (one.low, one.high, one.dtype) == (other.low, other.high, other.dtype)


def written(table: pa.Table, path) -> None:
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        text = table.column("city").dictionary_encode()  # a dictionary of its own in each group of rows
        pq.write_table(table.set_column(2, "city", text), path, row_group_size=100)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_is_the_same_from_the_disk(tmp_path, large, name):
    written(mixed(), tmp_path / name)
    here, there = open_source(str(tmp_path / name), label="flag"), large(tmp_path / name, label="flag")
    assert len(there) == len(here) == 330
    np.testing.assert_array_equal(there.labels, here.labels)
    as_text = here.table.schema.set(2, pa.field("city", pa.string()))
    for ids in IDS:
        assert there.read(ids).equals(here.read(ids).cast(as_text))
        assert there.column("x", ids).equals(here.read(ids).column("x"))
    assert infer_schema(there) == infer_schema(here)
    assert there.original.slice(100, 30).column("x").equals(here.original.slice(100, 30).column("x"))
    assert there.digest() == large(tmp_path / name, label="flag").digest()
    other = mixed().set_column(0, "x", pa.array(np.zeros(330)))
    written(other, tmp_path / f"other-{name}")
    assert there.digest() != large(tmp_path / f"other-{name}", label="flag").digest()


def test_a_column_whose_later_rows_are_of_another_kind_is_of_the_kind_that_holds_all(tmp_path, large):
    numbers = [*map(str, range(200)), *["0.5"] * 30]
    words = [*map(str, range(100, 300)), *["Ulm", "Kiel"] * 15]
    path = tmp_path / "t.csv"
    path.write_text("n,w\n" + "".join(f"{n},{w}\n" for n, w in zip(numbers, words, strict=True)))
    here, there = open_source(str(path)), large(path)
    assert [field.type for field in there.table.schema] == [pa.float64(), pa.string()]
    assert there.read(np.arange(230)).equals(here.read(np.arange(230)))


@pytest.mark.parametrize(("model", "name"), [("pca", "t.npy"), ("vae", "t.npy"), ("vae", "t.csv")])
def test_a_fit_ends_as_it_does_in_memory(tmp_path, large, model, name):
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, np.random.default_rng(0).normal(size=(330, 4)).astype(np.float32))
    else:
        pa.csv.write_csv(mixed(), path)
    brief = likely.TrainConfig(epochs=0.1, batch_size=32, device="cpu")
    here, there = (likely.fit(model, source, train=brief) for source in (open_source(str(path)), large(path)))
    assert there.schema == here.schema
    for one, other in zip(here.model.state_dict().values(), there.model.state_dict().values(), strict=True):
        assert bool((one == other).all())
    np.testing.assert_array_equal(there.score(large(path)).surprise, here.score(str(path)).surprise)


PEAK = """
import re, sys, warnings
import likely
warnings.simplefilter("ignore")
fitted = likely.fit("pca", sys.argv[1], z_size=2)
fitted.encode(sys.argv[1])
print(re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted otherwise elsewhere")
def test_what_is_in_memory_does_not_grow_with_the_file(tmp_path):
    """Both files are larger than what is held in memory, and one of them is four times as large as the other."""
    block, peaks = np.random.default_rng(0).normal(size=(1000, 250)).astype(np.float32), []
    for n_blocks in (40, 160):
        path = tmp_path / f"{n_blocks}.npy"
        array = np.lib.format.open_memmap(path, "w+", np.float32, (1000 * n_blocks, 250))
        for i in range(n_blocks):
            array[1000 * i : 1000 * (i + 1)] = block
        array.flush()
        ran = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, check=True)
        peaks.append(1024 * int(ran.stdout))
    print(peaks)
    assert peaks[1] - peaks[0] < (120 * block.nbytes) / 3


def test_a_disk_without_space_is_named_with_what_mends_it(tmp_path, monkeypatch):
    def full(*args, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(on_disk.tempfile, "TemporaryFile", full)
    with pytest.raises(UserError, match=r"cannot be kept in .*No space left.*TMPDIR"):
        DiskTable.of([mixed()], mixed().schema)


def test_a_disk_that_fills_up_is_named_too(monkeypatch):
    """A limit on the size of files stands for it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
        with pytest.raises(UserError, match="TMPDIR"):
            DiskTable.of([mixed()], mixed().schema)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
