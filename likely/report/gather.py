"""From a fitted model and its data to what a report says."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow
from sklearn.decomposition import PCA

import likely
from likely.assess.bench import MAX_ROWS, Bench
from likely.assess.maps import MIN_ROWS, Maps
from likely.contract import (
    BoundedDensity,
    Decoder,
    Encoder,
    EstimatedDensity,
    ExactDensity,
    Model,
    Reconstructor,
    Restorer,
    Sampler,
)
from likely.data import Source, describe
from likely.data.subset import Subset, some_rows
from likely.evaluation import EMBEDDINGS, Assessment, Embedding, embed_tsne, find_copies, mse
from likely.fitted import DEFAULT_FALSE_ALARM_RATE, Fitted
from likely.report import chains, exploration, latent, restorations
from likely.report.contents import Codes, Reconstructions, ReportData, Restorations, Samples, ScoreSummary
from likely.rng import some_of

N_SHOWN = 8
"""Rows of each kind that a picture shows."""

N_LOOKED_AT = 2_000
"""Test rows that maps, histograms and the choice of examples are made from."""


@dataclass(frozen=True)
class ReportParts:
    """What a report needs besides the model.

    Attributes:
        source: all rows.
        train: ids of those that the model learned from.
        test: ids of those that it did not.
        assessment: the figures.
        history: the training, validation by validation.
        files: (name, what it is) of what lies beside the report.
        next_commands: what to type now.
        false_alarm_rate: at which the report's threshold flags.
        compare: maps to draw beside that of the code, besides PCA's: of "isomap", "lle" and "tsne".
    """

    source: Source
    train: np.ndarray
    test: np.ndarray
    assessment: Assessment
    history: Sequence[Mapping[str, float]] = ()
    files: Sequence[tuple[str, str]] = ()
    next_commands: Sequence[str] = ()
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE
    compare: Sequence[str] = ()


def gather(fitted: Fitted, parts: ReportParts) -> ReportData:
    """Asks the model everything that its report shows; what it cannot do is said there."""
    seen = _Seen(fitted, parts)
    info, schema = fitted.info, fitted.schema
    absent = {
        name: f"{fitted.spec.name} {why}"
        for name, capability, why in (
            ("reconstructions", Reconstructor, "does not reconstruct."),
            ("samples", Sampler, "does not sample."),
            ("codes", Encoder, "has no code."),
            ("interpolation", Decoder, "does not decode."),
        )
        if not isinstance(fitted.model, capability)
    }
    if schema.kind != "image":
        absent["plane"] = "What a plane of codes decodes to is drawn where rows are images; these are traversed below."
    traversals = exploration.traversals(fitted, seen.test, seen.plain)
    if traversals is None and not {"codes", "interpolation"} & absent.keys():
        absent["traversals"] = "No value of the code varies from test row to test row, so there is nothing to move."
    if not parts.history:
        absent["history"] = f"{fitted.spec.name} is solved at once: there is no course of training to show."
    return ReportData(
        title=f"{fitted.spec.name} of {parts.source.name}",
        model_name=fitted.spec.name,
        model_arguments=fitted.model.config(),
        created=str(info.get("created", "")),
        library_version=likely.__version__,
        data=_data(fitted, parts),
        history=parts.history,
        best_step=info.get("training", {}).get("best_step"),
        objective_unit="nats per row" if _raises_density(fitted.model) else "per row",
        value_range=None if schema.domain == "real" else (schema.low, schema.high),
        channel_axis=schema.channel_axis,
        reconstructions=seen.reconstructions(),
        restorations=seen.restorations(),
        column_errors=seen.column_errors(),
        samples=seen.samples(),
        chains=chains.gathered(fitted, seen.plain),
        codes=seen.codes(),
        interpolation=exploration.path(fitted, seen.test, seen.plain),
        traversals=traversals,
        class_samples=exploration.class_samples(fitted, seen.plain),
        relabeled=exploration.relabeled(fitted, seen.test, seen.plain),
        unit_rates=latent.gathered(fitted, seen.test),
        scores=seen.scores(),
        assessment=parts.assessment,
        files=parts.files,
        next_commands=parts.next_commands,
        notes=tuple(info.get("chosen", ())),
        absent=absent,
    )


def _raises_density(model: Model) -> bool:
    """Whether what training minimizes is minus a log-density, or a bound of it; of an estimated one it is not."""
    return isinstance(model, ExactDensity | BoundedDensity) and not isinstance(model, EstimatedDensity)


def _data(fitted: Fitted, parts: ReportParts) -> dict[str, Any]:
    about = describe(parts.source, fitted.schema)
    columns = [
        {"name": column.name, "kind": column.kind, "missing": column.missing}
        | ({"location": column.location, "scale": column.scale} if column.kind == "numeric" else {})
        for column in fitted.schema.columns
    ]
    return {
        "source": about.name,
        "rows": about.rows,
        "kind": about.kind,
        "shape": about.row_shape,
        "domain": about.domain,
        "labels": about.labels,
        "split": fitted.info.get("split", {}),
        "columns": columns,
        "problems": about.problems,
    }


class _Seen:
    """Test rows and what the model makes of them."""

    def __init__(self, fitted: Fitted, parts: ReportParts) -> None:
        self.fitted, self.parts, self.schema = fitted, parts, fitted.schema
        # In random order: the first of them, which pictures show, are no more of one kind than the others.
        self.ids = parts.test[some_of(len(parts.test), N_LOOKED_AT, "some rows")]
        self.test = Subset(parts.source, self.ids)

    def can(self, capability: type) -> bool:
        return isinstance(self.fitted.model, capability) and len(self.ids) > 0

    def reconstructions(self) -> Reconstructions | None:
        if not self.can(Reconstructor):
            return None
        seen, again = self.fitted.see(self.test), self.fitted.see_again(self.test)
        errors = mse(seen.double().numpy(), again.double().numpy())
        order = np.argsort(errors)
        k = min(N_SHOWN, len(order))
        middle = len(order) // 2
        groups = {"best": order[:k], "median": order[max(0, middle - k // 2) :][:k], "worst": order[::-1][:k]}
        rows = np.concatenate(list(groups.values()))
        shown = Subset(self.test, rows)
        return Reconstructions(
            self.plain(shown.read(np.arange(len(rows)))),
            self.plain(self.fitted.reconstruct(shown)),
            errors[rows].tolist(),
            [name for name, members in groups.items() for _ in members],
            [self.test.place(int(row)) for row in rows],
            error_unit="standard deviations²" if self.schema.columns else "",
        )

    def restorations(self) -> Restorations | None:
        if not self.can(Restorer):
            return None
        return restorations.gathered(self.fitted, some_rows(self.test, N_SHOWN), self.plain)

    def column_errors(self) -> dict[str, float]:
        """Root mean squared error by column, in its standard deviations."""
        if not self.can(Reconstructor) or not self.schema.columns:
            return {}
        off = (self.fitted.see_again(self.test) - self.fitted.see(self.test)).double().numpy()
        each = np.sqrt(np.nanmean(off**2, 0))
        return dict(zip(self.schema.feature_names, each.tolist(), strict=True))

    def samples(self) -> Samples | None:
        if not self.can(Sampler):
            return None
        seen = self.fitted.see_samples(4 * N_SHOWN, seed=0)  # once, for some draw slowly
        rows = self.schema.to_rows(seen, draws=True)
        if self.schema.missing or not len(self.parts.train):
            return Samples(self.plain(rows))
        drawn = seen.double().numpy()
        some = self.parts.train[some_of(len(self.parts.train), MAX_ROWS, "some rows")]
        training = self.fitted.see(Subset(self.parts.source, some)).double().numpy()
        found = find_copies(drawn, self.fitted.see(self.test).double().numpy(), training)
        return Samples(
            self.plain(rows),
            self.plain(self.parts.source.read(some[found.nearest])),
            found.sample_distances.tolist(),
            "standard deviations" if self.schema.columns else "as the model sees it",
            found.held_out_distances,
        )

    def codes(self) -> Codes | None:
        if not self.can(Encoder):
            return None
        maps = Maps(Bench(self.fitted, self.test, None), self.parts.compare)
        rows = maps.paired(self.test, N_LOOKED_AT)
        values = self.fitted.encode(rows)
        return Codes(
            values, rows.labels, self._other_maps(maps, rows), exploration.plane(self.fitted, rows, self.plain)
        )

    def _other_maps(self, maps: Maps, rows: Source) -> dict[str, np.ndarray]:
        """PCA's map of the same rows, and those that were asked for."""
        raw = maps.raw(rows)
        if len(raw) < MIN_ROWS or raw.shape[1] < 2:
            return {}
        own = {} if self.fitted.spec.name == "pca" else {"PCA": PCA(2, random_state=0).fit_transform(raw)}
        asked = {
            EMBEDDINGS[name]: embed_tsne(raw) if name == "tsne" else Embedding(name, raw, 2)(raw)
            for name in maps.compare
        }
        return own | asked

    def scores(self) -> ScoreSummary | None:
        calibration = self.fitted.calibration
        if calibration is None or not len(calibration.surprises) or not len(self.ids):
            return None
        measure = self.fitted.measure
        unit = "nats" if measure.is_density else "squared error" if measure.mark == "" else "up to a constant"
        scores = self.fitted.score(self.test, false_alarm_rate=self.parts.false_alarm_rate)
        return ScoreSummary(
            scores.surprise,
            calibration.surprises,
            calibration.threshold(self.parts.false_alarm_rate),
            self.parts.false_alarm_rate,
            measure.mark or measure.value,
            unit,
            n_flagged=int(scores.is_novel.sum()),
        )

    def plain(self, rows: Any) -> np.ndarray:
        """Rows as an array: tables in the order of the schema's columns."""
        if isinstance(rows, np.ndarray):
            return rows
        names = [column.name for column in self.schema.columns]
        if isinstance(rows, pyarrow.Table):
            columns = [rows.column(name).to_pylist() for name in names]
        else:
            frame = nw.from_native(rows, eager_only=True)
            columns = [frame[name].to_list() for name in names]
        cells = [[_cell(value) for value in column] for column in columns]
        return np.array(list(zip(*cells, strict=True)), dtype=object)


def _cell(value: Any) -> Any:
    return math.nan if value is None else value
