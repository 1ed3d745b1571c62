"""`likely restore --draws N --uncertainty FILE`: what could stand where values are missing, and how sure that is."""

from typing import TYPE_CHECKING, Any

import numpy as np

from likely.cli.options import Opening
from likely.cli.screen import clean
from likely.errors import UserError

if TYPE_CHECKING:
    from likely.cli.targets import Target
    from likely.contract import Model
    from likely.corruptions import Corruption
    from likely.data import Schema, Source
    from likely.fitted import Fitted


def draw_restorations(
    fitted: "Fitted",
    source: str,
    output: str,
    operator: "Corruption | None",
    *,
    n: int | None,
    uncertainty: str | None,
    seed: int,
    overwrite: bool = False,
    opening: Opening = Opening(),
    strict: bool = False,
) -> None:
    """Writes n whole versions of the rows, or where n is None their means; and how uncertain what was filled in is."""
    from likely.cli.answering import target_of
    from likely.cli.outputs import kinds_of, labels_of, takes_pictures, write_rows
    from likely.cli.watched import watched
    from likely.contract import DrawsMissing
    from likely.corruptions import Erasing
    from likely.data.images import ImageSource
    from likely.reopening import open_like

    fitted.capable(DrawsMissing, "draw what is missing")
    if operator is not None and not isinstance(operator, Erasing):
        raise UserError(f"--draws and --uncertainty are of what is missing, not of {operator}; leave --operator out")
    target = target_of(fitted, output, overwrite, source)
    target.check(kinds_of(fitted.schema), folder=takes_pictures(fitted.schema))
    spread = None if uncertainty is None else target_of(fitted, uncertainty, overwrite, source, option="--uncertainty")
    if spread is not None:
        spread.check(kinds_of(fitted.schema), beside=target)
    rows = open_like(fitted, source, **opening.options())
    if isinstance(rows, ImageSource) and fitted.model.x_shape[0] in (1, 3):
        rows.keep_alpha(fitted.model.x_shape[0])
    with watched(rows, f"restoring {source}") as shown:
        if n is None:
            write_rows(
                target,
                fitted.restore(shown, strict=strict),
                fitted.schema,
                labels=labels_of(rows, target),
                given=rows.given,
            )
        else:
            draws = fitted.draw_restorations(shown, n, seed=seed, strict=strict)
            _write_draws(target, draws, fitted.schema, rows)
    what = restored_rows(fitted.model) if n is None else f"rows, drawn {n} times over,"
    told = [f"{len(rows):,} {what} are in {clean(output)}"]
    if spread is not None:
        with watched(rows, f"drawing {source}") as shown:
            write_rows(spread, fitted.restoration_spread(shown, seed=seed), fitted.schema)
        told.append(f"Their standard deviations, 0 of what was there, are in {clean(spread.typed)}")
    print("\n".join(told))


def restored_rows(model: "Model") -> str:
    """What `restore` gives of a model, in words."""
    from likely.contract import Sequential

    return f"restored rows ({'a draw each' if isinstance(model, Sequential) else 'means'}, in the units of the data)"


def _write_draws(target: "Target", draws: list[Any], schema: "Schema", source: "Source") -> None:
    """One long table that names draw and row of each line, an array (draws, rows, ...), or a folder of images."""
    from likely.cli.outputs import TABLES, places_of, write_columns, write_pictures

    numbers = np.repeat(np.arange(1, len(draws) + 1), len(source))
    if not target.suffix:
        named = {name: np.tile(np.asarray(values), len(draws)) for name, values in places_of(source).items()}
        rows = np.concatenate([np.asarray(draw) for draw in draws])
        write_pictures(target, rows, schema, {"draw": numbers, **named})
    elif target.suffix not in TABLES:
        write_columns(target, {"X": np.stack([np.asarray(draw) for draw in draws])})
    else:
        _write_long(target, draws, schema, source, numbers)


def _write_long(target: "Target", draws: list[Any], schema: "Schema", source: "Source", numbers: np.ndarray) -> None:
    import pyarrow

    from likely.cli.carried import unused
    from likely.cli.outputs import as_written, columns_of, write_table

    tables = [pyarrow.table(columns_of(draw, schema)) for draw in draws]
    written = [as_written(target, table, source.given) for table in tables]
    long = pyarrow.concat_tables([table for table, _ in written])
    names = long.column_names
    long = long.add_column(0, unused("row", names), [np.tile(np.arange(len(source)), len(draws))])
    write_table(target, long.add_column(0, unused("draw", names), [numbers]), written[0][1])
