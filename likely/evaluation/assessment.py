"""What was found out about a model on test rows, beside baselines: plain values that go to JSON and back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from likely.errors import ModelFileError

Better = Literal["higher", "lower", "neither"]
MARKS = ("=", "<=", ">=", "~", "")


@dataclass(frozen=True)
class Figure:
    """One quantity, measured for the model and for the baselines beside it.

    Attributes:
        name: what it is: "bits per dimension", "MSE", "AUROC", "copies", ...
        unit: of the values and errors; "" where there is none.
        better: "higher", "lower", or "neither" where no direction is good in itself.
        values: by row, the model's first.
        marks: by row, how the true number relates to the value: "=" exact, "<=" at most the value (bits per dimension
            from a bound), ">=" at least the value (a log-likelihood from a bound), "~" an estimate. No mark: measured.
        errors: standard errors by row, where known.
        note: a sentence on how to read it.
    """

    name: str
    unit: str
    better: Better
    values: Mapping[str, float]
    marks: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if self.better not in get_args(Better):
            raise ValueError(f"{self.name}: better must be one of {get_args(Better)}, got {self.better!r}")
        for name, mark in self.marks.items():
            if mark not in MARKS:
                raise ValueError(f"{self.name}: the mark of {name} must be one of {MARKS}, got {mark!r}")
        for name in (*self.marks, *self.errors):
            if name not in self.values:
                raise ValueError(f"{self.name}: {name!r} has a mark or an error and no value")

    def best(self) -> str | None:
        """The row with the best finite value, the first of equals; None where no direction is good."""
        finite = {name: value for name, value in self.values.items() if math.isfinite(value)}
        if not finite or self.better == "neither":
            return None
        return (max if self.better == "higher" else min)(finite, key=lambda name: finite[name])


@dataclass(frozen=True)
class Curve:
    """One quantity as another one grows, measured for the model and for what stands beside it.

    Attributes:
        name: what it is: "nearest-neighbor accuracy".
        over: what grows: "dimensions".
        unit: of the values; "" where there is none.
        lines: by row, the model's first: (what grows, value), in order.
        note: a sentence on how to read it.
    """

    name: str
    over: str
    unit: str
    lines: Mapping[str, tuple[tuple[float, float], ...]]
    note: str = ""


@dataclass(frozen=True)
class Histogram:
    """Shares by class, of the model's rows and of others.

    Attributes:
        name: what it is: "class shares".
        classes: in order.
        shares: by row, the model's first: the share of each class.
        note: a sentence on how to read it.
    """

    name: str
    classes: tuple[str, ...]
    shares: Mapping[str, tuple[float, ...]]
    note: str = ""

    def __post_init__(self) -> None:
        for row, each in self.shares.items():
            if len(each) != len(self.classes):
                raise ValueError(f"{self.name}: {row} must have {len(self.classes)} shares, got {len(each)}")


@dataclass(frozen=True)
class Assessment:
    """Everything that was measured on test rows.

    Attributes:
        n_test: how many test rows there were.
        figures: what was measured.
        verdicts: plain sentences that say whether the model is any good.
        curves: what was measured as something grows.
        histograms: shares by class.
        left_out: what there was no time to measure.
    """

    n_test: int
    figures: tuple[Figure, ...] = ()
    verdicts: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    left_out: tuple[str, ...] = ()

    def figure(self, name: str) -> Figure | None:
        """The figure of this name; None where it was not measured."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def row_names(self) -> tuple[str, ...]:
        """Every row of every figure once, in order of appearance: the model, then the baselines."""
        return tuple(dict.fromkeys(name for figure in self.figures for name in figure.values))

    def to_json(self) -> dict[str, Any]:
        """Strict JSON: numbers that are not finite become "inf", "-inf" and "nan"."""
        return {
            "n_test": self.n_test,
            "figures": [_figure_to_json(figure) for figure in self.figures],
            "verdicts": list(self.verdicts),
            "curves": [_curve_to_json(curve) for curve in self.curves],
            "histograms": [_histogram_to_json(histogram) for histogram in self.histograms],
        }

    @classmethod
    def from_json(cls, data: object) -> "Assessment":
        """The assessment that `to_json` wrote.

        Raises:
            ModelFileError: if `data` is anything else.
        """
        try:
            return _assessment(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"metrics: not an assessment ({error}); `likely evaluate DIR` makes it anew"
            raise ModelFileError(message) from error


def _assessment(data: Any) -> Assessment:
    figures = tuple(_figure(each) for each in data["figures"])
    curves = tuple(_curve(each) for each in data.get("curves", ()))  # older files have none
    histograms = tuple(_histogram(each) for each in data.get("histograms", ()))
    verdicts = tuple(str(verdict) for verdict in data["verdicts"])
    return Assessment(int(data["n_test"]), figures, verdicts, curves, histograms)


def _figure_to_json(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "unit": figure.unit,
        "better": figure.better,
        "values": {name: _number_to_json(value) for name, value in figure.values.items()},
        "marks": dict(figure.marks),
        "errors": {name: _number_to_json(value) for name, value in figure.errors.items()},
        "note": figure.note,
    }


def _figure(data: Any) -> Figure:
    return Figure(
        name=str(data["name"]),
        unit=str(data["unit"]),
        better=cast(Better, data["better"]),
        values={str(name): float(value) for name, value in data["values"].items()},
        marks={str(name): str(mark) for name, mark in data["marks"].items()},
        errors={str(name): float(value) for name, value in data["errors"].items()},
        note=str(data["note"]),
    )


def _curve_to_json(curve: Curve) -> dict[str, Any]:
    lines = {
        name: [[_number_to_json(value) for value in point] for point in line] for name, line in curve.lines.items()
    }
    return {"name": curve.name, "over": curve.over, "unit": curve.unit, "lines": lines, "note": curve.note}


def _curve(data: Any) -> Curve:
    lines = {str(name): tuple((float(x), float(y)) for x, y in line) for name, line in data["lines"].items()}
    return Curve(str(data["name"]), str(data["over"]), str(data["unit"]), lines, str(data["note"]))


def _histogram_to_json(histogram: Histogram) -> dict[str, Any]:
    shares = {name: [_number_to_json(each) for each in shares] for name, shares in histogram.shares.items()}
    return {"name": histogram.name, "classes": list(histogram.classes), "shares": shares, "note": histogram.note}


def _histogram(data: Any) -> Histogram:
    shares = {str(name): tuple(float(each) for each in shares) for name, shares in data["shares"].items()}
    return Histogram(str(data["name"]), tuple(str(each) for each in data["classes"]), shares, str(data["note"]))


def _number_to_json(value: float) -> float | str:
    return float(value) if math.isfinite(value) else repr(float(value))
