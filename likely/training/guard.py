"""What moves without an optimizer, and is put back after a step that is not finite: on the device, without a wait."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from likely.contract import Batch, GradientFitted, Model, TakesMissing
from likely.errors import Diverged


class Guard:
    """Holds what a step moves beside the optimizers, which by themselves leave everything as it was.

    Buffers move in the forward pass (the averages of batch norm) and in `after_step` (chains, spectral norms, a
    codebook); parameters in `after_step` alone (the biases of a Boltzmann machine, which follow its offsets).

    Args:
        model: on its device already; its tensors may move, but not be replaced by others.
        finite: by name, what a tensor goes back to that moved for the first time in the very step that went wrong.
    """

    def __init__(self, model: GradientFitted, finite: Mapping[str, Tensor]) -> None:
        self.buffers = _Held(dict(model.named_buffers()), finite)
        self.parameters = _Held(dict(model.named_parameters()), finite)

    def before_step(self) -> None:
        """To be called before the first forward pass of a step."""
        self.buffers.hold()

    def before_after_step(self) -> None:
        """To be called when the optimizers are done, before the model's `after_step`."""
        self.parameters.hold()

    @torch.no_grad()
    def settle(self, skipped: Tensor) -> Tensor:
        """Puts back what moved in a step, if an optimizer skipped it, or if what moved is not finite.

        Args:
            skipped: (), positive if some player's step was skipped.

        Returns:
            (), 1.0 if all was put back, else 0.0; on the device.
        """
        moved = self.buffers.moved() + self.parameters.moved()
        values = [value for value, _ in moved if value.is_floating_point() and value.numel()]
        wrong = skipped > 0
        if values:
            wrong = wrong | ~torch.stack(torch._foreach_norm(values, math.inf)).isfinite().all()
        for value, before in moved:
            value.copy_(torch.where(wrong, before, value))
        return wrong.float()


class _Held:
    """Copies of those tensors that move. Which ones do is found out at the first step, by their values."""

    def __init__(self, tensors: Mapping[str, Tensor], finite: Mapping[str, Tensor]) -> None:
        self.tensors = {name: value.detach() for name, value in tensors.items()}
        self.finite = finite
        self.known = False
        self.before: dict[str, Tensor] = {}
        self.versions: dict[str, int] = {}

    def hold(self) -> None:
        if not self.known:
            self.before = {name: value.clone() for name, value in self.tensors.items()}
        elif self.before:
            torch._foreach_copy_(list(self.before.values()), [self.tensors[name] for name in self.before])
        self.versions = {name: value._version for name, value in self.tensors.items() if name not in self.before}

    def moved(self) -> list[tuple[Tensor, Tensor]]:
        """What moves, and what it was when it was held."""
        if not self.known:
            self.before = {name: old for name, old in self.before.items() if not torch.equal(old, self.tensors[name])}
            self.known = True
        for name, version in self.versions.items():
            if self.tensors[name]._version != version:  # it stood still until now
                self.before[name] = self.finite.get(name, self.tensors[name]).clone()
        return [(self.tensors[name], old) for name, old in self.before.items()]


def is_finite(model: Model) -> bool:
    """Whether every parameter and buffer is finite; waits for the device."""
    flags = [value.isfinite().all() for value in model.state_dict().values()]
    return not flags or bool(torch.stack(flags).all())


def sees_finite(model: Model, batch: Batch) -> bool:
    """Whether rows and model are finite, NaN in rows aside where it means missing; waits for the device."""
    x = batch.x.nan_to_num(nan=0.0) if isinstance(model, TakesMissing) else batch.x
    return bool(x.isfinite().all()) and is_finite(model)


@contextlib.contextmanager
def all_or_nothing(model: Model, batches: Iterable[Batch]) -> Iterator[None]:
    """Inside, a model takes values from rows at once; it is as it was before if they come out other than finite.

    Args:
        model: whose parameters and buffers are set inside.
        batches: the rows.

    Raises:
        Diverged: if a value is not finite, or cannot be computed of rows that are not, or of such extreme ones.
    """
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cause: Exception | None = None
    try:
        yield
        if is_finite(model):
            return
    except torch.linalg.LinAlgError as error:  # a decomposition that fails has met such numbers on its way
        cause = error
    except (RuntimeError, ValueError) as error:
        model.load_state_dict(before)
        if all(sees_finite(model, batch) for batch in batches):
            raise
        cause = error
    model.load_state_dict(before)
    raise Diverged(
        "what the model takes from the training rows (means, scales, directions) is not finite, so it is as it was "
        "before. Look for extreme values in the data"
    ) from cause
