"""Augmentations: other images of the same thing, drawn anew for the rows of each training step.

They are no corruption: what comes out is taken for data, so each must leave a row the thing that it is. Nothing but
training rows is augmented: what chooses, calibrates and reports sees the data.
"""

import abc
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import torch
from torch import Tensor

from likely import rng
from likely.data.resampling import Padding, pixel_positions, resample, smooth_noise, uniform
from likely.errors import UserError


class Augmentation(abc.ABC):
    """What may happen to an image without its becoming another thing. Its subclasses are frozen dataclasses."""

    def apply(self, x: Tensor) -> Tensor:
        """Draws another image for each, by itself, on the device of x.

        Args:
            x: (batch, channels, h, w).

        Returns:
            (batch, channels, h, w) of the same type.

        Raises:
            UserError: if these are no images, or none that it can take.
        """
        if x.ndim != 4 or not x.is_floating_point():
            shape = tuple(x.shape[1:])
            raise UserError(
                f"{type(self).__name__} augments images (channels, height, width) of real numbers, "
                f"got rows of shape {shape} and type {str(x.dtype).removeprefix('torch.')}; leave the augmentation out"
            )
        return self._apply(x) if x.numel() else x

    @abc.abstractmethod
    def _apply(self, x: Tensor) -> Tensor: ...


class Displacement(Augmentation):
    """An augmentation that reads each pixel at another place, between pixels bicubically."""

    padding: Padding

    @abc.abstractmethod
    def move(self, positions: Tensor) -> Tensor:
        """Where to read instead of there.

        Args:
            positions: (batch, h, w, 2), horizontal and vertical, in pixels from the middle of the image.

        Returns:
            (batch, h, w, 2).
        """

    def _apply(self, x: Tensor) -> Tensor:
        return resample(x, self.move(pixel_positions(x)), self.padding)


@dataclass(frozen=True)
class Affine(Displacement):
    """Turns, scales, shears and shifts each image by amounts drawn uniformly up to a largest, about its middle.

    Attributes:
        degrees: largest angle, either way.
        scale: largest share by which it grows (1 + scale) or shrinks (1 / (1 + scale)).
        shear: largest tangent of the angle by which it leans.
        shift: largest shift, as a share of the side, by width and by height.
        padding: what is read outside of the image: "zeros", the nearest pixel ("border"), or its mirror image.
    """

    degrees: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    shift: float = 0.04
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        _check_from_zero(self, degrees=self.degrees, scale=self.scale, shear=self.shear, shift=self.shift)

    def move(self, positions: Tensor) -> Tensor:
        """As `Displacement.move`."""
        n, h, w, _ = positions.shape
        draws = uniform(positions, n, 5)
        angle, lean = torch.deg2rad(self.degrees * draws[0]), self.shear * draws[1]
        reach = (1 + self.scale) ** draws[2]  # where it reads from further out, the image shrinks
        cos, sin = angle.cos() * reach, angle.sin() * reach
        # Leaning first, then turning and scaling: [[cos, -sin], [sin, cos]] @ [[1, lean], [0, 1]].
        to_x = torch.stack((cos, lean * cos - sin), 1)
        to_y = torch.stack((sin, lean * sin + cos), 1)
        matrix = torch.stack((to_x, to_y), 2)  # (n, 2 from, 2 to)
        shift = torch.stack((self.shift * w * draws[3], self.shift * h * draws[4]), 1)
        return torch.baddbmm(shift.unsqueeze(1), positions.reshape(n, h * w, 2), matrix).view(n, h, w, 2)


@dataclass(frozen=True)
class Elastic(Displacement):
    """Moves each pixel by a smooth random field: Gaussian noise, smoothed.

    Attributes:
        strength: standard deviation of the displacement in each direction, as a share of the shorter side.
        smoothness: width of the Gaussian that smooths the field, as a share of the shorter side.
        padding: as of `Affine`.

    Reference: Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis (Simard et al.,
        ICDAR 2003), section 2
    """

    strength: float = 0.02
    smoothness: float = 0.15
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        _check_from_zero(self, strength=self.strength)
        _check_smoothness(self, self.smoothness)

    def move(self, positions: Tensor) -> Tensor:
        """As `Displacement.move`; the field lies on the image that comes out."""
        side = min(positions.shape[1:3])
        return positions + smooth_noise(positions, self.smoothness * side) * (self.strength * side)


@dataclass(frozen=True)
class Warp(Displacement):
    """`Affine` and `Elastic` at once: the small distortions that leave a handwritten digit that digit.

    The fields are those of the two. `(Affine(), Elastic())` is the same: displacements that follow each other are
    joined, and the image is read once.
    """

    degrees: float = Affine.degrees
    scale: float = Affine.scale
    shear: float = Affine.shear
    shift: float = Affine.shift
    strength: float = Elastic.strength
    smoothness: float = Elastic.smoothness
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        _check_from_zero(self, degrees=self.degrees, scale=self.scale, shear=self.shear, shift=self.shift)
        _check_from_zero(self, strength=self.strength)
        _check_smoothness(self, self.smoothness)

    def move(self, positions: Tensor) -> Tensor:
        """As `Displacement.move`."""
        affine = Affine(self.degrees, self.scale, self.shear, self.shift, self.padding)
        return affine.move(Elastic(self.strength, self.smoothness, self.padding).move(positions))


@dataclass(frozen=True)
class Shift(Augmentation):
    """Shifts each image by whole pixels, so that nothing is blurred.

    Attributes:
        pixels: largest shift in each direction; every whole number up to it is as likely.
        padding: what comes in: "zeros", or the nearest pixel ("border").
    """

    pixels: int = 2
    padding: Literal["zeros", "border"] = "zeros"

    def __post_init__(self) -> None:
        if self.pixels < 0 or self.padding not in ("zeros", "border"):
            raise ValueError(f"{self}: pixels is at least 0, padding 'zeros' or 'border'")

    def _apply(self, x: Tensor) -> Tensor:
        by = rng.integers(2 * self.pixels + 1, 2, len(x), 1, like=x) - self.pixels
        for axis, side, shifts in ((2, x.shape[2], by[0]), (3, x.shape[3], by[1])):
            source = torch.arange(side, device=x.device) - shifts  # (n, side)
            shape = (len(x), 1, side, 1) if axis == 2 else (len(x), 1, 1, side)
            nearest = source.clamp(0, side - 1).view(shape)
            x = x.gather(axis, nearest.expand_as(x))
            if self.padding == "zeros":
                x = x.masked_fill(((source < 0) | (source >= side)).view(shape), 0)
        return x


@dataclass(frozen=True)
class Flips(Augmentation):
    """Mirrors each image or not, as a coin falls.

    Attributes:
        horizontal: left and right may change places.
        vertical: top and bottom may.
    """

    horizontal: bool = True
    vertical: bool = False

    def _apply(self, x: Tensor) -> Tensor:
        heads = _coins(x, 2)
        x = torch.where(heads[0], x.flip(-1), x) if self.horizontal else x
        return torch.where(heads[1], x.flip(-2), x) if self.vertical else x


@dataclass(frozen=True)
class QuarterTurns(Augmentation):
    """Turns each square image by a multiple of 90 degrees and mirrors it or not: its eight symmetries, as likely each.

    Serves what has no upper side: textures, patches of photographs, microscopy.
    """

    def _apply(self, x: Tensor) -> Tensor:
        if x.shape[2] != x.shape[3]:
            raise UserError(
                f"QuarterTurns turns square images, got {x.shape[2]}x{x.shape[3]}; "
                "Flips(horizontal=True, vertical=True) takes these"
            )
        heads = _coins(x, 3)
        x = torch.where(heads[0], x.flip(-1), x)
        x = torch.where(heads[1], x.flip(-2), x)
        return torch.where(heads[2], x.mT, x)


AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "affine": Affine,
    "elastic": Elastic,
    "warp": Warp,
    "shift": Shift,
    "flips": Flips,
    "quarter-turns": QuarterTurns,
}
"""What `as_augmentations` knows by name, with its defaults."""


def as_augmentations(given: str | Augmentation | Iterable[str | Augmentation]) -> tuple[Augmentation, ...]:
    """Augmentations by name or as they are, in the order in which they happen.

    Raises:
        UserError: for a name that is not known, or what is no augmentation.
    """
    each = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    return tuple(one if isinstance(one, Augmentation) else _named(one) for one in each)


def augmented(x: Tensor, augmentations: Sequence[Augmentation]) -> Tensor:
    """All of them in turn; displacements that follow each other read the image once, so that it is blurred once.

    Args:
        x: (batch, channels, h, w).
        augmentations: as `as_augmentations` gives them.

    Returns:
        (batch, channels, h, w).

    Raises:
        UserError: as `Augmentation.apply`.
    """
    for _, run in itertools.groupby(enumerate(augmentations), lambda pair: _joined(*pair)):
        first, *others = (part for _, part in run)
        x = _Joined((first, *others)).apply(x) if others else first.apply(x)  # type: ignore[arg-type]
    return x


def _joined(index: int, part: Augmentation) -> object:
    """Neighbours with the same key are displacements that can be one."""
    return part.padding if isinstance(part, Displacement) else index


@dataclass(frozen=True)
class _Joined(Displacement):
    parts: tuple[Displacement, ...]

    @property
    def padding(self) -> Padding:  # type: ignore[override]
        return self.parts[0].padding

    def move(self, positions: Tensor) -> Tensor:
        # The last says where to read from what the one before it has made.
        for part in reversed(self.parts):
            positions = part.move(positions)
        return positions


def _named(name: object) -> Augmentation:
    known = {key.replace("-", ""): cls for key, cls in AUGMENTATIONS.items()}
    folded = name.lower().replace("-", "").replace("_", "") if isinstance(name, str) else ""
    if folded in known:
        return known[folded]()
    near = get_close_matches(folded, known, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    raise UserError(f"{name!r} is no augmentation; expected {', '.join(AUGMENTATIONS)}{guess}")


def _coins(x: Tensor, n: int) -> Tensor:
    """n coins for each row, (n, batch, 1, 1, 1)."""
    return rng.uniform(n, len(x), 1, 1, 1, like=x) < 0.5


def _check_from_zero(part: Augmentation, **numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"{type(part).__name__}: {name} is at least 0, got {value}")


def _check_smoothness(part: Augmentation, smoothness: float) -> None:
    if not 0 < smoothness < float("inf"):
        raise ValueError(f"{type(part).__name__}: smoothness is above 0, got {smoothness}")
