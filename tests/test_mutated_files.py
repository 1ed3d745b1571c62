"""A few of the cases of benchmarks/mutated_files.py, in this process."""

import pytest

from benchmarks.mutated_files import Bench, judged


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(0, tmp_path_factory.mktemp("mutated"))


@pytest.mark.parametrize("kind", ["directory", "file"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_and_hostile_files_are_answered_or_refused_by_us(bench, kind):
    ends = [judged(bench, kind, number) for number in range(60)]
    wrong = [(number, *end) for number, end in enumerate(ends) if end[0] not in ("fine", "ours", "slow")]
    assert wrong == []
    assert {end for end, _ in ends} >= {"fine", "ours"}


def test_a_fault_that_is_not_ours_is_seen(bench, monkeypatch):
    monkeypatch.setattr("likely.load", lambda path: 1 / 0)
    assert judged(bench, "directory", 0)[0] == "other"
