"""DataFrames of any library as tables."""

import re
import sys
from typing import Any

import narwhals as nw
import pyarrow as pa

from likely.data.delimited import duplicates_text
from likely.errors import DataError


def read_frame(data: Any) -> tuple[pa.Table, str]:
    """A table of any DataFrame that narwhals knows, and the name of its library.

    Raises:
        DataError: if it is none, or holds columns that are no columns of one type; says what mends it.
    """
    try:
        frame = nw.from_native(_dense(data), eager_only=True)
        table = frame.to_arrow()
    except TypeError as error:
        raise _unknown_data(data, error) from None
    except (nw.exceptions.DuplicateError, ValueError) as error:
        raise _unreadable_frame(error) from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        mend = "make the column one type, all numbers or all text, or drop it (drop=[...])"
        raise DataError(f"DataFrame: {'; '.join(map(str, error.args))}; {mend}") from None
    return table, str(frame.implementation.value)


def _dense(data: Any) -> Any:
    """A pandas DataFrame without sparse columns, which Arrow does not know; all else as it is."""
    pandas = sys.modules.get("pandas")  # only where it is loaded already can the caller have one
    if pandas is None or not isinstance(data, pandas.DataFrame):
        return data
    sparse = [i for i, dtype in enumerate(data.dtypes) if isinstance(dtype, pandas.SparseDtype)]
    if not sparse:
        return data
    columns = [data.iloc[:, i].sparse.to_dense() if i in set(sparse) else data.iloc[:, i] for i in range(data.shape[1])]
    return pandas.concat(columns, axis=1)


def _unknown_data(data: Any, error: TypeError) -> DataError:
    kind = type(data).__name__
    if type(data).__module__.startswith("scipy.sparse"):
        return DataError(f"found a sparse matrix ({kind}), expected plain numbers; hand in .toarray() of it")
    if kind == "Series":
        return DataError("found a Series, expected rows of columns; hand in .to_frame() of it")
    if "Lazy" in kind:
        return DataError(f"found a {kind}, expected rows that are there; call .collect() on it first")
    expected = "a numpy array, torch tensor, DataFrame, pyarrow.Table, path or built-in name"
    if isinstance(error, pa.ArrowTypeError):
        return DataError(f"DataFrame: {'; '.join(map(str, error.args))}; make the column one type or drop it")
    return DataError(f"found data of type {kind}, expected {expected}; lists become arrays with numpy.asarray(data)")


def _unreadable_frame(error: Exception) -> DataError:
    text = " ".join(str(error).split())
    twice = re.findall(r"'([^']*)' \d+ times", text)
    if twice:
        return DataError(f"DataFrame: {duplicates_text(twice)}")
    mend = "make each column one type, all numbers or all text, or drop it (drop=[...])"
    return DataError(f"DataFrame cannot be read ({text}); {mend}")
