"""`likely restore --draws N --uncertainty FILE`: what could stand where values are missing, and how sure that is."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from likely.cli.options import Opening
from likely.cli.screen import clean
from likely.errors import UserError

if TYPE_CHECKING:
    from likely.cli.targets import Target
    from likely.contract import Model
    from likely.corruptions import Corruption
    from likely.data import Schema
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
    from likely.cli.outputs import kinds_of, places_of, takes_pictures, write_rows
    from likely.cli.watched import watched
    from likely.contract import DrawsMissing
    from likely.corruptions import Erasing
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
    with watched(rows, f"restoring {source}") as shown:
        if n is None:
            write_rows(target, fitted.restore(shown, strict=strict), fitted.schema)
        else:
            draws = fitted.draw_restorations(shown, n, seed=seed, strict=strict)
            _write_draws(target, draws, fitted.schema, places_of(rows))
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


def _write_draws(target: "Target", draws: list[Any], schema: "Schema", places: dict[str, Any]) -> None:
    """One long table that names draw and row of each line, an array (draws, rows, ...), or a folder of images."""
    from likely.cli.outputs import TABLES, columns_of, write_columns, write_pictures

    if not target.suffix:
        n_rows = len(np.asarray(draws[0]))
        named = {name: np.tile(np.asarray(values), len(draws)) for name, values in places.items()}
        columns = {"draw": np.repeat(np.arange(1, len(draws) + 1), n_rows), **named}
        write_pictures(target, np.concatenate([np.asarray(draw) for draw in draws]), schema, columns)
        return
    if target.suffix not in TABLES:
        write_columns(target, {"X": np.stack([np.asarray(draw) for draw in draws])})
        return
    each = [columns_of(draw, schema) for draw in draws]
    n_rows = len(next(iter(each[0].values())))
    names = list(each[0])
    long: dict[str, Any] = {
        unused("draw", names): np.repeat(np.arange(1, len(draws) + 1), n_rows),
        unused("row", names): np.tile(np.arange(n_rows), len(draws)),
    }
    columns = {name: _one_below_another([draw[name] for draw in each]) for name in names}
    write_columns(target, long | columns, harmless=False)


def _one_below_another(columns: list[Any]) -> Any:
    import pyarrow

    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    return pyarrow.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)


def unused(name: str, taken: Collection[str]) -> str:
    """The name, with an underscore behind it where it is taken."""
    while name in taken:
        name += "_"
    return name
