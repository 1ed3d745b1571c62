"""The sections of a report: from arrays and numbers to what the template prints."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from likely.evaluation import Figure
from likely.report import charts
from likely.report.contents import Path, Reconstructions, ReportData, Samples, ScoreSummary
from likely.report.rows import Look
from likely.report.words import MARK_MEANINGS, MARKS, count, duration, number, percent, with_error

NATS = {"distortion", "rate", "nll"}
MAX_LISTED_COLUMNS = 40
MAX_TABLE_ROWS = 6


def reconstructions(shown: Reconstructions, look: Look) -> dict[str, Any]:
    """Pairs by group, in the order in which the groups come; as one table where rows are lines."""
    rows = list(zip(shown.originals, shown.reconstructions, shown.errors, shown.groups, shown.names, strict=True))
    if look.style == "table":
        pairs = [
            ((f"{group}: {name}", a), (f"decoded, {shown.error_name} {number(e, 3)}", b))
            for a, b, e, group, name in rows
        ]
        table = look.paired_table(_few_of_each(pairs, shown.groups))
        return {"table": table, "error_name": shown.error_name, "error_unit": shown.error_unit}
    groups: dict[str, list[dict[str, Any]]] = {}
    for a, b, error, group, name in rows:
        pictures = {"original": look.picture(a, f"{name}, original"), "decoded": look.picture(b, f"{name}, decoded")}
        groups.setdefault(group, []).append(pictures | {"name": name, "error": number(error, 3)})
    return {"table": None, "groups": groups, "error_name": shown.error_name, "error_unit": shown.error_unit}


def _few_of_each(pairs: Sequence[Any], groups: Sequence[str]) -> list[Any]:
    """At most two examples of each group: tables are long."""
    seen: Counter[str] = Counter()
    kept = []
    for pair, group in zip(pairs, groups, strict=True):
        seen[group] += 1
        if seen[group] <= 2:
            kept.append(pair)
    return kept


def column_errors(errors: Mapping[str, float]) -> list[dict[str, Any]]:
    """A bar per column, worst first; a full bar is the larger of the worst column and one standard deviation."""
    full = max([1.0, *(error for error in errors.values() if math.isfinite(error))])
    worst = sorted(errors.items(), key=lambda item: -item[1] if math.isfinite(item[1]) else 0.0)
    return [
        {"name": name, "value": number(error, 3), "width": _share(error, full), "one": 100 / full}
        for name, error in worst[:MAX_LISTED_COLUMNS]
    ]


def _share(error: float, full: float) -> float:
    return round(100 * min(1.0, error / full), 2) if math.isfinite(error) else 0.0


def samples(shown: Samples, look: Look) -> dict[str, Any]:
    """Draws, each over the training row nearest to it."""
    distances = [number(each, 3) for each in shown.distances] if shown.distances is not None else []
    chart = _distance_chart(shown)
    if look.style == "table":
        return {"table": _sample_table(shown, look, distances), "chart": chart}
    pairs = [
        {
            "sample": look.picture(row, f"sample {i + 1}"),
            "nearest": None if shown.nearest is None else look.picture(shown.nearest[i], "its nearest training row"),
            "distance": distances[i] if distances else None,
        }
        for i, row in enumerate(shown.rows)
    ]
    return {"table": None, "pairs": pairs, "chart": chart}


def _sample_table(shown: Samples, look: Look, distances: list[str]) -> Any:
    named = [(f"sample {i + 1}", row) for i, row in enumerate(shown.rows[:MAX_TABLE_ROWS])]
    if shown.nearest is None:
        return look.table(named)
    away = [f"nearest, {d} away" for d in distances] or ["nearest"] * len(named)
    return look.paired_table([(row, (away[i], shown.nearest[i])) for i, row in enumerate(named)])


def _distance_chart(shown: Samples) -> Any:
    own = shown.all_distances if shown.all_distances is not None else shown.distances
    if shown.held_out_distances is None or own is None:
        return None
    groups = {"held-out rows": np.asarray(shown.held_out_distances), "samples": np.asarray(own, np.float64)}
    label = "distance to the nearest training row" + (f", {shown.distance_unit}" if shown.distance_unit else "")
    return charts.histogram(groups, label)


def interpolation(path: Path, look: Look) -> dict[str, Any]:
    """The steps of a path, first to last."""
    if look.style == "table":
        return {"table": look.table([(f"step {i}", row) for i, row in enumerate(path.rows)]), "way": path.way}
    return {
        "table": None,
        "pictures": [look.picture(row, f"step {i} of {len(path.rows) - 1}") for i, row in enumerate(path.rows)],
        "way": path.way,
    }


def scores(summary: ScoreSummary) -> dict[str, Any]:
    """A histogram of surprise with the threshold, and what it comes to."""
    test = np.asarray(summary.test, np.float64)
    flagged = int((test > summary.threshold).sum()) if summary.n_flagged is None else summary.n_flagged
    groups = {"calibration": np.asarray(summary.calibration, np.float64), "test": test}
    if summary.is_novel is not None:
        novel = np.asarray(summary.is_novel, bool)
        groups |= {"test": test[~novel], "novel test rows": test[novel]}
    groups = {name: values[np.isfinite(values)] for name, values in groups.items() if np.isfinite(values).any()}
    return {
        "chart": charts.histogram(groups, "surprise" + _spaced(summary.unit, ", "), summary.threshold),
        "threshold": number(summary.threshold),
        "can_flag": math.isfinite(summary.threshold),
        "needed": math.ceil(1 / summary.false_alarm_rate - 1) if summary.false_alarm_rate > 0 else 0,
        "flagged": f"{flagged:,} of {count(len(test), 'test row')}",
        "share": percent(flagged / max(1, len(test))),
        "rate": f"{100 * summary.false_alarm_rate:.3g} %",
        "calibration": count(len(summary.calibration), "calibration row"),
        "kind": summary.kind,
        "unit": summary.unit,
        "meaning": MARK_MEANINGS.get(summary.kind, ""),
    }


def history(data: ReportData) -> dict[str, Any]:
    """Curves of the objective, of its terms on validation rows, and of layers that were trained one by one before."""
    rows = [row for row in data.history if "layer" not in row]
    last = rows[-1]
    lines = {key: name for key, name in (("train", "training"), ("validation", "validation")) if _has(rows, key)}
    terms = {key: key.split("/", 1)[1] for row in rows for key in row if key.startswith("validation/")}
    unit = "nats per row" if set(terms.values()) <= NATS else "each in its own unit"
    return {
        "objective": charts.curves(rows, lines, data.objective_unit, data.best_step) if lines else None,
        "terms": charts.curves(rows, terms, unit, data.best_step) if len(terms) > 1 else None,
        "layers": _layers(data.history),
        "steps": count(int(last["step"]), "step"),
        "epochs": number(last["epoch"], 3) if "epoch" in last else "",
        "time": duration(last["seconds"]) if "seconds" in last else "",
        "best": f"{data.best_step:,}" if data.best_step else "",
    }


def _layers(rows: Sequence[Mapping[str, float]]) -> Markup | None:
    """Each layer's objective on validation rows over its own steps, as a share of what it began with."""
    lines: dict[str, str] = {}
    shares: list[dict[str, float]] = []
    for layer in sorted({int(row["layer"]) for row in rows if "layer" in row}):
        own = [row for row in rows if row.get("layer") == layer and row.get("validation", math.nan) > 0]
        lines[f"layer {layer}"] = f"layer {layer}"
        first = own[0]["validation"] if own else 1.0
        shares += [{"step": row["step"], f"layer {layer}": 100 * row["validation"] / first} for row in own]
    return charts.curves(shares, lines, "% of the start", None) if shares else None


def _has(rows: Sequence[Mapping[str, float]], key: str) -> bool:
    return any(key in row for row in rows)


def figure(shown: Figure, names: Sequence[str]) -> dict[str, Any]:
    """A line of the table against the baselines: one cell for each of `names`."""
    best = shown.best() if len(shown.values) > 1 else None
    cells = [_figure_cell(shown, name, name == best) if name in shown.values else None for name in names]
    return {"name": shown.name, "unit": shown.unit, "better": shown.better, "note": shown.note, "cells": cells}


def _figure_cell(shown: Figure, name: str, best: bool) -> dict[str, Any]:
    value, error = with_error(shown.values[name], shown.errors.get(name))
    return {"mark": MARKS.get(shown.marks.get(name, ""), ""), "value": value, "error": error, "best": best}


def mark_legend(figures: Sequence[Figure]) -> list[tuple[str, str]]:
    """The marks that are used, with what they mean."""
    used = {mark for figure in figures for mark in figure.marks.values()}
    return [(sign, MARK_MEANINGS[mark]) for mark, sign in MARKS.items() if mark in used]


def _spaced(unit: str, gap: str = " ") -> str:
    return f"{gap}{unit}" if unit else ""
