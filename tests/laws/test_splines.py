"""Splines and what starts from data: against their definitions, float64 and scikit-learn."""

import math

import pytest
import torch
from scipy.stats import kstest
from sklearn.covariance import ledoit_wolf

from likely.bijections import ActNorm, Chain, Marginals, Spline, Triangular
from likely.bijections.splines import Knots, spline_forward, spline_inverse
from likely.bijections.triangular import shrunk_covariance


def knots(n: int = 50, bins: int = 5) -> Knots:
    """Of n splines, steep and flat."""
    x, y = (torch.cat([torch.full((n, 1), -2.0), torch.rand(n, bins) ** 3 + 1e-3], 1).double().cumsum(1) for _ in "xy")
    return Knots(x, y, torch.randn(n, bins + 1).double().exp())


def test_a_spline_goes_through_its_knots_as_steeply_as_they_say():
    given = knots()
    for k in range(given.x.shape[1]):
        y, log_slope = spline_forward(given.x[:, k], given)
        torch.testing.assert_close(y, given.y[:, k], rtol=0, atol=1e-12)
        torch.testing.assert_close(log_slope.exp(), given.slope[:, k], rtol=1e-9, atol=0)
        x, log_back = spline_inverse(given.y[:, k], given)
        torch.testing.assert_close(x, given.x[:, k], rtol=0, atol=1e-12)
        torch.testing.assert_close(log_back, -log_slope, rtol=0, atol=1e-9)


def test_a_spline_rises_everywhere():
    given = knots(1)
    x = torch.linspace(0, 1, 2000, dtype=torch.float64)
    x = given.x[0, 0] + x * (given.x[0, -1] - given.x[0, 0])
    y = spline_forward(x, Knots(*(each.expand(len(x), -1) for each in given)))[0]
    assert (y.diff() > 0).all()


def test_the_root_loses_no_digits_where_a_bin_is_nearly_straight():
    """The quadratic's leading number is then almost zero, and the other form of its root divides by it."""
    slope = 1 + 1e-6 * torch.randn(1000, 3).double()
    straight = torch.tensor([-1.0, 0.0, 1.0]).double().expand(1000, -1)
    y = 2 * torch.rand(1000).double() - 1
    exact = spline_inverse(y, Knots(straight, straight, slope))[0]
    rough = spline_inverse(y.float(), Knots(straight.float(), straight.float(), slope.float()))[0]
    assert (rough - exact).abs().max() < 1e-6


def test_a_spline_meets_the_identity_where_it_ends():
    spline, raw = Spline(5, 2.0), 3 * torch.randn(100, 14, 1).double()
    for end in (-2.0, 2.0):
        for x in (end, math.nextafter(end, 0.0), 1.5 * end):
            y, log_slope = spline.forward(torch.full((100, 1), x).double(), raw)
            assert (y - x).abs().max() < 1e-12
            assert log_slope.abs().max() < 1e-9


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_spline_stands_whatever_the_network_says(sign):
    spline, x = Spline(5, 2.0), torch.linspace(-3, 3, 101)[:, None]
    raw = torch.zeros(101, 14, 1)
    raw[:, ::2] = sign * 1e6
    for move in (spline.forward, spline.inverse):
        y, log_slope = move(x, raw)
        assert y.isfinite().all()
        assert log_slope.isfinite().all()
        assert (y.diff(dim=0) > -1e-6).all()


@pytest.mark.parametrize("arguments", [{"bins": 1}, {"bound": 0.0}, {"bins": 2000}])
def test_a_spline_that_cannot_be_is_refused(arguments):
    with pytest.raises(ValueError, match="Spline"):
        Spline(**arguments)


# What starts from rows.


@pytest.mark.parametrize("shape", [(3,), (3, 4, 5), (3, 6)])
def test_activation_normalization_starts_with_a_mean_of_zero_and_a_scale_of_one_per_channel(shape):
    x = torch.randn(64, *shape).double() * torch.tensor([0.1, 1.0, 30.0]).view(3, *[1] * (len(shape) - 1)) + 7
    norm = ActNorm(3).double()
    y = norm.start(x)
    over = [axis for axis in range(y.ndim) if axis != 1]
    assert y.mean(over).abs().max() < 1e-12
    assert (y.std(over, correction=0) - 1).abs().max() < 1e-12
    assert torch.equal(norm(x)[0], y)
    places = math.prod(shape[1:])
    assert torch.allclose(norm(x)[1], -places * x.std(over, correction=0).log().sum())
    assert torch.allclose(norm.inverse(y)[0], x)


def test_a_channel_that_never_varies_is_not_blown_up():
    norm = ActNorm(2)
    y = norm.start(torch.tensor([[1.0, 5.0], [2.0, 5.0]]))
    assert y.isfinite().all()
    assert norm(torch.tensor([[1.0, 5.1]]))[0].abs().max() < 200


def test_shrinkage_is_ledoit_and_wolfs():
    for m, n in ((10, 30), (50, 5), (500, 8)):
        x = torch.randn(m, n).double() @ torch.randn(n, n).double()
        x = x - x.mean(0)
        expected = torch.from_numpy(ledoit_wolf(x.numpy(), assume_centered=True)[0])
        torch.testing.assert_close(shrunk_covariance(x), expected, rtol=1e-3, atol=1e-9)


def test_a_triangle_starts_white():
    x = torch.randn(20_000, 4).double() @ (torch.eye(4) + 0.3 * torch.randn(4, 4)).double() + 3
    triangular = Triangular(4).double()
    y = triangular.start(x)
    assert y.mean(0).abs().max() < 1e-9
    assert (torch.cov(y.T) - torch.eye(4)).abs().max() < 0.02
    assert torch.equal(triangular(x)[0], y)


def test_a_triangle_of_fewer_rows_than_values_starts_too():
    assert Triangular(30).start(torch.randn(5, 30)).isfinite().all()


@pytest.mark.parametrize("kind", ["exponential", "two-humps", "cauchy"])
def test_marginals_start_as_normals(kind):
    draws = {
        "exponential": lambda n: -torch.rand(n).double().log(),
        "two-humps": lambda n: torch.randn(n).double() * 0.3 + torch.randint(2, (n,)) * 3,
        "cauchy": lambda n: torch.tan(math.pi * (torch.rand(n).double() - 0.5)),
    }[kind]
    before, after = (draws(4000)[:, None] for _ in range(2))
    marginals = Marginals(1, 16).double()
    found = marginals.start(before)
    assert torch.equal(marginals(before)[0], found)
    # The same for rows it has not seen; what was put in is far from a normal.
    assert kstest(marginals(after)[0][:, 0].detach().numpy(), "norm").statistic < 0.07
    standard = (after - after.mean()) / after.std()
    assert kstest(standard[:, 0].numpy(), "norm").statistic > 0.1


@pytest.mark.parametrize("rows", [torch.tensor([[0.0], [1.0]]), torch.zeros(50, 1), torch.randint(2, (99, 3)).float()])
def test_marginals_start_from_rows_that_say_little(rows):
    marginals = Marginals(rows.shape[1], 8)
    assert marginals.start(rows).isfinite().all()
    y, log_det = marginals(rows)
    back, _ = marginals.inverse(y)
    assert (back - rows).abs().max() < 1e-3
    assert log_det.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_marginals_stay_finite_however_far_a_row_is(dtype):
    marginals = Marginals(3, 8).to(dtype)
    marginals.start(torch.randn(500, 3, dtype=dtype))
    for x in (1e3, -1e6, 1e30):
        y, log_det = marginals(torch.full((1, 3), x, dtype=dtype))
        assert y.isfinite().all()
        assert y.abs().max() < 1e3
        assert log_det.isfinite().all()
    y = torch.tensor([[-50.0, 3.0, 50.0]], dtype=dtype)
    x, log_det = marginals.inverse(y)
    assert torch.allclose(marginals(x)[0], y, rtol=1e-4)
    assert torch.allclose(marginals(x)[1], -log_det, rtol=1e-4)


def test_each_step_of_a_chain_starts_from_what_those_before_it_give():
    x = torch.rand(300, 3).double() ** 4
    chain = Chain(Marginals(3, 8), Triangular(3), ActNorm(3)).double()
    y = chain.start(x)
    assert torch.equal(chain(x)[0], y)
    alone = Marginals(3, 8).double()
    between = alone.start(x)
    assert torch.equal(chain.steps[0](x)[0], between)
    assert (y.mean(0).abs() < 1e-9).all()
