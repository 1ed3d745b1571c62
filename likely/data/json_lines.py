"""JSON lines: an object on each line, its fields the columns."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.json

from likely.data.unpacking import unpacked
from likely.errors import DataError

BLOCK_BYTES = 2**24


def read_json_lines(path: Path, name: str) -> pa.Table:
    """A table of a .jsonl file, which may be packed with gzip; a field that a line lacks is missing there.

    Raises:
        DataError: naming the line that is no object, or the field that holds values of several types.
    """
    try:
        content = unpacked(path, name) if name.lower().endswith(".gz") else path.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from None
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise DataError(
            f"{name}, line {line}: found bytes that are no UTF-8, as JSON has to be; save it in UTF-8"
        ) from None
    if not content.strip():
        raise DataError(f"{name} is empty; expected an object on each line, such as {{'a': 1}} in double quotes")
    sink = pa.BufferOutputStream()  # Arrow's own memory, as `likely.data.encodings.Text.open` says
    sink.write(content)
    try:
        options = pa.json.ReadOptions(block_size=max(BLOCK_BYTES, content.find(b"\n") + 1))
        return pa.json.read_json(pa.BufferReader(sink.getvalue()), read_options=options)
    except (pa.ArrowException, ValueError) as error:
        raise _explained(content, name, str(error)) from None


def _explained(content: bytes, name: str, reason: str) -> DataError:
    kinds: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            return DataError(
                f"{name}, line {number}: found no JSON ({str(error)[:100]}); expected an object on each line"
            )
        if not isinstance(row, dict):
            return DataError(f"{name}, line {number}: found a {_kind(row)}, expected an object: {{names: values}}")
        for field, value in row.items():
            kind = _kind(value)
            before, first = kinds.setdefault(field, (kind, number)) if value is not None else (kind, number)
            if kind != before:
                found = f'field "{field}": a {before} in line {first}, a {kind} here'
                return DataError(
                    f"{name}, line {number}, {found}; expected one type: make it one, all text or all numbers"
                )
    return DataError(f"{name} cannot be read as JSON lines ({reason.splitlines()[0][:200]}); save it again")


def _kind(value: object) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "text", list: "list", dict: "object"}
    return names.get(type(value), "null")
