"""The section of what is restored: rows as they were, what is left of them, and what the model makes of that."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from likely.assess.restoration import damage
from likely.data import Schema, Source
from likely.data.remains import restored_to_rows
from likely.evaluation import mse
from likely.fitted import Fitted
from likely.report.contents import Restorations
from likely.report.rows import Look
from likely.report.words import number

MAX_TABLE_ROWS = 3


def gathered(fitted: Fitted, rows: Source, plain: Callable[[Any], np.ndarray]) -> Restorations | None:
    """Some rows damaged as the model can undo it, and restored; None where it can undo nothing.

    Args:
        fitted: the model.
        rows: those to show.
        plain: from the caller's rows to an array.
    """
    found = damage(fitted, rows)
    if found is None:
        return None
    schema, x = fitted.schema, found.x.double().numpy()
    left = _with_gaps(schema, plain(restored_to_rows(schema, found.left)), found.left)
    return Restorations(
        plain(rows.read(np.arange(len(rows)))),
        left,
        plain(restored_to_rows(schema, found.restored)),
        mse(np.nan_to_num(x), found.left.nan_to_num(0.0).double().numpy()).tolist(),
        mse(np.where(np.isnan(x), found.restored.double().numpy(), x), found.restored.double().numpy()).tolist(),
        [rows.place(i) for i in range(len(rows))],
        str(found.corruption),
        "standard deviations²" if schema.columns else "",
    )


def _with_gaps(schema: Schema, rows: np.ndarray, x: Tensor) -> np.ndarray:
    """Rows of a table with NaN in the cells of which something is missing, categories too."""
    if schema.kind != "table":
        return rows
    start = 0
    for i, column in enumerate(schema.columns):
        # Of a category that is half gone nobody can say what is left.
        rows[x[:, start : start + column.width].isnan().any(1).numpy(), i] = math.nan
        start += column.width
    return rows


def restorations(shown: Restorations, look: Look) -> dict[str, Any]:
    """A column of three for each row; as lines under each other where rows are lines."""
    rows = list(zip(shown.left, shown.restored, shown.originals, shown.before, shown.after, shown.names, strict=True))
    told = {"corruption": shown.corruption, "unit": shown.error_unit}
    if look.style == "table":
        lines = []
        for a, b, c, before, after, name in rows[:MAX_TABLE_ROWS]:
            lines += [(f"{name}, damaged, MSE {number(before, 3)}", a), (f"restored, MSE {number(after, 3)}", b)]
            lines += [("as it was", c)]
        return told | {"table": look.table(lines)}
    columns = [
        {
            "left": look.picture(a, f"{name}, damaged"),
            "restored": look.picture(b, f"{name}, restored"),
            "original": look.picture(c, f"{name}, as it was"),
            "before": number(before, 3),
            "after": number(after, 3),
            "name": name,
        }
        for a, b, c, before, after, name in rows
    ]
    return told | {"table": None, "columns": columns}
