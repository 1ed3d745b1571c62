"""What training says of itself."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """A run, validation by validation.

    Attributes:
        rows: one per validation: step, epoch, learning_rate, seconds, the mean objective over the training
            rows since the last one ("train") and over the validation rows ("validation"), and their terms
            ("train/rate", "validation/rate"). Rows of a layer that was trained by itself, before the whole, say
            which by "layer", from 1; their steps and objectives are its own.
        total_steps: how many steps the schedule was made for; 0 for closed form. Of the whole, as the next two.
        best_step: the step whose weights were kept, or the last one where the objective chooses nothing.
        precision: of the networks.
        batch_size: rows per step.
        seconds: of training.
        stopped: why it ended: "schedule", "early" or "closed form".
        notes: what was chosen and why, a sentence each.
        warnings: what went wrong although training came to its end (a generator that collapsed), a sentence each.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    total_steps: int = 0
    best_step: int = 0
    precision: str = "float32"
    batch_size: int = 0
    seconds: float = 0.0
    stopped: str = ""
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_csv(self) -> str:
        """One line per validation."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        out = io.StringIO()
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()


@dataclass(frozen=True)
class Progress:
    """Where a run is, for whoever shows it.

    Attributes:
        step: steps done.
        total_steps: steps to do; 0 while that is still being measured.
        seconds: since the start, earlier parts of a resumed run counted in.
        remaining: an estimate in seconds, None while there is none.
        row: the newest row of the history, empty before the first.
        doing: what is under way, in a word or two.
    """

    step: int
    total_steps: int
    seconds: float
    remaining: float | None
    row: Mapping[str, Any]
    doing: str = "training"
