"""What a network is told beside its input."""

import torch
from torch import Tensor


def with_context(x: Tensor, context: Tensor | None, context_size: int) -> Tensor:
    """x (batch, n) and context (batch, context_size) side by side: (batch, n + context_size).

    Raises:
        ValueError: for a context that is missing, unexpected or of another size.
    """
    check_context(context, context_size)
    return x if context is None else torch.cat([x, context], 1)


def check_context(context: Tensor | None, context_size: int) -> None:
    """Refuses another context than a network was built for.

    Raises:
        ValueError: for a context that is missing, unexpected or of another size.
    """
    found = 0 if context is None else context.shape[-1]
    if found != context_size:
        wanted = f"a context (batch, {context_size})" if context_size else "no context"
        raise ValueError(f"built for {wanted}, got {'none' if context is None else f'one of {tuple(context.shape)}'}")
