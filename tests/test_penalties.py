"""Each penalty against its definition in float64: autograd's whole Jacobian, formulas by hand, and its own limits."""

import math

import pytest
import torch

from likely.errors import UserError
from likely.networks import MLP, Convolutional, WhatWhere
from likely.penalties import L1, Contractive, KLSparsity, KSparse, StochasticContractive

X_SHAPE, Z_SIZE = (1, 4, 5), 3
SIGMOID = MLP((), code_activation="sigmoid")
PARTS = [L1(), KLSparsity(), KSparse(2), Contractive(), StochasticContractive()]
ONE_LAYER = {
    "sigmoid": SIGMOID,
    "tanh": MLP((), code_activation="tanh"),
    "tied": MLP((), code_activation="sigmoid", tied=True),
}
DEEPER = {
    "deep": MLP((6,), activation="tanh", code_activation="sigmoid"),
    "linear-path": MLP((), code_activation="sigmoid", linear_path=True),
    "no-activation": MLP(()),
    "relu": MLP((), code_activation="relu"),
    "convolutional": Convolutional((3, 4), hidden=5, activation="silu"),
    "what-where": WhatWhere((2,), hidden=5, activation="tanh"),
}


def codec_of(network, dtype=torch.float64):
    codec = network.build(X_SHAPE, code_size=Z_SIZE, z_size=Z_SIZE).to(dtype)
    with torch.no_grad():
        for parameter in codec.parameters():  # away from starts that hold zeros
            parameter.add_(0.3 * torch.randn_like(parameter))
    return codec


def rows(n=4, dtype=torch.float64):
    return torch.randn(n, *X_SHAPE, dtype=dtype)


def term_of(part):
    return part.build(X_SHAPE, Z_SIZE)


def jacobian_norms(codec, x):
    """||dz/dx||_F^2 row by row, by autograd's whole Jacobian."""
    each = [torch.autograd.functional.jacobian(lambda row: codec.encode(row[None])[0], row) for row in x]
    return torch.stack([jacobian.square().sum() for jacobian in each])


# Contractive


@pytest.mark.parametrize("network", ONE_LAYER.values(), ids=ONE_LAYER)
def test_contractive_is_exact_for_one_layer(network):
    codec, x = codec_of(network), rows()
    penalty = term_of(Contractive(0.7))
    expected = 0.7 * jacobian_norms(codec, x)
    for _ in range(2):  # and nothing about it is random
        assert torch.allclose(penalty(codec, x, codec.encode(x)), expected, rtol=0, atol=1e-10)
    with torch.no_grad():
        assert torch.allclose(penalty(codec, x, codec.encode(x)), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("network", ONE_LAYER.values(), ids=ONE_LAYER)
def test_the_gradient_of_the_exact_contractive_penalty_is_that_of_the_jacobian(network):
    codec, x = codec_of(network), rows(2)
    weights = list(codec.head.parameters())
    analytic = torch.autograd.grad(term_of(Contractive(1.0))(codec, x, codec.encode(x)).sum(), weights)
    whole = torch.autograd.functional.jacobian(
        lambda row: codec.encode(row).sum(0), x, create_graph=True
    )  # rows are strangers, so the sum over them keeps their Jacobians apart: (z_size, batch, *x_shape)
    by_autograd = torch.autograd.grad(whole.square().sum(), weights)
    for one, other in zip(analytic, by_autograd, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


def check_mean(draws, expected):
    """Means over draws (n, batch) within four standard errors."""
    error = draws.std(0) / math.sqrt(len(draws))
    assert error.max() > 0, "an estimator that never varies is none"
    assert ((draws.mean(0) - expected).abs() <= 4 * error + 1e-12).all()  # a row with one live unit has no error


@pytest.mark.parametrize("network", DEEPER.values(), ids=DEEPER)
def test_the_contractive_estimate_has_the_right_mean(network):
    codec, x = codec_of(network), rows(3)
    penalty, n_draws = term_of(Contractive(0.7)), 4000
    many = x.repeat(n_draws, 1, 1, 1)
    with torch.no_grad():
        draws = penalty(codec, many, codec.encode(many)).view(n_draws, len(x))
    check_mean(draws, 0.7 * jacobian_norms(codec, x))


@pytest.mark.parametrize("name", ["deep", "convolutional"])
def test_the_gradient_of_the_contractive_estimate_has_the_right_mean(name):
    codec, x = codec_of(DEEPER[name]), rows(1)
    penalty, n_groups = term_of(Contractive(1.0)), 100
    many = x.repeat(30, 1, 1, 1)
    weight = codec.head.weight
    whole = torch.autograd.functional.jacobian(lambda row: codec.encode(row)[0], x, create_graph=True)
    (expected,) = torch.autograd.grad(whole.square().sum(), weight)
    means = []
    for _ in range(n_groups):
        means.append(torch.autograd.grad(penalty(codec, many, codec.encode(many)).mean(), weight)[0])
    draws = torch.stack(means)
    error = draws.std(0) / math.sqrt(n_groups)
    assert (error > 0).all()
    assert ((draws.mean(0) - expected).abs() <= 4.5 * error).all()


def test_what_one_row_pays_for_its_jacobian_is_its_own():
    codec, x = codec_of(DEEPER["deep"]), rows(5)
    penalty = term_of(Contractive())
    torch.manual_seed(3)
    together = penalty(codec, x, codec.encode(x))
    x[1:] = rows(4)
    torch.manual_seed(3)
    assert torch.equal(penalty(codec, x, codec.encode(x))[0], together[0])


def test_contractive_leaves_gradients_of_rows_and_parameters_alone():
    codec, x = codec_of(DEEPER["deep"]), rows()
    with torch.no_grad():
        penalty = term_of(Contractive())(codec, x, codec.encode(x))
    assert not penalty.requires_grad
    assert not x.requires_grad
    assert x.grad is None
    assert all(parameter.grad is None for parameter in codec.parameters())


# Stochastic contractive


@pytest.mark.parametrize("network", [SIGMOID, DEEPER["convolutional"]], ids=str)
def test_small_noise_makes_the_stochastic_penalty_contractive(network):
    codec, x = codec_of(network), rows(3)
    scale, n_draws = 1e-4, 4000
    penalty = term_of(StochasticContractive(0.7, scale))
    many = x.repeat(n_draws, 1, 1, 1)
    with torch.no_grad():
        draws = penalty(codec, many, codec.encode(many)).view(n_draws, len(x)) / scale**2
    check_mean(draws, 0.7 * jacobian_norms(codec, x))


def test_large_noise_makes_a_bounded_code_move_by_less_than_its_slope():
    codec, x = codec_of(SIGMOID), rows(2000)
    with torch.no_grad():
        z = codec.encode(x)
        moved = term_of(StochasticContractive(1.0, 5.0))(codec, x, z).mean()
        sloped = 25 * term_of(Contractive(1.0))(codec, x, z).mean()
    assert 0 < moved < Z_SIZE < sloped


# Sparsity


def test_l1_is_the_sum_of_absolute_values():
    z = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, -0.0]], dtype=torch.float64)
    assert term_of(L1(0.1))(codec_of(SIGMOID), rows(2), z).tolist() == pytest.approx([0.35, 0.0], abs=1e-15)


def test_kl_sparsity_by_hand():
    # Means 0.2, 0.5 and 0.3 against 0.3.
    z = torch.tensor([[0.1, 0.9, 0.3], [0.3, 0.1, 0.3]], dtype=torch.float64)
    by_hand = (
        0.3 * math.log(0.3 / 0.2) + 0.7 * math.log(0.7 / 0.8) + 0.3 * math.log(0.3 / 0.5) + 0.7 * math.log(0.7 / 0.5)
    )
    penalty = term_of(KLSparsity(2.0, 0.3))(codec_of(SIGMOID), rows(2), z)
    assert penalty.tolist() == pytest.approx([2 * by_hand] * 2, rel=1e-12)


def test_kl_sparsity_is_zero_at_its_target_and_nowhere_near_it():
    codec, x = codec_of(SIGMOID), rows(2)
    at = lambda mean: term_of(KLSparsity(1.0, 0.2))(codec, x, torch.full((2, Z_SIZE), mean, dtype=torch.float64))  # noqa: E731
    assert at(0.2).abs().max() < 1e-15
    assert at(0.19).min() > 0
    assert at(0.21).min() > 0
    assert at(0.0).isfinite().all()
    assert at(1.0).isfinite().all()


def test_the_gradient_of_kl_sparsity_is_right_with_one_mean_over_the_rows():
    codec, x = codec_of(SIGMOID), rows(4)
    raw = torch.randn(4, Z_SIZE, dtype=torch.float64, requires_grad=True)
    penalty = term_of(KLSparsity(1.5, 0.1))
    penalty(codec, x, raw.sigmoid()).mean().backward()  # as the loop takes it
    z = raw.detach().sigmoid()
    mean = z.mean(0)
    expected = 1.5 * ((1 - 0.1) / (1 - mean) - 0.1 / mean) * z * (1 - z) / len(z)
    assert torch.allclose(raw.grad, expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["relu", "no-activation", "convolutional", "what-where"])
def test_kl_sparsity_refuses_codes_that_are_no_probabilities(name):
    codec, x = codec_of(DEEPER[name]), rows(50)
    with pytest.raises(UserError, match='code_activation="sigmoid"'):
        term_of(KLSparsity())(codec, x, codec.encode(x))


def test_k_sparse_keeps_the_k_largest():
    z = torch.tensor([[3.0, -1.0, 2.0, 0.5], [-1.0, -4.0, -3.0, -2.0], [1.0, 1.0, 1.0, 1.0]])
    bottleneck = KSparse(2).build(X_SHAPE, 4).bottleneck
    assert bottleneck(z[:2]).tolist() == [[3.0, 0.0, 2.0, 0.0], [-1.0, 0.0, 0.0, -2.0]]
    assert bottleneck(z[2:]).sum() == 2  # of equals as many as of others
    many = torch.randn(500, 20).round(decimals=1)
    kept = KSparse(7).build(X_SHAPE, 20).bottleneck(many + 100)
    assert ((kept != 0).sum(1) == 7).all()
    assert torch.equal(kept.sort(1).values[:, -7:], (many + 100).sort(1).values[:, -7:])


def test_the_gradient_passes_through_what_k_sparse_keeps_and_nothing_else():
    z = torch.randn(30, 8, dtype=torch.float64, requires_grad=True)
    part = KSparse(3).build(X_SHAPE, 8)
    kept = part.bottleneck(z)
    (kept * torch.arange(1.0, 9.0)).sum().backward()
    expected = torch.where(kept != 0, torch.arange(1.0, 9.0, dtype=torch.float64), 0.0)
    assert torch.equal(z.grad, expected)
    assert ((z.grad != 0).sum(1) == 3).all()


def test_k_sparse_keeps_more_at_answers_and_costs_nothing():
    part = KSparse(2, at_answers=1.5).build(X_SHAPE, 8)
    z = torch.randn(6, 8)
    assert ((part.train().bottleneck(z) != 0).sum(1) == 2).all()
    assert ((part.eval().bottleneck(z) != 0).sum(1) == 3).all()
    assert part(codec_of(SIGMOID), rows(6), z).tolist() == [0.0] * 6
    assert ((KSparse().build(X_SHAPE, 12).bottleneck(z.repeat(1, 2)[:, :12]) != 0).sum(1) == 2).all()
    with pytest.raises(ValueError, match=r"lower k, or set z_size=90"):
        KSparse(9).build(X_SHAPE, 8)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_other_penalties_leave_the_code_as_it_is(part):
    z = torch.randn(3, Z_SIZE)
    assert (term_of(part).bottleneck(z) is z) == (not isinstance(part, KSparse))


# All


@pytest.mark.parametrize("network", [SIGMOID, DEEPER["deep"]], ids=["one-layer", "deep"])
@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_in_bfloat16_a_penalty_is_near_itself_and_has_gradients(part, network):
    codec, x = codec_of(network, torch.float32), rows(64, torch.float32)
    penalty = term_of(part)
    torch.manual_seed(5)
    precise = penalty(codec, x, codec.encode(x))
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        z = codec.encode(x)
        assert z.dtype == torch.bfloat16
        coarse = penalty(codec, x, penalty.bottleneck(z))
    assert coarse.dtype == torch.float32
    assert coarse.mean().item() == pytest.approx(precise.mean().item(), rel=0.05)
    if not isinstance(part, KSparse):
        gradient = torch.autograd.grad(coarse.mean(), codec.head.weight)[0]
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("network", [SIGMOID, DEEPER["deep"]], ids=["one-layer", "deep"])
@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_penalty_is_the_same_number_without_gradients(part, network):
    codec, x = codec_of(network), rows()
    penalty = term_of(part)
    torch.manual_seed(5)
    learning = penalty(codec, x, codec.encode(x))
    torch.manual_seed(5)
    with torch.no_grad():
        validating = penalty(codec, x, codec.encode(x))
    assert learning.shape == (len(x),)
    assert torch.allclose(learning.detach(), validating, rtol=1e-12)
    assert not validating.requires_grad


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: L1(0.0), "L1: weight must be positive"),
        (lambda: KLSparsity(target=1.0), "target must lie between 0 and 1"),
        (lambda: KSparse(0), "k must be at least 1"),
        (lambda: KSparse(2, at_answers=0.5), "at_answers must be at least 1"),
        (lambda: StochasticContractive(scale=-1.0), "scale must be positive"),
    ],
)
def test_what_makes_no_penalty_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
