"""`likely score`, `encode`, `reconstruct` and `sample`: what a fitted model answers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from likely.cli.options import Device, Directory, FalseAlarmRate, Source, as_rate, opened
from likely.cli.screen import clean, facts, progress

if TYPE_CHECKING:
    import numpy as np

    from likely.data import Source as DataSource
    from likely.fitted import Fitted, Scores

Output = Annotated[
    str, typer.Option("--out", "-o", help="File (.npy, .npz, .csv, .parquet) or folder of PNG.", show_default=False)
]
ScoresOutput = Annotated[
    str | None, typer.Option("--out", "-o", help="File to write: .csv, .parquet or .npz.", show_default=False)
]

N_STRANGEST = 5


def score(
    directory: Directory,
    source: Source,
    output: ScoresOutput = None,
    false_alarm_rate: FalseAlarmRate = None,
    device: Device = "auto",
) -> None:
    """Say how unlikely each row is, and flag the novel ones.

    Written are, by row: the surprise (larger is stranger), its p-value, and whether it is flagged as novel.
    """
    from likely.cli.outputs import check_output, places_of, write_columns
    from likely.cli.watched import watched
    from likely.reopening import open_like

    if output is not None:
        check_output(output, (".csv", ".parquet", ".npz"))
    fitted = opened(directory, device)
    rate = as_rate(false_alarm_rate, fitted.info)
    rows = open_like(fitted.info, source)
    with watched(rows, f"scoring {source}") as shown:
        scores = fitted.score(shown, false_alarm_rate=rate)
    _show_scores(rows, fitted, scores)
    if output is not None:
        write_columns(
            output,
            places_of(rows) | {"surprise": scores.surprise, "p_value": scores.p_value, "is_novel": scores.is_novel},
        )
        print(f"\nScores of {len(rows):,} rows are in {clean(output)}")


def _show_scores(rows: "DataSource", fitted: "Fitted", scores: "Scores") -> None:
    import numpy as np

    order = np.argsort(scores.surprise)[::-1][:N_STRANGEST]
    middle = float(np.median(scores.surprise))
    flagged = int(scores.is_novel.sum())
    share = f"{flagged:,} of {len(rows):,} rows ({flagged / len(rows):.2%})"
    told = {
        "surprise": f"{kind_of_number(fitted)}; larger is stranger",
        "median": f"{middle:.4g}",
        "strangest": ", ".join(f"{rows.place(int(i))} ({scores.surprise[i]:.4g})" for i in order),
        "flagged": f"{share} at a false-alarm rate of {scores.false_alarm_rate:g}",
        "note": scores.note,
    }
    facts([(name, text) for name, text in told.items() if text])


def kind_of_number(fitted: "Fitted") -> str:
    """What a surprise of this model is, in words."""
    from likely.tasks import Measure

    whole = isinstance(fitted.schema.levels, int) and fitted.schema.domain in ("binary", "levels")
    what = "probability" if whole else "density"
    match fitted.measure:
        case Measure.EXACT if fitted.density_mark == "=":
            return f"minus the log-{what} in nats, exact (=)"
        case Measure.EXACT | Measure.BOUND:
            return f"minus the log-{what} in nats, at most so much (<=, a bound)"
        case Measure.ENERGY:
            return "an energy, up to a constant (~): good for ranking only"
    return "the squared error of the reconstruction, in the model's units"


def encode(directory: Directory, source: Source, output: Output, device: Device = "auto") -> None:
    """Write the code of each row."""
    from likely.cli.outputs import ARRAYS, TABLES, check_output, places_of, write_codes
    from likely.cli.watched import watched
    from likely.reopening import open_like

    check_output(output, (*ARRAYS, *TABLES))
    fitted = opened(directory, device)
    rows = open_like(fitted.info, source)
    with watched(rows, f"encoding {source}") as shown:
        codes = fitted.encode(shown)
    names = places_of(rows)
    if rows.labels is not None:
        names["label"] = rows.labels
    write_codes(output, codes, names)
    sizes = " x ".join(map(str, codes.shape[1:]))
    print(f"Codes of {len(rows):,} rows, {sizes} numbers each, are in {clean(output)}")


def reconstruct(directory: Directory, source: Source, output: Output, device: Device = "auto") -> None:
    """Write each row as it comes back through the code."""
    from likely.cli.outputs import places_of, write_rows
    from likely.cli.watched import watched
    from likely.reopening import open_like

    fitted = opened(directory, device)
    _check_rows_output(output, fitted)
    rows = open_like(fitted.info, source)
    with watched(rows, f"reconstructing {source}") as shown:
        again = fitted.reconstruct(shown)
    write_rows(output, again, fitted.schema, places_of(rows).get("place"))
    print(f"Reconstructions of {len(rows):,} rows (means, in the units of the data) are in {clean(output)}")


def sample(
    directory: Directory,
    output: Output,
    n: Annotated[int, typer.Option("-n", min=1, help="How many rows.")] = 64,
    seed: Annotated[int, typer.Option(help="Which draws.")] = 0,
    label: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Of a model fitted with --condition label.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Write new rows, drawn from the model."""
    from likely.cli.outputs import write_rows

    fitted = opened(directory, device)
    _check_rows_output(output, fitted)
    with progress(f"drawing {n:,} rows") as bar:
        bar.update(0, None)
        rows: Any = fitted.sample(n, condition=_condition(label, n), seed=seed)
    write_rows(output, rows, fitted.schema)
    print(f"{n:,} new rows (draws, in the units of the data) are in {clean(output)}")


def _condition(label: str | None, n: int) -> "np.ndarray | None":
    import numpy as np

    return None if label is None else np.full(n, label)


def _check_rows_output(output: str, fitted: "Fitted") -> None:
    from likely.cli.outputs import check_output, kinds_of, takes_pictures

    check_output(output, kinds_of(fitted.schema), folder=takes_pictures(fitted.schema))
