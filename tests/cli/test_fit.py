import csv
import errno
import json
import os
import shlex
import signal

import pytest

import likely as library
from likely.cli import learning as verb
from likely.cli.place import Place
from tests.cli.conftest import OPENING, write_table

NETWORK = ("--set", 'network={"type": "MLP", "hidden": [4]}', "--set", "z_size=2")
VAE = ("fit", "표.csv", "--model", "vae", *NETWORK, *OPENING, "--epochs", "3")


@pytest.fixture
def data(here):
    write_table(here / "표.csv")
    return here


def weights(directory):
    return json.loads((directory / "manifest.json").read_text())["files"]["weights.safetensors"]["sha256"]


@pytest.fixture
def stopped(monkeypatch):
    """Sends a signal when training first tells where it is; a second time everything is as usual."""

    def by(number):
        tell, sent = verb.Teller.__call__, []

        def tell_and_stop(self, now):
            tell(self, now)
            if not sent and now.doing == "training":
                sent.append(signal.raise_signal(number))

        monkeypatch.setattr(verb.Teller, "__call__", tell_and_stop)

    return by


def test_it_says_what_it_saw_chose_and_found_and_what_comes_next(table, likely, tmp_path):
    answer = likely("fit", "표.csv", "--model", "ppca", *OPENING, "--out", tmp_path / "m")
    assert answer.code == 0
    said = " ".join(answer.out.split())
    for part in (
        "rows 600",
        "real numbers",
        'column "언제나" is always 7: set aside',
        "labels 2 classes: 아니오",
        "the model does not see them",
        "381 train, 60 validation, 99 calibration, 60 test",
        "seed 0",
        "device",
        "solved at once",
        "test rows say",
        "log-likelihood = ",
        "column means = ",
        "report.html",
        "Next",
    ):
        assert part in said, part
    assert "\x1b" not in answer.out


def test_the_next_commands_can_be_copied(table, likely, tmp_path, monkeypatch):
    out = likely("fit", "표.csv", "--model", "ppca", *OPENING, "--out", tmp_path / "내 모델").out
    commands = [line.strip() for line in out.split("\nNext\n")[1].splitlines()]
    assert len(commands) == 3
    for command in commands:
        name, *args = shlex.split(command)
        assert name == "likely"
        written = tmp_path / args.pop()
        assert likely(*args, written).code == 0, command
        assert written.exists()


def test_everything_lies_in_the_directory(table):
    names = {each.name for each in (table / "모델").iterdir()}
    model = {"manifest.json", "config.json", "schema.json", "weights.safetensors", "calibration.json"}
    model.add("rows.safetensors")
    assert names == model | {"metrics.json", "history.csv", "README.md", "report.html"}
    assert not (table / "모델.partial").exists()
    fitted = library.load(table / "모델")
    assert fitted.info["data"]["name"] == "표.csv"
    assert fitted.info["data"]["options"] == {
        "label": "병",
        "drop": ["번호"],
        "size": None,
        "channels": None,
        "missing": [],
        "patch": None,
        "augment": [],
    }
    assert "번호" not in fitted.schema.feature_names


def test_the_model_card_has_a_header_that_hubs_read_and_figures(table):
    card = (table / "모델" / "README.md").read_text("utf-8")
    _, header, text = card.split("---\n", 2)
    assert header.splitlines()[:3] == ["library_name: likely", "tags:", "- likely"]
    metrics = json.loads((table / "모델" / "metrics.json").read_text())
    assert all(verdict in text for verdict in metrics["verdicts"])
    assert all(f"| {figure['name']}" in text for figure in metrics["figures"])
    assert "## Limits" in text
    assert "likely.load('모델')" in text


def test_history_is_a_table_of_numbers(data, likely):
    assert likely(*VAE, "--out", "m").code == 0
    with open("m/history.csv", encoding="utf-8") as file:
        lines = [{name: float(value) for name, value in line.items() if value} for line in csv.DictReader(file)]
    assert lines[-1]["epoch"] == pytest.approx(3, abs=0.1)
    assert {"train", "validation", "validation/rate"} <= lines[-1].keys()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_it_ends_as_if_it_had_not_been(number, data, likely, stopped):
    assert likely(*VAE, "--out", "whole").code == 0
    stopped(number)
    first = likely(*VAE, "--out", "m")
    assert first.code == 130
    assert "kept in m.partial" in first.line
    assert not (data / "m").exists()
    resume = shlex.split(first.line.split("resume it with: ")[1])
    assert likely(*resume[1:]).code == 0
    assert weights(data / "m") == weights(data / "whole")
    assert not (data / "m.partial").exists()


def test_an_unfinished_run_is_not_lost_by_a_fit_that_forgets_it(data, likely, stopped):
    stopped(signal.SIGINT)
    likely(*VAE, "--out", "m")
    before = (data / "m.partial" / "checkpoint.safetensors").read_bytes()
    again = likely(*VAE, "--out", "m")
    assert again.code == 2
    assert "--resume" in again.line
    assert "--overwrite" in again.line
    assert (data / "m.partial" / "checkpoint.safetensors").read_bytes() == before
    other = likely(*VAE, "--out", "m", "--resume", "--seed", "1")
    assert other.code == 2
    assert "seed was 0, is 1" in other.err.splitlines()[-1]
    assert likely(*VAE, "--out", "m", "--overwrite").code == 0
    assert not (data / "m.partial").exists()


def test_resume_without_a_run_starts_afresh_and_on_a_finished_one_does_nothing(data, likely):
    first = likely(*VAE, "--out", "m", "--resume")
    assert first.code == 0
    assert "starting afresh" in first.out
    before = {each.name: each.stat().st_mtime_ns for each in (data / "m").iterdir()}
    second = likely(*VAE, "--out", "m", "--resume")
    assert (second.code, second.out) == (0, "m is finished: there is nothing to resume\n")
    assert {each.name: each.stat().st_mtime_ns for each in (data / "m").iterdir()} == before


def test_a_model_is_replaced_only_when_asked(data, likely, monkeypatch):
    fit = ("fit", "표.csv", "--model", "pca", *OPENING, "--out", "m/")
    assert likely(*fit, "--set", "z_size=1").code == 0
    before = weights(data / "m")
    monkeypatch.setattr(verb.Job, "train", lambda self: pytest.fail("it was refused too late"))
    assert "--overwrite" in likely(*fit).line
    (data / "m" / "thesis.docx").write_text("mine")
    assert "thesis.docx" in likely(*fit, "--overwrite").line
    (data / "m" / "thesis.docx").unlink()
    monkeypatch.undo()
    monkeypatch.chdir(data)
    assert likely(*fit, "--set", "z_size=2", "--overwrite").code == 0
    assert weights(data / "m") != before


def test_a_place_that_cannot_be_written_to_is_refused_before_training(data, likely, monkeypatch):
    from likely import files, fitting

    monkeypatch.setattr(fitting, "carry_out", lambda *a, **k: pytest.fail("it was refused too late"))

    def refuse(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(files, "make_directory", refuse)
    answer = likely("fit", "표.csv", "--model", "pca", "--out", "runs/m")
    assert answer.code == 2
    assert "--out runs/m: nothing can be written there (Read-only file system)" in answer.line


def test_a_full_disk_at_the_end_is_one_line_and_leaves_nothing_half_written(data, likely, monkeypatch):
    from likely import persistence

    real = persistence.save

    def full(*args, **kwargs):
        import os

        monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
        return real(*args, **kwargs)

    monkeypatch.setattr(persistence, "save", full)
    answer = likely("fit", "표.csv", "--model", "pca", *OPENING, "--out", "m")
    assert answer.code == 2
    assert "free some space" in answer.err.splitlines()[-1]
    assert [each.name for each in data.iterdir()] == ["표.csv"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--model", "vea"), "vae"),
        (("--model", "vae", "--set", "zsize=2"), "z_size"),
        (("--model", "vae", "--set", "z_size=two"), "z_size takes int"),
        (("--model", "vae", "--set", "z_size"), "--set z_size=16"),
        (("--model", "vae", "--epochs", "1", "--time-limit", "1s"), "epochs and time_limit"),
        (("--model", "vae", "--time-limit", "soon"), "60s"),
        (("--model", "vae", "--device", "abacus"), "abacus"),
        (("--model", "vae", "--precision", "float8"), "precision must be"),
        (("--model", "vae", "--condition", "name"), "--condition label"),
        (("--model", "pca", "--label", "병", "--condition", "label"), "takes no condition"),
        (("--model", "vae", "--label", "nothing"), 'no column "nothing"'),
        (("--model", "vae", "--size", "3x3"), "size does not apply"),
        (("--model", "vae", "--binarize"), "binarize"),
        (("--model", "vae", "--false-alarm-rate", "5"), "between 0 and 1"),
        (
            (
                "--model",
                "ppca",
            ),
            "none over categories",
        ),
        ((), "Missing option '--model'"),
    ],
)
def test_what_makes_no_sense_is_one_line_before_anything_is_trained(args, told, data, likely, monkeypatch):
    from likely import fitting

    monkeypatch.setattr(fitting, "carry_out", lambda *a, **k: pytest.fail("it was refused too late"))
    if args == ("--model", "ppca"):
        (data / "표.csv").write_text("a,b\n" + "1.5,x\n2.5,y\n" * 9)
    answer = likely("fit", "표.csv", *args, "--out", "m")
    assert answer.code == 2
    assert told in answer.line
    assert [each.name for each in data.iterdir()] == ["표.csv"]


@pytest.mark.parametrize("out", ["표.csv", "표.csv/m", "folder", "/"])
def test_what_stands_in_the_way_is_left_alone(out, data, likely):
    (data / "folder").mkdir()
    (data / "folder" / "thesis.docx").write_text("mine")
    answer = likely("fit", "표.csv", "--model", "pca", *OPENING, "--out", out, "--overwrite")
    assert answer.code == 2
    assert out in answer.line
    assert (data / "folder" / "thesis.docx").read_text() == "mine"


def test_partial_stands_beside(tmp_path):
    assert Place(tmp_path / "a.b", "a.b").partial == tmp_path / "a.b.partial"


def test_rows_that_calibrate_are_told_and_what_they_cannot_do(here, likely):
    write_table(here / "표.csv", n=60)
    answer = likely("fit", "표.csv", "--model", "pca", *OPENING, "--false-alarm-rate", "0.001", "--out", "m")
    assert answer.code == 0
    assert "29 train, 6 validation, 19 calibration, 6 test" in answer.out
    assert "from the calibration rows" in answer.out
    assert "nothing can be flagged at a false-alarm rate of 0.001" in answer.out
    assert library.load("m").info["false_alarm_rate"] == 0.001


# What is trained is kept, whatever becomes of its evaluation.


PCA = ("fit", "표.csv", "--model", "pca", "--set", "z_size=2", *OPENING)


@pytest.fixture
def no_page(monkeypatch):
    """Drawing a report takes seconds."""
    from likely.cli import results

    monkeypatch.setattr(results, "report_of", lambda *args: b"a page")


def raising(error):
    def assessed(*args, **kwargs):
        raise error

    return assessed


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (ZeroDivisionError("no rows"), 1), (MemoryError(), 1)]
)
def test_a_model_is_kept_where_its_evaluation_fails_and_resume_ends_it(error, code, data, likely, monkeypatch, no_page):
    from likely.cli import results

    with monkeypatch.context() as patch:
        patch.setattr(results, "assessed", raising(error))
        first = likely(*PCA, "--out", "내 모델")
    assert first.code == code
    assert "likely evaluate '내 모델'" in first.err
    assert "likely report '내 모델'" in first.err
    before = weights(data / "내 모델")
    assert not (data / "내 모델.partial").exists()
    assert (data / "내 모델" / "history.csv").exists()
    assert likely("score", "내 모델", "표.csv").code == 0
    again = likely(*PCA, "--out", "내 모델", "--resume")
    assert again.code == 0
    assert "is trained: what is left is to evaluate it" in again.out
    assert "test rows say" in again.out
    assert {"metrics.json", "README.md", "report.html"} <= {each.name for each in (data / "내 모델").iterdir()}
    assert weights(data / "내 모델") == before
    assert "nothing to resume" in likely(*PCA, "--out", "내 모델", "--resume").out


def test_the_command_that_an_interrupted_evaluation_names_ends_it(data, likely, monkeypatch, no_page):
    from likely.cli import results

    assert likely(*PCA, "--out", "m").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(results, "report_of", raising(KeyboardInterrupt()))
        first = likely(*PCA, "--out", "m", "--overwrite")
    assert first.code == 130
    assert (data / "m" / "metrics.json").exists()
    command = shlex.split(first.err.split("all that is left with: ")[1])
    assert "--overwrite" not in command
    assert likely(*command[1:]).code == 0
    assert (data / "m" / "report.html").exists()


def test_an_evaluation_is_not_ended_on_other_data(data, likely, monkeypatch):
    from likely.cli import results

    with monkeypatch.context() as patch:
        patch.setattr(results, "assessed", raising(KeyboardInterrupt()))
        likely(*PCA, "--out", "m")
    write_table(data / "표.csv", n=599)
    again = likely(*PCA, "--out", "m", "--resume")
    assert again.code == 2
    assert "표.csv is not, or no more, the data that m learned" in again.err.splitlines()[-1]
    assert library.load("m").info["data"]["rows"] == 600


# Two runs to one place.


def test_a_second_run_to_one_place_is_refused_at_its_start(data, likely, monkeypatch, no_page):
    place = Place(data / "m", "m")
    with place.held():
        monkeypatch.setattr(verb.Job, "train", lambda self: pytest.fail("it was refused too late"))
        for more in ((), ("--overwrite",), ("--resume",)):
            answer = likely(*PCA, "--out", "m", *more)
            assert answer.code == 2
            assert "--out m: another `likely fit` writes there now (process" in answer.line
            assert "choose another --out" in answer.line
    assert not (data / "m.partial").exists()
    assert Place(data / "m", "m").settled() is False


def test_a_run_that_was_killed_holds_its_place_no_more(data, likely, no_page):
    child = os.fork()
    if not child:
        with Place(data / "m", "m").held():
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (data / "m.partial" / "lock").exists()
    assert likely(*PCA, "--out", "m").code == 0
    assert not (data / "m.partial").exists()


# A time limit is one of the whole command.


def test_what_the_time_limit_left_no_time_for_is_told_and_resume_ends_it(data, likely, monkeypatch):
    limited = ("fit", "표.csv", "--model", "vae", *NETWORK, *OPENING, "--time-limit", "0.3s", "--out", "m")
    with monkeypatch.context() as patch:
        patch.setattr(verb, "seconds_so_far", lambda: 60.0)
        answer = likely(*limited)
    assert answer.code == 0
    assert "Note: the time limit left figures out; likely evaluate m measures them" in answer.out
    assert "likely report m writes it" in answer.out
    assert {"metrics.json", "README.md"} <= {each.name for each in (data / "m").iterdir()}
    assert not (data / "m" / "report.html").exists()
    assert library.load("m").info["train"]["reserved"] == 60.0
    monkeypatch.setattr("likely.cli.results.report_of", lambda *args: b"a page")
    monkeypatch.setattr(verb, "seconds_so_far", lambda: -60.0)
    again = likely(*limited, "--resume")
    assert again.code == 0
    assert "Note: the time limit" not in again.out
    assert (data / "m" / "report.html").exists()
