"""Models: one file each, and no model imports another."""

from likely.models.adversarial_autoencoder import AdversarialAutoencoder
from likely.models.autoencoder import Autoencoder
from likely.models.dbn import DBN
from likely.models.denoising_autoencoder import DenoisingAutoencoder
from likely.models.dequantizing_flow import DequantizingFlow
from likely.models.flow import Flow
from likely.models.flow_matching import FlowMatching
from likely.models.gan import GAN
from likely.models.gated_pixel_cnn import GatedPixelCNN
from likely.models.gsn import GSN
from likely.models.info_gan import InfoGAN
from likely.models.ladder_vae import LadderVAE
from likely.models.made import MADE
from likely.models.nade import NADE
from likely.models.pca import PCA
from likely.models.pixel_cnn import PixelCNN
from likely.models.pixel_rnn import PixelRNN
from likely.models.ppca import PPCA
from likely.models.rbm import RBM
from likely.models.vae import VAE
from likely.models.vae_gan import VAEGAN

__all__ = [
    "DBN",
    "GAN",
    "GSN",
    "MADE",
    "NADE",
    "PCA",
    "PPCA",
    "RBM",
    "VAE",
    "VAEGAN",
    "AdversarialAutoencoder",
    "Autoencoder",
    "DenoisingAutoencoder",
    "DequantizingFlow",
    "Flow",
    "FlowMatching",
    "GatedPixelCNN",
    "InfoGAN",
    "LadderVAE",
    "PixelCNN",
    "PixelRNN",
]
