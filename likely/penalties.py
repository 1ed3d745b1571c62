"""Penalties: what an autoencoder pays for its code besides the distortion.

A weight says how many nats one unit of the penalty costs. What suits one data set is far off for another: a code
must pay for itself against the distortion, a sum over all values of a row.
"""

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from likely import rng
from likely.contract import Shape
from likely.errors import UserError
from likely.networks import Codec
from likely.networks.codec import DeepCodec, dense_code_layer


class PenaltyTerm(nn.Module, abc.ABC):
    """What is added to the distortion of each row, and what becomes of the code before it is decoded."""

    def bottleneck(self, z: Tensor) -> Tensor:
        """The code (batch, z_size) as the decoder is given it: as it is, unless a penalty says otherwise."""
        return z

    @abc.abstractmethod
    def forward(self, codec: Codec, x: Tensor, z: Tensor) -> Tensor:
        """What each row pays, weighted, (batch,); under `torch.no_grad` it is the same number.

        Args:
            codec: whose `encode` made the code.
            x: (batch, *x_shape), what was encoded.
            z: (batch, z_size), its code.

        Raises:
            UserError: if the penalty is none of such codes; names the argument that mends it.
        """


class Penalty(abc.ABC):
    """What a code costs. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(self, x_shape: Shape, z_size: int) -> PenaltyTerm:
        """The module for rows of this shape and codes of this size.

        Raises:
            ValueError: if it does not fit them.
        """


@dataclass(frozen=True)
class L1(Penalty):
    """weight * sum_j |z_j|: most units of a code are near zero.

    Attributes:
        weight: nats per unit of the code.

    Reference: Sparse coding with an overcomplete basis set (Olshausen & Field, 1997)
    """

    weight: float = 0.01

    def __post_init__(self) -> None:
        _check_positive(self, weight=self.weight)

    def build(self, x_shape: Shape, z_size: int) -> PenaltyTerm:
        """As `Penalty.build`; takes any code."""
        return _L1Term(self)


class _L1Term(PenaltyTerm):
    def __init__(self, part: L1) -> None:
        super().__init__()
        self.part = part

    def forward(self, codec: Codec, x: Tensor, z: Tensor) -> Tensor:
        return self.part.weight * _precise(z).abs().sum(1)


@dataclass(frozen=True)
class KLSparsity(Penalty):
    """weight * sum_j KL(target || mean activation of unit j): each unit is on for few of the rows.

    Both stand for Bernoulli probabilities, so codes must lie in (0, 1): the network needs code_activation="sigmoid".
    The mean is over the rows of a batch; what it costs is added to each of them alike.

    Attributes:
        weight: nats per nat of divergence.
        target: the mean activation that each unit is drawn to.

    Reference: Sparse autoencoder (Ng, lecture notes of CS294A, 2011), after Sparse deep belief net model for visual
        area V2 (Lee et al., 2008)
    """

    weight: float = 0.1
    target: float = 0.05

    def __post_init__(self) -> None:
        _check_positive(self, weight=self.weight)
        if not 0 < self.target < 1:
            raise ValueError(f"KLSparsity: target must lie between 0 and 1, got {self.target}")

    def build(self, x_shape: Shape, z_size: int) -> PenaltyTerm:
        """As `Penalty.build`; that codes lie in (0, 1) shows at the first step."""
        return _KLSparsityTerm(self)


class _KLSparsityTerm(PenaltyTerm):
    def __init__(self, part: KLSparsity) -> None:
        super().__init__()
        self.part = part
        self.fits = False

    def forward(self, codec: Codec, x: Tensor, z: Tensor) -> Tensor:
        self._check(codec, z)
        z, target = _precise(z), self.part.target
        limits = torch.finfo(z.dtype)
        mean = z.mean(0).clamp(limits.tiny, 1 - limits.eps)
        on, off = target * (math.log(target) - mean.log()), (1 - target) * (math.log1p(-target) - torch.log1p(-mean))
        return (self.part.weight * (on + off).sum()).expand(len(z))

    def _check(self, codec: Codec, z: Tensor) -> None:
        if self.fits:  # looking at values would make each step wait for the device
            return
        if isinstance(codec, DeepCodec):
            self.fits = isinstance(codec.code_activation, nn.Sigmoid)
        else:
            self.fits = bool(((z >= 0) & (z <= 1)).all())
        if not self.fits:
            raise UserError(
                "KLSparsity takes codes between 0 and 1, and this network's are not: give it a sigmoid, "
                'network=MLP(code_activation="sigmoid"), or take the penalty L1, which takes any code'
            )


@dataclass(frozen=True)
class KSparse(Penalty):
    """Keeps the k largest units of each code and sets the others to zero, before it is decoded; costs nothing.

    Attributes:
        k: how many units are kept; None keeps one in ten, rounded up.
        at_answers: how many times as many are kept outside of training. The paper's alpha: more than 1 can make
            better features for a classifier, and worse reconstructions.

    Reference: k-Sparse Autoencoders (Makhzani & Frey, 2014), arXiv:1312.5663, section 2
    """

    k: int | None = None
    at_answers: float = 1.0

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise ValueError(f"KSparse: k must be at least 1, got {self.k}")
        if not self.at_answers >= 1:
            raise ValueError(f"KSparse: at_answers must be at least 1, got {self.at_answers}")

    def build(self, x_shape: Shape, z_size: int) -> PenaltyTerm:
        """As `Penalty.build`; k may not exceed z_size."""
        k = math.ceil(z_size / 10) if self.k is None else self.k
        if k > z_size:
            raise ValueError(f"KSparse cannot keep {k} of a code's {z_size} units: lower k, or set z_size={10 * k}")
        return _KSparseTerm(k, min(z_size, round(self.at_answers * k)))


class _KSparseTerm(PenaltyTerm):
    def __init__(self, k: int, k_at_answers: int) -> None:
        super().__init__()
        self.k, self.k_at_answers = k, k_at_answers

    def bottleneck(self, z: Tensor) -> Tensor:
        largest = z.topk(self.k if self.training else self.k_at_answers, dim=1)
        return torch.zeros_like(z).scatter(1, largest.indices, largest.values)

    def forward(self, codec: Codec, x: Tensor, z: Tensor) -> Tensor:
        return _precise(z).new_zeros(len(z))


@dataclass(frozen=True)
class Contractive(Penalty):
    """weight * ||dz/dx||_F^2: the code moves little where rows move a little.

    Exact where the encoder is one dense layer with a sigmoid or a tanh. For any other a random projection v of unit
    covariance gives ||v^T dz/dx||^2, whose mean it is: one more pass back, whatever the size of the code.

    Attributes:
        weight: nats per (unit of the code / unit of x)^2.

    Reference: Contractive Auto-Encoders: Explicit Invariance During Feature Extraction (Rifai et al., 2011)
    """

    weight: float = 0.05

    def __post_init__(self) -> None:
        _check_positive(self, weight=self.weight)

    def build(self, x_shape: Shape, z_size: int) -> PenaltyTerm:
        """As `Penalty.build`; takes any network."""
        return _ContractiveTerm(self)


class _ContractiveTerm(PenaltyTerm):
    def __init__(self, part: Contractive) -> None:
        super().__init__()
        self.part = part

    def forward(self, codec: Codec, x: Tensor, z: Tensor) -> Tensor:
        match dense_code_layer(codec):
            case linear, "sigmoid":
                z = _precise(z)
                squares = _dense_jacobian(linear, z * (1 - z))
            case linear, "tanh":
                squares = _dense_jacobian(linear, 1 - _precise(z).square())
            case _:
                squares = _projected_jacobian(codec, x)
        return self.part.weight * squares


def _dense_jacobian(linear: nn.Linear, slope: Tensor) -> Tensor:
    """||J||_F^2 of each row (batch,), for slopes of the activation (batch, z_size): row j of J is slope_j w_j."""
    return (slope.square() * linear.weight.square().sum(1)).sum(1)


def _projected_jacobian(codec: Codec, x: Tensor) -> Tensor:
    """A draw (batch,) with mean ||J||_F^2: E (v^T J)(v^T J)^T = trace(J J^T E v v^T)."""
    learning = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        z = codec.encode(x)
        signs = (
            rng.integers(2, *z.shape, like=z).to(z.dtype) * 2 - 1
        )  # of all v with unit covariance those with the least spread
        (projected,) = torch.autograd.grad(z, x, signs, create_graph=learning)
    squares = _precise(projected).square().flatten(1).sum(1)
    return squares if learning else squares.detach()


@dataclass(frozen=True)
class StochasticContractive(Penalty):
    """weight * ||z(x) - z(x + noise)||^2: the contractive penalty by finite steps instead of a derivative.

    For small noise it is `Contractive` with weight * scale^2; for larger noise it also smooths over curvature.

    Attributes:
        weight: nats per squared unit of the code.
        scale: standard deviation of the Gaussian noise, in units of x as it stands inside a model.

    Reference: after Contractive Auto-Encoders: Explicit Invariance During Feature Extraction (Rifai et al., 2011)
    """

    weight: float = 0.5
    scale: float = 0.3

    def __post_init__(self) -> None:
        _check_positive(self, weight=self.weight, scale=self.scale)

    def build(self, x_shape: Shape, z_size: int) -> PenaltyTerm:
        """As `Penalty.build`; takes any network."""
        return _StochasticContractiveTerm(self)


class _StochasticContractiveTerm(PenaltyTerm):
    def __init__(self, part: StochasticContractive) -> None:
        super().__init__()
        self.part = part

    def forward(self, codec: Codec, x: Tensor, z: Tensor) -> Tensor:
        moved = codec.encode(x + self.part.scale * rng.normal_like(x))
        return self.part.weight * (_precise(z) - _precise(moved)).square().sum(1)


def _precise(value: Tensor) -> Tensor:
    """In float32 at least: networks may run in bfloat16, sums over a code may not."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value


def _check_positive(part: Penalty, **numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{type(part).__name__}: {name} must be positive, got {number}")
