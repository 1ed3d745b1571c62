"""The order of the data: every row once an epoch, decided by seed and epoch alone, from any batch on."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likely.training.order import ids_by_batch

IDS = np.array([3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377])


def batches(n_batches, batch_size, seed=0, first=0, ids=IDS):
    return list(islice(ids_by_batch(ids, batch_size, seed, first), n_batches))


def epochs(n_epochs, batch_size, seed=0, ids=IDS):
    n_batches = -(-n_epochs * len(ids) // batch_size)
    return np.concatenate(batches(n_batches, batch_size, seed, ids=ids))[: n_epochs * len(ids)].reshape(n_epochs, -1)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 11])
def test_each_row_is_seen_once_an_epoch_and_all_batches_are_full(batch_size):
    assert {len(batch) for batch in batches(20, batch_size)} == {batch_size}
    for epoch in epochs(6, batch_size):
        np.testing.assert_array_equal(np.sort(epoch), IDS)


def test_the_order_of_an_epoch_does_not_depend_on_the_batch_size():
    for batch_size in (2, 7, 11):
        np.testing.assert_array_equal(epochs(4, batch_size), epochs(4, 1))


def test_epochs_and_seeds_differ():
    orders = [tuple(epoch) for seed in range(5) for epoch in epochs(5, 4, seed)]
    assert len(set(orders)) == 25


def test_a_batch_may_be_larger_than_an_epoch():
    (batch,) = batches(1, 25)
    np.testing.assert_array_equal(np.sort(batch[:11]), IDS)
    np.testing.assert_array_equal(np.sort(batch[11:22]), IDS)


@given(n=st.integers(1, 30), batch_size=st.integers(1, 40), first=st.integers(0, 100), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_it_goes_on_from_any_batch(n, batch_size, first, seed):
    ids = np.arange(n) * 2
    whole = batches(first + 3, batch_size, seed, ids=ids)
    np.testing.assert_array_equal(batches(3, batch_size, seed, first, ids), whole[first:])


def test_every_row_comes_first_equally_often():
    first = [epochs(1, 11, seed)[0, 0] for seed in range(2200)]
    counts = np.unique(first, return_counts=True)[1]
    assert len(counts) == 11
    chi_squared = ((counts - 200) ** 2 / 200).sum()
    assert chi_squared < 29.6  # 10 degrees of freedom, p = 0.001
