"""`likely score`, `encode`, `reconstruct`, `interpolate` and `sample`: what a fitted model answers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from likely import arguments
from likely.cli.options import (
    Device,
    Directory,
    FalseAlarmRate,
    Id,
    Keep,
    Opening,
    Overwrite,
    Source,
    Strict,
    as_rate,
    opened,
    opens_data,
)
from likely.cli.screen import clean, facts, progress
from likely.errors import UserError

if TYPE_CHECKING:
    from likely.cli.targets import Target
    from likely.data import Source as DataSource
    from likely.fitted import Fitted, Scores

Output = Annotated[
    str, typer.Option("--out", "-o", help="File (.npy, .npz, .csv, .parquet) or folder of PNG.", show_default=False)
]
WayOutput = Annotated[
    str,
    typer.Option("--out", "-o", help="File (.npy, .npz, .csv, .parquet), .png or folder of PNG.", show_default=False),
]
ScoresOutput = Annotated[
    str | None, typer.Option("--out", "-o", help="File to write: .csv, .parquet or .npz.", show_default=False)
]

N_STRANGEST = 5


@opens_data
def score(
    directory: Directory,
    source: Source,
    output: ScoresOutput = None,
    overwrite: Overwrite = False,
    id: Id = None,
    keep: Keep = False,
    false_alarm_rate: FalseAlarmRate = None,
    strict: Strict = False,
    device: Device = "auto",
    opening: Opening = Opening(),
) -> None:
    """Say how unlikely each row is, and flag the novel ones.

    Written are, by row: the surprise (larger is stranger), its p-value, whether it is flagged as novel, and where that
    is not its surprise alone, why. A row with what was not there at fit (a new category, a value out of range, none
    where the model needs one) is novel; --strict refuses such rows. With --id and --keep columns of the table stand
    first, each cell as it is.
    """
    from likely.cli.carried import beside, carried_columns, check_carrying, told_clashes
    from likely.cli.outputs import places_of, write_columns
    from likely.cli.watched import watched
    from likely.reopening import open_like

    fitted = opened(directory, device)
    target = None if output is None else target_of(fitted, output, overwrite, source)
    if target is not None:
        target.check((".csv", ".parquet", ".npz"))
    check_carrying(id or (), keep, target)
    rate = as_rate(false_alarm_rate, fitted.info)
    rows = open_like(fitted, source, **opening.options())
    carried = carried_columns(rows, id or (), keep, target)
    with watched(rows, f"scoring {source}") as shown:
        scores = fitted.score(shown, false_alarm_rate=rate, strict=strict)
    answers = places_of(rows) | {
        "surprise": scores.surprise,
        "p_value": scores.p_value,
        "is_novel": scores.is_novel,
        "reason": scores.reason,
    }
    if target is not None:
        write_columns(target, beside(carried, answers))
    _show_scores(rows, fitted, scores)
    if output is not None:
        print(f"\nScores of {len(rows):,} rows are in {clean(output)}")
    _print_told(told_clashes(carried, list(answers)))


def _print_told(told: str) -> None:
    if told:
        print(told)


def _show_scores(rows: "DataSource", fitted: "Fitted", scores: "Scores") -> None:
    import numpy as np

    order = np.lexsort((-scores.surprise, scores.p_value))[:N_STRANGEST]
    middle = float(np.median(scores.surprise))
    flagged = int(scores.is_novel.sum())
    share = f"{flagged:,} of {len(rows):,} rows ({flagged / len(rows):.2%})"
    told = {
        "surprise": f"{kind_of_number(fitted)}; larger is stranger",
        "median": f"{middle:.4g}",
        "strangest": ", ".join(f"{rows.place(int(i))} ({scores.surprise[i]:.4g})" for i in order),
        "flagged": f"{share} at a false-alarm rate of {scores.false_alarm_rate:g}",
        "reasons": "\n".join(_reasons(rows, scores)),
        "note": scores.note,
    }
    facts([(name, text) for name, text in told.items() if text])


def _reasons(rows: "DataSource", scores: "Scores") -> list[str]:
    """The first rows that are novel for another reason than their surprise, and why."""
    import numpy as np

    told = np.flatnonzero(scores.reason != "")
    lines = [f"{rows.place(int(i))}: {scores.reason[i]}" for i in told[:N_STRANGEST]]
    return [*lines, f"and {len(told) - len(lines):,} more"] if len(told) > len(lines) else lines


def kind_of_number(fitted: "Fitted") -> str:
    """What a surprise of this model is, in words."""
    from likely.tasks import Measure, how_estimated

    whole = fitted.schema.domain in ("binary", "levels") or not fitted.continuous
    what = "probability" if whole else "density"
    match fitted.measure:
        case Measure.EXACT if fitted.density_mark == "=":
            return f"minus the log-{what} in nats, exact (=)"
        case Measure.EXACT | Measure.BOUND:
            return f"minus the log-{what} in nats, at most so much (<=, a bound)"
        case Measure.ESTIMATE:
            return f"minus the log-{what} in nats (~, {how_estimated(fitted.model)})"
        case Measure.ENERGY:
            return "an energy, up to a constant (~): good for ranking only"
    return "the squared error of the reconstruction, in the model's units"


@opens_data
def encode(
    directory: Directory,
    source: Source,
    output: Output,
    overwrite: Overwrite = False,
    id: Id = None,
    keep: Keep = False,
    strict: Strict = False,
    device: Device = "auto",
    opening: Opening = Opening(),
) -> None:
    """Write the code of each row."""
    from likely.cli.carried import beside, carried_columns, check_carrying, told_clashes
    from likely.cli.outputs import ARRAYS, TABLES, answers_of_codes, places_of, write_columns
    from likely.cli.watched import watched
    from likely.reopening import open_like

    fitted = opened(directory, device)
    target = target_of(fitted, output, overwrite, source)
    target.check((*ARRAYS, *TABLES))
    check_carrying(id or (), keep, target)
    rows = open_like(fitted, source, **opening.options())
    carried = carried_columns(rows, id or (), keep, target)
    with watched(rows, f"encoding {source}") as shown:
        codes = fitted.encode(shown, strict=strict)
    names = places_of(rows)
    if rows.labels is not None:
        names["label"] = rows.labels
    answers = answers_of_codes(target, codes, names)
    write_columns(target, beside(carried, answers))
    sizes = " x ".join(map(str, codes.shape[1:]))
    print(f"Codes of {len(rows):,} rows, {sizes} numbers each, are in {clean(output)}")
    _print_told(told_clashes(carried, list(answers)))


@opens_data
def reconstruct(
    directory: Directory,
    source: Source,
    output: Output,
    overwrite: Overwrite = False,
    id: Id = None,
    keep: Keep = False,
    strict: Strict = False,
    device: Device = "auto",
    opening: Opening = Opening(),
) -> None:
    """Write each row as it comes back through the code.

    Columns of a table that the model does not see stay as they are. With --id and --keep columns stand first as they
    are, and those of them that the model sees once more, reconstructed.
    """
    from likely.cli.carried import carried_columns, check_carrying, reconstructed_beside, told_clashes
    from likely.cli.outputs import as_written, labels_of, places_of, table_of, write_rows, write_table
    from likely.cli.watched import watched
    from likely.reopening import open_like

    fitted = opened(directory, device)
    target = target_of(fitted, output, overwrite, source)
    check_rows_target(target, fitted)
    check_carrying(id or (), keep, target)
    rows = open_like(fitted, source, **opening.options())
    carried = carried_columns(rows, id or (), keep, target)
    seen = [column.name for column in fitted.schema.columns if column.width]
    with watched(rows, f"reconstructing {source}") as shown:
        again = fitted.reconstruct(shown, strict=strict)
    if carried and rows.given is not None:
        table, dialect = as_written(target, table_of(again), rows.given)
        write_table(target, reconstructed_beside(carried, table, rows.given, seen), dialect)
    else:
        write_rows(target, again, fitted.schema, places_of(rows).get("place"), labels_of(rows, target), rows.given)
    print(f"Reconstructions of {len(rows):,} rows (means, in the units of the data) are in {clean(output)}")
    _print_told(told_clashes(carried, [name for name in seen if name in carried]))


@opens_data
def interpolate(
    directory: Directory,
    source: Source,
    output: WayOutput,
    rows: Annotated[tuple[int, int], typer.Option(metavar="A B", help="The two rows, counted from 0.")],
    steps: Annotated[int, typer.Option(help="How many rows, with both ends; at least 2.")] = 9,
    overwrite: Overwrite = False,
    device: Device = "auto",
    opening: Opening = Opening(),
) -> None:
    """Write what lies between two rows, as the model decodes it.

    The first and the last are the two rows' reconstructions. Between their codes the way is a great circle where the
    model's prior is a standard normal, and else straight.
    """
    import numpy as np

    from likely.cli.outputs import takes_pictures, write_rows, write_strip
    from likely.data.subset import Subset
    from likely.exploring import interpolate as between
    from likely.reopening import open_like

    steps = arguments.whole("--steps", steps, 2)
    fitted = opened(directory, device)
    strip = output.lower().endswith(".png") and takes_pictures(fitted.schema)
    target = target_of(fitted, output, overwrite, source)
    check_rows_target(target, fitted, *([".png"] if strip else []))
    found = open_like(fitted, source, **opening.options())
    for row in rows:
        if not 0 <= row < len(found):
            raise UserError(f"--rows {row}: {source} has {len(found):,} rows, numbered from 0 to {len(found) - 1}")
    first, last = (Subset(found, np.array([row])) for row in rows)
    way: Any = between(fitted, first, last, steps)
    if strip:
        write_strip(target, way, fitted.schema)
    else:
        write_rows(target, way, fitted.schema)
    names = " to ".join(found.place(row) for row in rows)
    print(f"{steps:,} rows from {clean(names)} (means, in the units of the data) are in {clean(output)}")


def sample(
    directory: Directory,
    output: Output,
    n: Annotated[int, typer.Option("-n", help="How many rows, of each --condition.")] = 64,
    seed: Annotated[int, typer.Option(help="Which draws.")] = 0,
    condition: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Of this class, by a model fitted with --condition label; may be repeated."),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(help="Of a model that draws value after value: below 1 likelier rows, above 1 more various ones."),
    ] = 1.0,
    overwrite: Overwrite = False,
    device: Device = "auto",
) -> None:
    """Write new rows, drawn from the model.

    With --condition they are of the classes that it names, and what is written names the class of each: in a column
    of tables, in y of .npz, in index.csv of a folder. A conditional model that is told none draws as often as it saw.
    """
    import numpy as np

    from likely.cli.outputs import write_rows

    n = arguments.whole("-n", n, 1)
    fitted = opened(directory, device)
    target = target_of(fitted, output, overwrite)
    check_rows_target(target, fitted)
    labels = None if not condition else np.repeat(condition, n)
    total = n if labels is None else len(labels)
    with progress(f"drawing {total:,} rows") as bar:
        bar.update(0, None)
        rows: Any = fitted.sample(
            total,
            condition=labels,
            seed=seed,
            temperature=temperature,
            on_progress=lambda share: bar.update(total * share, total),
        )
    write_rows(target, rows, fitted.schema, labels=None if labels is None else (_label_name(fitted), labels))
    print(f"{total:,} new rows (draws, in the units of the data) are in {clean(output)}")


def _label_name(fitted: "Fitted") -> str:
    """What the column of labels was called at fit."""
    options = (fitted.info.get("data") or {}).get("options") or {}
    return str(options.get("label") or "label")


def target_of(fitted: "Fitted", output: str, overwrite: bool, *sources: str, option: str = "-o") -> "Target":
    """Where an answer goes, which is none of the sources, nor what the model learned from."""
    from likely.cli.targets import Target, learned_from

    return Target(output, option, overwrite, sources, learned_from(fitted.info))


def check_rows_target(target: "Target", fitted: "Fitted", *more: str, folder: bool = True) -> None:
    """Refuses a place where rows of the model's kind cannot be written."""
    from likely.cli.outputs import kinds_of, takes_pictures

    target.check((*kinds_of(fitted.schema), *more), folder=folder and takes_pictures(fitted.schema))
