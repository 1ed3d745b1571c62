"""Names of the literature that are a model with some of its arguments."""

from collections.abc import Mapping
from typing import NamedTuple


class Preset(NamedTuple):
    """A model, and what is set of it as the command line would, so that nothing is imported to say it."""

    model: str
    settings: Mapping[str, str]
    reference: str

    @property
    def as_set(self) -> str:
        """In the words of the command line."""
        return " ".join([self.model, *(f"--set {name}={_quoted(value)}" for name, value in self.settings.items())])


def _quoted(text: str) -> str:
    return f'"{text}"' if "(" in text else text


PRESETS: dict[str, Preset] = {
    "deep-autoencoder": Preset(
        "autoencoder",
        {"z_size": "30", "network": "MLP(hidden=(1000, 500, 250))"},
        "Reducing the Dimensionality of Data with Neural Networks (Hinton & Salakhutdinov, Science 2006)",
    ),
    "convolutional-autoencoder": Preset(
        "autoencoder",
        {"network": "Convolutional()"},
        "Stacked Convolutional Auto-Encoders for Hierarchical Feature Extraction (Masci et al., ICANN 2011)",
    ),
    "residual-autoencoder": Preset(
        "autoencoder",
        {"network": "Convolutional(residual_blocks=2)"},
        "Deep Residual Learning for Image Recognition (He et al., CVPR 2016)",
    ),
    "what-where-autoencoder": Preset(
        "autoencoder", {"network": "WhatWhere()"}, "Stacked What-Where Auto-encoders (Zhao et al., 2016)"
    ),
    "tied-autoencoder": Preset(
        "autoencoder",
        {"network": "MLP(tied=True)"},
        "Learning Deep Architectures for AI (Bengio, 2009), section 4.6",
    ),
    "sparse-autoencoder": Preset(
        "autoencoder",
        {
            "z_size": "256",
            "network": "MLP(hidden=(256,), code_activation='sigmoid', tied=True)",
            "penalty": "KLSparsity()",
        },
        "Sparse autoencoder (Ng, lecture notes of CS294A, 2011)",
    ),
    "k-sparse-autoencoder": Preset(
        "autoencoder",
        {"z_size": "256", "network": "MLP(hidden=(), tied=True)", "penalty": "KSparse()"},
        "k-Sparse Autoencoders (Makhzani & Frey, ICLR 2014)",
    ),
    "contractive-autoencoder": Preset(
        "autoencoder",
        {
            "z_size": "256",
            "network": "MLP(hidden=(), code_activation='sigmoid', tied=True)",
            "penalty": "Contractive()",
        },
        "Contractive Auto-Encoders: Explicit Invariance During Feature Extraction (Rifai et al., ICML 2011)",
    ),
    "stochastic-contractive-autoencoder": Preset(
        "autoencoder",
        {
            "z_size": "256",
            "network": "MLP(hidden=(), code_activation='sigmoid', tied=True)",
            "penalty": "StochasticContractive()",
        },
        "after Contractive Auto-Encoders (Rifai et al., ICML 2011): noise in place of the derivative",
    ),
    "ssim-autoencoder": Preset(
        "autoencoder",
        {"distortion": "SSIM()"},
        "Improving Unsupervised Defect Segmentation by Applying Structural Similarity to Autoencoders "
        "(Bergmann et al., VISAPP 2019)",
    ),
    "stacked-autoencoder": Preset(
        "autoencoder",
        {"network": "MLP(hidden=(256, 128, 64))", "pretraining": "Greedy()"},
        "Greedy Layer-Wise Training of Deep Networks (Bengio et al., NeurIPS 2006)",
    ),
    "stacked-denoising-autoencoder": Preset(
        "autoencoder",
        {
            "network": "MLP(hidden=(256, 128, 64))",
            "pretraining": "Greedy(corruption=ZeroMasking(probability=0.25))",
        },
        "Stacked Denoising Autoencoders (Vincent et al., JMLR 2010)",
    ),
    "masked-autoencoder": Preset(
        "denoising_autoencoder",
        {"corruption": "Erasing(probability=0.75)"},
        "after Masked Autoencoders Are Scalable Vision Learners (He et al., CVPR 2022): values in place of patches",
    ),
    "super-resolution-autoencoder": Preset(
        "denoising_autoencoder",
        {"corruption": "Downsampling(factor=2)", "network": "FullResolution()"},
        "Image Super-Resolution Using Deep Convolutional Networks (Dong et al., 2014), arXiv:1501.00092",
    ),
    "beta-vae": Preset("vae", {"beta": "4.0"}, "beta-VAE: Learning Basic Visual Concepts (Higgins et al., ICLR 2017)"),
    "tc-vae": Preset(
        "vae",
        {"bound": "ELBO(total_correlation=5.0)"},
        "Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., NeurIPS 2018)",
    ),
    "iwae": Preset(
        "vae",
        {"bound": "ImportanceWeighted(n_samples=5)"},
        "Importance Weighted Autoencoders (Burda et al., ICLR 2016)",
    ),
    "full-covariance-vae": Preset(
        "vae",
        {"posterior": "FullNormal()"},
        "An Introduction to Variational Autoencoders (Kingma & Welling, 2019), section 2.5.1",
    ),
    "iaf-vae": Preset(
        "vae",
        {"posterior": "InverseAutoregressive()"},
        "Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., NeurIPS 2016)",
    ),
    "vampprior-vae": Preset("vae", {"prior": "VampPrior()"}, "VAE with a VampPrior (Tomczak & Welling, AISTATS 2018)"),
    "mixture-vae": Preset(
        "vae",
        {"prior": "NormalMixture()"},
        "Approximate Inference for Deep Latent Gaussian Mixtures (Nalisnick et al., 2016)",
    ),
    "flow-prior-vae": Preset(
        "vae", {"prior": "FlowPrior()"}, "Variational Lossy Autoencoder (Chen et al., ICLR 2017), section 3.2"
    ),
    "generalized-denoising-autoencoder": Preset(
        "gsn",
        {"walkback": "1"},
        "Generalized Denoising Auto-Encoders as Generative Models (Bengio et al., NeurIPS 2013), arXiv:1305.6663",
    ),
    "fvsbn": Preset(
        "made",
        {"hidden": "()"},
        "Graphical Models for Machine Learning and Digital Communication (Frey, 1998); Learning Deep Sigmoid Belief "
        "Networks with Data Augmentation (Gan et al., AISTATS 2015)",
    ),
    "made-orders": Preset(
        "made",
        {"n_orders": "32", "dropout": "0.0"},
        "MADE: Masked Autoencoder for Distribution Estimation (Germain et al., ICML 2015), section 4.1; "
        "A Deep and Tractable Density Estimator (Uria et al., ICML 2014)",
    ),
    "row-lstm": Preset(
        "pixel_rnn",
        {"recurrence": "row"},
        "Pixel Recurrent Neural Networks (van den Oord et al., ICML 2016), section 3.1",
    ),
    "nice": Preset(
        "flow",
        {"design": "NICE()"},
        "NICE: Non-linear Independent Components Estimation (Dinh et al., ICLR 2015 workshop)",
    ),
    "real-nvp": Preset("flow", {"design": "RealNVP()"}, "Density estimation using Real NVP (Dinh et al., ICLR 2017)"),
    "maf": Preset(
        "flow",
        {"design": "MAF()"},
        "Masked Autoregressive Flow for Density Estimation (Papamakarios et al., NeurIPS 2017)",
    ),
    "iaf": Preset(
        "flow",
        {"design": "IAF()"},
        "Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., NeurIPS 2016)",
    ),
    "glow": Preset(
        "flow",
        {"design": "Glow()"},
        "Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, NeurIPS 2018)",
    ),
    "neural-spline-flow": Preset(
        "flow", {"design": "NeuralSpline(coupling=True)"}, "Neural Spline Flows (Durkan et al., NeurIPS 2019)"
    ),
    "lsgan": Preset(
        "gan",
        {"game": "LeastSquares()"},
        "Least Squares Generative Adversarial Networks (Mao et al., ICCV 2017)",
    ),
    "rpgan": Preset(
        "gan",
        {"game": "Relativistic()"},
        "The relativistic discriminator: a key element missing from standard GAN (Jolicoeur-Martineau, ICLR 2019); The "
        "GAN is dead; long live the GAN! A Modern GAN Baseline (Huang et al., NeurIPS 2024)",
    ),
    "wgan-gp": Preset(
        "gan",
        {"game": "Wasserstein()"},
        "Improved Training of Wasserstein GANs (Gulrajani et al., NeurIPS 2017)",
    ),
    "sngan": Preset(
        "gan",
        {"game": "Hinge()"},
        "Spectral Normalization for Generative Adversarial Networks (Miyato et al., ICLR 2018)",
    ),
}
"""Every preset by name."""
