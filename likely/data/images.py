"""Images in files: decoded when they are read, a batch at a time, by a few threads."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from likely.data.folders import Listing, labels_and_parts, list_images, printable
from likely.data.source import Source
from likely.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_N_THREADS = min(8, os.cpu_count() or 1)
_KEPT_MODES = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "PA": "RGBA"}
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
_MODE_NAMES = {0: "gray", 2: "gray with alpha", 3: "RGB", 4: "RGB with alpha"}


class ImageSource(Source):
    """A folder of images, or one image. All must be of one size and one mode; `size` and `channels` make them so.

    Rows are uint8 (h, w) where gray, (h, w, channels) otherwise; uint16 (h, w) where gray with 16 bits.
    """

    kind: ClassVar[str] = "image"
    in_memory: ClassVar[bool] = False
    _threads: tuple[int, ThreadPoolExecutor | None] = (0, None)

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        max_pixels: int = 100_000_000,
    ) -> None:
        """Lists the folder and decodes its first image, which all others are held against.

        Args:
            path: a folder, or a single image.
            name: what the user typed.
            size: (height, width) to resize to.
            channels: 1 for gray, 3 for RGB.
            max_pixels: larger images are refused.

        Raises:
            DataError: if there is no image, the first cannot be read, or an option makes no sense.
        """
        self.name = name
        self.size = _checked_size(size)
        if channels not in (None, 1, 3):
            raise DataError(f"found channels={channels}, expected 1 (gray) or 3 (RGB): --channels 1 or --channels 3")
        self.channels, self.max_pixels = channels, max_pixels
        self._root, listing = (path, list_images(path, name)) if path.is_dir() else (path.parent, _single(path))
        self._names, self._stamps, self.skipped = listing.names, listing.stamps, listing.skipped
        self.labels, self.parts = labels_and_parts(self._names)
        first = self.pixels(0)
        self._shape, self._dtype = first.shape, first.dtype
        self.row_bytes = 8 * first.size

    def __len__(self) -> int:
        return len(self._names)

    def read(self, ids: np.ndarray) -> np.ndarray:
        """As `Source.read`: decodes these images and no other."""
        ids = np.asarray(ids)
        rows = np.empty((len(ids), *self._shape), self._dtype)
        starts = np.linspace(0, len(ids), min(4 * _N_THREADS, len(ids)) + 1).astype(int)

        def fill(start: int, stop: int) -> None:
            for row in range(start, stop):
                rows[row] = self._alike(int(ids[row]))

        # Going through the results raises what the threads raised, that of the first row first.
        for _ in self.threads.map(fill, starts[:-1], starts[1:]):
            pass
        return rows

    def pixels(self, id: int) -> np.ndarray:
        """One image of whatever size, as `decode` gives it."""
        return decode(self._root / self._names[id], self.place(id), self.size, self.channels, self.max_pixels)

    def heights_and_widths(self) -> np.ndarray:
        """(n, 2), what `pixels` will give, as the heads of the files say; no image is decoded."""
        if self.size is not None:
            return np.tile(np.array(self.size), (len(self), 1))

        def look(id: int) -> tuple[int, int]:
            return height_and_width(self._root / self._names[id], self.place(id), self.max_pixels)

        return np.array(list(self.threads.map(look, range(len(self)))))

    def place(self, id: int) -> str:
        """As `Source.place`: the file's name below the folder."""
        return printable(self._names[int(id)])

    def digest(self) -> str:
        """As `Source.digest`: of the files' names, sizes and times, not of their content."""
        content = hashlib.blake2b(f"{self.size} {self.channels}".encode(), digest_size=16)
        for name, stamp in zip(self._names, self._stamps, strict=True):
            content.update(f"{name}\0{stamp}\0".encode("utf-8", "surrogateescape"))
        return self._finish_digest(content)

    @property
    def threads(self) -> ThreadPoolExecutor:
        """What decodes, in this process: a child that was forked has none of its parent's threads."""
        process, threads = self._threads
        if threads is None or process != os.getpid():
            threads = ThreadPoolExecutor(_N_THREADS, thread_name_prefix="likely-images")
            self._threads = os.getpid(), threads
        return threads

    def _alike(self, id: int) -> np.ndarray:
        image = self.pixels(id)
        if image.shape[:2] != self._shape[:2]:
            (h, w), (first_h, first_w) = image.shape[:2], self._shape[:2]
            mend = f"make all one size with --size {first_h}x{first_w} (size=({first_h}, {first_w}))"
            raise DataError(f"{self.place(id)} is {h}x{w}, but {self.place(0)} is {first_h}x{first_w}; {mend}")
        self.check_mode(id, image)
        return image

    def check_mode(self, id: int, image: np.ndarray) -> None:
        """Refuses pixels that are gray where those of the first image are RGB, and so on."""
        if image.shape[2:] != self._shape[2:] or image.dtype != self._dtype:
            modes = f"{self.place(id)} is {_mode_name(image)}, but {self.place(0)} is {_mode_name(self.pixels(0))}"
            raise DataError(f"{modes}; read all as gray with --channels 1 (channels=1) or as RGB with --channels 3")


def _checked_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if len(size) != 2 or not all(1 <= side <= 65_535 for side in size):
        raise DataError(f"found size={tuple(size)}, expected (height, width) in pixels, such as --size 64x64")
    return int(size[0]), int(size[1])


def _single(path: Path) -> Listing:
    status = path.stat()
    return Listing((path.name,), ((status.st_size, status.st_mtime_ns),), ())


def _mode_name(image: np.ndarray) -> str:
    channels = image.shape[2] if image.ndim == 3 else 0
    return _MODE_NAMES[channels] + (" with 16 bits" if image.dtype == np.uint16 else "")


def decode(path: Path, place: str, size: tuple[int, int] | None, channels: int | None, max_pixels: int) -> np.ndarray:
    """The pixels of one file, upright as its EXIF says; palettes and CMYK become RGB, alpha and 16 bits stay.

    Args:
        path: the file.
        place: its name in messages.
        size: (height, width) to resize to, or None.
        channels: 1, 3 or None.
        max_pixels: more are refused before they are decoded.

    Returns:
        uint8 (h, w) or (h, w, channels), or uint16 (h, w).

    Raises:
        DataError: if it is no image of a known format, damaged, or too large.
    """
    with _opened(path, place, max_pixels) as image:
        image.load()
        return _pixels(_in_kept_mode(ImageOps.exif_transpose(image), channels), size)


def height_and_width(path: Path, place: str, max_pixels: int) -> tuple[int, int]:
    """Of one file, upright as its EXIF says, without decoding it. Raises DataError as `decode`."""
    with _opened(path, place, max_pixels) as image:
        # A PNG's own getexif decodes the whole image, to look for what may stand behind it.
        sideways = Image.Image.getexif(image).get(_ORIENTATION) in _SIDEWAYS
        return (image.width, image.height) if sideways else (image.height, image.width)


@contextlib.contextmanager
def _opened(path: Path, place: str, max_pixels: int) -> Iterator[Image.Image]:
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
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{place} is damaged or cut short ({reason}); replace or remove it") from None


def _in_kept_mode(image: Image.Image, channels: int | None) -> Image.Image:
    """In one of the modes L, LA, RGB, RGBA and, for gray with 16 bits, F."""
    if image.mode.startswith("I"):
        wide = Image.fromarray(np.asarray(image).astype(np.float32))
        return wide if channels is None else _narrow(wide, channels)
    if channels is not None:
        return image.convert("L" if channels == 1 else "RGB")
    if image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image.convert(_KEPT_MODES.get(image.mode, "RGB"))


def _narrow(wide: Image.Image, channels: int) -> Image.Image:
    # Pillow clips 16 bits to 8 instead of scaling them.
    gray = Image.fromarray((np.asarray(wide) / 257).round().clip(0, 255).astype(np.uint8))
    return gray if channels == 1 else gray.convert("RGB")


def _pixels(image: Image.Image, size: tuple[int, int] | None) -> np.ndarray:
    if size is not None and size != (image.height, image.width):
        image = image.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels.round().clip(0, 65_535).astype(np.uint16) if image.mode == "F" else pixels
