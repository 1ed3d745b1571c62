"""Where answers go: nothing that was there is lost, by whatever name it is called."""

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likely.cli.targets import Target
from likely.errors import UserError
from likely.files import new_file
from tests.cli.conftest import Likely

VERBS = {
    "score": ("표.csv",),
    "encode": ("표.csv",),
    "reconstruct": ("표.csv",),
    "interpolate": ("표.csv", "--rows", 0, 1, "--steps", 2),
    "sample": ("-n", 3),
    "evaluate": (),
    "report": (),
}


@pytest.fixture
def mine(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with 표.csv and 모델 of its own."""
    shutil.copy(table / "표.csv", tmp_path / "표.csv")
    shutil.copytree(table / "모델", tmp_path / "모델")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_that_is_there_stays_but_with_overwrite(verb, mine, likely: Likely):
    kind = {"evaluate": "json", "report": "html"}.get(verb, "csv")
    output = mine / f"mine.{kind}"
    output.write_text("mine")
    arguments = (verb, "모델", *VERBS[verb], "-o", output.name)
    answer = likely(*arguments)
    assert answer.code == 2
    assert f"-o {output.name} is there already; add --overwrite to replace it" in answer.line
    assert output.read_text() == "mine"
    assert likely(*arguments, "--overwrite").code == 0
    assert output.read_bytes() != b"mine"


@pytest.mark.parametrize("name", ["표.csv", "./표.csv", "모델/../표.csv", "link.csv", "hard.csv"])
def test_the_source_is_never_written_to(name, mine, likely: Likely):
    os.symlink("표.csv", "link.csv")
    os.link("표.csv", "hard.csv")
    before = contents(mine)
    for verb in ("score", "encode", "reconstruct"):
        answer = likely(verb, "모델", "표.csv", "-o", name, "--overwrite")
        assert answer.code == 2
        assert f"-o {name} is the source 표.csv itself" in answer.line
    assert contents(mine) == before


def test_what_the_model_learned_from_is_not_written_to_by_a_verb_without_a_source(mine, likely: Likely):
    before = contents(mine)
    answer = likely("sample", "모델", "-n", 3, "-o", "표.csv", "--overwrite")
    assert answer.code == 2
    assert "is what the model learned from" in answer.line
    assert contents(mine) == before


@pytest.mark.parametrize("name", ["모델/manifest.json", "모델/new.json", "by-link/new.json", "모델/deeper/new.json"])
def test_nothing_is_written_into_a_fitted_directory(name, mine, likely: Likely):
    os.symlink("모델", "by-link")
    (mine / "모델/deeper").mkdir()
    before = contents(mine)
    answer = likely("evaluate", "모델", "-o", name, "--overwrite")
    assert answer.code == 2
    assert "lies inside the fitted directory 모델" in answer.line
    assert "or leave -o out" in answer.line
    assert contents(mine) == before


def test_nothing_is_written_into_another_model_or_an_unfinished_run(mine, likely: Likely):
    (mine / "other.partial").mkdir()
    (mine / "other.partial/checkpoint.safetensors").write_bytes(b"")
    shutil.copytree("모델", "second")
    for name in ("other.partial", "second"):
        answer = likely("score", "모델", "표.csv", "-o", f"{name}/s.csv")
        assert answer.code == 2
        assert f"{name}, where nothing but the model belongs" in answer.line
        assert not (mine / name / "s.csv").exists()


def test_evaluate_and_report_still_renew_what_lies_beside_a_model(mine, likely: Likely):
    (mine / "모델/metrics.json").write_text("old")
    assert likely("evaluate", "모델").code == 0
    assert (mine / "모델/metrics.json").read_text() != "old"


def test_a_file_that_comes_meanwhile_stays(tmp_path):
    path = tmp_path / "a.csv"

    def write(overwrite: bool) -> None:
        with new_file(path, overwrite=overwrite) as file:
            file.write(b"new")
            path.write_bytes(b"theirs")

    with pytest.raises(UserError, match="came meanwhile"):
        write(overwrite=False)
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["a.csv"]
    write(overwrite=True)
    assert path.read_bytes() == b"new"


def test_on_a_disk_without_links_a_file_that_is_there_stays(tmp_path, monkeypatch):
    def refuse(*names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for data, there in ((b"first", b"first"), (b"second", b"first")):
        with contextlib.suppress(UserError), new_file(tmp_path / "a") as file:
            file.write(data)
        assert (tmp_path / "a").read_bytes() == there
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_that_comes_to_the_source_meanwhile_is_not_followed(tmp_path):
    source, output = tmp_path / "source.csv", tmp_path / "o.csv"
    source.write_bytes(b"mine")
    target = Target(str(output), overwrite=True, kept=(str(source),))
    target.check((".csv",))

    def write() -> None:
        with target.file() as file:
            file.write(b"new")
            os.link(source, output)

    with pytest.raises(UserError, match="is the source"):
        write()
    assert source.read_bytes() == output.read_bytes() == b"mine"


@pytest.mark.parametrize("other", ["a.csv", "./a.csv", "A.csv", "folder/../a.csv"])
def test_two_outputs_of_one_name_are_refused(other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="are one file"):
        Target(other, "--uncertainty").check((".csv",), beside=Target("a.csv"))
    Target("b.csv", "--uncertainty").check((".csv",), beside=Target("a.csv"))


def test_neither_a_folder_nor_what_is_no_file_is_replaced(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "fifo.csv")
    for name, words in (("folder.csv", "is a folder"), ("fifo.csv", "no regular file")):
        with pytest.raises(UserError, match=words):
            Target(str(tmp_path / name), overwrite=True).check((".csv",))


def test_pictures_do_not_go_where_the_source_is(here, likely: Likely):
    generator = np.random.default_rng(0)
    (here / "그림").mkdir()
    for i in range(12):
        Image.fromarray(generator.integers(0, 256, (4, 4), dtype=np.uint8)).save(here / "그림" / f"{i}.png")
    assert likely("fit", "그림", "--model", "pca", "--set", "z_size=2", "--out", "m").code == 0
    before = contents(here)
    for arguments in (("reconstruct", "m", "그림", "-o", "그림/out"), ("score", "m", "그림", "-o", "그림/s.csv")):
        answer = likely(*arguments)
        assert answer.code == 2
        assert "lies inside the source 그림" in answer.line
    answer = likely("reconstruct", "m", "그림", "-o", "m/out")
    assert "lies inside the fitted directory m" in answer.line
    assert contents(here) == before
