"""Fine-tuning: an encoder and a softmax layer on its codes, trained together on labelled rows."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.contract import Encoder, GradientFitted, Objective, Player, TakesMissing
from likely.data.split import Split
from likely.rng import permutation

HELD_OUT = 10
"""Of each class, one labelled row in so many chooses when to stop; none where that leaves nothing to learn from."""

FEW_LABELLED = 2_000
"""Under so many labelled rows all teach: a handful would choose by chance, and what they cannot teach costs more."""

TIE = 1e-3
"""What cross-entropy counts beside errors where rows held out choose: it decides between equals."""


class LogitEncoder(Encoder):
    """Encodes rows as logits of classes (batch, n_classes): a linear layer on the codes of an encoder.

    Args:
        encoder: whose codes; what else it can do (decode) is dropped here.
        n_classes: how many there are.
    """

    def __init__(self, encoder: Encoder, n_classes: int) -> None:
        super().__init__(encoder.x_shape)
        self.encoder, self.n_classes, self.z_shape = encoder, n_classes, (n_classes,)
        like = next(iter(encoder.state_dict().values()))
        n_features = int(np.prod(encoder.z_shape))
        self.head = nn.Linear(n_features, n_classes, device=like.device, dtype=like.dtype)
        # Every class alike at first: what the codes say is not drowned by what a random head makes of them.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        _drop_idle(encoder)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        logits: Tensor = self.head(self.encoder.encode(x).flatten(1))
        return logits


class LogitEncoderOfMissing(LogitEncoder, TakesMissing):
    """The same, of an encoder that takes missing values."""


def logit_encoder(encoder: Encoder, n_classes: int) -> LogitEncoder:
    """One that takes missing values if the encoder does."""
    kind = LogitEncoderOfMissing if isinstance(encoder, TakesMissing) else LogitEncoder
    return kind(encoder, n_classes)


class Lesson(GradientFitted):
    """The cross-entropy of logits, given the class of each row as a condition (batch, n_classes); errors choose."""

    def __init__(self, logits: LogitEncoder) -> None:
        super().__init__(logits.x_shape, (logits.n_classes,))
        self.logits = logits

    def players(self) -> Mapping[str, Player]:
        """As `GradientFitted.players`."""
        return {"": Player(tuple(p for p in self.parameters() if p.requires_grad))}

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        assert condition is not None
        logits = self.logits.encode(x).to(condition.dtype)  # of lower precision inside autocast
        loss = F.cross_entropy(logits, condition, reduction="none")
        wrong = (logits.detach().argmax(1) != condition.argmax(1)).to(loss.dtype)
        # What chooses is what is wanted: cross-entropy rises with a few certain mistakes long before errors do.
        total = loss if self.training else wrong + TIE * loss
        return Objective(total, {"cross_entropy": loss, "error": wrong})


def _drop_idle(encoder: Encoder) -> None:
    """Takes the parameters out of an encoder's modules that have no part in its codes: those of its decoder."""
    like = next(iter(encoder.state_dict().values()))
    was_training = encoder.training
    with torch.enable_grad():
        code = encoder.eval().encode(torch.zeros(1, *encoder.x_shape, device=like.device, dtype=like.dtype))
        used = {id(p) for p in _reached(code, list(encoder.parameters()))}
    encoder.train(was_training)
    for module in encoder.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in used:
                module.register_parameter(name, None)


def _reached(code: Tensor, parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    if not code.requires_grad:
        return []
    gradients = torch.autograd.grad(code.sum(), parameters, allow_unused=True)
    return [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]


def stratified(classes: np.ndarray, seed: int) -> Split:
    """Rows to learn from and, where there are enough, one in `HELD_OUT` of each class to choose by.

    Args:
        classes: (n,) whole numbers.
        seed: which rows.
    """
    order = permutation(len(classes), seed, "fine-tuning")
    by_class = order[np.argsort(classes[order], kind="stable")]
    held_out = by_class[HELD_OUT // 2 :: HELD_OUT] if len(classes) >= FEW_LABELLED else by_class[:0]
    learned = np.setdiff1d(by_class, held_out)
    # A class that nothing would be left of keeps its row.
    lonely = held_out[~np.isin(classes[held_out], classes[learned])]
    none = np.empty(0, np.int64)
    return Split(np.union1d(learned, lonely), np.setdiff1d(held_out, lonely), none, none)
