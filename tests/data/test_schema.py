"""Schemas: there and back again, the log-determinant against a numeric Jacobian, and what is refused."""

import dataclasses
import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch

from likely.data import infer_schema, open_source
from likely.errors import DataError

RNG = np.random.default_rng(0)


def _unit(*shape):
    return RNG.random((20, *shape))


ARRAYS = {
    "digits": RNG.integers(0, 17, (20, 8, 8), dtype=np.uint8),
    "gray": RNG.integers(0, 256, (20, 5, 6), dtype=np.uint8),
    "gray as int64": RNG.integers(0, 256, (20, 5, 6)),
    "RGB": RNG.integers(0, 256, (20, 5, 6, 3), dtype=np.uint8),
    "RGB first": RNG.integers(0, 256, (20, 3, 5, 6), dtype=np.uint8),
    "bits": RNG.random((20, 5, 6)) < 0.5,
    "bits as floats": (RNG.random((20, 12)) < 0.5).astype(np.float32),
    "black and white": (RNG.random((20, 5, 6)) < 0.5).astype(np.uint8) * 255,
    "unit": _unit(5, 6),
    "unit float32": _unit(5, 6, 2).astype(np.float32),
    "real image": RNG.normal(3, 2, (20, 5, 6, 3)),
    "real image first": RNG.normal(3, [[[1]], [[20]], [[0.1]]], (20, 3, 5, 6)),
    "real gray": RNG.normal(-3, 9, (20, 5, 6)).astype(np.float32),
    "volume": RNG.normal(-3, 9, (20, 5, 6, 7, 2)),
    "features": RNG.normal(5, [0.001, 1, 1000], (20, 3)),
    "features float32": RNG.normal(5, [0.001, 1, 1000], (20, 3)).astype(np.float32),
    "whole features": RNG.integers(-500, 500, (20, 4), dtype=np.int16),
    "letters": RNG.integers(0, 16, (20, 4), dtype=np.uint8),
    "wide gray": RNG.integers(0, 65_536, (20, 5, 6), dtype=np.uint16),
}
EXPECTED = {
    "digits": ("image", "levels", 0, 16, 17, None, (1, 8, 8)),
    "gray": ("image", "levels", 0, 255, 256, None, (1, 5, 6)),
    "gray as int64": ("image", "levels", 0, 255, 256, None, (1, 5, 6)),
    "RGB": ("image", "levels", 0, 255, 256, -1, (3, 5, 6)),
    "RGB first": ("image", "levels", 0, 255, 256, 0, (3, 5, 6)),
    "bits": ("image", "binary", 0, 1, 2, None, (1, 5, 6)),
    "bits as floats": ("array", "binary", 0, 1, 2, None, (12,)),
    "black and white": ("image", "binary", 0, 255, 2, None, (1, 5, 6)),
    "unit": ("image", "unit", 0, 1, 0, None, (1, 5, 6)),
    "unit float32": ("image", "unit", 0, 1, 0, -1, (2, 5, 6)),
    "real image": ("image", "real", 0, 1, 0, -1, (3, 5, 6)),
    "real image first": ("image", "real", 0, 1, 0, 0, (3, 5, 6)),
    "real gray": ("image", "real", 0, 1, 0, None, (1, 5, 6)),
    "volume": ("array", "real", 0, 1, 0, None, (5, 6, 7, 2)),
    "features": ("array", "real", 0, 1, 0, None, (3,)),
    "features float32": ("array", "real", 0, 1, 0, None, (3,)),
    "whole features": ("array", "real", 0, 1, 0, None, (4,)),
    "letters": ("array", "levels", 0, 15, 16, None, (4,)),
    "wide gray": ("image", "unit", 0, 65_535, 0, None, (1, 5, 6)),
}


def _fields(schema):
    return (schema.kind, schema.domain, schema.low, schema.high, schema.levels, schema.channel_axis, schema.x_shape)


@pytest.mark.parametrize("name", ARRAYS)
def test_what_arrays_are(name):
    rows = ARRAYS[name]
    schema = infer_schema(open_source(rows))
    assert _fields(schema) == EXPECTED[name]
    assert schema.row_shape == rows.shape[1:]
    assert schema.n_values == rows[0].size
    assert len(schema.feature_names) == (rows.shape[1] if rows.ndim == 2 else 0)


@pytest.mark.parametrize("name", ARRAYS)
def test_there_and_back_again(name):
    rows = ARRAYS[name]
    schema = infer_schema(open_source(rows))
    x = schema.to_model(rows, dtype=torch.float64)
    assert x.shape == (20, *schema.x_shape)
    if schema.domain == "real":
        grouped = (
            x.flatten(2) if len(schema.location) > 1 else x.flatten(1)[:, None] if not schema.columns else x[..., None]
        )
        np.testing.assert_allclose(grouped.mean((0, 2)), 0, atol=1e-9)
        np.testing.assert_allclose(grouped.std((0, 2), correction=0), 1, rtol=1e-6)
    else:
        assert x.min() >= 0
        assert x.max() <= 1
    means, draws = schema.to_rows(x, draws=False), schema.to_rows(x.numpy(), draws=True)
    assert draws.dtype == rows.dtype
    assert means.dtype.kind == "f"
    if rows.dtype.kind == "f":
        np.testing.assert_allclose(draws, rows, rtol=1e-6)
    else:
        np.testing.assert_array_equal(draws, rows)
    np.testing.assert_allclose(means, rows, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ARRAYS)
def test_log_det_is_that_of_a_numeric_jacobian(name):
    schema = infer_schema(open_source(ARRAYS[name]))
    low, high, units = _steps(schema, ARRAYS[name][:2].astype(np.float64))
    # The map acts on each value alone, so the Jacobian is diagonal.
    rise = schema.to_model(high, dtype=torch.float64) - schema.to_model(low, dtype=torch.float64)
    slopes = rise.numpy().reshape(2, -1) / _in_model_order(schema, units)
    found = schema.log_det(schema.to_model(ARRAYS[name][:2]))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, np.log(slopes).sum(1), rtol=1e-6, atol=1e-9)


def _steps(schema, rows):
    """Two neighboring rows inside the domain and how far apart they are, in units: steps where values are whole."""
    if schema.levels:
        top = schema.low + (schema.high - schema.low) / (schema.levels - 1)
        return np.full_like(rows, schema.low), np.full_like(rows, top), np.ones_like(rows)
    high = np.where(rows + 0.01 > schema.high, rows - 0.01, rows + 0.01) if schema.domain == "unit" else rows + 0.01
    return rows, high, high - rows


def _in_model_order(schema, rows):
    moved = np.moveaxis(rows, -1, 1) if schema.channel_axis == -1 else rows
    return moved.reshape(len(rows), -1)


@pytest.mark.parametrize("name", ["features", "real image", "unit", "volume"])
def test_log_det_counts_only_what_is_there(name):
    schema = infer_schema(open_source(ARRAYS[name]))
    x = schema.to_model(ARRAYS[name][:4])
    alone = torch.full_like(x[:1], torch.nan)
    hole = (0,) * len(schema.x_shape)
    alone[0][hole] = 0.0
    whole = schema.log_det(x)
    x[1][hole] = torch.nan
    assert torch.allclose(schema.log_det(x), whole - torch.tensor([0, 1, 0, 0]) * schema.log_det(alone))
    assert schema.log_det(torch.full_like(x, torch.nan)).eq(0).all()


def test_log_det_of_categories_is_none():
    rows = pa.table({"x": [0.0, 2.0, 4.0], "c": ["a", "b", "a"]})
    schema = infer_schema(open_source(rows))
    x = schema.to_model(rows)
    np.testing.assert_allclose(schema.log_det(x), -np.log(np.std([0, 2, 4])))


def test_constant_columns_are_set_aside_and_put_back():
    rows = RNG.normal(size=(30, 4))
    rows[:, 1], rows[:, 3] = 2.5, -1.0
    with pytest.warns(UserWarning, match="x1.*2.5.*x3"):
        schema = infer_schema(open_source(rows))
    x = schema.to_model(rows)
    assert x.shape == (30, 2)
    assert schema.feature_names == ("x0", "x2")
    np.testing.assert_allclose(schema.to_rows(x.double(), draws=True), rows, atol=1e-6)
    assert schema.to_rows(x, draws=False)[:, 3].tolist() == [-1.0] * 30


def test_draws_are_clipped_and_rounded_to_what_there_is():
    schema = infer_schema(open_source(ARRAYS["digits"]))
    x = torch.linspace(-0.5, 1.5, 64).reshape(1, 1, 8, 8)
    rows = schema.to_rows(x, draws=True)
    assert rows.dtype == np.uint8
    assert (rows.min(), rows.max()) == (0, 16)
    whole = infer_schema(open_source(ARRAYS["whole features"]))
    far_out = torch.tensor([[1e9, -1e9, 0, 0]])
    rows = ARRAYS["whole features"]
    assert whole.to_rows(far_out, draws=True)[0, :2].tolist() == [rows[:, 0].max(), rows[:, 1].min()]
    columns = tuple(dataclasses.replace(column, low=None, high=None) for column in whole.columns)
    of_older_files = dataclasses.replace(whole, columns=columns)
    assert of_older_files.to_rows(far_out, draws=True)[0, :2].tolist() == [32_767, -32_768]


def test_all_levels_are_exact_in_float32():
    rows = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(2, 0)
    schema = infer_schema(open_source(rows))
    x = schema.to_model(rows)
    assert torch.equal((x * 255).round(), torch.arange(256.0).reshape(1, 1, 16, 16).expand(2, -1, -1, -1))
    assert torch.equal(x, schema.to_model(rows.astype(np.float64)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_is_as_asked(dtype):
    for rows in (ARRAYS["gray"], ARRAYS["features"], ARRAYS["real image"]):
        assert infer_schema(open_source(rows)).to_model(rows, dtype=dtype).dtype == dtype


def test_arrays_that_torch_does_not_like_are_read_and_not_written():
    rows = ARRAYS["unit"].copy()
    rows.flags.writeable = False
    schema = infer_schema(open_source(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = schema.to_model(rows, dtype=torch.float64)
        backwards = schema.to_model(rows[::-1], dtype=torch.float64)
        foreign = schema.to_model(rows.astype(">f8"), dtype=torch.float64)
    assert torch.equal(backwards.flip(0), x)
    assert torch.equal(foreign, x)
    x.zero_()
    assert rows.any()


def test_a_model_tensor_is_never_a_view_of_the_rows():
    for dtype in (np.float32, np.float64):
        rows = ARRAYS["unit"].astype(dtype)
        schema = infer_schema(open_source(rows))
        schema.to_model(rows, dtype=torch.float32 if dtype == np.float32 else torch.float64).fill_(9)
        assert rows.max() <= 1


LATER = {
    "another size": ("gray", lambda r: r[:, :4], ["(4, 6)", "rows, 5, 6", "size=(5, 6)"]),
    "another width": ("features", lambda r: r[:, :2], ["(2,)", "rows, 3"]),
    "flat": ("gray", lambda r: r.reshape(20, -1), ["(30,)"]),
    "a table": ("features", lambda r: pa.table({"a": [1]}), ["Table", "to_numpy"]),
    "text": ("features", lambda r: r.astype(str), ["numbers"]),
    "NaN": ("features", lambda r: _with(r, (3, 1), np.nan), ["row 3", "column 1: found no value", "takes missing"]),
    "inf": ("features", lambda r: _with(r, (3, 1), np.inf), ["row 3", "column 1", "inf"]),
    "inf in an image": ("real image", lambda r: _with(r, (3, 1, 2, 0), np.inf), ["row 3", "(1, 2, 0)", "inf"]),
    "no bit": ("bits", lambda r: _with(r.astype(int), (2, 0, 1), 2), ["row 2", "found 2", "only 0 and 1"]),
    "gray where black and white": (
        "black and white",
        lambda r: _with(r, (2, 0, 1), 9),
        ["row 2", "found 9", "only 0 and 255"],
    ),
    "no level": ("digits", lambda r: _with(r, (5, 0, 0), 17), ["row 5", "found 17", "whole numbers from 0 to 16"]),
    "not whole": ("gray", lambda r: _with(r.astype(float), (5, 0, 0), 0.5), ["row 5", "found 0.5", "whole"]),
    "above the unit": ("unit", lambda r: r * 255, ["row 0", "from 0 to 1", "598 cells", "and 578 more"]),
    "below the unit": ("unit", lambda r: _with(r, (7, 0, 0), -0.5), ["row 7", "found -0.5"]),
}


def _with(rows, at, value):
    rows = rows.copy()
    rows[at] = value
    return rows


@pytest.mark.parametrize("name", LATER)
def test_later_rows_that_differ_are_refused(name):
    base, change, words = LATER[name]
    rows = ARRAYS[base]
    with pytest.raises(DataError) as caught:
        infer_schema(open_source(rows)).to_model(change(rows))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_changed_constant_is_refused():
    rows = np.column_stack([np.arange(5.0), np.full(5, 3.0)])
    with pytest.warns(UserWarning, match="x1"):
        schema = infer_schema(open_source(rows))
    with pytest.raises(DataError, match=r"file 2, column 1: found 4, expected 3"):
        schema.to_model(_with(rows, (2, 1), 4.0), place=lambda i: f"file {i}")


@pytest.mark.parametrize("name", ["features", "real image", "unit", "bits as floats"])
def test_missing_stays_missing_where_allowed(name):
    rows = ARRAYS[name].astype(np.float64)
    rows[4].flat[1] = np.nan
    schema = infer_schema(open_source(rows))
    assert schema.missing == 1
    assert schema.domain == EXPECTED[name][1]
    x = schema.to_model(rows, missing_ok=True)
    assert int(x.isnan().sum()) == 1
    assert x[4].isnan().any()


def test_no_rows_are_fine_later():
    for name in ("features", "gray", "real image", "bits"):
        schema = infer_schema(open_source(ARRAYS[name]))
        assert schema.to_model(ARRAYS[name][:0]).shape == (0, *schema.x_shape)


def test_dequantization_fills_the_bins():
    schema = infer_schema(open_source(ARRAYS["digits"]))
    x = schema.to_model(ARRAYS["digits"])
    assert schema.is_random(True)
    assert not schema.is_random(False)
    assert schema.draw(x, torch.zeros_like(x), False) is x
    bottom, top = schema.draw(x, torch.zeros_like(x), True), schema.draw(x, torch.ones_like(x), True)
    assert torch.allclose(top - bottom, torch.full_like(x, 1 / 16))
    assert torch.allclose((top + bottom) / 2, x)


def test_dynamic_binarization_draws_bits_of_the_gray_value():
    schema = infer_schema(open_source(ARRAYS["gray"]), binarize=True)
    assert (schema.domain, schema.levels, schema.high, schema.binarize) == ("binary", 2, 255, True)
    x = schema.to_model(ARRAYS["gray"])
    assert schema.is_random(False)
    u = torch.rand(4000, *x.shape[1:], generator=torch.Generator().manual_seed(0))
    bits = schema.draw(x[:1].expand(4000, -1, -1, -1), u, False)
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    assert (bits.mean(0) - x[0]).abs().max() < 0.05
    assert set(np.unique(schema.to_rows(bits[:5], draws=True))) == {0, 255}
    spread = schema.draw(x[:1].expand(4000, -1, -1, -1), u, True)
    assert torch.equal(spread.round().clamp(0, 1), bits)
    left = spread - bits
    assert left.abs().max() <= 0.5
    assert abs(float(left[bits == 1].mean())) < 0.01
    assert abs(float(left[bits == 0].var()) - 1 / 12) < 0.005
    hole = x[:1].clone()
    hole[0, 0, 0, 0] = torch.nan
    assert schema.draw(hole, torch.zeros_like(hole), False).isnan().sum() == 1


def test_binarizing_real_numbers_is_refused():
    with pytest.raises(DataError, match="binarize"):
        infer_schema(open_source(ARRAYS["features"]), binarize=True)


def test_x_of_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(n, 3\)"):
        infer_schema(open_source(ARRAYS["features"])).to_rows(torch.zeros(2, 4), draws=True)
