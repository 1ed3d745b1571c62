"""What can be said about a training run."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from likely import arguments
from likely.errors import UserError

LEAST_SECONDS = 1e-3

POSITIVE = ("epochs", "time_limit", "learning_rate", "checkpoint_every")
COUNTS = ("batch_size", "patience", "checkpoint_steps")
"""Settings that are numbers above zero, and whole ones, where they are given."""


@dataclass(frozen=True)
class TrainConfig:
    """How long, how fast and where a model is trained. The defaults train any model on any data."""

    epochs: float | None = None
    """Passes over the training rows; None chooses by their number."""
    time_limit: float | None = None
    """Seconds of training, the schedule ending with it; None for no limit. Excludes `epochs`."""
    batch_size: int | None = None
    """Rows per step; None chooses by the number of rows."""
    learning_rate: float = 3e-3
    """The highest rate of the schedule, which warms up and then falls to zero as a cosine."""
    warmup: int = 100
    """Steps until the highest rate."""
    weight_decay: float = 0.0
    """As in AdamW."""
    max_grad_norm: float = 100.0
    """The gradient of the mean objective of a row is clipped to this norm, per player."""
    patience: int | None = 8
    """Validations without a better objective before training stops; None never stops early."""
    seed: int = 0
    """Decides the split, the order, the starting weights and all noise."""
    device: str = "auto"
    """"auto", "cpu", "cuda" or "cuda:1"."""
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """Of the networks; "auto" is bfloat16 for large ones where the hardware multiplies in it (AMX, tensor cores), else
    float32, so that one seed on one kind of machine gives one result. Likelihoods are never below float32."""
    checkpoint_every: float = 60.0
    """Seconds between two checkpoints, where there is a place for them."""
    checkpoint_steps: int | None = None
    """Steps between two checkpoints, beside the seconds."""
    reserved: float = 0.0
    """Seconds of the time limit that are not for training: what was gone before it, and what is to come after it."""

    def __post_init__(self) -> None:
        if self.epochs is not None and self.time_limit is not None:
            raise UserError("epochs and time_limit exclude each other: give one of them")
        for name in POSITIVE:
            if getattr(self, name) is not None:
                arguments.positive(name, getattr(self, name))
        for name in COUNTS:
            if getattr(self, name) is not None:
                arguments.whole(name, getattr(self, name), 1)
        if self.max_grad_norm != math.inf:
            arguments.positive("max_grad_norm", self.max_grad_norm)
        arguments.whole("warmup", self.warmup, 0)
        arguments.not_negative("weight_decay", self.weight_decay)
        arguments.not_negative("reserved", self.reserved)
        arguments.integer("seed", self.seed)
        if self.precision not in ("auto", "float32", "bfloat16", "float64"):
            raise UserError(f"precision must be auto, float32, bfloat16 or float64, got {self.precision!r}")

    @property
    def training_seconds(self) -> float | None:
        """How long training may take, a moment at least; None for no limit."""
        return None if self.time_limit is None else max(LEAST_SECONDS, self.time_limit - self.reserved)

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)
