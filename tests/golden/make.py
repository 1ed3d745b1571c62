"""Makes a golden directory: a model as the present format saves it, and what it answered when it was saved.

Run once per format version, with `python -m tests.golden.make`; what it made is never made again.
"""

import json
from pathlib import Path

import numpy as np

import likely
from likely.networks import MLP
from likely.registry import Spec

ROWS = np.array([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0], [1.5, 2.5, np.nan]])


def main() -> None:
    """Fits a small VAE and writes it with its answers."""
    place = Path(__file__).parent / "format-2"
    X = np.random.default_rng(0).normal(size=(120, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]])
    X[::6, 1] = np.nan
    spec = Spec("vae", z_size=2, network=MLP((4,), linear_path=True))
    fitted = likely.fit(spec, X, train=likely.TrainConfig(epochs=5))
    fitted.save(place / "model", overwrite=True)
    scores = fitted.score(ROWS)
    answers = {"rows": ROWS.tolist(), "codes": fitted.encode(ROWS).tolist()}
    answers |= {"surprise": scores.surprise.tolist(), "p_value": scores.p_value.tolist(), "reason": list(scores.reason)}
    answers |= {"some": X[:20].tolist(), "learned": fitted.learned_from(X[:20]).tolist()}
    (place / "answers.json").write_text(json.dumps(answers, indent=1))


if __name__ == "__main__":
    main()
