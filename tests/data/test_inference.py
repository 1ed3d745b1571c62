"""The rules by which data is read, and what nothing can be learned from."""

import math

import numpy as np
import pandas as pd
import pytest

from likely.data import describe, infer_schema, open_source
from likely.data.rounding import is_same
from likely.data.statistics import Statistics
from likely.errors import DataError

RNG = np.random.default_rng(0)


def test_scaled_features_are_real_and_flat_pixels_are_not():
    scaled = RNG.random((200, 5))
    assert infer_schema(open_source(scaled)).domain == "real"
    for steps in (16, 255, 65_535):
        for dtype in (np.float32, np.float64):
            gray = (np.rint(scaled * steps) / steps).astype(dtype)
            pixels = np.where(RNG.random((200, 5)) < 0.3, 0.0, gray).astype(dtype)
            assert infer_schema(open_source(pixels)).domain == "unit"
            few = np.where(RNG.random((200, 5)) < 0.1, 0.0, gray).astype(dtype)
            assert infer_schema(open_source(few)).domain == "real"


def test_columns_that_were_scaled_by_their_own_range_are_real():
    """Of these a new row may well lie beyond 0 and 1, and is none the less ordinary."""
    counts = RNG.poisson([0.5, 1, 3, 9, 20], (300, 5)).astype(float)
    for rows in (counts, np.where(RNG.random((300, 5)) < 0.4, 0.0, RNG.random((300, 5)))):
        assert infer_schema(open_source(rows / rows.max(0))).domain == "real"


def test_counts_of_features_are_real():
    assert infer_schema(open_source(RNG.integers(0, 200, (50, 4)))).domain == "real"


def test_a_domain_can_be_set_to_real():
    schema = infer_schema(open_source(RNG.integers(0, 16, (50, 4), dtype=np.uint8)), domain="real")
    assert schema.domain == "real"
    assert len(schema.columns) == 4
    with pytest.raises(DataError, match="real"):
        infer_schema(open_source("digits"), domain="gaussian")


def test_0_1_columns_of_a_table_are_numbers():
    schema = infer_schema(open_source(pd.DataFrame({"a": [0, 1, 1], "b": [1, 0, 1]})))
    assert schema.domain == "real"
    assert [column.kind for column in schema.columns] == ["numeric", "numeric"]


def test_only_the_given_rows_are_learned_from():
    rows = RNG.normal(size=(100, 2))
    ids = np.arange(0, 100, 3)
    column = infer_schema(open_source(rows), ids=ids).columns[1]
    np.testing.assert_allclose([column.location, column.scale], [rows[ids, 1].mean(), rows[ids, 1].std()])


def test_classes_of_labels_in_their_order():
    assert infer_schema(open_source("digits")).classes == tuple("0123456789")


def test_statistics_of_blocks_are_those_of_the_whole():
    values = RNG.normal(1e6, [1e-3, 1, 1e3], (1000, 3))
    values[RNG.random(values.shape) < 0.1] = np.nan
    statistics = Statistics(3)
    for start in range(0, 1000, 37):
        statistics.add(values[start : start + 37])
    np.testing.assert_allclose(statistics.mean, np.nanmean(values, 0), rtol=1e-14)
    np.testing.assert_allclose(statistics.scale, np.nanstd(values, 0), rtol=1e-7)
    np.testing.assert_array_equal(statistics.low, np.nanmin(values, 0))
    np.testing.assert_array_equal(statistics.missing, np.isnan(values).sum(0))


def test_a_block_without_values_changes_nothing():
    statistics = Statistics(1)
    for values in ([np.nan, np.nan], [1.0, 3.0], [np.nan]):
        statistics.add(np.array(values)[:, None])
    assert (statistics.mean[0], statistics.scale[0], statistics.count[0]) == (2.0, 1.0, 2)


CORPUS = {
    "no row": (np.ones((0, 3)), ["found 0 rows", "at least 2"]),
    "one row": (np.ones((1, 3)), ["found 1 row,", "at least 2"]),
    "one value": (np.full((5, 3), 7.0), ["every value is 7", "nothing to learn"]),
    "one gray": (np.full((5, 4, 4), 7, np.uint8), ["every value is 7"]),
    "one column": (np.full((5, 1), 2.5), ["every value is 2.5"]),
    "constant columns": (np.tile([1.0, 2.0], (5, 1)), ["every column is constant"]),
    "all NaN": (np.full((5, 3), np.nan), ["missing"]),
    "inf": (np.array([[0.0, 1], [2, np.inf]]), ["row 1", "column 1", "inf"]),
    "inf in an image": (np.where(np.arange(32).reshape(2, 4, 4) == 21, -np.inf, 0.5), ["row 1", "(1, 1)", "-inf"]),
    "too large": (np.array([[1e200], [-1e200], [0]]), ["column 0", "1e+200"]),
}


@pytest.mark.parametrize("name", CORPUS)
def test_nothing_can_be_learned_from(name):
    rows, words = CORPUS[name]
    with pytest.raises(DataError) as caught:
        infer_schema(open_source(rows))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def column_of(values, rows=600):
    """The first column of a schema: these values in turn, beside one of noise."""
    values = np.resize(np.asarray(values), rows)
    other = RNG.normal(size=rows).astype(values.dtype if values.dtype.kind == "f" else float)
    frame = pd.DataFrame({"a": values, "b": other})
    return infer_schema(open_source(frame)).columns[0]


SAME = {
    "a sum": [0.1 + 0.2, 0.3],
    "a longer sum": [sum([0.1] * 10), 1.0],
    "the next number": [1e8 + 0.1, np.nextafter(1e8 + 0.1, 2e8)],
    "a root": [math.sqrt(2) ** 2, 2.0],
    "below zero": [-0.1 - 0.2, -0.3],
    "single precision": np.array([0.1, np.nextafter(np.float32(0.1), np.float32(1))], np.float32),
    "single precision, stored as double": np.array([0.7, np.nextafter(np.float32(0.7), np.float32(0))])
    .astype(np.float32)
    .astype(float),
}
DIFFERENT = {
    "a tiny spread": [1e8, 1e8 + 1e-6],
    "in the tenth digit": [0.3, 0.3000000001],
    "around zero": [-1e-100, 1e-100],
    "denormal": [0.0, 5e-324],
    "whole": [10.0**15, 10.0**15 + 1],
    "large and whole": [2**52, 2**52 + 1],
    "single digits apart in double": [0.7, 0.7 + 1e-8],
    "a step of single precision that is none": [0.7, float(np.float32(0.7))],
}


@pytest.mark.filterwarnings("ignore:constant")
@pytest.mark.parametrize("name", SAME)
def test_what_differs_by_rounding_alone_is_constant(name):
    column = column_of(SAME[name])
    assert column.constant == min(np.asarray(SAME[name], float))
    assert (column.scale, column.width) == (1.0, 0)


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_by_more_has_the_spread_that_it_has(name):
    column, values = column_of(DIFFERENT[name]), np.asarray(DIFFERENT[name], float)
    assert column.constant is None
    assert column.scale == pytest.approx(abs(values[1] - values[0]) / 2, rel=0.02, abs=0) or name == "denormal"


def test_a_spread_in_the_last_digits_is_not_that_of_rounding():
    """The mean's own rounding is larger than the spread; in one block and in many."""
    steps = np.arange(12) * np.spacing(0.3)
    values = np.column_stack([np.resize(0.3 + steps, 5000), RNG.normal(size=(5000, 2))])
    expected = np.resize(steps, 5000).std()
    for n_blocks in (1, 7):
        statistics = Statistics(3)
        for block in np.array_split(values, n_blocks):
            statistics.add(block)
        assert not statistics.constant[0]
        assert statistics.scale[0] == pytest.approx(expected, rel=0.05, abs=0)


@pytest.mark.filterwarnings("ignore:constant")
@pytest.mark.parametrize("kind", ["array", "table"])
def test_later_rows_may_differ_by_rounding_and_by_no_more(kind):
    rows = np.column_stack([np.resize([0.1 + 0.2, 0.3], 50), RNG.normal(size=50)])
    source = open_source(rows if kind == "array" else pd.DataFrame(rows, columns=["a", "b"]))
    schema = infer_schema(source)
    new = rows[:2].copy()
    new[:, 0] = np.nextafter(0.3, 0), 0.3
    for value, fits in ((0.1 + 0.2, True), (0.3000000001, True), (0.300001, False)):
        new[1, 0] = value
        given = open_source(new if kind == "array" else pd.DataFrame(new, columns=["a", "b"]))
        if fits:
            assert schema.to_model(given.read(np.arange(2))).shape == (2, 1)
        else:
            with pytest.raises(
                DataError,
                match=r"row 1.*found 0\.300001, expected 0\.3, the only value",
            ):
                schema.to_model(given.read(np.arange(2)))


def test_numbers_are_the_same_but_for_rounding_unless_they_are_whole():
    values = np.array(
        [0.5, np.nextafter(0.5, 1), float(np.nextafter(np.float32(0.5), np.float32(1))), 0.5 + 1e-9, 0.5 + 1e-6, np.nan]
    )
    assert is_same(values, 0.5).tolist() == [True, True, True, True, False, False]
    assert is_same(np.array([10_000_000.0, 10_000_001.0]), 10_000_000.0).tolist() == [True, False]
    assert is_same(np.array([2.0**53, 2.0**53 - 1]), 2.0**53).tolist() == [True, False]
    assert is_same(np.array([3.0, 3.0 + 1e-15, 4.0]), 3.0).tolist() == [True, True, False]


def test_description_tells_what_is_wrong(tmp_path):
    frame = pd.DataFrame(
        {
            "id": np.arange(100), "age": ["1", "2", "3", "?"] * 25, "gap": [1.0, None, 2.0, 5.0] * 25,
            "same": 3, "good": RNG.normal(size=100), "y": 1,
        }
    )  # fmt: skip
    source = open_source(frame, label="y")
    with pytest.warns(UserWarning, match="same"):
        schema = infer_schema(source)
    found = describe(source, schema)
    assert (found.name, found.rows, found.row_shape, found.missing) == ("DataFrame", 100, (4,), 25)
    assert found.labels == "1 classes: 1 (100 rows)"
    problems = "\n".join(found.problems)
    for line in (
        "100 rows",
        '"id" is set aside (identifier): numbers the rows',
        "'?'",
        '"gap": 25 of 100',
        '"same" is always 3',
        "all labels are the same",
    ):
        assert line in problems
    assert "good" not in problems
    assert [column.kind for column in found.columns] == ["identifier", "categorical", "numeric", "constant", "numeric"]
    assert found.to_json()["columns"][2]["missing"] == 25


def test_description_of_digits_finds_no_fault():
    source = open_source("digits")
    found = describe(source, infer_schema(source))
    assert found.problems == ()
    assert found.domain == "levels: whole numbers from 0 to 16"
    assert found.labels.startswith("10 classes: 0 (178 rows)")


def test_description_counts_official_parts(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=RNG.random((300, 4, 4)), x_test=RNG.random((40, 4, 4)))
    source = open_source(tmp_path / "a.npz")
    assert describe(source, infer_schema(source)).parts == {"train": 300, "test": 40}
