"""A model's tensors as bytes, and back into a model that is proven to be the one they are of."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules import module as registration

from likely.contract import Model, Shape
from likely.errors import ModelFileError, UserError
from likely.persistence.reading import parse_json
from likely.registry import Spec
from likely.rng import seeded

MAX_HEADER = 2**24
MAX_REGISTRATIONS = 10_000
"""Modules, parameters and buffers that one model may have: a billion layers are refused while they are made."""

MAX_SCRATCH = 2**26
"""Bytes that a model's buffers may have beyond twice what is saved: masks and schedules stand in no file."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Tensor types by the names that safetensors has for them."""

Kind = tuple[torch.dtype | None, tuple[int, ...]]
"""What a tensor is: its type (None for an unknown one) and its shape."""


def pack(model: Model) -> bytes:
    """The model's state as safetensors; tensors that are one and the same are kept once, and named in `aliases`.

    Raises:
        UserError: naming a tensor that is not finite, or a state that is no tensor.
    """
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    owners: dict[Any, str] = {}
    parameters = _parameter_names(model)
    for name, tensor in model.state_dict().items():
        _check_finite(name, tensor)
        owner = owners.setdefault((name in parameters, _identity(name, tensor)), name)
        if owner == name:
            tensors[name] = tensor
        else:
            aliases[name] = owner
    return safetensors.torch.save(apart(tensors), {"aliases": json.dumps(aliases)})


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, no two sharing memory: as safetensors wants them."""
    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous()
        memory = flat.untyped_storage().data_ptr()
        own[name] = flat.clone() if memory in seen else flat
        seen.add(memory)
    return own


def _identity(name: str, tensor: Tensor) -> Any:
    # Empty tensors have no memory to be known by.
    return (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()) if tensor.numel() else name


def _in_words(kind: Kind | None) -> str:
    return "absent" if kind is None else f"{kind[0] or 'of an unknown type'} {kind[1]}"


def _parameter_names(model: nn.Module) -> set[str]:
    return {name for name, _ in model.named_parameters(remove_duplicate=False)}


def _check_finite(name: str, tensor: Any) -> None:
    if not isinstance(tensor, Tensor):
        raise UserError(f"the state {name!r} of the model is a {type(tensor).__name__}, not a tensor: no file holds it")
    if not bool(tensor.isfinite().all()):
        raise UserError(f"the tensor {name!r} holds NaN or infinity")


class Blueprint:
    """A model without its memory: what its tensors must be, known before any of them is allocated.

    Raises:
        UserError: if the arguments make no model, or one out of all proportion.
    """

    def __init__(self, spec: Spec, x_shape: Shape) -> None:
        self._spec, self._x_shape = spec, x_shape
        with seeded("blueprint"), torch.device("meta"), _registrations_counted():
            self._model = _built(spec, x_shape)
        n_buffered = sum(map(_n_bytes, self._model.buffers()))
        if n_buffered > 2 * self.n_bytes + MAX_SCRATCH:
            raise UserError(f"{spec.name} would hold {n_buffered:,} bytes in buffers, most of them in no file")

    @property
    def n_bytes(self) -> int:
        """Of the tensors that are saved."""
        return sum(map(_n_bytes, self._model.state_dict().values()))

    def check(self, data: bytes) -> dict[str, str]:
        """Compares a safetensors header with the model, and nothing but the header.

        Returns:
            The aliases: names of tensors that are not in the file, and of those they are tied to.

        Raises:
            ModelFileError: if a tensor is missing, unknown, or of another shape or type.
        """
        header = read_header(data, MAX_HEADER)
        aliases = _read_aliases(header.pop("__metadata__", {}))
        found = {name: (DTYPES.get(entry["dtype"]), tuple(entry["shape"])) for name, entry in header.items()}
        self._check_ties(aliases, found)
        _match_precision(self._model, found)
        self._check_kinds(found | {alias: found[owner] for alias, owner in aliases.items()})
        return aliases

    def _check_ties(self, aliases: Mapping[str, str], found: Mapping[str, Kind]) -> None:
        parameters = _parameter_names(self._model)
        for alias, owner in aliases.items():
            if alias in found or owner not in found or (alias in parameters) != (owner in parameters):
                raise ModelFileError(f"it ties {alias[:100]!r} to {owner[:100]!r}, which cannot be")

    def _check_kinds(self, found: Mapping[str, Kind]) -> None:
        wanted = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in self._model.state_dict().items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                should, is_ = _in_words(wanted.get(name)), _in_words(found.get(name))
                raise ModelFileError(f"its tensor {name[:100]!r} is {is_}, and {should} by the arguments of the model")

    def filled(self, data: bytes) -> Model:
        """The model with its tensors, in evaluation mode. Raises ModelFileError as `check` does, and for NaN."""
        aliases = self.check(data)
        try:
            tensors = safetensors.torch.load(data)
        except safetensors.SafetensorError as error:
            raise ModelFileError(f"it is damaged: {error}") from error
        for name, tensor in tensors.items():
            _check_finite(name, tensor)
        with seeded("blueprint"):
            model = _built(self._spec, self._x_shape)
        _match_precision(model, {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()})
        model.load_state_dict(tensors | {alias: tensors[owner] for alias, owner in aliases.items()})
        for alias, owner in aliases.items():
            _tie(model, alias, owner)
        return model.eval()


def read_header(data: bytes, max_bytes: int) -> dict[str, Any]:
    """The JSON at the head of safetensors bytes, checked to be of the right form. Raises ModelFileError."""
    n_bytes = int.from_bytes(data[:8], "little")
    if len(data) < 8 or n_bytes > min(len(data) - 8, max_bytes):
        raise ModelFileError("it is cut off, or no safetensors file")
    header = parse_json(data[8 : 8 + n_bytes])
    if not isinstance(header, dict) or not all(_is_entry(*item) for item in header.items()):
        raise ModelFileError("its header is not that of a safetensors file")
    return header


def _read_aliases(metadata: Mapping[str, str]) -> dict[str, str]:
    aliases = parse_json(metadata.get("aliases", "").encode("utf-8", "replace"))  # half a letter is no JSON
    if not isinstance(aliases, dict) or not all(isinstance(owner, str) for owner in aliases.values()):
        raise ModelFileError("its list of tied tensors is damaged")
    return aliases


def _is_entry(name: str, entry: Any) -> bool:
    match entry:
        case {"dtype": str(), "shape": list(shape), "data_offsets": [int(), int()], **rest} if not rest:
            return name != "__metadata__" and all(type(size) is int for size in shape)
        case dict():
            return name == "__metadata__" and all(isinstance(value, str) for value in entry.values())
    return False


def _built(spec: Spec, x_shape: Shape) -> Model:
    try:
        return spec.build(x_shape)
    except UserError:
        raise
    except Exception as error:  # whatever a constructor does with arguments that nobody vouches for
        raise UserError(f"the arguments make no {spec.name}: {' '.join(str(error).split())[:200]}") from error


def _match_precision(model: nn.Module, found: Mapping[str, Kind]) -> None:
    """Does what `.double()` or `.bfloat16()` did before the model was saved, if that shows in every tensor."""
    floating = {dtype for dtype, _ in found.values() if dtype is not None and dtype.is_floating_point}
    if len(floating) == 1:
        model.to(floating.pop())


def _tie(model: nn.Module, alias: str, owner: str) -> None:
    module, _, name = alias.rpartition(".")
    owner_module, _, owner_name = owner.rpartition(".")
    setattr(model.get_submodule(module), name, getattr(model.get_submodule(owner_module), owner_name))


def _n_bytes(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * tensor.element_size()


@contextlib.contextmanager
def _registrations_counted() -> Iterator[None]:
    """Stops a constructor that makes too many modules, parameters and buffers, while it makes them."""
    n = 0

    def count(*_: Any) -> None:
        nonlocal n
        n += 1
        if n > MAX_REGISTRATIONS:
            raise UserError(f"the arguments make a model of more than {MAX_REGISTRATIONS:,} modules and tensors")

    with contextlib.ExitStack() as hooks:
        hooks.enter_context(registration.register_module_module_registration_hook(count))
        hooks.enter_context(registration.register_module_parameter_registration_hook(count))
        hooks.enter_context(registration.register_module_buffer_registration_hook(count))
        yield
