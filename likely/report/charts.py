"""Charts, as inline SVG whose colors are the page's own: so they follow it into the dark."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import east_asian_width

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Every color is drawn as a stand-in, which becomes a variable of the style sheet.
INK, MUTED, GRID, PAPER, ACCENT, SECOND, ALARM = (f"#0102{i:02x}" for i in range(7))
CLASS_COLORS = tuple(f"#0103{i:02x}" for i in range(10))
CLASS_MARKERS = ("o", "^", "s")
MARKER_SIGNS = {"o": "●", "^": "▲", "s": "■"}
_VARIABLES = dict(
    zip(
        (INK, MUTED, GRID, PAPER, ACCENT, SECOND, ALARM),
        [f"var(--{name})" for name in ("ink", "muted", "grid", "paper", "accent", "second", "alarm")],
        strict=True,
    )
) | {color: f"var(--c{i})" for i, color in enumerate(CLASS_COLORS)}

LETTER, LINE = 0.027, 0.062
"""The width of a letter and the height of a line of names, as shares of a map's sides."""
MAX_NAME = 16

WIDTH, HEIGHT = 4.7, 3.0
"""Inches. Small, so that the letters can still be read when the page is 390 pixels wide."""
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.6,
    "text.parse_math": False,
}


def curves(
    history: Sequence[Mapping[str, float]], names: Mapping[str, str], unit: str, best_step: int | None
) -> Markup:
    """Lines over steps: `names` maps a key of the history to what the line is called."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes("steps", unit)
        for (key, name), color in zip(names.items(), (ACCENT, SECOND, *CLASS_COLORS), strict=False):
            rows = [row for row in history if key in row and np.isfinite(row[key])]
            values = [row[key] for row in rows]
            marker = "o" if len(rows) < 3 else None
            axes.plot([row["step"] for row in rows], values, color=color, label=name, marker=marker, markersize=3)
        _cut_start(axes, [row[key] for key in names for row in history if key in row])
        if best_step:
            axes.axvline(best_step, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
        _legend(axes)
        return _svg(figure, "Curves of " + ", ".join(names.values()))


def histogram(groups: Mapping[str, np.ndarray], label: str, threshold: float | None = None) -> Markup:
    """Shares of rows by value, one outline a group, with a line at the threshold."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(label, "share of the rows, %")
        finite = {name: values[np.isfinite(values)] for name, values in groups.items()}
        bins = _bins(np.concatenate(list(finite.values())), threshold)
        for (name, values), color in zip(finite.items(), (ACCENT, SECOND, ALARM), strict=False):
            weights = np.full(len(values), 100.0 / max(1, len(values)))
            clipped = values.clip(bins[0], bins[-1])
            edges = bins.tolist()
            axes.hist(clipped, edges, weights=weights, color=color, histtype="stepfilled", alpha=0.22, linewidth=0)
            axes.hist(clipped, edges, weights=weights, color=color, histtype="step", linewidth=1.5, label=name)
        if threshold is not None and np.isfinite(threshold):
            axes.axvline(threshold, color=ALARM, linewidth=1.3, linestyle=(0, (4, 2)), label="threshold")
        axes.grid(axis="x", visible=False)
        _legend(axes)
        return _svg(figure, "Histogram of " + label)


def growth(lines: Mapping[str, Sequence[tuple[float, float]]], over: str, unit: str) -> Markup:
    """Lines over something that doubles from point to point."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(over, unit)
        axes.set_xscale("log", base=2)
        own, *others, last = (*lines, None) if len(lines) == 1 else lines
        colors = {own: ACCENT, **dict(zip(others, (SECOND, *CLASS_COLORS), strict=False)), last: MUTED}
        for (name, line), marker in zip(lines.items(), ("o", "s", *10 * ("^",)), strict=False):
            x, y = zip(*line, strict=True)
            axes.plot(x, y, color=colors[name], label=name, marker=marker, markersize=4)
        ticks = sorted({x for line in lines.values() for x, _ in line})
        axes.set_xticks(_spread(ticks), labels=[f"{x:g}" for x in _spread(ticks)])
        axes.minorticks_off()
        axes.set_ylim(0, 1.03)
        _legend(axes)
        return _svg(figure, f"{unit} over {over}")


def unit_rates(rates: np.ndarray, active: np.ndarray) -> Markup:
    """A bar for each value of a code, (units,), largest first; those that are not active in another color."""
    order = np.argsort(-rates, kind="stable")
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes("values of the code, by rate", "rate, nats per row")
        for name, which, color in (("active", active[order], ACCENT), ("not active", ~active[order], MUTED)):
            places = np.flatnonzero(which)
            if len(places):
                axes.bar(places + 1, rates[order][places], color=color, width=0.8, linewidth=0, label=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x", visible=False)
        _legend(axes)
        return _svg(figure, "Rate of each value of the code")


def shares(classes: Sequence[str], rows: Mapping[str, Sequence[float]]) -> Markup:
    """A group of bars for each class, one for each row: shares of rows, in percent."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure, axes = _axes("class", "share of the rows, %")
        width, places = 0.8 / len(rows), np.arange(len(classes))
        for i, ((name, each), color) in enumerate(
            zip(rows.items(), (ACCENT, MUTED, SECOND, *CLASS_COLORS), strict=False)
        ):
            at = places + (i - (len(rows) - 1) / 2) * width
            axes.bar(at, 100 * np.asarray(each), color=color, width=width, linewidth=0, label=name)
        short = [name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…" for name in classes]
        crowded = sum(map(len, short)) > 50
        axes.set_xticks(places, labels=short, rotation=90 if crowded else 0)
        axes.grid(axis="x", visible=False)
        _legend(axes)
        return _svg(figure, "Shares of classes")


def _spread(ticks: Sequence[float]) -> list[float]:
    """Those of ascending numbers whose names do not run into each other on a logarithmic axis; always the last."""
    kept: list[float] = []
    for tick in reversed(ticks):
        if not kept or kept[-1] / tick > 1.6:
            kept.append(tick)
    return kept[::-1]


def scatter(
    points: np.ndarray, classes: np.ndarray, names: Sequence[str], labels: tuple[str, str], what: str = "codes"
) -> Markup:
    """Dots (n, 2) of classes 0, 1, ...; -1 is gray. The name of each class stands on the dot in their middle."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page's fonts have it, where this one has not
        figure, axes = _axes(*labels, height=4.2)
        if not any(labels):  # a map whose axes mean nothing
            axes.set_xticks([], labels=[])
            axes.set_yticks([], labels=[])
        for value in np.unique(classes):
            own = points[classes == value]
            marker = "o" if value < 0 else CLASS_MARKERS[value % len(CLASS_MARKERS)]
            color = MUTED if value < 0 else CLASS_COLORS[value]
            axes.scatter(own[:, 0], own[:, 1], s=13, color=color, marker=marker, alpha=0.6, linewidths=0)
        there = {value: name for value, name in enumerate(names) if (classes == value).any()}
        _names_at(axes, [_middle(points[classes == value]) for value in there], list(there.values()))
        return _svg(figure, f"Map of {what}")


def _middle(points: np.ndarray) -> np.ndarray:
    """The point nearest to the median of all: between two halves of a class there may be another one."""
    off = points - np.median(points, 0)
    return np.asarray(points[np.square(off).sum(1).argmin()])


def _names_at(axes: Axes, places: Sequence[np.ndarray], names: Sequence[str]) -> None:
    if not names:
        return
    short = [name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…" for name in names]
    corners = np.stack([axes.get_xlim(), axes.get_ylim()], 1)
    middle = (np.stack(places) - corners[0]) / (corners[1] - corners[0])
    width = [sum(1 + (east_asian_width(letter) in "WF") for letter in name) * LETTER for name in short]
    for (x, y), name in zip(apart(middle, np.array(width)), short, strict=True):
        text = axes.text(x, y, name, ha="center", va="center", fontsize=12, weight="bold", transform=axes.transAxes)
        text.set_gid("name")
        text.set_in_layout(False)


def apart(middle: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Places of names (n, 2) in a map of sides 1, brought inside and moved up and down until none covers another."""
    moved = middle.copy()
    inside = (width / 2).clip(max=0.5)
    moved[:, 0] = moved[:, 0].clip(inside, 1 - inside)
    for _ in range(100):
        step = np.zeros(len(moved))
        for i in range(len(moved)):
            for j in range(i):
                beside = abs(moved[i, 0] - moved[j, 0]) >= (width[i] + width[j]) / 2
                gap = moved[i, 1] - moved[j, 1]
                if not beside and abs(gap) < LINE - 1e-9:
                    push = (LINE - abs(gap)) / 2 * (1 if gap >= 0 else -1)
                    step[i] += push
                    step[j] -= push
        if not step.any():
            break
        moved[:, 1] = (moved[:, 1] + step).clip(LINE / 2, 1 - LINE / 2)
    return moved


def _axes(x: str, y: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure((WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(length=0)
    return figure, axes


def _legend(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if names:
        axes.figure.legend(handles, names, loc="outside upper left", ncols=min(3, len(names)), frameon=False)


def _cut_start(axes: Axes, values: Sequence[float]) -> None:
    """The first steps may tower so high above all others that these become a flat line: cut them off."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if len(finite) < 10:
        return
    low, usual = finite.min(), np.quantile(finite, 0.9)
    if finite.max() - low > 3 * (usual - low) > 0:
        axes.set_ylim(low - 0.1 * (usual - low), usual + 0.4 * (usual - low))


def _bins(values: np.ndarray, threshold: float | None) -> np.ndarray:
    """Fifty bins over all but the outermost values, which go into the last bins; the threshold is always inside."""
    if not len(values):
        return np.linspace(0.0, 1.0, 11)
    low, high = np.quantile(values, [0.002, 0.99])
    high += 0.3 * (high - low)
    low, high = max(low, values.min()), min(high, values.max())
    if threshold is not None and np.isfinite(threshold):
        low, high = min(low, threshold), max(high, threshold + 0.05 * (threshold - low))
    return np.linspace(low, high if high > low else low + 1.0, min(50, max(10, len(values) // 8)) + 1)


def _svg(figure: Figure, alt: str) -> Markup:
    out = io.StringIO()
    # The salt names clip paths and markers: one that differs keeps apart the charts of a page.
    with matplotlib.rc_context({"svg.hashsalt": alt}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace('<g id="name"', '<g class="name"')
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg class="chart" role="img" viewBox="\1">', text, count=1)
    text = re.sub(r"#010[23][0-9a-f]{2}", lambda found: _VARIABLES.get(found[0], found[0]), text)
    return Markup(text.replace("<defs>\n  <style", f"<title>{_plain(alt)}</title>\n<defs>\n  <style", 1))


def _plain(text: str) -> str:
    return str(Markup.escape(text))
