"""What pretraining is worth to a classifier: MNIST, 784-1000-1000-1000 and a softmax layer, test error in per cent.

Published (Vincent et al., 2010, table 3; 50,000 rows to learn from, 10,000 to choose by): stacked autoencoders 1.40,
stacked denoising autoencoders 1.28. Here every arm has the same network, dropout, optimizer and seeds, and the same
budget of tuning: none, or, with several `--learning-rates`, one try of each, with a third of the epochs. Of the
validation rows some decide which weights are kept; the others choose the learning rate.

`--labels 100` leaves ten labels of each class to the pretrained arm; published (adversarial autoencoder) 1.90.
"""

import argparse
import time

import numpy as np

from benchmarks.data import mnist, parser, say
from likely import Spec, TrainConfig
from likely.corruptions import ZeroMasking
from likely.distortions import CrossEntropy
from likely.estimators import PretrainedClassifier
from likely.networks import MLP
from likely.pretraining import Greedy

N_LEARN = 50_000
N_STOP = 5_556
"""One labelled row in ten decides when to stop: so many beside the rows to learn from."""

ARMS = {"no pretraining": None, "stacked": Greedy(), "stacked denoising": Greedy(corruption=ZeroMasking(0.25))}
NETWORK = MLP(hidden=(1000, 1000), activation="relu", code_activation="relu", dropout=0.3, input_dropout=0.2)


def classifier(arm: str, seed: int, rate: float, epochs: float, pretraining_epochs: float) -> PretrainedClassifier:
    """An arm, ready to fit."""
    greedy = ARMS[arm]
    pretraining = None if greedy is None else Greedy(greedy.corruption, epochs=pretraining_epochs)
    spec = Spec("autoencoder", z_size=1000, network=NETWORK, distortion=CrossEntropy(), pretraining=pretraining)
    common = {"batch_size": 128, "patience": None, "precision": "bfloat16"}
    return PretrainedClassifier(
        spec,
        # The layers are pretrained, the whole autoencoder is not.
        train=TrainConfig(epochs=0.01, learning_rate=1e-3, **common),
        fine_tune=TrainConfig(epochs=epochs, learning_rate=rate, **common),
        pretrain=greedy is not None,
        random_state=seed,
    )


def error(model: PretrainedClassifier, x: np.ndarray, y: np.ndarray) -> float:
    """In per cent."""
    return float(100 * (model.predict(x) != y).mean())


def all_labels(data: dict[str, np.ndarray], given: argparse.Namespace) -> None:
    """A line per arm, and one per try of the tuning."""
    x, y = data["x_train"], data["y_train"]
    n = N_LEARN + N_STOP
    for arm in given.arms:
        tried = {}
        for rate in given.learning_rates if len(given.learning_rates) > 1 else ():
            model = classifier(arm, 0, rate, given.epochs / 3, given.pretraining_epochs / 3).fit(x[:n], y[:n])
            tried[rate] = error(model, x[n:], y[n:])
            say(benchmark="pretraining", arm=arm, tuning=rate, validation_error=tried[rate])
        rate = min(tried, key=tried.__getitem__) if tried else given.learning_rates[0]
        start, errors, held_out = time.monotonic(), [], []
        for seed in range(given.seeds):
            model = classifier(arm, seed, rate, given.epochs, given.pretraining_epochs).fit(x[:n], y[:n])
            errors.append(error(model, data["x_test"], data["y_test"]))
            held_out.append(error(model, x[n:], y[n:]))
        say(
            benchmark="pretraining",
            arm=arm,
            learning_rate=rate,
            seeds=given.seeds,
            test_error=float(np.mean(errors)),
            test_errors=errors,
            validation_errors=held_out,
            seconds=round(time.monotonic() - start),
        )


def few_labels(data: dict[str, np.ndarray], given: argparse.Namespace) -> None:
    """A line per arm: the same labels for all, other ones with each seed."""
    x, y = data["x_train"], data["y_train"].astype(np.int64)
    for arm in given.arms:
        errors = []
        for seed in range(given.seeds):
            shuffled = np.random.default_rng(seed).permutation(len(y))
            kept = np.concatenate([shuffled[y[shuffled] == c][: given.labels // 10] for c in range(10)])
            some = np.full(len(y), -1)
            some[kept] = y[kept]
            model = classifier(arm, seed, given.learning_rates[0], 300, given.pretraining_epochs).fit(x, some)
            errors.append(error(model, data["x_test"], data["y_test"]))
        say(benchmark="few labels", arm=arm, labels=given.labels, test_error=float(np.mean(errors)), test_errors=errors)


def main() -> None:
    """All labels, or few."""
    arguments = parser(__doc__)
    arguments.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--epochs", type=float, default=30.0, help="of fine-tuning")
    arguments.add_argument("--pretraining-epochs", type=float, default=6.0, help="of each layer")
    arguments.add_argument("--learning-rates", type=float, nargs="+", default=[5e-4], help="of fine-tuning")
    arguments.add_argument("--labels", type=int, default=0, help="only so many rows have a label")
    given = arguments.parse_args()
    data = mnist(given.data)
    (few_labels if given.labels else all_labels)(data, given)


if __name__ == "__main__":
    main()
