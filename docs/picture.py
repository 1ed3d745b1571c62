"""Makes docs/picture.png, the picture that the README opens with: one VAE of digits, put to four uses."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import likely
from likely.data import open_source

PLACE = Path(__file__).with_name("picture.png")
N = 6
INK, BLUE, ORANGE = "#222222", "#2166ac", "#d6722c"


def tiles(rows: np.ndarray) -> np.ndarray:
    """(N * N, 8, 8) as one image with a pixel of space between."""
    framed = np.pad(np.clip(rows[: N * N], 0, 16), ((0, 0), (0, 1), (0, 1)), constant_values=8)
    return framed.reshape(N, N, 9, 9).transpose(0, 2, 1, 3).reshape(N * 9, N * 9)[:-1, :-1]


def main() -> None:
    """Fits and draws."""
    source = open_source("digits")
    fitted = likely.fit("vae", source)
    digits = source.read(np.arange(len(source)))
    upside_down = digits[:, ::-1]
    figure = Figure(figsize=(12, 3.1), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1.15, 1.35))
    for axis, title, rows in (
        (axes[0], "through the code and back", fitted.reconstruct(digits[: N * N])),
        (axes[1], "new digits, drawn", fitted.sample(N * N, seed=1)),
    ):
        axis.imshow(tiles(rows), cmap="gray_r", vmin=0, vmax=16)
        axis.set_title(title, color=INK, fontsize=11)
        axis.axis("off")
    codes = fitted.encode(digits)
    centered = codes - codes.mean(0)
    plane = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    axes[2].scatter(*plane.T, c=source.labels, cmap="tab10", s=4, linewidths=0)
    axes[2].set_title("what they are made of", color=INK, fontsize=11)
    axes[2].set_xticks([])
    axes[2].set_yticks([])
    bins = np.linspace(40, 240, 60)
    for rows, color, name in ((digits, BLUE, "digits"), (upside_down, ORANGE, "upside down")):
        axes[3].hist(fitted.score(rows).surprise, bins, color=color, alpha=0.6, label=name)
    threshold = fitted.calibration.threshold(0.05)
    axes[3].axvline(threshold, color=INK, linestyle=":", linewidth=1)
    axes[3].set_title("how unlikely they are, in nats", color=INK, fontsize=11)
    axes[3].set_yticks([])
    axes[3].legend(frameon=False, fontsize=9)
    for axis in axes[2:]:
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    figure.savefig(PLACE)


if __name__ == "__main__":
    main()
