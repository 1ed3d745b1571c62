"""Every format that was ever released loads, and answers as it did."""

import json
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
    np.testing.assert_allclose(fitted.surprise(rows), answers["surprise"], rtol=1e-4)
    np.testing.assert_allclose(fitted.encode(rows), answers["codes"], rtol=1e-3, atol=1e-5)


def test_the_present_format_has_its_golden_directory():
    from likely.persistence.directory import FORMAT_VERSION

    assert f"format-{FORMAT_VERSION}" in [place.name for place in FORMATS]
