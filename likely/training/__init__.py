"""Training: one `train` for one player, several players and closed form."""

from likely.training.config import TrainConfig
from likely.training.history import History, Progress
from likely.training.loop import train

__all__ = ["History", "Progress", "TrainConfig", "train"]
