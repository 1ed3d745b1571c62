"""Where the chains of a model go, that draws by walking: state after state, in the caller's own terms, and how fast."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from likely.contract import MarkovSampler
from likely.data import Rows
from likely.errors import UserError
from likely.evaluation import Mixing, mixing
from likely.fitted import Fitted
from likely.rng import restart


@dataclass(frozen=True)
class Walk:
    """Consecutive states of some chains.

    Attributes:
        rows: chain after chain, `n_steps` of each.
        n_steps: how many states of each chain.
        skipped: steps that were gone before the first of them.
        mixing: how fast the chains forget where they were.
    """

    rows: Rows
    n_steps: int
    skipped: int
    mixing: Mixing


def walk(
    fitted: Fitted, n: int = 20, n_steps: int = 100, *, skip: int | None = None, condition: Any = None, seed: int = 0
) -> Walk:
    """Goes some chains of a model that draws by a Markov chain, and says how fast they mix.

    Args:
        fitted: the model.
        n: chains.
        n_steps: states of each, one after another.
        skip: steps that are gone before the first of them; by default the model's burn-in, after which a state
            counts as drawn, and 0 for where chains begin.
        condition: labels of the chains, for a model that was fitted with them; by default as often as in training.
        seed: which walk.

    Raises:
        Unsupported: if the model does not draw by a chain.
        UserError: if there are fewer than 1 chain or 4 steps, or a negative number of steps is skipped.

    Example:
        >>> import likely
        >>> X = np.random.default_rng(0).normal(size=(300, 3))
        >>> fitted = likely.fit("gsn", X, train=likely.TrainConfig(epochs=2))
        >>> likely.walk(fitted, 5, 40).mixing.autocorrelation.shape
        (40,)
    """
    model: MarkovSampler = fitted.capable(MarkovSampler, "show a chain")
    skip = model.burn_in if skip is None else skip
    if n < 1 or n_steps < 4 or skip < 0:
        raise UserError(f"give at least 1 chain, 4 steps and skip=0; got n={n}, n_steps={n_steps} and skip={skip}")
    given = fitted.condition(None if condition is None else np.broadcast_to(np.asarray(condition), (n,)), n)

    def states() -> Any:
        restart(seed, "walk")
        return model.chain(n, n_steps, given, skip=skip)

    x = fitted.ask(states)
    rows = fitted.schema.to_rows(x.transpose(0, 1).flatten(0, 1), draws=True)
    return Walk(rows, n_steps, skip, mixing(x.double().numpy()))
