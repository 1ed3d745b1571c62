"""A flow of whole values: its bound against every bin integrated, its draws against the same, and what is learned."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

import likely
from likely.bijections import Logit
from likely.errors import DataError
from likely.flows import Glow, UniformDequantization, VariationalDequantization
from likely.models import DequantizingFlow
from likely.registry import Spec
from likely.training import TrainConfig, train
from tests.zoo import awake

LEVELS = 4
QUANTIZERS = {
    "uniform": UniformDequantization(),
    "variational": VariationalDequantization(layers=2, width=6),
}
every = pytest.mark.parametrize("name", QUANTIZERS)


def flow(name: str) -> DequantizingFlow:
    """Of two pixels, with a density that is neither flat over a bin nor the same in both."""
    torch.manual_seed(1)
    model = DequantizingFlow((1, 1, 2), levels=LEVELS, design=Glow(2, 6), dequantization=QUANTIZERS[name])
    with torch.no_grad():
        for parameter in awake(model).parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.double().eval()


def every_state() -> Tensor:
    rows = list(itertools.product(range(LEVELS), repeat=2))
    return torch.tensor(rows, dtype=torch.float64).view(-1, 1, 1, 2) / (LEVELS - 1)


def bin_grid(level: int, n: int = 200) -> tuple[Tensor, Tensor]:
    """Midpoints over the bin of a level, in units of all bins, and their widths: evenly spaced as logits."""
    logit = Logit(0.0, 1.0)
    low, high = logit(torch.tensor([[level], [level + 1]]).double() / LEVELS)[0].flatten()
    t = low + (high - low) * (torch.arange(n).double() + 0.5) / n
    v, log_slope = logit.inverse(t[:, None])
    return v.flatten(), log_slope.exp() * (high - low) / n


@torch.no_grad()
def log_probability(model: DequantizingFlow, x: Tensor) -> Tensor:
    """log of the density of the flow, summed over the bin of each row."""
    found = []
    for row in (x * (LEVELS - 1)).round().int().flatten(1).tolist():
        (v, width), (other, other_width) = (bin_grid(level) for level in row)
        base, log_det = model.to_base(torch.cartesian_prod(v, other).view(-1, 1, 1, 2))
        log_density = log_det - 0.5 * base.square().sum(1) - math.log(2 * math.pi)
        found.append((log_density + torch.cartesian_prod(width, other_width).log().sum(1)).logsumexp(0))
    return torch.stack(found)


def test_the_bins_of_all_levels_hold_all_but_what_lies_beyond_the_ends():
    total = log_probability(flow("uniform"), every_state()).exp().sum().item()
    assert 0.999 < total < 1 + 1e-9


@every
@torch.no_grad()
def test_the_bound_is_in_mean_below_the_probability_of_the_bin_and_reaches_it(name):
    model, x = flow(name), every_state()
    log_p = log_probability(model, x)
    draws = torch.stack([model.log_prob_bound(x) for _ in range(300)])
    error = draws.std(0) / math.sqrt(len(draws))
    assert (draws.mean(0) < log_p + 4 * error).all()
    assert (log_p - draws.mean(0)).mean() > 0.001
    many = torch.stack([model.log_prob_bound(x, n_samples=4000) for _ in range(5)]).mean(0)
    assert (many - log_p)[log_p > -7].abs().max() < 0.06


@every
@torch.no_grad()
def test_the_objective_is_minus_the_bound_in_mean(name):
    model, x = flow(name), every_state()
    rows = x.repeat(500, 1, 1, 1)
    objective = model(rows)
    minus = -objective.total.view(500, -1)
    bounds = torch.stack([model.log_prob_bound(x) for _ in range(500)])
    error = ((minus.var(0) + bounds.var(0)) / 500).sqrt()
    assert ((minus.mean(0) - bounds.mean(0)).abs() < 5 * error).all()
    assert torch.allclose(sum(objective.terms.values()), objective.total)


@every
@torch.no_grad()
def test_noise_is_a_density_in_the_bin(name):
    """q(u | x), summed over a grid of noise of two normals, or none: E[1 / q(u | x)] over q is the bin's volume, 1."""
    model, x = flow(name), every_state()[:4]
    dequantizer = model.dequantizer
    rows = x.repeat(20_000, 1, 1, 1)
    u, log_q = dequantizer(dequantizer.noise(len(rows), rows), rows, None)
    assert u.min() >= 0
    assert u.max() <= 1
    # Over the inner half of the bin, where the weights have no tails.
    inner = ((u - 0.5).abs() < 0.25).flatten(1).all(1)
    weight = ((-log_q).exp() * inner).view(20_000, 4)
    error = weight.std(0) / math.sqrt(20_000)
    assert ((weight.mean(0) - 0.25).abs() < 5 * error + 1e-9).all()


@every
@torch.no_grad()
def test_draws_come_as_often_as_the_bins_say(name):
    model, states, n = flow(name), every_state(), 50_000
    draws = (model.sample(n).flatten(1) * (LEVELS - 1)).round().long()
    counts = torch.bincount(draws[:, 0] * LEVELS + draws[:, 1], minlength=LEVELS**2).double()
    expected = log_probability(model, states).exp() * n
    rare = expected < 20
    assert counts[rare].sum() < 10 + 3 * expected[rare].sum()
    observed, predicted = counts[~rare], expected[~rare]
    assert chisquare(observed, predicted * observed.sum() / predicted.sum()).pvalue > 1e-4


@every
def test_decoding_gives_the_levels_that_were_encoded(name):
    model, x = flow(name), every_state()
    assert torch.allclose(model.decode(model.encode(x)), x, rtol=0, atol=1e-12)
    spread = model.decode(torch.randn(100, 2).double()) * (LEVELS - 1)
    assert torch.allclose(spread, spread.round())


def test_noise_that_is_learned_is_tighter_than_uniform_noise_under_the_same_flow():
    uniform, learned, x = flow("uniform"), flow("variational"), every_state()
    learned.to_base.load_state_dict(uniform.to_base.state_dict())
    weights = log_probability(uniform, x).exp()
    optimizer = torch.optim.Adam(learned.dequantizer.parameters(), 1e-2)
    rows = x.repeat(8, 1, 1, 1)
    for _ in range(250):
        optimizer.zero_grad()
        (learned(rows).total.view(8, -1) * weights).sum(1).mean().backward()
        optimizer.step()

    @torch.no_grad()
    def bound(model: DequantizingFlow) -> tuple[float, float]:
        many = x.repeat(100, 1, 1, 1)
        draws = torch.cat([(model.log_prob_bound(many).view(100, -1) * weights).sum(1) for _ in range(20)])
        return draws.mean().item(), draws.std().item() / math.sqrt(len(draws))

    (loose, loose_error), (tight, tight_error) = bound(uniform), bound(learned)
    exact = (log_probability(uniform, x) * weights).sum().item()
    assert tight < exact + 4 * tight_error
    assert exact - tight < 0.5 * (exact - loose) + 4 * (loose_error + tight_error)


@pytest.mark.parametrize("dequantization", [None, VariationalDequantization(layers=2, width=8)])
def test_a_label_says_which_rows_are_likely(dequantization):
    labels = torch.randint(2, (400,))
    x = (labels[:, None, None, None] * 2 + torch.randint(2, (400, 1, 4, 4))) / 3
    condition = torch.eye(2)[labels]
    torch.manual_seed(0)
    model = DequantizingFlow(
        (1, 4, 4), levels=4, design=Glow(2, 8), dequantization=dequantization, condition_shape=(2,)
    )
    model.initialize(likely.contract.Batch(x, condition))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(x, condition).total.mean().backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right, wrong = (model.log_prob_bound(x, given, n_samples=4) for given in (condition, condition.flip(1)))
        drawn = model.sample(100, torch.eye(2)[torch.arange(100) % 2])
    assert (right > wrong).float().mean() > 0.95
    assert (drawn[1::2].flatten(1).mean(1) > drawn[::2].flatten(1).mean(1)).float().mean() > 0.95


def test_it_learns_to_put_most_of_its_mass_on_what_it_saw():
    """A flow that forgot a factor of its bins would have bounds above zero, or none that come near."""
    x = torch.tensor([0.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2).repeat(200, 1, 1, 1)
    model = DequantizingFlow((1, 2, 2), levels=3, design=Glow(2, 8))
    train(model, x, TrainConfig(epochs=60, batch_size=50, learning_rate=1e-2, seed=0, patience=None))
    with torch.no_grad():
        bound = model.log_prob_bound(x[:1], n_samples=500).item()
    assert -1.5 < bound < 0
    assert (model.sample(200) == x).flatten(1).all(1).float().mean() > math.exp(-1.5)


# What `likely.fit` makes of it.


def test_levels_are_found_in_the_data():
    x = np.random.default_rng(0).integers(0, 5, (80, 4, 4)).astype(np.uint8)
    spec = Spec("dequantizing_flow", design=Glow(1, 4))
    fitted = likely.fit(spec, x, train=TrainConfig(epochs=1), calibrate="none")
    assert fitted.model.levels == 5
    assert fitted.density_mark == "<="
    assert set(np.unique(fitted.sample(20))) <= set(range(5))


@pytest.mark.parametrize(
    ("spec", "rows", "said"),
    [
        (Spec("dequantizing_flow"), np.random.default_rng(0).normal(size=(50, 4)), r"whole values.*real.*flow"),
        (
            Spec("dequantizing_flow", levels=7),
            np.random.default_rng(0).integers(0, 5, (80, 4, 4)).astype(np.uint8),
            r"levels=7.*has 5.*leave levels out",
        ),
    ],
)
def test_data_that_is_not_of_such_levels_is_refused(spec, rows, said):
    with pytest.raises(DataError, match=said):
        likely.fit(spec, rows)


def test_fewer_than_two_levels_are_refused():
    with pytest.raises(ValueError, match="levels must be at least 2, got 1"):
        DequantizingFlow((1, 4, 4), levels=1)
    with pytest.raises(ValueError, match="layers must be at least 1"):
        VariationalDequantization(0)
