"""A flow, flow matching, an adversarial network and a Boltzmann machine as one would write them by hand.

Each is a module with `turns`: who moves, with which parameters, and on what objective of rows (batch, n).
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOG_TWO_PI = math.log(2 * math.pi)


class Turn(NamedTuple):
    """One optimizer's share of a step."""

    parameters: Iterable[nn.Parameter]
    loss: Callable[[Tensor], Tensor]


class BareRealNVP(nn.Module):
    """Affine couplings of halves, with activation normalization before each and after the last."""

    def __init__(self, n: int, layers: int = 6, width: int = 128) -> None:
        super().__init__()
        self.half = n // 2
        self.shifts = nn.Parameter(torch.zeros(layers + 1, n))
        self.log_scales = nn.Parameter(torch.zeros(layers + 1, n))
        self.networks = nn.ModuleList(
            nn.Sequential(
                *(nn.Linear(self.half, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()),
                nn.Linear(width, 2 * self.half),
            )
            for _ in range(layers)
        )

    def turns(self) -> list[Turn]:
        """One."""
        return [Turn(self.parameters(), self.nll)]

    def nll(self, x: Tensor) -> Tensor:
        """-log p(x)."""
        log_det = x.new_zeros(len(x))
        for i, network in enumerate(self.networks):
            x = (x + self.shifts[i]) * self.log_scales[i].exp()
            a, b = x.chunk(2, 1)
            kept, moved = (b, a) if i % 2 else (a, b)
            raw, shift = network(kept).chunk(2, 1)
            log_scale = 3 * torch.tanh(raw / 3)
            moved = moved * log_scale.exp() + shift
            x = torch.cat([moved, kept] if i % 2 else [kept, moved], 1)
            log_det = log_det + log_scale.sum(1) + self.log_scales[i].sum()
        x = (x + self.shifts[-1]) * self.log_scales[-1].exp()
        return 0.5 * (x.square() + LOG_TWO_PI).sum(1) - log_det - self.log_scales[-1].sum()


class BareBlock(nn.Module):
    """h + f(h), told the time by scale and shift."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.told, self.first, self.last = nn.Linear(width, 2 * width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """(batch, width)."""
        scale, shift = self.told(embedding).chunk(2, 1)
        return h + self.last(F.silu(self.first(F.layer_norm(h, h.shape[1:]) * (1 + scale) + shift)))


class BareFlowMatching(nn.Module):
    """Straight paths in the rows' principal axes, and a residual network of what their covariance leaves."""

    def __init__(self, n: int, width: int = 256, blocks: int = 4, waves: int = 16) -> None:
        super().__init__()
        powers = torch.linspace(math.log(0.5), math.log(64.0), waves)
        self.register_buffer("frequencies", 2 * math.pi * powers.exp())
        self.register_buffer("rotation", torch.linalg.qr(torch.randn(n, n))[0])
        self.register_buffer("variances", torch.rand(n) + 0.5)
        self.time = nn.Sequential(nn.Linear(2 * waves + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.entrance, self.exit, self.norm = nn.Linear(n, width), nn.Linear(width, n), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(BareBlock(width) for _ in range(blocks))

    def turns(self) -> list[Turn]:
        """One."""
        return [Turn(self.parameters(), self.error)]

    def error(self, x: Tensor) -> Tensor:
        """The squared error of the velocity's residual."""
        w_1, t = x @ self.rotation, torch.rand(len(x), 1)
        w_0 = torch.randn_like(w_1)
        root = ((1 - t).square() + t.square() * self.variances).sqrt()
        spread = self.variances.sqrt()
        h = self.entrance(((1 - t) * w_0 + t * w_1) / root)
        angles = t * self.frequencies
        embedding = self.time(torch.cat([t, angles.sin(), angles.cos()], 1))
        for block in self.blocks:
            h = block(h, embedding)
        target = ((1 - t) * w_1 / spread - t * spread * w_0) / root
        return (self.exit(self.norm(h)) - target).square().sum(1)


class BareGAN(nn.Module):
    """Non-saturating, with the critic's slope penalized at rows and at made rows."""

    def __init__(self, n: int, z_size: int, width: int, penalty: float = 0.1) -> None:
        super().__init__()
        self.z_size, self.penalty = z_size, penalty
        self.generator = self._dense(z_size, width, n, nn.ReLU)
        self.critic = self._dense(n, width, 1, lambda: nn.LeakyReLU(0.2))

    @staticmethod
    def _dense(n_in: int, width: int, n_out: int, act: Callable[[], nn.Module]) -> nn.Sequential:
        hidden = [nn.Linear(n_in, width), act(), nn.Linear(width, width), act(), nn.Linear(width, width), act()]
        return nn.Sequential(*hidden, nn.Linear(width, n_out))

    def turns(self) -> list[Turn]:
        """The critic's, then the generator's."""
        return [
            Turn(self.critic.parameters(), self.critic_loss),
            Turn(self.generator.parameters(), self.generator_loss),
        ]

    def critic_loss(self, x: Tensor) -> Tensor:
        """Of a classifier, and of its slope."""
        with torch.no_grad():
            fake = self.generator(torch.randn(len(x), self.z_size))
        real_scores, fake_scores = self.critic(torch.cat([x, fake])).squeeze(1).split(len(x))
        slopes = self._squared_slope(x) + self._squared_slope(fake)
        return F.softplus(-real_scores) + F.softplus(fake_scores) + 0.5 * self.penalty * slopes

    def _squared_slope(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(x).sum(), x, create_graph=True)
        return slope.square().sum(1)

    def generator_loss(self, x: Tensor) -> Tensor:
        """Of what is told to be made."""
        self.critic.requires_grad_(False)
        loss = F.softplus(-self.critic(self.generator(torch.randn(len(x), self.z_size))).squeeze(1))
        self.critic.requires_grad_(True)
        return loss


class BareRBM(nn.Module):
    """Bits, centered, with persistent chains of one step."""

    def __init__(self, n: int, n_hidden: int, n_chains: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.01 * torch.randn(n, n_hidden))
        self.a, self.b = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(n_hidden))
        self.register_buffer("offset", torch.full((n,), 0.5))
        self.register_buffer("hidden_offset", torch.full((n_hidden,), 0.5))
        self.register_buffer("hidden", (torch.rand(n_chains, n_hidden) < 0.5).float())

    def turns(self) -> list[Turn]:
        """One."""
        return [Turn(self.parameters(), self.contrast)]

    def contrast(self, x: Tensor) -> Tensor:
        """Free energies of rows against those of the chains."""
        logits = (x - self.offset) @ self.weight + self.b
        with torch.no_grad():
            field = F.linear(self.hidden - self.hidden_offset, self.weight) + self.a
            own = (torch.rand_like(field) < field.sigmoid()).float()
        own_logits = (own - self.offset) @ self.weight + self.b
        with torch.no_grad():
            self.hidden.copy_(torch.rand_like(own_logits) < own_logits.sigmoid())
            self.hidden_offset.lerp_(logits.sigmoid().mean(0), 0.01)
        return self._free_energy(x, logits) - self._free_energy(own, own_logits).mean()

    def _free_energy(self, v: Tensor, logits: Tensor) -> Tensor:
        hidden = (F.softplus(logits) - logits * self.hidden_offset).sum(1)
        return -((v - self.offset) * self.a).sum(1) - hidden
