"""What a report shows of the space of codes is what the model says of the rows it names."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine

import likely
from likely.data import open_source
from likely.evaluation import Assessment
from likely.networks import MLP
from likely.report import ReportParts, gather, render
from likely.report.exploration import _most_active

SMALL, QUICK = MLP((32,)), likely.TrainConfig(epochs=6, seed=0)


def pages_of(model, source, **arguments):
    fitted = likely.fit(model, source, train=QUICK, calibrate="none", **arguments)
    n = len(source)
    return fitted, gather(fitted, ReportParts(source, np.arange(n - 60), np.arange(n - 60, n), Assessment(60)))


@pytest.fixture(scope="module")
def digits():
    data = load_digits(n_class=4)
    source = open_source(data.images.astype(np.uint8))
    source.labels = data.target.astype(str)
    return source


@pytest.fixture(scope="module")
def cvae(digits):
    return pages_of("vae", digits, network=SMALL, z_size=2, condition="label")


def named(source, name):
    """The row that a report calls "row 12"."""
    id = int(name.removeprefix("row "))
    return source.read(np.array([id])), source.labels[[id]]


def test_the_same_style_is_one_code_under_every_class(digits, cvae):
    fitted, pages = cvae
    shown = pages.relabeled
    assert list(shown.columns) == ["class 0", "class 1", "class 2", "class 3"]
    assert shown.rows.shape == (4, 4, 8, 8)
    for i, name in enumerate(shown.lines):
        row, label = named(digits, name)
        np.testing.assert_array_equal(shown.originals[i], row[0])
        assert shown.own[i] == int(label[0])
        again = fitted.reconstruct(row, condition=label)[0]
        np.testing.assert_allclose(shown.rows[i, shown.own[i]], again, atol=1e-3)
        code = np.repeat(fitted.encode(row, condition=label), 4, 0)
        np.testing.assert_allclose(shown.rows[i], fitted.decode(code, condition=["0", "1", "2", "3"]), atol=1e-3)


def test_draws_of_a_class_are_those_that_sample_gives(cvae):
    fitted, pages = cvae
    drawn = fitted.sample(32, condition=np.repeat(["0", "1", "2", "3"], 8))
    np.testing.assert_array_equal(pages.class_samples.rows, drawn.reshape(4, 8, 8, 8))
    assert list(pages.class_samples.lines) == ["class 0", "class 1", "class 2", "class 3"]


def test_the_way_of_a_conditional_model_ends_at_reconstructions_of_two_classes(digits, cvae):
    fitted, pages = cvae
    n, rows = len(digits), pages.interpolation.rows
    test = np.arange(n - 60, n)
    again = fitted.reconstruct(digits.read(test), condition=digits.labels[test])
    ends = [np.abs(again - row).reshape(60, -1).max(1) for row in (rows[0], rows[-1])]
    assert [each.min() for each in ends] == pytest.approx([0, 0], abs=1e-3)
    first, last = (digits.labels[test[each.argmin()]] for each in ends)
    assert first != last
    assert pages.interpolation.way == "great circle"


def test_the_plane_of_a_conditional_model_is_of_a_class_that_it_names(cvae):
    fitted, pages = cvae
    plane = pages.codes.plane
    assert (plane.label, plane.of, plane.rows.shape) == ("0", "the prior", (15, 15, 8, 8))
    np.testing.assert_allclose(plane.rows[7, 7], fitted.decode(np.zeros((1, 2)), condition=["0"])[0], atol=1e-3)
    assert "decoder means under the class 0 at quantiles of the prior" in render(pages)


def test_a_page_of_a_conditional_model_has_its_classes(cvae):
    html = render(cvae[1])
    assert '<a href="#classes">' in html
    assert html.count('<table class="tiles">') == 3
    assert "The label goes along" in html


def test_a_traversal_goes_through_the_row_in_the_middle():
    digits = open_source(load_digits().images[:600] + np.random.default_rng(0).normal(size=(600, 8, 8)))
    fitted, pages = pages_of("pca", digits, z_size=8)
    shown = pages.traversals
    assert list(shown.columns) == ["−2", "−1.5", "−1", "−0.5", "0", "+0.5", "+1", "+1.5", "+2"]
    test = digits.read(np.arange(len(digits) - 60, len(digits)))
    codes = fitted.encode(test)
    units = np.argsort(-codes.var(0))[:6]
    assert list(shown.lines) == [f"value {unit}" for unit in units]
    near = int(np.argmin((((codes - codes.mean(0)) / codes.std(0)) ** 2).sum(1)))
    for line in shown.rows:
        np.testing.assert_allclose(line[4], fitted.reconstruct(test[[near]])[0], atol=1e-3)
    for unit, line in zip(units, shown.rows, strict=True):
        steps = np.diff(fitted.encode(line), axis=0) / codes.std(0, ddof=1)
        np.testing.assert_allclose(steps, np.tile(0.5 * (np.arange(8) == unit), (8, 1)), atol=1e-3)
    assert (pages.relabeled, pages.class_samples) == (None, None)
    assert 'href="#classes"' not in render(pages)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_test_rows_show_what_they_can(digits, n):
    fitted = likely.fit("pca", digits, z_size=2, calibrate="none")
    pages = gather(fitted, ReportParts(digits, np.arange(400), np.arange(400, 400 + n), Assessment(n)))
    assert (pages.codes is not None and pages.codes.plane is not None) == (n == 2)
    assert (pages.traversals is not None) == (n == 2)
    assert ("so there is nothing to move" in render(pages)) == (n < 2)


def test_values_that_never_vary_are_not_traversed():
    assert _most_active(np.array([0.5, 1e-6, 0.9, 0.0])) == [2, 0]
    assert _most_active(np.zeros(3)) == []
    assert _most_active(np.linspace(1, 0.1, 9)) == [0, 1, 2, 3, 4, 5]


def test_a_table_is_traversed_in_lines_and_has_no_plane():
    source = open_source(load_wine(as_frame=True).frame, label="target")
    _, pages = pages_of("vae", source, network=SMALL, z_size=2, condition="label")
    assert pages.codes.plane is None
    html = render(pages)
    assert "drawn where rows are images" in html
    assert "value 0: −2" in html
    assert "value 0: +2" in html
    assert "as it is" in html
    assert "<img" not in html


@pytest.mark.parametrize(
    ("model", "unit"), [("made", "nats per row"), ("rbm", "per row"), ("flow_matching", "per row")]
)
def test_only_what_is_minus_a_log_density_is_trained_in_nats(model, unit):
    _, pages = pages_of(model, open_source(np.random.default_rng(0).normal(size=(90, 2))))
    assert pages.objective_unit == unit
