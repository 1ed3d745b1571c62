"""What a report is made of: arrays, numbers and words, in the caller's own units. It knows no model.

Rows are arrays as the caller has them: images (k, h, w), (k, h, w, c) or (k, c, h, w); tables (k, d), of dtype object
where a column holds names; anything else (k, ...), drawn as curves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from likely.evaluation import Assessment, Mixing


@dataclass(frozen=True)
class Reconstructions:
    """Test rows beside what the model makes of them.

    Attributes:
        originals: (k, ...).
        reconstructions: (k, ...), decoder means.
        errors: (k,), one number a row.
        groups: (k,), "best", "median" or "worst", or what else a row is an example of.
        names: (k,), the row in the caller's words: "row 12", "cats/0001.png".
        error_name: what `errors` are, "MSE".
        error_unit: and their unit, "gray levels²"; "" where there is none.
    """

    originals: np.ndarray
    reconstructions: np.ndarray
    errors: Sequence[float]
    groups: Sequence[str]
    names: Sequence[str]
    error_name: str = "MSE"
    error_unit: str = ""


@dataclass(frozen=True)
class Restorations:
    """Test rows that something happened to, and what the model makes of what is left of them.

    Attributes:
        originals: (k, ...).
        left: (k, ...), what is left of them; NaN where something is missing.
        restored: (k, ...).
        before: (k,), mean squared error of what is left, from the originals.
        after: (k,), of what was restored.
        names: (k,), the row in the caller's words.
        corruption: what happened.
        error_unit: of the errors; "" where there is none.
    """

    originals: np.ndarray
    left: np.ndarray
    restored: np.ndarray
    before: Sequence[float]
    after: Sequence[float]
    names: Sequence[str]
    corruption: str
    error_unit: str = ""


@dataclass(frozen=True)
class Samples:
    """New rows.

    Attributes:
        rows: (k, ...), draws from p(x).
        nearest: (k, ...), the training row nearest to each, or None.
        distances: (k,), between the two.
        distance_unit: "gray levels"; "" where there is none.
        held_out_distances: (m,), from held-out rows to their nearest training rows, or None.
        all_distances: (n,), from every sample that was drawn, where more were drawn than are shown.
    """

    rows: np.ndarray
    nearest: np.ndarray | None = None
    distances: Sequence[float] | None = None
    distance_unit: str = ""
    held_out_distances: np.ndarray | None = None
    all_distances: np.ndarray | None = None


@dataclass(frozen=True)
class Plane:
    """Rows decoded from a grid of quantiles over the plane of a code of two values.

    Attributes:
        rows: (k, k, ...), decoder means; the first line has the highest second value, as in a map.
        low: of each of the two values, at the grid's edge.
        high: likewise.
        of: whose quantiles they are: "the prior".
        label: under which all was decoded; "" where the model takes none.
    """

    rows: np.ndarray
    low: tuple[float, float]
    high: tuple[float, float]
    of: str = "the codes of test rows"
    label: str = ""


@dataclass(frozen=True)
class Path:
    """Decoder means on the way from one test row to another.

    Attributes:
        rows: (m, ...).
        way: "straight" or "great circle".
    """

    rows: np.ndarray
    way: str = "straight"


@dataclass(frozen=True)
class Tiles:
    """Rows in lines and columns, each of which stands for something.

    Attributes:
        rows: (lines, columns, ...).
        lines: the name of each.
        columns: likewise; "" where there is nothing to say.
        originals: (lines, ...), the test row that a line is about, or None.
        own: (lines,), the column that says of a line what is true of its test row, or None.
        note: what a caption has to name.
    """

    rows: np.ndarray
    lines: Sequence[str]
    columns: Sequence[str]
    originals: np.ndarray | None = None
    own: Sequence[int] | None = None
    note: str = ""


@dataclass(frozen=True)
class Codes:
    """Codes of test rows.

    Attributes:
        values: (n, ...).
        labels: (n,), or None.
        beside: other maps of the same rows, by name: (n, 2).
        plane: what the code's plane decodes to, where it is one.
    """

    values: np.ndarray
    labels: np.ndarray | None = None
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)
    plane: Plane | None = None


@dataclass(frozen=True)
class UnitRates:
    """What each value of the code says of a row.

    Attributes:
        rates: (units,), in mean over test rows, nats.
        active: (units,), whether its posterior mean varies over rows.
    """

    rates: np.ndarray
    active: np.ndarray


@dataclass(frozen=True)
class ScoreSummary:
    """How strange test rows are.

    Attributes:
        test: (n,), surprise of test rows; larger is stranger.
        calibration: (m,), surprise of the rows that the threshold was taken from.
        threshold: rows above it are flagged; inf where there are too few calibration rows to flag any.
        false_alarm_rate: the share of normal rows that is flagged, by construction.
        kind: "=" exact, "<=" a bound, "~" an estimate, or "squared error".
        unit: of a surprise.
        is_novel: (n,), True for test rows that are known to be novel, or None.
        n_flagged: how many test rows are flagged; by default those above the threshold.
    """

    test: np.ndarray
    calibration: np.ndarray
    threshold: float
    false_alarm_rate: float
    kind: str = "="
    unit: str = "nats"
    is_novel: np.ndarray | None = None
    n_flagged: int | None = None


@dataclass(frozen=True)
class Chains:
    """Where the chains of a model go that draws by walking.

    Attributes:
        states: a line for each chain shown, with states one after another.
        mixing: how fast the chains forget, after their burn-in.
        n_chains: that this was found from.
        n_steps: of each.
        burn_in: steps before the first of these.
    """

    states: Tiles
    mixing: Mixing
    n_chains: int
    n_steps: int
    burn_in: int


@dataclass(frozen=True)
class ReportData:
    """Everything that a report says. Only the first six have to be there; a section without contents says why.

    Attributes:
        title: of the page.
        model_name: as the user knows it: "vae".
        model_arguments: by name.
        created: when, in words.
        library_version: of likely.
        data: what was learned from. Known keys, each of which may be missing: source, rows, kind ("image", "table",
            "array"), shape, domain, labels (a sentence), split (rows by part), columns (one mapping each with name,
            kind, missing, and for numbers location and scale), problems (sentences).
        history: one mapping per validation: step, epoch, seconds, train, validation, and terms such as "train/rate".
        best_step: whose weights were kept.
        objective_unit: of train and validation.
        values: what the values are called: "gray level" for an image of whole levels; "" where nothing fits.
        value_range: what is black and what is white in an image; taken from the originals where it is None.
        channel_axis: where channels stand in one image: None, -1 or 0.
        reconstructions: best, median and worst test rows.
        restorations: test rows damaged and restored.
        column_errors: of a table, by column: root mean squared error in standard deviations of the column.
        samples: draws.
        chains: where chains go, of a model that draws by them.
        codes: of test rows.
        interpolation: decoder means on the way from one test row to another.
        traversals: a test row, one value of its code moved in each line; `note` says by whose standard deviations.
        class_samples: draws of each class, of a model that takes labels.
        relabeled: test rows decoded under every class, their codes kept.
        unit_rates: what each value of the code says.
        scores: how strange test rows are.
        assessment: figures beside baselines, and verdicts.
        files: (name, what it is).
        next_commands: what to type now.
        notes: sentences on what was chosen and why.
        absent: why a section is empty: by "reconstructions", "samples", "codes", "plane", "interpolation",
            "traversals", "scores", "history".
    """

    title: str
    model_name: str
    model_arguments: Mapping[str, Any]
    created: str
    library_version: str
    data: Mapping[str, Any]
    history: Sequence[Mapping[str, float]] = ()
    best_step: int | None = None
    objective_unit: str = "nats per row"
    values: str = ""
    value_range: tuple[float, float] | None = None
    channel_axis: int | None = None
    reconstructions: Reconstructions | None = None
    restorations: Restorations | None = None
    column_errors: Mapping[str, float] = field(default_factory=dict)
    samples: Samples | None = None
    chains: Chains | None = None
    codes: Codes | None = None
    interpolation: Path | None = None
    traversals: Tiles | None = None
    class_samples: Tiles | None = None
    relabeled: Tiles | None = None
    unit_rates: UnitRates | None = None
    scores: ScoreSummary | None = None
    assessment: Assessment | None = None
    files: Sequence[tuple[str, str]] = ()
    next_commands: Sequence[str] = ()
    notes: Sequence[str] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
