"""The code as a map: figures beside other maps of the same rows, and how a report draws them."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, Isomap, LocallyLinearEmbedding, trustworthiness
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import likely
from likely.assess import Bench, Maps, assess
from likely.assess import maps as assess_maps
from likely.assess.manifold import gain
from likely.assess.verdicts import verdict
from likely.data import open_source
from likely.errors import UserError
from likely.evaluation import Assessment, Curve, Figure
from likely.networks import MLP
from likely.report import Codes, ReportData, ReportParts, charts, gather, render

ALL = ("isomap", "lle", "tsne")


@pytest.fixture(scope="module")
def digits():
    """PCA of two values, test rows and training rows."""
    data = load_digits()
    train, test = open_source(data.images[:400]), open_source(data.images[400:520])
    train.labels, test.labels = data.target[:400].astype(str), data.target[400:520].astype(str)
    return likely.fit("pca", train, z_size=2), test, train


@pytest.fixture(scope="module")
def compared(digits):
    return assess(*digits, compare=ALL)


def seen(fitted, source):
    """Rows as the model sees them."""
    return fitted.see(source).double().numpy().reshape(len(source), -1)


def plain(source):
    """Rows in their own unit."""
    return np.asarray(source.read(np.arange(len(source))), float).reshape(len(source), -1)


def test_each_map_is_measured_on_the_same_rows_as_scikit_learn_measures_it(digits, compared):
    fitted, test, train = digits
    codes = {
        "pca": fitted.encode(test),
        "Isomap (2)": Isomap(n_neighbors=10).fit(seen(fitted, train)).transform(seen(fitted, test)),
        "LLE (2)": LocallyLinearEmbedding(n_neighbors=10, eigen_solver="dense")
        .fit(seen(fitted, train))
        .transform(seen(fitted, test)),
        "t-SNE (2)": TSNE(random_state=0).fit_transform(seen(fitted, test)),
    }
    found = {name: compared.figure(name).values for name in ("trustworthiness", "continuity")}
    assert list(found["trustworthiness"]) == list(codes)
    for row, z in codes.items():
        assert found["trustworthiness"][row] == pytest.approx(trustworthiness(seen(fitted, test), z), abs=1e-3), row
        assert found["continuity"][row] == pytest.approx(trustworthiness(z, seen(fitted, test)), abs=1e-3), row


def test_labels_are_read_from_other_maps_as_from_the_code(digits, compared):
    fitted, test, train = digits
    accuracy = compared.figure("nearest-neighbor accuracy")
    embed = Isomap(n_neighbors=10).fit(seen(fitted, train))
    judge = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(
        embed.transform(seen(fitted, train)), train.labels
    )
    expected = judge.score(embed.transform(seen(fitted, test)), test.labels)
    assert accuracy.values["Isomap (2)"] == pytest.approx(expected, abs=0.01)
    assert set(accuracy.values) == {"pca", "raw values", "Isomap (2)", "LLE (2)", "t-SNE (2)"}
    assert "each of 120 test rows is judged by the others" in accuracy.note
    assert "t-SNE (2)" not in compared.figure("linear probe accuracy").values


def test_codes_without_a_decoder_are_decoded_as_all_others_are(digits, compared):
    fitted, test, train = digits
    error = compared.figure("MSE decoded by neighbors")
    decoded = KNeighborsRegressor(5).fit(fitted.encode(train), plain(train)).predict(fitted.encode(test))
    assert error.values["pca"] == pytest.approx(((decoded - plain(test)) ** 2).mean(), rel=1e-4)
    assert set(error.values) == {"pca", "Isomap (2)", "LLE (2)", "t-SNE (2)"}
    assert "as the mean of the rows whose codes are the 5 nearest" in error.note
    assert "Isomap (2)" not in compared.figure("MSE").values


def test_what_takes_long_is_measured_on_request_only(digits, compared):
    plain = assess(*digits)
    assert list(plain.figure("trustworthiness").values) == ["pca"]
    assert plain.figure("MSE decoded by neighbors") is None
    assert plain.figure("intrinsic dimension") == compared.figure("intrinsic dimension")
    assert plain.curves == compared.curves
    assert Assessment.from_json(compared.to_json()) == compared


def test_without_training_rows_all_learn_from_the_test_rows(digits):
    fitted, test, _ = digits
    alone = assess(fitted, test, compare=("lle",))
    assert list(alone.figure("trustworthiness").values) == ["pca", "LLE (2)"]
    assert "LLE learns from 120 test rows" in alone.figure("trustworthiness").note
    assert "of 120 other test rows" in alone.figure("MSE decoded by neighbors").note


@pytest.mark.parametrize("names", [("umap",), ("isomap", "t-sne")])
def test_an_unknown_map_is_refused_with_those_there_are(digits, names):
    with pytest.raises(UserError, match="choose of isomap, lle, tsne"):
        assess(*digits, compare=names)


def test_a_model_without_a_code_and_too_few_rows_are_refused(digits):
    with pytest.raises(UserError, match="gan has no code"):
        assess_maps.checked_names(("lle",), "gan", has_code=False)
    fitted, test, train = digits
    few = open_source(test.read(np.arange(8)))
    assert assess(fitted, few, train).figure("trustworthiness") is None
    with pytest.raises(UserError, match="at least 12 rows of either kind; there are 8"):
        assess(fitted, few, train, compare=("lle",))


def test_wide_rows_and_exact_tsne_take_fewer_rows(digits, monkeypatch):
    monkeypatch.setattr(assess_maps, "MAX_EXACT_ROWS", 50)
    fitted, test, train = digits
    assert len(Maps(Bench(fitted, test, train), ALL).rows) == 120  # two dimensions are done by the fast method
    wide = Maps(Bench(likely.fit("pca", train, z_size=4), test, train), ALL)
    assert (len(wide.rows), wide.title("tsne")) == (50, "t-SNE (4)")
    assert "It is meant for two or three dimensions." in wide.notes()
    assert len(wide.paired(train, 2_000, products=64 * 90**2)) == 90


def test_a_code_larger_than_the_data_is_compared_with_maps_of_a_bearable_size(digits):
    _, test, train = digits
    few = likely.TrainConfig(epochs=0.1, seed=0)
    fitted = likely.fit("autoencoder", train, z_size=600, network=MLP((8,), linear_path=False), train=few)
    found = assess(fitted, test, train, compare=("isomap",))
    assert list(found.figure("trustworthiness").values) == ["autoencoder", "Isomap (64)"]
    assert "The code has 600 values, they have 64." in found.figure("trustworthiness").note
    assert found.curves[0].lines["autoencoder"][-1][0] <= 600


def test_gaps_in_a_table_are_no_obstacle():
    x = np.random.default_rng(0).normal(size=(300, 5))
    x[::7, 2] = np.nan
    fitted = likely.fit("vae", x[:200], z_size=2, train=likely.TrainConfig(epochs=0.2, seed=0))
    found = assess(fitted, open_source(x[200:]), open_source(x[:200]), compare=("isomap",))
    assert all(np.isfinite(value) for value in found.figure("trustworthiness").values.values())
    assert np.isfinite(found.figure("intrinsic dimension").values["raw values"])


def test_verdicts_say_what_neighbors_dimensions_and_distances_come_to():
    lost = Figure("trustworthiness", "", "higher", {"vae": 0.9, "PCA (2)": 0.95, "Isomap (2)": 0.8})
    assert verdict(lost, "vae") == "Its code makes up MORE neighbors than PCA (2): trustworthiness 0.9 against 0.95."
    won = Figure("continuity", "", "higher", {"vae": 0.9, "PCA (2)": 0.85})
    assert verdict(won, "vae") == "Its code tears fewer neighbors apart than PCA (2): continuity 0.9 against 0.85."
    size = Figure("intrinsic dimension", "", "neither", {"vae": 1.96, "raw values": 11.2})
    assert "about 11 dimensions of its own, and the codes fill about 2." in verdict(size, "vae")
    assert verdict(Figure("intrinsic dimension", "", "neither", {"vae": np.nan, "raw values": 1}), "vae") == ""
    contrast = Figure("distance contrast", "", "neither", {"vae": 0.9, "raw values": 0.25})
    assert "at 10% of the mean distance by the code, at 75% by raw values" in verdict(contrast, "vae")


def test_the_gain_is_how_many_raw_values_do_what_the_code_does():
    raw_values = ((1.0, 0.2), (2.0, 0.5), (4.0, 0.7), (6.0, 0.9))
    for own, words in ((0.6, "4 raw values chosen at random do"), (0.95, "no number of raw values does")):
        curve = Curve(
            "nearest-neighbor accuracy", "dimensions", "", {"vae": ((1.0, 0.1), (2.0, own)), "raw values": raw_values}
        )
        sentence = gain([curve], "vae")
        assert sentence == f"Distances over the 2 values of its code tell {own:.1%} of labels; as well as that {words}."
    assert gain([], "vae") == ""


# In the report


@pytest.fixture(scope="module")
def pages(digits, compared):
    fitted, test, _ = digits
    return gather(fitted, ReportParts(test, np.arange(0), np.arange(120), compared, compare=ALL))


def test_maps_stand_side_by_side_with_each_class_named_on_each_of_them(pages):
    html = render(pages)
    assert list(pages.codes.beside) == ["Isomap", "LLE", "t-SNE"]  # the model is PCA itself
    for name, points in pages.codes.beside.items():
        assert points.shape == (120, 2)
        assert f"<h3>{name}</h3>" in html
    assert len(re.findall(r'<g class="name">\s*(?:<!--.*?-->\s*)?<text', html)) == 4 * 10


def test_the_pca_map_is_of_the_same_rows(digits):
    _, test, train = digits
    fitted = likely.fit("autoencoder", train, z_size=3, train=likely.TrainConfig(epochs=0.1, seed=0))
    codes = gather(fitted, ReportParts(test, np.arange(0), np.arange(120), Assessment(120))).codes
    assert list(codes.beside) == ["PCA"]
    # Which row is where is told by its code, for they come in random order.
    order = np.array([np.abs(codes.values - z).max(1).argmin() for z in fitted.encode(test)])
    assert sorted(order) == list(range(120))
    own = PCA(2).fit_transform(seen(fitted, test))
    assert np.abs(codes.beside["PCA"][order]) == pytest.approx(np.abs(own), abs=1e-4)
    assert codes.plane is None  # three values are no plane


def test_the_plane_is_decoded_as_the_map_lies(digits, pages):
    fitted, test, _ = digits
    plane = pages.codes.plane
    k = len(plane.rows)
    low, high = np.quantile(fitted.encode(test), [0.5 / k, 1 - 0.5 / k], axis=0)
    assert (plane.low, plane.high) == (pytest.approx(low), pytest.approx(high))
    assert plane.of == "the codes of test rows"  # PCA has no prior
    corners = np.array([[low[0], high[1]], [high[0], low[1]]])  # top left, bottom right
    decoded = fitted.decode(corners)
    assert plane.rows[0, 0] == pytest.approx(decoded[0], abs=1e-3)
    assert plane.rows[k - 1, k - 1] == pytest.approx(decoded[1], abs=1e-3)
    assert "what the plane decodes to" in render(pages)


def test_the_table_of_maps_has_its_best_marked_and_is_not_repeated(pages, compared):
    html = render(pages)
    section, figures = (
        html[html.index('id="manifold"') : html.index('id="surprise"')],
        html[html.index('id="figures"') :],
    )
    row = re.search(r"<tr><th>trustworthiness.*?</tr>", section, re.DOTALL)[0]
    best = compared.figure("trustworthiness").values[compared.figure("trustworthiness").best()]
    assert row.count(" best") + row.count('"best') == 1
    assert f"{best:.3f}" in row[row.index("best") :]
    for name in ("trustworthiness", "continuity", "intrinsic dimension", "distance contrast"):
        assert f"<tr><th>{name}" not in figures
    assert "<tr><th>MSE" in figures
    dimension = compared.figure("intrinsic dimension").values["raw values"]
    assert f"About <strong>{dimension:.1f} ± " in section
    assert section.count("<title>distance contrast over dimensions") == 1
    assert section.count("<title>nearest-neighbor accuracy over dimensions") == 1


def test_names_cover_no_other_name_and_stay_inside():
    random = np.random.default_rng(0)
    for _ in range(20):
        middle, width = random.uniform(0.3, 0.7, (10, 2)), random.uniform(0.02, 0.3, 10)
        placed = charts.apart(middle, width)
        for i in range(10):
            for j in range(i):
                beside = abs(placed[i, 0] - placed[j, 0]) >= (width[i] + width[j]) / 2
                assert beside or abs(placed[i, 1] - placed[j, 1]) >= 0.99 * charts.LINE
    alone = charts.apart(np.array([[0.99, 0.5], [0.1, 0.2]]), np.array([0.2, 0.1]))
    assert alone == pytest.approx(np.array([[0.9, 0.5], [0.1, 0.2]]))


def test_korean_and_long_names_are_on_the_map(recwarn):
    codes = np.random.default_rng(0).normal(size=(90, 2))
    names = np.array(["고양이", "<b>&\"'", "the name of a class that is long"] * 30)
    html = render(ReportData("t", "m", {}, "now", "0", {}, codes=Codes(codes, names)))
    drawn = re.findall(r'<g class="name">\s*<text[^>]*>([^<]*)</text>', html)
    assert set(drawn) == {"고양이", "&lt;b&gt;&amp;\"'", "the name of a c…"}
    assert not recwarn.list


def test_a_name_stands_on_a_dot_of_its_class():
    halves = np.array([[0.0, 0], [0, 1], [10, 0], [10, 1]])
    assert charts._middle(halves).tolist() in halves.tolist()


def test_numbers_of_dimensions_do_not_run_into_each_other():
    assert charts._spread([1.0, 2.0, 4.0, 8.0, 9.0]) == [1, 2, 4, 9]
    one = charts.growth({"raw values": ((1.0, 0.5),)}, "dimensions", "contrast")
    assert "raw values" in one
