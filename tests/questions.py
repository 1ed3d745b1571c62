"""Everything that a model can be asked, for laws about answers as such: who asks, where, and in which precision."""

from collections.abc import Callable

import torch
from torch import Tensor

from likely.contract import (
    BoundedDensity,
    Decoder,
    DrawsMissing,
    Encoder,
    Energy,
    ExactDensity,
    MarkovSampler,
    Model,
    Reconstructor,
    Restorer,
    Sampler,
    Sequential,
)
from likely.corruptions.noise import Kept
from likely.fitted import Fitted
from likely.registry import Spec

Question = Callable[[Model, Tensor], Tensor]

QUESTIONS: dict[str, tuple[type, Question]] = {
    "encode": (Encoder, lambda model, x: model.encode(x)),
    "decode": (Decoder, lambda model, x: model.decode(codes_of(model, x))),
    "reconstruct": (Reconstructor, lambda model, x: model.reconstruct(x)),
    "log_prob": (ExactDensity, lambda model, x: model.log_prob(x)),
    "log_prob_bound": (BoundedDensity, lambda model, x: model.log_prob_bound(x, n_samples=3)),
    "energy": (Energy, lambda model, x: model.energy(x)),
    "sample": (Sampler, lambda model, x: model.sample(5)),
    "chain": (MarkovSampler, lambda model, x: model.chain(3, 4)),
    "restore": (Restorer, lambda model, x: model.restore(*left_of(model, x[:4]))),
    "draw_restorations": (DrawsMissing, lambda model, x: model.draw_restorations(*left_of(model, x[:4]), n_samples=2)),
}
"""What is asked by its name, of models with which capability, about rows x."""


def questions_of(model: Model) -> list[str]:
    """The names of what a model can be asked."""
    return [name for name, (capability, _) in QUESTIONS.items() if isinstance(model, capability)]


def answer(model: Model, x: Tensor, question: str) -> Tensor:
    """What a model of a fitted directory answers: on the CPU."""
    return Fitted(model, Spec("asked"), schema=None).ask(lambda: QUESTIONS[question][1](model, x))  # type: ignore[arg-type]


def codes_of(model: Model, x: Tensor) -> Tensor:
    """Codes that are the same on every device and in every precision, (len(x), *z_shape)."""
    z_shape = model.z_shape  # type: ignore[attr-defined]
    return torch.randn(len(x), *z_shape, generator=torch.Generator().manual_seed(3)).to(x)


def left_of(model: Model, x: Tensor) -> tuple[Tensor, Kept]:
    """Rows half of whose values are missing, all of them where a model draws in an order; and what left them out."""
    kept = torch.zeros_like(x, dtype=torch.bool).flatten(1)
    if not isinstance(model, Sequential):
        kept[:, ::2] = True
    operator = Kept(model.x_shape, kept.view_as(x), torch.nan)
    return operator.apply(x), operator
