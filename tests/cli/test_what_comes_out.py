"""What goes in comes out, from the command line: every cell that is there, in its own text, and the file's own kind."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from tests.cli.conftest import Likely

N = 200
HEADER = ["번호", "국가", "수", " 값 ", "메모", "원", "병"]
SEEN = (1, 2, 3)
NOTES = ("=1+1", 'a;b "c"', "two\nlines", "NA", "")


def cells() -> list[list[str]]:
    """Rows with gaps in the columns that the model sees, each at rows of its own."""
    generator = np.random.default_rng(0)
    a = generator.normal(10, 3, N)
    lines = []
    for i in range(N):
        values = [["NA", "ZA", "KR"][i % 3], str(int(abs(a[i]))), f"{2 * a[i]:.2f}".replace(".", ",")]
        values = ["" if i % 10 == column else value for column, value in enumerate(values)]
        site = "7" if i == 17 else "1"
        lines.append([str(2**53 + 1 + 2 * i), *values, NOTES[i % 5], site, "예" if i % 2 else "아니오"])
    return lines


def write(path: Path, lines: list[list[str]], encoding: str = "utf-8") -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=";").writerows([HEADER, *lines])
    path.write_bytes(out.getvalue().encode(encoding))


def read(path: Path, encoding: str = "utf-8-sig", delimiter: str = ";") -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode(encoding), newline=""), delimiter=delimiter))


@pytest.fixture(scope="session")
def _fitted_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from likely.cli import run

    folder = tmp_path_factory.mktemp("cells")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lines = cells()
        lines[17][5] = "1"
        write(folder / "fit.csv", lines)
        options = ["--label", "병", "--drop", "번호", "--drop", "메모", "--epochs", "1", "--out", "m"]
        assert run(["fit", "fit.csv", "--model", "vae", *options]) == 0
    return folder


@pytest.fixture
def mine(_fitted_cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with new.csv and the model m."""
    shutil.copytree(_fitted_cells / "m", tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "new.csv", cells())
    return tmp_path


def check_filled(found: list[list[str]]) -> None:
    for line, given in zip(found, cells(), strict=True):
        for column, (now, was) in enumerate(zip(line, given, strict=True)):
            if was or column not in SEEN:
                assert now == was
            else:
                assert now != ""
    assert {line[1] for line in found} == {"NA", "ZA", "KR"}
    assert all(line[2].isdigit() for line in found)
    assert all(len(line[3].partition(",")[2]) == 2 for line in found)


def test_restored_text_is_the_same_text(mine, likely: Likely):
    assert likely("restore", "m", "new.csv", "-o", "out.csv").code == 0
    found = read(mine / "out.csv")
    assert found[0] == HEADER
    check_filled(found[1:])
    assert likely("restore", "m", "new.csv", "-o", "draws.csv", "--draws", 2).code == 0
    found = read(mine / "draws.csv")
    assert found[0] == ["draw", "row", *HEADER]
    check_filled([line[2:] for line in found[1 : N + 1]])
    check_filled([line[2:] for line in found[N + 1 :]])


def test_a_file_keeps_its_encoding(mine, likely: Likely):
    write(mine / "korean.csv", cells(), "cp949")
    assert likely("restore", "m", "korean.csv", "-o", "out.csv").code == 0
    found = read(mine / "out.csv", "cp949")
    assert found[0] == HEADER
    check_filled(found[1:])


def test_parquet_keeps_its_types_and_its_index(mine, likely: Likely):
    given = pd.read_csv("new.csv", sep=";", decimal=",", keep_default_na=False, na_values={" 값 ": "", "수": ""})
    given = given.rename(columns=str.strip).astype({"수": "Int64"}).set_index("번호")
    given["국가"] = given["국가"].replace("", None)
    given.to_parquet("new.parquet")
    assert likely("restore", "m", "new.parquet", "-o", "out.parquet").code == 0
    before, after = (pyarrow.parquet.read_schema(name) for name in ("new.parquet", "out.parquet"))
    assert after.equals(before, check_metadata=False)
    found = pd.read_parquet("out.parquet")
    assert found.index.equals(given.index)
    assert not found[["국가", "수", "값"]].isna().any(axis=None)
    for name in given:
        there = given[name].notna()
        pd.testing.assert_series_equal(found.loc[there, name], given.loc[there, name])


def test_reconstructions_stand_beside_what_the_model_does_not_see(mine, likely: Likely):
    assert likely("reconstruct", "m", "new.csv", "-o", "out.csv").code == 0
    found = read(mine / "out.csv")
    assert found[0] == HEADER
    for line, given in zip(found[1:], cells(), strict=True):
        assert [line[i] for i in (0, 4, 5, 6)] == [given[i] for i in (0, 4, 5, 6)]


def test_labels_of_arrays_come_back(here, likely: Likely):
    rows = np.random.default_rng(0).normal(size=(100, 3))
    rows[3, 1] = np.nan
    np.savez("a.npz", X=rows, y=np.arange(100) % 3)
    assert likely("fit", "a.npz", "--model", "vae", "--epochs", 0.2, "--out", "m").code == 0
    assert likely("restore", "m", "a.npz", "-o", "b.npz").code == 0
    found = np.load("b.npz")
    np.testing.assert_array_equal(found["y"], np.arange(100) % 3)
    np.testing.assert_array_equal(np.delete(found["X"], 10), np.delete(rows, 10))
