import errno
import warnings

import pytest

from likely.cli.outcomes import outcome
from likely.errors import DataError, Interrupted, option


def ended(error, capsys, **settings):
    def work():
        raise error

    code = outcome(work, ["fit", "x"], **settings)
    return code, capsys.readouterr().err


def test_what_is_done_is_0(capsys):
    assert outcome(lambda: None, []) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (DataError("a.csv, line 3: mend that line"), 2, "a.csv, line 3: mend that line"),
        (OSError(errno.ENOSPC, "No space left on device", "x/y"), 2, "x/y: No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "x: Permission denied"),
        (Interrupted("resume it with: likely fit x --resume"), 130, "resume it with"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("a\nb"), 1, "a fault of ours"),
    ],
)
def test_each_kind_of_end_has_its_code_and_one_line(error, code, told, capsys):
    found, err = ended(error, capsys)
    assert found == code
    assert err.startswith("likely: ")
    assert told in err
    assert err.count("\n") == 1


def test_a_fault_of_ours_shows_its_traceback_only_when_asked(capsys, monkeypatch):
    assert "Traceback" not in ended(RuntimeError("x"), capsys)[1]
    assert "Traceback" in ended(RuntimeError("x"), capsys, debug=True)[1]
    monkeypatch.setenv("LIKELY_DEBUG", "1")
    assert "Traceback" in ended(RuntimeError("x"), capsys)[1]


def test_debug_may_stand_anywhere(likely):
    assert likely("data", "nowhere.csv", "--debug").err.startswith("Traceback")
    assert likely("--debug", "data", "nowhere.csv").err.startswith("Traceback")


def test_a_warning_is_one_line_and_those_for_programmers_stay_silent(capsys):
    def work():
        warnings.warn("constant column\nset aside", UserWarning, stacklevel=1)
        warnings.warn("use that instead", DeprecationWarning, stacklevel=1)

    outcome(work, [])
    assert capsys.readouterr().err == "likely: note: constant column set aside\n"


def test_advice_is_in_the_words_of_who_is_asked(capsys):
    def work():
        raise DataError(f"leave it out with {option('--drop x', 'drop=[x]')}")

    outcome(work, [])
    assert capsys.readouterr().err == "likely: leave it out with --drop x\n"
    with pytest.raises(DataError, match=r"with drop=.x.$"):
        work()
