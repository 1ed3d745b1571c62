"""Models: one file each, and no model imports another."""

from likely.models.autoencoder import Autoencoder
from likely.models.denoising_autoencoder import DenoisingAutoencoder
from likely.models.gated_pixel_cnn import GatedPixelCNN
from likely.models.gsn import GSN
from likely.models.ladder_vae import LadderVAE
from likely.models.made import MADE
from likely.models.nade import NADE
from likely.models.pca import PCA
from likely.models.pixel_cnn import PixelCNN
from likely.models.pixel_rnn import PixelRNN
from likely.models.ppca import PPCA
from likely.models.vae import VAE

__all__ = [
    "GSN",
    "MADE",
    "NADE",
    "PCA",
    "PPCA",
    "VAE",
    "Autoencoder",
    "DenoisingAutoencoder",
    "GatedPixelCNN",
    "LadderVAE",
    "PixelCNN",
    "PixelRNN",
]
