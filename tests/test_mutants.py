"""The list of deliberate faults is in step with the house, and trying them tells caught from not caught."""

import shlex
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.__main__ import main
from tests.mutants.faults import ROOT, chosen, read_faults

FAULTS = read_faults()


def rooms() -> set[str]:
    """The folders and files of likely/ that hold more than names."""
    inside = (ROOT / "likely").iterdir()
    return {each.stem for each in inside if (each.is_dir() or each.suffix == ".py") and not each.name.startswith("_")}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.room}: {fault.name}")
def test_a_fault_still_fits_the_file_it_breaks(fault):
    broken = fault.broken((ROOT / fault.file).read_text(encoding="utf-8"))
    assert fault.old.strip() != fault.new.strip()
    compile(broken, fault.file, "exec") if fault.file.endswith(".py") else None
    assert fault.tests
    for selection in fault.tests:
        files = [word.split("::")[0] for word in shlex.split(selection) if word.startswith("tests/")]
        assert files, f"{selection} names no test"
        assert all((ROOT / file).exists() for file in files), selection


def test_every_fault_has_a_name_of_its_own():
    assert [name for name, times in Counter(fault.name for fault in FAULTS).items() if times > 1] == []


def test_there_are_faults_in_every_room():
    assert len(FAULTS) >= 40
    assert rooms() - {Path(fault.file).parts[1].removesuffix(".py") for fault in FAULTS} == set()


def test_words_choose_by_room_file_and_name():
    for word in ("likely/models/flow.py", FAULTS[0].name, FAULTS[0].room):
        assert chosen(FAULTS, [word])
    assert chosen(FAULTS, ["no such word"]) == []
    assert chosen(FAULTS, []) == FAULTS


TESTS = """
from likely import double, half

def test_double():
    assert double(2) == 4

def test_half():
    assert half(3) == 1

def test_broken():
    assert False
"""
FAULT = """
[[fault]]
name = "{name}"
file = "likely/__init__.py"
old = '''return 2 * x'''
new = '''{new}'''
tests = ["tests/test_all.py -k '{tests}'"]
"""
CAUGHT = ("caught", "return 3 * x", "double")
NOT_CAUGHT = [
    ("the same", "return x + x", "double", "SURVIVES"),
    ("tested elsewhere", "return 3 * x", "half", "SURVIVES"),
    ("no such name", "return 2 * y", "double", "NO VERDICT"),
    ("no Python", "return 2 * x)", "double", "NO VERDICT"),
]


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A house of two functions, whose tests hold one that never passes."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # nothing here needs a plugin, and they load slowly
    for folder in ("likely", "tests", "faults"):
        (tmp_path / folder).mkdir()
    text = "def double(x):\n    return 2 * x\n\n\ndef half(x):\n    return x // 2\n"
    (tmp_path / "likely/__init__.py").write_text(text)
    (tmp_path / "tests/test_all.py").write_text(TESTS)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'likely'\n")
    return tmp_path


def tried(house: Path, *faults: tuple[str, str, str]) -> int:
    entries = [FAULT.format(name=name, new=new, tests=tests) for name, new, tests in faults]
    (house / "faults/one.toml").write_text("".join(entries))
    return main([], house, house / "faults")


def test_only_a_failed_test_counts_as_caught(house, capsys):
    before = (house / "likely/__init__.py").read_text()
    assert tried(house, CAUGHT, *[each[:3] for each in NOT_CAUGHT]) == 1
    lines = dict(line.split(" | ", 1) for line in capsys.readouterr().out.splitlines() if " | " in line)
    assert "test_double" in lines["caught"]
    for name, _, _, says in NOT_CAUGHT:
        assert says in lines[name]
    assert (house / "likely/__init__.py").read_text() == before


def test_all_caught_is_success(house):
    assert tried(house, CAUGHT) == 0


@pytest.mark.parametrize("tests", ["broken", "nothing"])
def test_tests_that_do_not_pass_without_any_fault_judge_nothing(house, capsys, tests):
    assert tried(house, (*CAUGHT[:2], tests)) == 1
    assert "does not pass without any fault" in capsys.readouterr().out
