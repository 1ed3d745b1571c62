"""The step that all values of a column are multiples of, and what draws make of it."""

import numpy as np
import pytest
import torch

from likely.data import infer_schema, open_source
from likely.data.resolution import STEPS, Resolution, nearest

R = np.random.default_rng(0)
NORMAL = R.normal(size=400)

KINDS = {
    "any": (NORMAL, 0),
    "cents": (np.round(NORMAL * 100, 2), 0.01),
    "tenths, as multiples": (R.integers(-9, 9, 400) * 0.1, 0.1),
    "quarters": (R.integers(-9, 9, 400) * 0.25, 0.05),
    "counts": (R.poisson(7, 400).astype(float), 1),
    "hundreds": (R.integers(1, 90, 400) * 100.0, 100),
    "large, with cents": (np.round(NORMAL * 1e9, 2), 0.01),
    "too large for their last digits": (NORMAL * 1e15, 0),
    "tenths in single precision": (np.round(NORMAL, 1).astype(np.float32), 0.1),
    "any in single precision": (NORMAL.astype(np.float32), 0),
    "counts, and a half at the end": (np.append(np.arange(400.0), 7.5), 0.5),
    "few": (np.array([100.0, 300.0]), 1),
    "cents with gaps": (np.where(R.random(400) < 0.3, np.nan, np.round(NORMAL, 2)), 0.01),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_coarsest_step_is_found_whatever_the_blocks(kind):
    values, step = KINDS[kind]
    for size in (7, 1000):
        resolution = Resolution(1)
        for start in range(0, len(values), size):
            resolution.add(values[start : start + size, None].astype(float))
        assert resolution.steps(np.array([len(values)])).tolist() == [step]


def test_each_step_is_a_multiple_of_the_next():
    ratios = np.array(STEPS[:-1]) / np.array(STEPS[1:])
    np.testing.assert_allclose(ratios, np.rint(ratios))


def test_multiples_are_what_decimals_mean():
    assert nearest(np.array([0.31, 2.949, 1.14]), 0.1).tolist() == [0.3, 2.9, 1.1]
    assert nearest(np.array([7.3]), 0).tolist() == [7.3]


@pytest.mark.parametrize("named", [False, True])
def test_draws_are_values_that_the_column_can_hold(named):
    import pandas as pd

    rows = np.stack([np.round(np.abs(NORMAL), 1), R.poisson(2, 400).astype(float), NORMAL], 1)
    schema = infer_schema(open_source(pd.DataFrame(rows, columns=list("abc")) if named else rows))
    drawn = np.asarray(schema.to_rows(5 * torch.randn(900, 3), draws=True))
    assert (drawn.min(0) == rows.min(0)).all()
    assert (drawn.max(0) == rows.max(0)).all()
    assert set(drawn[:, 0]) <= set(np.round(np.arange(0, 99) / 10, 1))
    assert (drawn[:, 1] == np.rint(drawn[:, 1])).all()
    means = np.asarray(schema.to_rows(5 * torch.randn(900, 3), draws=False))
    assert (means.min(0) < rows.min(0)).all()
