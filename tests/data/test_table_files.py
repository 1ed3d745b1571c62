"""Tables in files of all kinds: each is read with the types that it has, and what is wrong is named."""

import datetime
import gzip
import json

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from likely.data import infer_schema, open_source
from likely.data import unpacking as unpacking_room
from likely.errors import DataError

ROWS = {"n": [1, 2, 3], "code": ["01", "2", None], "x": [0.5, None, 2.0], "ok": [True, False, True]}


def _lines(rows):
    return "\n".join(json.dumps(dict(zip(rows, row, strict=True))) for row in zip(*rows.values(), strict=True))


def _workbook(path, rows, *, sheets=()):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for title in sheets:
        book.create_sheet(title)
    book.save(path)
    return path


def _write(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    text = "n,code,x,ok\n1,01,0.5,True\n2,2,,False\n3,,2.0,true\n"
    match ending:
        case ".tsv" | ".tab" | ".txt":
            path.write_text(text.replace(",", "\t"))
        case ".csv.gz" | ".CSV.GZ":
            path.write_bytes(gzip.compress(text.encode()))
        case ".jsonl" | ".ndjson":
            path.write_text(_lines(ROWS) + "\n\n")
        case ".jsonl.gz":
            path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + _lines(ROWS).encode()))
        case ".parquet" | ".pq":
            pq.write_table(pa.table(ROWS), path)
        case ".feather":
            pa.feather.write_feather(pa.table(ROWS), path)
        case ".arrow":
            with pa.ipc.new_stream(path, pa.table(ROWS).schema) as writer:
                writer.write_table(pa.table(ROWS))
        case ".xlsx":
            _workbook(path, [list(ROWS), *map(list, zip(*ROWS.values(), strict=True)), [], [None]])
    return path


KINDS = ".tsv .tab .txt .csv.gz .CSV.GZ .jsonl .ndjson .jsonl.gz .parquet .pq .feather .arrow .xlsx"


@pytest.mark.parametrize("ending", KINDS.split())
def test_every_kind_reads_the_same(ending, tmp_path):
    source = open_source(_write(tmp_path, ending))
    assert source.table.to_pydict() == ROWS
    assert source.table.schema.field("n").type == pa.int64()
    assert infer_schema(source).columns[1].categories == ("01", "2")


def test_cells_of_a_workbook(tmp_path):
    day = datetime.datetime(2024, 1, 2)
    rows = [
        ["d", "mixed", "price", " name ", None],
        [day, 1, "1,5", "01", None],
        [day, 2.5, "2,25", "a", None],
        [None, "n/a", 3, "#N/A", None],
    ]
    path = _workbook(tmp_path / "a.xlsx", [*rows, *([day, i, i, "b", None] for i in range(30))])
    book = openpyxl.load_workbook(path)
    book.active["D4"].data_type = "e"
    book.save(path)
    source = open_source(path)
    assert source.table.column_names == ["d", "mixed", "price", "name"]
    table = source.table.slice(0, 3).to_pydict()
    assert table["d"] == [day, day, None]
    assert table["mixed"] == [1.0, 2.5, None]
    assert table["price"] == [1.5, 2.25, 3.0]
    assert table["name"] == ["01", "a", None]
    assert "'n/a' in row 2 is no number" in "; ".join(source.notes)


def test_the_first_sheet_is_read_and_the_others_are_said(tmp_path):
    path = _workbook(tmp_path / "a.xlsx", [["a"], [1], [2]], sheets=["Other"])
    assert open_source(path).notes == (
        "read is the first sheet, 'Sheet'; left out are 'Other': save a sheet as a file of its own",
    )


def test_without_openpyxl_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    path = _workbook(tmp_path / "a.xlsx", [["a"], [1]])
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"pip install 'likely\[excel\]'"):
        open_source(path)


BROKEN = {
    "values beside the names.xlsx": ([["a", "b"], [1, 2], [1, 2, 3]], ["row 1", "beside the 2 named columns"]),
    "names twice.xlsx": ([["a", "a"], [1, 2]], ['"a"', "unique"]),
    "no cell.xlsx": ([[]], ["is empty"]),
    "no workbook.xlsx": (b"PK\x03\x04 not", ["no .xlsx workbook", "password"]),
    "another zip.xlsx": (None, ["cannot be read as a workbook"]),
    "no gzip.csv.gz": (b"a,b\n1,2\n", ["no gzip file"]),
    "cut.csv.gz": (gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 1000)[:-12], ["damaged"]),
    "empty.jsonl": (b" \n", ["is empty"]),
    "no object.jsonl": (b'{"a": 1}\n[1, 2]\n', ["line 2", "a list", "expected an object"]),
    "no json.jsonl": (b'{"a": 1}\n{"a": 1\n', ["line 2", "no JSON"]),
    "two types.jsonl": (b'{"a": 1}\n{"a": "x"}\n', ["line 2", 'field "a"', "a number in line 1, a text here"]),
    "other encoding.jsonl": (b'{"a": 1}\n{"a\xff": 2}\n', ["line 2", "no UTF-8"]),
    "no arrow.arrow": (b"nothing", ["cannot be read as an Arrow"]),
    "no arrow.feather": (b"", ["cannot be read as an Arrow"]),
    "old.xls": (b"", ["save it as .xlsx"]),
    "one.json": (b"[]", [".jsonl"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused(name, tmp_path):
    content, words = BROKEN[name]
    path = tmp_path / name
    if isinstance(content, list):
        _workbook(path, content)
    elif content is None:
        np.savez(tmp_path / "a.npz", x=np.ones(3))
        (tmp_path / "a.npz").rename(path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_source(path)
    for word in [name, *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking_room, "_BLOCK_BYTES", 2**16)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"1\n" * 2**20))
    assert len(unpacking_room.unpacked(path, "a.csv.gz")) == 2 + 2**21
    with pytest.raises(DataError, match="unpacks to more than 1 MiB; unpack it yourself"):
        unpacking_room.unpacked(path, "a.csv.gz", limit=2**20)


def test_the_same_model_scores_every_kind_alike(tmp_path):
    table = pa.table({"code": ["01", "02"] * 10, "x": np.arange(20.0), "ok": [True, False] * 10})
    schema = infer_schema(open_source(table))
    seen = schema.to_model(open_source(table).table)
    written = pd.DataFrame(table.to_pydict()).astype(str)
    for ending, frame in ((".csv", written), (".xlsx", pd.DataFrame(table.to_pydict())), (".parquet", written)):
        path = tmp_path / f"a{ending}"
        {".csv": frame.to_csv, ".xlsx": frame.to_excel, ".parquet": frame.to_parquet}[ending](path, index=False)
        again = open_source(path, like=schema.later_reading)
        assert schema.to_model(again.table).equal(seen), ending


def test_a_folder_called_as_the_built_in_data_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    with pytest.warns(UserWarning, match=r"digits is the built-in data .* is \./digits"):
        assert len(open_source("digits")) == 1797
