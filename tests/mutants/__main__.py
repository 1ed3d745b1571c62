"""Tries deliberate faults: prints who caught each, and ends with 1 where one survives."""

import argparse
import compileall
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.faults import FOLDER, ROOT, Fault, chosen, read_faults
from tests.mutants.trials import Outcome, copied, demand_own_package, run_tests, try_fault


def unsound(house: Path, faults: list[Fault], workers: ThreadPoolExecutor) -> Iterator[str]:
    """Selections of tests that do not pass as things are: what they say of a fault would mean nothing."""
    selections = list(dict.fromkeys(selection for fault in faults for selection in fault.tests))
    for selection, outcome in zip(
        selections, workers.map(lambda each: run_apart(house, each), selections), strict=True
    ):
        if not outcome.passed:
            yield f"{selection}: {outcome.failure or outcome.trouble}"


def run_apart(house: Path, selection: str) -> Outcome:
    """Tests on a copy of their own: two runs at once do not meet."""
    with copied(house) as own:
        return run_tests(own, selection)


def verdict(outcome: Outcome) -> str:
    """Who caught the fault, in a line."""
    if outcome.failure:
        return outcome.failure
    return "SURVIVES" if outcome.passed else f"NO VERDICT: {outcome.trouble}"


def try_all(root: Path, faults: list[Fault], jobs: int) -> int:
    """Prints a line per fault as it is tried; returns how many were not caught."""
    with copied(root) as house, ThreadPoolExecutor(jobs) as workers:
        demand_own_package(house)
        compileall.compile_dir(str(house), quiet=2)
        broken = list(unsound(house, faults, workers))
        for each in broken:
            print(f"does not pass without any fault: {each}", flush=True)
        if broken:
            return len(broken)
        missed = 0
        for fault, outcome in zip(faults, workers.map(lambda each: try_fault(house, each), faults), strict=True):
            missed += not outcome.failure
            print(f"{fault.name} | {fault.file} | {verdict(outcome)} | {outcome.seconds:.0f} s", flush=True)
    print(f"{len(faults) - missed} of {len(faults)} caught")
    return missed


def main(arguments: list[str], root: Path = ROOT, folder: Path = FOLDER) -> int:
    """The exit code: 0 where every fault was caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only faults whose room, file or name holds one of these")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    options = parser.parse_args(arguments)
    faults = chosen(read_faults(folder), options.words)
    if not faults:
        print("no fault has such a room, file or name")
        return 1
    return int(try_all(root, faults, options.jobs) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
