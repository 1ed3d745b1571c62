"""Splits: every row serves once, groups stay whole, and the shares are met as nearly as they allow."""

import dataclasses

import numpy as np
import pytest

from likely.data.split import MAX_HELD_OUT, calibration_size, split_rows
from likely.errors import DataError

RNG = np.random.default_rng(0)


def groups_of(sizes):
    """Groups of these sizes, their rows scattered, their names any integers."""
    names = RNG.choice(10_000, len(sizes), replace=False) - 5000
    return RNG.permutation(np.repeat(names, sizes))


def parts_of(split):
    return dataclasses.asdict(split)


@pytest.mark.parametrize("grouped", [False, True])
def test_every_row_serves_once(grouped):
    groups = groups_of(RNG.integers(1, 30, 50)) if grouped else None
    n = len(groups) if grouped else 700
    split = split_rows(n, 0, groups=groups)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts_of(split).values()))), np.arange(n))
    again, other = split_rows(n, 0, groups=groups), split_rows(n, 1, groups=groups)
    assert all(np.array_equal(ids, getattr(again, name)) for name, ids in parts_of(split).items())
    assert not np.array_equal(split.test, other.test)


@pytest.mark.parametrize("seed", range(5))
def test_a_split_cuts_no_group(seed):
    groups = groups_of(RNG.integers(1, 40, 60))
    parts = parts_of(split_rows(len(groups), seed, groups=groups))
    named = [set(groups[ids]) for ids in parts.values()]
    assert sum(map(len, named)) == len(set.union(*named)) == 60
    for name in ("validation", "calibration", "test"):
        assert abs(len(parts[name]) - 0.1 * len(groups)) <= 20  # half of the largest group


def test_shares_are_met_exactly_where_groups_allow():
    groups = np.repeat(np.arange(100), 7)
    assert split_rows(700, 3, groups=groups).sizes() == {"train": 490, "validation": 70, "calibration": 70, "test": 70}
    alone = split_rows(700, 3, groups=np.arange(700))
    assert alone.sizes() == split_rows(700, 3).sizes()


def test_unequal_groups_still_fill_each_part():
    groups = np.repeat(np.arange(5), [500, 1, 1, 400, 300])
    split = split_rows(len(groups), 0, groups=groups)
    assert min(split.sizes().values()) >= 1
    assert split_rows(len(groups), 0, calibration=0, groups=groups).sizes()["calibration"] == 0


def test_parts_have_no_more_rows_than_they_need():
    groups = np.repeat(np.arange(4000), 50)
    sizes = split_rows(len(groups), 0, groups=groups).sizes()
    assert sizes == {"train": 170_000, "validation": MAX_HELD_OUT, "calibration": MAX_HELD_OUT, "test": MAX_HELD_OUT}


def test_official_parts_stand_and_the_rest_is_cut_between_groups():
    groups = np.repeat(np.arange(20), 5)
    split = split_rows(100, 0, official={"test": np.arange(50)}, groups=groups)
    np.testing.assert_array_equal(split.test, np.arange(50))
    assert len(split.validation) == len(split.calibration) == 5
    assert len(set(groups[split.validation])) == 1


@pytest.mark.parametrize(("n_groups", "options"), [(3, {}), (1, {"calibration": 0, "test": 0})])
def test_fewer_groups_than_parts_are_refused(n_groups, options):
    with pytest.raises(DataError, match=rf"found {n_groups} images .*expected at least {n_groups + 1}.*add images"):
        split_rows(30, 0, groups=np.arange(30) % n_groups, **options)
    enough = split_rows(30, 0, groups=np.arange(30) % (n_groups + 1), **options)
    assert len(enough.train)


@pytest.mark.parametrize("n", [57, 100, 300, 1_000, 1_990, 5_000, 80_000, 300_000])
def test_calibration_rows_give_the_usual_rates_exactly(n):
    size = calibration_size(n)
    assert (size + 1) % 20 == 0  # every 5 %
    assert (size + 1) % 100 == 0 or n < 495  # every 1 %
    assert min(n / 5, 99) - 20 < size <= min(n / 3, MAX_HELD_OUT)
    split = split_rows(n, 0, calibration=size, test=0)
    assert len(split.calibration) == size


def test_few_rows_still_leave_most_to_learn_from():
    assert [calibration_size(n) for n in (0, 2, 3, 10, 56)] == [0, 0, 1, 2, 11]
