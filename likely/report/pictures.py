"""Rows as pictures: images as PNG, other arrays as curves."""

import base64
import io

import numpy as np
from markupsafe import Markup, escape
from PIL import Image

MAX_SIDE = 256
"""Larger images are shown smaller, in pixels: a report is to be mailed."""
SMALL_SIDE = 64
"""Up to this side an image is enlarged with square pixels, not blurred."""
MAX_CURVE_POINTS = 400


def display_range(rows: np.ndarray, given: tuple[float, float] | None) -> tuple[float, float]:
    """What is black and what is white: as given, else all but the outermost half percent of the values."""
    if given is not None:
        return given
    finite = rows[np.isfinite(rows)] if rows.dtype.kind == "f" else rows
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.quantile(finite, [0.005, 0.995]))
    return (low, high) if high > low else (low, low + 1.0)


def image(
    row: np.ndarray, limits: tuple[float, float], channel_axis: int | None, alt: str, *, max_side: int = MAX_SIDE
) -> Markup:
    """One image as an <img> that holds its PNG. Missing values (NaN) are transparent."""
    picture = _picture(channels_last(row, channel_axis), limits)
    picture.thumbnail((max_side, max_side))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    uri = base64.b64encode(out.getvalue()).decode()
    width, height = picture.size
    kind = "pixels" if max(width, height) <= SMALL_SIDE else "photo"
    tag = '<img class="{}" width="{}" height="{}" alt="{}" src="data:image/png;base64,{}">'
    return Markup(tag).format(kind, width, height, alt, uri)


def curves(rows: list[np.ndarray], limits: tuple[float, float], alt: str) -> Markup:
    """One curve, or two over each other, of flattened rows."""
    low, high = limits
    paths = [
        Markup('<polyline class="curve{}" points="{}"/>').format(i, _points(row.ravel(), low, high))
        for i, row in enumerate(rows)
    ]
    tag = '<svg class="curves" viewBox="0 0 200 60" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    return Markup(tag).format(alt, Markup("").join(paths))


def _points(values: np.ndarray, low: float, high: float) -> Markup:
    shown = values[np.linspace(0, len(values) - 1, min(len(values), MAX_CURVE_POINTS)).astype(int)]
    x = np.linspace(0, 200, len(shown))
    y = 58 - 56 * np.clip((np.nan_to_num(shown.astype(float), nan=low) - low) / (high - low), 0, 1)
    return escape(" ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)))


def channels_last(row: np.ndarray, channel_axis: int | None) -> np.ndarray:
    """An image (h, w, c), wherever its channels stood."""
    return row[..., None] if channel_axis is None else np.moveaxis(row, channel_axis, -1)


def _picture(pixels: np.ndarray, limits: tuple[float, float]) -> Image.Image:
    """Pixels (h, w, c) as an image: gray, gray with alpha, RGB or RGBA."""
    low, high = limits
    values = (pixels.astype(np.float64) - low) / (high - low)
    missing = np.isnan(values).any(-1)
    levels = np.round(np.nan_to_num(values).clip(0, 1) * 255).astype(np.uint8)
    if levels.shape[-1] > 4:  # no image has five colors: show their mean
        levels = levels.mean(-1, keepdims=True).astype(np.uint8)
    picture = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    if missing.any():
        picture = picture.convert("RGBA")
        picture.putalpha(Image.fromarray(np.where(missing, 0, 255).astype(np.uint8)))
    return picture
