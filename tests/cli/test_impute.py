"""Multiple imputation from the command line: versions that are whole, and how uncertain what was filled in is."""

import csv
from pathlib import Path

import numpy as np
import pytest

import likely as library
from tests.cli.conftest import Likely

N = 300


@pytest.fixture(scope="session")
def _fitted_gaps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imputing")
    generator = np.random.default_rng(0)
    a = generator.normal(10, 3, N)
    rows = np.stack([a, 2 * a + generator.normal(0, 0.1, N), generator.normal(size=N)], 1)
    lines = [[f"{x:.4f}" for x in row] for row in rows]
    for i in range(0, N, 10):
        lines[i][i // 10 % 3] = ""
    (folder / "표.csv").write_text("\n".join(["키,b,row", *map(",".join, lines)]) + "\n", "utf-8")
    rows[::10, 1] = np.nan
    np.save(folder / "rows.npy", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = library.TrainConfig(epochs=20, seed=0)
        library.fit("vae", "표.csv", train=config, calibrate="none").save("table")
        library.fit("vae", "rows.npy", train=config, calibrate="none").save("array")
        library.fit("denoising_autoencoder", np.nan_to_num(rows), train=library.TrainConfig(epochs=1)).save("guesses")
    return folder


@pytest.fixture
def gaps(_fitted_gaps: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(_fitted_gaps)
    return _fitted_gaps


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))


def test_draws_are_one_long_table_that_names_draw_and_row(gaps, likely: Likely, tmp_path):
    answer = likely("restore", "table", "표.csv", "-o", tmp_path / "draws.csv", "--draws", 3)
    assert answer.code == 0, answer.err
    assert "300 rows, drawn 3 times over, are in" in answer.out
    found, given = read(tmp_path / "draws.csv"), read(gaps / "표.csv")
    assert list(found[0]) == ["draw", "row_", "키", "b", "row"]  # a column of the data is called row
    assert [(int(line["draw"]), int(line["row_"])) for line in found] == [(i, j) for i in (1, 2, 3) for j in range(N)]
    for i, line in enumerate(found):
        for name, text in given[i % N].items():
            assert line[name] != ""
            if text:
                assert float(line[name]) == float(text)
    assert len({found[i * N]["키"] for i in range(3)}) == 3
    again = likely("restore", "table", "표.csv", "-o", tmp_path / "again.csv", "--draws", 3)
    assert again.code == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "draws.csv").read_bytes()
    likely("restore", "table", "표.csv", "-o", tmp_path / "other.csv", "--draws", 3, "--seed", 1)
    assert (tmp_path / "other.csv").read_bytes() != (tmp_path / "draws.csv").read_bytes()


def test_means_come_with_their_uncertainty(gaps, likely: Likely, tmp_path):
    arguments = ["-o", tmp_path / "whole.csv", "--uncertainty", tmp_path / "sd.csv"]
    answer = likely("restore", "table", "표.csv", *arguments)
    assert answer.code == 0, answer.err
    assert "Their standard deviations" in answer.out
    whole, spread, given = (read(path) for path in (tmp_path / "whole.csv", tmp_path / "sd.csv", gaps / "표.csv"))
    assert list(spread[0]) == ["키", "b", "row"]
    for i, line in enumerate(given):
        for name, text in line.items():
            assert (float(spread[i][name]) == 0) == bool(text)
            if text:
                assert float(whole[i][name]) == float(text)
    # Of the first column the second tells nearly all; of the third nobody tells anything.
    assert float(spread[0]["키"]) < 0.5 * 3
    assert 0.5 < float(spread[20]["row"]) < 2


def test_arrays_have_draws_first(gaps, likely: Likely, tmp_path):
    arguments = ["-o", tmp_path / "draws.npy", "--draws", 2, "--uncertainty", tmp_path / "sd.npy"]
    answer = likely("restore", "array", "rows.npy", *arguments)
    assert answer.code == 0, answer.err
    given, draws, spread = (np.load(path) for path in ("rows.npy", tmp_path / "draws.npy", tmp_path / "sd.npy"))
    assert draws.shape == (2, *given.shape)
    there = ~np.isnan(given)
    np.testing.assert_array_equal(draws[:, there], np.stack([given[there]] * 2))
    assert np.isfinite(draws).all()
    np.testing.assert_array_equal(spread == 0, there)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["guesses", "rows.npy", "-o", "x.npy", "--draws", "2"], "cannot draw what is missing; models that can:"),
        (["array", "rows.npy", "-o", "x.npy", "--draws", "2", "--operator", "GaussianNoise"], "leave --operator out"),
        (["array", "rows.npy", "-o", "x.npy", "--uncertainty", "nowhere/sd.npy"], "there is no folder nowhere"),
        (["table", "표.csv", "-o", "x.npy", "--draws", "2"], ".csv, .parquet"),
        (["array", "rows.npy", "-o", "x.npy", "--draws", "0"], "--draws"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(gaps, likely: Likely, arguments, words):
    before = sorted(gaps.iterdir())
    answer = likely("restore", *arguments)
    assert answer.code == 2, answer.err
    assert words in answer.line
    assert sorted(gaps.iterdir()) == before
