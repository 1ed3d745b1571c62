"""Boltzmann machines against enumeration: energies, conditionals, constants, gradients, exchanges, samples."""

import itertools
import math

import pytest
import torch
from scipy.stats import chisquare

from likely.boltzmann import (
    BernoulliUnits,
    ContrastiveDivergence,
    GaussianUnits,
    LearningMachine,
    Machine,
    ParallelTempering,
    PersistentChains,
    exchanged,
)
from likely.models import RBM
from likely.rng import seeded
from likely.tasks.partition import log_partition, temperatures


def all_bits(n: int) -> torch.Tensor:
    """(2 ** n, n)."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64)


def machine(n_visible: int = 4, n_hidden: int = 3, units=BernoulliUnits(), scale: float = 1.0) -> Machine:
    """With weights of some size, and offsets that are neither 0 nor the mean."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        made = Machine(units, n_visible, n_hidden).double()
        for parameter in made.parameters():
            parameter.copy_(scale * torch.randn_like(parameter))
        made.get_buffer("hidden_offset").uniform_(0.2, 0.8)
        if isinstance(units, BernoulliUnits):
            made.units.get_buffer("ones").uniform_(0.2, 0.8)
        else:
            made.units.log_scale.mul_(0.3)
            made.units.get_buffer("loc").normal_()
            made.units.get_buffer("spread").uniform_(1, 2)
    return made


def joint(made: Machine, v: torch.Tensor, t: float = 1.0) -> torch.Tensor:
    """log p(v, h) Z at temperature t, term by term from the definition: (rows, states of h)."""
    h = all_bits(len(made.hidden_bias))
    s = made.units.statistic(v)
    centered, base = s - made.units.offset, made.units.log_base(v, t)
    hidden = h - made.hidden_offset
    energy = (centered @ made.visible_bias)[:, None] + (hidden @ made.hidden_bias)[None]
    energy = energy + torch.einsum("rd,dk,sk->rs", centered, made.weight, hidden)
    own = (s @ made.units.base_field)[:, None]
    # At temperature 0 the bias of the values by themselves, and nothing else.
    return base[:, None] + t * energy + (1 - t) * own


@pytest.mark.parametrize("units", [BernoulliUnits(), GaussianUnits()])
@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
@torch.no_grad()
def test_the_energy_is_a_sum_over_hidden_states_at_every_temperature(units, t):
    made = machine(units=units)
    v = all_bits(4)
    expected = joint(made, v, t).logsumexp(1)
    assert torch.allclose(made.log_weight(v, made.hidden_logits(v), t), expected, atol=1e-12)
    stacked = made.log_weight(v[None], made.hidden_logits(v)[None], torch.full((1, 1, 1), t, dtype=torch.float64))
    assert torch.allclose(stacked[0], expected, atol=1e-12)
    ratio = made.log_ratio(v, made.hidden_logits(v), t, 1.0)
    assert torch.allclose(ratio, joint(made, v).logsumexp(1) - expected, atol=1e-12)


@torch.no_grad()
def test_conditionals_are_those_of_the_joint():
    made = machine()
    v, h = all_bits(4), all_bits(3)
    p = joint(made, v).exp()
    assert torch.allclose(made.encode(v), (p @ h) / p.sum(1, keepdim=True))
    assert torch.allclose(made.decode(h), (p.T @ v) / p.sum(0)[:, None])


@torch.no_grad()
def test_the_mean_of_reals_given_hidden_units_is_where_their_joint_is_highest():
    made = machine(units=GaussianUnits())
    h = all_bits(3)
    peak = made.decode(h)
    for shift in 1e-3 * torch.cat([torch.eye(4), -torch.eye(4)]).double():
        assert (joint(made, peak).diagonal() > joint(made, peak + shift).diagonal()).all()


@pytest.mark.parametrize("t", [0.0, 1.0])
@torch.no_grad()
def test_constants_of_bits_are_sums_over_all_states(t):
    made = machine()
    expected = joint(made, all_bits(4), t).flatten().logsumexp(0)
    found = made.log_partition() if t else made.base_log_partition
    assert float(found) == pytest.approx(float(expected), abs=1e-10)


@pytest.mark.parametrize("t", [0.0, 1.0])
@torch.no_grad()
def test_constants_of_reals_are_integrals(t):
    made = machine(2, 3, GaussianUnits())
    line = torch.linspace(-20, 20, 401, dtype=torch.float64)
    v = torch.cartesian_prod(line, line)
    expected = joint(made, v, t).flatten().logsumexp(0) + 2 * math.log(line[1] - line[0])
    found = made.log_partition() if t else made.base_log_partition
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


@torch.no_grad()
def test_hidden_offsets_move_and_the_distribution_stays():
    made, v = machine(), all_bits(4)
    before = joint(made, v).flatten().log_softmax(0)
    offset = made.hidden_offset.clone()
    made.follow(torch.tensor([0.9, 0.1, 0.5]))
    assert (made.hidden_offset - offset).abs().min() > 1e-4
    assert torch.allclose(joint(made, v).flatten().log_softmax(0), before, atol=1e-12)


def likelihood_gradient(made: Machine, rows: torch.Tensor) -> list[torch.Tensor]:
    """Of minus the mean log-likelihood, by enumeration."""
    v = all_bits(made.weight.shape[0])
    loss = -joint(made, rows).logsumexp(1).mean() + joint(made, v).flatten().logsumexp(0)
    return list(torch.autograd.grad(loss, list(made.parameters())))


LEARNING = {
    "divergence": ContrastiveDivergence(steps=60),
    "persistent": PersistentChains(n_chains=500, steps=60),
    "tempered": ParallelTempering(n_temperatures=3, n_chains=500, steps=40),
}


@pytest.mark.parametrize("name", LEARNING)
def test_the_gradient_of_long_chains_is_that_of_the_likelihood(name):
    layer = LearningMachine(BernoulliUnits(), LEARNING[name], 4, 3).double()
    layer.machine.load_state_dict(machine().state_dict())
    rows = all_bits(4)[[1, 3, 3, 7, 12]].repeat(100, 1)
    expected = likelihood_gradient(layer.machine, rows)
    with seeded("gradients"):
        draws = [torch.autograd.grad(layer.contrast(rows).mean(), list(layer.machine.parameters())) for _ in range(40)]
    for number, wanted in enumerate(expected):
        each = torch.stack([draw[number] for draw in draws])
        error = each.std(0) / math.sqrt(len(each))
        assert ((each.mean(0) - wanted).abs() < 4.5 * error).all()
        assert error.max() < 0.05 * wanted.abs().max()


def test_one_step_of_divergence_falls_short_of_the_likelihoods_gradient():
    layer = LearningMachine(BernoulliUnits(), ContrastiveDivergence(1), 4, 3).double()
    layer.machine.load_state_dict(machine(scale=2.0).state_dict())
    rows = all_bits(4)[[1, 3, 3, 7, 12]].repeat(4000, 1)
    with seeded("gradients"):
        found = torch.autograd.grad(layer.contrast(rows).mean(), layer.machine.weight)[0]
    assert (found - likelihood_gradient(layer.machine, rows)[0]).abs().max() > 0.02


@torch.no_grad()
def test_exchanges_and_moves_leave_the_joint_distribution_as_it_is():
    made = machine(3, 2, scale=1.5)
    v, t = all_bits(3), torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    log_p = torch.stack([joint(made, v, float(each)).logsumexp(1).log_softmax(0) for each in t])
    n = 200_000
    ladder = t.view(-1, 1, 1)
    with seeded("exchanges"):
        index = torch.stack([torch.multinomial(p.exp(), n, replacement=True) for p in log_p])
        rows = v[index]
        swapped, logits = exchanged(made, rows, made.hidden_logits(rows), ladder)
        moved = made.draw_visible(made.draw_hidden(logits, ladder), ladder)
    assert torch.allclose(logits, made.hidden_logits(swapped))
    assert (swapped != rows).any()
    expected = (log_p[0][:, None, None] + log_p[1][None, :, None] + log_p[2][None, None]).exp().flatten() * n
    for found in (swapped, moved):
        place = (found * 2 ** torch.arange(2, -1, -1)).sum(-1).long()
        counts = torch.bincount(place[0] * 64 + place[1] * 8 + place[2], minlength=512).double()
        enough = expected > 5
        assert (
            chisquare(
                torch.cat([counts[enough], counts[~enough].sum()[None]]),
                torch.cat([expected[enough], expected[~enough].sum()[None]]),
            ).pvalue
            > 1e-3
        )


@torch.no_grad()
def test_samples_are_as_frequent_as_enumeration_says():
    model = RBM((3,), 2, burn_in=40).double()
    model.layer.machine.load_state_dict(machine(3, 2).state_dict())
    v = all_bits(3)
    p = joint(model.layer.machine, v).logsumexp(1).softmax(0)
    with seeded("samples"):
        draws = model.sample(50_000)
    counts = torch.bincount((draws * 2 ** torch.arange(2, -1, -1)).sum(1).long(), minlength=8).double()
    assert chisquare(counts, p * 50_000).pvalue > 1e-3


@torch.no_grad()
def test_probabilities_with_the_exact_constant_sum_to_one():
    model = RBM((2, 3), 5).double()
    model.layer.machine.load_state_dict(machine(6, 5).state_dict())
    constant = log_partition(model)
    assert constant.exact
    log_p = -model.energy(all_bits(6).view(-1, 2, 3)) - constant.value
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-10)


def sharp() -> RBM:
    """20 hidden units over 30 bits, with weights large enough that a hurried or wrong path is seen."""
    model = RBM((30,), 20).double()
    model.layer.machine.load_state_dict(machine(30, 20, scale=0.8).state_dict())
    return model.eval()


def missed(constant, exact) -> float:
    """How far an estimate is off, in its own standard errors."""
    return (constant.value - exact.value) / constant.error


@pytest.mark.parametrize("units", [BernoulliUnits(), GaussianUnits()])
def test_annealing_finds_the_constant_within_two_standard_errors(units):
    model = RBM((30,), 20, visible=units).double().eval()
    scale = 0.8 if isinstance(units, BernoulliUnits) else 0.25
    model.layer.machine.load_state_dict(machine(30, 20, units, scale=scale).state_dict())
    exact = log_partition(model)
    found = log_partition(model, n_temperatures=2000, n_chains=100, enumerate_states=False)
    assert exact.exact
    assert not found.exact
    assert abs(missed(found, exact)) < 2
    assert found.error < 0.2
    assert found.effective_samples > 20


def test_a_wrong_path_does_not_find_the_constant(monkeypatch):
    model = sharp()
    exact = log_partition(model)
    hurried = log_partition(model, ladder=[0.0, 1.0], n_chains=100, enumerate_states=False)
    assert missed(hurried, exact) < -2
    right = Machine.base_log_partition
    monkeypatch.setattr(Machine, "base_log_partition", property(lambda own: right.fget(own) - 20 * math.log(2)))
    plan = {"n_temperatures": 2000, "n_chains": 200, "enumerate_states": False}
    assert abs(missed(log_partition(model, **plan), exact)) > 2
    monkeypatch.undo()
    assert abs(missed(log_partition(model, n_temperatures=300, n_chains=800, enumerate_states=False), exact)) < 2
    monkeypatch.setattr(Machine, "draw_base", lambda own, n: (torch.rand(n, 30) < 0.5).double())
    assert abs(missed(log_partition(model, n_temperatures=300, n_chains=800, enumerate_states=False), exact)) > 3


def test_temperatures_rise_from_zero_to_one():
    for n in (1, 2, 50, 10_000):
        ladder = temperatures(n)
        assert len(ladder) == n + 1
        assert (ladder[0], ladder[-1]) == (0, 1)
        assert all(low < high for low, high in itertools.pairwise(ladder))


@pytest.mark.parametrize("ladder", [[0.0], [0.0, 0.5], [0.1, 1.0], [0.0, 0.5, 0.5, 1.0]])
def test_a_ladder_that_does_not_rise_from_zero_to_one_is_refused(ladder):
    with pytest.raises(ValueError, match="must rise from 0 to 1"):
        log_partition(sharp(), ladder=ladder, enumerate_states=False)
