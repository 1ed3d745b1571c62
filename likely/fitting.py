"""`fit`: from data and a model's name to a `Fitted`."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from likely.contract import ClosedFormFitted, Density, Model, TakesMissing
from likely.data import Schema, Source, infer_schema, open_source
from likely.data.feed import SourceFeed
from likely.data.split import Split, split_rows
from likely.data.subset import Subset
from likely.errors import DataError, UserError
from likely.fitted import Fitted, one_hot
from likely.likelihoods import Likelihood, default_likelihood
from likely.registry import Spec, arguments_of, model_class
from likely.rng import permutation, seeded
from likely.tasks import Calibration
from likely.training import History, Progress, TrainConfig
from likely.training import train as train_model
from likely.training.loop import Store

FEW_ROWS = 500
"""Under this many rows calibration is by cross-fitting: none is set aside for it."""

N_FOLDS = 5

Calibrate = Literal["auto", "held-out", "cross-fitting", "none"]


@dataclass(frozen=True)
class Recipe:
    """What is fitted to what, decided once: everything that a fit, and each fold of a cross-fit, needs."""

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


def fit(
    model: str | Spec,
    data: Any,
    *,
    train: TrainConfig = TrainConfig(),
    label: str | None = None,
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
    recipe, chosen = prepare(
        model, data, train=train, label=label, condition=condition, binarize=binarize, arguments=arguments
    )
    source = recipe.source
    few = len(source) < FEW_ROWS
    calibrate = ("cross-fitting" if few else "held-out") if calibrate == "auto" else calibrate
    split = split_rows(
        len(source),
        train.seed,
        calibration=0.1 if calibrate == "held-out" else 0.0,
        test=test,
        official=source.parts,
    )
    fitted = _fit_rows(recipe, split, store, on_progress)
    if calibrate == "cross-fitting":
        fitted.calibration = cross_fit(recipe, np.union1d(split.train, split.validation))
    elif calibrate == "held-out":
        fitted.calibration = Calibration(_surprise_of(fitted, recipe, split.calibration))
    fitted.info |= _info(recipe, split, fitted.history, chosen, calibrate)
    return fitted


def prepare(
    model: str | Spec,
    data: Any,
    *,
    train: TrainConfig,
    label: str | None = None,
    condition: Literal["label"] | None = None,
    binarize: bool = False,
    arguments: dict[str, Any] | None = None,
) -> tuple[Recipe, list[str]]:
    """Opens the data, learns what it is, and completes the model's arguments; says what was chosen and why."""
    given = model if isinstance(model, Spec) else Spec(model)
    spec = Spec(given.name, **{**given.arguments, **(arguments or {})}).resolve()
    spec.check()
    source = open_source(data) if label is None else open_source(data, label=label)
    schema = infer_schema(source, binarize=binarize)
    spec, chosen = _complete(spec, schema)
    condition_rows = None
    if condition == "label":
        if source.labels is None:
            raise UserError(f"--condition label needs labels, and {source.name} has none; name their column by --label")
        if "condition_shape" not in arguments_of(model_class(spec.name)):
            raise UserError(f"{given.name} takes no condition; leave out --condition label")
        condition_rows = one_hot(source.labels, schema.classes)
    recipe = Recipe(spec, source, schema, train, condition_rows)
    _check_fits(recipe)
    return recipe, chosen


def _complete(spec: Spec, schema: Schema) -> tuple[Spec, list[str]]:
    """Fills in the likelihood that the data's domain calls for, where the caller named none."""
    known, given = arguments_of(model_class(spec.name)), spec.arguments
    if "likelihood" not in known or given.get("likelihood") is not None:
        return spec, []
    likelihood = default_likelihood(schema.domain, schema.levels)
    chosen = f"likelihood {likelihood}: the data is {schema.domain}"
    return Spec(spec.name, **{**given, "likelihood": likelihood}), [chosen]


def _check_fits(recipe: Recipe) -> None:
    """Refuses data that the model cannot take, before anything is trained."""
    schema, kind = recipe.schema, model_class(recipe.spec.name)
    if schema.has_categorical and issubclass(kind, Density):
        names = ", ".join(column.name for column in schema.columns if column.kind == "categorical")
        raise DataError(
            f"{recipe.spec.name} has a density, and none over categories yet: {names}. "
            f"Leave these columns out (--drop), or fit a model without a density: autoencoder, pca"
        )
    missing = [f"{column.name} ({column.missing})" for column in schema.columns if column.missing]
    if missing and not issubclass(kind, TakesMissing):
        raise DataError(
            f"{recipe.spec.name} takes no missing values, and these columns have some: {', '.join(missing)}. "
            f"Fit a model that does (vae), or fill them in"
        )
    for value in recipe.spec.arguments.values():
        if isinstance(value, Likelihood):
            value.check(schema.domain, schema.levels)


def _fit_rows(
    recipe: Recipe,
    split: Split,
    store: Store | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    model = recipe.build()
    history = train_model(model, recipe.feed(model), recipe.config, split=split, store=store, on_progress=on_progress)
    return Fitted(model, recipe.spec, recipe.schema, history=history)


def cross_fit(recipe: Recipe, ids: np.ndarray) -> Calibration:
    """Calibrates on rows that also teach: each fold is judged by a model that learned from the others."""
    order = ids[permutation(len(ids), recipe.config.seed, "folds")]
    surprises = []
    for fold in np.array_split(order, min(N_FOLDS, len(order))):
        rest = np.setdiff1d(ids, fold)
        inner = split_rows(len(rest), recipe.config.seed, calibration=0, test=0)
        split = Split(rest[inner.train], rest[inner.validation], inner.calibration, inner.test)
        surprises.append(_surprise_of(_fit_rows(recipe, split), recipe, fold))
    return Calibration(np.concatenate(surprises), cross_fitted=True)


def _surprise_of(fitted: Fitted, recipe: Recipe, ids: np.ndarray) -> np.ndarray:
    return fitted.surprise(Subset(recipe.source, ids))


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
            "stopped": history.stopped,
            "torch": torch.__version__,
        },
        "chosen": [*chosen, *history.notes],
    }
