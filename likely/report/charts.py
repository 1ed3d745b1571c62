"""Charts, as inline SVG whose colors are the page's own: so they follow it into the dark."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


def scatter(points: np.ndarray, classes: np.ndarray, names: Sequence[str], labels: tuple[str, str]) -> Markup:
    """Dots (n, 2) of classes 0, 1, ...; -1 is gray. Short names stand in the middle of their dots."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(*labels, height=4.2)
        for value in np.unique(classes):
            own = points[classes == value]
            marker = "o" if value < 0 else CLASS_MARKERS[value % len(CLASS_MARKERS)]
            color = MUTED if value < 0 else CLASS_COLORS[value]
            axes.scatter(own[:, 0], own[:, 1], s=13, color=color, marker=marker, alpha=0.7, linewidths=0)
        for value, name in enumerate(names):
            if len(name) <= 4 and name.isascii() and name.isprintable() and (classes == value).any():
                _name_at(axes, np.median(points[classes == value], 0), name)
        return _svg(figure, "Map of codes")


def _name_at(axes: Axes, place: np.ndarray, name: str) -> None:
    box = {"boxstyle": "round,pad=0.2", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8}
    axes.text(place[0], place[1], name, ha="center", va="center", fontsize=9.5, weight="bold", bbox=box)


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
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg class="chart" role="img" viewBox="\1">', text, count=1)
    text = re.sub(r"#010[23][0-9a-f]{2}", lambda found: _VARIABLES.get(found[0], found[0]), text)
    return Markup(text.replace("<defs>\n  <style", f"<title>{_plain(alt)}</title>\n<defs>\n  <style", 1))


def _plain(text: str) -> str:
    return str(Markup.escape(text))
