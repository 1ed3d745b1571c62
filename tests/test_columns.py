"""The likelihood of tables: categories beside numbers, column by column and all at once."""

import itertools
import math

import pytest
import torch

from likely.errors import DataError
from likely.likelihoods import Bernoulli, Columns, Gaussian, GaussianMixture, observed_log_prob, split_missing
from likely.registry import Spec

WIDTHS = (1, 3, 1, 2, 3)
STARTS = (0, 1, 4, 5, 7)
PLACES = [slice(start, start + width) for start, width in zip(STARTS, WIDTHS, strict=True)]
N = sum(WIDTHS)


def rows(n=6):
    """(n, 10) float64: numbers where the width is 1, one-hot where it is more."""
    columns = [torch.randn(n, 1) if w == 1 else torch.eye(w)[torch.randint(w, (n,))] for w in WIDTHS]
    return torch.cat(columns, 1).double()


def of_place(raw, part, place):
    """What one column reads of all raw numbers."""
    return raw.unflatten(1, (part.raw_channels, N))[:, :, place].flatten(1)


def test_log_prob_is_the_product_over_columns():
    part = Columns(WIDTHS, Gaussian(min_scale=0.1))
    raw, x = torch.randn(6, part.raw_channels * N, dtype=torch.float64), rows()
    by_hand = torch.zeros(6, dtype=torch.float64)
    for i, (start, width) in itertools.product(range(6), zip(STARTS, WIDTHS, strict=True)):
        if width == 1:
            loc, scale = raw[i, start].item(), 0.1 + math.log1p(math.exp(raw[i, N + start].item()))
            off = (x[i, start].item() - loc) / scale
            by_hand[i] += -0.5 * off**2 - math.log(scale * math.sqrt(2 * math.pi))
        else:
            logits = raw[i, start : start + width].tolist()
            chosen = x[i, start : start + width].argmax().item()
            by_hand[i] += logits[chosen] - math.log(sum(map(math.exp, logits)))
    assert torch.allclose(part.build((N,)).double()(raw).log_prob(x), by_hand, rtol=1e-12)


def test_a_category_that_is_missing_counts_for_nothing_and_others_as_they_did():
    part = Columns(WIDTHS)
    observation = part.build((N,)).double()
    raw, x = torch.randn(6, part.raw_channels * N, dtype=torch.float64), rows()
    for gone in range(len(WIDTHS)):
        left = x.clone()
        left[:, PLACES[gone]] = torch.nan
        found = observed_log_prob(observation(raw), *split_missing(left))
        rest = [i for i in range(len(WIDTHS)) if i != gone]
        each = part.observations(PLACES)
        by_place = [each[i](of_place(raw, part, PLACES[i])).log_prob(x[:, PLACES[i]]) for i in rest]
        assert torch.allclose(found, torch.stack(by_place).sum(0))


def test_probabilities_of_all_categories_sum_to_one():
    part = Columns((2, 3, 2))
    assert part.discrete
    assert part.raw_channels == 1
    states = [torch.cat(each) for each in itertools.product(torch.eye(2), torch.eye(3), torch.eye(2))]
    x = torch.stack(states).double()
    raw = torch.randn(1, 7, dtype=torch.float64).expand(len(x), -1)
    assert part.build((7,))(raw).log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("part", [Columns(WIDTHS), Columns(WIDTHS, GaussianMixture(3)), Columns((2, 3, 2, 3))], ids=str)
def test_places_by_themselves_draw_what_the_whole_row_draws(part):
    raw, noise = torch.randn(50, part.raw_channels * N, dtype=torch.float64), torch.rand(50, N, dtype=torch.float64)
    ends = list(itertools.accumulate((0, *part.widths)))
    whole = part.build((N,)).draw(raw, noise, 0.7)
    places = [slice(ends[0], ends[1]), slice(ends[1], ends[3]), *map(slice, ends[3:-1], ends[4:])]  # one of two columns
    for place, observation in zip(places, part.observations(places), strict=True):
        assert torch.equal(observation.draw(of_place(raw, part, place), noise[:, place], 0.7), whole[:, place])


def test_draws_and_samples_have_one_of_each_category():
    part = Columns(WIDTHS)
    observation = part.build((N,))
    raw = 3 * torch.randn(40, part.raw_channels * N)
    drawn = observation.draw(raw, torch.rand(40, N))
    for x in (drawn, observation(raw).sample(), observation(raw).base_dist.sample((4,)).flatten(0, 1)):
        for place in PLACES:
            if place.stop - place.start > 1:
                assert (x[:, place].sum(1) == 1).all()
                assert ((x[:, place] == 0) | (x[:, place] == 1)).all()
    mean = observation(raw).mean
    assert all(torch.allclose(mean[:, p].sum(1), torch.ones(40)) for p in PLACES if p.stop - p.start > 1)


def test_columns_are_the_blocks_and_a_place_may_not_cut_one():
    part = Columns(WIDTHS)
    assert part.blocks(N) == WIDTHS
    assert Gaussian().blocks(3) == (1, 1, 1)
    with pytest.raises(DataError, match="10 values is no likelihood of rows of 9"):
        part.blocks(9)
    with pytest.raises(DataError, match=r"shape \(2, 5\)"):
        part.build((2, 5))
    with pytest.raises(DataError, match="0 values"):
        Columns().build((0,))
    with pytest.raises(ValueError, match="whole columns"):
        part.observations([slice(0, 1), slice(1, 3)])


@pytest.mark.parametrize("given", [{"widths": (1, 0)}, {"widths": (1, 2), "reals": Bernoulli()}])
def test_what_is_no_table_is_refused(given):
    with pytest.raises(ValueError, match=r"Columns: (widths|reals)"):
        Columns(**given)


def test_a_spec_holds_them_in_json():
    spec = Spec("vae", likelihood=Columns(WIDTHS, GaussianMixture(2)))
    assert Spec.from_json(spec.to_json()) == spec
