"""Every registered model, and a few that are not built yet, each tiny and with data it takes.

The laws of tests/laws/ run over these entries, and over each again with a condition where its model takes one. To add
a model, add a line.
"""

import functools
import inspect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from likely.adversarial import Hinge, LeastSquares, Relativistic, Wasserstein
from likely.boltzmann import ContrastiveDivergence, GaussianUnits, ParallelTempering
from likely.contract import Batch, ClosedFormFitted, Model
from likely.corruptions import Downsampling, Erasing, GaussianNoise
from likely.distortions import SSIM, CrossEntropy
from likely.flows import IAF, MAF, NICE, Glow, NeuralSpline, RealNVP, VariationalDequantization
from likely.likelihoods import (
    Bernoulli,
    Categorical,
    Columns,
    ContinuousBernoulli,
    DiscretizedLogisticMixture,
    Gaussian,
    GaussianMixture,
)
from likely.models import (
    DBN,
    GAN,
    GSN,
    MADE,
    NADE,
    PCA,
    PPCA,
    RBM,
    VAE,
    VAEGAN,
    AdversarialAutoencoder,
    Autoencoder,
    DenoisingAutoencoder,
    DequantizingFlow,
    Flow,
    FlowMatching,
    GatedPixelCNN,
    InfoGAN,
    LadderVAE,
    PixelCNN,
    PixelRNN,
)
from likely.networks import MLP, Convolutional, FullResolution, WhatWhere
from likely.networks.residual_mlp import ResidualMLP
from likely.networks.unet import UNet
from likely.penalties import Contractive, KSparse
from likely.variational import FlowPrior, FullNormal, InverseAutoregressive, NormalMixture, RingOfNormals, VampPrior
from tests.little_models import LittleAutoregressive, LittleGAN, LittleMixture

N_ROWS = 40


@dataclass(frozen=True)
class Entry:
    """How a tiny model, its data and their conditions are made: all float64, the same at every call."""

    make: Callable[[], Model]
    data: Callable[[], Tensor]
    registered: str | None = None
    conditions: Callable[[], Tensor] | None = None
    conditional: bool = True
    """False where its parts have no place for a condition, whatever its class says."""

    def model(self) -> Model:
        """A fresh model, in evaluation mode, with the same weights at every call; closed forms are solved."""
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = self.make().double()
        if isinstance(model, ClosedFormFitted):
            model.solve([Batch(self.x(), self.condition())])
        if self.conditions:
            model.remember_conditions(self.condition())
        return model.eval()

    def x(self) -> Tensor:
        """(N_ROWS, *x_shape)."""
        with torch.random.fork_rng():
            torch.manual_seed(2)
            return self.data().double()

    def condition(self) -> Tensor | None:
        """(N_ROWS, *condition_shape), or None."""
        if self.conditions is None:
            return None
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return self.conditions().double()

    def states(self, at_most: int = 4096) -> Tensor | None:
        """Whatever x can be: (n_states, *x_shape); None where that is more, or no end of it."""
        few = isinstance(self.data, Levels | Cells) and self.data.n_states() <= at_most
        return self.data.states().double() if few else None

    def kind(self) -> type[Model]:
        """The class of the model."""
        return _kind(self)

    def condition_on_classes(self) -> "Entry":
        """The same with a condition: one of three classes."""

        def make() -> Model:
            model = self.make()
            return awake(type(model)(**{**model.config(), "condition_shape": (3,)}))

        return Entry(make, self.data, self.registered, columns(3))


@functools.cache
def _kind(entry: Entry) -> type[Model]:
    return type(entry.make())


def real(*shape: int) -> Callable[[], Tensor]:
    def draw() -> Tensor:
        n = torch.Size(shape).numel()
        return 0.5 * (torch.randn(N_ROWS, n) @ torch.randn(n, n)).view(N_ROWS, *shape) / n**0.5 + 0.5

    return draw


@dataclass(frozen=True)
class Levels:
    """Whole levels 0 to n - 1 as k / (n - 1)."""

    n: int
    shape: tuple[int, ...]

    def __call__(self) -> Tensor:
        return torch.randint(self.n, (N_ROWS, *self.shape)).double() / (self.n - 1)

    def n_states(self) -> int:
        return self.n ** math.prod(self.shape)

    def states(self) -> Tensor:
        """(n_states, *shape)."""
        level = torch.arange(self.n).double() / (self.n - 1)
        return torch.cartesian_prod(*[level] * math.prod(self.shape)).view(-1, *self.shape)


def levels(n: int, *shape: int) -> Levels:
    return Levels(n, shape)


@dataclass(frozen=True)
class Cells:
    """Numbers where the width is 1, and one of so many categories where it is more."""

    widths: tuple[int, ...]

    def __call__(self) -> Tensor:
        return torch.cat(
            [torch.randn(N_ROWS, 1) if w == 1 else torch.eye(w)[torch.randint(w, (N_ROWS,))] for w in self.widths], 1
        )

    def n_states(self) -> float:
        return math.inf if 1 in self.widths else math.prod(self.widths)

    def states(self) -> Tensor:
        """(n_states, sum of widths)."""
        places = itertools.product(*[range(width) for width in self.widths])
        return torch.stack(
            [torch.cat([torch.eye(w)[k] for w, k in zip(self.widths, at, strict=True)]) for at in places]
        )


def columns(*widths: int) -> Cells:
    return Cells(widths)


def unit(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.rand(N_ROWS, *shape)


def wide(n: int) -> Callable[[], Tensor]:
    """Real numbers some of which lie where tails are."""
    return lambda: 4 * torch.randn(N_ROWS, n)


def awake(model: Model) -> Model:
    """With weights everywhere: bijections start as the identity, which many a mistake leaves as it is.

    The more numbers a weight adds up, the smaller it is: what wide layers say stays calm, and so do densities.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                n_added = parameter[0].numel() if parameter.ndim > 1 else 1
                parameter.normal_(0, min(0.15, 0.5 / n_added**0.5))
    return model


def livened(model: Model) -> Model:
    """With weights that matter, buffers too: an energy starts as good as flat."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith(("hidden_offset", "ones")):
                buffer.uniform_(0.2, 0.8)
    return model


SMALL = MLP((8,), activation="tanh")
ZOO: dict[str, Entry] = {
    "pca": Entry(lambda: PCA((5,), 2), real(5), "pca"),
    "pca-image": Entry(lambda: PCA((2, 4, 3), 3), real(2, 4, 3), "pca"),
    "ppca": Entry(lambda: PPCA((5,), 2), real(5), "ppca"),
    "ppca-full": Entry(lambda: PPCA((3,), 3), real(3), "ppca"),
    "autoencoder": Entry(lambda: Autoencoder((5,), 2), real(5), "autoencoder"),
    "autoencoder-bits": Entry(
        lambda: Autoencoder((1, 2, 2), 2, network=SMALL, distortion=Bernoulli()), levels(2, 1, 2, 2), "autoencoder"
    ),
    "autoencoder-convolutional": Entry(
        lambda: Autoencoder((3, 7, 5), 2, network=Convolutional((4, 6), hidden=8)), unit(3, 7, 5), "autoencoder"
    ),
    "autoencoder-tied": Entry(
        lambda: Autoencoder((2, 7), 2, network=Convolutional((4, 6), hidden=8, tied=True)), unit(2, 7), "autoencoder"
    ),
    "autoencoder-residual": Entry(
        lambda: Autoencoder((1, 6, 5), 2, network=Convolutional((4,), hidden=8, residual_blocks=1)),
        unit(1, 6, 5),
        "autoencoder",
    ),
    "autoencoder-what-where": Entry(
        lambda: Autoencoder((1, 6, 5), 2, network=WhatWhere((4, 6), hidden=8)), unit(1, 6, 5), "autoencoder"
    ),
    "autoencoder-full-resolution": Entry(
        lambda: Autoencoder((1, 5, 4), network=FullResolution(4, blocks=1)), unit(1, 5, 4), "autoencoder"
    ),
    "autoencoder-contractive": Entry(
        lambda: Autoencoder((5,), 4, network=MLP((), code_activation="sigmoid", tied=True), penalty=Contractive()),
        real(5),
        "autoencoder",
    ),
    "autoencoder-contractive-deep": Entry(
        lambda: Autoencoder((1, 3, 4), 2, network=SMALL, penalty=Contractive()), unit(1, 3, 4), "autoencoder"
    ),
    "autoencoder-k-sparse": Entry(
        lambda: Autoencoder((5,), 6, network=MLP((), tied=True), penalty=KSparse(2)), real(5), "autoencoder"
    ),
    "autoencoder-ssim": Entry(
        lambda: Autoencoder((2, 5, 6), 2, network=SMALL, distortion=SSIM()), unit(2, 5, 6), "autoencoder"
    ),
    "denoising": Entry(
        lambda: DenoisingAutoencoder((5,), 2, network=SMALL, corruption=GaussianNoise(0.3)),
        real(5),
        "denoising_autoencoder",
    ),
    "denoising-erased": Entry(
        lambda: DenoisingAutoencoder(
            (3, 7, 5), 2, network=Convolutional((4, 6), hidden=8), corruption=Erasing(0.3), distortion=CrossEntropy()
        ),
        unit(3, 7, 5),
        "denoising_autoencoder",
    ),
    "denoising-smaller": Entry(
        lambda: DenoisingAutoencoder((1, 5, 4), network=FullResolution(4, blocks=1), corruption=Downsampling(2)),
        unit(1, 5, 4),
        "denoising_autoencoder",
    ),
    "vae-bits": Entry(lambda: VAE((1, 2, 2), 2, network=SMALL, likelihood=Bernoulli()), levels(2, 1, 2, 2), "vae"),
    "vae-levels": Entry(lambda: VAE((1, 1, 2), 2, network=SMALL, likelihood=Categorical(4)), levels(4, 1, 1, 2), "vae"),
    "vae-logistics": Entry(
        lambda: VAE((1, 1, 2), 2, network=SMALL, likelihood=DiscretizedLogisticMixture(4, 2)), levels(4, 1, 1, 2), "vae"
    ),
    "vae-unit": Entry(lambda: VAE((3,), 2, network=SMALL, likelihood=ContinuousBernoulli()), unit(3), "vae"),
    "vae-real": Entry(lambda: VAE((5,), 2), real(5), "vae"),
    "vae-outliers": Entry(lambda: VAE((5,), 2, network=SMALL, likelihood=Gaussian(outliers=0.1)), real(5), "vae"),
    "vae-fixed-scale": Entry(lambda: VAE((5,), 2, network=SMALL, likelihood=Gaussian(scale=0.7)), real(5), "vae"),
    "vae-columns": Entry(
        lambda: VAE((7,), 2, network=SMALL, likelihood=Columns((1, 3, 1, 2))), columns(1, 3, 1, 2), "vae"
    ),
    "vae-categories": Entry(lambda: VAE((5,), 2, network=SMALL, likelihood=Columns((3, 2))), columns(3, 2), "vae"),
    "vae-mixture-of-normals": Entry(lambda: VAE((3,), 2, network=SMALL, likelihood=GaussianMixture(2)), real(3), "vae"),
    "ladder-columns": Entry(
        lambda: LadderVAE((7,), (2, 2), width=8, network=SMALL, likelihood=Columns((1, 3, 1, 2))),
        columns(1, 3, 1, 2),
        "ladder_vae",
    ),
    "vae-full": Entry(
        lambda: VAE((1, 2, 2), 2, network=SMALL, likelihood=Bernoulli(), posterior=FullNormal()),
        levels(2, 1, 2, 2),
        "vae",
    ),
    "vae-autoregressive": Entry(
        lambda: awake(
            VAE(
                (1, 2, 2),
                2,
                network=SMALL,
                likelihood=Bernoulli(),
                posterior=InverseAutoregressive(2, (6,), context_size=3),
            )
        ),
        levels(2, 1, 2, 2),
        "vae",
    ),
    "vae-mixture": Entry(
        lambda: VAE((1, 2, 2), 2, network=SMALL, likelihood=Bernoulli(), prior=NormalMixture(3)),
        levels(2, 1, 2, 2),
        "vae",
    ),
    "vae-vampprior": Entry(
        lambda: VAE((1, 2, 2), 2, network=SMALL, likelihood=Bernoulli(), prior=VampPrior(4)),
        levels(2, 1, 2, 2),
        "vae",
        conditional=False,
    ),
    "vae-vampprior-full": Entry(
        lambda: VAE((5,), 2, network=SMALL, posterior=FullNormal(), prior=VampPrior(4)),
        real(5),
        "vae",
        conditional=False,
    ),
    "vae-flow-prior": Entry(
        lambda: awake(
            VAE((1, 2, 2), 2, network=SMALL, likelihood=Bernoulli(), prior=FlowPrior(2, (6,))),
        ),
        levels(2, 1, 2, 2),
        "vae",
    ),
    "vae-convolutional": Entry(
        lambda: VAE((1, 7, 6), 2, network=Convolutional((4, 6), hidden=8)), real(1, 7, 6), "vae"
    ),
    "ladder-bits": Entry(
        lambda: LadderVAE((1, 2, 2), (1, 1), width=8, network=SMALL, likelihood=Bernoulli()),
        levels(2, 1, 2, 2),
        "ladder_vae",
    ),
    "ladder-real": Entry(lambda: LadderVAE((5,), (3, 2, 2), width=8, network=SMALL), real(5), "ladder_vae"),
    "made-bits": Entry(lambda: MADE((1, 2, 2), hidden=(9, 8), likelihood=Bernoulli()), levels(2, 1, 2, 2), "made"),
    "made-levels": Entry(
        lambda: MADE((1, 1, 2), hidden=(8,), dropout=0.2, likelihood=Categorical(4)), levels(4, 1, 1, 2), "made"
    ),
    "made-real": Entry(lambda: MADE((5,), hidden=(16, 16)), real(5), "made"),
    "made-linear-bits": Entry(lambda: MADE((1, 2, 2), hidden=(), likelihood=Bernoulli()), levels(2, 1, 2, 2), "made"),
    "made-orders": Entry(
        lambda: MADE((1, 2, 2), hidden=(9, 8), n_orders=3, likelihood=Bernoulli()), levels(2, 1, 2, 2), "made"
    ),
    "made-orders-apart": Entry(
        lambda: MADE((1, 2, 2), hidden=(9, 8), n_orders=3, shared=False, likelihood=Bernoulli()),
        levels(2, 1, 2, 2),
        "made",
    ),
    "nade-bits": Entry(lambda: NADE((1, 2, 2), 6, likelihood=Bernoulli()), levels(2, 1, 2, 2), "nade"),
    "nade-levels": Entry(lambda: NADE((1, 1, 2), 6, likelihood=Categorical(4)), levels(4, 1, 1, 2), "nade"),
    "nade-real": Entry(lambda: NADE((5,), 6, activation="relu"), real(5), "nade"),
    "pixel-rnn-bits": Entry(
        lambda: PixelRNN((1, 2, 2), channels=6, layers=2, likelihood=Bernoulli()), levels(2, 1, 2, 2), "pixel_rnn"
    ),
    "pixel-rnn-row-bits": Entry(
        lambda: PixelRNN((1, 2, 2), recurrence="row", channels=6, layers=2, likelihood=Bernoulli()),
        levels(2, 1, 2, 2),
        "pixel_rnn",
    ),
    "pixel-rnn-levels": Entry(
        lambda: PixelRNN((1, 1, 2), channels=6, likelihood=Categorical(4)), levels(4, 1, 1, 2), "pixel_rnn"
    ),
    "pixel-rnn-colors": Entry(lambda: PixelRNN((3, 3, 5), channels=6, layers=1), real(3, 3, 5), "pixel_rnn"),
    "pixel-rnn-row-signal": Entry(
        lambda: PixelRNN((2, 4), recurrence="row", channels=6, layers=1), real(2, 4), "pixel_rnn"
    ),
    "pixel-cnn-bits": Entry(
        lambda: awake(PixelCNN((1, 2, 2), channels=6, blocks=2, first_kernel=3, likelihood=Bernoulli())),
        levels(2, 1, 2, 2),
        "pixel_cnn",
    ),
    "pixel-cnn-levels": Entry(
        lambda: awake(PixelCNN((1, 1, 2), channels=6, blocks=1, likelihood=Categorical(4))),
        levels(4, 1, 1, 2),
        "pixel_cnn",
    ),
    "pixel-cnn-colors": Entry(
        lambda: awake(PixelCNN((3, 3, 5), channels=6, blocks=1, dropout=0.2, likelihood=Categorical(5))),
        levels(5, 3, 3, 5),
        "pixel_cnn",
    ),
    "pixel-cnn-signal": Entry(
        lambda: awake(PixelCNN((2, 7), channels=6, blocks=3, first_kernel=3)), real(2, 7), "pixel_cnn"
    ),
    "gated-pixel-cnn-bits": Entry(
        lambda: awake(GatedPixelCNN((1, 2, 2), channels=6, layers=2, first_kernel=3, likelihood=Bernoulli())),
        levels(2, 1, 2, 2),
        "gated_pixel_cnn",
    ),
    "gated-pixel-cnn-levels": Entry(
        lambda: awake(GatedPixelCNN((1, 1, 2), channels=6, layers=1, likelihood=Categorical(4))),
        levels(4, 1, 1, 2),
        "gated_pixel_cnn",
    ),
    "gated-pixel-cnn-colors": Entry(
        lambda: awake(GatedPixelCNN((3, 3, 4), channels=6, layers=1, dropout=0.2)),
        real(3, 3, 4),
        "gated_pixel_cnn",
    ),
    "gated-pixel-cnn-signal": Entry(
        lambda: awake(GatedPixelCNN((1, 9), channels=6, layers=3, kernel=5, first_kernel=3, likelihood=Categorical(3))),
        levels(3, 1, 9),
        "gated_pixel_cnn",
    ),
    "flow-matching": Entry(
        lambda: awake(FlowMatching((4,), network=ResidualMLP(8, 2), guidance_steps=6)), real(4), "flow_matching"
    ),
    "flow-matching-hutchinson": Entry(
        lambda: awake(
            FlowMatching(
                (2, 5), network=ResidualMLP(8, 1), tolerance=1e-2, steps=3, guidance_steps=6, max_exact_trace=9
            )
        ),
        real(2, 5),
        "flow_matching",
    ),
    "flow-matching-image": Entry(
        lambda: awake(
            FlowMatching((1, 5, 4), network=UNet((4, 6)), tolerance=1e-2, guidance_steps=6, max_exact_trace=9)
        ),
        real(1, 5, 4),
        "flow_matching",
    ),
    "gsn-bits": Entry(
        lambda: GSN((1, 2, 2), 4, network=SMALL, walkback=2, burn_in=5, likelihood=Bernoulli()),
        levels(2, 1, 2, 2),
        "gsn",
    ),
    "gsn-real": Entry(lambda: GSN((5,), burn_in=3), real(5), "gsn"),
    "gsn-columns": Entry(
        lambda: GSN((7,), 4, network=SMALL, walkback=3, burn_in=3, likelihood=Columns((1, 3, 1, 2))),
        columns(1, 3, 1, 2),
        "gsn",
    ),
    "flow": Entry(lambda: awake(Flow((4,), design=NeuralSpline(2, (12,), 4, 6))), wide(4), "flow"),
    "flow-coupling": Entry(lambda: awake(Flow((5,), design=NeuralSpline(2, (8,), 4, 6, True))), wide(5), "flow"),
    "flow-nice": Entry(lambda: awake(Flow((5,), design=NICE(3, (8,)))), real(5), "flow"),
    "flow-real-nvp": Entry(lambda: awake(Flow((5,), design=RealNVP(3, (8,), 0.1))), real(5), "flow"),
    "flow-maf": Entry(lambda: awake(Flow((4,), design=MAF(2, (12,)))), real(4), "flow"),
    "flow-iaf": Entry(lambda: awake(Flow((4,), design=IAF(2, (12,)))), real(4), "flow"),
    "flow-one": Entry(lambda: awake(Flow((1,), design=NeuralSpline(1, (8,), 4, 6))), wide(1), "flow"),
    "flow-unit": Entry(
        lambda: awake(Flow((3,), design=NeuralSpline(1, (8,), 4, 6), bounds=(0.0, 1.0))), unit(3), "flow"
    ),
    "flow-glow": Entry(lambda: awake(Flow((2, 4, 3), design=Glow(2, 4))), real(2, 4, 3), "flow"),
    "flow-glow-signal": Entry(lambda: awake(Flow((1, 6), design=Glow(2, 4), bounds=(0.0, 1.0))), unit(1, 6), "flow"),
    "flow-real-nvp-image": Entry(lambda: awake(Flow((1, 4, 2), design=RealNVP(2))), real(1, 4, 2), "flow"),
    "dequantizing-levels": Entry(
        lambda: awake(DequantizingFlow((1, 1, 2), levels=4, design=Glow(2, 4))), levels(4, 1, 1, 2), "dequantizing_flow"
    ),
    "dequantizing-variational": Entry(
        lambda: awake(
            DequantizingFlow(
                (1, 1, 2), levels=4, design=Glow(2, 4), dequantization=VariationalDequantization(layers=2, width=4)
            )
        ),
        levels(4, 1, 1, 2),
        "dequantizing_flow",
    ),
    "dequantizing-vector": Entry(
        lambda: awake(
            DequantizingFlow(
                (3,), levels=5, design=RealNVP(2, (8,)), dequantization=VariationalDequantization(layers=2, width=6)
            )
        ),
        levels(5, 3),
        "dequantizing_flow",
    ),
    "aae": Entry(lambda: AdversarialAutoencoder((5,), 2, width=8), real(5), "aae"),
    "aae-bits": Entry(
        lambda: AdversarialAutoencoder(
            (1, 2, 2), 2, network=SMALL, likelihood=Bernoulli(), prior=RingOfNormals(4), game=Hinge(), width=8
        ),
        levels(2, 1, 2, 2),
        "aae",
    ),
    "gan": Entry(lambda: GAN((2,), 3, width=8), real(2), "gan"),
    "gan-pixels": Entry(lambda: GAN((1, 4, 4), 3, width=8, game=Hinge(), bounds=(0.0, 1.0)), levels(5, 1, 4, 4), "gan"),
    "gan-relativistic": Entry(lambda: GAN((2,), 3, width=8, game=Relativistic()), real(2), "gan"),
    "gan-least-squares": Entry(lambda: GAN((2,), 3, width=8, game=LeastSquares()), real(2), "gan"),
    "gan-convolutional": Entry(
        lambda: GAN((2, 16, 17), 3, width=2, game=Wasserstein(), bounds=(0.0, 1.0)), unit(2, 16, 17), "gan"
    ),
    "gan-residual": Entry(
        lambda: GAN((3, 49, 48), 3, width=2, game=Hinge(), bounds=(0.0, 1.0)), unit(3, 49, 48), "gan"
    ),
    "info-gan": Entry(
        lambda: InfoGAN((3,), categories=(3, 2), n_continuous=1, noise_size=2, width=8), real(3), "info_gan"
    ),
    "vae-gan": Entry(lambda: VAEGAN((5,), 2, width=8), real(5), "vae_gan"),
    "vae-gan-image": Entry(
        lambda: VAEGAN((2, 17, 16), 2, width=4, bounds=(0.0, 1.0)),
        unit(2, 17, 16),
        "vae_gan",
    ),
    "little-autoregressive": Entry(lambda: LittleAutoregressive((1, 2, 2)), levels(2, 1, 2, 2)),
    "little-gan": Entry(lambda: LittleGAN((2,)), real(2)),
    "little-mixture": Entry(lambda: LittleMixture((3,)), real(3)),
    "rbm-bits": Entry(lambda: livened(RBM((1, 2, 2), 5, burn_in=30)), levels(2, 1, 2, 2), "rbm"),
    "rbm-divergence": Entry(
        lambda: livened(RBM((1, 2, 2), 5, learning=ContrastiveDivergence(2), burn_in=30)), levels(2, 1, 2, 2), "rbm"
    ),
    "rbm-tempered": Entry(
        lambda: livened(RBM((4,), 5, learning=ParallelTempering(3, 6), burn_in=30)), levels(2, 4), "rbm"
    ),
    "dbn-bits": Entry(lambda: livened(DBN((1, 2, 2), (3, 5), burn_in=30)), levels(2, 1, 2, 2), "dbn"),
    "dbn-real": Entry(lambda: livened(DBN((5,), (4, 3, 4), visible=GaussianUnits(), burn_in=30)), real(5), "dbn"),
    "rbm-real": Entry(lambda: livened(RBM((5,), 6, visible=GaussianUnits(), burn_in=30)), real(5), "rbm"),
}


CONDITIONAL = {
    f"{name}-conditional": entry.condition_on_classes()
    for name, entry in ZOO.items()
    if entry.conditional and "condition_shape" in inspect.signature(entry.kind()).parameters
}
"""Every entry of the zoo whose model takes conditions, with one."""
EVERY = ZOO | CONDITIONAL


def with_capability(*capabilities: type, of: dict[str, Entry] = ZOO) -> list[str]:
    """Names of the entries whose model has all of these."""
    return [name for name, entry in of.items() if all(issubclass(entry.kind(), each) for each in capabilities)]


def sorted_by_class(n_classes: int = 10, per_class: int = 500, n: int = 4) -> tuple[Tensor, Tensor]:
    """Rows in the order of their classes, as a folder of sub-folders gives them: the first of them are of one class.

    Class k is a normal around k in every value, so that a row tells its class.

    Returns:
        x (n_classes * per_class, n) and the classes as one-hot rows (n_classes * per_class, n_classes).
    """
    noise = torch.randn(n_classes * per_class, n, generator=torch.Generator().manual_seed(4))
    classes = torch.arange(n_classes).repeat_interleave(per_class)
    return classes[:, None] + 0.1 * noise, torch.eye(n_classes)[classes]
