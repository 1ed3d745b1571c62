"""The endings of file names that are tables, and what they say of the file."""

DELIMITED = (".csv", ".tsv", ".tab", ".txt")
PACKED = tuple(f"{ending}.gz" for ending in (*DELIMITED, ".jsonl", ".ndjson"))
JSON_LINES = (".jsonl", ".ndjson")
WORKBOOKS = (".xlsx", ".xlsm")
PARQUET = (".parquet", ".pq")
ARROW = (".feather", ".arrow")

TABLES = (*DELIMITED, *PACKED, *JSON_LINES, *WORKBOOKS, *PARQUET, *ARROW)
"""All of them."""

INSTEAD = {
    ".xls": "open it in a spreadsheet program and save it as .xlsx",
    ".ods": "open it in a spreadsheet program and save it as .xlsx",
    ".json": "write one object a line and call it .jsonl",
    ".zip": "unpack it first",
    ".orc": "save it as .parquet",
    ".sav": "save it as .parquet or .csv",
    ".dta": "save it as .parquet or .csv",
}
"""What to do with tables of other kinds."""


def is_table(name: str) -> bool:
    """Whether a file is a table by its name."""
    return name.lower().endswith(TABLES)


def has_tabs(name: str) -> bool:
    """Whether a text file has tabs between its cells by its name."""
    return any(name.lower().removesuffix(".gz").endswith(ending) for ending in (".tsv", ".tab"))
