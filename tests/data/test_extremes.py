"""Few values far from all others are told, and units and networks are not at their mercy; heavy tails are kept."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

import likely
from likely.data import Schema, describe, infer_schema, open_source
from likely.data.extremes import LEAST_BEND, find_far
from likely.data.standard import LARGEST, in_units, log_slope_of_bend, standardized
from likely.data.statistics import Statistics
from likely.errors import ModelFileError
from likely.networks import MLP

N = 1200

ORDINARY = {
    "normal": lambda r, n: r.normal(size=n),
    "uniform": lambda r, n: r.random(n),
    "exponential": lambda r, n: r.exponential(size=n),
    "log-normal": lambda r, n: r.lognormal(0, 1, n),
    "log-normal, wide": lambda r, n: r.lognormal(0, 2, n),
    "Student t, 3": lambda r, n: r.standard_t(3, n),
    "Student t, 2": lambda r, n: r.standard_t(2, n),
    "Cauchy": lambda r, n: r.standard_cauchy(n),
    "amounts, mostly none": lambda r, n: np.where(r.random(n) < 0.9, 0, r.lognormal(3, 1, n)),
    "rare events": lambda r, n: (r.random(n) < 0.02) * 1.0,
    "counts": lambda r, n: r.negative_binomial(1, 0.02, n) * 1.0,
    "cents": lambda r, n: r.lognormal(3, 1.2, n).round(2),
    "numbers of rows": lambda r, n: np.arange(n) * 1.0,
    "two clusters": lambda r, n: np.where(r.random(n) < 0.02, r.normal(5, 0.5, n), r.normal(size=n)),
}


def statistics_of(values, block=8192):
    statistics = Statistics(1, len(values))
    with np.errstate(all="ignore"):
        for start in range(0, len(values), block):
            statistics.add(values[start : start + block, None].astype(float))
    return statistics


def far_in(values):
    return find_far(statistics_of(values), lambda: [values[:, None].astype(float)])


@pytest.mark.parametrize("n", [100, 1000, 30_000])
@pytest.mark.parametrize("name", ORDINARY)
def test_columns_without_far_values_keep_mean_and_standard_deviation(name, n):
    for seed in range(3):
        values = ORDINARY[name](np.random.default_rng(seed), n)
        assert not far_in(values)
        statistics = statistics_of(values)
        np.testing.assert_allclose(statistics.mean[0], values.mean(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(statistics.scale[0], values.std(), rtol=1e-9)


def placed(values, *far):
    """The same with far values: (share or number, value) each."""
    rows = values.astype(float)
    free = np.random.default_rng(9).permutation(len(rows))
    for much, value in far:
        n = much if isinstance(much, int) else round(much * len(rows))
        rows[free[:n]], free = value, free[n:]
    return rows


NORMAL = np.random.default_rng(0).normal(size=N)
SENTINELS = {
    "-999": (NORMAL, (0.02, -999)),
    "99": (NORMAL, (0.02, 99)),
    "-1 beside shares": (np.random.default_rng(1).normal(0.03, 0.01, N), (0.02, -1)),
    "9999 beside ages": (np.random.default_rng(1).integers(18, 90, N), (0.04, 9999)),
    "-999 beside a heavy tail": (np.random.default_rng(1).lognormal(0, 1, N), (0.02, -999)),
    "1e30": (NORMAL, (1, 1e30)),
    "1e30 beside Cauchy": (np.random.default_rng(1).standard_cauchy(N), (1, 1e30)),
    "a slip": (NORMAL, (1, 1e4)),
    "the largest number": (NORMAL, (0.01, LARGEST)),
    "two of them": (NORMAL, (0.02, -999), (0.01, 9999)),
    "both largest numbers": (NORMAL, (3, LARGEST), (2, -LARGEST)),
}


@pytest.mark.parametrize("name", SENTINELS)
def test_location_and_scale_are_those_of_the_other_values(name):
    values, *far = SENTINELS[name]
    rows = placed(values, *far)
    others = rows[~np.isin(rows, [value for _, value in far])]
    (found,) = far_in(rows).values()
    np.testing.assert_allclose([found.location, found.scale], [others.mean(), others.std()], rtol=1e-12)
    assert found.far.count == len(rows) - len(others)
    assert found.far.value == far[0][1]
    assert found.far.times == (rows == far[0][1]).sum()
    assert (found.far.low, found.far.high) == (rows.min(), rows.max())
    assert found.far.bend >= max(LEAST_BEND, np.abs(others - others.mean()).max() / others.std())


@pytest.mark.parametrize("block", [700, 30_000])
def test_a_sample_of_many_values_is_enough(block, monkeypatch):
    """Of 30,000 values 1,000 are kept; one 1e30 is hardly among them."""
    monkeypatch.setattr("likely.data.statistics.MAX_SAMPLE", 1000)
    values = np.random.default_rng(0).normal(size=30_000)
    for far in ((1, 1e30), (0.02, -999.0)):
        rows = placed(values, far)
        statistics = statistics_of(rows, block)
        assert 800 < len(statistics.sample(0)) < 1200
        (found,) = find_far(statistics, lambda rows=rows: np.array_split(rows[:, None], 7)).values()
        others = rows[rows != far[1]]
        np.testing.assert_allclose([found.location, found.scale], [others.mean(), others.std()], rtol=1e-9)
        assert found.far.count == len(rows) - len(others)


@pytest.mark.parametrize("share", [0.08, 0.3])
def test_values_that_are_not_few_are_part_of_the_column(share):
    assert not far_in(placed(NORMAL, (share, -999)))


def table(far=(0.02, -999), seed=0):
    """Six columns of three numbers, the second with far values."""
    random = np.random.default_rng(seed)
    z = random.normal(size=(N, 3))
    x = np.column_stack([z, z @ np.random.default_rng(7).normal(size=(3, 3)) + 0.5 * random.normal(size=(N, 3))])
    if far is not None:
        x[:, 1] = placed(x[:, 1], far)
    return x


@pytest.mark.parametrize("kind", ["array", "table", "table with gaps"])
def test_a_schema_knows_them_and_tells_them(kind):
    x = table()
    if kind == "table with gaps":
        x[np.random.default_rng(1).random(N) < 0.1, 1] = np.nan
    data = x if kind == "array" else pd.DataFrame(x, columns=list("abcdef"))
    name = "x1" if kind == "array" else "b"
    n_far = int((x[:, 1] == -999).sum())
    source = open_source(data)
    with pytest.warns(UserWarning, match=rf'column "{name}": {n_far} values of -999, far from all others'):
        schema = infer_schema(source)
    assert [column.far is not None for column in schema.columns] == [False, True, False, False, False, False]
    column, others = schema.columns[1], x[(x[:, 1] != -999) & ~np.isnan(x[:, 1]), 1]
    np.testing.assert_allclose([column.location, column.scale], [others.mean(), others.std()], rtol=1e-12)
    (problem,) = [line for line in describe(source, schema).problems if "far" in line]
    assert problem.startswith(f'column "{name}": {n_far} values of -999, far from all others (mean ')
    assert problem.endswith("correct them, or leave the cells empty if they mean missing")
    assert describe(source, schema).columns[1].values.endswith(f", without {n_far} far values")


@pytest.mark.parametrize(
    ("far", "words"),
    [
        ([(1, 1e30)], "a value of 1e+30, far from all others (mean "),
        ([(3, -999.0), (2, 8e4)], "5 values such as -999 (3 times), far from all others (mean "),
    ],
)
@pytest.mark.filterwarnings("ignore:column")
def test_they_are_told_in_words(far, words):
    source = open_source(placed(NORMAL, *far)[:, None])
    (problem,) = [line for line in describe(source, infer_schema(source)).problems if "far" in line]
    assert words in problem
    assert ("correct it, or leave the cell empty if it means missing" in problem) == (len(far) == 1)


# What a model sees of them.

Z = np.concatenate([-np.geomspace(1e300, 1e-3, 200), [0.0], np.geomspace(1e-3, 1e300, 200)])


def test_far_values_are_squeezed_and_come_back():
    squeezed = standardized(Z * 3 + 5, 5.0, 3.0, 12.0)
    assert (np.diff(squeezed) > 0).all()
    assert np.abs(squeezed).max() < 12 + 7
    straight = np.abs(Z) <= 12
    np.testing.assert_allclose(squeezed[straight], Z[straight], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(in_units(squeezed, 5.0, 3.0, 12.0), Z * 3 + 5, rtol=1e-9)


def test_a_huge_value_by_a_small_scale_is_a_number():
    squeezed = standardized(np.array([LARGEST, -LARGEST]), 0.0, 1e-9, 10.0)
    assert np.isfinite(squeezed.astype(np.float32)).all()
    np.testing.assert_allclose(in_units(squeezed, 0.0, 1e-9, 10.0), [LARGEST, -LARGEST], rtol=1e-9)
    assert in_units(np.array([50.0]), 0.0, 1.0, 10.0) == LARGEST


def test_the_slope_is_the_derivative():
    z = torch.tensor([-1e6, -50.0, -12.5, -12.0, -3.0, 0.0, 7.0, 12.1, 30.0, 1e9], dtype=torch.float64)
    raw = z.numpy() * 3 + 5
    step = 1e-6 * np.maximum(np.abs(raw), 1)
    numeric = (standardized(raw + step, 5.0, 3.0, 12.0) - standardized(raw - step, 5.0, 3.0, 12.0)) / (2 * step)
    squeezed = torch.from_numpy(standardized(raw, 5.0, 3.0, 12.0))
    slope = log_slope_of_bend(squeezed, torch.tensor(12.0)) - math.log(3)
    clear = (z.abs() - 12).abs() > 1e-3  # at the bend the derivative's own derivative jumps
    np.testing.assert_allclose(slope[clear], np.log(numeric)[clear], atol=1e-5)


@pytest.fixture(scope="module")
def schema():
    with pytest.warns(UserWarning, match="far from all others"):
        return infer_schema(open_source(table()))


def test_a_schema_carries_the_slope(schema):
    """Against the change of volume that differences tell, value by value, also where some are missing."""
    x = table()[:40].copy()
    x[0, 1], x[1, 1], x[2, 2] = -999, 1e12, np.nan
    seen = schema.to_model(x, dtype=torch.float64, missing_ok=True)
    step = 1e-6 * np.maximum(np.abs(x), 1)
    numeric = np.log((schema.to_model(x + step, dtype=torch.float64, missing_ok=True).numpy() - seen.numpy()) / step)
    np.testing.assert_allclose(schema.log_det(seen), np.nansum(numeric, 1), atol=1e-4)


def test_rows_come_back_and_draws_stay_among_what_there_was(schema):
    x = table()
    seen = schema.to_model(x, dtype=torch.float64)
    np.testing.assert_allclose(schema.to_rows(seen, draws=False), x, rtol=1e-9)
    np.testing.assert_allclose(schema.to_rows(seen.float(), draws=False), x, rtol=1e-4, atol=1e-5)
    seen[0, 1], seen[1, 1] = 40.0, -40.0
    drawn = schema.to_rows(seen, draws=True)
    assert (drawn[0, 1], drawn[1, 1]) == (schema.columns[1].far.high, -999)


def test_it_is_kept_and_files_without_it_are_read(schema):
    data = json.loads(json.dumps(schema.to_json()))
    assert Schema.from_json(data) == schema
    for column in data["columns"]:
        del column["far"]
    assert all(column.far is None for column in Schema.from_json(data).columns)


@pytest.mark.parametrize(("field", "value"), [("bend", 0.0), ("count", 0), ("value", "x"), ("low", None), ("more", 1)])
def test_a_damaged_file_is_refused(schema, field, value):
    data = schema.to_json()
    data["columns"][1]["far"] |= {field: value}
    with pytest.raises(ModelFileError, match="far"):
        Schema.from_json(data)


DETECTORS = {
    "pca": {},
    "ppca": {},
    "vae": {"network": MLP((16,)), "train": likely.TrainConfig(epochs=15)},
    "made": {"hidden": (16,), "train": likely.TrainConfig(epochs=15)},
}


@pytest.mark.filterwarnings("ignore:column")
@pytest.mark.parametrize("far", [(0.02, -999), (1, 1e30), (1, LARGEST)], ids=str)
@pytest.mark.parametrize("name", DETECTORS)
def test_what_is_strange_is_found_beside_them(name, far):
    """A shift by eight standard deviations of the other values, in the column of the far ones: it was found in 3 %."""
    fitted = likely.fit(name, table(far), **DETECTORS[name])
    shifted = table(None, seed=1)[:300]
    assert fitted.score(shifted).is_novel.mean() < 0.1
    shifted[:, 1] += 8 * shifted[:, 1].std()
    assert fitted.score(shifted).is_novel.mean() > 0.95
    assert np.isfinite(fitted.surprise(table(far))).all()
