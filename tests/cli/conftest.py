"""A little fitted directory, and the command line as a function."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from likely.cli import run
from tests.conftest import with_rough_figures


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The only line on stderr: what a person is told when something is wrong."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("likely: "), self.err
        return lines[0].removeprefix("likely: ")


Likely = Callable[..., Answer]


@pytest.fixture(autouse=True)
def _roughly(roughly: None) -> None:
    """What figures come to is no matter of the command line."""


@pytest.fixture
def likely(capsys: pytest.CaptureFixture[str]) -> Likely:
    def call(*args: object) -> Answer:
        capsys.readouterr()
        code = run([str(each) for each in args])
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a test, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(n: int = 600) -> np.ndarray:
    """(n, 4): correlated numbers."""
    generator = np.random.default_rng(0)
    return (generator.normal(size=(n, 4)) @ generator.normal(size=(4, 4)) + 3).astype(np.float32)


def write_table(path: Path, n: int = 600) -> None:
    """A CSV file with Korean names, a column that numbers the rows, a constant one and a label."""
    lines = ["번호,키,b,c,d,언제나,병"]
    for i, row in enumerate(rows(n).tolist()):
        lines.append(",".join([str(i), *(f"{value:.6g}" for value in row), "7", "예" if row[0] > 3 else "아니오"]))
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="session")
def _fitted_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with_rough_figures(patch)
        write_table(folder / "표.csv")
        assert run(["fit", "표.csv", "--model", "ppca", "--set", "z_size=2", *OPENING, "--out", "모델"]) == 0
    return folder


OPENING = ("--label", "병", "--drop", "번호")


@pytest.fixture
def table(_fitted_table: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 표.csv and the fitted directory 모델; also the working directory. Do not write over these."""
    monkeypatch.chdir(_fitted_table)
    return _fitted_table


@pytest.fixture(scope="session")
def _fitted_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with_rough_figures(patch)
        network = 'network={"type": "MLP", "hidden": [8]}'
        settings = ["--set", "z_size=2", "--set", network, "--condition", "label", "--epochs", "0.2"]
        assert run(["fit", "digits", "--model", "vae", *settings, "--out", "vae"]) == 0
    return folder


@pytest.fixture
def digits(_fitted_digits: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the fitted directory vae, of images and given their labels; also the working directory."""
    monkeypatch.chdir(_fitted_digits)
    return _fitted_digits
