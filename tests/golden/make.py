"""Makes a golden directory: a model as the present format saves it, and what it answered when it was saved.

Run once per format version, with `python -m tests.golden.make`; what it made is never made again.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

import likely
from likely.networks import MLP
from likely.registry import Spec

ROWS = np.array([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0], [1.5, 2.5, np.nan]])


def main() -> None:
    """Fits a small VAE and writes it with its answers."""
    place = Path(__file__).parent / "format-3"
    X = np.random.default_rng(0).normal(size=(120, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]])
    X[::6, 1] = np.nan
    spec = Spec("vae", z_size=2, network=MLP((4,), linear_path=True))
    fitted = likely.fit(spec, X, train=likely.TrainConfig(epochs=5))
    fitted.save(place / "model", overwrite=True)
    scores = fitted.score(ROWS)
    answers = {"rows": ROWS.tolist(), "codes": fitted.encode(ROWS).tolist()}
    answers |= {"surprise": scores.surprise.tolist(), "p_value": scores.p_value.tolist(), "reason": list(scores.reason)}
    answers |= {"some": X[:20].tolist(), "learned": fitted.learned_from(X[:20]).tolist()}
    answers["table"] = _fit_table(place).score(place / "rows.csv").surprise.tolist()
    (place / "answers.json").write_text(json.dumps(answers, indent=1))


def _fit_table(place: Path) -> likely.Fitted:
    """A model of text that has to be read as it was at fit: decimal commas, codes, an identifier and a date."""
    draw = np.random.default_rng(1)
    cells = zip(draw.normal(20, 5, 120).round(1), draw.integers(0, 3, 120), draw.integers(0, 9, 120), strict=True)
    lines = [f"{i};{x:.1f};{code:02};{n};2024-01-{i % 28 + 1:02}" for i, (x, code, n) in enumerate(cells)]
    lines = [line.replace(".", ",") for line in lines]
    (place / "rows.csv").write_text("\n".join(["id;price;code;n;day", *lines[:5], "200;;07;3;2024-02-01"]) + "\n")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write("\n".join(["id;price;code;n;day", *lines]) + "\n")
        file.flush()
        fitted = likely.fit(Spec("vae", z_size=2, network=MLP((4,))), file.name, train=likely.TrainConfig(epochs=5))
    fitted.info["data"]["name"] = "rows.csv"
    fitted.save(place / "table", overwrite=True)
    return fitted


if __name__ == "__main__":
    main()
