"""Images in files: decoded when they are read, a batch at a time, by a few threads."""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np

from likely.data.decoding import Decoded, decode, height_and_width
from likely.data.folders import Listing, Skipped, labels_and_parts, list_images, skipped_told
from likely.data.source import Expected, Source
from likely.errors import DataError, option, printable

_N_THREADS = min(8, os.cpu_count() or 1)
_MODE_NAMES = {0: "gray", 2: "gray with alpha", 3: "RGB", 4: "RGB with alpha"}
_MAX_NAMED = 10
"""More files than this are counted, not named."""


class _OtherSize(DataError):
    """An image that is not of the size of the others."""


class ImageSource(Source):
    """A folder of images, or one image. All must be of one size and one mode; `size` and `channels` make them so.

    Rows are uint8 (h, w) where gray, (h, w, channels) otherwise; uint16 where gray with 16 bits.
    """

    kind: ClassVar[str] = "image"
    in_memory: ClassVar[bool] = False
    _threads: tuple[int, ThreadPoolExecutor | None] = (0, None)
    _alpha = False

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

        Warns (`Skipped`) of files that are there and are no images.

        Args:
            path: a folder, or a single image.
            name: what the user typed.
            size: (height, width) to resize to.
            channels: 1 for gray, 3 for RGB.
            max_pixels: larger images are refused.

        Raises:
            DataError: if there is no image, none can be read, or an option makes no sense.
        """
        self.name = name
        self.size = _checked_size(size)
        if channels not in (None, 1, 3):
            raise DataError(f"found channels={channels}, expected 1 (gray) or 3 (RGB): --channels 1 or --channels 3")
        self.channels, self.max_pixels = channels, max_pixels
        self._root, listing = (path, list_images(path, name)) if path.is_dir() else (path.parent, _single(path))
        self._names, self._stamps, self.skipped = listing.names, listing.stamps, listing.skipped
        self.labels, self.parts = labels_and_parts(self._names)
        self._remarks: dict[str, str] = {}
        if self.skipped:
            warnings.warn(f"{name}: {skipped_told(self.skipped)}", Skipped, stacklevel=2)
        self._first, first = self._first_readable()
        self._shape, self._dtype = first.shape, first.dtype
        self.row_bytes = 8 * first.size

    def __len__(self) -> int:
        return len(self._names)

    def read(self, ids: np.ndarray) -> np.ndarray:
        """As `Source.read`: decodes these images and no other. If one cannot be read, all that cannot be are named."""
        rows, wrong = self._read(ids, self._alike)
        if wrong:
            raise DataError(self._all_wrong())
        return rows

    def read_some(self, ids: np.ndarray, expected: Expected | None = None) -> tuple[np.ndarray, dict[int, str]]:
        """As `Source.read_some`: of files that cannot be read, or are unlike those of fit, the rows are zero."""
        shape, dtype = (self._shape, self._dtype) if expected is None else (expected[0], np.dtype(expected[1]))
        if expected is None or dtype not in (np.uint8, np.uint16) or len(shape) not in (2, 3):
            rows, wrong = self._read(ids, self._alike)
        else:
            rows, wrong = self._read(ids, lambda id: self._as_at_fit(id, shape, dtype), shape, dtype)
        return rows, {row: why.removeprefix(f"{self.place(int(ids[row]))} ") for row, why in wrong.items()}

    def _read(
        self,
        ids: np.ndarray,
        pixels_of: Callable[[int], np.ndarray],
        shape: tuple[int, ...] | None = None,
        dtype: np.dtype | None = None,
    ) -> tuple[np.ndarray, dict[int, str]]:
        """The rows, and by their position what is wrong with those that are zero instead."""
        ids = np.asarray(ids)
        rows = np.zeros((len(ids), *(self._shape if shape is None else shape)), dtype or self._dtype)
        starts = np.linspace(0, len(ids), min(4 * _N_THREADS, len(ids)) + 1).astype(int)
        wrong: dict[int, str] = {}

        def fill(start: int, stop: int) -> None:
            for row in range(start, stop):
                try:
                    rows[row] = pixels_of(int(ids[row]))
                except DataError as error:
                    wrong[row] = str(error)

        # Going through the results raises what the threads raised.
        for _ in self.threads.map(fill, starts[:-1], starts[1:]):
            pass
        return rows, wrong

    def pixels(self, id: int) -> np.ndarray:
        """One image of whatever size, as `decode` gives it."""
        return self.decoded(id).pixels

    def decoded(self, id: int) -> Decoded:
        """One image of whatever size; of what is not read as it stands a warning tells, once of each kind."""
        place = self.place(id)
        path = self._root / self._names[id]
        found = decode(path, place, self.size, self.channels, self.max_pixels, alpha=self._alpha)
        for remark in found.remarks:
            if self._remarks.setdefault(remark, place) is place:
                self.notes = (*self.notes, f"{place} {remark}; so it is with others of its kind")
                warnings.warn(self.notes[-1], stacklevel=2)
        return found

    def keep_alpha(self, channels: int) -> None:
        """From now on rows have so many channels and alpha: so they tell what is transparent, which is missing."""
        self.channels, self._alpha = channels, True
        first = self.pixels(self._first)
        self._shape, self._dtype = first.shape, first.dtype

    def _first_readable(self) -> tuple[int, np.ndarray]:
        wrong = []
        for id in range(len(self)):
            try:
                return id, self.pixels(id)
            except DataError as error:
                wrong.append(str(error))
        raise DataError(together(wrong))

    def heights_and_widths(self) -> np.ndarray:
        """(n, 2), what `pixels` will give, as the heads of the files say; no image is decoded."""
        if self.size is not None:
            return np.tile(np.array(self.size), (len(self), 1))

        wrong: list[str] = []

        def look(id: int) -> tuple[int, int]:
            try:
                return height_and_width(self._root / self._names[id], self.place(id), self.max_pixels)
            except DataError as error:
                wrong.append(str(error))
                return 0, 0

        sizes = np.array(list(self.threads.map(look, range(len(self)))))
        if wrong:
            raise DataError(together(sorted(wrong)))
        return sizes

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
            (h, w), first = image.shape[:2], self.place(self._first)
            others = f"but {first} is {self._shape[0]}x{self._shape[1]}"
            raise DataError(f"{self.place(id)} is {h}x{w}, {others}; {_mend_size(self._shape)}")
        self.check_mode(id, image)
        return image

    def check_mode(self, id: int, image: np.ndarray) -> None:
        """Refuses pixels that are gray where those of the first image are RGB, and so on."""
        if image.shape[2:] != self._shape[2:] or image.dtype != self._dtype:
            first = f"but {self.place(self._first)} is {_mode_name(self._shape, self._dtype)}"
            raise DataError(f"{self.place(id)} is {_mode_name(image.shape, image.dtype)}, {first}; {_mend_mode()}")

    def _as_at_fit(self, id: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        image = self.pixels(id)
        if image.shape[:2] != shape[:2]:
            (h, w), expected = image.shape[:2], f"expected {shape[0]}x{shape[1]}, as at fit"
            raise DataError(f"{self.place(id)} is {h}x{w}, {expected}; {_mend_size(shape)}")
        if image.shape[2:] != shape[2:] or image.dtype != dtype:
            expected = f"expected {_mode_name(shape, dtype)}, as at fit"
            n = shape[2] if len(shape) == 3 else 1
            mend = (
                f"read all alike with {option(f'--channels {n}', f'channels={n}')}"
                if n in (1, 3) and dtype == np.uint8
                else ""
            )
            raise DataError(
                f"{self.place(id)} is {_mode_name(image.shape, image.dtype)}, {expected}; {mend or 'save it so'}"
            )
        return image

    def _all_wrong(self) -> str:
        """What is wrong with all images with which something is; where sizes differ, no image is decoded for that."""
        wrong = self._wrong_of(self._check_head)
        if any(isinstance(each, _OtherSize) for each in wrong):
            return together([str(each) for each in wrong])
        return self.all_wrong_of(self._alike)

    def all_wrong_of(self, check: Callable[[int], object]) -> str:
        """What `check` says against any of the images, in one line."""
        return together([str(each) for each in self._wrong_of(check)])

    def _wrong_of(self, check: Callable[[int], object]) -> list[DataError]:
        def wrong(id: int) -> DataError | None:
            try:
                check(id)
            except DataError as error:
                return error
            return None

        return [each for each in self.threads.map(wrong, range(len(self))) if each is not None]

    def _check_head(self, id: int) -> None:
        if self.size is None:
            h, w = height_and_width(self._root / self._names[id], self.place(id), self.max_pixels)
            if (h, w) != self._shape[:2]:
                others = f"but {self.place(self._first)} is {self._shape[0]}x{self._shape[1]}"
                raise _OtherSize(f"{self.place(id)} is {h}x{w}, {others}; {_mend_size(self._shape)}")


def _mend_mode() -> str:
    gray, rgb = (option(f"--channels {n}", f"channels={n}") for n in (1, 3))
    return f"read all as gray with {gray} or as RGB with {rgb}"


def _mend_size(shape: Sequence[int]) -> str:
    h, w = shape[:2]
    return f"make all one size with {option(f'--size {h}x{w}', f'size=({h}, {w})')}"


def together(wrong: Sequence[str]) -> str:
    """What is wrong with several files in one line, each followed by what mends it; what mends many is said once."""
    if len(wrong) == 1:
        return wrong[0]
    found, mends = zip(*(each.rpartition("; ")[::2] for each in wrong), strict=True)
    more = f"; and {len(wrong) - _MAX_NAMED:,} more" if len(wrong) > _MAX_NAMED else ""
    mend = ", or ".join(dict.fromkeys(mends[:_MAX_NAMED]))
    return f"{len(wrong):,} images cannot be read: {'; '.join(found[:_MAX_NAMED])}{more}; {mend}"


def _checked_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if len(size) != 2 or not all(1 <= side <= 65_535 for side in size):
        raise DataError(f"found size={tuple(size)}, expected (height, width) in pixels, such as --size 64x64")
    return int(size[0]), int(size[1])


def _single(path: Path) -> Listing:
    status = path.stat()
    return Listing((path.name,), ((status.st_size, status.st_mtime_ns),), ())


def _mode_name(shape: Sequence[int], dtype: np.dtype) -> str:
    channels = shape[2] if len(shape) == 3 else 0
    return _MODE_NAMES[channels] + (" with 16 bits" if dtype == np.uint16 else "")
