"""The manifold in a report: maps that can be read at a glance, how true they are, and what distances tell."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from markupsafe import Markup
from sklearn.decomposition import PCA

from likely.evaluation import Assessment, Figure
from likely.report import charts, pictures
from likely.report.contents import Codes, Plane
from likely.report.rows import Look
from likely.report.sections import figure
from likely.report.words import count, number, percent

MAX_CLASSES = len(charts.CLASS_COLORS)
MAX_POINTS = 2000
"""More dots than this make a map slower and not clearer."""

MEASURES = ("trustworthiness", "continuity", "nearest-neighbor accuracy", "MSE", "MSE decoded by neighbors")
OWN_FIGURES = ("trustworthiness", "continuity", "MSE decoded by neighbors", "intrinsic dimension", "distance contrast")
"""Figures that stand in this section and are not repeated among the others."""

PLANE_SIDE = 700
"""Pixels of a decoded plane, at most."""


def latent_maps(codes: Codes, model: str, look: Look) -> dict[str, Any]:
    """Codes in the plane, as they are or by their two principal axes, beside other maps of the same rows."""
    values = np.asarray(codes.values, np.float64).reshape(len(codes.values), -1)
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), MAX_POINTS)).astype(int))
    classes, names, sizes = _classes(codes.labels, len(values))
    legend = [
        {"color": i, "sign": charts.MARKER_SIGNS[charts.CLASS_MARKERS[i % 3]], "name": name, "rows": sizes[i]}
        for i, name in enumerate(names)
    ]
    others = len(set(_text(codes.labels))) - len(names)
    return {
        "maps": [
            {"name": model, "chart": _own_map(values, kept, classes, names)},
            *(
                {"name": name, "chart": charts.scatter(np.asarray(points)[kept], classes[kept], names, ("", ""), name)}
                for name, points in codes.beside.items()
            ),
        ],
        "legend": legend if values.shape[1] > 1 or codes.beside else [],
        "others": count(others, "other class").replace("classs", "classes") if names and others > 0 else "",
        "size": values.shape[1],
        "cut": f"{len(kept):,}" if len(kept) < len(values) else "",
        "plane": None if codes.plane is None else _decoded_plane(codes.plane, look),
    }


def _own_map(values: np.ndarray, kept: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Markup:
    if values.shape[1] == 1:
        return charts.histogram({"test rows": values[:, 0]}, "code")
    points, axes = _plane(values[kept])
    return charts.scatter(points, classes[kept], names, axes)


def _decoded_plane(plane: Plane, look: Look) -> dict[str, Any]:
    """One picture of all that a plane decodes to."""
    k = len(plane.rows)
    tiles = [[pictures.channels_last(row, look.channel_axis).astype(float) for row in line] for line in plane.rows]
    side = max(tiles[0][0].shape[:2])
    gap = max(1, side // 12)
    framed = [[np.pad(tile, ((0, gap), (0, gap), (0, 0)), constant_values=np.nan) for tile in line] for line in tiles]
    whole = np.concatenate([np.concatenate(line, 1) for line in framed], 0)
    return {
        "picture": pictures.image(whole, look.limits, -1, "what the plane decodes to", max_side=PLANE_SIDE),
        "size": k,
        "small": side <= pictures.SMALL_SIDE,
        "edges": [f"{number(a, 2)} to {number(b, 2)}" for a, b in zip(plane.low, plane.high, strict=True)],
        "of": plane.of,
        "label": plane.label,
    }


def measures(assessment: Assessment | None) -> dict[str, Any] | None:
    """The table of what the maps keep: a column each for the code, for PCA and for what was asked for."""
    first = None if assessment is None else assessment.figure(MEASURES[0])
    if assessment is None or first is None:
        return None
    figures = [found for name in MEASURES if (found := assessment.figure(name)) is not None]
    names = [*first.values, *(["raw values"] if any("raw values" in each.values for each in figures) else [])]
    return {
        "names": names,
        "figures": [figure(_only(each, names), names) for each in figures],
        "dimension": _dimension(assessment.figure("intrinsic dimension")),
        "contrast": _contrast(assessment.figure("distance contrast")),
        "curves": [
            {"chart": charts.growth(curve.lines, curve.over, curve.name), "name": curve.name, "note": curve.note}
            for curve in assessment.curves
        ],
    }


def _only(shown: Figure, names: Sequence[str]) -> Figure:
    """A figure less the rows that are no maps."""
    values = {name: shown.values[name] for name in names if name in shown.values}
    marks = {name: shown.marks[name] for name in values if name in shown.marks}
    errors = {name: shown.errors[name] for name in values if name in shown.errors}
    return replace(shown, values=values, marks=marks, errors=errors)


def _dimension(found: Figure | None) -> dict[str, str] | None:
    if found is None:
        return None
    own, data = (_rough(found, name) for name in (next(iter(found.values)), "raw values"))
    return {"data": data, "code": own, "note": found.note}


def _rough(found: Figure, name: str) -> str:
    """One decimal: more would promise what no estimate of a dimension keeps."""
    value, error = found.values[name], found.errors.get(name, math.nan)
    if not math.isfinite(value):
        return number(value)
    return f"{value:.1f} ± {max(error, 0.1):.1f}" if math.isfinite(error) else f"{value:.1f}"


def _contrast(found: Figure | None) -> dict[str, str] | None:
    if found is None:
        return None
    own, data = (percent(1 - found.values[name]) for name in (next(iter(found.values)), "raw values"))
    return {"code": own, "data": data}


def _plane(values: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    if values.shape[1] == 2 or len(values) < 3:
        return values[:, :2], ("first value of the code", "second value of the code")
    with np.errstate(invalid="ignore"):  # a collapsed code has no variance to share out
        pca = PCA(2, svd_solver="auto", random_state=0).fit(values)
    shares = np.nan_to_num(pca.explained_variance_ratio_)
    name = "%s principal axis of the code (%s of its variance)"
    return pca.transform(values), (name % ("first", percent(shares[0])), name % ("second", percent(shares[1])))


def _text(labels: np.ndarray | None) -> list[str]:
    return [] if labels is None else [str(label) for label in np.asarray(labels).tolist()]


def _classes(labels: np.ndarray | None, n: int) -> tuple[np.ndarray, list[str], list[int]]:
    """Numbers of classes (n,), -1 for none; their names and sizes. Past ten classes the nine largest are told apart."""
    if labels is None:
        return np.full(n, -1), [], []
    texts = _text(labels)
    counts = Counter(texts)
    ordered = list(dict.fromkeys(str(label) for label in np.unique(labels).tolist()))
    if len(ordered) > MAX_CLASSES:
        largest = {name for name, _ in counts.most_common(MAX_CLASSES - 1)}
        ordered = [name for name in ordered if name in largest]
    place = {name: i for i, name in enumerate(ordered)}
    return np.array([place.get(text, -1) for text in texts]), ordered, [counts[name] for name in ordered]
