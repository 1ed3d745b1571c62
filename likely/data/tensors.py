"""Tensors of torch as arrays: those that hold plain numbers, however they are laid out in memory."""

from typing import TYPE_CHECKING, Any

import numpy as np

from likely.errors import DataError

if TYPE_CHECKING:
    import torch


def tensor_to_array(tensor: "torch.Tensor") -> np.ndarray:
    """The values of a tensor, on whatever device it is; types that numpy lacks become float32.

    Raises:
        DataError: if it holds no numbers, or packs them so that they do not stand one beside the other; says what
            unpacks them.
    """
    import torch

    mend = _mend(tensor)
    if mend is not None:
        kind, how = mend
        raise DataError(f"found a {kind} tensor, expected plain numbers; {how}")
    tensor = tensor.detach()
    lacking = tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64)
    try:
        tensor = tensor.float() if lacking else tensor
        array: np.ndarray = tensor.cpu().resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:200]
        found = f"found a tensor of {tensor.dtype} that is no array ({reason})"
        raise DataError(f"{found}; make a plain one of it first") from None
    return array


def _mend(tensor: Any) -> tuple[str, str] | None:
    """What kind a tensor is that has no plain numbers, and what makes them; None where it has."""
    import torch

    if tensor.is_meta:
        return "meta", "it has a shape and no values: load or compute them first"
    if tensor.is_nested:
        return "nested", "its rows differ in length: hand in torch.nested.to_padded_tensor(x, float('nan'))"
    if tensor.layout != torch.strided:
        return "sparse", "hand in x.to_dense()"
    if tensor.is_quantized:
        return "quantized", "hand in x.dequantize()"
    return None
