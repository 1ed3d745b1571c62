"""A small network that tells classes apart, and the features by which it does."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.dropout import Dropout

MIN_SIDE = 8
"""Images narrower than this get dense layers."""
CHANNELS = (16, 32, 64)


class Classifier(nn.Module):
    """Logits of classes, read by one layer from features.

    Attributes:
        body: x (batch, *x_shape) to features (batch, n_features).
        head: features to logits (batch, n_classes).
    """

    def __init__(self, x_shape: Shape, n_classes: int, *, n_features: int = 32, channels: Sequence[int] = CHANNELS):
        super().__init__()
        image = len(x_shape) == 3 and min(x_shape[1:]) >= MIN_SIDE
        layers = _convolutions(x_shape, n_features, channels) if image else _dense(x_shape, n_features)
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(Dropout(0.2), nn.Linear(n_features, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (batch, n_classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits


def _convolutions(x_shape: Shape, n_features: int, channels: Sequence[int]) -> list[nn.Module]:
    """Convolutions of 3 x 3, each followed by a halving, until the map is about 3 x 3; SiLU, which dies nowhere."""
    size, sides, layers = x_shape[0], list(x_shape[1:]), list[nn.Module]()
    for channel in channels:
        if min(sides) < 4:
            break
        layers += [nn.Conv2d(size, channel, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2)]
        size, sides = channel, [side // 2 for side in sides]
    return [*layers, nn.Flatten(), nn.Linear(size * math.prod(sides), n_features), nn.SiLU()]


def _dense(x_shape: Shape, n_features: int) -> list[nn.Module]:
    wide = 4 * n_features
    return [nn.Flatten(), nn.Linear(math.prod(x_shape), wide), nn.SiLU(), nn.Linear(wide, n_features), nn.SiLU()]
