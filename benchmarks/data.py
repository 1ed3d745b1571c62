"""Where the benchmarks find data that is not scikit-learn's."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

import likely


def parser(about: str | None) -> argparse.ArgumentParser:
    """An argument parser that knows --data."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--data", type=Path, default=os.environ.get("LIKELY_DATA"), help="folder with mnist.npz")
    return made


def find(folder: Path | None, name: str) -> Path:
    """A file or folder of the data, or an end with a word on what is missing."""
    if folder is None or not (Path(folder) / name).exists():
        raise SystemExit(f"{name} is needed: name the folder that holds it by --data or LIKELY_DATA")
    return Path(folder) / name


def mnist(folder: Path | None) -> dict[str, np.ndarray]:
    """MNIST by part, (n, 28, 28) uint8."""
    with np.load(find(folder, "mnist.npz")) as file:
        return dict(file)


def squared_error(fitted: likely.Fitted, images: np.ndarray) -> float:
    """Per image, pixels in [0, 1]; reconstructions as they come, not clipped."""
    again = np.asarray(fitted.reconstruct(images), np.float64)
    return float((((again - images) / 255) ** 2).sum((1, 2)).mean())


def say(**figures: Any) -> None:
    """One JSON line."""
    print(json.dumps({**figures, "threads": torch.get_num_threads(), "torch": torch.__version__}), flush=True)
