"""One image file to its pixels: upright, its transparency with it, and never more memory than there is room for."""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from likely.errors import DataError, option

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")

MAX_BYTES = 2**28
"""An image that unpacks to more is refused, or where it is a JPEG and a size is asked for, shrunk while it is read.
Images that are decoded at once unpack to no more together, in all threads of a process."""

SEVERAL = "holds several images (frames, pages): the first is read"
DEEP = "has 16 bits a channel, of which 8 are read: 16 are read of gray alone"
FLAT = "has transparent parts, which are read as white: so many channels hold no transparency"

_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_PROFILES = {b"GRAY": 1, b"RGB ": 3}


@dataclass(frozen=True)
class Decoded:
    """What a file holds.

    Attributes:
        pixels: uint8 (h, w), or (h, w, k) with 2 channels (gray, alpha), 3 (RGB) or 4 (RGB, alpha); uint16 (h, w), or
            (h, w, 2), where gray with 16 bits. Where alpha is 0 the color is 0.
        remarks: what was read otherwise than it stands there: `SEVERAL`, `DEEP`, `FLAT`.
        profile: the color profile that the pixels are in, or None.
        dpi: how many pixels an inch has, along x and y, or None.
    """

    pixels: np.ndarray
    remarks: tuple[str, ...] = ()
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None


def decode(
    path: Path,
    place: str,
    size: tuple[int, int] | None,
    channels: int | None,
    max_pixels: int,
    *,
    alpha: bool = False,
) -> Decoded:
    """The pixels of one file, upright as its EXIF says; palettes and CMYK become RGB, alpha and 16 bits of gray stay.

    A color that a file says is transparent (PNG, GIF) becomes alpha. What is transparent is read as white where
    `channels` leaves no place for alpha, so that a color that nobody was to see is never seen.

    Args:
        path: the file.
        place: its name in messages.
        size: (height, width) to resize to, or None.
        channels: 1, 3 or None.
        max_pixels: more are refused before they are decoded.
        alpha: whether there is alpha beside `channels`, of every image.

    Raises:
        DataError: if it is no image of a known format, damaged, or too large.
    """
    with _opened(path, place, max_pixels) as image:
        n_bytes = _shrunk(image, place, size)
        with _ROOM.taken(n_bytes):
            return _decoded(image, place, size, channels, alpha)


def height_and_width(path: Path, place: str, max_pixels: int) -> tuple[int, int]:
    """Of one file, upright as its EXIF says, without decoding it. Raises DataError as `decode`."""
    with _opened(path, place, max_pixels) as image:
        return (image.width, image.height) if _lies_sideways(image) else (image.height, image.width)


def _lies_sideways(image: Image.Image) -> bool:
    """Whether a decoded image has to be turned; Pillow says of a TIFF how it will be once it is."""
    if image.format == "TIFF":
        return False
    # A PNG's own getexif decodes the whole image, to look for what may stand behind it.
    return Image.Image.getexif(image).get(_ORIENTATION) in _SIDEWAYS


def _decoded(
    image: ImageFile.ImageFile, place: str, size: tuple[int, int] | None, channels: int | None, alpha: bool
) -> Decoded:
    info, several = (
        {str(name): value for name, value in image.info.items()},
        image.format != "MPO",
    )  # a photograph and its preview
    deep, depth = _is_deep(image), _depth(image)
    image.load()
    upright = ImageOps.exif_transpose(image)
    assert upright is not None
    wide = upright.mode.startswith(("I", "F"))
    kept = _wide(upright, info, place) if wide else _narrow(upright, info, depth)
    flat = channels is not None and not alpha and _is_transparent(kept)
    if channels is not None:
        kept = _with_alpha(kept, channels) if alpha else _flattened(kept, channels)
    pixels = _hidden_removed(np.ascontiguousarray(kept.resized(size)))
    profile = info.get("icc_profile") or None
    n_colors = 3 if pixels.ndim == 3 and pixels.shape[2] > 2 else 1
    found = {SEVERAL: several and _n_images(image) > 1, DEEP: deep, FLAT: flat}
    return Decoded(
        pixels,
        tuple(remark for remark, so in found.items() if so),
        profile if profile is not None and _PROFILES.get(profile[16:20]) == n_colors else None,
        _dpi(info),
    )


@contextlib.contextmanager
def _opened(path: Path, place: str, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """The file, its head read; whatever goes wrong with it is a DataError that names it."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        limit = f"more than {max_pixels / 1e6:g} megapixels"
        raise DataError(f"{place} unpacks to {limit} and may be a decompression bomb; shrink or remove it") from None
    except UnidentifiedImageError:
        raise DataError(f"{place} is no image; expected {', '.join(FORMATS)} content: replace or remove it") from None
    except DataError:
        raise
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{place} is damaged or cut short ({reason}); replace or remove it") from None


# How much it takes.


def _n_bytes(image: Image.Image) -> int:
    bands = 4 if image.mode[:1] in ("I", "F", "P") else len(image.getbands())
    return image.width * image.height * bands


def _shrunk(image: Image.Image, place: str, size: tuple[int, int] | None) -> int:
    """How many bytes the image unpacks to; a JPEG that is to be smaller is first told to, where that is too many.

    Raises:
        DataError: if it is too many still.
    """
    if _n_bytes(image) > MAX_BYTES and size is not None:
        h, w = reversed(size) if _lies_sideways(image) else size
        image.draft(image.mode, (w, h))
    n_bytes = _n_bytes(image)
    if n_bytes > MAX_BYTES:
        found = f"{place} unpacks to {n_bytes / 1e6:,.0f} MB, expected at most {MAX_BYTES / 1e6:,.0f}"
        mend = (
            f"give {option('--size HxW', 'size=(h, w)')} to shrink it"
            if image.format in ("JPEG", "MPO")
            else "make it smaller"
        )
        raise DataError(f"{found}; {mend}")
    return n_bytes


class _Room:
    """How much may be unpacked at once; who does not fit waits for others to be done."""

    def __init__(self) -> None:
        self.changed, self.used = threading.Condition(), 0

    @contextlib.contextmanager
    def taken(self, n_bytes: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: self.used == 0 or self.used + n_bytes <= MAX_BYTES)
            self.used += n_bytes
        try:
            yield
        finally:
            with self.changed:
                self.used -= n_bytes
                self.changed.notify_all()


_ROOM = _Room()


def _begin_in_child() -> None:
    """After a fork: the threads that had room are not there any more, nor is whoever held the lock."""
    global _ROOM
    _ROOM = _Room()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


# What is in it.


@dataclass(frozen=True)
class _Kept:
    """Channels as images: colors of mode L or RGB, of mode F where they have 16 bits, and alpha likewise."""

    colors: Image.Image
    alpha: Image.Image | None

    def resized(self, size: tuple[int, int] | None) -> np.ndarray:
        """The pixels; where alpha is 0 a color counts for nothing in its neighbours."""
        if size is None or size == (self.colors.height, self.colors.width):
            return _stacked(np.asarray(self.colors), None if self.alpha is None else np.asarray(self.alpha))
        if self.alpha is None:
            return _stacked(np.asarray(_resized(self.colors, size)), None)
        if self.colors.mode == "F":
            share = np.asarray(self.alpha) / 65_535
            alpha = np.asarray(_resized(self.alpha, size))
            weighted = np.asarray(_resized(Image.fromarray(np.asarray(self.colors) * share), size))
            return _stacked(weighted * 65_535 / alpha.clip(1), alpha)
        together = self.colors.copy()
        together.putalpha(self.alpha)
        return np.asarray(_resized(together, size))  # Pillow itself weighs by alpha


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _stacked(colors: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    pixels = colors if alpha is None else np.dstack([colors, alpha])
    return pixels.round().clip(0, 65_535).astype(np.uint16) if pixels.dtype.kind == "f" else pixels


def _hidden_removed(pixels: np.ndarray) -> np.ndarray:
    """Colors that alpha hides become 0."""
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4) and not pixels[..., -1].all():
        return np.where(pixels[..., -1:] == 0, pixels.dtype.type(0), pixels)
    return pixels


def _has_alpha(image: Image.Image, info: dict[str, Any]) -> bool:
    return image.mode in _WITH_ALPHA or "transparency" in info


def _is_transparent(kept: _Kept) -> bool:
    return kept.alpha is not None and bool((np.asarray(kept.alpha) < (65_535 if kept.alpha.mode == "F" else 255)).any())


def _narrow(image: Image.Image, info: dict[str, Any], depth: int) -> _Kept:
    """Of 8 bits or fewer a channel."""
    if image.mode in ("1", "L", "RGB"):
        colors = image.convert("L") if image.mode == "1" else image
        return _Kept(colors, _keyed(np.asarray(colors), info, depth, 255))
    if _has_alpha(image, info):
        gray = image.mode in ("LA", "La")
        whole = image.convert("LA" if gray else "RGBA")
        return _Kept(whole.convert("L" if gray else "RGB"), whole.getchannel("A"))
    return _Kept(image.convert("RGB"), None)


def _wide(image: Image.Image, info: dict[str, Any], place: str) -> _Kept:
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65_535:
        found = f"{place} holds {'fractions' if image.mode == 'F' else 'numbers of 32 bits'}, expected 8 or 16 bits"
        raise DataError(f"{found}; save it as an array (numpy.save), or with 16 bits")
    return _Kept(Image.fromarray(values.astype(np.float32)), _keyed(values, info, 16, 65_535))


def _keyed(pixels: np.ndarray, info: dict[str, Any], depth: int, opaque: int) -> Image.Image | None:
    """Alpha of an image of which one color is transparent; None where none is."""
    key = info.get("transparency")
    if not isinstance(key, int | tuple):
        return None
    if isinstance(key, tuple):
        key = tuple(each >> 8 if depth == 16 else each & 255 for each in key)  # of 16 bits, 8 are read
    elif depth in (2, 4):  # of 1 bit Pillow has scaled it as it does the pixels
        key = key * 255 // (2**depth - 1)
    same = pixels == np.array(key)
    there = ~(same.all(-1) if same.ndim == 3 else same)
    return Image.fromarray((there * opaque).astype(np.uint8 if opaque == 255 else np.float32))


def _flattened(kept: _Kept, channels: int) -> _Kept:
    """With 8 bits, of so many channels and on white."""
    colors, alpha = (_eight_bits(each) for each in (kept.colors, kept.alpha))
    assert colors is not None
    if alpha is not None:
        colors = Image.composite(colors, Image.new(colors.mode, colors.size, "white"), alpha)
    return _Kept(colors.convert("L" if channels == 1 else "RGB"), None)


def _with_alpha(kept: _Kept, channels: int) -> _Kept:
    """With 8 bits, of so many channels and alpha."""
    colors, alpha = (_eight_bits(each) for each in (kept.colors, kept.alpha))
    assert colors is not None
    return _Kept(colors.convert("L" if channels == 1 else "RGB"), alpha or Image.new("L", colors.size, 255))


def _eight_bits(image: Image.Image | None) -> Image.Image | None:
    if image is None or image.mode != "F":
        return image
    # Pillow clips 16 bits to 8 instead of scaling them.
    return Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether a channel has 16 bits in the file and will have 8."""
    if image.mode.startswith("I") or not image.tile:
        return False
    arguments = image.tile[0].args
    raw = arguments if isinstance(arguments, str) else next((each for each in arguments or () if each), "")
    return ";16" in str(raw)


def _depth(image: ImageFile.ImageFile) -> int:
    """Bits of a channel as a PNG has them; 8 of all else."""
    if image.format != "PNG" or image.fp is None:
        return 8
    at = image.fp.tell()
    image.fp.seek(24)
    depth = int(image.fp.read(1)[0])
    image.fp.seek(at)
    return depth


def _n_images(image: Image.Image) -> int:
    """Frames or pages; 1 where the rest of the file is damaged. It may forget what was decoded."""
    try:
        return 2 if getattr(image, "is_animated", False) else 1
    except Exception:  # as in `_opened`
        return 1


def _dpi(info: dict[str, Any]) -> tuple[float, float] | None:
    try:
        x, y = (float(each) for each in info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None
