"""Names and what they stand for: plain dicts of import strings. A name is imported when it is asked for."""

import difflib
import importlib
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from likely.errors import UnknownName
from likely.registry.presets import PRESETS

if TYPE_CHECKING:
    from likely.contract import Model

MODELS: dict[str, str | type] = {
    "pca": "likely.models.pca:PCA",
    "ppca": "likely.models.ppca:PPCA",
    "autoencoder": "likely.models.autoencoder:Autoencoder",
    "denoising_autoencoder": "likely.models.denoising_autoencoder:DenoisingAutoencoder",
    "vae": "likely.models.vae:VAE",
    "ladder_vae": "likely.models.ladder_vae:LadderVAE",
    "made": "likely.models.made:MADE",
    "nade": "likely.models.nade:NADE",
    "pixel_rnn": "likely.models.pixel_rnn:PixelRNN",
    "pixel_cnn": "likely.models.pixel_cnn:PixelCNN",
    "gated_pixel_cnn": "likely.models.gated_pixel_cnn:GatedPixelCNN",
    "flow": "likely.models.flow:Flow",
    "dequantizing_flow": "likely.models.dequantizing_flow:DequantizingFlow",
    "flow_matching": "likely.models.flow_matching:FlowMatching",
    "gan": "likely.models.gan:GAN",
    "info_gan": "likely.models.info_gan:InfoGAN",
    "aae": "likely.models.adversarial_autoencoder:AdversarialAutoencoder",
    "vae_gan": "likely.models.vae_gan:VAEGAN",
    "rbm": "likely.models.rbm:RBM",
    "dbn": "likely.models.dbn:DBN",
    "gsn": "likely.models.gsn:GSN",
}
"""Every model by name: where its class is found, or the class itself where `register` was given one."""

PARTS: dict[str, str | type] = {
    "MLP": "likely.networks.mlp:MLP",
    "Convolutional": "likely.networks.convolutional:Convolutional",
    "WhatWhere": "likely.networks.what_where:WhatWhere",
    "FullResolution": "likely.networks.full_resolution:FullResolution",
    "ResidualMLP": "likely.networks.residual_mlp:ResidualMLP",
    "UNet": "likely.networks.unet:UNet",
    "Greedy": "likely.pretraining:Greedy",
    "Bernoulli": "likely.likelihoods.bits:Bernoulli",
    "ContinuousBernoulli": "likely.likelihoods.bits:ContinuousBernoulli",
    "Gaussian": "likely.likelihoods.reals:Gaussian",
    "GaussianMixture": "likely.likelihoods.mixtures:GaussianMixture",
    "Categorical": "likely.likelihoods.levels:Categorical",
    "DiscretizedLogisticMixture": "likely.likelihoods.levels:DiscretizedLogisticMixture",
    "Columns": "likely.likelihoods.columns:Columns",
    "CrossEntropy": "likely.distortions:CrossEntropy",
    "SSIM": "likely.distortions:SSIM",
    "L1": "likely.penalties:L1",
    "KLSparsity": "likely.penalties:KLSparsity",
    "KSparse": "likely.penalties:KSparse",
    "Contractive": "likely.penalties:Contractive",
    "StochasticContractive": "likely.penalties:StochasticContractive",
    "DiagonalNormal": "likely.variational.posteriors:DiagonalNormal",
    "FullNormal": "likely.variational.posteriors:FullNormal",
    "InverseAutoregressive": "likely.variational.posteriors:InverseAutoregressive",
    "StandardNormal": "likely.variational.priors:StandardNormal",
    "NormalMixture": "likely.variational.priors:NormalMixture",
    "VampPrior": "likely.variational.priors:VampPrior",
    "FlowPrior": "likely.variational.priors:FlowPrior",
    "NICE": "likely.flows.vectors:NICE",
    "RealNVP": "likely.flows.vectors:RealNVP",
    "MAF": "likely.flows.vectors:MAF",
    "IAF": "likely.flows.vectors:IAF",
    "NeuralSpline": "likely.flows.vectors:NeuralSpline",
    "Glow": "likely.flows.images:Glow",
    "UniformDequantization": "likely.flows.dequantization:UniformDequantization",
    "VariationalDequantization": "likely.flows.dequantization:VariationalDequantization",
    "RingOfNormals": "likely.variational.shaped_priors:RingOfNormals",
    "SwissRoll": "likely.variational.shaped_priors:SwissRoll",
    "NonSaturating": "likely.adversarial.games:NonSaturating",
    "Relativistic": "likely.adversarial.games:Relativistic",
    "LeastSquares": "likely.adversarial.games:LeastSquares",
    "Wasserstein": "likely.adversarial.games:Wasserstein",
    "Hinge": "likely.adversarial.games:Hinge",
    "ELBO": "likely.variational.bounds:ELBO",
    "ImportanceWeighted": "likely.variational.bounds:ImportanceWeighted",
    "LinearWarmUp": "likely.variational.bounds:LinearWarmUp",
    "CyclicalWarmUp": "likely.variational.bounds:CyclicalWarmUp",
    "BernoulliUnits": "likely.boltzmann.units:BernoulliUnits",
    "GaussianUnits": "likely.boltzmann.units:GaussianUnits",
    "ContrastiveDivergence": "likely.boltzmann.negative:ContrastiveDivergence",
    "PersistentChains": "likely.boltzmann.negative:PersistentChains",
    "ParallelTempering": "likely.boltzmann.negative:ParallelTempering",
    "GaussianNoise": "likely.corruptions.noise:GaussianNoise",
    "ZeroMasking": "likely.corruptions.noise:ZeroMasking",
    "SaltAndPepper": "likely.corruptions.noise:SaltAndPepper",
    "Erasing": "likely.corruptions.losses:Erasing",
    "Downsampling": "likely.corruptions.losses:Downsampling",
    "Grayscale": "likely.corruptions.losses:Grayscale",
    "Truncation": "likely.corruptions.losses:Truncation",
    "Affine": "likely.data.augmentation:Affine",
    "Elastic": "likely.data.augmentation:Elastic",
    "Warp": "likely.data.augmentation:Warp",
    "Shift": "likely.data.augmentation:Shift",
    "Flips": "likely.data.augmentation:Flips",
    "QuarterTurns": "likely.data.augmentation:QuarterTurns",
}
"""Every part that a model's arguments or an augmentation can be: frozen dataclasses, under their class names."""


def model_class(name: str) -> "type[Model]":
    """The class of a model, imported now. Raises UnknownName, which tells the nearest names."""
    if name not in MODELS:
        raise unknown("model", name, [*MODELS, *PRESETS], "`likely models` lists all, likely.register adds your own")
    return _imported(MODELS[name])


def part_class(name: str) -> type:
    """The class of a part, imported now. Raises UnknownName, which tells the nearest names."""
    if name not in PARTS:
        raise unknown("part", name, PARTS, "likely.registry.PARTS lists all, likely.register adds your own")
    return _imported(PARTS[name])


def _imported(entry: str | type) -> type[Any]:
    if isinstance(entry, type):
        return entry
    module, _, name = entry.partition(":")
    cls: type[Any] = getattr(importlib.import_module(module), name)
    return cls


def is_class(entry: str | type, cls: type) -> bool:
    """Whether an entry means this class; a class defined anew (a notebook cell run twice) is still itself."""
    known = entry if isinstance(entry, str) else f"{entry.__module__}:{entry.__qualname__}"
    return known == f"{cls.__module__}:{cls.__qualname__}"


def unknown(kind: str, name: str, known: Iterable[str], mend: str) -> UnknownName:
    """The error to raise for a name that is not among the known ones: it tells up to three that are near."""
    folded = {each.lower(): each for each in known}
    near = [folded[match] for match in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)]
    nearest = f"; nearest: {', '.join(near)}" if near else ""
    return UnknownName(f"unknown {kind} {reprlib.repr(name)}{nearest}; {mend}")
