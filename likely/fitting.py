"""`fit`: from data and a model's name to a `Fitted`."""

import datetime
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from likely import arguments as checked
from likely.contract import ClosedFormFitted, Density, Model, TakesMissing
from likely.data import Schema, Source, infer_schema, open_source
from likely.data.augmentation import Augmentation
from likely.data.feed import SourceFeed
from likely.data.learned import Learned
from likely.data.split import Split, calibration_size, split_rows
from likely.data.subset import Subset
from likely.data.unseen import Unseen
from likely.errors import UserError
from likely.fitted import Fitted, one_hot
from likely.registry import Spec, arguments_of, model_class, to_json
from likely.rng import permutation, seeded
from likely.suitability import check_augmentation, check_fits, completed
from likely.tasks import can_judge, rows_enough
from likely.tasks.gaps import Usual, pattern_counts
from likely.training import History, Progress, TrainConfig
from likely.training import train as train_model
from likely.training.descent import Store
from likely.training.plan import choose_device

Calibrate = Literal["auto", "held-out", "none"]

OPENING: dict[str, Any] = {
    "label": None,
    "drop": (),
    "size": None,
    "channels": None,
    "missing": (),
    "patch": None,
    "augment": (),
}
"""The options that data is opened with, which a fit writes down so that the data can be opened again."""


@dataclass(frozen=True)
class Recipe:
    """What is fitted to what: everything that a fit needs but its rows."""

    spec: Spec
    source: Source
    schema: Schema
    config: TrainConfig
    condition: Tensor | None

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


@dataclass(frozen=True)
class Plan:
    """A fit that is decided: which rows serve what, and what was chosen.

    Attributes:
        recipe: what is fitted to what; its schema knows the training rows alone.
        split: which rows serve what.
        calibrate: "held-out" or "none".
        test: the share of rows kept for reported figures.
        chosen: what was chosen and why, in words.
    """

    recipe: Recipe
    split: Split
    calibrate: Calibrate
    test: float
    chosen: tuple[str, ...]


def fit(
    model: str | Spec,
    data: Any,
    *,
    train: TrainConfig = TrainConfig(),
    label: str | None = None,
    drop: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    missing: Sequence[str] = (),
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
        missing: words that mean missing in a table, such as NA; else only what is empty is missing.
        patch: the side, or (height, width), of patches that are cut from images of any size and are the rows.
        augment: what happens to images that train the model, and to no others, drawn anew at each step: parts such
            as `likely.data.augmentation.Affine`, or their names: affine, elastic, warp (both), shift, flips,
            quarter-turns.
        condition: "label" gives the labels to the model.
        binarize: reads gray pixels as probabilities of ones and draws the bits anew at each step.
        calibrate: where p-values come from: "held-out", rows that the model never sees (`calibration_size` says how
            many), or "none"; by default held out where the model can judge rows.
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
    options |= {"missing": tuple(missing), "patch": patch, "augment": augment}
    plan = prepare(
        model,
        open_source(data, **options),
        train=train,
        condition=condition,
        binarize=binarize,
        calibrate=calibrate,
        test=test,
        arguments=arguments,
    )
    can_reopen = isinstance(data, str | os.PathLike)
    return carry_out(plan, options if can_reopen else None, store=store, on_progress=on_progress)


def prepare(
    model: str | Spec,
    source: Source,
    *,
    train: TrainConfig,
    condition: Literal["label"] | None = None,
    binarize: bool = False,
    calibrate: Calibrate = "auto",
    test: float = 0.1,
    arguments: dict[str, Any] | None = None,
) -> Plan:
    """Splits the rows, learns what the training rows are, and completes the model's arguments; says what was chosen."""
    given = model if isinstance(model, Spec) else Spec(model)
    spec = Spec(given.name, **{**given.arguments, **(arguments or {})}).resolve()
    spec.check()
    split, calibrate = choose_split(source, train.seed, _calibration_of(spec, calibrate), test)
    # A value that only validation rows hold would else outweigh all others in every choice.
    schema = infer_schema(source, binarize=binarize, ids=split.taught())
    spec, chosen = completed(spec, schema)
    recipe = Recipe(spec, source, schema, train, _condition_rows(given, spec, source, schema, condition))
    check_fits(spec, schema)
    if source.augmentation:
        check_augmentation(spec, schema, source)
        chosen = [*chosen, f"training rows are augmented: {', '.join(map(str, source.augmentation))}"]
    return Plan(recipe, split, calibrate, test, tuple(chosen))


def _calibration_of(spec: Spec, calibrate: Calibrate) -> Calibrate:
    judges = can_judge(model_class(spec.name))
    if calibrate == "held-out" and not judges:
        raise UserError(
            f"{spec.name} cannot say how unlikely a row is: there is nothing to calibrate; leave calibrate out"
        )
    return "none" if not judges else calibrate


def _condition_rows(
    given: Spec, spec: Spec, source: Source, schema: Schema, condition: Literal["label"] | None
) -> Tensor | None:
    if condition != "label":
        return None
    if source.labels is None:
        raise UserError(f"--condition label needs labels, and {source.name} has none; name their column by --label")
    if "condition_shape" not in arguments_of(model_class(spec.name)):
        raise UserError(f"{given.name} takes no condition; leave out --condition label")
    return one_hot(source.labels, schema.classes, new_ok=True)


def choose_split(
    source: Source, seed: int, calibrate: Calibrate, test: float
) -> tuple[Split, Literal["held-out", "none"]]:
    """Which rows serve what, and where p-values come from."""
    if calibrate not in get_args(Calibrate):
        raise UserError(f"calibrate must be one of {', '.join(get_args(Calibrate))}, got {calibrate!r}")
    test = checked.share("test", test, zero=True)
    held_out = 0 if calibrate == "none" else calibration_size(len(source) - sum(map(len, source.parts.values())))
    split = split_rows(len(source), seed, calibration=held_out, test=test, official=source.parts, groups=source.groups)
    return split, "none" if calibrate == "none" else "held-out"


def carry_out(
    plan: Plan,
    options: Mapping[str, Any] | None,
    *,
    store: Store | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Does what `prepare` planned; `options` say how the data was opened, None where nobody can open it again."""
    recipe, split = plan.recipe, plan.split
    fitted = fit_rows(recipe, split, store, on_progress)
    if on_progress is not None:
        on_progress(Progress(0, 0, 0.0, None, {}, "calibrating"))
    known = survey(recipe, split)
    fitted.learned = known.learned
    if plan.calibrate == "held-out":
        ids = split.calibration
        if recipe.condition is not None:  # a label that was never taught is no condition
            ids = ids[recipe.condition[torch.from_numpy(ids)].any(1).numpy()]
        fitted.calibrate(Subset(recipe.source, _some(fitted.model, ids, recipe.config.seed)), known.usual)
    fitted.info |= _info(plan, fitted.history)
    augment = [to_json(part, name="augment") for part in recipe.source.augmentation]
    fitted.info["data"]["options"] = None if options is None else {**options, "augment": augment}
    return fitted


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


def _some(model: Model, ids: np.ndarray, seed: int) -> np.ndarray:
    """Ids of calibration rows in random order, all or as many as can be asked in a minute."""
    return ids[permutation(len(ids), seed, "calibration")[: rows_enough(model, len(ids))]]


@dataclass(frozen=True)
class Survey:
    """What a pass over the rows of a fit finds: which it learned from, and which gaps are usual."""

    learned: Learned
    usual: Usual


def survey(recipe: Recipe, split: Split) -> Survey:
    """Digests of the rows that teach and validate, and the gaps of these and of the calibration rows."""
    teach = split.taught()
    gaps: Counter[str] = Counter()
    learned = Learned.of(_noting_gaps(_blocks(recipe, teach), gaps))
    for _ in _noting_gaps(_blocks(recipe, split.calibration), gaps):
        pass
    return Survey(learned, Usual.of(gaps))


def _blocks(recipe: Recipe, ids: np.ndarray) -> Iterator[np.ndarray]:
    for some, rows in recipe.source.blocks(ids):
        x = recipe.schema.to_model(rows, dtype=torch.float64, missing_ok=True, unseen=Unseen(len(some)))
        yield x.flatten(1).numpy()


def _noting_gaps(blocks: Iterator[np.ndarray], gaps: Counter[str]) -> Iterator[np.ndarray]:
    for block in blocks:
        gaps.update(pattern_counts(np.isnan(block)))
        yield block


def _info(plan: Plan, history: History) -> dict[str, Any]:
    """What the fitted directory tells of how it came about."""
    recipe = plan.recipe
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data": {
            "name": recipe.source.name,
            "rows": len(recipe.source),
            "digest": recipe.source.digest(),
            "bytes": _file_size(recipe.source.name),
        },
        "split": plan.split.sizes(),
        "calibration": plan.calibrate,
        "test": float(plan.test),
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
        "chosen": [*plan.chosen, *history.notes, *history.warnings],
    }


def _file_size(name: str) -> int | None:
    """Of the file that rows came from; None where they came from no file."""
    path = Path(name).expanduser()
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):  # a name that no system takes
        return None
