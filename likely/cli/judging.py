"""`likely evaluate` and `likely report`: how good a fitted model is."""

import contextlib
import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from likely.cli.options import (
    Compare,
    Device,
    Directory,
    Opening,
    OptionalSource,
    Overwrite,
    Strict,
    as_names,
    as_rate,
    opened,
    opens_data,
)
from likely.cli.screen import clean
from likely.errors import DataError, UserError, quoted_path

if TYPE_CHECKING:
    import numpy as np

    from likely.cli.targets import Target
    from likely.data import Source
    from likely.evaluation import Assessment
    from likely.fitted import Fitted
    from likely.training import History

MAX_HISTORY_BYTES = 2**26

MetricsOutput = Annotated[
    str | None, typer.Option("--out", "-o", help="A .json file, in place of DIR/metrics.json.", show_default=False)
]
ReportOutput = Annotated[
    str | None, typer.Option("--out", "-o", help="An .html file, in place of DIR/report.html.", show_default=False)
]


@dataclass(frozen=True)
class Court:
    """The rows that a model is judged by.

    Attributes:
        source: where the test rows are, and those it learned from where `own`.
        train: ids of those it learned from.
        test: ids of those it did not.
        own: whether they are those that the fit kept for testing.
        left_out: how many rows are not judged by, since the model learned from them.
        lacking: how many are not, since they lack values that the model needs, or a label that others have.
    """

    source: "Source"
    train: "np.ndarray"
    test: "np.ndarray"
    own: bool
    left_out: int = 0
    lacking: int = 0

    @property
    def told(self) -> tuple[str, ...]:
        """What is left out, in words."""
        n = self.left_out + self.lacking + len(self.test)
        why = {
            "the model learned from them": self.left_out,
            "they lack values that the model cannot do without, or a label": self.lacking,
        }
        return tuple(f"{some:,} of {n:,} rows are left out: {reason}" for reason, some in why.items() if some)


@opens_data
def evaluate(
    directory: Directory,
    source: OptionalSource = None,
    output: MetricsOutput = None,
    overwrite: Overwrite = False,
    compare: Compare = None,
    strict: Strict = False,
    device: Device = "auto",
    opening: Opening = Opening(),
) -> None:
    """Measure a model on rows it never saw, beside baselines."""
    from likely.cli import results
    from likely.persistence import add_extra

    fitted = opened(directory, device)
    target = _target(fitted, output, overwrite, source, ".json")
    court = _answered(fitted, _court(fitted, directory, source, opening), strict)
    assessment = _assessed(fitted, court, as_names(compare))
    if target is not None:
        target.write(results.metrics_of(assessment))
    elif court.own:
        add_extra(directory, "metrics.json", results.metrics_of(assessment))
    results.show(assessment)
    results.show_histograms(assessment)
    results.show_curves(assessment)
    if output is not None or court.own:
        print(f"\nThe figures are in {clean(output or str(Path(directory) / 'metrics.json'))}")


@opens_data
def report(
    directory: Directory,
    source: OptionalSource = None,
    output: ReportOutput = None,
    overwrite: Overwrite = False,
    compare: Compare = None,
    strict: Strict = False,
    device: Device = "auto",
    opening: Opening = Opening(),
) -> None:
    """Write one HTML page: what was learned, and how good it is."""
    from likely.cli import results
    from likely.persistence import add_extra

    fitted = opened(directory, device)
    target = _target(fitted, output, overwrite, source, ".html")
    fitted.history = read_history(directory)
    court = _answered(fitted, _court(fitted, directory, source, opening), strict)
    assessment = _assessed(fitted, court, as_names(compare))
    rate = as_rate(None, fitted.info)
    page = results.report_of(
        fitted, court.source, court.train, court.test, assessment, directory, rate, as_names(compare)
    )
    if target is not None:
        target.write(page)
    else:
        add_extra(directory, "report.html", page)
    print(f"The report is {clean(output or str(Path(directory) / 'report.html'))}")


def _target(fitted: "Fitted", output: str | None, overwrite: bool, source: str | None, kind: str) -> "Target | None":
    """Where -o says that the answer goes; None where it goes into the fitted directory."""
    from likely.cli.targets import Target, learned_from

    if output is None:
        return None
    kept = () if source is None else (source,)
    instead = "choose a place outside of it, or leave -o out"
    target = Target(output, overwrite=overwrite, kept=kept, learned=learned_from(fitted.info), instead=instead)
    target.check((kind,))
    return target


def _court(fitted: "Fitted", directory: str, source: str | None, opening: Opening) -> Court:
    """The test rows that the fit kept, or other rows that the caller names."""
    import numpy as np

    from likely.data.subset import Subset
    from likely.reopening import open_like, reopen, split_again

    if source is None:
        if opening != Opening():
            ways = "--label, --drop, --size, --channels and --missing"
            raise UserError(f"{ways} say how SOURCE is opened; name it: likely evaluate {directory} SOURCE")
        try:
            own, split = reopen(fitted.info)
        except DataError as error:
            raise DataError(
                f"{error}; name rows to judge by: likely evaluate {quoted_path(directory)} SOURCE"
            ) from error
        return Court(own, split.train, split.test, own=True)
    other = open_like(fitted, source, **opening.options())
    again = split_again(fitted.info, other)
    if again is not None:
        return Court(other, again.train, again.test, own=True)
    test = other.parts.get("test", np.arange(len(other)))
    known = fitted.learned_from(Subset(other, test))
    if known.all():
        raise DataError(
            f"the model learned from every row of {other.name}, so none can judge it; leave SOURCE out to judge it by "
            f"the rows that the fit kept for that: likely evaluate {quoted_path(directory)}"
        )
    return Court(other, np.empty(0, np.int64), test[~known], own=False, left_out=int(known.sum()))


def _answered(fitted: "Fitted", court: Court, strict: bool) -> Court:
    """Without the rows that the model has no answer for, and those without a label where others have one."""
    from likely.data.subset import Subset

    rows = Subset(court.source, court.test)
    if strict:
        fitted.check(rows)
    able = fitted.answerable(rows)
    if rows.labels is not None and rows.labels.dtype.kind == "U":
        able &= rows.labels != ""
    if len(able) and not able.any():
        mend = "fill them in, or fit a model that takes missing values (`likely models` lists them)"
        raise DataError(
            f"{court.source.name}: every row lacks values that {fitted.spec.name} needs, or a label; {mend}"
        )
    return dataclasses.replace(court, test=court.test[able], lacking=int((~able).sum()))


def _assessed(fitted: "Fitted", court: Court, compare: Sequence[str]) -> "Assessment":
    """The figures, and before all verdicts what was left out."""
    from likely.cli import results
    from likely.data.subset import Subset

    assessment = results.assessed(fitted, Subset(court.source, court.test), _learned(fitted, court), compare)
    return dataclasses.replace(assessment, verdicts=(*court.told, *assessment.verdicts))


def _learned(fitted: "Fitted", court: Court) -> "Source | None":
    """The rows that the model learned from, for its baselines; None where they are not at hand."""
    from likely.data.subset import Subset
    from likely.reopening import reopen

    if court.own:
        return Subset(court.source, court.train)
    with contextlib.suppress(DataError):
        source, split = reopen(fitted.info)
        return Subset(source, split.train)
    return None


def read_history(directory: str) -> "History":
    """The training as history.csv has it; empty where that cannot be read."""
    from likely.persistence import read_extra
    from likely.training import History

    try:
        text = read_extra(directory, "history.csv", MAX_HISTORY_BYTES).decode()
        lines = csv.DictReader(io.StringIO(text))
        rows = [{name: float(value) for name, value in line.items() if value} for line in lines]
    except (UserError, ValueError, TypeError, csv.Error):
        return History()
    return History(rows if all(_is_step(row) for row in rows) else [])


def _is_step(row: dict[str, float]) -> bool:
    return math.isfinite(row.get("step", math.nan))
