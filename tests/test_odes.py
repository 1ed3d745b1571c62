"""Solvers against solutions known in closed form."""

import math

import pytest
import torch

from likely import odes
from likely.errors import UserError
from likely.odes import integrate, integrate_in_steps


class Counted:
    """x' = a x row by row, the rates a being the context, and y' = x beside it; counts evaluations by row."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, t, state, context):
        self.rows += len(t)
        x, _ = state
        return (context[:, None] * x, x)


def growth(rates, stop, **settings):
    """x and the integral of x from x = (1, 2): found, and as it is."""
    rates = torch.tensor(rates, dtype=torch.float64)
    x = torch.tensor([1.0, 2.0], dtype=torch.float64).expand(len(rates), 2)
    field = Counted()
    found = integrate(field, (x, torch.zeros_like(x)), 0.0, stop, context=rates, **settings)
    factor = (rates * stop).exp()[:, None]
    return found, (x * factor, x * (factor - 1) / rates[:, None]), field.rows


@pytest.mark.parametrize("stop", [1.5, -0.7])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_an_adaptive_solution_is_as_near_as_its_tolerance_says_and_not_wastefully_nearer(stop, tolerance):
    found, known, _ = growth([-3.0, -0.5, 2.0], stop, tolerance=tolerance)
    error = max(((a - b).abs() / (1 + b.abs())).max() for a, b in zip(found, known, strict=True))
    assert tolerance / 1000 < error < 10 * tolerance


def test_five_more_digits_cost_ten_times_the_evaluations():
    """As a step of order 5 has it, whose error is known to order 4; one order less would make it nearly 18 times."""
    few, many = (growth([1.0], 8.0, tolerance=tolerance)[2] for tolerance in (1e-6, 1e-11))
    assert 8 < many / few < 12


def test_time_is_seen_and_an_oscillation_keeps_its_phase():
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    frequency = 7.0

    def field(t, state, context):
        (x,) = state
        return (frequency * torch.stack([-x[:, 1], x[:, 0]], 1) * (2 * t)[:, None],)

    (found,) = integrate(field, (x,), 0.0, 1.0, tolerance=1e-9)
    assert torch.allclose(found, torch.tensor([[math.cos(7.0), math.sin(7.0)]], dtype=torch.float64), atol=1e-7)


def test_there_and_back_is_where_it_began():
    rates = torch.linspace(-3, 3, 7, dtype=torch.float64)
    x = (torch.randn(7, 2, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64))

    def field(t, state, context):
        return (torch.sin(context[:, None] * state[0] + t[:, None]), state[1] * state[0][:, :1].cos())

    there = integrate(field, x, 0.0, 1.0, context=rates, tolerance=1e-9)
    back = integrate(field, there, 1.0, 0.0, context=rates, tolerance=1e-9)
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(back, x, strict=True))


def test_rows_are_strangers_and_the_easy_ones_go_home_early():
    together, _, evaluations = growth([0.1, -30.0, 2.0], 1.0, tolerance=1e-8)
    alone = [growth([rate], 1.0, tolerance=1e-8) for rate in (0.1, -30.0, 2.0)]
    for i, (found, _, _) in enumerate(alone):
        assert all(torch.equal(a[i], b[0]) for a, b in zip(together, found, strict=True))
    assert evaluations == sum(rows for _, _, rows in alone)


def test_equal_steps_are_of_order_two():
    rates = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    x = torch.ones(2, 2, dtype=torch.float64)

    def error(n_steps: int) -> torch.Tensor:
        found = integrate_in_steps(Counted(), (x, torch.zeros_like(x)), 0.0, 1.0, n_steps, context=rates)
        return (found[0] - rates.exp()[:, None]).abs().amax(1)

    ratio = error(40) / error(80)
    assert ((ratio > 3.7) & (ratio < 4.3)).all()


def test_no_steps_and_no_tolerance_are_refused():
    x = (torch.zeros(1, 1), torch.zeros(1, 1))
    with pytest.raises(ValueError, match="n_steps must be at least 1, got 0"):
        integrate_in_steps(Counted(), x, 0.0, 1.0, 0)
    with pytest.raises(ValueError, match="tolerance must be positive, got 0"):
        integrate(Counted(), x, 0.0, 1.0, tolerance=0)


@pytest.mark.parametrize("slope", [math.nan, math.inf])
def test_a_row_that_never_arrives_is_named(monkeypatch, slope):
    monkeypatch.setattr(odes, "MAX_STEPS", 50)

    def field(t, state, context):
        return (torch.where(context[:, None] > 0, slope, state[0]),)

    x = torch.ones(3, 2)
    with pytest.raises(UserError, match=r"1 of 3 rows did not arrive within 50 steps at tolerance=1e-05, row 1 first"):
        integrate(field, (x,), 0.0, 1.0, context=torch.tensor([0.0, 1.0, 0.0]))


def test_a_solution_has_a_derivative_where_nothing_moves_too():
    """The error of a step is zero there, and its root has no slope: lengths of steps are constants."""
    x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    rates = torch.tensor([1.0, 0.0, -0.5], dtype=torch.float64, requires_grad=True)
    (found,) = integrate(lambda t, state, a: (a[:, None] * state[0],), (x,), 0.0, 2.0, context=rates, tolerance=1e-9)
    by_start, by_rate = torch.autograd.grad(found.sum(), (x, rates))
    assert torch.allclose(by_start[:, 0], (2 * rates).exp(), rtol=5e-3)  # at zero any step is short enough
    assert torch.allclose(by_rate, 2 * found[:, 0], atol=1e-6)
