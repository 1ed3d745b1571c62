"""Randomness: the one place where noise is drawn.

Every draw is a pure function of (seed, what it is for, when), so a run that is resumed, or cut into other
pieces, draws the same numbers, and nothing but integers has to be saved.

Noise comes from a stream: generators of its own, which belong to the thread that opened it. So threads that work at
the same time do not disturb each other, and torch's process-wide generators stay as they are. Outside of any stream, as
in a training loop of one's own, noise comes from these, and `torch.manual_seed` works as everywhere.

    with stream("answer"):
        noise = normal(16, 1, 8, like=x)
"""

import contextlib
import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")


def derive(*key: int | str) -> int:
    """A seed below 2**63 that depends on every part of `key` and on nothing else."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def permutation(n: int, *key: int | str) -> np.ndarray:
    """The numbers 0 to n - 1 in an order that is a pure function of `key`; (n,) int64."""
    return np.random.Generator(np.random.Philox(derive(*key))).permutation(n)


def some_of(n: int, most: int, *key: int | str) -> np.ndarray:
    """At most so many of the numbers 0 to n - 1, drawn at random and in random order: a pure function of `key`.

    Rows often come sorted, by class or by time: whoever looks at some of them looks at these, never at the first ones.

    Returns:
        (min(n, most),) int64, each number once.
    """
    return permutation(n, *key)[:most]


# Streams.


class Stream:
    """Where the noise of one thread comes from while it is open. Made by `stream`."""

    def __init__(self, key: tuple[int | str, ...], on_device: bool) -> None:
        self.on_device = on_device
        self._key, self._n_starts = key, 0
        self._generators: dict[torch.device, torch.Generator] = {}
        self._started: dict[torch.device, int] = {}
        self._outer: list[Stream | None] = []

    def __enter__(self) -> "Stream":
        self._outer.append(_thread.stream)
        _thread.stream = self
        return self

    def __exit__(self, *_: object) -> None:
        _thread.stream = self._outer.pop()

    def restart(self, *key: int | str) -> None:
        """What is drawn from here on follows `key`."""
        self._key, self._n_starts = key, self._n_starts + 1

    def generator(self, device: torch.device) -> torch.Generator:
        """The stream's own for a device. It is seeded when it is first used, as many steps draw nothing."""
        own = self._generators.get(device)
        if own is None:
            own = self._generators[device] = torch.Generator(device)
        if self._started.get(device) != self._n_starts:
            own.manual_seed(derive(*self._key))
            self._started[device] = self._n_starts
        return own


class _Thread(threading.local):
    # A context variable would be handed on to threads that are started meanwhile, in some builds of Python.
    stream: Stream | None = None


_thread = _Thread()


def stream(*key: int | str, on_device: bool = False) -> Stream:
    """A stream that follows `key`: inside `with`, what this thread draws by the functions below comes from it.

    Args:
        key: what the noise is a function of.
        on_device: whether noise is drawn where it is used, which is fast: for training. By default it is drawn on
            the CPU, in float32, and moved: then it is the same on every device, and in every precision.
    """
    return Stream(key, on_device)


@contextlib.contextmanager
def seeded(*key: int | str) -> Iterator[None]:
    """As `stream`, and what torch itself draws in this thread follows `key` as well: weights of a new model, say.

    See `TorchDraws` for what that costs.
    """
    with stream(*key), TorchDraws():
        yield


def restart(*key: int | str) -> None:
    """Lets the stream that is open in this thread follow `key` from here on.

    Raises:
        RuntimeError: if none is open.
    """
    if _thread.stream is None:
        raise RuntimeError("no stream of noise is open in this thread: use `with stream(...)`")
    _thread.stream.restart(*key)


# Draws. Each takes its device and its type from the tensor `like`, by default torch's default ones.


def normal(*shape: int, like: Tensor | None = None) -> Tensor:
    """Standard normal numbers of a shape."""
    return _filled(_empty(shape, like), Tensor.normal_)


def normal_like(x: Tensor) -> Tensor:
    """Standard normal numbers of the shape, the type and the device of x."""
    return _filled(torch.empty_like(x), Tensor.normal_)


def uniform(*shape: int, like: Tensor | None = None) -> Tensor:
    """Numbers of a shape, uniform on [0, 1)."""
    return _uniform(_empty(shape, like))


def uniform_like(x: Tensor) -> Tensor:
    """Numbers of the shape, the type and the device of x, uniform on [0, 1)."""
    return _uniform(torch.empty_like(x))


def coins(p: Tensor) -> Tensor:
    """True with these probabilities, each by itself: bool, of the shape and on the device of p."""
    # In float32 whatever p is: in half precision chances below a hundredth would come out wrong.
    return _filled(torch.empty_like(p, dtype=torch.float32), Tensor.uniform_) < p


def gumbel(*shape: int, like: Tensor | None = None) -> Tensor:
    """Numbers of a shape with the standard Gumbel distribution: the largest of log p plus these is a draw from p."""
    return _filled(_empty(shape, like), Tensor.exponential_).log_().neg_()


def integers(high: int, *shape: int, like: Tensor | None = None) -> Tensor:
    """Whole numbers from 0 to high - 1 of a shape, each as likely; int64 on the device of `like`."""
    empty = torch.empty(shape, dtype=torch.int64, device=None if like is None else like.device)
    return _filled(empty, lambda x, **kind: x.random_(0, high, **kind))


def shuffled(n: int, *, like: Tensor | None = None) -> Tensor:
    """The numbers 0 to n - 1 in an order by chance: (n,) int64 on the device of `like`."""
    empty = torch.empty(n, dtype=torch.int64, device=None if like is None else like.device)
    return _filled(empty, lambda x, **kind: torch.randperm(n, device=x.device, **kind))


def categories(p: Tensor, n: int) -> Tensor:
    """Draws among k categories, with replacement: one uniform number decides one draw.

    Args:
        p: (rows, k), probabilities up to a factor; none is negative, and no row is all zero.
        n: draws per row.

    Returns:
        (rows, n) int64, never a category of probability 0.
    """
    reach = p.cumsum(1)
    total = reach[:, -1:].contiguous()
    # Rounding may take the largest noise below 1 to the total itself, which lies beyond the last category.
    at = torch.minimum(uniform(len(p), n, like=p) * total, total.nextafter(torch.zeros_like(total)))
    return torch.searchsorted(reach, at, right=True)


def dropout_mask(x: Tensor, p: float) -> Tensor:
    """What dropout multiplies x by, of its shape: 0 with probability p, and else 1 / (1 - p), so that its mean is 1."""
    # On a CPU this takes half the time of torch's own dropout, which draws from the process-wide generator, too.
    u = _filled(torch.empty_like(x, dtype=torch.float32), Tensor.uniform_)
    return u.ge_(p).mul_(1 / (1 - p) if p < 1 else 0.0).to(x.dtype)


def _empty(shape: tuple[int, ...], like: Tensor | None) -> Tensor:
    return torch.empty(shape) if like is None else torch.empty(shape, dtype=like.dtype, device=like.device)


def _filled(empty: Tensor, fill: Callable[..., Tensor]) -> Tensor:
    """An empty tensor filled with noise: where it lies, or on the CPU and in float32, as the stream says."""
    own = _thread.stream
    if own is None or empty.device.type == "meta":
        return fill(empty)
    if own.on_device:
        return fill(empty, generator=own.generator(empty.device))
    generator = own.generator(CPU)
    drawn = torch.float32 if empty.is_floating_point() else empty.dtype
    if empty.dtype == drawn and empty.device.type == "cpu" and empty.is_contiguous():
        return fill(empty, generator=generator)
    # In the order of rows, whatever the layout of the tensor is: another device may have another.
    return fill(torch.empty(empty.shape, dtype=drawn, device=CPU), generator=generator).to(empty.device, empty.dtype)


def _uniform(empty: Tensor) -> Tensor:
    u = _filled(empty, Tensor.uniform_)
    # What was drawn in float32 may have become 1 in half precision.
    return u.clamp_(max=1 - torch.finfo(u.dtype).eps / 2) if u.dtype.itemsize < 4 else u


# What torch draws by itself: starting weights, and models and parts that are not of this package.


class TorchDraws(TorchFunctionMode):
    """Inside, torch's own functions draw from the stream that is open in this thread, if there is one.

    Starting weights are drawn in torch's constructors, and a model of one's own draws as it likes: by `torch.randn`,
    `nn.Dropout`, a distribution's `sample`. Every call of torch costs microseconds more, so it is no way to train what
    is of this package. Noise is drawn where torch would draw it. What torch draws inside of its compiled layers (the
    dropout of `nn.LSTM` and of attention) cannot be reached, and goes on following `torch.manual_seed`.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Lets `func` draw from the stream, where it draws."""
        own, named = _thread.stream, dict(kwargs or {})
        if own is None or named.get("generator") is not None:
            return func(*args, **named)
        if func in _LIKE:
            return _LIKE[func](*args, **named)
        if func in _MASK_AXES:
            return _with_dropout(_MASK_AXES[func], *args, **named)
        if func in _TAKE_GENERATORS:
            device = _device_of((*args, *named.values()), named.get("device"))
            if device.type != "meta":
                named["generator"] = own.generator(device)
        return func(*args, **named)


def torch_draws(*parts: object) -> contextlib.AbstractContextManager[Any]:
    """`TorchDraws` where one of these is not of this package, or made of what is not; else nothing.

    Args:
        parts: a model, where its rows come from, and what happens to them.
    """
    return TorchDraws() if any(map(_may_draw_by_torch, parts)) else contextlib.nullcontext()


def _may_draw_by_torch(part: object) -> bool:
    kinds = {type(module) for module in part.modules()} if isinstance(part, nn.Module) else {type(part)}
    return any(map(_is_elsewhere, kinds)) or any(map(_may_draw_by_torch, _made_of(part)))


def _is_elsewhere(kind: type) -> bool:
    home = kind.__module__
    return home.partition(".")[0] not in ("likely", "torch") or home == "torch.nn.modules.dropout"


def _made_of(part: object) -> list[object]:
    """The parts that a model or a part was given, such as its corruption."""
    own = vars(part).values() if isinstance(part, nn.Module) or dataclasses.is_dataclass(part) else ()
    return [value for value in own if dataclasses.is_dataclass(value) and not isinstance(value, type)]


def _device_of(values: Iterable[Any], named: Any) -> torch.device:
    for value in values:
        if isinstance(value, Tensor):
            return value.device
    return torch.empty(0, device=named).device  # with its number, where several are of a type


def _normal_as(x: Tensor, **kind: Any) -> Tensor:
    return normal_like(torch.empty_like(x, **kind))


def _uniform_as(x: Tensor, **kind: Any) -> Tensor:
    return uniform_like(torch.empty_like(x, **kind))


def _with_dropout(axes: int, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training:
        return input
    shape = input.shape[: input.ndim - axes] + (1,) * axes
    mask = dropout_mask(input.new_empty(shape), p)
    return input.mul_(mask) if inplace else input * mask


_LIKE: dict[Callable[..., Any], Callable[..., Tensor]] = {torch.randn_like: _normal_as, torch.rand_like: _uniform_as}
"""Functions of torch that take no generator in all of its releases, and what draws in their place."""

_MASK_AXES: dict[Callable[..., Any], int] = {
    nn.functional.dropout: 0,
    nn.functional.dropout1d: 1,
    nn.functional.dropout2d: 2,
    nn.functional.dropout3d: 3,
}
"""Kinds of dropout, and how many axes at the end have one coin together."""

_FILL = ("uniform_", "normal_", "bernoulli_", "exponential_", "random_", "geometric_", "cauchy_", "log_normal_")
_TAKE_GENERATORS: frozenset[Callable[..., Any]] = frozenset(
    [
        torch.rand,
        torch.randn,
        torch.randint,
        torch.randperm,
        torch.normal,
        torch.bernoulli,
        torch.multinomial,
        torch.poisson,
        torch.binomial,
        torch._standard_gamma,
        torch._sample_dirichlet,
        torch.Tensor.bernoulli,
        torch.Tensor.multinomial,
        *(getattr(torch.Tensor, name) for name in _FILL),
        *(getattr(nn.init, name) for name in ("uniform_", "normal_", "kaiming_uniform_")),
    ]
)
"""Functions of torch that draw, and may be told from which generator."""
