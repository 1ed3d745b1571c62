"""Sources of rows whose probabilities are known: what a model learns of them has a right answer."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MarkovChain:
    """Bits, each of which follows from the two before it alone.

    Attributes:
        ones: the probability of a one after (0, 0), (0, 1), (1, 0) and (1, 1), the nearest bit last.
        length: bits in a row.
    """

    ones: tuple[float, float, float, float]
    length: int

    def _of_ones(self, x: Tensor, i: int) -> Tensor:
        before = [x[:, j] if j >= 0 else torch.zeros_like(x[:, 0]) for j in (i - 2, i - 1)]
        return torch.tensor(self.ones, dtype=x.dtype)[(2 * before[0] + before[1]).long()]

    def log_prob(self, x: Tensor) -> Tensor:
        """Of rows (batch, length): (batch,), nats."""
        p = torch.stack([self._of_ones(x, i) for i in range(self.length)], 1)
        return torch.where(x > 0.5, p, 1 - p).log().sum(1)

    def draw(self, n: int, *, seed: int) -> Tensor:
        """(n, length), zeros and ones."""
        noise = torch.rand(n, self.length, generator=torch.Generator().manual_seed(seed))
        x = torch.zeros(n, self.length)
        for i in range(self.length):
            x[:, i] = (noise[:, i] < self._of_ones(x, i)).float()
        return x

    @property
    def entropy(self) -> float:
        """Of a row, nats."""
        x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * self.length)
        log_p = self.log_prob(x)
        return -(log_p.exp() * log_p).sum().item()


def markov_chain() -> MarkovChain:
    """A chain that independent bits and a linear rule both miss: the next bit is likely the exclusive or of two."""
    return MarkovChain((0.2, 0.9, 0.85, 0.1), 12)
