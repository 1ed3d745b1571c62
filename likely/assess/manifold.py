"""The code as a map of the data: what it keeps of neighborhoods, and what distances in it tell."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from likely.assess.bench import Bench
from likely.assess.maps import MIN_ROWS, Maps
from likely.assess.rows import mean_figure
from likely.contract import Encoder
from likely.evaluation import (
    Curve,
    Estimate,
    Figure,
    Growth,
    continuity,
    distance_contrast,
    growing_dimensions,
    intrinsic_dimension,
    mse,
    neighbor_means,
    trustworthiness,
)

RAW = "raw values"
N_NEIGHBORS = 5
WIDER = 10
"""Neighbors of the second estimate of a dimension, which looks farther than the first."""

CURVE_ROWS = 1_000
CURVE_PRODUCTS = 1_000_000_000
"""A curve looks at all pairs of rows some thirty times: it takes fewer rows."""


def manifold(bench: Bench, maps: Maps) -> list[Figure]:
    """What the code keeps of neighborhoods, the dimension of data and codes, and the contrast of distances in both."""
    if not isinstance(bench.model, Encoder) or len(maps.rows) < MIN_ROWS or len(maps.learned) < MIN_ROWS:
        return []
    return [*_neighborhoods(maps), *_decoded_by_neighbors(bench, maps), _dimension(bench, maps), _contrast(maps)]


def _neighborhoods(maps: Maps) -> list[Figure]:
    seen = {
        "trustworthiness": f"whether the {N_NEIGHBORS} nearest rows by the code are near in the data",
        "continuity": f"whether the {N_NEIGHBORS} nearest rows in the data are near by the code",
    }
    figures = []
    for (name, meaning), measure in zip(seen.items(), (trustworthiness, continuity), strict=True):
        each = {row: measure(maps.raw_rows, z, k=N_NEIGHBORS) for row, z in maps.codes.items()}
        note = f"Among {len(maps.rows):,} test rows, {meaning}: 1 where all are, 0.5 where they are any rows."
        figures.append(mean_figure(name, "", "higher", each, note))
    return [replace(figures[0], note=f"{figures[0].note} {maps.notes()}".strip()), figures[1]]


def _decoded_by_neighbors(bench: Bench, maps: Maps) -> list[Figure]:
    """Reconstruction where some codes have no decoder: all are decoded alike."""
    if not maps.compare:
        return []
    original = bench.plain(maps.rows)
    if maps.learned is maps.rows:
        again = {row: neighbor_means(None, original, z) for row, z in maps.codes.items()}
    else:
        rows = np.nan_to_num(bench.plain(maps.learned))
        known = maps.own(maps.learned) | {row: embed(maps.raw_learned) for row, embed in maps.embeddings.items()}
        again = {row: neighbor_means(z, rows, maps.codes[row]) for row, z in known.items()}
        again |= {row: neighbor_means(None, np.nan_to_num(original), z) for row, z in maps.tsne.items()}
    note = (
        f"Isomap, LLE and t-SNE have no decoder. So here every code is decoded alike, also the model's and PCA's: as "
        f"the mean of the rows whose codes are the {N_NEIGHBORS} nearest, of {len(maps.learned):,} "
        f"{'other test' if maps.learned is maps.rows else 'training'} rows"
        f"{' (of the other test rows for t-SNE)' if maps.tsne and maps.learned is not maps.rows else ''}."
    )
    unit = "standard deviations, squared" if bench.schema.columns else "raw values, squared"
    errors = {row: mse(original, x) for row, x in again.items()}
    return [mean_figure("MSE decoded by neighbors", unit, "lower", errors, note)]


def _dimension(bench: Bench, maps: Maps) -> Figure:
    code = np.asarray(bench.fitted.encode(maps.learned), np.float64)
    rows = {bench.name: code, RAW: maps.raw_learned}
    found = {row: intrinsic_dimension(x) for row, x in rows.items()}
    wider = {row: intrinsic_dimension(x, k=WIDER) for row, x in rows.items()}
    note = (
        f"How many numbers it takes to say where a row lies among the others: by the two nearest neighbors (TwoNN) of "
        f"{len(maps.learned):,} rows. Farther around, by {WIDER} neighbors, it is {_plain(wider[RAW])} for the "
        f"{bench.schema.n_values:,} raw values of a row and {_plain(wider[bench.name])} for the {bench.z_size:,} of "
        f"its code. High dimensions are estimated too low."
    )
    values = {row: each.mean for row, each in found.items()}
    errors = {row: each.error for row, each in found.items()}
    return Figure("intrinsic dimension", "dimensions", "neither", values, dict.fromkeys(values, "~"), errors, note)


def _plain(estimate: Estimate) -> str:
    return f"{estimate.mean:.1f}"


def _contrast(maps: Maps) -> Figure:
    spaces = maps.own_codes | {RAW: maps.raw_rows}
    note = (
        "1 - the distance to the nearest row / the mean distance. At 0 all rows are equally far and the nearest one "
        "means nothing; a large contrast helps only where near rows are also alike."
    )
    return mean_figure(
        "distance contrast", "", "neither", {row: distance_contrast(x) for row, x in spaces.items()}, note
    )


def curves(bench: Bench, maps: Maps) -> list[Curve]:
    """What distances tell over more and more dimensions: of raw values, of the code, and of PCA's."""
    if not isinstance(bench.model, Encoder) or len(maps.rows) < MIN_ROWS:
        return []
    rows = maps.paired(bench.some_test, CURVE_ROWS, CURVE_PRODUCTS)
    labels = rows.labels if rows.labels is not None and len(np.unique(rows.labels)) > 1 else None
    grown = {row: growing_dimensions(x, labels) for row, x in (maps.own(rows) | {RAW: maps.raw(rows)}).items()}
    how = f"Distances of {len(rows):,} test rows over so many values, chosen at random, of each row or of its code."
    found = [
        Curve(
            "distance contrast",
            "dimensions",
            "",
            {row: _line(each, each.contrast) for row, each in grown.items()},
            f"{how} At 0 all rows are equally far.",
        )
    ]
    if labels is not None:
        lines = {row: _line(each, each.accuracy) for row, each in grown.items()}
        note = f"{how} Share of rows whose label the {N_NEIGHBORS} nearest other rows tell."
        found.append(Curve("nearest-neighbor accuracy", "dimensions", "share of test rows", lines, note))
    return found


def gain(found: Sequence[Curve], model: str) -> str:
    """A sentence on how many raw values it takes to tell labels as well as the code does; "" without labels."""
    curve = next((each for each in found if each.name == "nearest-neighbor accuracy"), None)
    if curve is None:
        return ""
    size, own = curve.lines[model][-1]
    enough = next((n for n, accuracy in curve.lines[RAW] if accuracy >= own), None)
    raw = f"{enough:,.0f} raw values chosen at random do" if enough else "no number of raw values does"
    return f"Distances over the {size:,.0f} values of its code tell {own:.1%} of labels; as well as that {raw}."


def _line(grown: Growth, values: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    return tuple((float(size), value) for size, value in zip(grown.dimensions, values, strict=True))
