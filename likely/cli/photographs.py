"""Restoring images in files one by one: of any size, with their depth, transparency, color profile and resolution."""

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from likely.cli.screen import progress
from likely.errors import DataError, UserError, printable

if TYPE_CHECKING:
    from likely.cli.targets import Target
    from likely.corruptions import Corruption
    from likely.data import Schema
    from likely.data.decoding import Decoded
    from likely.fitted import Fitted

KINDS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""The endings that one image is written as. All but .jpg lose nothing."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {"compression": "tiff_deflate"},
    "BMP": {},
}
_DEEP, _TRANSPARENT = ("PNG", "TIFF"), ("PNG", "WEBP", "TIFF")


def restore_images(fitted: "Fitted", source: str, target: "Target", operator: "Corruption | None") -> int:
    """Restores an image or a folder of them, and returns how many; all of them can be read before one is."""
    from likely.cli.outputs import takes_pictures

    if not takes_pictures(fitted.schema):
        raise DataError(f"{source}: this model learned {fitted.schema.values_text}, no pixels; give an .npy file")
    path = Path(source).expanduser()
    if not path.is_dir():
        _restore_one(fitted, path, source, target, operator)
        return 1
    return _restore_folder(fitted, path, source, target, operator)


def _restore_one(fitted: "Fitted", path: Path, source: str, target: "Target", operator: "Corruption | None") -> None:
    target.check(KINDS)
    if not path.exists():
        raise DataError(f"there is no file {source}; check the path")
    with progress(f"restoring {source}") as bar:
        bar.update(0, None)
        found = _decoded(path, source)
        for remark in found.remarks:
            warnings.warn(f"{source} {remark}", stacklevel=2)
        _check_kind(found, target)
        data = _restored(fitted, found, source, operator, target.suffix)
    target.write(data)


def _restore_folder(fitted: "Fitted", path: Path, source: str, target: "Target", operator: "Corruption | None") -> int:
    from likely.data.folders import Skipped, list_images, skipped_told
    from likely.files import create, make_directory

    target.check((), folder=True)
    listing = list_images(path, source)
    if listing.skipped:
        warnings.warn(f"{source}: {skipped_told(listing.skipped)}", Skipped, stacklevel=2)
    names = listing.names
    _check_all(path, names, source)
    with progress(f"restoring {source}") as bar, target.folder() as directory:
        for i, (name, png) in enumerate(zip(names, png_names(names), strict=True)):
            bar.update(i, len(names))
            make_directory((directory / png).parent)
            create(directory / png, _restored(fitted, _decoded(path / name, name), name, operator, ".png"))
    return len(names)


def _check_all(path: Path, names: Sequence[str], source: str) -> None:
    """Broken images are found, all of them, before an hour of restoring the others; says what is not read as it is."""
    from likely.data.images import together

    wrong, remarks = list[str](), dict[str, str]()
    with progress(f"reading {source}") as bar:
        for i, name in enumerate(names):
            bar.update(i, len(names))
            try:
                for remark in _decoded(path / name, name).remarks:
                    remarks.setdefault(remark, printable(name))
            except DataError as error:
                wrong.append(str(error))
    if wrong:
        raise DataError(together(wrong))
    for remark, name in remarks.items():
        warnings.warn(f"{name} {remark}; so it is with others of its kind", stacklevel=2)


def _decoded(path: Path, name: str) -> "Decoded":
    from likely.data.decoding import decode
    from likely.data.opening import MAX_PIXELS

    return decode(path, printable(name), None, None, MAX_PIXELS)


def _restored(fitted: "Fitted", found: "Decoded", name: str, operator: "Corruption | None", suffix: str) -> bytes:
    """The image as a file: what was transparent is filled in, what was partly so stays so."""
    from likely.contract import Restorer
    from likely.data.remains import pixels_to_remains
    from likely.tasks.restoration import channels_left

    channels = channels_left(fitted.capable(Restorer, "restore"), operator)
    left = pixels_to_remains(fitted.schema, found.pixels[None], channels)
    try:
        restored = np.asarray(fitted.restore(left, operator))[0]
    except DataError as error:
        raise DataError(f"{printable(name)}: {error}") from error
    pixels = as_pixels(restored, fitted.schema, found.pixels.dtype)
    same = _is_color(pixels) == _is_color(found.pixels)
    return encoded(_with_alpha(pixels, found.pixels), suffix, found.profile if same else None, found.dpi)


def _is_color(pixels: np.ndarray) -> bool:
    return pixels.ndim == 3 and pixels.shape[2] > 2


def _with_alpha(pixels: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Pixels with the alpha of what was left of them, where that is neither gone nor whole."""
    from PIL import Image

    if left.dtype != np.uint8 or left.ndim != 3 or left.shape[2] not in (2, 4) or pixels.shape[2:] in ((2,), (4,)):
        return pixels
    alpha = np.where(left[..., -1] == 0, np.uint8(255), left[..., -1])
    if (alpha == 255).all():
        return pixels
    if alpha.shape != pixels.shape[:2]:
        alpha = np.asarray(Image.fromarray(alpha).resize(pixels.shape[1::-1], Image.Resampling.BILINEAR))
    return np.dstack([pixels, alpha])


def as_pixels(row: np.ndarray, schema: "Schema", dtype: np.dtype | None = None) -> np.ndarray:
    """One image as whole numbers, 0 at the schema's low and the largest at its high.

    Args:
        row: in the units of the rows.
        schema: of the rows.
        dtype: uint16 gives gray 16 bits, as does a schema of such images; all else has 8.

    Returns:
        (h, w), or (h, w, channels) where there are several.
    """
    share = (np.asarray(row, np.float64) - schema.low) / (schema.high - schema.low)
    if schema.channel_axis == 0:
        share = np.moveaxis(share, 0, -1)
    if share.ndim == 3 and share.shape[2] == 1:
        share = share[:, :, 0]
    deep = share.ndim == 2 and np.dtype(dtype or schema.dtype) == np.uint16
    top = 65_535 if deep else 255
    pixels = np.rint(np.clip(np.nan_to_num(share), 0, 1) * top)
    return np.ascontiguousarray(pixels.astype(np.uint16 if deep else np.uint8))


def encoded(
    pixels: np.ndarray, suffix: str = ".png", profile: bytes | None = None, dpi: tuple[float, float] | None = None
) -> bytes:
    """An image file of the kind that its ending says; where that holds 8 bits only, 16 are rounded to 8."""
    from PIL import Image

    kind = Image.registered_extensions()[suffix]
    if pixels.dtype == np.uint16 and kind not in _DEEP:
        pixels = np.rint(pixels / 257).astype(np.uint8)
    kept = {"icc_profile": profile, "dpi": dpi}
    out = io.BytesIO()
    options = {name: value for name, value in kept.items() if value is not None}
    Image.fromarray(pixels).save(out, kind, **_OPTIONS[kind], **options)
    return out.getvalue()


def _check_kind(found: "Decoded", target: "Target") -> None:
    """Refuses to lose transparency, and says where depth is lost."""
    from PIL import Image

    kind = Image.registered_extensions()[target.suffix]
    if kind not in _TRANSPARENT and _partly_transparent(found.pixels):
        raise UserError(f"-o {target.typed}: the image is partly transparent, which {kind} cannot hold; choose .png")
    if kind not in _DEEP and found.pixels.dtype == np.uint16:
        warnings.warn(f"{target.typed} holds 8 of the 16 bits that there were; choose .png or .tif", stacklevel=2)


def _partly_transparent(pixels: np.ndarray) -> bool:
    alpha = pixels[..., -1] if pixels.ndim == 3 and pixels.shape[2] in (2, 4) else np.zeros(1, np.uint8)
    return bool(((alpha > 0) & (alpha < np.iinfo(alpha.dtype).max)).any())


def png_names(names: Sequence[str]) -> list[str]:
    """The names with the ending .png; where two would be the same, beside their own ending."""
    wanted = [str(PurePosixPath(name).with_suffix(".png")) for name in names]
    often = Counter(name.casefold() for name in wanted)
    return [png if often[png.casefold()] == 1 else f"{name}.png" for name, png in zip(names, wanted, strict=True)]
