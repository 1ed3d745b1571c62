"""A schema in JSON: the same after a round trip, and nothing else is believed."""

import contextlib
import copy
import json

import numpy as np
import pyarrow as pa
import pytest

from likely.data import Schema, infer_schema, open_source
from likely.data.schema_json import _SCHEMA_LATER
from likely.errors import ModelFileError

RNG = np.random.default_rng(0)
DATA = {
    "table": pa.table({"x": [1.0, 2.0, None], "c": ["a", "b", "a"], "same": [1, 1, 1], "k": ["z", "z", "z"]}),
    "features": RNG.normal(size=(5, 3)),
    "image": RNG.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8),
    "real image": RNG.normal(size=(5, 4, 4, 3)),
    "bits": RNG.random((9, 4, 4)) < 0.5,
    "volume": RNG.normal(size=(5, 6, 7, 8, 9)),
}


@pytest.fixture(scope="module", params=DATA)
def schema(request):
    with pytest.warns(UserWarning, match="constant") if request.param == "table" else contextlib.nullcontext():
        return infer_schema(open_source(DATA[request.param]))


def test_round_trip(schema):
    text = json.dumps(schema.to_json(), allow_nan=False)
    assert Schema.from_json(json.loads(text)) == schema
    assert json.loads(text) == schema.to_json()


WRONG = [
    None,
    True,
    -5,
    1.5,
    10**400,
    float("nan"),
    float("inf"),
    "x",
    "x" * 20_000,
    [],
    [0],
    {},
    [[1]],
    [None],
    {"a": 1},
]


def test_no_wrong_value_of_any_field_gets_through(schema):
    data = schema.to_json()
    for field, right in data.items():
        for wrong in WRONG:
            changed = copy.deepcopy(data) | {field: wrong}
            refusal = _refusal(changed)
            if refusal is None:  # then it is right of itself
                assert Schema.from_json(changed).to_json() == changed
                assert isinstance(wrong, bool) == isinstance(right, bool)
            else:
                assert "schema" in refusal
                assert "\n" not in refusal


def _refusal(data):
    try:
        Schema.from_json(data)
    except ModelFileError as error:
        return str(error)
    return None


def test_missing_and_unknown_fields_are_named(schema):
    data = schema.to_json()
    assert Schema.from_json({name: value for name, value in data.items() if name not in _SCHEMA_LATER}) == schema
    for field in data.keys() - _SCHEMA_LATER:
        with pytest.raises(ModelFileError, match=field):
            Schema.from_json({name: value for name, value in data.items() if name != field})
    with pytest.raises(ModelFileError, match="extra"):
        Schema.from_json({**data, "extra": 1})


@pytest.mark.parametrize("data", [None, [], "x", 1, {}])
def test_what_is_no_schema(data):
    with pytest.raises(ModelFileError, match="schema"):
        Schema.from_json(data)


def _table():
    with pytest.warns(UserWarning, match="constant"):
        return infer_schema(open_source(DATA["table"])).to_json()


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", 1), ("kind", "date"), ("location", float("nan")), ("location", "1"), ("scale", 0), ("scale", -1),
        ("scale", float("inf")), ("categories", ["a"]), ("constant", "text"), ("constant", [1]), ("missing", -1),
        ("missing", 1.5), ("whole", 1), ("dtype", "object"), ("dtype", "str"), ("scale", True),
    ],
)  # fmt: skip
def test_columns_are_checked(field, wrong):
    data = _table()
    data["columns"][0][field] = wrong
    with pytest.raises(ModelFileError, match=field):
        Schema.from_json(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(row_shape=[3]),
        lambda d: d["columns"][0].update(name="c"),
        lambda d: d["columns"][1].update(categories=["a", "a"]),
        lambda d: d["columns"][1].update(categories=[str(i) for i in range(1001)]),
        lambda d: d["columns"].clear(),
        lambda d: d.update(domain="levels"),
        lambda d: d.update(levels=2),
        lambda d: d.update(columns=[d["columns"][2]], row_shape=[1]),
        lambda d: d.update(row_shape=[2**29]),
        lambda d: d.update(row_shape=[2**20] * 8),
        lambda d: d.update(low=1e308, high=-1e308),
        lambda d: d.update(low=-1.7e308, high=1.7e308),
        lambda d: d.update(binarize=True),
    ],
)
def test_fields_that_disagree_are_refused(change):
    data = _table()
    change(data)
    with pytest.raises(ModelFileError):
        Schema.from_json(data)
