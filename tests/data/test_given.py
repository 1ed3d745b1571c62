"""What goes in comes out: tables with gaps, in whatever they are handed in."""

import datetime
import decimal
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import likely
from likely.data.given import Change, Given
from likely.data.tables import TableSource

N = 200
GAPS = {"count": 3, "price": 4, "land": 5, "yes": 6}


def people() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    a = generator.normal(10, 3, N)
    return pd.DataFrame(
        {
            "id": 2**53 + 1 + 2 * np.arange(N),
            "count": np.rint(np.abs(a)).astype(np.int64),
            "zip": [f"{i:05}" for i in range(N)],
            "price": np.round(2 * a, 2),
            "land": generator.choice(["NA", "ZA", "KR"], N),
            "yes": generator.choice([True, False], N),
            "born": [datetime.date(2000, 1, 1) + datetime.timedelta(days=i) for i in range(N)],
            "site": 1,
            "sick": generator.choice(["a", "b"], N),
        },
        index=[f"r{i}" for i in range(N)],
    )


@pytest.fixture(scope="module")
def fitted() -> likely.Fitted:
    table = people().drop(columns=["born"])
    config = likely.TrainConfig(epochs=1, seed=0)
    with pytest.warns(UserWarning, match="constant"):
        return likely.fit("vae", table, label="sick", drop=["id", "zip"], train=config, calibrate="none")


def in_pandas() -> pd.DataFrame:
    table = people().astype({"count": "Int64", "land": "category", "yes": "boolean", "price": "float32"})
    for name, row in GAPS.items():
        table.iloc[row, table.columns.get_loc(name)] = pd.NA if name in ("count", "yes") else None
    table.loc["r7", "site"] = 7
    return table


def in_polars() -> pl.DataFrame:
    table = pl.from_pandas(in_pandas().reset_index(drop=True))
    return table.with_columns(pl.col("price").cast(pl.Decimal(12, 2)), pl.col("count").cast(pl.Int16))


def in_arrow() -> pa.Table:
    return pa.Table.from_pandas(in_pandas())


def source_of(data: Any) -> TableSource:
    source = likely.open_source(data)
    assert isinstance(source, TableSource)
    return source.setting_aside("sick", ["id", "zip", "born"])


@pytest.mark.parametrize("make", [in_pandas, in_polars, in_arrow])
def test_a_table_comes_back_as_it_was_but_for_its_gaps(make: Callable[[], Any], fitted):
    left = make()
    for found in (fitted.restore(source_of(left)), *fitted.draw_restorations(source_of(left), 2)):
        assert type(found) is type(left)
        if isinstance(left, pd.DataFrame):
            assert found.dtypes.equals(left.dtypes)
            assert found.index.equals(left.index)
        else:
            assert found.schema == left.schema
        before, after = (as_dict(each) for each in (left, found))
        for name, values in before.items():
            for row, (was, now) in enumerate(zip(values, after[name], strict=True)):
                if GAPS.get(name) == row:
                    assert was is None
                    assert now is not None
                else:
                    assert (now, type(now)) == (was, type(was)), (name, row)
        assert after["count"][3] == round(after["count"][3])
        assert round(float(after["price"][4]), 2) == pytest.approx(float(after["price"][4]), rel=1e-6)
        assert after["land"][5] in ("NA", "ZA", "KR")
    assert as_dict(left) == as_dict(make())  # nothing was written into what was handed in


def as_dict(table: Any) -> dict[str, list[Any]]:
    if isinstance(table, pd.DataFrame):
        return pa.Table.from_pandas(table).to_pydict()
    return table.to_pydict() if isinstance(table, pa.Table) else table.to_dict(as_series=False)


def test_reconstructions_are_means_beside_all_that_the_model_does_not_see(fitted):
    left = in_pandas().drop(columns=["born"])
    again = fitted.reconstruct(source_of(left.assign(born=1)))
    assert list(again) == [*left, "born"]
    assert again.index.equals(left.index)
    for name in ("id", "zip", "site", "sick"):
        pd.testing.assert_series_equal(again[name], left[name])
    assert again["count"].dtype == np.float64
    assert (again["count"] != np.rint(again["count"])).any()
    spread_of = left.drop(columns=["land", "yes"])
    assert set(again["land"]) <= {"NA", "ZA", "KR"}
    assert len(spread_of) == N


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (pa.array([1, None, 3], pa.int8()), [500.4], [1, 127, 3]),
        (pa.array([True, None, False]), [0.7], [True, True, False]),
        (pa.array([decimal.Decimal("1.50"), None, None]), [2.0, 3.25], ["1.50", "2.00", "3.25"]),
        (pa.array(["a", None, "b"]).dictionary_encode(), ["c"], ["a", "c", "b"]),
        (pa.array([None, None], pa.null()), [1.0, 2.0], [1.0, 2.0]),
        (pa.array(["1", None]), [2.0], ["1", "2"]),
    ],
)
def test_cells_take_the_type_of_their_column(column, values, expected):
    rows = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    table = Given(pa.table({"a": column})).with_changes([Change("a", rows, pa.array(values))])
    found = table.column("a").to_pylist()
    assert [str(each) if isinstance(each, decimal.Decimal) else each for each in found] == expected
    if not pa.types.is_null(column.type):
        assert table.schema.field("a").type == column.type


def test_arrays_keep_their_type_where_nothing_is_missing():
    rows = np.random.default_rng(0).poisson(9, (100, 3)).astype(np.int16)
    config = likely.TrainConfig(epochs=0.2, seed=0)
    fitted = likely.fit("vae", rows.astype(np.float32), train=config, calibrate="none")
    for given in (rows, rows.astype(np.float64)):
        found = fitted.restore(given)
        assert found.dtype == given.dtype
        np.testing.assert_array_equal(found, given)
    left = rows.astype(np.float64)
    left[3, 1] = np.nan
    found = fitted.restore(left)
    assert found.dtype == left.dtype
    assert found[3, 1] == np.rint(found[3, 1])
