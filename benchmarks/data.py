"""Where the benchmarks find data that is not scikit-learn's, and how they speak."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import likely
from likely.data.split import Split
from likely.training import Progress, TrainConfig


def parser(about: str | None) -> argparse.ArgumentParser:
    """An argument parser that knows --data."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--data", type=Path, default=os.environ.get("LIKELY_DATA"), help="folder with mnist.npz")
    return made


def add_training(arguments: argparse.ArgumentParser, length: str) -> None:
    """Adds what a run of training is asked for; nothing of it has a default here.

    Args:
        length: what a length in seconds is of, and what it is by default, for the help.
    """
    either = arguments.add_mutually_exclusive_group()
    either.add_argument("--seconds", type=float, help=length)
    either.add_argument("--epochs", type=float, help="instead of seconds")
    arguments.add_argument("--learning-rate", type=float)
    arguments.add_argument("--batch-size", type=int)
    arguments.add_argument("--weight-decay", type=float)
    arguments.add_argument("--precision")
    arguments.add_argument("--device")
    arguments.add_argument("--seed", type=int, default=0)


def training(given: argparse.Namespace, settings: Mapping[str, Any], seconds: float | None = None) -> TrainConfig:
    """What was asked for over the settings of a case; without a length in either, so many seconds, if that is said."""
    names = ("epochs", "learning_rate", "batch_size", "weight_decay", "precision", "device", "seed")
    asked = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    merged = {**settings, **asked}
    if given.seconds or "epochs" not in merged:
        merged = {**merged, "epochs": None, "time_limit": given.seconds or seconds}
    return TrainConfig(patience=None, **merged)


def find(folder: Path | None, name: str) -> Path:
    """A file or folder of the data, or an end with a word on what is missing."""
    if folder is None or not (Path(folder) / name).exists():
        raise SystemExit(f"{name} is needed: name the folder that holds it by --data or LIKELY_DATA")
    return Path(folder) / name


def mnist(folder: Path | None) -> dict[str, np.ndarray]:
    """MNIST by part, (n, 28, 28) uint8."""
    with np.load(find(folder, "mnist.npz")) as file:
        return dict(file)


def binarized_mnist(folder: Path | None) -> tuple[Tensor, Tensor, Split]:
    """The fixed binarization: 60,000 rows to learn from, 10,000 to test, (n, 1, 28, 28), and their split."""
    with np.load(find(folder, "binarized_mnist.npz")) as file:
        bits = [np.unpackbits(file[name], axis=1) for name in ("x_train", "x_valid", "x_test")]
    learned, test = (torch.from_numpy(each).float().view(-1, 1, 28, 28) for each in (np.concatenate(bits[:2]), bits[2]))
    none = np.arange(0)
    return learned, test, Split(np.arange(50_000), np.arange(50_000, 60_000), none, none)


def squared_error(fitted: likely.Fitted, images: np.ndarray) -> float:
    """Per image, pixels in [0, 1]; reconstructions as they come, not clipped."""
    again = np.asarray(fitted.reconstruct(images), np.float64)
    return float((((again - images) / 255) ** 2).sum((1, 2)).mean())


def say(**figures: Any) -> None:
    """One JSON line."""
    print(json.dumps({**figures, "threads": torch.get_num_threads(), "torch": torch.__version__}), flush=True)


class Curve:
    """Prints every validation once, on stderr: a run of an hour should be seen to go astray."""

    def __init__(self) -> None:
        self.step = -1

    def __call__(self, progress: Progress) -> None:
        row = progress.row
        if row and row["step"] > self.step:
            self.step = row["step"]
            told = {name: round(row[name], 3) for name in ("train", "validation") if name in row}
            print(f"{self.step:,} of {progress.total_steps:,}: {told}", file=sys.stderr, flush=True)
