"""Answers as files: written whole or not at all, of the kind that the name's ending says."""

import codecs
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from likely.cli.csv_files import BLOCK_ROWS, Columns, Dialect, write_csv
from likely.files import create

if TYPE_CHECKING:
    import pyarrow

    from likely.cli.targets import Target
    from likely.data import Rows, Schema, Source
    from likely.data.given import Given

ARRAYS, TABLES = (".npy", ".npz"), (".csv", ".parquet")


def kinds_of(schema: "Schema") -> tuple[str, ...]:
    """The endings for rows as the caller has them: tables to tables, features to either, all else to arrays."""
    if schema.kind == "table":
        return TABLES
    return ARRAYS if len(schema.row_shape) > 1 else (*ARRAYS, *TABLES)


def takes_pictures(schema: "Schema") -> bool:
    """Whether rows can be written as PNG files."""
    return schema.kind == "image" and schema.domain != "real" and _channels(schema) in (1, 2, 3, 4)


def write_rows(
    target: "Target",
    rows: "Rows | Any",
    schema: "Schema",
    places: Sequence[str] | None = None,
    labels: tuple[str, np.ndarray] | None = None,
    given: "Given | None" = None,
) -> None:
    """Writes rows, raw as the caller has them, to a file or as a folder of PNG files.

    Args:
        target: where to.
        rows: those to write; cells of tables are written as they are, formulas too.
        schema: what they are.
        places: of each; they stand in index.csv of a folder.
        labels: their name and one for each row; a column of tables and of index.csv, the array y of .npz.
        given: the table that they came from, whose text, delimiter and encoding a .csv keeps.
    """
    if target.suffix in TABLES and not isinstance(rows, np.ndarray):
        table = table_of(rows)
        for name, values in [labels] if labels else []:
            table = table.append_column(name, [values])
        write_table(target, *as_written(target, table, given))
    elif target.suffix in TABLES:
        write_columns(target, columns_of(rows, schema) | dict([labels] if labels else []))
    elif target.suffix:
        write_columns(target, {"X": np.asarray(rows)} | ({"y": labels[1]} if labels else {}))
    else:
        named = {"place": places} if places is not None else {}
        write_pictures(target, np.asarray(rows), schema, named | dict([labels] if labels else []))


def write_strip(target: "Target", rows: np.ndarray, schema: "Schema") -> None:
    """Writes images side by side as one PNG file."""
    width = 2 if schema.channel_axis == 0 else 1
    target.write(picture(np.concatenate(list(np.asarray(rows)), width), schema))


def as_written(target: "Target", table: "pyarrow.Table", given: "Given | None") -> "tuple[pyarrow.Table, Dialect]":
    """A person's own table as a file has it, and how that is written.

    In a .csv that came from a text file what has not changed stands as it stood there; cells are as they are, formulas
    too. The names of its columns need not differ.
    """
    if target.suffix != ".csv" or given is None or given.cells is None or given.reading is None:
        return table, Dialect(harmless=False)
    encoding = given.reading.encoding
    is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    dialect = Dialect(given.reading.delimiter, "utf-8-sig" if is_utf8 else encoding, harmless=False)
    return given.as_text(table), dialect


def write_table(target: "Target", table: "pyarrow.Table", dialect: Dialect) -> None:
    """Writes a table, some rows at a time, to .csv or .parquet."""
    with target.file() as file:
        if target.suffix == ".csv":
            write_csv(file, {str(i): values for i, values in enumerate(table.columns)}, dialect, table.column_names)
        else:
            _write_parquet(file, table)


def write_columns(target: "Target", columns: Columns) -> None:
    """Writes named columns of equal length, some rows at a time: .csv, .parquet, .npz, or the first as .npy.

    Text in .csv that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    with target.file() as file:
        match target.suffix:
            case ".csv":
                write_csv(file, columns)
            case ".parquet":
                import pyarrow

                _write_parquet(file, pyarrow.table({name: _as_arrow(values) for name, values in columns.items()}))
            case ".npy":
                np.save(file, next(iter(columns.values())), allow_pickle=False)
            case _:
                np.savez_compressed(file, **{name: _as_array(values) for name, values in columns.items()})  # type: ignore[arg-type]


def answers_of_codes(target: "Target", codes: np.ndarray, columns: Columns) -> dict[str, Any]:
    """Codes (n, *z_shape) as columns: an array, or of a table a column for each number, after those that name a row."""
    if target.suffix in ARRAYS:
        return {"codes": codes, **(columns if target.suffix == ".npz" else {})}
    flat = codes.reshape(len(codes), -1)
    return {**columns, **{f"z{i}": flat[:, i] for i in range(flat.shape[1])}}


def places_of(source: "Source") -> dict[str, Any]:
    """Columns that name each row: its number from 0, and its file where it has one."""
    numbers = np.arange(len(source))
    if len(source) and source.place(len(source) - 1) == f"row {len(source) - 1}":
        return {"row": numbers}
    return {"row": numbers, "place": [source.place(i) for i in range(len(source))]}


def labels_of(source: "Source", target: "Target") -> tuple[str, np.ndarray] | None:
    """The labels of rows that come back as an .npz file, as they came in one; tables have theirs in a column."""
    return ("y", source.labels) if target.suffix == ".npz" and source.labels is not None else None


def columns_of(rows: Any, schema: "Schema") -> dict[str, Any]:
    """Rows of a table or of features, by the name of the column."""
    if isinstance(rows, np.ndarray):
        return {column.name: rows[:, i] for i, column in enumerate(schema.columns)} or {
            f"x{i}": rows[:, i] for i in range(rows.shape[1])
        }
    table = table_of(rows)
    return dict(zip(table.column_names, table.columns, strict=True))


def table_of(rows: Any) -> "pyarrow.Table":
    """A DataFrame of any library as a pyarrow.Table; one that is such a table as it is."""
    import narwhals as nw
    import pyarrow

    return rows if isinstance(rows, pyarrow.Table) else nw.from_native(rows, eager_only=True).to_arrow()


def _write_parquet(file: BinaryIO, table: "pyarrow.Table") -> None:
    """In groups of rows, each of which a reader holds by itself."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table, row_group_size=8 * BLOCK_ROWS)


def _as_arrow(values: Any) -> Any:
    import pyarrow

    return values if isinstance(values, pyarrow.ChunkedArray | pyarrow.Array) else pyarrow.array(values)


def _as_array(values: Any) -> np.ndarray:
    """An array without Python's own objects, which only a pickle could hold: they become text."""
    array = np.asarray(values.to_pylist() if hasattr(values, "to_pylist") else values)
    if array.dtype != object:
        return array
    return np.array(["" if each is None else str(each) for each in array], dtype=np.str_)


def _channels(schema: "Schema") -> int:
    return 1 if schema.channel_axis is None else schema.row_shape[schema.channel_axis]


def write_pictures(target: "Target", rows: np.ndarray, schema: "Schema", columns: Columns) -> None:
    """One PNG file a row, named by its number; index.csv says more of the rows where there is more to say.

    A row of NaN alone, for which the model had no answer, is no picture: no file has its number, nor has index.csv.
    """
    names = [f"{i:0{max(4, len(str(len(rows))))}}.png" for i in range(len(rows))]
    answered = [i for i, row in enumerate(rows) if row.dtype.kind != "f" or not np.isnan(row).all()]
    with target.folder() as directory:
        for i in answered:
            create(directory / names[i], picture(rows[i], schema))
        if columns:
            with open(directory / "index.csv", "xb") as file:
                of_answered = {name: [values[i] for i in answered] for name, values in columns.items()}
                write_csv(file, {"file": [names[i] for i in answered], **of_answered})


def picture(row: np.ndarray, schema: "Schema") -> bytes:
    """One image as a PNG file, black at the schema's low and white at its high; of 16 bits as the rows are."""
    from likely.cli.photographs import as_pixels, encoded

    return encoded(as_pixels(row, schema))
