"""Every format that was ever released loads, and answers as it did."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import likely

FORMATS = sorted(Path(__file__).parent.glob("format-*"))


@pytest.mark.parametrize("place", FORMATS, ids=lambda place: place.name)
def test_a_released_format_answers_as_it_did(place):
    answers = json.loads((place / "answers.json").read_text())
    fitted = likely.load(place / "model")
    rows = np.array(answers["rows"], dtype=float)
    np.testing.assert_allclose(fitted.encode(rows), answers["codes"], rtol=1e-3, atol=1e-5)
    if "p_value" not in answers:  # format 1: answers were made of other noise
        noise = np.stack([fitted._surprise_by_noise(rows, None, seed) for seed in range(32)])
        assert (abs(fitted.surprise(rows) - answers["surprise"]) < 5 * math.sqrt(2) * noise.std(0)).all()
        assert fitted.calibration is None  # it was by cross-fitting, which held no rate
        return
    scores = fitted.score(rows)
    np.testing.assert_allclose(scores.surprise, answers["surprise"], rtol=1e-4)
    np.testing.assert_allclose(scores.p_value, answers["p_value"], rtol=1e-9)
    assert list(scores.reason) == answers["reason"]
    np.testing.assert_array_equal(fitted.learned_from(np.array(answers["some"], dtype=float)), answers["learned"])
    if "table" in answers:  # from format 3 on
        found = likely.load(place / "table").score(place / "rows.csv").surprise
        np.testing.assert_allclose(found, answers["table"], rtol=1e-3)


def test_the_present_format_has_its_golden_directory():
    from likely.persistence.directory import FORMAT_VERSION

    assert f"format-{FORMAT_VERSION}" in [place.name for place in FORMATS]
