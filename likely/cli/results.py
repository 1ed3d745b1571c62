"""What was found out about a fitted model: on the screen, and in the files that lie beside it."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from likely.cli.screen import clean, draw, facts, progress, say, table, title
from likely.errors import quoted, quoted_path

if TYPE_CHECKING:
    from likely.data import Source
    from likely.evaluation import Assessment, Figure
    from likely.fitted import Fitted

FILES = (
    ("report.html", "pictures and figures; open it in a browser"),
    ("README.md", "the model card"),
    ("metrics.json", "the figures"),
    ("history.csv", "the training, validation by validation"),
    ("weights.safetensors", "the model itself, with the .json files beside it"),
    ("rows.safetensors", "digests of the rows it learned from; of a model that takes gaps, calibration rows as well"),
)

MAX_CLASSES = 30
"""A longer table of classes is cut; metrics.json has them all."""


def assessed(
    fitted: "Fitted",
    test: "Source",
    train: "Source | None",
    compare: Sequence[str] = (),
    until: float | None = None,
) -> "Assessment":
    """The figures on test rows, beside baselines where there are training rows; those that are measured in time."""
    from likely.assess import assess

    with progress(f"evaluating on {len(test):,} rows") as bar:
        bar.update(0, None)
        return assess(fitted, test, train, compare=compare, until=until)


def show(assessment: "Assessment") -> None:
    """Verdicts first, then the figures they rest on."""
    title(f"What {assessment.n_test:,} test rows say")
    table([("-", verdict) for verdict in assessment.verdicts])
    print()
    rows = [(figure.name, *_own_and_others(figure)) for figure in assessment.figures]
    table(rows, head=("", "here", "beside it"), fixed=1)


def show_curves(assessment: "Assessment") -> None:
    """Curves as tables: a line for each size, a column for each row of the curve."""
    for curve in assessment.curves:
        title(f"{curve.name[:1].upper()}{curve.name[1:]} over so many {curve.over}")
        sizes = sorted({size for line in curve.lines.values() for size, _ in line})
        values = [dict(line) for line in curve.lines.values()]
        lines = [(f"{size:g}", *(f"{each[size]:.3f}" if size in each else "" for each in values)) for size in sizes]
        table(lines, head=("", *curve.lines), fixed=1, right=range(1 + len(values)))
        draw(clean(curve.note))


def show_histograms(assessment: "Assessment") -> None:
    """Shares as tables: a line for each class, a column for each row."""
    for histogram in assessment.histograms:
        title(histogram.name[:1].upper() + histogram.name[1:])
        shares = zip(*histogram.shares.values(), strict=True)
        found = [(name, *(f"{each:.1%}" for each in of)) for name, of in zip(histogram.classes, shares, strict=True)]
        table(found[:MAX_CLASSES], head=("", *histogram.shares), fixed=1, right=range(1, 1 + len(histogram.shares)))
        cut = f" The first {MAX_CLASSES} of {len(found)} classes." if len(found) > MAX_CLASSES else ""
        draw(clean(histogram.note + cut))


def _own_and_others(figure: "Figure") -> tuple[str, str]:
    own, *others = figure.values
    return value_of(figure, own), "\n".join(f"{row} {value_of(figure, row, error=False)}" for row in others)


def value_of(figure: "Figure", row: str, *, error: bool = True) -> str:
    """Such as ">= -21.5 ± 0.2"."""
    mark = figure.marks.get(row, "")
    text = f"{mark} {figure.values[row]:.4g}".strip()
    return f"{text} ± {figure.errors[row]:.2g}" if error and row in figure.errors else text


def metrics_of(assessment: "Assessment") -> bytes:
    """metrics.json."""
    text = json.dumps(assessment.to_json(), indent=1, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # half of a surrogate pair: \\udc80, which JSON knows


def report_of(
    fitted: "Fitted",
    source: "Source",
    train: np.ndarray,
    test: np.ndarray,
    assessment: "Assessment",
    directory: str,
    false_alarm_rate: float,
    compare: Sequence[str] = (),
) -> bytes:
    """report.html."""
    from likely.report import ReportParts, gather, render

    parts = ReportParts(
        source,
        train,
        test,
        assessment,
        fitted.history.rows,
        files=FILES,
        next_commands=next_commands(fitted, directory, source.name),
        false_alarm_rate=false_alarm_rate,
        compare=compare,
    )
    with progress("drawing the report") as bar:
        bar.update(0, None)
        return render(gather(fitted, parts)).encode()


def next_commands(fitted: "Fitted", directory: str, data: str) -> list[str]:
    """Three commands to copy, of those that the model can do."""
    from likely.cli.outputs import TABLES, takes_pictures
    from likely.contract import Encoder, Reconstructor, Restorer, Sampler
    from likely.tasks import can_judge

    model, where, of = fitted.model, quoted_path(directory), quoted_path(data)
    rows = "" if takes_pictures(fitted.schema) else ".csv" if fitted.schema.kind == "table" else ".npy"
    commands = [f"likely score {where} {of} -o scores{TABLES[0]}"] if can_judge(type(model)) else []
    if isinstance(model, Restorer) and (model.corruption is not None or fitted.schema.missing):
        commands.append(f"likely restore {where} {of} -o restored{rows}")
    if isinstance(model, Sampler):
        given = "" if model.condition_shape is None else f" --condition {quoted(fitted.schema.classes[0])}"
        commands.append(f"likely sample {where} -n 64{given} -o samples{rows}")
    if isinstance(model, Encoder):
        commands.append(f"likely encode {where} {of} -o codes.csv")
    if isinstance(model, Reconstructor):
        commands.append(f"likely reconstruct {where} {of} -o reconstructions{rows}")
    return commands[:3]


def show_next(commands: list[str]) -> None:
    """Commands, each on a line of its own, whatever its length."""
    title("Next")
    for command in commands:
        say(f"  {command}")


def show_files(directory: str) -> None:
    """Where everything lies."""
    title(f"In {directory}")
    facts(FILES)
