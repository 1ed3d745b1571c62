"""Where the chains of a model go that draws by walking, in a report."""

from collections.abc import Callable
from typing import Any

import numpy as np

from likely.contract import MarkovSampler
from likely.fitted import Fitted
from likely.report import charts
from likely.report.contents import Chains, Tiles
from likely.report.exploration import tiles
from likely.report.rows import Look
from likely.report.words import number
from likely.walking import walk

N_CHAINS, N_STEPS = 20, 200
N_SHOWN, N_STATES = 3, 12
"""Chains after their burn-in, and states of each, one after another."""
N_LAGS = 60


def gathered(fitted: Fitted, plain: Callable[[Any], np.ndarray]) -> Chains | None:
    """States of some chains and how fast they mix; None of a model that draws at once."""
    model = fitted.model
    if not isinstance(model, MarkovSampler):
        return None
    found, begun = walk(fitted, N_CHAINS, N_STEPS), walk(fitted, 1, N_STATES, skip=0)
    rows = plain(found.rows)
    rows = rows.reshape(N_CHAINS, N_STEPS, *rows.shape[1:])[:N_SHOWN, :N_STATES]
    shown = Tiles(
        np.concatenate([plain(begun.rows)[None], rows]),
        ["from its beginning", *(f"chain {i + 1}, after {model.burn_in:,} steps" for i in range(N_SHOWN))],
        [f"+{step}" for step in range(1, N_STATES + 1)],
    )
    return Chains(shown, found.mixing, N_CHAINS, N_STEPS, model.burn_in)


def chains(shown: Chains, look: Look) -> dict[str, Any]:
    """A strip of states for each chain, a curve of what they remember, and the figures in words."""
    lags = [{"step": lag, "correlation": float(v)} for lag, v in enumerate(shown.mixing.autocorrelation[:N_LAGS])]
    return {
        "tiles": tiles(shown.states, look),
        "chart": charts.curves(lags, {"correlation": "autocorrelation"}, "of states so many steps apart", None),
        "facts": [
            ("chains", f"{shown.n_chains:,} of {shown.n_steps:,} steps each, after {shown.burn_in:,}"),
            ("steps per independent draw", number(shown.mixing.steps_per_draw, 3)),
            ("effective number of draws", number(shown.mixing.effective_size, 3)),
            ("disagreement of chains (1 is none)", number(shown.mixing.between, 4)),
        ],
        "verdict": _verdict(shown),
    }


def _verdict(shown: Chains) -> str:
    mixing = shown.mixing
    if mixing.mixed and shown.burn_in >= 5 * mixing.steps_per_draw:
        return "The chains mix: the burn-in is many times as long as they remember anything."
    if mixing.mixed:
        return "The chains mix, but the burn-in is short beside what they remember: set burn_in higher."
    return (
        "The chains do not mix in so many steps: each stays near what it came to first, so that draws are spread "
        "over the kinds of rows as beginnings lead to them, and not as the model's own distribution is."
    )
