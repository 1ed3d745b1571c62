"""How a game goes wrong, and how that shows: in numbers on the device, and in words when it is over.

A generator that has collapsed makes few different rows, or rows from one corner of the data; a critic that knows
every row from every made one teaches nothing.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

MOST_ROWS = 512
"""Rows of a batch that are compared with each other."""

NEAREST = 10
"""A row counts as reached when a made row lies as near as its NEAREST-th nearest row."""

LEAST_VARIETY = 0.25
LEAST_REACH = 0.2
CERTAIN = 0.995


@torch.no_grad()
def variety(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """How various made rows are beside as many rows, (batch, ...) each; terms (batch,), the same for every row.

    Returns:
        spread: the mean square of made rows about their mean, as a share of that of the rows.
        apart: the mean distance of a made row to the nearest other, as a share of that among the rows; near zero
            for duplicates.
        reach: the share of rows that some made row lies near to.
    """
    n = len(real)
    if n < 2:
        one = real.new_ones(n)
        return {"spread": one, "apart": one, "reach": one}
    a, b = real[:MOST_ROWS].flatten(1).float(), fake[:MOST_ROWS].flatten(1).float()
    among, made, between = torch.cdist(a, a), torch.cdist(b, b), torch.cdist(a, b)
    k = min(NEAREST, len(a) - 1)
    near = among.topk(k + 1, largest=False).values  # itself is the first
    apart = made.topk(2, largest=False).values[:, 1]
    numbers = {
        "spread": _share(b.var(0).sum(), a.var(0).sum()),
        "apart": _share(apart.mean(), near[:, 1].mean()),
        "reach": (between.min(1).values <= near[:, -1]).float().mean(),
    }
    return {name: number.expand(n) for name, number in numbers.items()}


@torch.no_grad()
def told_apart(real_scores: Tensor, fake_scores: Tensor) -> dict[str, Tensor]:
    """The share of pairs in which a critic scores the row above the made row; a term (batch,), as `variety`."""
    above = (real_scores[:MOST_ROWS].unsqueeze(1) > fake_scores[:MOST_ROWS]).float().mean()
    return {"told_apart": above.expand(len(real_scores))}


def _share(made: Tensor, real: Tensor) -> Tensor:
    return torch.where(real > 0, made / real, torch.ones_like(real))


def remarks_on(rows: Sequence[Mapping[str, float]], critic: str = "critic", generator: str = "generator") -> list[str]:
    """What the end of a run's history says of the game, a sentence for each thing that went wrong.

    Args:
        rows: of `likely.training.History`.
        critic: the player whose terms have `told_apart`.
        generator: the player whose terms have those of `variety`.
    """
    if not rows:
        return []
    last = rows[-max(1, len(rows) // 5) :]

    def mean(player: str, name: str) -> float | None:
        values = [row[key] for row in last if (key := f"validation/{player}/{name}") in row]
        return sum(values) / len(values) if values else None

    spread, apart, reach = (mean(generator, name) for name in ("spread", "apart", "reach"))
    told = mean(critic, "told_apart")
    found = []
    if apart is not None and apart < LEAST_VARIETY:
        found.append(f"made rows are near duplicates: {apart:.1%} as far apart as rows of the data are")
    if spread is not None and spread < LEAST_VARIETY:
        found.append(f"made rows spread over {spread:.1%} of the variance of the data")
    if reach is not None and reach < LEAST_REACH:
        found.append(f"made rows come near to {reach:.1%} of the rows of the data")
    if found:
        mend = "Train longer, or with another game or seed"
        return [f"THE GENERATOR HAS COLLAPSED, OR LEARNED TOO LITTLE: {'; '.join(found)}. {mend}"]
    if told is not None and told > CERTAIN:
        return [
            f"THE CRITIC HAS WON: it tells {told:.1%} of rows from made ones, so the generator learns little from it. "
            "Raise the game's penalty, or take fewer critic steps"
        ]
    return []
