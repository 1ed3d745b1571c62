"""Which columns of a table are no part of what is learned, and which are."""

import datetime
import json
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import likely
from likely.data import Schema, describe, infer_schema, open_source
from likely.errors import DataError

N = 200
GENERATOR = np.random.default_rng(0)
BASE = datetime.datetime(2024, 1, 30, 13, 45)
DAYS = [BASE + datetime.timedelta(days=7 * i, minutes=i) for i in range(N)]
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "runs", "far", "away"]


def shuffled(values):
    return GENERATOR.permutation(np.asarray(values))


def texts(pattern):
    return [each.strftime(pattern) for each in DAYS]


ASIDE = {
    "counts from 0": (np.arange(N), "identifier"),
    "counts in tens": (np.arange(N) * 10 + 1000, "identifier"),
    "counts down": (np.arange(N)[::-1], "identifier"),
    "counts, shuffled": (shuffled(np.arange(N)), "identifier"),
    "past 2^53": (2**53 + GENERATOR.integers(0, 2**60, N), "identifier"),
    "hexadecimal": ([f"{each:012x}" for each in GENERATOR.integers(0, 2**40, N)], "identifier"),
    "codes with zeros": ([f"{each:05d}" for each in range(N)], "identifier"),
    "nearly all different": ([f"n{i // 2 if i < 20 else i}" for i in range(N)], "identifier"),
    "prose": ([" ".join(GENERATOR.choice(WORDS, 12)) for _ in range(N)], "text"),
    "one long text": (["x" * 2000] + ["y", "z"] * ((N - 2) // 2) + ["y"], "text"),
    "datetimes": (DAYS, "date"),
    "dates": (pa.array([each.date() for each in DAYS]), "date"),
    "times": (pa.array([each.time() for each in DAYS]), "date"),
    "durations": (pa.array([each - BASE for each in DAYS]), "date"),
    "with a zone": (pa.array(DAYS, pa.timestamp("s", "Asia/Seoul")), "date"),
    "ISO": (texts("%Y-%m-%d"), "date"),
    "ISO with time": (texts("%Y-%m-%dT%H:%M:%S+09:00"), "date"),
    "ISO with blanks": (texts("%Y-%m-%d %H:%M"), "date"),
    "American": (texts("%m/%d/%Y"), "date"),
    "American with time": (texts("%m/%d/%y %I:%M %p"), "date"),
    "German": (texts("%d.%m.%Y"), "date"),
    "Korean": (texts("%Y. %m. %d."), "date"),
    "Korean in words": (texts("%Y년 %m월 %d일"), "date"),
    "with a month's name": (texts("%d %B %Y"), "date"),
    "month first": (texts("%b %d, %Y"), "date"),
    "clock": (texts("%H:%M:%S"), "date"),
    "year and month, often": (["2024-01", "2024-02"] * (N // 2), "date"),
    "empty": (pa.nulls(N, pa.float64()), "empty"),
    "empty without a type": (pa.nulls(N), "empty"),
    "NaN": (pa.array([float("nan")] * N), "empty"),
    "lists": ([[1, 2]] * N, "nested"),
    "bytes": ([b"x", b"y"] * (N // 2), "nested"),
}
BY_NAME = GENERATOR.choice(10**6, N, replace=False)
KEPT = {
    "a measurement, all different": GENERATOR.normal(size=N),
    "prices": shuffled(GENERATOR.choice(10**6, N, replace=False)),
    "populations": np.unique(GENERATOR.lognormal(10, 2, 3 * N).astype(int))[:N],
    "ages": GENERATOR.integers(18, 80, N),
    "steps of floats": np.arange(N) * 0.5,
    "whole floats": np.arange(N, dtype=float),
    "categories": GENERATOR.choice(["a", "b", "c"], N),
    "many categories": [f"c{i % 60}" for i in range(N)],
    "years as text": ["2020", "2021"] * (N // 2),
    "ratios": ["1.5", "2.25"] * (N // 2),
    "versions": ["1.2", "1.10"] * (N // 2),
    "scores": ["3-1", "2-2"] * (N // 2),
    "truth": [True, False] * (N // 2),
}


def schema_of(values, name="c"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return infer_schema(open_source(pa.table({name: values, "x": GENERATOR.normal(size=N)})))


@pytest.mark.parametrize("name", ASIDE)
def test_set_aside(name):
    values, kind = ASIDE[name]
    schema = schema_of(values)
    assert [(each.name, each.kind) for each in schema.aside] == [("c", kind)]
    assert [column.name for column in schema.columns] == ["x"]
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize("name", KEPT)
def test_kept(name):
    assert schema_of(KEPT[name]).aside == ()


@pytest.mark.parametrize("name", ["id", "ID", "user_id", "PassengerId", "customer no", "회원번호", "row-key"])
def test_numbers_that_are_all_different_are_identifiers_by_their_name(name):
    assert [each.kind for each in schema_of(BY_NAME, name).aside] == ["identifier"]
    assert schema_of(np.resize(BY_NAME[:150], N), name).aside == ()
    assert schema_of(GENERATOR.normal(size=N), name).aside == ()


@pytest.mark.parametrize("name", ["humid", "void", "grid", "paid", "piano"])
def test_and_by_no_other_name(name):
    assert schema_of(BY_NAME, name).aside == ()


def test_only_rows_that_are_learned_from_tell():
    ids = np.sort(GENERATOR.permutation(N)[:120])
    table = pa.table({"row": np.arange(N), "mixed": shuffled(np.arange(N)), "x": GENERATOR.normal(size=N)})
    with pytest.warns(
        UserWarning, match=r'columns set aside, which no model sees: "row" \(identifier: numbers the rows, in'
    ):
        schema = infer_schema(open_source(table), ids=ids)
    assert [each.name for each in schema.aside] == ["row", "mixed"]


def test_a_word_among_numbers_does_not_make_them_vanish():
    prices = [f"{each:.3f}" for each in GENERATOR.normal(100, 9, N)]
    prices[17] = "on request"
    (aside,) = schema_of(prices).aside
    assert "most cells are numbers, but not 'on request': correct it, or pass missing=['on request']" in aside.why


def test_what_is_set_aside_is_no_matter_later_and_is_described():
    frame = pd.DataFrame({"id": range(N), "x": GENERATOR.normal(size=N), "when": DAYS, "y": GENERATOR.normal(size=N)})
    with pytest.warns(UserWarning, match="set aside"):
        fitted = likely.fit("pca", frame, z_size=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = fitted.score(frame).surprise
        changed = frame.assign(id="none", when=0.5)
        np.testing.assert_array_equal(fitted.score(changed, strict=True).surprise, expected)
        np.testing.assert_array_equal(fitted.score(frame[["y", "x"]], strict=True).surprise, expected)
    found = describe(open_source(frame), fitted.schema)
    assert [(each.name, each.kind) for each in found.columns] == [
        ("id", "identifier"), ("x", "numeric"), ("when", "date"), ("y", "numeric"),
    ]  # fmt: skip
    assert any('"when" is set aside (date): dates or times' in line for line in found.problems)


def test_an_empty_column_of_an_array_keeps_its_place():
    rows = GENERATOR.normal(size=(N, 3))
    rows[:, 1] = np.nan
    fitted = likely.fit("pca", rows, z_size=1)
    again = fitted.reconstruct(rows)
    assert again.shape == (N, 3)
    assert np.isnan(again[:, 1]).all()
    assert np.isfinite(fitted.sample(3) if hasattr(fitted.model, "sample") else again[:, [0, 2]]).all()
    assert (fitted.score(rows).reason == "").all()
    filled = rows[:3].copy()
    filled[1, 1] = 4.0
    assert fitted.score(filled).reason.tolist() == ["", "column 1: found 4, expected no value, as at fit", ""]
    assert Schema.from_json(json.loads(json.dumps(fitted.schema.to_json()))) == fitted.schema


def test_new_categories_are_no_novelty_where_they_are_usual():
    """A city that few rows hold: as many new rows hold one that was never there, and none of them is an alarm."""
    flagged, strange = [], []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        cities = [f"c{int(each)}" for each in generator.zipf(1.7, 1400).clip(0, 10_000)]
        frame = pd.DataFrame({"city": cities, "x": generator.normal(size=1400), "y": generator.normal(size=1400)})
        fitted = likely.fit("pca", frame[:400], z_size=2)
        scores = fitted.score(frame[400:])
        assert (scores.reason != "").mean() > 0.05
        flagged.append(scores.is_novel.mean())
        strange.append(fitted.score(frame[400:].assign(x=50.0)).is_novel.mean())
    assert np.mean(flagged) < 0.06
    assert np.mean(strange) > 0.9


def test_nothing_is_left():
    with pytest.raises(DataError, match=r'no column is left to learn from.*"id": numbers the rows.*"when": dates'):
        infer_schema(open_source(pd.DataFrame({"id": range(N), "when": DAYS})))
