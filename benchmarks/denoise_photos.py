"""Gaussian noise of 25 gray levels on BSD68, by a denoising autoencoder trained on 400 other photographs.

Published, mean PSNR over the 68 images: BM3D 28.57, DnCNN-S 29.23 (Zhang et al., 2017). Protocol: noise from a fixed
seed, not clipped; restored images rounded to 8 bits; PSNR per image, then the mean. `--recipe gpu` is the one that
needs a GPU; the default one is for two cores.
"""

from pathlib import Path

import numpy as np
from PIL import Image

import likely
from benchmarks.data import find, parser, say
from likely.corruptions import GaussianNoise
from likely.evaluation import psnr
from likely.networks import FullResolution

SIGMA = 25.0
RECIPES = {
    "cpu": {"network": FullResolution(channels=48, blocks=3), "batch_size": 10, "seconds": 2400.0},
    "gpu": {"network": FullResolution(channels=96, blocks=8), "batch_size": 64, "seconds": 1200.0},
}


def photographs(folder: Path) -> list[np.ndarray]:
    """Every image of a folder, (h, w) uint8."""
    return [np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def restored_psnr(fitted: likely.Fitted, images: list[np.ndarray]) -> tuple[list[float], list[float]]:
    """PSNR of each noisy and of each restored image, in dB."""
    generator = np.random.default_rng(0)
    before, after = [], []
    for image in images:
        noisy = image + generator.normal(0, SIGMA, image.shape)
        restored = np.asarray(fitted.restore(noisy[None]))[0].round().clip(0, 255)
        for figures, guess in ((before, noisy), (after, restored)):
            figures.append(float(psnr(image[None].astype(float), guess[None], data_range=255)[0]))
    return before, after


def main() -> None:
    """One line."""
    arguments = parser(__doc__)
    arguments.add_argument("--recipe", choices=RECIPES, default="cpu")
    arguments.add_argument("--seconds", type=float, help="of training, instead of the recipe's")
    given = arguments.parse_args()
    recipe = RECIPES[given.recipe]
    photos = find(given.data, "photos")
    fitted = likely.fit(
        "denoising_autoencoder",
        photos / "train",
        patch=(64, 64),
        augment="quarter-turns",
        corruption=GaussianNoise(SIGMA / 255),
        network=recipe["network"],
        train=likely.TrainConfig(
            time_limit=given.seconds or recipe["seconds"],
            batch_size=recipe["batch_size"],
            learning_rate=2e-3,
            patience=None,
            precision="bfloat16",
        ),
        calibrate="none",
        test=0.0,
    )
    before, after = restored_psnr(fitted, photographs(photos / "bsd68"))
    say(
        benchmark="denoise photos",
        recipe=given.recipe,
        parameters=sum(parameter.numel() for parameter in fitted.model.parameters()),
        seconds=round(fitted.history.seconds),
        steps=fitted.history.total_steps,
        precision=fitted.history.precision,
        images=len(after),
        noisy_psnr=float(np.mean(before)),
        restored_psnr=float(np.mean(after)),
        standard_error=float(np.std(after) / len(after) ** 0.5),
    )


if __name__ == "__main__":
    main()
