"""What bounds do in training only: free bits, warm-up, total correlation; and what does not go together."""

import math
import re

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from likely.contract import Batch
from likely.likelihoods import Bernoulli
from likely.models import VAE
from likely.networks import MLP
from likely.training import TrainConfig, train
from likely.variational import (
    ELBO,
    CyclicalWarmUp,
    Diagonal,
    DiagonalNormal,
    FlowPrior,
    FullNormal,
    ImportanceWeighted,
    InverseAutoregressive,
    LinearWarmUp,
    NormalMixture,
    VampPrior,
    total_correlation,
)
from tests.laws.test_variational import shaken


def model_of(bound=None, **arguments) -> VAE:
    """Of four bits, with a code of three values."""
    return shaken(VAE((4,), 3, network=MLP((8,)), likelihood=Bernoulli(), bound=bound, **arguments).double())


def bits(n: int = 20) -> torch.Tensor:
    return torch.randint(2, (n, 4)).double()


def gradient(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """Of the mean objective, with noise that is always the same."""
    torch.manual_seed(5)
    found = torch.autograd.grad(model(x).total.mean(), list(model.parameters()), materialize_grads=True)
    return torch.cat([each.flatten() for each in found])


def with_bound(model: VAE, bound, **arguments) -> VAE:
    other = VAE(**{**model.config(), "bound": bound, **arguments}).double()
    other.load_state_dict(model.state_dict(), strict=False)
    return other.train(model.training)


# Free bits.


def test_under_the_allowance_the_rate_does_not_press_and_above_it_in_full():
    model, x = model_of(), bits()
    rates = model.infer(x).rates().detach().mean(0)
    assert (rates > 1e-3).all()
    no_rate, whole = gradient(with_bound(model, ELBO(), beta=0.0), x), gradient(model, x)
    generous, stingy = (ELBO(free_bits=share * float(end)) for share, end in ((1.01, rates.max()), (0.99, rates.min())))
    assert torch.allclose(gradient(with_bound(model, generous), x), no_rate, atol=1e-12)
    assert torch.allclose(gradient(with_bound(model, stingy), x), whole, atol=1e-12)
    # Between the two, parts are free one by one.
    middle = float(rates.sort().values[:2].mean())
    some = gradient(with_bound(model, ELBO(free_bits=middle)), x)
    pressed = [part for part in range(3) if rates[part] > middle]
    assert len(pressed) == 2
    objective = with_bound(model, ELBO(free_bits=middle))(x)
    expected = objective.terms["distortion"].mean() + rates[pressed].sum() + middle
    assert torch.allclose(objective.total.mean(), expected, rtol=1e-9)
    assert not torch.allclose(some, whole)
    assert not torch.allclose(some, no_rate)


def test_free_bits_are_of_training_only():
    model = model_of(ELBO(free_bits=2.0))
    plain, x = with_bound(model, ELBO()), bits()
    assert "free_bits" in model(x).terms
    for each in (model, plain):
        each.eval()
    assert torch.equal(gradient(model, x), gradient(plain, x))
    assert set(model(x).terms) == {"distortion", "rate"}


# Warm-up.


@pytest.mark.parametrize(
    ("warm_up", "weights"),
    [
        (LinearWarmUp(4), [0, 0.25, 0.5, 0.75, 1, 1, 1]),
        (CyclicalWarmUp(4, cycles=2, rising=0.5), [0, 0.5, 1, 1, 0, 0.5, 1, 1, 1, 1, 1]),
        (CyclicalWarmUp(2, cycles=3, rising=1.0), [0, 0.5, 0, 0.5, 0, 0.5, 1, 1]),
    ],
)
@pytest.mark.parametrize("bound", [ELBO, lambda warm_up: ImportanceWeighted(1, warm_up)])
def test_the_rate_weighs_what_its_step_says(warm_up, weights, bound):
    model, x = model_of(bound(warm_up), beta=2.0), bits()
    for weight in weights:
        objective = model.train()(x)
        terms = objective.terms
        expected = terms["distortion"] + 2.0 * weight * terms["rate"]
        assert torch.allclose(objective.total, expected, rtol=1e-6)
        held_out = model.eval()(x)
        assert torch.allclose(held_out.total, held_out.terms["distortion"] + 2.0 * held_out.terms["rate"])
        model.after_step()  # and only this counts: neither of the two passes did


def test_training_counts_its_steps_and_the_count_is_kept_with_the_weights():
    model = model_of(ELBO(LinearWarmUp(1000))).float()
    history = train(model, bits(200).float(), TrainConfig(epochs=3, batch_size=20, seed=0))
    assert history.best_step == history.total_steps
    assert model.state_dict()["objective.step"].item() == history.total_steps
    again = model_of(ELBO(LinearWarmUp(1000))).float()
    again.load_state_dict(model.state_dict())
    assert again.train().objective.rate_weight() == model.train().objective.rate_weight()
    assert float(again.objective.rate_weight()) == pytest.approx(history.total_steps / 1000)


def test_nothing_is_counted_without_a_warm_up():
    assert "objective.step" not in model_of().state_dict()
    model_of().after_step()


# Total correlation.


def beliefs(covariance: list[list[float]], scale: float, n: int = 1500) -> tuple[Diagonal, torch.Tensor, torch.Tensor]:
    """Of rows whose q(z) is N(0, covariance) in all, each N(loc, scale^2); a draw of each; and the covariance."""
    whole = torch.tensor(covariance, dtype=torch.float64)
    spread = torch.linalg.cholesky(whole - scale**2 * torch.eye(len(whole)))
    loc = torch.randn(n, len(whole), dtype=torch.float64) @ spread.T
    belief = Diagonal(loc, torch.full_like(loc, math.log(scale)))
    z, _ = belief.draw(torch.randn(1, *loc.shape, dtype=torch.float64))
    return belief, z[0], whole


@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.8])
def test_total_correlation_is_that_of_a_gaussian_aggregate(correlation):
    """-log det(correlations) / 2: zero where values are independent."""
    found = []
    for _ in range(3):
        belief, z, whole = beliefs([[1.0, 2 * correlation], [2 * correlation, 4.0]], 0.4)
        found.append(total_correlation(belief, z))
    exact = -0.5 * (whole.logdet() - whole.diagonal().log().sum())
    assert exact.item() == pytest.approx(-0.5 * math.log(1 - correlation**2))
    # 1,500 rows as all rows leave a bias of some hundredths of a nat beside the noise.
    assert torch.stack(found).mean().item() == pytest.approx(exact.item(), abs=0.04)


def test_total_correlation_equals_its_definition_on_a_few_rows():
    """q(z) written down as a mixture, and the product of its marginals."""
    loc, log_scale = torch.randn(7, 3).double(), torch.randn(7, 3).double()
    belief = Diagonal(loc, log_scale)
    z, _ = belief.draw(torch.randn(1, 7, 3).double())
    even = Categorical(torch.ones(7).double())
    joint = MixtureSameFamily(even, Independent(Normal(loc, log_scale.exp()), 1)).log_prob(z[0])
    marginals = [
        MixtureSameFamily(even, Normal(loc[:, j], log_scale[:, j].exp())).log_prob(z[0][:, j]) for j in range(3)
    ]
    assert torch.allclose(total_correlation(belief, z[0]), (joint - sum(marginals)).mean(), rtol=1e-12)


def test_total_correlation_is_added_to_every_row_alike_by_its_weight():
    model, x = model_of(ELBO(total_correlation=3.0)), bits()
    objective = model(x)
    term = objective.terms["total_correlation"]
    assert torch.equal(term, term[:1].expand(20))
    assert term[0] != 0
    terms = objective.terms
    assert torch.allclose(objective.total, terms["distortion"] + terms["rate"] + 3.0 * term)


# What goes together.


@pytest.mark.parametrize(
    ("arguments", "mended_by"),
    [
        ({"bound": ELBO(total_correlation=1.0), "posterior": FullNormal()}, "posterior=DiagonalNormal()"),
        ({"bound": ELBO(total_correlation=1.0), "posterior": InverseAutoregressive()}, "posterior=DiagonalNormal()"),
        (
            {"bound": ImportanceWeighted(doubly_reparameterized=True), "posterior": InverseAutoregressive()},
            "leave it out",
        ),
        ({"prior": VampPrior(), "posterior": InverseAutoregressive()}, "prior=FlowPrior()"),
        ({"prior": VampPrior(), "condition_shape": (2,)}, "prior=NormalMixture()"),
        ({"prior": FlowPrior(), "z_size": 1}, "z_size=2"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_does(arguments, mended_by):
    with pytest.raises(ValueError, match=re.escape(mended_by)):
        VAE((4,), **{"z_size": 3, **arguments})


@pytest.mark.parametrize(
    "arguments",
    [
        {"bound": ELBO(total_correlation=1.0), "posterior": DiagonalNormal()},
        {"bound": ELBO(total_correlation=1.0), "prior": FlowPrior(2, (4,))},
        {"bound": ImportanceWeighted(), "posterior": InverseAutoregressive()},
        {"bound": ImportanceWeighted(doubly_reparameterized=True), "posterior": FullNormal()},
        {"prior": FlowPrior(2, (4,)), "posterior": InverseAutoregressive()},
        {"prior": NormalMixture(3), "posterior": FullNormal(), "condition_shape": (2,)},
        {"prior": FlowPrior(2, (4,)), "condition_shape": (2,), "bound": ImportanceWeighted(3)},
        {"prior": VampPrior(3), "posterior": FullNormal(), "bound": ImportanceWeighted(3, LinearWarmUp(5))},
        {"bound": ELBO(CyclicalWarmUp(), free_bits=0.1, total_correlation=1.0), "condition_shape": (2,)},
        {"bound": ELBO(free_bits=0.1), "posterior": InverseAutoregressive(), "prior": NormalMixture(3)},
    ],
)
def test_what_they_name_goes_together_and_moves_every_parameter(arguments):
    model = model_of(**arguments).train()
    x, condition = bits(), torch.eye(2).double().repeat(10, 1) if "condition_shape" in arguments else None
    model.initialize(Batch(x, condition))
    model.after_step()  # at the first step of a warm-up the rate weighs nothing
    objective = model(x, condition)
    objective.total.mean().backward()
    assert objective.total.isfinite().all()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@pytest.mark.parametrize(
    "make",
    [
        lambda: ELBO(free_bits=-1.0),
        lambda: ELBO(total_correlation=-1.0),
        lambda: ImportanceWeighted(0),
        lambda: LinearWarmUp(0),
        lambda: CyclicalWarmUp(rising=1.5),
        lambda: CyclicalWarmUp(cycles=0),
        lambda: NormalMixture(0),
        lambda: VampPrior(0),
        lambda: FlowPrior(0),
        lambda: InverseAutoregressive(steps=0),
    ],
)
def test_parts_refuse_settings_that_mean_nothing(make):
    with pytest.raises(ValueError, match=r"must|at most"):
        make()
