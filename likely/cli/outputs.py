"""Answers as files: written whole or not at all, of the kind that the name's ending says."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from likely.errors import UserError
from likely.files import create, new_directory, write_file

if TYPE_CHECKING:
    from likely.data import Rows, Schema, Source

ARRAYS, TABLES = (".npy", ".npz"), (".csv", ".parquet")

Columns = Mapping[str, Sequence[Any] | np.ndarray]


def check_output(output: str, kinds: Sequence[str], *, folder: bool = False) -> None:
    """Refuses, before anything is computed, a place that nothing can be written to.

    Args:
        output: what the user typed.
        kinds: the endings that there are.
        folder: whether a name without an ending is a folder to be made.
    """
    path = Path(output)
    if not path.parent.is_dir():
        raise UserError(f"-o {output}: there is no folder {path.parent}; mkdir -p {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"-o {output}: nothing can be written to {path.parent}; choose another place")
    if path.suffix.lower() in kinds:
        if path.is_dir():
            raise UserError(f"-o {output} is a folder; choose another name")
        return
    if not folder or path.suffix:
        ways = [*([", ".join(kinds)] if kinds else []), *(["a folder of PNG files"] if folder else [])]
        raise UserError(f"-o {output}: answers here are written as {', or '.join(ways)}; choose such a name")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"-o {output} is there already; choose another name, or remove it first: rm -r {output}")


def kinds_of(schema: "Schema") -> tuple[str, ...]:
    """The endings for rows as the caller has them: tables to tables, features to either, all else to arrays."""
    if schema.kind == "table":
        return TABLES
    return ARRAYS if len(schema.row_shape) > 1 else (*ARRAYS, *TABLES)


def takes_pictures(schema: "Schema") -> bool:
    """Whether rows can be written as PNG files."""
    return schema.kind == "image" and schema.domain != "real" and _channels(schema) in (1, 2, 3, 4)


def write_rows(
    output: str,
    rows: "Rows | Any",
    schema: "Schema",
    places: Sequence[str] | None = None,
    labels: tuple[str, np.ndarray] | None = None,
) -> None:
    """Writes rows, raw as the caller has them, to a file or as a folder of PNG files.

    Args:
        output: what the user typed.
        rows: those to write.
        schema: what they are.
        places: of each; they stand in index.csv of a folder.
        labels: their name and one for each row; a column of tables and of index.csv, the array y of .npz.
    """
    suffix = Path(output).suffix.lower()
    if suffix in TABLES:
        write_file(output, _table_bytes(columns_of(rows, schema) | dict([labels] if labels else []), suffix))
    elif suffix:
        arrays = {"X": np.asarray(rows)} | ({"y": labels[1]} if labels else {})
        write_file(output, _array_bytes(arrays, suffix))
    else:
        named = {"place": places} if places is not None else {}
        write_pictures(output, np.asarray(rows), schema, named | dict([labels] if labels else []))


def write_strip(output: str, rows: np.ndarray, schema: "Schema") -> None:
    """Writes images side by side as one PNG file."""
    width = 2 if schema.channel_axis == 0 else 1
    write_file(output, picture(np.concatenate(list(np.asarray(rows)), width), schema))


def write_columns(output: str, columns: Columns) -> None:
    """Writes named columns of equal length: .csv, .parquet or .npz."""
    suffix = Path(output).suffix.lower()
    data = _table_bytes(columns, suffix) if suffix in TABLES else _array_bytes(columns, suffix)
    write_file(output, data)


def write_codes(output: str, codes: np.ndarray, columns: Columns) -> None:
    """Writes codes (n, *z_shape): an array, or a table that also names each row."""
    if Path(output).suffix.lower() in ARRAYS:
        arrays = {name: np.asarray(values) for name, values in columns.items()}
        write_columns(output, {"codes": codes} | (arrays if output.lower().endswith(".npz") else {}))
        return
    flat = codes.reshape(len(codes), -1)
    write_columns(output, {**columns, **{f"z{i}": flat[:, i] for i in range(flat.shape[1])}})


def places_of(source: "Source") -> dict[str, Any]:
    """Columns that name each row: its number from 0, and its file where it has one."""
    numbers = np.arange(len(source))
    if len(source) and source.place(len(source) - 1) == f"row {len(source) - 1}":
        return {"row": numbers}
    return {"row": numbers, "place": [source.place(i) for i in range(len(source))]}


def columns_of(rows: Any, schema: "Schema") -> dict[str, Any]:
    """Rows of a table or of features, by the name of the column."""
    if isinstance(rows, np.ndarray):
        return {column.name: rows[:, i] for i, column in enumerate(schema.columns)} or {
            f"x{i}": rows[:, i] for i in range(rows.shape[1])
        }
    import narwhals as nw

    table = nw.from_native(rows, eager_only=True).to_arrow()
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _table_bytes(columns: Columns, suffix: str) -> bytes:
    return _csv_bytes(columns) if suffix == ".csv" else _parquet_bytes(columns)


def _csv_bytes(columns: Columns) -> bytes:
    """Comma-separated, in UTF-8 with the mark that makes Excel read it as such."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    plain = [values.tolist() if isinstance(values, np.ndarray) else values for values in columns.values()]
    writer.writerows(zip(*plain, strict=True))
    return out.getvalue().encode("utf-8-sig", "backslashreplace")


def _parquet_bytes(columns: Columns) -> bytes:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _array_bytes(arrays: Columns, suffix: str) -> bytes:
    out = io.BytesIO()
    if suffix == ".npy":
        np.save(out, next(iter(arrays.values())), allow_pickle=False)
    else:
        np.savez_compressed(out, **{name: np.asarray(values) for name, values in arrays.items()})  # type: ignore[arg-type]
    return out.getvalue()


def _channels(schema: "Schema") -> int:
    return 1 if schema.channel_axis is None else schema.row_shape[schema.channel_axis]


def write_pictures(output: str, rows: np.ndarray, schema: "Schema", columns: Columns) -> None:
    """One PNG file a row, named by its number; index.csv says more of the rows where there is more to say."""
    names = [f"{i:0{max(4, len(str(len(rows))))}}.png" for i in range(len(rows))]
    with new_directory(output) as directory:
        for name, row in zip(names, rows, strict=True):
            create(directory / name, picture(row, schema))
        if columns:
            create(directory / "index.csv", _csv_bytes({"file": names, **columns}))


def picture(row: np.ndarray, schema: "Schema") -> bytes:
    """One image as a PNG file of 8 bits a channel, black at the schema's low and white at its high."""
    from PIL import Image

    share = (np.asarray(row, np.float64) - schema.low) / (schema.high - schema.low)
    pixels = np.rint(np.clip(np.nan_to_num(share), 0, 1) * 255).astype(np.uint8)
    if schema.channel_axis == 0:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
    return out.getvalue()
