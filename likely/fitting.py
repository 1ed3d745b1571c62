"""`fit`: from data and a model's name to a `Fitted`."""

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from likely.contract import ClosedFormFitted, Density, Model, TakesMissing
from likely.data import Schema, Source, infer_schema, open_source
from likely.data.augmentation import Augmentation
from likely.data.feed import SourceFeed
from likely.data.split import Split, folds, split_rows
from likely.data.subset import Subset
from likely.errors import DataError, UserError
from likely.fitted import Fitted, one_hot
from likely.registry import Spec, arguments_of, model_class, to_json
from likely.rng import seeded
from likely.suitability import check_augmentation, check_fits, completed
from likely.tasks import Calibration, can_judge, rows_enough
from likely.training import History, Progress, TrainConfig
from likely.training import train as train_model
from likely.training.descent import Store
from likely.training.plan import choose_device

FEW_ROWS = 500
"""Under this many rows calibration is by cross-fitting: none is set aside for it."""

N_FOLDS = 4

Calibrate = Literal["auto", "held-out", "cross-fitting", "none"]

OPENING: dict[str, Any] = {
    "label": None,
    "drop": (),
    "size": None,
    "channels": None,
    "patch": None,
    "augment": (),
}
"""The options that data is opened with, which a fit writes down so that the data can be opened again."""


@dataclass(frozen=True)
class Recipe:
    """What is fitted to what, decided once: everything that a fit, and each fold of a cross-fit, needs."""

    spec: Spec
    source: Source
    schema: Schema
    config: TrainConfig
    condition: Tensor | None

    @property
    def judges(self) -> bool:
        """Whether the model can say how unlikely a row is."""
        return can_judge(model_class(self.spec.name))

    def build(self) -> Model:
        """A fresh model with the starting weights of the seed; closed forms compute in float64."""
        shape = None if self.condition is None else tuple(self.condition.shape[1:])
        extra = {} if shape is None else {"condition_shape": shape}
        with seeded(self.config.seed, "model"):
            model = self.spec.build(self.schema.x_shape, **extra)
        double = isinstance(model, ClosedFormFitted) or self.config.precision == "float64"
        return model.double() if double else model

    def feed(self, model: Model) -> SourceFeed:
        """The rows as this model takes them."""
        return SourceFeed(
            self.source,
            self.schema,
            continuous=isinstance(model, Density) and not model.discrete,
            missing_ok=isinstance(model, TakesMissing),
            condition=self.condition,
            dtype=next(iter(model.state_dict().values())).dtype,
        )


def fit(
    model: str | Spec,
    data: Any,
    *,
    train: TrainConfig = TrainConfig(),
    label: str | None = None,
    drop: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    patch: int | tuple[int, int] | None = None,
    augment: str | Augmentation | Sequence[str | Augmentation] = (),
    condition: Literal["label"] | None = None,
    binarize: bool = False,
    calibrate: Calibrate = "auto",
    test: float = 0.1,
    store: Store | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **arguments: Any,
) -> Fitted:
    """Learns a model of data.

    Args:
        model: a name that `likely models` lists, or a Spec.
        data: array (n, ...), DataFrame, path, built-in name or Source.
        train: how long, how fast and where.
        label: the column that holds labels; they serve evaluation only, unless `condition` is "label".
        drop: columns of a table to leave out.
        size: (height, width) to resize images to.
        channels: 1 to read images as gray, 3 to read them as RGB.
        patch: the side, or (height, width), of patches that are cut from images of any size and are the rows.
        augment: what happens to images that train the model, and to no others, drawn anew at each step: parts such
            as `likely.data.augmentation.Affine`, or their names: affine, elastic, warp (both), shift, flips,
            quarter-turns.
        condition: "label" gives the labels to the model.
        binarize: reads gray pixels as probabilities of ones and draws the bits anew at each step.
        calibrate: where p-values come from: rows held out, cross-fitting, or by default whichever the number of
            rows calls for.
        test: the share of rows kept for reported figures, where the data names no test part itself.
        store: where checkpoints are kept; a state that lies there already is resumed.
        on_progress: called now and then with where the run is.
        **arguments: of the model, such as z_size=16.

    Returns:
        The fitted model.

    Raises:
        UserError: if data, model or arguments do not fit together; says what does.

    Example:
        >>> fitted = fit("ppca", "digits", z_size=8)
        >>> fitted.encode("digits").shape
        (1797, 8)
    """
    options: dict[str, Any] = {"label": label, "drop": tuple(drop), "size": size, "channels": channels}
    options |= {"patch": patch, "augment": augment}
    recipe, chosen = prepare(
        model,
        open_source(data, **options),
        train=train,
        condition=condition,
        binarize=binarize,
        arguments=arguments,
    )
    return carry_out(
        recipe,
        chosen,
        options if isinstance(data, str | os.PathLike) else None,
        calibrate=calibrate,
        test=test,
        store=store,
        on_progress=on_progress,
    )


def prepare(
    model: str | Spec,
    source: Source,
    *,
    train: TrainConfig,
    condition: Literal["label"] | None = None,
    binarize: bool = False,
    arguments: dict[str, Any] | None = None,
) -> tuple[Recipe, list[str]]:
    """Learns what the data is and completes the model's arguments; says what was chosen and why."""
    given = model if isinstance(model, Spec) else Spec(model)
    spec = Spec(given.name, **{**given.arguments, **(arguments or {})}).resolve()
    spec.check()
    schema = infer_schema(source, binarize=binarize)
    spec, chosen = completed(spec, schema)
    condition_rows = None
    if condition == "label":
        if source.labels is None:
            raise UserError(f"--condition label needs labels, and {source.name} has none; name their column by --label")
        if "condition_shape" not in arguments_of(model_class(spec.name)):
            raise UserError(f"{given.name} takes no condition; leave out --condition label")
        condition_rows = one_hot(source.labels, schema.classes)
    recipe = Recipe(spec, source, schema, train, condition_rows)
    check_fits(spec, schema)
    if source.augmentation:
        check_augmentation(spec, schema, source)
        chosen = [*chosen, f"training rows are augmented: {', '.join(map(str, source.augmentation))}"]
    return recipe, chosen


def carry_out(
    recipe: Recipe,
    chosen: Sequence[str],
    options: Mapping[str, Any] | None,
    *,
    calibrate: Calibrate = "auto",
    test: float = 0.1,
    store: Store | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Does what `prepare` prepared; `options` say how the data was opened, None where nobody can open it again."""
    if not recipe.judges and calibrate not in ("auto", "none"):
        raise UserError(
            f"{recipe.spec.name} cannot say how unlikely a row is: there is nothing to calibrate; leave calibrate out"
        )
    split, calibrate = choose_split(recipe.source, recipe.config.seed, calibrate, test, judges=recipe.judges)
    fitted = fit_rows(recipe, split, store, on_progress)
    if calibrate == "cross-fitting":
        fitted.calibration = cross_fit(recipe, np.union1d(split.train, split.validation), on_progress)
    elif calibrate == "held-out":
        if on_progress is not None:
            on_progress(Progress(0, 0, 0.0, None, {}, "calibrating"))
        fitted.calibration = Calibration(_surprise_of(fitted, recipe, split.calibration))
    fitted.info |= _info(recipe, split, fitted.history, chosen, calibrate)
    augment = [to_json(part, name="augment") for part in recipe.source.augmentation]
    fitted.info["data"]["options"] = None if options is None else {**options, "augment": augment}
    fitted.info["test"] = float(test)
    return fitted


def choose_split(
    source: Source, seed: int, calibrate: Calibrate, test: float, *, judges: bool = True
) -> tuple[Split, Calibrate]:
    """Which rows serve what, and where p-values come from; few rows calibrate by cross-fitting.

    A model that `judges` no row calibrates on none, unless somebody insists.
    """
    if calibrate == "auto" and not judges:
        calibrate = "none"
    elif calibrate == "auto":
        calibrate = "cross-fitting" if len(source) < FEW_ROWS else "held-out"
    share = 0.1 if calibrate == "held-out" else 0.0
    groups = source.groups
    split = split_rows(len(source), seed, calibration=share, test=test, official=source.parts, groups=groups)
    if calibrate == "cross-fitting" and groups is not None:
        _check_folds(len(np.unique(groups[np.union1d(split.train, split.validation)])))
    return split, calibrate


def _check_folds(n_groups: int) -> None:
    # Each fold leaves out one group, and what is left trains and validates.
    if n_groups < 3:
        raise DataError(
            f"found {n_groups} images besides those for testing, and cross-fitting needs 3, since it cuts none; "
            'add images, or do without p-values: calibrate="none"'
        )


def fit_rows(
    recipe: Recipe,
    split: Split,
    store: Store | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Fits one fresh model to the training rows of a split, uncalibrated."""
    model = recipe.build()
    history = train_model(model, recipe.feed(model), recipe.config, split=split, store=store, on_progress=on_progress)
    return Fitted(model, recipe.spec, recipe.schema, history=history)


def cross_fit(recipe: Recipe, ids: np.ndarray, on_progress: Callable[[Progress], None] | None = None) -> Calibration:
    """Calibrates on rows that also teach: each fold is judged by a model that learned from the others."""
    surprises, seed, groups = [], recipe.config.seed, recipe.source.groups
    parts = folds(ids, N_FOLDS, seed, groups=groups)
    for number, fold in enumerate(parts, 1):
        rest = np.setdiff1d(ids, fold)
        inner = split_rows(len(rest), seed, calibration=0, test=0, groups=None if groups is None else groups[rest])
        split = Split(rest[inner.train], rest[inner.validation], inner.calibration, inner.test)
        watch = on_progress and partial(_tell, on_progress, f"calibrating, {number} of {len(parts)}")
        surprises.append(_surprise_of(fit_rows(recipe, split, None, watch), recipe, fold))
    return Calibration(np.concatenate(surprises), cross_fitted=True)


def _tell(on_progress: Callable[[Progress], None], doing: str, progress: Progress) -> None:
    on_progress(replace(progress, doing=doing))


def _surprise_of(fitted: Fitted, recipe: Recipe, ids: np.ndarray) -> np.ndarray:
    n = rows_enough(fitted.model, len(ids))
    some = ids[np.linspace(0, len(ids) - 1, n).round().astype(np.int64)] if n < len(ids) else ids
    return fitted.surprise(Subset(recipe.source, some))


def _info(
    recipe: Recipe, split: Split, history: History, chosen: Sequence[str], calibrate: Calibrate
) -> dict[str, Any]:
    """What the fitted directory tells of how it came about."""
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data": {"name": recipe.source.name, "rows": len(recipe.source), "digest": recipe.source.digest()},
        "split": split.sizes(),
        "calibration": calibrate,
        "train": recipe.config.to_json(),
        "training": {
            "seconds": round(history.seconds, 3),
            "steps": history.total_steps,
            "best_step": history.best_step,
            "batch_size": history.batch_size,
            "precision": history.precision,
            "device": str(choose_device(recipe.config.device)),
            "stopped": history.stopped,
            "torch": torch.__version__,
        },
        "chosen": [*chosen, *history.notes, *history.warnings],
    }
