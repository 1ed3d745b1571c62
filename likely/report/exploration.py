"""What lies around and between codes, in a report: a way, a plane, traversals, and rows by class."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from likely.contract import Decoder, Encoder, LatentDensity, Sampler
from likely.data import Source
from likely.data.subset import Subset, some_rows
from likely.exploring import interpolate, manifold, relabel, traverse
from likely.fitted import Fitted
from likely.report.contents import Path, Plane, Tiles
from likely.report.rows import Look
from likely.tasks.latent import spread, way_of
from likely.tasks.units import ACTIVE

N_STEPS = 9
N_GRID = 15
"""Images on each side of a decoded plane."""
MAX_UNITS = 6
SPAN = 2.0
"""How far a value of the code is moved, in standard deviations."""
MAX_CLASSES = 10
N_STYLES, N_DRAWS = 5, 8
"""Rows whose label is changed, and draws of each class."""
N_KNOWN = 500
"""Test rows that tell where codes lie, for models without a prior."""
MAX_TABLE_LINES, MAX_TABLE_COLUMNS = 3, 5
"""Where rows are no images, a grid of them is cut to what can be read."""

Plain = Callable[[Any], np.ndarray]


def path(fitted: Fitted, test: Source, plain: Plain) -> Path | None:
    """Decoder means on the way between two test rows, of two classes where there are some."""
    if not _explorable(fitted, test):
        return None
    first, last = 0, len(test) - 1
    if test.labels is not None and (test.labels != test.labels[0]).any():
        last = int(np.argmax(test.labels != test.labels[0]))
    a, b = (Subset(test, np.array([row])) for row in (first, last))
    return Path(plain(interpolate(fitted, a, b, N_STEPS)), way_of(fitted.model).value)


def plane(fitted: Fitted, test: Source, plain: Plain) -> Plane | None:
    """What the code's plane decodes to, where it is one and rows are images; under the first class, where there are."""
    model: Any = fitted.model
    if not _explorable(fitted, test) or fitted.schema.kind != "image" or math.prod(model.z_shape) != 2:
        return None
    has_prior = isinstance(model, LatentDensity)
    if len(test) < 2 and not has_prior:
        return None
    label = fitted.schema.classes[0] if model.condition_shape is not None else None
    found = manifold(fitted, N_GRID, rows=None if has_prior else test, condition=label)
    rows, edges = plain(found.rows), found.codes.reshape(N_GRID, N_GRID, 2)
    low, high = edges[-1, 0].tolist(), edges[0, -1].tolist()
    of = "the prior" if has_prior else "the codes of test rows"
    return Plane(rows.reshape(N_GRID, N_GRID, *rows.shape[1:]), tuple(low), tuple(high), of, label or "")


def traversals(fitted: Fitted, test: Source, plain: Plain) -> Tiles | None:
    """The test row nearest to the middle of all codes, with the most active values of its code moved one by one."""
    if not _explorable(fitted, test) or len(test) < 2:
        return None
    model, known = fitted.model, some_rows(test, N_KNOWN)
    codes = fitted.encode(known).reshape(len(known), -1).astype(np.float64)
    has_prior = isinstance(model, LatentDensity)
    scale = fitted.ask(lambda: spread(model)).flatten().double().numpy() if has_prior else codes.std(0)
    units = _most_active(codes.var(0) / (scale**2 if has_prior else codes.var(0).max() or 1.0))
    if not units:
        return None
    middle = int(np.argmin(((codes - codes.mean(0)) / np.where(scale > 0, scale, 1)).__pow__(2).sum(1)))
    row = Subset(known, np.array([middle]))
    found = traverse(fitted, row, units, span=SPAN, n_steps=N_STEPS, rows=None if has_prior else known)
    return Tiles(
        np.stack([plain(found[unit]) for unit in units]),
        [f"value {unit}" for unit in units],
        [f"{offset:+g}".replace("-", "−") if offset else "0" for offset in np.linspace(-SPAN, SPAN, N_STEPS)],
        note="the prior" if has_prior else "the codes of test rows",
    )


def _most_active(activity: np.ndarray) -> list[int]:
    """Values of the code that vary from row to row, those that vary most first."""
    order = np.argsort(-activity, kind="stable")[:MAX_UNITS]
    return [int(unit) for unit in order if activity[unit] > ACTIVE]


def relabeled(fitted: Fitted, test: Source, plain: Plain) -> Tiles | None:
    """Test rows of several classes, each with its own code decoded under every class."""
    if fitted.model.condition_shape is None or not _explorable(fitted, test):
        return None
    classes = list(fitted.schema.classes[:MAX_CLASSES])
    assert test.labels is not None  # `_explorable` looked
    labels = np.array([str(label) for label in test.labels])
    rows = [int(np.argmax(labels == name)) for name in classes if (labels == name).any()][:N_STYLES]
    if not rows:
        return None
    shown = Subset(test, np.array(rows))
    found = relabel(fitted, shown, classes)
    return Tiles(
        np.stack([plain(found[name]) for name in classes], 1),
        [test.place(row) for row in rows],
        [f"class {name}" for name in classes],
        plain(shown.read(np.arange(len(rows)))),
        [classes.index(labels[row]) for row in rows],
    )


def class_samples(fitted: Fitted, plain: Plain) -> Tiles | None:
    """Draws of each class."""
    if fitted.model.condition_shape is None or not isinstance(fitted.model, Sampler):
        return None
    classes = list(fitted.schema.classes[:MAX_CLASSES])
    rows = plain(fitted.sample(N_DRAWS * len(classes), condition=np.repeat(classes, N_DRAWS)))
    return Tiles(
        rows.reshape(len(classes), N_DRAWS, *rows.shape[1:]), [f"class {name}" for name in classes], [""] * N_DRAWS
    )


def tiles(shown: Tiles, look: Look) -> dict[str, Any]:
    """A grid of pictures, or a table of some of its rows where rows are lines."""
    m = len(shown.columns)
    n_kept = m if look.style == "image" else min(m, MAX_TABLE_COLUMNS)
    kept = np.unique(np.linspace(0, m - 1, n_kept).round().astype(int)).tolist()
    if look.style == "table":
        return {"table": look.table(_lines(shown, kept)), "note": shown.note}
    lines = [
        {
            "name": name,
            "original": None if shown.originals is None else look.picture(shown.originals[i], f"{name}, as it is"),
            "cells": [look.picture(shown.rows[i][j], f"{name}, {shown.columns[j]}".rstrip(", ")) for j in kept],
            "own": None if shown.own is None else kept.index(shown.own[i]) if shown.own[i] in kept else None,
        }
        for i, name in enumerate(shown.lines)
    ]
    columns = [shown.columns[j] for j in kept]
    return {
        "table": None,
        "columns": columns if any(columns) else [],
        "lines": lines,
        "with_originals": shown.originals is not None,
        "note": shown.note,
    }


def _lines(shown: Tiles, kept: list[int]) -> list[tuple[str, np.ndarray]]:
    lines = []
    for i, name in enumerate(shown.lines[:MAX_TABLE_LINES]):
        if shown.originals is not None:
            lines.append((f"{name}, as it is", shown.originals[i]))
        lines += [(f"{name}: {shown.columns[j]}".rstrip(": "), shown.rows[i][j]) for j in kept]
    return lines


def _explorable(fitted: Fitted, test: Source) -> bool:
    """Whether rows can be encoded and decoded: a model that takes labels needs those of the rows."""
    model = fitted.model
    if not (isinstance(model, Encoder) and isinstance(model, Decoder)) or not len(test):
        return False
    return model.condition_shape is None or test.labels is not None
