"""Which likelihood data calls for, and whether a model can take it: all that is to know before anything is trained."""

import reprlib
from dataclasses import replace

import torch

from likely.boltzmann import VisibleUnits, default_units
from likely.contract import ClosedFormFitted, Density, ExactDensity, TakesMissing
from likely.data import Schema, Source
from likely.data.augmentation import augmented
from likely.distortions import Distortion
from likely.errors import DataError, UserError
from likely.likelihoods import Columns, Likelihood, default_likelihood
from likely.registry import Spec, arguments_of, model_class, to_json
from likely.rng import seeded


def completed(spec: Spec, schema: Schema) -> tuple[Spec, list[str]]:
    """Fills in what the data's domain calls for where the caller named none: the likelihood or its columns, bounds."""
    kind, given = model_class(spec.name), dict(spec.arguments)
    known, chosen = arguments_of(kind), list[str]()

    def lacks(name: str) -> bool:
        return name in known and given.get(name) is None

    bounds = bounds_of(schema, spread=issubclass(kind, Density))
    if lacks("bounds") and bounds is not None:
        given["bounds"] = bounds
        chosen.append(f"bounds {bounds[0]:.4g} to {bounds[1]:.4g}: the data is {schema.domain}")
    if lacks("levels") and schema.levels:
        given["levels"] = schema.levels
        chosen.append(f"levels {schema.levels}: as the data has")
    if lacks("visible"):
        given["visible"] = default_units(schema.domain)
        chosen.append(f"visible units {given['visible']}: the data is {schema.domain}")
    if lacks("likelihood"):
        exact = issubclass(kind, ExactDensity)
        given["likelihood"] = default_likelihood(schema.domain, schema.levels, widths=schema.widths, exact=exact)
        chosen.append(f"likelihood {given['likelihood']}: the data is {schema.domain}")
    elif isinstance(named := given.get("likelihood"), Columns) and not named.widths:
        given["likelihood"] = replace(named, widths=schema.widths)
    return Spec(spec.name, **given), chosen


def bounds_of(schema: Schema, *, spread: bool) -> tuple[float, float] | None:
    """Between which numbers all values lie that a model sees; None where they may be any.

    Args:
        schema: of the data.
        spread: whether whole values are spread over their bins, as for a density over a continuum.
    """
    if schema.domain == "real":
        return None
    half = 0.5 / (schema.levels - 1) if spread and schema.levels > 1 else 0.0
    return 0.0 - half, 1.0 + half


def check_fits(spec: Spec, schema: Schema) -> None:
    """Refuses data that the model cannot take, before anything is trained."""
    kind = model_class(spec.name)
    if schema.has_categorical and issubclass(kind, Density):
        _check_categories(spec, schema)
    missing = [f"{column.name} ({column.missing})" for column in schema.columns if column.missing and column.width]
    if missing and not issubclass(kind, TakesMissing):
        raise DataError(
            f"{spec.name} takes no missing values, and these columns have some: {', '.join(missing)}. "
            f"Fit a model that does (vae), or fill them in"
        )
    _check_bounds(spec, schema)
    _check_levels(spec, schema)
    for value in spec.arguments.values():
        if isinstance(value, Likelihood | Distortion):
            value.check(schema.domain, schema.levels)
        elif isinstance(value, VisibleUnits):
            value.check(schema.domain)


def _check_bounds(spec: Spec, schema: Schema) -> None:
    """Refuses bounds that some rows of such data lie beyond: a density is told of these as if they lay within."""
    bounds = spec.arguments.get("bounds")
    expected = bounds_of(schema, spread=issubclass(model_class(spec.name), Density))
    if bounds is None or (expected is not None and bounds[0] <= expected[0] and bounds[1] >= expected[1]):
        return
    if expected is None:
        raise DataError(f"found bounds {bounds}, and the data is real, standardized and without any; leave bounds out")
    low, high = expected
    raise DataError(
        f"found bounds {bounds}, and in the model the data lies from {low:.4g} to {high:.4g}; leave bounds out, and "
        "they are found"
    )


def _check_levels(spec: Spec, schema: Schema) -> None:
    """Refuses data without whole values, or with another number of them, where a model is of levels."""
    if "levels" not in arguments_of(model_class(spec.name)):
        return
    if not schema.levels:
        raise DataError(
            f"{spec.name} is of whole values, and the data is {schema.domain}: {schema.values_text}; "
            "fit a flow of real values (flow)"
        )
    given = spec.arguments.get("levels", schema.levels)
    if given != schema.levels:
        raise DataError(f"found levels={given}, and the data has {schema.levels}; leave levels out, and they are found")


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
    with seeded("augmentation"):
        augmented(torch.zeros(1, *schema.x_shape), source.augmentation)
