"""MNIST through thirty numbers: squared error per test image of the deep autoencoder, and of PCA.

Published (Hinton & Salakhutdinov, 2006): 3.00 with 784-1000-500-250-30, PCA 13.87; pixels in [0, 1]. The network is
theirs; training images are distorted a little at each step, without which it learns its training images by heart.
"""

import likely
from benchmarks.data import mnist, parser, say, squared_error
from likely.data.augmentation import Warp

GENTLE = Warp(degrees=5.0, scale=0.05, shear=0.05, shift=0.02, strength=0.01)
"""Half of what leaves a digit that digit: more of it is more to learn than half an hour teaches."""


def main() -> None:
    """A line for PCA, one for the deep autoencoder."""
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=1650.0, help="of training")
    arguments.add_argument("--learning-rate", type=float, default=1e-3)
    arguments.add_argument("--batch-size", type=int, default=128)
    arguments.add_argument("--plain", action="store_true", help="without distortions of the training images")
    given = arguments.parse_args()
    data = mnist(given.data)
    settings = {"calibrate": "none", "test": 0.0}
    pca = likely.fit("pca", data["x_train"], z_size=30, **settings)
    say(benchmark="thirty dimensions", model="pca", test_squared_error=squared_error(pca, data["x_test"]))
    train = likely.TrainConfig(
        time_limit=given.seconds,
        learning_rate=given.learning_rate,
        batch_size=given.batch_size,
        patience=None,
        precision="bfloat16",
    )
    augment = () if given.plain else (GENTLE,)
    deep = likely.fit("deep-autoencoder", data["x_train"], train=train, augment=augment, **settings)
    say(
        benchmark="thirty dimensions",
        model="deep-autoencoder",
        distorted=not given.plain,
        seconds=round(deep.history.seconds),
        steps=deep.history.total_steps,
        train_squared_error=squared_error(deep, data["x_train"][:10_000]),
        test_squared_error=squared_error(deep, data["x_test"]),
    )


if __name__ == "__main__":
    main()
