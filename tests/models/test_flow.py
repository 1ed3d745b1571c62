"""Flows: densities that are densities, starts and fits that are near the truth, and what each preset is of its own."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import likely
from likely.bijections import Autoregressive, Bijection, Coupling
from likely.contract import Batch
from likely.data import Schema
from likely.errors import DataError, UserError
from likely.flows import IAF, MAF, NICE, Design, NeuralSpline, RealNVP, default_design
from likely.models import Flow
from likely.networks.masked import AutoregressiveMLP
from likely.registry import Spec
from likely.suitability import check_fits, completed
from likely.training import TrainConfig, train
from tests.zoo import awake

LITTLE: dict[str, Design] = {
    "nice": NICE(3, (8,)),
    "real-nvp": RealNVP(3, (8,)),
    "maf": MAF(2, (8,)),
    "iaf": IAF(2, (8,)),
    "spline": NeuralSpline(2, (8,), 4, 6, dropout=0.0),
    "spline-coupling": NeuralSpline(2, (8,), 4, 6, True, dropout=0.0),
}
every = pytest.mark.parametrize("design", LITTLE.values(), ids=LITTLE)


def shaken(model: Flow, size: float = 0.15) -> Flow:
    awake(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return model.double().eval()


# The law of all densities, in the plane: what is there sums to one.


@every
@pytest.mark.parametrize("conditional", [False, True])
@torch.no_grad()
def test_a_density_integrates_to_one(design, conditional):
    model = shaken(Flow((2,), design=design, condition_shape=(2, 1) if conditional else None))
    # Even steps of t, and so ever longer ones of x: tails are heavy.
    t = torch.linspace(-6, 6, 601, dtype=torch.float64)
    line, weight = t.sinh(), t.cosh() * (t[1] - t[0])
    x, weights = torch.cartesian_prod(line, line), torch.cartesian_prod(weight, weight).prod(1)
    found = []
    for value in (-1.0, 1.0) if conditional else (0.0,):
        condition = torch.full((len(x), 2, 1), value).double() if conditional else None
        density = model.log_prob(x, condition).exp()
        assert abs((density * weights).sum() - 1) < 2e-3
        found.append(density)
    assert not conditional or (found[0] - found[1]).abs().max() > 0.01


@torch.no_grad()
def test_a_flow_of_one_value_is_a_density_within_its_bounds():
    model = shaken(Flow((1,), design=NeuralSpline(1, (8,), 4, 6), bounds=(-1.0, 3.0)))
    margin = 1e-5 * 4
    t = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    share, width = t.sigmoid(), 4 + 2 * margin
    density = model.log_prob((-1 - margin + width * share)[:, None]).exp()
    assert abs(torch.trapezoid(density * width * share * (1 - share), t) - 1) < 2e-3
    assert ((model.sample(500) >= -1 - margin) & (model.sample(500) <= 3 + margin)).all()


@every
@torch.no_grad()
def test_codes_are_of_a_normal_and_come_back_as_the_rows_they_were(design):
    model = shaken(Flow((4,), design=design, condition_shape=(3,)))
    x, condition = torch.randn(50, 4).double(), torch.randn(50, 3).double()
    u = model.encode(x, condition)
    assert u.shape == (50, *model.z_shape)
    assert (model.decode(u, condition) - x).abs().max() < 1e-9
    assert not torch.allclose(model.decode(u, condition.flip(0)), x)


@every
def test_a_log_density_is_that_of_the_code_and_autograds_jacobian(design):
    model = shaken(Flow((3,), design=design))
    x = torch.randn(6, 3).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: model.encode(x).sum(0), x).permute(1, 0, 2)
    normal = torch.distributions.Normal(0, 1).log_prob(model.encode(x)).sum(1)
    expected = normal + torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(model.log_prob(x), expected, rtol=1e-9, atol=1e-9)


@every
@torch.no_grad()
def test_a_row_however_extreme_has_a_finite_density(design):
    model = shaken(Flow((3,), design=design))
    model.initialize(Batch(torch.randn(100, 3).double()))
    for x in (100.0, -1e4, 1e8):
        assert model.log_prob(torch.full((1, 3), x).double()).isfinite().all()


# Starts and fits.


def correlated(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three columns, skewed, whose logarithms are normal and correlated; and the log-density of each row."""
    factor = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.5, 0.5, 0.707]])
    normal = torch.distributions.MultivariateNormal(torch.zeros(3), scale_tril=factor)
    logs = normal.sample((n,))
    return logs.exp(), normal.log_prob(logs) - logs.sum(1)


@torch.no_grad()
def test_the_default_starts_near_the_truth_where_that_is_a_gaussian_copula():
    model, (seen, _), (new, truth) = Flow((3,)), correlated(4000), correlated(4000)
    model.train().initialize(Batch(seen))
    assert model.training
    model.eval()
    left = (truth - model.log_prob(new)).mean()
    gaussian = torch.distributions.MultivariateNormal(seen.mean(0), torch.cov(seen.T))
    assert left < 0.15 < 0.5 * (truth - gaussian.log_prob(new)).mean()


def bent(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A parabola in the plane, which no Gaussian copula follows."""
    x = torch.randn(n, 2)
    normal = torch.distributions.Normal(0, 1)
    return torch.stack([x[:, 0], x[:, 0] ** 2 + 0.3 * x[:, 1]], 1), normal.log_prob(x).sum(1) - math.log(0.3)


@torch.no_grad()
def test_the_default_learns_what_its_start_cannot_say():
    torch.manual_seed(0)
    model, (seen, _), (new, truth) = Flow((2,)), bent(3000), bent(3000)
    model.eval().initialize(Batch(seen))
    before = (truth - model.log_prob(new)).mean()
    with torch.enable_grad():
        train(model, seen, TrainConfig(epochs=15, device="cpu"))
    after = (truth - model.log_prob(new)).mean()
    assert after < 0.2 < before / 2


def test_a_table_of_one_column_is_fitted():
    x = np.random.default_rng(0).exponential(size=(400, 1))
    fitted = likely.fit("flow", x, train=TrainConfig(epochs=5, device="cpu"), calibrate="none", test=0.0)
    new = np.random.default_rng(1).exponential(size=(2000, 1))
    assert abs(fitted.log_prob(new).mean() + 1) < 0.15  # minus its entropy
    assert abs(np.median(fitted.sample(4000)) - np.median(x)) < 0.15


# What is refused.


@pytest.mark.parametrize("design", [NICE(), RealNVP(), NeuralSpline(coupling=True)])
def test_a_single_value_has_nothing_to_be_coupled_with(design):
    with pytest.raises(ValueError, match=r"too few: 1; set design=NeuralSpline\(coupling=False\)"):
        Flow((1,), design=design)


@every
@torch.no_grad()
def test_flows_of_vectors_take_images_too(design):
    model = shaken(Flow((2, 2, 4), design=design))
    x = torch.randn(10, 2, 2, 4).double()
    model.initialize(Batch(x))
    u = model.encode(x)
    assert u.shape == (10, 16)
    assert (model.decode(u) - x).abs().max() < 1e-9
    assert model.log_prob(x).isfinite().all()


@pytest.mark.parametrize("kind", [NICE, RealNVP, MAF, IAF, NeuralSpline])
def test_a_flow_has_a_layer(kind):
    with pytest.raises(ValueError, match="layers must be at least 1"):
        kind(layers=0)


def test_the_default_takes_any_shape():
    for shape in ((1,), (5,), (500,), (1, 8, 8), (3, 32, 32)):
        with torch.device("meta"):
            default_design(shape).build(shape, 0)


# Bounds.


def schema_of(domain: str, levels: int = 0) -> Schema:
    return Schema("array", (2, 3), "float32", domain, levels=levels, location=(0.0,), scale=(1.0,))


def test_bounds_are_the_datas():
    for schema, bounds in (
        (schema_of("unit"), (0.0, 1.0)),
        (schema_of("levels", 5), (-0.125, 1.125)),
        (schema_of("binary", 2), (-0.5, 1.5)),
    ):
        spec, chosen = completed(Spec("flow"), schema)
        assert spec.arguments["bounds"] == bounds
        assert "bounds" in chosen[0]
        check_fits(spec, schema)
    assert "bounds" not in completed(Spec("flow"), schema_of("real"))[0].arguments
    given = Spec("flow", bounds=(-1.0, 2.0))
    assert completed(given, schema_of("unit")) == (given, [])
    check_fits(given, schema_of("unit"))


@pytest.mark.parametrize(
    ("schema", "bounds"),
    [(schema_of("real"), (0.0, 1.0)), (schema_of("unit"), (0.1, 1.0)), (schema_of("levels", 5), (0.0, 1.0))],
)
def test_bounds_that_rows_lie_beyond_are_refused(schema, bounds):
    with pytest.raises(DataError, match="leave bounds out"):
        check_fits(Spec("flow", bounds=bounds), schema)


def test_bounds_rise():
    with pytest.raises((ValueError, UserError), match="low < high"):
        Flow((2,), bounds=(1.0, 0.0))


# What each preset is, and the default is not.


def built(name: str) -> Flow:
    torch.manual_seed(0)
    return shaken(Spec(name).build((5,)), 0.1)


def passes(model: Flow, way: str) -> int:
    """How many passes of its layers' networks a density or a draw takes."""
    n, hooks = [], []
    for module in model.modules():
        if isinstance(module, Autoregressive | Coupling):
            assert isinstance(module.network, AutoregressiveMLP | nn.Sequential)
            hooks.append(module.network.register_forward_hook(lambda *_: n.append(1)))
    with torch.no_grad():
        _ = model.sample(3) if way == "sample" else model.log_prob(torch.randn(3, 5).double())
    for hook in hooks:
        hook.remove()
    return len(n)


def layers(model: Flow) -> list[Bijection]:
    return [module for module in model.modules() if isinstance(module, Autoregressive | Coupling)]


def is_straight(model: Flow) -> bool:
    """Whether each layer moves a value, the others as they are, along a straight line."""

    def straight(layer: Bijection) -> bool:
        x, ways = torch.randn(20, 5).double(), torch.linspace(-2, 2, 5).double()
        for i in range(5):
            moved = torch.stack([layer(x + (way - x) * torch.eye(5)[i])[0][:, i] for way in ways])
            if moved.diff(n=2, dim=0).abs().max() > 1e-9:
                return False
        return True

    return all(straight(layer) for layer in layers(model))


def stretches_alike(model: Flow) -> bool:
    x = torch.randn(50, 5).double()
    return bool(model.to_base(x)[1].std() < 1e-9)


def what_it_is(name: str) -> dict[str, bool]:
    model = built(name)
    n = len(layers(model))
    return {
        "density in one pass": passes(model, "density") == n,
        "draws in one pass": passes(model, "sample") == n,
        "straight": is_straight(model),
        "stretches alike": stretches_alike(model),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flow", (True, False, False, False)),
        ("nice", (True, True, True, True)),
        ("real-nvp", (True, True, True, False)),
        ("maf", (True, False, True, False)),
        ("iaf", (False, True, True, False)),
        ("neural-spline-flow", (True, True, False, False)),
    ],
)
def test_each_preset_is_what_its_name_says_and_no_other(name, expected):
    assert tuple(what_it_is(name).values()) == expected
