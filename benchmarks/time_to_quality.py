"""The bound on dynamically binarized MNIST that the default VAE reaches in a given time on two cores.

Three fits, whose schedules end with their limits. The figure is the one-sample bound, in nats per image, on the
10,000 test images, binarized once: none of them was seen or chosen on.
"""

import likely
from benchmarks.data import mnist, parser, say
from likely.data import open_source
from likely.training import TrainConfig

LIMITS = {15: -102.0, 30: -99.0, 180: -95.0}


def main() -> None:
    """One fit per limit."""
    arguments = parser(__doc__)
    arguments.add_argument("--limits", type=int, nargs="+", default=list(LIMITS), help="seconds")
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    data = mnist(given.data)
    for limit in given.limits:
        config = TrainConfig(time_limit=limit, seed=given.seed)
        fitted = likely.fit("vae", open_source(data["x_train"]), train=config, binarize=True, calibrate="none", test=0)
        bound = fitted.log_prob(data["x_test"], n_samples=1)
        say(
            case="default VAE on dynamically binarized MNIST",
            limit=limit,
            bound=round(float(bound.mean()), 2),
            target=LIMITS.get(limit),
            **fitted.info["training"],
        )


if __name__ == "__main__":
    main()
