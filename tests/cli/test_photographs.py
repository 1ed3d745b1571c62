"""Patches and augmentation on the command line."""

import json

import numpy as np
import pytest
from PIL import Image

import likely as library
from likely.cli.options import as_augment, as_patch
from likely.data.augmentation import Affine, QuarterTurns
from likely.errors import UserError

FIT = (
    "fit",
    "photos",
    "--model",
    "autoencoder",
    "--set",
    "z_size=2",
    "--set",
    'network={"type": "MLP", "hidden": [4]}',
)
TURNED = ("--patch", "6", "--augment", "warp", "--augment", "QuarterTurns", "--epochs", "2")


@pytest.fixture
def photos(here):
    """Forty images of no one size."""
    (here / "photos").mkdir()
    generator = np.random.default_rng(0)
    for i in range(40):
        pixels = generator.integers(0, 256, (9 + i % 3, 9 + i % 5), dtype=np.uint8)
        Image.fromarray(pixels).save(here / "photos" / f"{i:02}.png")
    return here / "photos"


def test_data_tells_patches_and_their_images(photos, likely):
    said = " ".join(likely("data", "photos", "--patch", "6").out.split())
    assert "a row 6 x 6 (image)" in said
    assert "images 40; a split cuts none" in said
    answer = likely("data", "photos", "--patch", "10x6")
    assert answer.code == 2
    assert "00.png is 9x9, smaller than a patch of 10x6" in answer.err
    assert "--patch 9x9" in answer.err


def test_fit_says_what_it_augments_and_writes_it_down(photos, likely):
    answer = likely(*FIT, *TURNED, "--out", "m")
    assert answer.code == 0, answer.err
    said = " ".join(answer.out.split())
    assert "training rows are augmented: Warp(degrees=10.0" in said
    options = library.load("m").info["data"]["options"]
    assert options["patch"] == [6, 6]
    assert [part["type"] for part in options["augment"]] == ["Warp", "QuarterTurns"]
    assert "augmented: Warp" in " ".join((photos.parent / "m" / "README.md").read_text().split())
    assert likely("evaluate", "m").code == 0
    scored = likely("score", "m", "photos", "-o", "scores.csv")
    assert scored.code == 0, scored.err
    assert '"39.png at 3,7"' in (photos.parent / "scores.csv").read_text()


def test_a_run_goes_on_only_with_its_own_augmentation(photos, likely, monkeypatch):
    from likely.persistence import Checkpoints

    saved = Checkpoints.save

    def stop(self, tensors, state):
        saved(self, tensors, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", stop)
    monkeypatch.setattr("likely.training.clock.Clock.checkpoint_due", lambda self: True)
    assert likely(*FIT, *TURNED, "--out", "m").code == 130
    monkeypatch.undo()
    monkeypatch.chdir(photos.parent)
    other = likely(*FIT, "--patch", "6", "--epochs", "2", "--out", "m", "--resume")
    assert other.code == 2
    assert "augmentation was Warp" in other.err
    resumed = likely(*FIT, *TURNED, "--out", "m", "--resume")
    assert resumed.code == 0, resumed.err
    assert likely(*FIT, *TURNED, "--out", "whole").code == 0
    weights = [(photos.parent / name / "weights.safetensors").read_bytes() for name in ("m", "whole")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(("text", "patch"), [("64", (64, 64)), ("64x48", (64, 48)), (" 6×4", (6, 4)), (None, None)])
def test_patch(text, patch):
    assert as_patch(text) == patch


def test_augmentations_are_names_or_json():
    assert as_augment(None) == ()
    given = ["QuarterTurns", json.dumps({"type": "Affine", "degrees": 5})]
    assert as_augment(given) == (QuarterTurns(), Affine(degrees=5.0))
    assert as_augment(["warp"]) == ("warp",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--patch", "big"), ["--patch 'big'", "--patch 64"]),
        (("--patch", "0"), ["patch=(0, 0)", "--patch 64"]),
        (("--augment", "wrap", "--patch", "6"), ["'wrap'", "did you mean warp"]),
        (("--augment", "{degrees: 5}"), ["--augment", "no JSON"]),
        (("--augment", '{"type": "Affine", "degres": 5}'), ["degres", "degrees"]),
        (("--augment", "MLP", "--patch", "6"), ["MLP", "is no augmentation"]),
    ],
)
def test_one_line_says_what_is_wrong(options, words, photos, likely):
    answer = likely(*FIT, *options, "--out", "m")
    assert answer.code == 2
    assert all(word in answer.err for word in words), answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (photos.parent / "m").exists()


def test_what_is_no_option_of_the_data_is_refused():
    with pytest.raises(UserError, match="the option patch does not apply"):
        library.fit("pca", np.random.default_rng(0).normal(size=(30, 4)), patch=4)
