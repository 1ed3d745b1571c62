"""Table sources: every DataFrame and file reads the same, and what is wrong is named."""

import codecs
import json
import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from likely.data import infer_schema, open_source
from likely.errors import DataError

ROWS = {"age": [1, 2, 3, 4], "city": ["Seoul", "Busan", None, "Seoul"], "height": [1.5, 2.5, None, 0.25]}


def _sources(tmp_path):
    pq.write_table(pa.table(ROWS), tmp_path / "a.parquet")
    pd.DataFrame(ROWS).to_csv(tmp_path / "a.csv", index=False)
    indexed = pd.DataFrame(ROWS, index=pd.Index([7, 9, 11, 13], name="id"))
    indexed.to_parquet(tmp_path / "indexed.parquet")
    return [
        pd.DataFrame(ROWS, index=list("abcd")), indexed, pl.DataFrame(ROWS), pa.table(ROWS),
        tmp_path / "a.csv", tmp_path / "a.parquet", tmp_path / "indexed.parquet",
    ]  # fmt: skip


def test_all_kinds_of_tables_read_the_same(tmp_path):
    schemas = []
    for data in _sources(tmp_path):
        source = open_source(data)
        assert source.read(np.array([3, 0])).to_pydict() == {
            "age": [4, 1], "city": ["Seoul", "Seoul"], "height": [0.25, 1.5],
        }  # fmt: skip
        schemas.append(infer_schema(source))
        expected = [[-1.5, 0, 1], [-0.5, 1, 0], [0.5, np.nan, np.nan], [1.5, 0, 1]]
        x = schemas[-1].to_model(source.read(np.arange(4)), missing_ok=True).numpy()
        np.testing.assert_allclose(x[:, :3] * [np.std(ROWS["age"]), 1, 1], expected, rtol=1e-6)
    assert len({schema.columns for schema in schemas}) == 1
    assert [schema.frame for schema in schemas] == ["pandas", "pandas", "polars", "pyarrow", None, None, None]


@pytest.mark.parametrize(
    ("frame", "kind"), [(pd.DataFrame, pd.DataFrame), (pl.DataFrame, pl.DataFrame), (pa.table, pa.Table)]
)
def test_rows_come_back_as_they_went_in(frame, kind):
    rows = {"n": [3, 1, 2], "yes": [True, False, True], "word": ["b", "a", "b"], "same": [7, 7, 7], "real": [0.5, 1, 2]}
    given = frame(rows)
    source = open_source(given)
    with pytest.warns(UserWarning, match='"same".*always 7'):
        schema = infer_schema(source)
    x = schema.to_model(source.read(np.arange(3)))
    assert x.shape == (3, 6)
    assert schema.feature_names == ("n", "yes=false", "yes=true", "word=a", "word=b", "real")
    assert schema.has_categorical
    back = schema.to_rows(x.double(), draws=True)
    assert isinstance(back, kind)
    table = open_source(back).read(np.arange(3)).to_pydict()
    assert {name: table[name] for name in rows if name != "real"} == {n: rows[n] for n in rows if n != "real"}
    np.testing.assert_allclose(table["real"], rows["real"], atol=1e-6)


def test_pandas_categories_of_numbers_are_categories():
    source = open_source(pd.DataFrame({"c": pd.Categorical([3, 1, 3]), "x": [0.0, 1.0, 2.0]}))
    schema = infer_schema(source)
    assert schema.columns[0].categories == ("1", "3")
    back = schema.to_rows(schema.to_model(source.read(np.arange(3))), draws=True)
    assert back["c"].tolist() == [3, 1, 3]


def test_label_is_set_aside_and_drop_leaves_out():
    frame = pd.DataFrame({"x": [1.0, 2], "kind": ["a", "b"], "id": [8, 9], "y": [0.0, 1.0]})
    source = open_source(frame, label="kind", drop=["id"])
    assert source.labels.tolist() == ["a", "b"]
    assert source.read(np.arange(2)).column_names == ["x", "y"]
    assert infer_schema(source).classes == ("a", "b")
    whole = open_source(frame, label="y", drop=["kind"]).labels
    assert whole.dtype == np.int64


TEXT = "이름,값\n가나,1\n다라,2\n마바,3\n"


@pytest.mark.parametrize("content", [TEXT.encode(), codecs.BOM_UTF8 + TEXT.encode(), TEXT.encode("cp949")])
def test_csv_encodings(content, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    assert open_source(tmp_path / "a.csv").read(np.arange(3)).to_pydict() == {
        "이름": ["가나", "다라", "마바"],
        "값": [1, 2, 3],
    }


@pytest.mark.parametrize("text", ["a;b\n1,5;2\n3,5;4\n", "a\tb\n1,5\t2\n3,5\t4\n", 'a,b\r\n"1,5",2\r\n"3,5",4\r\n'])
def test_csv_delimiters_and_quotes(text, tmp_path):
    (tmp_path / "a.csv").write_text(text, newline="")
    source = open_source(tmp_path / "a.csv")
    assert source.read(np.arange(2)).to_pydict() == {"a": [1.5, 3.5], "b": [2, 4]}
    assert source.original.to_pydict() == {"a": ["1,5", "3,5"], "b": ["2", "4"]}
    assert source.notes == ('column "a": numbers with a decimal comma',)


CSV_CORPUS = {
    "ragged": ("a,b\n1,2\n\n3,4\n5,6,7\n", ["line 5", "3 values", "expected 2"]),
    "short row": ("a,b\n1,2\n3\n", ["line 3", "1 value"]),
    "ragged after a quoted line break": ('a,b\n"x\ny",2\n3,4,5\n', ["line 4", "3 values"]),
    "open quote": ('a,b\n1,2\n"3,4\n5,6\n', ["line"]),
    "twice": ("a,b,a\n1,2,3\n", ['"a"', "unique", "rename"]),
    "empty": ("", ["empty", "header"]),
    "no header": ("1.5,2.5\n3.5,4.5\n", ["line 1", "add a header"]),
    "NUL": ("a,b\n1,2\n3,\0\n", ["line 3", "NUL"]),
    "other encoding": (b"a,b\n\x80\x81\x8d\x8f\xff\xfe,1\n", ["UTF-8", "CP949"]),
}


@pytest.mark.parametrize("name", CSV_CORPUS)
def test_csv_refused(name, tmp_path):
    content, words = CSV_CORPUS[name]
    (tmp_path / "bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    _assert_refused(lambda: open_source(tmp_path / "bad.csv"), ["bad.csv", *words])


def test_csv_whose_names_count_the_columns_has_a_header(tmp_path):
    (tmp_path / "a.csv").write_text("0,1\n5,6\n7,8\n")
    assert open_source(tmp_path / "a.csv").read(np.arange(2)).to_pydict() == {"0": [5, 7], "1": [6, 8]}


FRAME_CORPUS = {
    "twice in pandas": (lambda: pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), {}, ["a", "unique", "rename"]),
    "twice in arrow": (lambda: pa.table([[1, 2], [3, 4]], names=["a", "a"]), {}, ['"a"', "rename"]),
    "mixed types": (lambda: pd.DataFrame({"good": [1, 2], "bad": [1, "x"]}), {}, ["column bad", "drop"]),
    "lazy": (lambda: pl.LazyFrame({"a": [1]}), {}, ["LazyFrame", "collect"]),
    "no such label": (lambda: pd.DataFrame({"a": [1, 2]}), {"label": "b"}, ['"b"', "it has a"]),
    "no such column to drop": (lambda: pd.DataFrame({"a": [1, 2]}), {"drop": ["b"]}, ['"b"']),
    "nothing left": (lambda: pd.DataFrame({"a": [1, 2]}), {"label": "a"}, ["no column is left"]),
    "missing label": (lambda: pd.DataFrame({"a": [1, 2], "y": ["u", None]}), {"label": "y"}, ["row 1", '"y"']),
    "label of fractions": (lambda: pd.DataFrame({"a": [1, 2], "y": [1, 0.5]}), {"label": "y"}, ["row 1", '"y"', "0.5"]),
    "label of dates": (
        lambda: pd.DataFrame({"a": [1], "y": pd.to_datetime(["2020"])}),
        {"label": "y"},
        ['"y"', "datetime"],
    ),
}


@pytest.mark.parametrize("name", FRAME_CORPUS)
def test_frame_refused(name):
    make, options, words = FRAME_CORPUS[name]
    _assert_refused(lambda: open_source(make(), **options), words)


def test_parquet_that_is_damaged_is_refused(tmp_path):
    pq.write_table(pa.table(ROWS), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    for length in range(0, len(content), 97):
        (tmp_path / "cut.parquet").write_bytes(content[:length])
        _assert_refused(lambda: open_source(tmp_path / "cut.parquet"), ["cut.parquet"])


INFER_CORPUS = {
    "100,000 names": ({"name": [f"n{i}" for i in range(100_000)]}, ['"name"', "different in every row", "no column"]),
    "nothing but what is set aside": (
        {"gone": pa.nulls(2), "when": pa.array([0, 1], pa.timestamp("s")), "same": [1, 1]},
        ["every column is constant", '"gone", "when"'],
    ),
    "inf": ({"a": [1.0, float("inf")]}, ["row 1", '"a"', "inf"]),
    "minus inf": ({"b": [0.0, 2.0, 3.0], "a": [1.0, 3.0, float("-inf")]}, ["row 2", '"a"', "-inf"]),
    "inf in two columns": (
        {"a": [1.0, float("inf"), 2.0], "b": [float("-inf"), 2.0, 3.0]},
        ['row 0, column "b": found -inf; row 1, column "a": found inf'],
    ),
    "all constant": ({"a": [1, 1], "b": ["x", "x"]}, ["constant", "nothing to learn"]),
    "huge": ({"a": [1e200, -1e200], "b": [1e190, -1e190]}, ['"a": found values up to 1e+200; column "b"', "1e+190"]),
    "one row": ({"a": [1]}, ["found 1 row,", "at least 2"]),
    "no row": ({"a": pa.array([], pa.int64())}, ["found 0 rows,", "at least 2"]),
    "too many columns": ({f"x{i}": [1, 2] for i in range(100_001)}, ["100,001 columns", "100,000", "drop=[...]"]),
}


def test_too_many_columns_are_refused_before_they_are_read(tmp_path):
    (tmp_path / "wide.csv").write_text(",".join(f"c{i}" for i in range(100_001)) + "\n")
    _assert_refused(lambda: open_source(tmp_path / "wide.csv"), ["100,001 columns", "at most 100,000"])
    _assert_refused(lambda: infer_schema(open_source(np.random.default_rng(0).normal(size=(2, 100_001)))), ["100,001"])


@pytest.mark.parametrize("name", INFER_CORPUS)
def test_nothing_can_be_learned_from(name):
    columns, words = INFER_CORPUS[name]
    _assert_refused(lambda: infer_schema(open_source(pa.table(columns))), words)


@pytest.fixture(scope="module")
def fitted():
    rows = {"n": [1.0, 2.0, 3.0], "same": [7, 7, 7], "word": ["a", "b", "a"], "fixed": ["k", "k", "k"]}
    with pytest.warns(UserWarning, match="same"):
        return rows, infer_schema(open_source(pa.table(rows)))


def test_columns_are_put_back_in_order(fitted):
    rows, schema = fitted
    shuffled = pa.table({name: rows[name] for name in reversed(rows)})
    assert schema.to_model(shuffled).equal(schema.to_model(pa.table(rows)))


LATER_CORPUS = {
    "a column less": (lambda rows: rows.pop("word"), ['"word"', "lacks"]),
    "not constant": (lambda rows: rows.update(same=[7, 8, 7]), ["row 1", '"same"', "found 8", "expected 7"]),
    "not constant text": (lambda rows: rows.update(fixed=["k", "k", "z"]), ["row 2", '"fixed"', "'z'", "k"]),
    "unseen category": (lambda rows: rows.update(word=["a", "c", "b"]), ["row 1", '"word"', "'c'", "one of a, b"]),
    "text for numbers": (lambda rows: rows.update(n=["1", "x", "2"]), ["row 1", '"n"', "'x'", "a number"]),
    "NaN": (lambda rows: rows.update(n=[1.0, 2.0, float("nan")]), ["row 2", '"n"', "missing"]),
    "null": (lambda rows: rows.update(n=[1.0, None, 3.0]), ["row 1", '"n"', "missing"]),
    "null category": (lambda rows: rows.update(word=["a", None, "b"]), ["row 1", '"word"', "missing"]),
    "null where constant": (lambda rows: rows.update(same=[7, None, 7]), ["row 1", '"same"', "missing"]),
    "inf": (lambda rows: rows.update(n=[1.0, 2.0, float("inf")]), ["row 2", '"n"', "inf"]),
    "lists": (lambda rows: rows.update(word=[[1], [2], [3]]), ['"word"', "list"]),
}


@pytest.mark.parametrize("name", LATER_CORPUS)
def test_later_rows_that_differ_are_refused(name, fitted):
    rows, schema = fitted
    change, words = LATER_CORPUS[name]
    changed = dict(rows)
    change(changed)
    _assert_refused(lambda: schema.to_model(pa.table(changed)), words)


def test_place_names_the_row(fitted):
    rows, schema = fitted
    bad = pa.table({**rows, "n": [1.0, None, 2.0]})
    _assert_refused(lambda: schema.to_model(bad, place=lambda i: f"file.csv row {i + 100}"), ["file.csv row 101"])


def test_missing_values_are_nan_where_allowed(fitted):
    rows, schema = fitted
    x = schema.to_model(pa.table({**rows, "n": [1.0, None, 3.0], "word": [None, "a", "b"]}), missing_ok=True)
    np.testing.assert_array_equal(np.isnan(x.numpy()), [[0, 1, 1], [1, 0, 0], [0, 0, 0]])


def test_an_array_is_no_table(fitted):
    _assert_refused(lambda: fitted[1].to_model(np.ones((3, 4))), ["ndarray", "n, same"])


def test_digest_tells_tables_apart():
    first = open_source(pa.table(ROWS)).digest()
    assert open_source(pa.table(ROWS)).digest() == first
    assert open_source(pa.concat_tables([pa.table(ROWS).slice(0, 2), pa.table(ROWS).slice(2)])).digest() == first
    others = [{**ROWS, "age": [1, 2, 3, 5]}, {**ROWS, "city": ["Seoul", "Busan", "", "Seoul"]}]
    assert len({first, *(open_source(pa.table(rows)).digest() for rows in others)}) == 3


def _assert_refused(act, words):
    with pytest.raises(DataError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("ending", ["csv", "parquet", "feather", "jsonl", "xlsx"])
def test_a_name_that_is_no_utf_8_is_a_name(tmp_path, ending):
    table = pa.table({"a": [1.5, 2.5, 4.0], "b": [3, 1, 7]})
    plain, path = tmp_path / f"t.{ending}", os.fsdecode(os.fsencode(tmp_path) + b"/\xff t." + ending.encode())
    match ending:
        case "csv":
            pa.csv.write_csv(table, plain)
        case "parquet":
            pa.parquet.write_table(table, plain)
        case "feather":
            pa.feather.write_feather(table, plain)
        case "jsonl":
            plain.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
        case "xlsx":
            table.to_pandas().to_excel(plain, index=False)
    plain.rename(path)
    assert open_source(path).read(np.arange(3)).column("a").to_pylist() == [1.5, 2.5, 4.0]
