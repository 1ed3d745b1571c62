"""Rows beside what a model makes of them: reconstructions, and samples that should be no copies."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from likely.assess.bench import MEANS, Bench
from likely.contract import Reconstructor, Sampler
from likely.evaluation import Figure, find_copies, mean_with_error, mse, psnr, ssim


def reconstruction(bench: Bench) -> list[Figure]:
    """Squared error of reconstructions; of images also PSNR and SSIM."""
    if not isinstance(bench.model, Reconstructor):
        return []
    original = bench.plain(bench.some_test)
    again = bench.beside("pca", lambda fitted: bench.again(fitted, bench.some_test))
    if bench.some_train is not None:
        again[MEANS] = np.broadcast_to(np.nanmean(bench.plain(bench.some_train), 0), original.shape)
    unit = "standard deviations, squared" if bench.schema.columns else "raw values, squared"
    figures = [mean_figure("MSE", unit, "lower", {row: mse(original, x) for row, x in again.items()})]
    data_range = 1.0 if bench.schema.binarize else bench.schema.high - bench.schema.low
    if bench.schema.kind != "image" or bench.schema.domain == "real":
        return figures
    axis = 0 if bench.schema.binarize else bench.schema.channel_axis
    peak = {row: psnr(original, x, data_range=data_range) for row, x in again.items()}
    similar = {row: ssim(original, x, data_range=data_range, channel_axis=axis) for row, x in again.items()}
    return [*figures, mean_figure("PSNR", "dB", "higher", peak), mean_figure("SSIM", "", "higher", similar)]


def mean_figure(name: str, unit: str, better: Any, rows: Mapping[str, np.ndarray], note: str = "") -> Figure:
    """Means over rows with their standard errors."""
    estimates = {row: mean_with_error(values[np.isfinite(values)]) for row, values in rows.items()}
    means, errors = ({row: each[i] for row, each in estimates.items()} for i in (0, 1))
    return Figure(name, unit, better, means, errors=errors, note=note)


def copies(bench: Bench) -> list[Figure]:
    """The share of samples that lie too near to training rows, where the model samples."""
    if not isinstance(bench.model, Sampler) or bench.some_train is None or bench.schema.missing:
        return []
    samples = bench.draws(bench.fitted).double().numpy()
    if not len(samples):
        return []
    found = find_copies(samples, bench.seen(bench.some_test), bench.seen(bench.some_train))
    note = (
        f"Share of {len(samples)} samples that lie nearer to a training row than 99 % of test rows do; without copying "
        f"about 0.01. {found.identical:.2%} equal a training row in every value."
    )
    return [Figure("copies", "share of samples", "neither", {bench.name: found.share}, note=note)]
