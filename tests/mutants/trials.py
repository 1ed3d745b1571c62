"""A trial: the house copied, one fault put in, the tests run on the copy."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.faults import Fault

FOLDERS = ("likely", "tests", "docs", "examples", "benchmarks")
"""What is copied, beside the files at the root."""
LIMIT = 600
"""Seconds that a run of tests may take."""
MISTAKES = ("NameError", "SyntaxError", "IndentationError", "ImportError", "ModuleNotFoundError")
"""What a fault that is badly written raises: no test can take credit for noticing that."""


@dataclass(frozen=True)
class Outcome:
    """What became of a run of tests.

    Attributes:
        passed: whether some tests ran and all of them passed.
        failure: the first test that failed, and how; empty where none did.
        trouble: what kept the tests from judging, in words; empty where nothing did.
        seconds: how long it took.
    """

    passed: bool
    failure: str
    trouble: str
    seconds: float


def copy_house(root: Path, to: Path) -> None:
    """Copies what tests need. Times stay, so that what Python has compiled stays valid."""
    to.mkdir(parents=True)
    for each in root.iterdir():
        if each.is_file() and not each.name.startswith("."):
            shutil.copy2(each, to)
        elif each.name in FOLDERS:
            shutil.copytree(each, to / each.name)


@contextlib.contextmanager
def copied(root: Path, fault: Fault | None = None) -> Iterator[Path]:
    """A copy of the house, with the fault in it where one is given; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as place:
        house = Path(place, "house")
        copy_house(root, house)
        if fault:
            put_in(fault, house)
        yield house


def put_in(fault: Fault, house: Path) -> None:
    """Breaks the house. What Python had compiled of the file goes: it could be taken for the new one."""
    file = house / fault.file
    text = fault.broken(file.read_text(encoding="utf-8"))
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()
    file.write_text(text, encoding="utf-8")


def surroundings(house: Path) -> dict[str, str]:
    """The variables of the environment with which every Python, children too, imports from this house."""
    return {**os.environ, "PYTHONPATH": str(house), "OMP_NUM_THREADS": "1"}


def demand_own_package(house: Path) -> None:
    """Raises RuntimeError where `likely` would be imported from somewhere else, as if no fault had been put in."""
    code = "import likely; print(likely.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=house.parent, env=surroundings(house), capture_output=True, text=True
    )
    if not found.stdout.startswith(str(house)):
        raise RuntimeError(f"likely is not imported from the copy {house}: {found.stdout or found.stderr}")


def run_tests(house: Path, selection: str) -> Outcome:
    """Runs the tests that pytest's arguments select, up to the first that fails."""
    report = house.parent / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-x", "--no-header", f"--junitxml={report}", *shlex.split(selection)]
    start = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=house, env=surroundings(house), capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return Outcome(False, "", f"more than {LIMIT} seconds", time.monotonic() - start)
    seconds = time.monotonic() - start
    if done.returncode == 0:
        return Outcome(True, "", "", seconds)
    failure, message = first_failure(report) if done.returncode == 1 else ("", "")
    if not failure:
        return Outcome(False, "", f"no test failed, yet pytest ended with {done.returncode}: {last(done)}", seconds)
    if message.startswith(MISTAKES):
        return Outcome(False, "", f"the fault itself is no valid code: {message}", seconds)
    return Outcome(False, failure, "", seconds)


def first_failure(report: Path) -> tuple[str, str]:
    """The name and message of the first test that failed in pytest's report; empty where only errors are told."""
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        failure = case.find("failure")
        if failure is not None:
            return case.get("name", ""), failure.get("message", "")
    return "", ""


def last(done: subprocess.CompletedProcess[str]) -> str:
    """The last line that a process printed."""
    return ["", *(done.stdout + done.stderr).strip().splitlines()][-1]


def try_fault(root: Path, fault: Fault) -> Outcome:
    """What the fault's tests say of it, run by run until one of them fails."""
    with copied(root, fault) as house:
        start = time.monotonic()
        outcome = Outcome(True, "", "", 0.0)
        for selection in fault.tests:
            outcome = run_tests(house, selection)
            if outcome.failure:
                break
        return Outcome(outcome.passed, outcome.failure, outcome.trouble, time.monotonic() - start)
