"""Which run a stored state is of: a run goes on only with what it was begun with."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from likely.contract import Model
from likely.data.feed import Feed
from likely.data.source import digest_of
from likely.data.split import Split
from likely.errors import UserError
from likely.training.config import TrainConfig

FREE_SETTINGS = ("checkpoint_every", "checkpoint_steps", "device", "reserved")
"""Settings that may differ when a run is resumed."""

MAX_NAMED = 4
"""More differences than this are counted, not named."""


def identity_of(model: Model, feed: Feed, split: Split, config: TrainConfig) -> dict[str, Any]:
    """Everything that the result of a run depends on, by the name that a message gives it; JSON-able."""
    arguments = {f"model argument {name}": repr(value) for name, value in model.config().items()}
    settings = {name: value for name, value in config.to_json().items() if name not in FREE_SETTINGS}
    rows = {"training rows": _name_rows(split.train), "validation rows": _name_rows(split.validation)}
    # Only where there is any, so that runs begun before there was such a thing can go on.
    augmentation = {"augmentation": ", ".join(map(repr, feed.augmentation))} if feed.augmentation else {}
    return {"model": type(model).__name__, **arguments, **settings, **rows, **augmentation, "data": feed.digest()}


def check_identity(stored: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raises UserError naming what differs, if anything does."""
    own = json.loads(json.dumps(own))
    differing = [name for name in dict.fromkeys([*stored, *own]) if stored.get(name) != own.get(name)]
    if differing:
        changes = [f"{name} was {stored.get(name)}, is {own.get(name)}" for name in differing[:MAX_NAMED]]
        more = [f"and {len(differing) - MAX_NAMED} more"] if len(differing) > MAX_NAMED else []
        raise UserError(
            f"the unfinished run cannot be resumed, it is of other data or settings: {'; '.join([*changes, *more])}. "
            "Give what was given then, or start afresh: --overwrite in place of --resume"
        )


def _name_rows(ids: np.ndarray) -> str:
    return f"{len(ids)} ({digest_of(ids)[:8]})"
