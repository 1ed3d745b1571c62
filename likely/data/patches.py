"""Patches of one size, cut from images of any."""

import hashlib
from typing import ClassVar

import numpy as np

from likely.data.images import ImageSource
from likely.data.source import Expected, Source
from likely.errors import DataError, option

MAX_KEPT_BYTES = 2**30
"""Images that take more than this decoded are decoded each time one of their patches is read."""


class PatchSource(Source):
    """Patches of images on a regular grid that covers them; a group is an image, so that no split cuts one.

    Along each side a patch begins at 0, p // 2, 2 (p // 2) and so on while it fits, and one more lies flush with
    the end where those do not reach it. Where all images fit into memory they are kept once they are decoded, and
    a read cuts slices out of them.

    Rows are as those of `ImageSource`, (h, w) or (h, w, channels); labels and official parts are the images'.
    """

    kind: ClassVar[str] = "image"

    def __init__(self, images: ImageSource, patch: int | tuple[int, int]) -> None:
        """Looks at the size of every image; decodes none.

        Args:
            images: where they are.
            patch: (height, width) in pixels; both where one number.

        Raises:
            DataError: if an image is smaller than a patch, or is none.
        """
        self.images, self.patch = images, checked_patch(patch)
        self.name, self.skipped = images.name, images.skipped
        self._sizes = images.heights_and_widths()
        self._check_sizes()
        corners = [_corners((int(h), int(w)), self.patch) for h, w in self._sizes]
        self._image = np.repeat(np.arange(len(images)), [len(each) for each in corners])
        self._corner = np.concatenate(corners)
        self.groups = self._image
        self.labels = None if images.labels is None else images.labels[self._image]
        self.parts = {part: np.flatnonzero(np.isin(self._image, ids)) for part, ids in images.parts.items()}
        first = images.pixels(0)
        self.notes = images.notes
        self._shape, self._dtype = (*self.patch, *first.shape[2:]), first.dtype
        self.row_bytes = 8 * int(np.prod(self._shape))
        per_pixel = first.nbytes // (first.shape[0] * first.shape[1])
        self.in_memory = per_pixel * int(self._sizes.prod(1).sum()) <= MAX_KEPT_BYTES  # type: ignore[misc]
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._image)

    def read(self, ids: np.ndarray) -> np.ndarray:
        """As `Source.read`; an image is decoded once for all of its patches that are read at once."""
        rows, wrong = self._read(ids)
        if wrong:
            raise DataError(self.images.all_wrong_of(self._pixels))
        return rows

    def read_some(self, ids: np.ndarray, expected: Expected | None = None) -> tuple[np.ndarray, dict[int, str]]:
        """As `Source.read_some`; `expected` says nothing here, for patches are of the size of fit."""
        return self._read(ids)

    def _read(self, ids: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        ids = np.asarray(ids)
        rows = np.zeros((len(ids), *self._shape), self._dtype)
        numbers, corners = self._image[ids], self._corner[ids]
        order = np.argsort(numbers, kind="stable")
        which, starts = np.unique(numbers[order], return_index=True)
        pieces = np.split(order, starts[1:])
        wrong: dict[int, str] = {}

        def fill(number: int, places: np.ndarray) -> None:
            try:
                image, (h, w) = self._pixels(number), self.patch
            except DataError as error:
                wrong.update(dict.fromkeys(places.tolist(), str(error)))
                return
            for row, (top, left) in zip(places.tolist(), corners[places].tolist(), strict=True):
                rows[row] = image[top : top + h, left : left + w]

        kept = all(number in self._kept for number in which.tolist())
        each = map if kept else self.images.threads.map  # threads take longer than slices do
        for _ in each(fill, which.tolist(), pieces):  # going through the results raises what they raised
            pass
        return rows, wrong

    def place(self, id: int) -> str:
        """As `Source.place`: the image's name, and the top and left of the patch in it."""
        top, left = self._corner[int(id)]
        return f"{self.images.place(int(self._image[int(id)]))} at {top},{left}"

    def digest(self) -> str:
        """As `Source.digest`: of the images', and the size of the patches."""
        return hashlib.blake2b(f"{self.images.digest()} {self.patch}".encode(), digest_size=16).hexdigest()

    def _pixels(self, number: int) -> np.ndarray:
        image = self._kept.get(number)
        if image is not None:
            return image
        image = self.images.pixels(number)
        self.notes = self.images.notes
        self.images.check_mode(number, image)
        if image.shape[:2] != tuple(self._sizes[number]):
            (h, w), (first_h, first_w) = image.shape[:2], self._sizes[number]
            raise DataError(
                f"{self.images.place(number)} is {h}x{w}, but its head said {first_h}x{first_w}: it has changed, or "
                "says only at its end which side is up; save it again"
            )
        if self.in_memory:
            self._kept[number] = image
        return image

    def _check_sizes(self) -> None:
        small = np.flatnonzero((self._sizes < self.patch).any(1))
        if len(small):
            h, w = (int(side) for side in self._sizes[small[0]])
            others = f" (and {len(small) - 1} more images are too small)" if len(small) > 1 else ""
            least = "x".join(str(int(side)) for side in self._sizes.min(0))
            raise DataError(
                f"{self.images.place(int(small[0]))} is {h}x{w}, smaller than a patch of {self.patch[0]}x"
                f"{self.patch[1]}{others}; remove it, or fit again with {option(f'--patch {least}', f'patch={least}')}"
            )


def checked_patch(patch: object) -> tuple[int, int]:
    """(height, width) of a patch. Raises DataError if it is none."""
    sides = tuple(patch) if isinstance(patch, tuple | list) else (patch, patch)
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= 65_535 for side in sides):
        raise DataError(f"found patch={patch!r}, expected a side or (height, width) in pixels, such as --patch 64")
    return sides[0], sides[1]


def _corners(size: tuple[int, int], patch: tuple[int, int]) -> np.ndarray:
    """Top and left of every patch of an image, (n, 2)."""
    tops, lefts = (_starts(side, length) for side, length in zip(size, patch, strict=True))
    return np.stack(np.meshgrid(tops, lefts, indexing="ij"), -1).reshape(-1, 2)


def _starts(side: int, length: int) -> np.ndarray:
    """Where patches begin along one side: half a patch apart, the last one flush with the end."""
    starts = np.arange(0, side - length + 1, max(1, length // 2))
    return starts if starts[-1] == side - length else np.append(starts, side - length)
