"""Which likelihood data calls for, and whether a model can take it: all that is to know before anything is trained."""

import reprlib
from dataclasses import replace

import torch

from likely.contract import ClosedFormFitted, Density, ExactDensity, TakesMissing
from likely.data import Schema, Source
from likely.data.augmentation import augmented
from likely.distortions import Distortion
from likely.errors import DataError, UserError
from likely.likelihoods import Columns, Likelihood, default_likelihood
from likely.registry import Spec, arguments_of, model_class, to_json
from likely.rng import preserved


def completed(spec: Spec, schema: Schema) -> tuple[Spec, list[str]]:
    """Fills in the likelihood that the data's domain calls for, or its columns, where the caller named none."""
    known, given = arguments_of(model_class(spec.name)), spec.arguments
    named = given.get("likelihood")
    if isinstance(named, Columns) and not named.widths:
        return Spec(spec.name, **{**given, "likelihood": replace(named, widths=schema.widths)}), []
    if "likelihood" not in known or named is not None:
        return spec, []
    exact = issubclass(model_class(spec.name), ExactDensity)
    likelihood = default_likelihood(schema.domain, schema.levels, widths=schema.widths, exact=exact)
    chosen = f"likelihood {likelihood}: the data is {schema.domain}"
    return Spec(spec.name, **{**given, "likelihood": likelihood}), [chosen]


def check_fits(spec: Spec, schema: Schema) -> None:
    """Refuses data that the model cannot take, before anything is trained."""
    kind = model_class(spec.name)
    if schema.has_categorical and issubclass(kind, Density):
        _check_categories(spec, schema)
    missing = [f"{column.name} ({column.missing})" for column in schema.columns if column.missing]
    if missing and not issubclass(kind, TakesMissing):
        raise DataError(
            f"{spec.name} takes no missing values, and these columns have some: {', '.join(missing)}. "
            f"Fit a model that does (vae), or fill them in"
        )
    for value in spec.arguments.values():
        if isinstance(value, Likelihood | Distortion):
            value.check(schema.domain, schema.levels)


def _check_categories(spec: Spec, schema: Schema) -> None:
    """Refuses categories that a model's density does not cover."""
    names = ", ".join(column.name for column in schema.columns if column.kind == "categorical")
    if "likelihood" not in arguments_of(model_class(spec.name)):
        raise DataError(
            f"{spec.name} has a density of numbers, and none over categories: {names}. Leave these columns out "
            "(--drop), fit a model that has one (vae, made), or one without a density: autoencoder, pca"
        )
    likelihood = spec.arguments["likelihood"]
    if not isinstance(likelihood, Columns):
        raise DataError(
            f"{likelihood} is no likelihood of categories: {names}. Leave likelihood out, or take Columns(reals=...), "
            "which has one of numbers within"
        )
    if likelihood.widths != schema.widths:
        found, expected = reprlib.repr(likelihood.widths), reprlib.repr(schema.widths)
        raise DataError(f"found Columns of widths {found}, expected {expected}; leave widths out, and they are found")


def check_augmentation(spec: Spec, schema: Schema, source: Source) -> None:
    """Refuses augmentations that the data or the model cannot take, or no file can hold, before anything is trained."""
    if schema.kind != "image":
        raise DataError(f"augmentation is of images, and {source.name} has none; leave augment (--augment) out")
    if issubclass(model_class(spec.name), ClosedFormFitted):
        raise UserError(
            f"{spec.name} is solved at once from the rows as they are, so nothing can augment them; "
            "leave augment (--augment) out"
        )
    to_json(source.augmentation, name="augment")
    with preserved():
        augmented(torch.zeros(1, *schema.x_shape), source.augmentation)
