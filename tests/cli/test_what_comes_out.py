"""What goes in comes out, from the command line: every cell that is there, in its own text, and the file's own kind."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet
import pytest

from likely.cli.csv_files import BLOCK_ROWS, Dialect, write_csv
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
        values[1] = " 9" if i == 23 else values[1]  # a number that is written otherwise than numbers are
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
    assert all(line[2].strip().isdigit() for line in found)
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


@pytest.mark.parametrize("verb", ["score", "encode"])
def test_columns_stand_before_the_answers(verb, mine, likely: Likely):
    assert likely(verb, "m", "new.csv", "-o", "plain.csv").code == 0
    plain = read(mine / "plain.csv", delimiter=",")
    answer = likely(verb, "m", "new.csv", "-o", "ids.csv", "--id", "번호", "--id", "병")
    assert answer.code == 0, answer.err
    found = read(mine / "ids.csv", delimiter=",")
    assert found[0] == ["번호", "병", *plain[0]]
    assert [line[:2] for line in found[1:]] == [[line[0], line[6]] for line in cells()]
    assert [line[2:] for line in found] == plain
    assert likely(verb, "m", "new.csv", "-o", "all.csv", "--keep", "--id", "수").code == 0
    found = read(mine / "all.csv", delimiter=",")
    assert found[0] == ["수", "번호", "국가", "값", "메모", "원", "병", *plain[0]]
    for line, given in zip(found[1:], cells(), strict=True):
        assert line[:4] == [given[2], given[0], given[1], given[3]]
        assert line[4] == (f"'{given[4]}" if given[4].startswith("=") else given[4])  # a spreadsheet would run it
    for kind in ("parquet", "npz"):
        assert likely(verb, "m", "new.csv", "-o", f"ids.{kind}", "--id", "번호").code == 0
    numbers = [int(line[0]) for line in cells()]
    assert pyarrow.parquet.read_table("ids.parquet").column(0).to_pylist() in (numbers, [str(each) for each in numbers])
    assert np.load("ids.npz")["번호"].astype(np.int64).tolist() == numbers


def test_reconstructions_stand_beside_the_cells_themselves(mine, likely: Likely):
    answer = likely("reconstruct", "m", "new.csv", "-o", "out.csv", "--keep")
    assert answer.code == 0, answer.err
    assert "국가 is 국가_, 수 is 수_, 값 is 값_" in answer.out
    found = read(mine / "out.csv")
    assert found[0] == ["번호", "국가", "수", "값", "메모", "원", "병", "국가_", "수_", "값_"]
    assert [line[:7] for line in found[1:]] == cells()
    assert likely("reconstruct", "m", "new.csv", "-o", "id.csv", "--id", "병").code == 0
    found = read(mine / "id.csv")
    assert [each.strip() for each in found[0]] == ["병", "번호", "국가", "수", "값", "메모", "원"]


def test_an_answer_whose_name_is_taken_has_another_one(mine, likely: Likely):
    write(mine / "new.csv", cells())
    text = (mine / "new.csv").read_text("utf-8").replace("메모", "surprise", 1).replace("번호", "row", 1)
    (mine / "taken.csv").write_text(text, "utf-8")
    answer = likely("score", "m", "taken.csv", "-o", "out.csv", "--id", "row", "--id", "surprise")
    assert answer.code == 0, answer.err
    assert "row is row_, surprise is surprise_" in answer.out
    found = read(mine / "out.csv", delimiter=",")
    assert found[0] == ["row", "surprise", "row_", "surprise_", "p_value", "is_novel", "reason"]
    assert [line[0] for line in found[1:]] == [line[0] for line in cells()]
    assert [line[2] for line in found[1:]] == [str(i) for i in range(N)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "m", "new.csv", "-o", "s.csv", "--id", "이름"], 'has no column "이름"; it has 번호, 국가, 수, 값'),
        (["score", "m", "new.csv", "--id", "번호"], "add -o FILE"),
        (["encode", "m", "new.csv", "-o", "z.npy", "--keep"], "--keep: z.npy holds answers alone"),
    ],
)
def test_columns_that_cannot_stand_there_are_one_line(arguments, words, mine, likely: Likely):
    answer = likely(*arguments)
    assert answer.code == 2
    assert words in answer.line
    assert not [path.name for path in mine.iterdir() if path.suffix in (".npy",) or path.name == "s.csv"]


def test_rows_without_columns_have_none_to_carry(digits, likely: Likely, tmp_path):
    answer = likely("score", "vae", "digits", "-o", tmp_path / "s.csv", "--id", "a")
    assert answer.code == 2
    assert "digits is no table with columns" in answer.line


def test_no_cell_breaks_a_row_or_runs_as_a_formula(tmp_path):
    columns = {
        "=name": ["=1", "+1", "-x", "@a", "\ta", "a\rb", "a\nb", 'a"b', "a,b", "a\0b", "-1.5", "-", None, 1.5, ""]
    }
    with open(tmp_path / "a.csv", "wb") as file:
        write_csv(file, {**columns, "n": range(15)})
    text = (tmp_path / "a.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    expected = ["'=1", "+1", "'-x", "'@a", "'\ta", "a\rb", "a\nb", 'a"b', "a,b", "a\ufffdb", "-1.5", "-", "", "1.5", ""]
    found = read(tmp_path / "a.csv", delimiter=",")
    assert found == [["'=name", "n"], *([each, str(i)] for i, each in enumerate(expected))]
    by_pandas = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert by_pandas["'=name"].tolist() == expected
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    assert pyarrow.csv.read_csv(tmp_path / "a.csv", parse_options=parse).column(0).to_pylist() == expected


def test_a_table_is_written_in_blocks(tmp_path):
    n = 3 * BLOCK_ROWS + 7
    with open(tmp_path / "a.csv", "wb") as file:
        write_csv(file, {"a": np.arange(n), "b": [f"{i},{i}" for i in range(n)]}, Dialect(encoding="utf-16"))
    found = read(tmp_path / "a.csv", "utf-16", ",")
    assert found[0] == ["a", "b"]
    assert found[1:] == [[str(i), f"{i},{i}"] for i in range(n)]


def test_what_an_encoding_lacks_makes_the_file_utf_8(tmp_path):
    with open(tmp_path / "a.csv", "wb") as file:
        write_csv(file, {"a": ["가", "é😀"]}, Dialect(encoding="cp949"))
    assert read(tmp_path / "a.csv") == [["a"], ["가"], ["é😀"]]
