"""Tables of numbers and categories, from a DataFrame to a DataFrame."""

import itertools

import numpy as np
import pandas as pd
import pytest

import likely
from likely.assess import assess
from likely.data import open_source
from likely.errors import UserError
from likely.report import render
from likely.report.gather import ReportParts, gather

CITIES = np.array(["서울", "부산", "대구"])
N = 600


def table(n=N, seed=0):
    """A city that decides a height, a coin that is tossed by itself (heads 0.8), a flag that tells the city 서울."""
    generator = np.random.default_rng(seed)
    city = generator.integers(0, 3, n)
    return pd.DataFrame(
        {
            "height": 170 + 10 * city + generator.normal(0, 1, n),
            "city": CITIES[city],
            "coin": np.where(generator.random(n) < 0.8, "heads", "tails"),
            "is_seoul": city == 0,
        }
    )


@pytest.fixture(scope="module")
def fitted():
    config = likely.TrainConfig(epochs=80, seed=0)
    return likely.fit("vae", table(), z_size=2, train=config, calibrate="none")


def test_the_likelihood_is_chosen_and_said(fitted):
    assert any("Columns(1 numbers and 3 categories" in text for text in fitted.info["chosen"])


def test_samples_are_rows_of_the_table_that_hang_together(fitted):
    drawn = fitted.sample(400)
    assert list(drawn.columns) == list(table().columns)
    assert set(drawn["city"]) == set(CITIES)
    assert drawn["is_seoul"].dtype == bool
    assert ((drawn["city"] == "서울") == drawn["is_seoul"]).mean() > 0.9  # 0.56 where they are independent
    means = drawn.groupby("city")["height"].mean()
    assert means["서울"] < means["부산"] < means["대구"]


def test_a_category_that_does_not_go_with_the_rest_surprises(fitted):
    new = table(50, seed=1)
    wrong = new.assign(is_seoul=~new["is_seoul"])
    assert (fitted.score(wrong).surprise > fitted.score(new).surprise + 2).mean() > 0.95
    assert (fitted.log_prob(new) == -fitted.score(new).surprise).all()


def test_missing_categories_are_restored_from_the_rest(fitted):
    new = table(40, seed=2)
    gaps = new.astype({"is_seoul": object})
    gaps.loc[::2, "city"] = None
    gaps.loc[1::2, "is_seoul"] = None
    gaps.loc[::5, "height"] = np.nan
    restored = fitted.restore(gaps)
    known = ~gaps.isna()
    for name in new.columns:
        assert (restored[name][known[name]] == new[name][known[name]]).all()
    told = gaps["height"].notna()
    assert (restored["city"] == new["city"])[told].mean() > 0.9
    assert (restored["is_seoul"].astype(bool) == new["is_seoul"])[told].mean() > 0.9
    assert (restored["height"] - new["height"]).abs().max() < 25


def test_draws_of_a_category_are_as_likely_as_it_is(fitted):
    gaps = table(10, seed=3)
    gaps["coin"] = None
    coins = np.concatenate([each["coin"] for each in fitted.draw_restorations(gaps, 100)])
    assert set(coins) == {"heads", "tails"}
    share = (table()["coin"] == "heads").mean()
    assert (coins == "heads").mean() == pytest.approx(share, abs=0.12)


def test_saved_and_loaded_it_says_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "m")
    again = likely.load(tmp_path / "m")
    assert again.spec.arguments["likelihood"] == fitted.spec.arguments["likelihood"]
    np.testing.assert_array_equal(again.surprise(table(20)), fitted.surprise(table(20)))


def test_figures_stand_beside_counts_of_categories(fitted):
    train, test = table(300), table(60, seed=4)
    found = {figure.name: figure for figure in assess(fitted, open_source(test), open_source(train)).figures}
    assert set(found["log-likelihood"].values) == {"vae", "column means"}
    spread = train["height"].std(ddof=0)
    by_hand = -0.5 * ((test["height"] - train["height"].mean()) / spread) ** 2 - np.log(spread * np.sqrt(2 * np.pi))
    for name in ("city", "coin", "is_seoul"):
        counts = train[name].value_counts() + 1
        by_hand = by_hand + np.log(test[name].map(counts / counts.sum()).astype(float))
    assert found["log-likelihood"].values["column means"] == pytest.approx(by_hand.mean(), abs=1e-4)
    assert found["restored MSE"].values["vae"] < found["restored MSE"].values["column means"]


def test_a_report_shows_cells_that_were_lost_and_restored(fitted):
    source = open_source(table(60, seed=4))
    data = gather(fitted, ReportParts(source, np.arange(0), np.arange(60), assess(fitted, source)))
    lost = pd.isna(data.restorations.left)
    assert lost[:, 1:].any()  # of categories
    assert not lost.all(1).any()
    page = render(data)
    assert "서울" in page


def test_a_table_of_categories_alone_has_probabilities():
    frame = table()[["city", "is_seoul"]]
    fitted = likely.fit("vae", frame, z_size=1, train=likely.TrainConfig(epochs=8, seed=0), calibrate="none")
    assert fitted.model.discrete
    states = pd.DataFrame(list(itertools.product(CITIES, [False, True])), columns=frame.columns)
    total = np.exp(fitted.log_prob(states, n_samples=2000)).sum()
    assert total == pytest.approx(1, abs=0.05)
    [figure] = [each for each in assess(fitted, open_source(frame)).figures if each.name == "log-likelihood"]
    assert figure.unit == "nats per row"


def test_other_models_take_them_too():
    for name in ("ladder_vae", "made"):
        fitted = likely.fit(name, table(200), train=likely.TrainConfig(epochs=1, seed=0), calibrate="none")
        assert np.isfinite(fitted.log_prob(table(10))).all()
        assert set(fitted.sample(20)["city"]) <= set(CITIES)


def test_a_gap_that_nothing_goes_on_from_is_told_by_row_and_column_of_the_caller():
    rows = table(3000)
    fitted = likely.fit("made", table(), train=likely.TrainConfig(epochs=0.1, seed=0), calibrate="none")
    rows.loc[2500, "height"] = np.nan
    for ask in (fitted.restore, lambda y: fitted.draw_restorations(y, 3)):
        with pytest.raises(UserError, match='in row 2500 column "height" is missing and column "city", which comes'):
            ask(rows)
