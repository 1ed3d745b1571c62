"""Priors of a shape: their densities are those of their draws."""

import math

import pytest
import torch
from scipy.stats import chisquare

from likely.variational import RingOfNormals, SwissRoll

PARTS = [RingOfNormals(), RingOfNormals(3, 1.0, 0.5, 0.5), SwissRoll(), SwissRoll(4, 1.5, 0.3)]
SIDE, REACH = 200, 5.0
"""Points along each side of a square: their steps are half the narrowest width, so that their sum is the integral."""


def built(part, z_size=2):
    return part.build(z_size, (4,)).double()


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_densities_integrate_to_one_and_draws_follow_them(part):
    torch.manual_seed(0)
    prior, n = built(part), 50_000
    line = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE * 2 * REACH - REACH
    rows = [prior.log_prob(torch.cartesian_prod(x, line)) for x in line.split(10)]
    density = torch.cat(rows).exp().view(SIDE, SIDE) * (2 * REACH / SIDE) ** 2
    assert density.sum().item() == pytest.approx(1, abs=1e-4)
    cells = density.view(40, 5, 40, 5).sum((1, 3)).flatten()
    places = ((prior.draw(n) + REACH) / (2 * REACH) * 40).long().clamp(0, 39)
    counts = torch.bincount(places[:, 0] * 40 + places[:, 1], minlength=1600).double()
    enough = cells * n > 10
    observed = torch.cat([counts[enough], counts[~enough].sum()[None]])
    expected = torch.cat([cells[enough], cells[~enough].sum()[None]]) * n
    assert chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-4


@pytest.mark.parametrize("part", [RingOfNormals(), SwissRoll()], ids=str)
def test_further_values_are_standard_normal_and_independent(part):
    prior, z = built(part, 5), torch.randn(7, 5).double()
    own = built(part).log_prob(z[:, :2])
    rest = torch.distributions.Normal(0, 1).log_prob(z[:, 2:]).sum(1)
    torch.testing.assert_close(prior.log_prob(z), own + rest)
    torch.manual_seed(0)
    others = prior.draw(20_000)[:, 2:]
    torch.testing.assert_close(torch.cov(others.T), torch.eye(3).double(), atol=0.05, rtol=0)


def test_places_of_a_ring_are_its_normals():
    torch.manual_seed(0)
    place = torch.arange(10).repeat(500)
    z = built(RingOfNormals()).draw_at(place)
    angle = torch.atan2(z[:, 1], z[:, 0]) / (2 * math.pi / 10)
    assert ((angle.round().long() % 10) == place).double().mean() > 0.99
    means = torch.stack([z[place == i].mean(0) for i in range(10)])
    torch.testing.assert_close(means.norm(dim=1), torch.full((10,), 2.0).double(), atol=0.1, rtol=0)


def test_places_of_a_roll_follow_each_other_from_the_inside_out():
    torch.manual_seed(0)
    prior = built(SwissRoll(width=0.01))
    distances = torch.stack([prior.draw_at(torch.full((300,), i)).norm(dim=1).mean() for i in range(10)])
    assert (distances.diff() > 0.1).all()
    mixed = prior.draw_at(torch.randint(10, (2000,))).norm(dim=1)
    assert 0.8 < mixed.min() < 0.9
    assert 2.4 < mixed.max() < 2.55


def test_codes_of_one_value_and_sizes_that_are_none_are_refused():
    for part in (RingOfNormals(), SwissRoll()):
        with pytest.raises(ValueError, match="set z_size=2 or more"):
            part.build(1, (4,))
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        SwissRoll(width=0)
    with pytest.raises(ValueError, match="places must be at least 1, got 0"):
        RingOfNormals(0)
