"""Imputation against a model whose conditionals have formulas: a linear Gaussian one, and its encoder a poor judge."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

import likely
from likely.corruptions import Downsampling, Erasing
from likely.corruptions.noise import Kept
from likely.errors import DataError, Unsupported, UserError
from likely.likelihoods import Bernoulli
from likely.models import VAE, LadderVAE
from likely.networks import MLP
from likely.variational.imputation import draw_missing, impute
from likely.variational.posteriors import Diagonal

SCALE = 0.5
N_DRAWS = 4000


class LinearGaussian(nn.Module):
    """z ~ N(0, I), x ~ N(W z + b, SCALE^2): so x ~ N(b, W W^T + SCALE^2)."""

    z_shape = (2,)

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(5, 2, generator=generator, dtype=torch.float64)
        self.bias = torch.randn(5, generator=generator, dtype=torch.float64)
        self.covariance = self.weight @ self.weight.T + SCALE**2 * torch.eye(5, dtype=torch.float64)

    def infer(self, x: Tensor, condition: Tensor | None = None) -> Diagonal:
        """What an encoder says that never saw a gap: too sure, and beside the point."""
        loc = torch.full((len(x), 2), 0.7, dtype=x.dtype)
        return Diagonal(loc, torch.full_like(loc, -2.0))

    def log_prior(self, z: Tensor) -> Tensor:
        return Normal(torch.zeros_like(z), 1.0).log_prob(z).sum(1)

    def observe(self, z: Tensor, condition: Tensor | None = None) -> Independent:
        return Independent(Normal(z @ self.weight.T + self.bias, SCALE), 1)

    def conditional(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of what is missing of one row, given the rest."""
        m, o = y.isnan(), ~y.isnan()
        gain = torch.linalg.solve(self.covariance[o][:, o], self.covariance[o][:, m]).T
        mean = self.bias[m] + gain @ (y[o] - self.bias[o])
        return mean, self.covariance[m][:, m] - gain @ self.covariance[o][:, m]


def rows() -> Tensor:
    """One without gaps, some with, and one of which nothing is left."""
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    nan = torch.nan
    x[1, 2] = nan
    x[2, [0, 3]] = nan
    x[3, [0, 1, 2]] = nan
    x[4, 1:] = nan
    x[5] = nan
    return x


def erased(y: Tensor) -> Kept:
    return Erasing().behind(y, tuple(y.shape[1:]))


@pytest.mark.parametrize("i", range(1, 6))
def test_the_mean_is_that_of_the_conditional_normal(i):
    model, y = LinearGaussian(), rows()
    mean, covariance = model.conditional(y[i])
    found = impute(model, y, erased(y), n_proposals=20_000)[i, y[i].isnan()]
    # Of as many draws from the conditional itself the error would be half as large.
    error = 2 * (covariance.diagonal() / 20_000).sqrt()
    assert ((found - mean).abs() < 4 * error).all()


@pytest.mark.parametrize("i", range(1, 6))
def test_draws_are_those_of_the_conditional_normal(i):
    model, y = LinearGaussian(), rows()
    mean, covariance = model.conditional(y[i])
    torch.manual_seed(0)
    copies = y[i].expand(N_DRAWS, 5)
    draws = draw_missing(model, copies, erased(copies))[0][:, y[i].isnan()]
    error = (covariance.diagonal() / N_DRAWS).sqrt()
    assert ((draws.mean(0) - mean).abs() < 4 * error).all()
    variances = covariance.diagonal()
    # Of a sample covariance of normals.
    error = ((covariance.square() + variances[:, None] * variances) / N_DRAWS).sqrt()
    assert ((draws.T.cov().view_as(covariance) - covariance).abs() < 4 * error).all()


def test_draws_of_a_row_and_of_rows_are_strangers():
    """Or else the mean of a column would be as uncertain as a single cell of it."""
    model = LinearGaussian()
    y = torch.full((2, 5), torch.nan, dtype=torch.float64)
    torch.manual_seed(0)
    draws = draw_missing(model, y, erased(y), n_samples=1000)
    one, two = draws[:, 0], draws[:, 1]
    for a, b in ((one, two), (one[1:], one[:-1])):
        both = torch.cat([a, b], 1).T.corrcoef()[:5, 5:]
        assert both.abs().max() < 5 / len(a) ** 0.5


def test_the_less_is_left_the_less_is_known():
    model = LinearGaussian()
    whole = torch.zeros(5, 5, dtype=torch.float64)
    for i in range(5):
        whole[i, : i + 1] = torch.nan
    torch.manual_seed(0)
    spread = draw_missing(model, whole, erased(whole), n_samples=1000)[:, :, 0].std(0)
    expected = torch.stack([model.conditional(row)[1][0, 0].sqrt() for row in whole])
    torch.testing.assert_close(spread, expected, rtol=0.12, atol=0)
    assert expected[-1] > 1.5 * expected[0]


@pytest.mark.parametrize("draw", [False, True])
def test_what_is_there_stays_bit_for_bit(draw):
    model, y = LinearGaussian(), rows()
    found = draw_missing(model, y, erased(y), n_samples=3) if draw else impute(model, y, erased(y))[None]
    there = ~y.isnan()
    assert found.isfinite().all()
    for each in found:
        assert torch.equal(each[there], y[there])


def test_neighbors_decide_nothing():
    model, y = LinearGaussian(), rows()
    together = impute(model, y, erased(y))
    for i in range(len(y)):
        torch.testing.assert_close(impute(model, y[i : i + 1], erased(y[i : i + 1]))[0], together[i])
    others = y.clone()
    others[:4] += 3
    draws = []
    for some in (y, others):
        torch.manual_seed(0)
        draws.append(draw_missing(model, some, erased(some), n_samples=2))
    torch.testing.assert_close(draws[0][:, 4:], draws[1][:, 4:])
    assert not torch.allclose(draws[0][:, 1], draws[1][:, 1])


def test_memory_is_bounded_and_pieces_change_nothing(monkeypatch):
    model, y = LinearGaussian(), rows()
    whole = impute(model, y, erased(y))
    seen = []
    observe = model.observe
    monkeypatch.setattr(model, "observe", lambda z, condition: (seen.append(len(z)), observe(z, condition))[1])
    for room in ("imputation", "refinement"):
        monkeypatch.setattr(f"likely.variational.{room}.MAX_ROWS_AT_ONCE", 40)
    torch.testing.assert_close(impute(model, y, erased(y)), whole)
    draw_missing(model, y, erased(y), n_samples=2)
    assert max(seen) <= 40


def test_only_what_is_missing_can_be_filled_in():
    model = VAE((1, 4, 4), 2, network=MLP((8,)))
    y = torch.randn(2, 1, 2, 2)
    with pytest.raises(UserError, match="is something else"):
        model.restore(y, Downsampling(2).behind(y, (1, 4, 4)))


@pytest.mark.parametrize("kind", [VAE, LadderVAE])
def test_bits_are_drawn_and_their_means_are_probabilities(kind):
    torch.manual_seed(0)
    sizes = {"z_sizes": (2, 2)} if kind is LadderVAE else {"z_size": 2}
    model = kind((6,), network=MLP((8,)), likelihood=Bernoulli(), **sizes).eval()
    y = torch.randint(2, (4, 6)).float()
    y[:, :2] = torch.nan
    with torch.inference_mode():
        mean = model.restore(y, erased(y))[:, :2]
        draws = model.draw_restorations(y, erased(y), n_samples=300)[:, :, :2]
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert (mean > 0).all()
    assert (mean < 1).all()
    # Draws of the same: four standard errors of 300 draws, and what 64 proposals miss.
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=0.13)


# In a person's own units.


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """a and b say the same in other units; `whole` counts, `always` is constant."""
    generator = np.random.default_rng(0)
    a = generator.normal(170.0, 10.0, 400)
    b = 2.54 * a + generator.normal(0, 0.5, 400)
    return pd.DataFrame({"a": a, "b": b, "whole": np.rint(a / 10).astype(int), "always": 7.0})


@pytest.fixture(scope="module")
def of_people(people) -> likely.Fitted:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return likely.fit("vae", people, train=likely.TrainConfig(epochs=60, seed=0), calibrate="none")


def with_gaps(people: pd.DataFrame) -> pd.DataFrame:
    left = people[:40].astype({"whole": "Int64"})
    left.loc[3, "b"] = np.nan
    left.loc[4, ["a", "b"]] = np.nan
    left.loc[5, "whole"] = pd.NA
    left.loc[6, ["a", "b", "whole", "always"]] = pd.NA
    return left


def test_a_table_comes_back_whole_and_what_was_there_to_the_last_digit(people, of_people):
    left = with_gaps(people)
    whole = of_people.restore(left)
    assert list(whole) == list(people)
    assert not whole.isna().any(axis=None)
    there = left.notna().to_numpy()
    np.testing.assert_array_equal(whole.to_numpy(float)[there], left.to_numpy(float, na_value=np.nan)[there])
    assert abs(whole.loc[3, "b"] - people.loc[3, "b"]) < 4  # of a standard deviation of 25
    assert abs(whole.loc[6, "a"] - people["a"].mean()) < 3
    assert whole.loc[6, "always"] == 7


def test_draws_of_a_table_are_rows_that_could_have_been(people, of_people):
    left = with_gaps(people)
    draws = of_people.draw_restorations(left, 60)
    assert len(draws) == 60
    there = left.notna().to_numpy()
    for draw in draws:
        np.testing.assert_array_equal(draw.to_numpy(float)[there], left.to_numpy(float, na_value=np.nan)[there])
        assert draw["whole"].dtype == left["whole"].dtype
    lost = np.array([draw.loc[6, "a"] for draw in draws])
    known = np.array([draw.loc[3, "b"] / 2.54 for draw in draws])
    assert 6 < lost.std() < 15  # nothing is known of it: 10, as in the data
    assert known.std() < 0.3 * lost.std()
    again = of_people.draw_restorations(left, 2, seed=1)
    assert again[0].loc[6, "a"] != draws[0].loc[6, "a"]
    pd.testing.assert_frame_equal(of_people.draw_restorations(left, 2, seed=1)[0], again[0])


def test_spread_is_that_of_draws_in_the_units_of_the_column(people, of_people):
    left = with_gaps(people)
    spread = of_people.restoration_spread(left)
    assert (spread.to_numpy()[left.notna().to_numpy()] == 0).all()
    assert 6 < spread.loc[6, "a"] < 15
    assert 0 < spread.loc[3, "b"] < 0.3 * spread.loc[6, "b"]
    assert spread.loc[6, "b"] == pytest.approx(2.54 * spread.loc[6, "a"], rel=0.2)
    assert spread.loc[6, "always"] == 0


def test_images_with_gaps_are_filled_in_and_drawn():
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype(np.uint8)
    fitted = likely.fit("vae", images, train=likely.TrainConfig(epochs=2, seed=0), calibrate="none", z_size=2)
    left = images[:5].astype(np.float32)
    left[1:, 1, 2] = np.nan
    there = ~np.isnan(left)
    for found in (fitted.restore(left), *fitted.draw_restorations(left, 3)):
        assert found.shape == left.shape
        np.testing.assert_array_equal(found[there], images[:5][there])
        assert ((found >= 0) & (found <= 255)).all()
    spread = fitted.restoration_spread(left)
    assert (spread[there] == 0).all()
    assert ((spread[~there] > 20) & (spread[~there] < 130)).all()  # uniform noise has 74
    with pytest.raises(DataError, match="of which draws are made"):
        fitted.draw_restorations(np.zeros((2, 5, 4)))


def test_who_cannot_draw_names_those_that_do():
    data = np.random.default_rng(0).normal(size=(60, 3))
    config = likely.TrainConfig(epochs=1)
    fitted = likely.fit("denoising_autoencoder", data, train=config, calibrate="none")
    with pytest.raises(Unsupported, match="vae"):
        fitted.draw_restorations(data)
    fitted = likely.fit("vae", data, train=config, calibrate="none")
    with pytest.raises(UserError, match="n_samples must be a whole number, 2 or more"):
        fitted.restoration_spread(data, 1)
    np.testing.assert_array_equal(fitted.restore(data), data)
