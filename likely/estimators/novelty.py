"""NoveltyDetector."""

import warnings
from typing import Any, Literal

import numpy as np
from sklearn.base import OutlierMixin

from likely import arguments
from likely.errors import UserError
from likely.estimators.learner import Learner
from likely.fitted import DEFAULT_FALSE_ALARM_RATE
from likely.registry import Spec
from likely.tasks import can_judge
from likely.training import TrainConfig


class NoveltyDetector(OutlierMixin, Learner):
    """Flags rows that a model finds unlikely, at a false-alarm rate that holds on rows it has not seen.

    Args:
        model: a model's name or a Spec; by default a variational autoencoder.
        train: how long, how fast and where; by default as `TrainConfig()`.
        false_alarm_rate: the share of ordinary rows that may be flagged, where contamination is "auto".
        contamination: "auto" calibrates on rows held out (`likely.data.split.calibration_size` says how many); a
            float flags that share of the training rows, as scikit-learn has it, and holds none out.
        random_state: decides split, order, starting weights and noise; None takes the seed of `train`.

    Attributes:
        offset_: `decision_function` is `score_samples - offset_`; minus infinity where there are too few rows for
            the false-alarm rate, so that nothing is flagged.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(400, 3))
        >>> detector = NoveltyDetector("ppca", false_alarm_rate=0.05).fit(X)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
        array([ 1, -1])
    """

    default_model = "vae"

    def __init__(
        self,
        model: str | Spec | None = None,
        *,
        train: TrainConfig | None = None,
        false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE,
        contamination: float | Literal["auto"] = "auto",
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.train = train
        self.false_alarm_rate = false_alarm_rate
        self.contamination = contamination
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "NoveltyDetector":
        """Learns what is ordinary from X (n, d) or (n, ...); y is ignored."""
        self._check(can_judge, "cannot say how unlikely a row is", "can")
        self._check_rates()
        share = None if isinstance(self.contamination, str) else float(self.contamination)
        X = self._learn(X, "auto" if share is None else "none")
        if share is not None:
            self.offset_ = float(np.percentile(-self._precise.anomaly_score(X), 100.0 * share))
            return self
        calibration = self.fitted_.calibration
        assert calibration is not None
        self.offset_ = -calibration.threshold(self.false_alarm_rate)
        if shortage := calibration.shortage(self.false_alarm_rate):
            warnings.warn(f"{shortage}; set false_alarm_rate or contamination", UserWarning, stacklevel=2)
        return self

    def _check_rates(self) -> None:
        arguments.share("false_alarm_rate", self.false_alarm_rate)
        c = self.contamination
        if c != "auto" and not (arguments.is_number(c) and 0 < float(c) <= 0.5):
            raise UserError(f'contamination must be "auto" or a share in (0, 0.5], got {c!r}')

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the surprise of each row: (n,) float64, larger is more normal.

        A row with missing values gets that of a whole row with its p-value, and what is novel by definition the least
        that there is.
        """
        X = self._ready(X)
        return -self._precise.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples(X) - offset_`: (n,) float64, negative for novelties."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """+1 for ordinary rows, -1 for novelties: (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)
