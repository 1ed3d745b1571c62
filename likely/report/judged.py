"""Samples beside real rows, in a report: the figures with their floor, and the shares of classes."""

from dataclasses import replace
from typing import Any

from likely.assess.samples import OWN_FIGURES, REAL
from likely.evaluation import Assessment, Figure
from likely.report import charts
from likely.report.sections import figure

MAX_CLASSES = 30
"""Bars of more classes could not be told apart: the first are drawn."""


def judged(assessment: Assessment | None) -> dict[str, Any] | None:
    """A table with a column for the model, for the floor and for each baseline; None where no samples were judged."""
    found = [] if assessment is None else [assessment.figure(name) for name in OWN_FIGURES]
    figures = [each for each in found if each is not None]
    if assessment is None or not figures:
        return None
    names = Assessment(0, tuple(figures)).row_names()
    return {
        "names": names,
        "figures": [_line(each, names) for each in figures],
        "floor": REAL,
        "histograms": [
            {
                "chart": charts.shares(
                    each.classes[:MAX_CLASSES], {row: shares[:MAX_CLASSES] for row, shares in each.shares.items()}
                ),
                "note": each.note,
                "shown": min(MAX_CLASSES, len(each.classes)),
                "of": len(each.classes),
            }
            for each in assessment.histograms
        ],
    }


def _line(shown: Figure, names: tuple[str, ...]) -> dict[str, Any]:
    """As `figure`, but that the floor, which nothing has to beat, is not the best."""
    rivals = {row: value for row, value in shown.values.items() if row != REAL}
    best = Figure(shown.name, shown.unit, shown.better, rivals).best() if len(rivals) > 1 else None
    line = figure(replace(shown, better="neither"), names) | {"better": shown.better}
    for name, cell in zip(names, line["cells"], strict=True):
        if cell is not None:
            cell["best"] = name == best
    return line
