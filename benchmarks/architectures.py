"""Autoencoders that differ in one thing: tied against untied weights, what-where against strided convolutions.

Tied and untied have the same layers and code; 'epochs' is how many passes each needs to the validation error that
both reach. What-where and strided have the same code and, by the width of a hidden layer, as many parameters.
"""

import argparse
from typing import Any

import numpy as np

import likely
from benchmarks.data import mnist, parser, say, squared_error
from likely.evaluation import linear_probe_accuracy
from likely.networks import MLP, Convolutional, Network, WhatWhere

Z_SIZE = 32
SETTINGS: dict[str, Any] = {"calibrate": "none", "test": 0.0, "z_size": Z_SIZE}


def n_parameters(fitted: likely.Fitted) -> int:
    """Of the model, each counted once."""
    return sum(parameter.numel() for parameter in fitted.model.parameters())


def fitted_to(images: np.ndarray, network: Network, given: argparse.Namespace) -> likely.Fitted:
    """An autoencoder with this network, trained for the given number of epochs."""
    train = likely.TrainConfig(epochs=given.epochs, patience=None, batch_size=128, learning_rate=1e-3)
    return likely.fit("autoencoder", images, network=network, train=train, **SETTINGS)


def curve(fitted: likely.Fitted) -> tuple[np.ndarray, np.ndarray]:
    """Epochs, and the validation objective at each."""
    rows = fitted.history.rows
    return np.array([row["epoch"] for row in rows]), np.array([row["validation"] for row in rows])


def tied_against_untied(data: dict[str, np.ndarray], given: argparse.Namespace) -> None:
    """Two lines for all training images, two for a tenth of them, where there is more to overfit."""
    for n in (len(data["x_train"]), len(data["x_train"]) // 10):
        images = data["x_train"][:n]
        fits = {tied: fitted_to(images, MLP((512, 256), tied=tied), given) for tied in (True, False)}
        reached = max(curve(fitted)[1].min() for fitted in fits.values())
        for tied, fitted in fits.items():
            epochs, objective = curve(fitted)
            train, test = squared_error(fitted, images[:10_000]), squared_error(fitted, data["x_test"])
            say(
                benchmark="tied against untied",
                rows=n,
                tied=tied,
                parameters=n_parameters(fitted),
                epochs_to_the_same_validation=round(float(epochs[objective <= reached][0]), 2),
                of_epochs=given.epochs,
                train_squared_error=train,
                test_squared_error=test,
                gap=test - train,
            )


def what_where_against_strided(data: dict[str, np.ndarray], given: argparse.Namespace) -> None:
    """Two lines: reconstruction with and without the indices, and a linear probe on the code."""
    some = np.random.default_rng(0).permutation(len(data["x_train"]))[:10_000]
    for network in (WhatWhere((32, 64), hidden=256), Convolutional((32, 64), hidden=245, activation="relu")):
        fitted = fitted_to(data["x_train"], network, given)
        from_code = np.asarray(fitted.decode(fitted.encode(data["x_test"])), np.float64)
        codes = fitted.encode(data["x_train"][some]), fitted.encode(data["x_test"])
        say(
            benchmark="what-where against strided",
            network=type(network).__name__,
            parameters=n_parameters(fitted),
            test_squared_error=squared_error(fitted, data["x_test"]),
            test_squared_error_from_the_code_alone=float(
                (((from_code - data["x_test"]) / 255) ** 2).sum((1, 2)).mean()
            ),
            linear_probe=linear_probe_accuracy(codes[0], data["y_train"][some], codes[1], data["y_test"]),
            seconds=round(fitted.history.seconds),
        )


def main() -> None:
    """Both tables."""
    arguments = parser(__doc__)
    arguments.add_argument("--epochs", type=float, default=20.0)
    given = arguments.parse_args()
    data = mnist(given.data)
    tied_against_untied(data, given)
    what_where_against_strided(data, given)


if __name__ == "__main__":
    main()
