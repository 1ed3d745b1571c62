"""Ways between codes, arithmetic, traversals, the plane of a code and other labels, against what they must be."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

import likely
from likely.contract import Batch
from likely.data import open_source
from likely.data.feed import TensorFeed
from likely.data.subset import Subset
from likely.errors import DataError, Unsupported, UserError
from likely.likelihoods import Bernoulli
from likely.models import PCA, VAE
from likely.networks import MLP
from likely.tasks import latent
from likely.tasks.latent import Way, path, way_of
from likely.training import TrainConfig, train
from likely.variational import NormalMixture
from tests.little_models import LittleAutoregressive

SMALL = MLP((16,))
QUICK = TrainConfig(epochs=3, seed=0)


@pytest.fixture(scope="module")
def X():
    random = np.random.default_rng(0)
    return random.normal(size=(500, 2)) @ random.normal(size=(2, 5)) * [1, 10, 100, 1, 1] + 3


@pytest.fixture(scope="module")
def vae(X):
    return likely.fit("vae", X, z_size=4, network=SMALL, train=QUICK, calibrate="none").to(dtype=torch.float64)


@pytest.fixture(scope="module")
def pca(X):
    return likely.fit("pca", X, z_size=2)


@pytest.fixture(scope="module")
def plane(X):
    return likely.fit("vae", X, z_size=2, network=SMALL, train=QUICK, calibrate="none").to(dtype=torch.float64)


@pytest.fixture(scope="module")
def labeled():
    """Two classes far apart in the first column; the second column is style, and says nothing of the class."""
    random = np.random.default_rng(0)
    y = np.array(["low", "high"])[np.arange(800) % 2]
    X = np.stack([np.where(y == "low", -4.0, 4.0), 3 * random.normal(size=800), np.zeros(800)], 1)
    X[:, 2] = X[:, 1]
    X += 0.3 * random.normal(size=X.shape)
    return pd.DataFrame(X, columns=list("abc")).assign(y=y)


def conditional(frame, **arguments):
    return likely.fit(
        "vae",
        frame,
        label="y",
        condition="label",
        z_size=1,
        train=TrainConfig(epochs=15, seed=0),
        calibrate="none",
        **arguments,
    )


@pytest.fixture(scope="module")
def cvae(labeled):
    return conditional(labeled)


def spied(monkeypatch, fitted):
    """What the model is asked to decode: (codes, conditions), call by call."""
    asked, decode = [], fitted.model._decode

    def spy(z, condition):
        asked.append((z.clone(), None if condition is None else condition.clone()))
        return decode(z, condition)

    monkeypatch.setattr(fitted.model, "_decode", spy)
    return asked


# Ways.


def test_a_great_circle_turns_evenly_and_its_length_goes_evenly():
    a, b = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 1.0])
    codes = path(a, b, 7, Way.GREAT_CIRCLE).double()
    share = torch.linspace(0, 1, 7, dtype=torch.float64)
    torch.testing.assert_close(codes.norm(dim=1), 3 + share * (2**0.5 - 3))
    direction = codes / codes.norm(dim=1, keepdim=True)
    angles = (direction[1:] * direction[:-1]).sum(1).clamp(-1, 1).acos()
    torch.testing.assert_close(angles, torch.full((6,), math.pi / 12, dtype=torch.float64), rtol=0, atol=1e-5)
    # It stays in the plane of its ends.
    assert np.linalg.matrix_rank(codes.numpy(), tol=1e-5) == 2


def test_between_codes_of_equal_length_a_great_circle_keeps_it_and_a_straight_line_does_not():
    a, b = torch.randn(2, 64, dtype=torch.float64)
    b = b * a.norm() / b.norm()
    assert (path(a, b, 9, Way.GREAT_CIRCLE).norm(dim=1) / a.norm() - 1).abs().max() < 1e-12
    straight = path(a, b, 9, Way.STRAIGHT)
    torch.testing.assert_close(straight[4], (a + b) / 2)
    assert straight[4].norm() < 0.85 * a.norm()


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("factor", [-1.0, -1.0 + 1e-9, 0.0, 1e-30, 1.0, 1.0 + 1e-9, 2.0])
def test_codes_on_one_line_through_the_origin_are_joined_by_it(way, factor):
    a = torch.randn(2, 3, dtype=torch.float64)
    codes = path(a, factor * a, 5, way)
    share = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(codes, (1 - share) * a + share * factor * a)


@pytest.mark.parametrize("way", list(Way))
def test_the_ends_of_a_way_are_its_codes_to_the_last_bit(way):
    for _ in range(50):
        a, b = torch.randn(2, 5)
        codes = path(a, b, 2, way)
        assert torch.equal(codes, torch.stack([a, b]))


def test_the_prior_decides_the_way(vae, pca):
    assert way_of(vae.model) is Way.GREAT_CIRCLE
    assert way_of(pca.model) is Way.STRAIGHT
    assert way_of(VAE((5,), 4, prior=NormalMixture(3))) is Way.STRAIGHT


# Interpolation.


def test_the_ends_of_an_interpolation_are_the_reconstructions(X, vae, pca):
    for fitted in (vae, pca):
        for way in (None, "straight", "great circle"):
            rows = likely.interpolate(fitted, X[3], X[17:18], 6, way=way)
            assert rows.shape == (6, 5)
            np.testing.assert_allclose(rows[[0, -1]], fitted.reconstruct(X[[3, 17]]), rtol=1e-9)


def test_between_the_ends_lie_the_codes_of_the_way(X, vae, monkeypatch):
    a, b = torch.from_numpy(vae.encode(X[[3, 17]]))
    asked = spied(monkeypatch, vae)
    likely.interpolate(vae, X[3], X[17], 6)
    likely.interpolate(vae, X[3], X[17], 6, way="straight")
    torch.testing.assert_close(asked[0][0], path(a, b, 6, Way.GREAT_CIRCLE))
    torch.testing.assert_close(asked[1][0], path(a, b, 6, Way.STRAIGHT))


def test_a_linear_model_interpolates_rows_as_it_does_codes(X, pca):
    first, last = pca.reconstruct(X[[3, 17]])
    share = np.linspace(0, 1, 9)[:, None]
    np.testing.assert_allclose(likely.interpolate(pca, X[3], X[17]), (1 - share) * first + share * last, rtol=1e-6)


def test_frames_come_back_as_frames():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=list("abc"))
    fitted = likely.fit("ppca", frame, z_size=2)
    rows = likely.interpolate(fitted, frame[:1], frame[5:6], 4)
    assert isinstance(rows, pd.DataFrame)
    assert rows.shape == (4, 3)
    assert likely.traverse(fitted, frame[:1], 1, rows=frame)[1].shape == (9, 3)


def test_the_label_goes_along_with_the_code(labeled, cvae, monkeypatch):
    asked = spied(monkeypatch, cvae)
    rows = labeled[["a", "b", "c"]]
    likely.interpolate(cvae, rows[:1], rows[1:2], 5, condition=("low", "high"))
    at = cvae.schema.classes.index("high")
    assert asked[0][1][:, at].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert asked[0][1].sum(1).tolist() == [1] * 5
    likely.interpolate(cvae, rows[:1], rows[2:3], 5, condition="low")
    assert asked[1][1][:, at].tolist() == [0] * 5
    source = open_source(labeled, label="y")  # has labels of its own
    by_source = likely.interpolate(cvae, *(Subset(source, np.array([i])) for i in (0, 1)), 5)
    given = likely.interpolate(cvae, rows[:1], rows[1:2], 5, condition=("low", "high"))
    np.testing.assert_array_equal(by_source, given)


# Arithmetic.


def test_arithmetic_with_equal_groups_is_the_reconstruction(X, vae):
    np.testing.assert_allclose(likely.analogy(vae, X[:7], X[20:60], X[20:60]), vae.reconstruct(X[:7]), rtol=1e-12)


def test_arithmetic_of_a_linear_model_is_that_of_its_reconstructions(X, pca):
    found = likely.analogy(pca, X[:7], X[20:60], X[100:130])
    again = pca.reconstruct(X)
    np.testing.assert_allclose(found, again[:7] - again[20:60].mean(0) + again[100:130].mean(0), rtol=1e-6)


# Traversals.


def test_a_traversal_moves_one_value_and_no_other(X, pca):
    found = likely.traverse(pca, X[4], span=2.0, n_steps=5, rows=X)
    own, scale = pca.encode(X[4:5])[0], pca.encode(X).std(0, ddof=1)
    assert list(found) == [0, 1]
    for unit, rows in found.items():
        np.testing.assert_allclose(rows[2], pca.reconstruct(X[4:5])[0], rtol=1e-9)
        expected = np.tile(own, (5, 1))
        expected[:, unit] += scale[unit] * np.array([-2, -1, 0, 1, 2])
        np.testing.assert_allclose(pca.encode(rows), expected, rtol=1e-5, atol=1e-6)


def test_a_traversal_goes_by_the_prior_where_there_is_one(X, vae, monkeypatch):
    own = vae.encode(X[4:5])[0]
    asked = spied(monkeypatch, vae)
    found = likely.traverse(vae, X[4], 3, n_steps=7)
    expected = np.tile(own, (7, 1))
    expected[:, 3] += np.arange(-3, 4)
    np.testing.assert_allclose(asked[0][0].numpy(), expected)
    assert list(found) == [3]


def test_how_far_a_learned_prior_goes_is_told_by_its_draws():
    model = VAE((5,), 2, prior=NormalMixture(2))
    with torch.no_grad():
        model.code_prior.loc.copy_(torch.tensor([[-3.0, 10.0], [3.0, 10.0]]))
        model.code_prior.log_scale.copy_(torch.tensor([[0.0, 0.0], [0.0, 0.0]]))
        model.code_prior.logits.zero_()
    before = torch.random.get_rng_state()
    scale = latent.spread(model)
    assert scale.tolist() == pytest.approx([10**0.5, 1.0], rel=0.03)
    assert torch.equal(scale, latent.spread(model))
    assert torch.equal(before, torch.random.get_rng_state())


# The plane.


def test_the_grid_is_of_the_quantiles_of_the_normal(plane):
    found = likely.manifold(plane, 5)
    expected = norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])
    for line in range(5):
        np.testing.assert_allclose(found.codes[line, :, 0], expected, atol=1e-12)  # rises from left to right
        np.testing.assert_allclose(found.codes[:, line, 1], expected[::-1], atol=1e-12)  # falls from line to line
    np.testing.assert_allclose(found.rows, plane.decode(found.codes.reshape(25, 2)), rtol=1e-9)


def test_every_cell_of_the_grid_stands_for_as_many_codes():
    model = VAE((5,), 2, prior=NormalMixture(2)).double()
    with torch.no_grad():
        model.code_prior.loc.copy_(torch.tensor([[-3.0, 10.0], [3.0, -1.0]]))
        model.code_prior.logits.copy_(torch.tensor([0.0, 1.0]))
    torch.manual_seed(7)
    for each in (model, VAE((5,), 2).double()):
        grid, draws = latent.quantile_grid(each, 8), each.draw_prior(40_000)
        for axis, along in ((0, grid[0, :, 0]), (1, grid[:, 0, 1].flip(0))):
            below = (draws[:, axis, None] < along).double().mean(0)
            assert below.tolist() == pytest.approx([(i + 0.5) / 8 for i in range(8)], abs=0.012)


def test_without_a_prior_the_quantiles_are_those_of_rows(X, pca):
    found = likely.manifold(pca, 4, rows=X)
    quantiles = np.quantile(pca.encode(X), [1 / 8, 3 / 8, 5 / 8, 7 / 8], axis=0)
    np.testing.assert_allclose(found.codes[0, :, 0], quantiles[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found.codes[:, 2, 1], quantiles[::-1, 1], rtol=1e-6)
    with pytest.raises(UserError, match="give some of its rows as `rows`"):
        likely.manifold(pca, 4)


# Conditions.


def follows(fitted):
    """Whether draws of each class lie where its rows do."""
    low, high = (fitted.sample(300, condition=[name] * 300)["a"].to_numpy() for name in ("low", "high"))
    return bool((low < 0).mean() > 0.97 and (high > 0).mean() > 0.97)


def test_samples_follow_their_label_and_would_not_if_labels_were_shuffled(labeled, cvae):
    assert follows(cvae)
    shuffled = labeled.assign(y=labeled["y"].to_numpy()[np.random.default_rng(1).permutation(len(labeled))])
    assert not follows(conditional(shuffled))


def test_another_label_keeps_the_code(labeled, cvae, monkeypatch):
    rows, y = labeled[["a", "b", "c"]][:6], labeled["y"].to_numpy()[:6]
    codes = cvae.encode(rows, condition=y)
    asked = spied(monkeypatch, cvae)
    found = likely.relabel(cvae, rows, condition=y)
    z, condition = asked[0]
    assert list(found) == list(cvae.schema.classes)
    np.testing.assert_array_equal(z.unflatten(0, (6, 2)).numpy(), np.stack([codes, codes], 1))
    assert torch.equal(condition.unflatten(0, (6, 2)), torch.eye(2).expand(6, 2, 2))
    again = cvae.reconstruct(rows, condition=y)
    for i, own in enumerate(y):
        np.testing.assert_allclose(found[own].iloc[i], again.iloc[i], rtol=1e-5, atol=1e-5)


def test_style_stays_and_the_class_changes(labeled, cvae):
    rows, y = labeled[["a", "b", "c"]][:100], labeled["y"].to_numpy()[:100]
    found = likely.relabel(cvae, rows, condition=y)
    assert (found["low"]["a"] < 0).all()
    assert (found["high"]["a"] > 0).all()
    for name in ("low", "high"):
        assert np.corrcoef(found[name]["b"], rows["b"])[0, 1] > 0.9


def test_a_plane_and_a_traversal_take_a_label(labeled):
    fitted = likely.fit("vae", labeled, label="y", condition="label", z_size=2, train=QUICK, calibrate="none")
    row = labeled[["a", "b", "c"]][:1]
    for name in ("low", "high"):
        found = likely.manifold(fitted, 3, condition=name)
        expected = fitted.decode(found.codes.reshape(9, 2), condition=[name] * 9)
        np.testing.assert_allclose(found.rows, expected, rtol=1e-5)
        middle = likely.traverse(fitted, row, 0, n_steps=3, condition=name)[0].iloc[1]
        np.testing.assert_allclose(middle, fitted.reconstruct(row, condition=[name]).iloc[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match="the classes are high, low"):
        likely.manifold(fitted, 3)
    with pytest.raises(DataError, match="'middle' was not seen at fit; the classes are high, low"):
        likely.manifold(fitted, 3, condition="middle")


def test_a_condition_may_be_an_image_and_tell_the_other_half():
    """x is its condition upside down, with bits flipped: a model that looks at the wrong place cannot know it."""
    condition = (torch.rand(1500, 1, 4, 4) < 0.5).float()
    x = torch.where(torch.rand(1500, 1, 4, 4) < 0.02, 1 - condition.flip(2), condition.flip(2))
    model = VAE((1, 4, 4), 2, network=MLP((64,)), likelihood=Bernoulli(), condition_shape=(1, 4, 4))
    train(model, TensorFeed(x, condition), TrainConfig(epochs=40, batch_size=100, learning_rate=0.01, seed=0))
    new = (torch.rand(200, 1, 4, 4) < 0.5).float()
    agree = (model.sample(200, new) == new.flip(2)).float().mean()
    assert agree > 0.9
    assert (model.sample(200, new.flip(0)) == new.flip(2)).float().mean() < 0.6
    pair = [Batch(new[i : i + 1].flip(2), new[i : i + 1]) for i in (0, 1)]
    way = latent.interpolate(model, *pair, n_steps=3)
    torch.testing.assert_close(way[[0, 2]], model.reconstruct(new[:2].flip(2), new[:2]))
    other = latent.recondition(model, pair[0], new[:5])
    torch.testing.assert_close(other[0], model.decode(model.encode(*pair[0]).expand(5, 2), new[:5]))


# What cannot be.


@pytest.mark.parametrize(
    ("ask", "error", "told"),
    [
        (lambda f, X: likely.interpolate(f, X[:2], X[3]), DataError, "found 2 rows, expected one"),
        (lambda f, X: likely.interpolate(f, X[0], X[3], 1), UserError, "n_steps must be"),
        (lambda f, X: likely.interpolate(f, X[0], X[3], way="round"), UserError, "'straight' or 'great circle'"),
        (lambda f, X: likely.interpolate(f, X[0], X[3], condition="a"), Unsupported, "takes none"),
        (lambda f, X: likely.traverse(f, X[0], 2, rows=X), UserError, "no unit 2: its 2 values"),
        (lambda f, X: likely.traverse(f, X[0]), UserError, "give some of its rows as `rows`"),
        (lambda f, X: likely.manifold(f, 0, rows=X), UserError, "n must be"),
        (lambda f, X: likely.relabel(f, X), Unsupported, "fitted without labels"),
    ],
)
def test_what_cannot_be_is_said(ask, error, told, pca, X):
    with pytest.raises(error, match=told.replace("(", r"\(")):
        ask(pca, X)


def test_models_that_do_not_go_both_ways_or_have_no_plane_say_so(vae):
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(Unsupported, match=r"LittleAutoregressive cannot interpolate.*likely models"):
        latent.interpolate(LittleAutoregressive((1, 2, 2)), Batch(x), Batch(x))
    with pytest.raises(Unsupported, match="codes of 2 values, and those of this model have 4; fit it with z_size=2"):
        likely.manifold(vae)
    with pytest.raises(Unsupported, match="condition_shape"):
        latent.recondition(PCA((3,), 2), Batch(torch.zeros(1, 3)), torch.zeros(1, 2))


def test_many_codes_are_decoded_in_pieces(monkeypatch):
    monkeypatch.setattr(latent, "DECODED_VALUES", 20)
    model, codes, condition = VAE((5,), 2, condition_shape=(3,)).eval(), torch.randn(11, 2), torch.randn(11, 3)
    torch.testing.assert_close(latent.decoded(model, codes, condition), model.decode(codes, condition))
