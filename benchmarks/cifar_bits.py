"""Bits per dimension of CIFAR-10-JPEG test images, exact, beside what PNG and lossless WebP need for the same images.

The images are JPEGs of CIFAR-10's, decoded: smoother than the originals, so nothing here compares with figures on
CIFAR-10. Files of one image carry a header each; a sheet of all images carries one, and tells a codec more.
"""

import io
import math

import numpy as np
from PIL import Image

import likely
from benchmarks.data import find, parser, say
from likely.data import open_source
from likely.evaluation import bits_per_dim, mean_with_error
from likely.registry import Spec
from likely.training import TrainConfig

CASES = {"pixel_cnn": Spec("pixel_cnn"), "gated_pixel_cnn": Spec("gated_pixel_cnn")}
RECIPES = {
    "cpu": {"time_limit": 3600.0, "batch_size": 32},
    "gpu": {"time_limit": 900.0, "batch_size": 128, "device": "cuda"},
}
CODECS = {"PNG": {"format": "PNG", "optimize": True}, "WebP": {"format": "WEBP", "lossless": True, "quality": 100}}


def main() -> None:
    """The codecs, then one case."""
    arguments = parser(__doc__)
    arguments.add_argument("case", choices=CASES)
    arguments.add_argument("--recipe", choices=RECIPES, default="cpu")
    arguments.add_argument("--seconds", type=float, help="of training, instead of the recipe's length")
    arguments.add_argument("--rows", type=int, default=2_000, help="test images")
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    folder = find(given.data, "cifar10")
    images = np.asarray(open_source(folder / "test").read(np.arange(2_000)))[: given.rows]
    for name, settings in CODECS.items():
        one_by_one = sum(size(image, settings) for image in images)
        say(
            benchmark="CIFAR-10-JPEG bits",
            codec=name,
            bits_per_dim=round(8 * one_by_one / images.size, 3),
            as_one_sheet=round(8 * size(sheet(images), settings) / images.size, 3),
        )
    settings = RECIPES[given.recipe] | ({"time_limit": given.seconds} if given.seconds else {})
    config = TrainConfig(patience=None, precision="bfloat16", seed=given.seed, **settings)
    fitted = likely.fit(CASES[given.case], folder / "train", train=config, calibrate="none", test=0.0)
    bits = mean_with_error(bits_per_dim(fitted.log_prob(images), images[0].size))
    say(
        benchmark="CIFAR-10-JPEG bits",
        case=given.case,
        bits_per_dim=round(bits.mean, 3),
        standard_error=round(bits.error, 3),
        kind=fitted.density_mark,
        seconds=round(fitted.history.seconds),
        steps=fitted.history.total_steps,
        best_step=fitted.history.best_step,
        parameters=sum(p.numel() for p in fitted.model.parameters()),
    )


def size(pixels: np.ndarray, settings: dict[str, object]) -> int:
    """Bytes of an image as a file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, **settings)
    return len(out.getvalue())


def sheet(images: np.ndarray) -> np.ndarray:
    """All images in one, as square as they come; the last row is filled up with black."""
    n, height, width, channels = images.shape
    across = math.ceil(math.sqrt(n))
    padded = np.zeros((across * math.ceil(n / across), height, width, channels), np.uint8)
    padded[:n] = images
    rows = padded.reshape(-1, across, height, width, channels).swapaxes(1, 2)
    return rows.reshape(-1, across * width, channels)


if __name__ == "__main__":
    main()
