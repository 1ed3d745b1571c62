"""`--id COLUMN` and `--keep`: columns of a person's table that stand before the answers, and name the rows."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from likely.cli.screen import clean
from likely.errors import UserError

if TYPE_CHECKING:
    import pyarrow

    from likely.cli.targets import Target
    from likely.data import Source
    from likely.data.given import Given

MAX_SHOWN = 20


def check_carrying(ids: Sequence[str], keep: bool, target: "Target | None") -> None:
    """Refuses columns that have no file to go to, before anything is computed."""
    if not ids and not keep:
        return
    option = f"--id {ids[0]}" if ids else "--keep"
    if target is None:
        raise UserError(f"{option} is for a file of answers, and there is none; add -o FILE, such as -o scores.csv")
    if target.suffix not in (".csv", ".parquet", ".npz"):
        raise UserError(
            f"{option}: {target.typed} holds answers alone; write .csv, .parquet or .npz to have columns beside"
        )


def carried_columns(source: "Source", ids: Sequence[str], keep: bool, target: "Target | None") -> dict[str, Any]:
    """The columns that stand first, each cell as it is: those of --id in their order, then with --keep all others.

    Raises:
        UserError: if the rows are no table, or a column is not there; names those that are.
    """
    if target is None or (not ids and not keep):
        return {}
    given = source.given
    if given is None:
        option = f"--id {ids[0]}" if ids else "--keep"
        raise UserError(
            f"{option}: {source.name} is no table with columns; its rows are named by number and file already"
        )
    as_text = target.suffix == ".csv" and given.cells is not None
    table = given.cells if as_text and given.cells is not None else given.table
    for name in ids:
        if name not in table.column_names:
            there = ", ".join(table.column_names[:MAX_SHOWN]) + (", ..." if table.num_columns > MAX_SHOWN else "")
            raise UserError(f'--id {name}: {source.name} has no column "{name}"; it has {there}')
    names = dict.fromkeys([*ids, *(table.column_names if keep else [])])
    return {name: table.column(name) for name in names}


def beside(carried: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """Carried columns, then the answers, under another name where one is taken; that is said by `told_clashes`."""
    columns = dict(carried)
    for name, values in answers.items():
        columns[unused(name, {*columns, *(each for each in answers if each != name)})] = values
    return columns


def told_clashes(carried: Collection[str], answers: Sequence[str]) -> str:
    """Which answers have another name since a column of the data has theirs, in words; empty where none has."""
    clashes = [name for name in answers if name in carried]
    if not clashes:
        return ""
    renamed = ", ".join(f"{name} is {unused(name, {*carried, *answers})}" for name in clashes)
    return clean(f"The data has columns of these names, so of the answers {renamed}")


def reconstructed_beside(
    carried: dict[str, Any], rows: "pyarrow.Table", given: "Given", seen: Collection[str]
) -> "pyarrow.Table":
    """Carried columns, then reconstructions; of those that the model does not see the carried ones are enough.

    Args:
        carried: by name.
        rows: as they are written, in the order of the table that was handed in.
        given: that table.
        seen: the columns that the model sees.
    """
    import pyarrow

    known = list((given.table if given.cells is None else given.cells).column_names)
    names = [*known, *rows.column_names[len(known) :]] if len(rows.column_names) >= len(known) else rows.column_names
    answers = {
        name: values for name, values in zip(names, rows.columns, strict=True) if name not in carried or name in seen
    }
    columns = beside(carried, answers)
    return pyarrow.table(list(columns.values()), names=list(columns))


def unused(name: str, taken: Collection[str]) -> str:
    """The name, with underscores behind it where it is taken."""
    while name in taken:
        name += "_"
    return name
