"""What is told of a sampler: figures beside the floor of real rows and beside PPCA, shares of classes, words."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import likely as library
from likely.assess import assess
from likely.assess.bench import Bench
from likely.assess.features import ClassifierSpace, PrincipalSpace, pinned_space
from likely.assess.real_rows import RealRows, as_given, as_handed_out
from likely.assess.samples import (
    FRECHET,
    OWN_FIGURES,
    REAL,
    SHARES,
    TWO_SAMPLE,
    classes_in_words,
    distance_in_words,
    samples,
    told_in_words,
)
from likely.contract import Sampler
from likely.data import open_source
from likely.evaluation import Assessment, Figure, Histogram
from likely.networks.classifier import Classifier
from likely.report.judged import judged

N_TEST = 150


def blobs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of 8 x 8 gray levels of three classes: a bright square in one of three corners, and noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    images = random.integers(0, 60, (n, 8, 8))
    for i, label in enumerate(labels):
        top, left = divmod(int(label), 2)
        images[i, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4] += 120
    return images.astype(np.uint8), labels


def source_of(rows, labels=None):
    source = open_source(rows)
    source.labels = labels
    return source


@pytest.fixture(scope="module")
def court():
    """A PPCA of images with labels, its test rows and those that it learned from."""
    (train, of_train), (test, of_test) = blobs(600, 0), blobs(N_TEST, 1)
    source = source_of(train, of_train)
    fitted = library.fit("ppca", source, z_size=3, calibrate="none")
    return Bench(fitted, source_of(test, of_test), source)


@pytest.fixture(scope="module")
def judgment(court):
    return samples(court)


def test_every_figure_has_the_model_first_and_the_floor_beside_it(judgment):
    assert [figure.name for figure in judgment.figures] == list(OWN_FIGURES)
    for figure in judgment.figures:
        assert list(figure.values) == ["ppca", REAL]  # it is its own baseline
        assert all(np.isfinite(value) for value in figure.values.values())


def test_what_draws_like_the_data_reaches_the_floor_and_what_does_not_stays_above(court):
    """An oracle: new rows of the very source in the place of samples, and rows of another."""
    real = RealRows(court.fitted, court.test, court.train, N_TEST)
    floor = real.measured_floor()
    perfect = real.measured(as_given(court.fitted, open_source(blobs(N_TEST, 2)[0])))
    poor = real.measured(real.floor.flip(-1))
    assert abs(perfect.told.accuracy - 0.5) < 4 * perfect.told.accuracy_error
    assert perfect.frechet.mean < floor.frechet.mean + 4 * floor.frechet.error
    # Mirrored, two corners change places and the third is a new one: a third is told, of the others every second.
    assert abs(poor.told.accuracy - 2 / 3) < 4 * poor.told.accuracy_error
    assert poor.frechet.mean > 5 * floor.frechet.mean
    assert poor.near.coverage < floor.near.coverage


def test_training_rows_in_the_place_of_samples_gain_nothing(court):
    """Whoever copies comes to the floor and not below it: test rows are what samples are held against."""
    real = RealRows(court.fitted, court.test, court.train, N_TEST)
    copied = real.measured(as_given(court.fitted, open_source(blobs(600, 0)[0][:N_TEST])))
    floor = real.measured_floor()
    assert copied.frechet.mean > floor.frechet.mean - 2 * floor.frechet.error
    assert abs(copied.told.accuracy - floor.told.accuracy) < 5 * floor.told.accuracy_error


def test_classes_are_counted_as_they_are(court, judgment):
    real = RealRows(court.fitted, court.test, court.train, N_TEST)
    images, labels = blobs(200, 3)
    few = as_given(court.fitted, open_source(images[labels != 1]))
    expected = np.bincount(labels[labels != 1], minlength=3) / (labels != 1).sum()
    assert real.shares(few) == pytest.approx(expected, abs=0.02)
    [histogram] = judgment.histograms
    assert histogram.classes == ("0", "1", "2")
    for shares in histogram.shares.values():
        assert sum(shares) == pytest.approx(1.0)
    assert histogram.shares[REAL] == pytest.approx([1 / 3] * 3, abs=0.05)


def test_the_answer_is_the_same_each_time_and_leaves_no_trace(court, judgment):
    before = torch.get_rng_state()
    again = samples(Bench(court.fitted, court.test, court.train))
    assert torch.equal(before, torch.get_rng_state())
    assert again == judgment


def test_samples_are_drawn_once_for_all_that_look_at_them(court, monkeypatch):
    calls = []
    drawing = type(court.fitted).see_samples
    monkeypatch.setattr(
        type(court.fitted), "see_samples", lambda self, n, **more: calls.append(n) or drawing(self, n, **more)
    )
    assess(court.fitted, court.test, court.train)
    assert calls == [1000]


def test_samples_that_are_no_numbers_are_left_out(court, monkeypatch):
    bench, drawing = Bench(court.fitted, court.test, court.train), type(court.fitted).see_samples

    def broken(self, n, **more):
        drawn = drawing(self, n, **more)
        drawn[::2] = torch.nan
        return drawn

    monkeypatch.setattr(type(court.fitted), "see_samples", broken)
    assert len(bench.draws(court.fitted)) == 500
    assert samples(bench).figures
    monkeypatch.setattr(type(court.fitted), "see_samples", lambda self, n, **more: drawing(self, n, **more) * torch.nan)
    assert assess(court.fitted, court.test, court.train).figure("copies") is None


def test_without_labels_the_space_is_that_of_pca_and_there_are_no_classes(court):
    train, test = source_of(blobs(600, 0)[0]), source_of(blobs(N_TEST, 1)[0])
    found = samples(Bench(court.fitted, test, train))
    assert not found.histograms
    assert SHARES not in [figure.name for figure in found.figures]
    [distance] = [figure for figure in found.figures if figure.name == FRECHET]
    assert "principal components" in distance.note


def test_test_rows_of_a_class_that_nobody_learned_are_not_held_against_samples(court):
    images, labels = blobs(N_TEST, 1)
    strange = np.concatenate([images, np.full_like(images, 255)])
    both = Bench(court.fitted, source_of(strange, np.concatenate([labels, np.full(N_TEST, 9)])), court.train)
    alone = Bench(court.fitted, source_of(images, labels), court.train)
    assert samples(both) == samples(alone)


@pytest.mark.parametrize("n_test", [1, 19])
def test_of_too_few_rows_nothing_is_said(court, n_test):
    images, labels = blobs(n_test, 1)
    assert not samples(Bench(court.fitted, source_of(images, labels), court.train)).figures
    few = source_of(*blobs(40, 0))
    assert not samples(Bench(court.fitted, court.test, few)).figures


def test_a_model_that_does_not_sample_is_told_nothing_of():
    train, test = source_of(blobs(200, 0)[0]), source_of(blobs(60, 1)[0])
    fitted = library.fit("pca", train, z_size=3, calibrate="none")
    assert not isinstance(fitted.model, Sampler)
    assert not samples(Bench(fitted, test, train)).figures


def test_rows_with_missing_values_are_not_judged():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    rows[::7, 1] = np.nan
    fitted = library.fit("vae", rows, calibrate="none", train=library.TrainConfig(epochs=1))
    assert not samples(Bench(fitted, open_source(rows[:60]), open_source(rows[60:]))).figures


def test_a_table_with_names_and_whole_numbers_is_compared_as_it_is_handed_out():
    random = np.random.default_rng(0)
    n = 300
    table = pd.DataFrame(
        {"a": random.normal(size=n), "b": random.integers(0, 4, n), "c": random.choice(["x", "y"], n), "d": 1.0}
    )
    fitted = library.fit("vae", table, calibrate="none", train=library.TrainConfig(epochs=1))
    drawn = fitted.see_samples(50)
    given = as_handed_out(fitted, drawn)
    assert given.shape == drawn.shape
    whole = given[:, 1].double() * fitted.schema.scales[1] + fitted.schema.locations[1]
    torch.testing.assert_close(whole, whole.round(), atol=1e-4, rtol=0)
    assert (given[:, 2:].sum(1) == 1).all()
    found = samples(Bench(fitted, open_source(table[:100]), open_source(table[100:])))
    assert [*found.figures[0].values] == ["vae", REAL]  # PPCA has no samples of names


def test_gray_that_is_read_as_a_probability_is_drawn_row_by_row():
    gray = np.full((400, 4, 4), 128, np.uint8)
    fitted = library.fit("vae", gray + np.arange(400, dtype=np.uint8)[:, None, None] % 2, binarize=True,
                         calibrate="none", train=library.TrainConfig(epochs=1))  # fmt: skip
    bits = as_given(fitted, open_source(gray))
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    assert bits.mean(0).min() > 0.4
    assert bits.mean(0).max() < 0.6


# The pinned space


def test_the_space_is_pinned():
    images, labels = blobs(300, 0)
    x = torch.from_numpy(images)[:, None] / 255
    torch.manual_seed(1)
    first = pinned_space(x, labels)
    torch.manual_seed(2)
    second = pinned_space(x, labels)
    np.testing.assert_allclose(first(x), second(x), rtol=1e-5, atol=1e-5)
    assert isinstance(first, ClassifierSpace)
    assert first.classes == ("0", "1", "2")
    fresh, truth = blobs(200, 5)
    assert (first.predict(torch.from_numpy(fresh)[:, None] / 255) == truth).mean() > 0.97
    assert first(x).std(0) == pytest.approx(np.ones(32), abs=0.2)


def test_labels_that_teach_nothing_give_principal_components():
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    for labels in (None, np.zeros(60, int), np.arange(60), np.repeat(np.arange(12), 5)):
        assert isinstance(pinned_space(x, labels), PrincipalSpace)
    assert isinstance(pinned_space(x, np.repeat(["a", "b"], 30)), ClassifierSpace)


def test_principal_features_keep_distances():
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 7)
    found = pinned_space(x, None)(x)
    assert found.shape == (50, 6)
    np.testing.assert_allclose(np.linalg.norm(found[3] - found[7]), torch.dist(x[3], x[7]), rtol=1e-5)
    assert (np.diff(found.var(0)) < 0).all()


@pytest.mark.parametrize("shape", [(3,), (1, 8, 8), (3, 32, 32), (1, 5, 5), (2, 40), (1, 9, 30)])
def test_the_small_classifier_takes_any_shape(shape):
    network = Classifier(shape, 4, n_features=7)
    x = torch.randn(5, *shape)
    assert network.body(x).shape == (5, 7)
    assert network(x).shape == (5, 4)


# In words


def test_words_say_whether_a_classifier_tells_samples_from_rows(court):
    real = RealRows(court.fitted, court.test, court.train, N_TEST)
    floor, poor = real.measured_floor(), real.measured(real.floor.flip(-1))
    assert "does not tell" in told_in_words({"m": floor, REAL: floor})
    assert "tells its samples from test rows" in told_in_words({"m": poor, REAL: floor, "PPCA (3)": floor})
    assert "PPCA (3)'s" in told_in_words({"m": poor, REAL: floor, "PPCA (3)": floor})
    assert "as near to test rows as other real rows" in distance_in_words({"m": floor, REAL: floor}, "s")
    times = poor.frechet.mean / floor.frechet.mean
    assert f"{times:.3g} times as far" in distance_in_words({"m": poor, REAL: floor}, "s")


def test_words_name_classes_that_are_drawn_too_seldom_and_none_by_chance():
    classes, data = ("a", "b", "c"), np.array([0.5, 0.3, 0.2])
    assert "all 3 classes" in classes_in_words(classes, np.array([0.49, 0.32, 0.19]), data, 1000)
    far = classes_in_words(classes, np.array([0.6, 0.4, 0.0]), data, 1000)
    assert "TOO OFTEN OR TOO SELDOM" in far
    assert "c in 0.0% (data: 20.0%)" in far
    assert "NEVER: c." in far
    # Off by a half of its share, which of 20 samples says nothing.
    assert "all 3 classes" in classes_in_words(classes, np.array([0.55, 0.35, 0.1]), data, 20)


# In files, on the screen and in the report


def test_histograms_go_to_json_and_back():
    found = Histogram(SHARES, ("a", "b"), {"m": (0.25, 0.75), REAL: (0.5, 0.5)}, "a note")
    whole = Assessment(3, histograms=(found,))
    assert Assessment.from_json(json.loads(json.dumps(whole.to_json()))) == whole
    older = whole.to_json()
    del older["histograms"]
    assert Assessment.from_json(older).histograms == ()
    with pytest.raises(ValueError, match="2 shares"):
        Histogram(SHARES, ("a", "b"), {"m": (1.0,)})


def test_the_floor_is_no_rival_in_the_report():
    figure = Figure(FRECHET, "", "lower", {"m": 3.0, REAL: 1.0, "PPCA (2)": 4.0})
    shown = judged(Assessment(9, (figure,), histograms=(Histogram(SHARES, ("<b>",), {"m": (1.0,)}),)))
    assert [cell["best"] for cell in shown["figures"][0]["cells"]] == [True, False, False]
    assert shown["figures"][0]["better"] == "lower"
    assert "&lt;b&gt;" in shown["histograms"][0]["chart"]
    alone = judged(Assessment(9, (Figure(FRECHET, "", "lower", {"m": 3.0, REAL: 1.0}),)))
    assert not any(cell["best"] for cell in alone["figures"][0]["cells"])
    assert judged(Assessment(9, (Figure("MSE", "", "lower", {"m": 1.0}),))) is None


def test_evaluate_and_report_show_samples_beside_real_rows(tmp_path, monkeypatch, capsys):
    from likely.cli import run

    monkeypatch.chdir(tmp_path)
    images, labels = blobs(600, 0)
    np.savez("blobs.npz", x=images, y=labels)
    assert run(["fit", "blobs.npz", "--label", "y", "--model", "ppca", "--set", "z_size=3", "--out", "m"]) == 0
    capsys.readouterr()
    assert run(["evaluate", "m"]) == 0
    shown = capsys.readouterr().out
    for name in OWN_FIGURES:
        assert name in shown
    assert "Class shares" in shown
    assert REAL in shown
    assert "A classifier " in shown
    stored = json.loads((tmp_path / "m" / "metrics.json").read_text("utf-8"))
    assert {figure["name"] for figure in stored["figures"]} >= set(OWN_FIGURES)
    assert [each["name"] for each in stored["histograms"]] == [SHARES]
    [told] = [figure for figure in stored["figures"] if figure["name"] == TWO_SAMPLE]
    assert "1,000" in told["note"]  # the cap is said
    page = (tmp_path / "m" / "report.html").read_text("utf-8")
    assert "Are they like real rows?" in page
    assert "FID" not in page
    shutil.rmtree("m")
