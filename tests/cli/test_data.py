import numpy as np
import pytest

from tests.cli.conftest import write_table


def test_a_table_is_described_with_its_problems(here, likely):
    write_table(here / "표.csv")
    answer = likely("data", "표.csv", "--label", "병")
    said = " ".join(answer.out.split())
    assert (answer.code, answer.err) == (0, "")  # problems are no failure, and no warning comes twice
    assert "rows 600" in said
    assert "2 classes: 아니오" in said
    assert "키 numeric 0 mean" in said
    assert 'column "언제나" is always 7: set aside' in said
    assert "is set aside (identifier): numbers the rows, in steps of 1" in said
    assert max(len(line) for line in answer.out.splitlines()) <= 80


def test_images_are_described(likely):
    said = " ".join(likely("data", "digits").out.split())
    assert "a row 8 x 8 (image)" in said
    assert "whole numbers from 0 to 16" in said


def test_a_thousand_columns_are_not_all_listed(here, likely):
    np.save("wide.npy", np.random.default_rng(0).normal(size=(10, 1000)))
    answer = likely("data", "wide.npy")
    assert "... and 800 more" in answer.out


def write_bad(folder):
    (folder / "ragged.csv").write_text("a,b\n1,2\n3,4,5\n")
    (folder / "twice.csv").write_text("a,a\n1,2\n3,4\n")
    (folder / "one.csv").write_text("a\n1\n")
    (folder / "many.csv").write_text("c\n" + "\n".join(f"u{i}" for i in range(5000)))
    (folder / "empty").mkdir()
    (folder / "x.png").mkdir()
    (folder / "x.png" / "y.txt").write_text("")
    (folder / "half").mkdir()
    (folder / "model.pkl").write_bytes(b"\x80\x04")
    np.save(folder / "same.npy", np.ones((9, 2)))
    x = np.arange(20.0).reshape(10, 2)
    x[3, 1] = np.inf
    np.save(folder / "inf.npy", x)
    np.save(folder / "objects.npy", np.array([{}]), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ragged.csv", "line 3"),
        ("twice.csv", '"a"'),
        ("one.csv", "found 1 row, expected at least 2"),
        ("many.csv", '"c": different in every row'),
        ("empty", "no image"),
        ("x.png", "no image"),
        ("half", "no image"),
        ("model.pkl", "pickle"),
        ("same.npy", "every value is 1"),
        ("inf.npy", "row 3, column 1"),
        ("objects.npy", "pickle"),
        ("nowhere.csv", "no file or folder"),
        ("digit", "digits"),
        ("", "empty path"),
    ],
)
def test_what_cannot_be_read_is_one_line(name, told, here, likely):
    write_bad(here)
    answer = likely("data", name)
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.line
