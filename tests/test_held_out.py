"""Held out is held out: what a fit knows comes from its training rows, and they are known again wherever they stand."""

import numpy as np
import pandas as pd
import pytest

import likely
from likely.data import open_source
from likely.data.learned import Learned
from likely.data.split import calibration_size, split_rows
from likely.errors import UserError
from likely.fitting import choose_split
from likely.registry import Spec

QUICK = likely.TrainConfig(epochs=2, device="cpu")


def split_of(n, test=0.1):
    return split_rows(n, 0, calibration=calibration_size(n), test=test)


def test_rows_that_are_held_out_change_nothing_that_was_learned():
    """Validation rows choose and closed forms learn from them; test and calibration rows do neither."""
    X = np.random.default_rng(0).normal(size=(400, 3)) * [1, 5, 1] + 7
    spoiled, split = X.copy(), split_of(400)
    spoiled[np.union1d(split.test, split.calibration)] *= [1000.0, -3.0, 0.0]
    plain, other = likely.fit("ppca", X, z_size=1), likely.fit("ppca", spoiled, z_size=1)
    assert plain.schema == other.schema
    np.testing.assert_array_equal(plain.surprise(X), other.surprise(X))
    taught = X[np.union1d(split.train, split.validation)]
    np.testing.assert_allclose(plain.schema.locations, taught.mean(0))
    np.testing.assert_allclose(plain.schema.scales, taught.std(0))
    descent = likely.fit("autoencoder", spoiled, train=QUICK)
    np.testing.assert_allclose(descent.schema.scales, taught.std(0))


def test_categories_levels_ranges_and_constants_are_those_of_training_rows():
    n, split = 400, split_of(400)
    frame = pd.DataFrame({"x": np.arange(400.0) % 7, "c": np.where(np.arange(n) % 2, "a", "b"), "k": 1.0})
    at = int(split.calibration[0]), int(split.test[0]), int(split.test[1])
    frame.loc[at[0], "c"], frame.loc[at[1], "k"], frame.loc[at[2], "c"] = "held out", 2.0, "held out, too"
    with pytest.warns(UserWarning, match="k"):
        fitted = likely.fit("autoencoder", frame, train=QUICK)
    assert fitted.schema.columns[1].categories == ("a", "b")
    assert fitted.schema.columns[2].constant == 1.0
    scores = fitted.score(frame)
    assert {row for row in range(n) if scores.reason[row]} == set(at)
    assert np.isinf(fitted.calibration.surprises).sum() == 1
    assert fitted.score(frame.loc[[at[0]]]).p_value[0] == 2 / 80  # one in 79 calibration rows was such a row

    images = np.random.default_rng(0).integers(0, 9, (400, 4, 4), dtype=np.uint8)
    images[split.test[0]] = 200
    digits = likely.fit("pca", images, z_size=2)
    assert digits.schema.levels == 9
    assert "found 200, expected whole numbers from 0 to 8" in digits.score(images).reason[split.test[0]]
    assert digits.encode(images).shape == (400, 2)


def test_labels_that_no_training_row_has_are_held_out_as_well():
    n, split = 400, split_of(400)
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=n), "y": np.zeros(n, int)})
    frame.loc[::2, "y"] = 1
    frame.loc[split.calibration[:2], "y"] = 2
    fitted = likely.fit("vae", frame, label="y", condition="label", train=QUICK, z_size=1)
    assert fitted.schema.classes == ("0", "1")


@pytest.mark.parametrize("name", ["ppca", "vae"])
def test_rows_that_a_model_learned_from_are_known_wherever_they_stand(name, tmp_path):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(300, 4)).astype(np.float32)
    fitted = likely.fit(name, X, train=QUICK, z_size=1)
    split = choose_split(open_source(X), 0, "auto", 0.1)[0]
    taught = np.zeros(300, bool)
    taught[np.union1d(split.train, split.validation)] = True
    np.testing.assert_array_equal(fitted.learned_from(X), taught)
    order = generator.permutation(300)
    np.testing.assert_array_equal(fitted.learned_from(X[order][:120]), taught[order][:120])
    longer = np.concatenate([generator.normal(size=(50, 4)), X])
    np.testing.assert_array_equal(fitted.learned_from(longer), [*[False] * 50, *taught])
    np.testing.assert_array_equal(fitted.learned_from(X.astype(np.float64)), taught)
    assert not fitted.learned_from(X + 1e-4).any()
    fitted.save(tmp_path / "model")
    np.testing.assert_array_equal(likely.load(tmp_path / "model").learned_from(X[order]), taught[order])


def test_a_row_is_known_as_often_as_it_was_there_at_fit():
    rows = np.array([[0.0, 1.0], [0.0, 1.0], [np.nan, 2.0], [np.inf, 2.0]])
    learned = Learned.of([rows[:1], rows[1:3]])
    again = np.array([[0.0, 1.0]] * 3 + [[np.nan, 2.0], [np.inf, 2.0], [2.0, np.nan]])
    np.testing.assert_array_equal(learned.known(learned.digest(again)), [True, True, False, True, False, False])


def test_digests_of_two_models_tell_nothing_of_each_other():
    rows = np.random.default_rng(0).normal(size=(100, 3))
    one, other = Learned.of([rows]), Learned.of([rows])
    assert not set(one.digests.tolist()) & set(other.digests.tolist())
    assert len(one.tensors()["learned"]) * 8 == 800  # eight bytes a row


@pytest.mark.parametrize(
    ("given", "words"),
    [({"calibrate": "cross-fitting"}, "held-out"), ({"test": -0.1}, "test"), ({"test": 1.0}, "test")],
)
def test_what_cannot_be_held_out_is_refused(given, words):
    with pytest.raises(UserError, match=words):
        likely.fit("ppca", np.random.default_rng(0).normal(size=(50, 3)), **given)


def test_a_detector_learns_from_rows_in_which_a_column_is_constant():
    """A fold in which a pixel is always 0, and another in which it is not."""
    from likely.estimators import FeatureExtractor, NoveltyDetector

    X = np.random.default_rng(0).normal(size=(300, 3))
    X[:, 1] = 0
    new = np.array([[0.0, 0, 0], [0, 5, 0]])
    with pytest.warns(UserWarning, match="x1"):
        detector = NoveltyDetector("ppca", train=QUICK).fit(X)
    np.testing.assert_array_equal(detector.predict(new), [1, -1])
    with pytest.warns(UserWarning, match="x1"):
        codes = FeatureExtractor(Spec("pca", z_size=1)).fit(X).transform(new)
    assert np.isfinite(codes).all()
