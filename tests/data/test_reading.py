"""Text files: what their cells are is told from all of them, kept with the schema, and used for every later file."""

import json

import numpy as np
import pyarrow as pa
import pytest

from likely.data import Schema, infer_schema, open_source
from likely.data.cell_kinds import find_kind
from likely.data.marks import Marks
from likely.data.reading import Cells, typed
from likely.errors import DataError


def source_of(tmp_path, text, name="a.csv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(path, **options)


def column_of(tmp_path, cells, **options):
    """What one column of cells is read as, and what is said of it."""
    text = "v;n\n" + "".join(f'"{cell}";0\n' for cell in cells)
    source = source_of(tmp_path, text, **options)
    return source.table.column("v").to_pylist(), source.notes


CELLS = {
    "whole": (["1", "-2", " 3 ", ""], [1, -2, 3, None]),
    "real": (["1", "2.5", "1e3", ".5", "+7."], [1.0, 2.5, 1000.0, 0.5, 7.0]),
    "true and false": (["True", "FALSE", "", "true"], [True, False, None, True]),
    "a code": (["00501", "10001", "90210"], ["00501", "10001", "90210"]),
    "codes with letters": (["001", "A03"], ["001", "A03"]),
    "past 2^53": (["9007199254740993", "9007199254740995"], ["9007199254740993", "9007199254740995"]),
    "past 2^63": (["12345678901234567890123", "12345678901234567890124"],) * 2,
    "NA is Namibia": (["NA", "ZA", "NA", "null"], ["NA", "ZA", "NA", "null"]),
    "few numbers and a word": (["1.0", "none", "1.0", "none"], ["1.0", "none", "1.0", "none"]),
    "a date": (["2024-01-01", "2024-02-01"], ["2024-01-01", "2024-02-01"]),
    "a decimal comma": (["1,5", "12,25", "-3"], [1.5, 12.25, -3.0]),
    "commas between thousands": (["1,234,567.8", "12", "1,000"], [1234567.8, 12.0, 1000.0]),
    "points between thousands": (["1.234,5", "1.234.567"], [1234.5, 1234567.0]),
    "blanks between thousands": (["1 234", "1\u00a0234\u202f567", "12"], [1234, 1234567, 12]),
    "apostrophes between thousands": (["1'234.5", "12"], [1234.5, 12.0]),
    "%": (["5%", "12.5 %", "0"], [5.0, 12.5, 0.0]),
    "$": (["$5", "-$1,234.50", "$-2", "7"], [5.0, -1234.5, -2.0, 7.0]),
    "euros": (["1.234,50 €", "€ 5"], [1234.5, 5.0]),
    "won": (["1,234원", "56,000원"], [1234, 56000]),
    "yen": (["¥1,234", "￥5"], ["¥1,234", "￥5"]),
    "two currencies": (["$5", "€6"] * 10, ["$5", "€6"] * 10),
    "minus signs of print": (["−5", "6"], [-5, 6]),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_are_read_as_they_say(name, tmp_path):
    cells, values = CELLS[name]
    found, _ = column_of(tmp_path, cells)
    assert found == values
    assert [type(each) for each in found] == [type(each) for each in values]


def test_what_was_read_stays_as_it_was(tmp_path):
    source = source_of(tmp_path, ' a ,b,c\n 01 ,NA,"1,50"\n"",2,3\n', drop=["c"])
    assert source.original.column_names == ["a", "b", "c"]
    assert source.original.to_pydict() == {"a": [" 01 ", ""], "b": ["NA", "2"], "c": ["1,50", "3"]}
    assert source.header == (" a ", "b", "c")
    assert source.table.column_names == ["a", "b"]


GUESSES = {
    "between semicolons": ("v;n\n1,234;0\n5,678;0\n", [1.234, 5.678], "guess; if it means 1234, write it as '1234'"),
    "between commas": ('v,n\n"1,234",0\n"5,678",0\n', [1234, 5678], "guess; if it means 1.234, write it as '1,2340'"),
    "two groups": ("v;n\n1,234;0\n5,678,000;0\n", [1234, 5678000], "commas between thousands"),
    "a group of nothing": ('v,n\n"1,234",0\n"0,678",0\n', [1.234, 0.678], "a decimal comma"),
    "another column says": ("v;n\n1,234;0.5\n5,678;1.5\n", [1234, 5678], "guess"),
    "another column says points": ("v;n\n1.234;0,5\n5.678;1,5\n", [1234, 5678], "guess; if it means 1.234"),
    "nothing says points": ("v;n\n1.234;0\n5.678;1\n", [1.234, 5.678], ""),
}


@pytest.mark.parametrize("name", GUESSES)
def test_a_mark_that_may_be_two_things_is_told_by_all_cells_and_said(name, tmp_path):
    text, values, note = GUESSES[name]
    source = source_of(tmp_path, text)
    assert source.table.column("v").to_pylist() == values
    assert note in "; ".join(source.notes)
    assert bool(note) == bool(source.notes)


def _numbers(n, odd=()):
    cells = [f"{i / 7:.4f}" for i in range(n)]
    for row, word in odd:
        cells[row] = word
    return cells


def test_a_rare_word_among_numbers_is_named_and_missing(tmp_path):
    found, notes = column_of(tmp_path, _numbers(200, [(17, "n/d"), (20, "n/d"), (30, "error")]))
    assert [i for i, each in enumerate(found) if each is None] == [17, 20, 30]
    assert notes[0].startswith("column \"v\": 'n/d' in row 17 (and 1 more), 'error' in row 30 are no numbers")
    assert "missing=['n/d', 'error']" in notes[0]
    quiet, nothing = column_of(tmp_path, _numbers(200, [(17, "n/d")]), missing=["n/d"])
    assert (quiet[17], nothing) == (None, ())


def test_a_word_that_means_missing_may_be_frequent_among_measurements(tmp_path):
    found, notes = column_of(tmp_path, _numbers(100, [(i, "NA") for i in range(0, 100, 2)]))
    assert found[0] is None
    assert "'NA' in row 0 (and 49 more)" in notes[0]


def test_many_words_among_numbers_are_text_and_said(tmp_path):
    found, notes = column_of(tmp_path, _numbers(100, [(i, "<0.5") for i in range(0, 100, 4)]))
    assert found[0] == "<0.5"
    assert "is read as text: 75 of 100 cells are numbers, but not '<0.5' (row 0)" in notes[0]


def test_words_that_mean_missing_are_missing_everywhere(tmp_path):
    source = source_of(tmp_path, "a,b\nNA,1\nx,-999\n,3\n", missing=["NA", "-999"])
    assert source.table.to_pydict() == {"a": [None, "x", None], "b": [1, None, 3]}
    frame = pa.table({"a": ["NA", "x"], "b": [-999.0, 2.0]})
    assert open_source(frame, missing=["NA", "-999"]).table.to_pydict() == {"a": [None, "x"], "b": [None, 2.0]}


FIT = "code,mixed,flag,n,price\n" + "".join(
    f'0{i},{"A03" if i % 2 else "07"},{i % 2 == 0},{i},"{i},5"\n' for i in range(1, 40)
)


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    source = source_of(tmp_path_factory.mktemp("fit"), FIT)
    return Schema.from_json(json.loads(json.dumps(infer_schema(source).to_json())))


def test_a_later_file_is_read_as_that_of_the_fit(schema, tmp_path):
    later = source_of(tmp_path, 'code;mixed;flag;n;price\n7;7;1;2.5;4\n07;07;0;1;"2,5"\n', like=schema.later_reading)
    assert later.table.to_pydict() == {
        "code": ["7", "07"], "mixed": ["7", "07"], "flag": [True, False], "n": [2.5, 1.0], "price": [4.0, 2.5],
    }  # fmt: skip
    assert [(each.name, each.kind, each.marks.decimal) for each in schema.reading.columns] == [
        ("code", "text", "."), ("mixed", "text", "."), ("flag", "truth", "."), ("n", "whole", "."),
        ("price", "real", ","),
    ]  # fmt: skip


def test_a_later_cell_that_is_no_number_stays_what_it_is(schema, tmp_path):
    text = 'code,mixed,flag,n,price\n1,1,maybe,x,"2,5"\n1,1,TRUE,4,1.000\n'
    later = source_of(tmp_path, text, like=schema.later_reading)
    assert later.table.select(["flag", "n", "price"]).to_pydict() == {
        "flag": ["maybe", "true"], "n": ["x", "4"], "price": ["2.5", "1.000"],
    }  # fmt: skip


def test_odd_words_of_the_fit_are_missing_later(tmp_path):
    source = source_of(tmp_path, "v,w\n" + "".join(f"{each},{i}\n" for i, each in enumerate(_numbers(100, [(3, "-")]))))
    reading = infer_schema(source).later_reading
    assert source_of(tmp_path, "v,w\n-,1\n2,2\n", like=reading).table.column("v").to_pylist() == [None, 2.0]


def test_a_schema_of_other_data_says_which_columns_of_text_files_are_numbers(tmp_path):
    schema = infer_schema(open_source(pa.table({"v": [1.5, 2.5], "zip": ["1", "2"], "ok": [True, False]})))
    later = source_of(tmp_path, "v;zip;ok\n1,5;501;1\n2,5;502;0\n", like=schema.later_reading)
    assert later.table.to_pydict() == {"v": [1.5, 2.5], "zip": ["501", "502"], "ok": [True, False]}


def test_thousands_of_one_column_may_come_in_another_later(tmp_path):
    source = source_of(tmp_path, 'a,b\n"1,234,567",1.5\n"2,000,000",999\n')
    later = source_of(tmp_path, 'a,b\n1,"1,234.5"\n', like=infer_schema(source).later_reading)
    assert later.table.to_pydict() == {"a": [1], "b": [1234.5]}


def test_thousands_that_come_later_are_read_where_they_can_be_nothing_else(schema, tmp_path):
    price = 'code,mixed,flag,n,price\n1,1,true,1,"{}"\n1,1,true,"{}","2,5"\n'
    certain = source_of(tmp_path, price.format("1.234,5", "1,234,567"), like=schema.later_reading).table
    assert certain.select(["n", "price"]).to_pydict() == {"n": [1, 1234567], "price": [1234.5, 2.5]}
    doubtful = source_of(tmp_path, price.format("1.234", "1,234"), like=schema.later_reading).table
    assert doubtful.select(["n", "price"]).to_pydict() == {"n": ["1", "1,234"], "price": ["1.234", "2.5"]}


def test_what_stands_at_the_fit_is_typed_block_by_block_as_at_once():
    text = pa.chunked_array([["1", "", "3"], ["x", "2"], []], pa.string())
    cells = Cells("v", "real", Marks(), ("x",))
    assert typed(text, cells).values.to_pylist() == [1.0, None, 3.0, None, 2.0]
    assert find_kind("v", pa.chunked_array([[]], pa.string())).cells.kind == "text"
    assert find_kind("v", pa.chunked_array([["", " "]])).cells.kind == "text"


FILES = {
    "sep= of Excel": ("sep=;\na;b\n1;2\n", ["a", "b"]),
    "bars": ("a|b\n1|2\n", ["a", "b"]),
    "line ends of old Macs": ("a,b\r1,2\r", ["a", "b"]),
    "line ends of Windows": ("\r\na,b\r\n1,2\r\n", ["a", "b"]),
    "blanks in the header": ("a , b\n1,2\n", ["a", "b"]),
    "no name": (",b\n1,2\n", ["column 1", "b"]),
    "a delimiter at the end": ("a,b,\n1,2,\n", ["a", "b"]),
    "another delimiter in the header": ('"a, x";b\n1;2\n', ["a, x", "b"]),
    "no line end": ("a,b\n1,2", ["a", "b"]),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_all_kinds(name, tmp_path):
    text, names = FILES[name]
    source = source_of(tmp_path, text)
    assert source.table.column_names == names
    assert np.array_equal(list(source.table.to_pydict().values()), [[1], [2]])


def test_a_line_without_a_cell_is_a_row_where_there_is_one_column(tmp_path):
    assert source_of(tmp_path, "a\n1\n\n3\n").table.to_pydict() == {"a": [1, None, 3]}


@pytest.mark.parametrize("text", ["a,b", "a,b\n", "a,b\r\n"])
def test_a_header_alone_is_no_row(text, tmp_path):
    source = source_of(tmp_path, text)
    assert (len(source), source.table.column_names) == (0, ["a", "b"])


def test_all_lines_that_do_not_fit_are_named_at_once(tmp_path):
    text = "a,b\n1,2\n3\n\n" + '"x\ny",2,3\n' + "4\n" * 20 + '"open,3\n5,6\n'
    with pytest.raises(DataError) as caught:
        source_of(tmp_path, text)
    message = str(caught.value)
    assert "line 3: found 1 value, line 5: found 3 values, line 7: found 1 value" in message
    assert "line 14" in message
    assert "line 15" not in message
    assert "and 12 more lines, expected 2 as in the header" in message
    assert "line 27: found a quote that is never closed" in message


def test_a_long_cell_is_a_cell(tmp_path):
    source = source_of(tmp_path, 'a,b\n1,2\n"' + "x" * 200_000 + '",3\n')
    assert len(source.table.column("a")[1].as_py()) == 200_000
    with pytest.raises(DataError, match="header cannot be read"):
        source_of(tmp_path, '"' + "x" * 200_000 + '",b\n1,2\n')
