"""What bijections owe: a way back, and the truth about how they stretch space; against autograd and quadrature."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from likely.bijections import (
    ActNorm,
    Additive,
    Autoregressive,
    Bijection,
    Chain,
    Coupling,
    Inverse,
    Marginals,
    Permutation,
    Spline,
    Triangular,
)
from likely.networks.masked import autoregressive_masks

N_ROWS = 7


@dataclass(frozen=True)
class Case:
    make: Callable[[], Bijection]
    n: int
    context_size: int = 0

    def rows(self, n_rows: int = N_ROWS) -> tuple[Tensor, Tensor | None]:
        x = torch.randn(n_rows, self.n).double()
        return x, torch.randn(n_rows, self.context_size).double() if self.context_size else None


def mixed(n: int, context_size: int) -> Chain:
    return Chain(
        Autoregressive(n, (8,), context_size=context_size),
        Permutation.reversal(n),
        Coupling(n, (8,), context_size=context_size),
        Inverse(Autoregressive(n, (n, 9), context_size=context_size)),
        Permutation.shuffle(n, 1),
        Coupling(n, (8,), context_size=context_size, flip=True),
    )


MASKED = {
    "masked": Case(lambda: Autoregressive(5, (7,)), 5),
    "masked-deep": Case(lambda: Autoregressive(5, (9, 6, 8), activation="tanh"), 5),
    "masked-linear": Case(lambda: Autoregressive(5, ()), 5),
    "masked-narrow": Case(lambda: Autoregressive(5, (2,)), 5),
    "masked-context": Case(lambda: Autoregressive(5, (7, 6), context_size=3), 5, 3),
    "masked-linear-context": Case(lambda: Autoregressive(5, (), context_size=3), 5, 3),
    "masked-one": Case(lambda: Autoregressive(1, (4,)), 1),
    "masked-one-context": Case(lambda: Autoregressive(1, (4,), context_size=2), 1, 2),
}
SPLINE = Spline(4, 6.0)
MASKED_OTHERWISE = {
    "masked-additive": Case(lambda: Autoregressive(5, (7,), transformer=Additive()), 5),
    "masked-spline": Case(lambda: Autoregressive(5, (7,), transformer=SPLINE), 5),
    "masked-spline-context": Case(lambda: Autoregressive(5, (7,), transformer=SPLINE, context_size=3), 5, 3),
    "masked-spline-one": Case(lambda: Autoregressive(1, (4,), transformer=SPLINE), 1),
    "masked-spline-short": Case(lambda: Autoregressive(5, (7,), transformer=Spline(3, 1.0)), 5),
}
COUPLINGS = {
    "coupling": Case(lambda: Coupling(4, (7,)), 4),
    "coupling-odd": Case(lambda: Coupling(5, (7, 6)), 5),
    "coupling-odd-flip": Case(lambda: Coupling(5, (7, 6), flip=True, activation="tanh"), 5),
    "coupling-two": Case(lambda: Coupling(2, (7,)), 2),
    "coupling-linear": Case(lambda: Coupling(5, ()), 5),
    "coupling-context": Case(lambda: Coupling(5, (7,), context_size=3), 5, 3),
    "coupling-linear-context": Case(lambda: Coupling(5, (), context_size=3, flip=True), 5, 3),
}
COUPLINGS_OTHERWISE = {
    "coupling-additive": Case(lambda: Coupling(5, (7,), transformer=Additive(), flip=True), 5),
    "coupling-spline": Case(lambda: Coupling(5, (7,), transformer=SPLINE), 5),
    "coupling-spline-context": Case(lambda: Coupling(4, (7,), transformer=SPLINE, context_size=3, flip=True), 4, 3),
}
VALUE_BY_VALUE = {
    "actnorm": Case(lambda: ActNorm(5), 5),
    "triangular": Case(lambda: Triangular(5), 5),
    "marginals": Case(lambda: Marginals(5, 6), 5),
}
COMPOSED = {
    "reversal": Case(lambda: Permutation.reversal(5), 5),
    "shuffle": Case(lambda: Permutation.shuffle(7, 3), 7),
    "cycle": Case(lambda: Permutation([1, 2, 3, 0]), 4),
    "inverse": Case(lambda: Inverse(Autoregressive(5, (7,))), 5),
    "chain": Case(lambda: mixed(5, 0), 5),
    "chain-context": Case(lambda: mixed(5, 3), 5, 3),
    "inverse-chain-context": Case(lambda: Inverse(mixed(4, 2)), 4, 2),
    "empty-chain": Case(Chain, 3),
}
CASES = {**MASKED, **MASKED_OTHERWISE, **COUPLINGS, **COUPLINGS_OTHERWISE, **VALUE_BY_VALUE, **COMPOSED}
STIFF = {"masked-one", "reversal", "shuffle", "cycle", "empty-chain", "actnorm", "triangular"}
STIFF |= {"masked-additive", "coupling-additive"}
"""They stretch space alike everywhere."""
every = pytest.mark.parametrize("name", CASES)


def awake(bijection: Bijection, size: float = 0.6) -> Bijection:
    """Every weight random, in float64: at its start a bijection is the identity, of which anything is true."""
    for parameter in bijection.parameters():
        torch.nn.init.normal_(parameter, 0, size)
    return bijection.double()


def jacobian(move: Callable[..., tuple[Tensor, Tensor]], x: Tensor, context: Tensor | None) -> Tensor:
    """(batch, n, n), by autograd."""
    return torch.autograd.functional.jacobian(lambda x: move(x, context)[0].sum(0), x).permute(1, 0, 2)


# There and back.


@every
def test_what_is_moved_comes_back(name):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows()
    y, there = bijection(x, context)
    back, home = bijection.inverse(y, context)
    assert (back - x).abs().max() < 1e-9
    assert (there + home).abs().max() < 1e-9
    assert y.shape == x.shape
    assert there.shape == home.shape == (N_ROWS,)
    assert (isinstance(bijection, Chain) and not len(bijection.steps)) or (y - x).abs().max() > 0.1


@every
def test_what_is_brought_back_can_be_moved(name):
    case = CASES[name]
    bijection, (y, context) = awake(case.make()), case.rows()
    x, home = bijection.inverse(y, context)
    again, there = bijection(x, context)
    assert (again - y).abs().max() < 1e-9
    assert (there + home).abs().max() < 1e-9


def test_the_inverse_is_exact_where_values_depend_on_each_other_through_all_of_the_row():
    """Fewer passes than values would not do."""
    bijection = awake(Autoregressive(24, (40,), activation="tanh"), 0.25)
    x = torch.randn(5, 24).double()
    y = bijection(x)[0]
    assert (jacobian(bijection.inverse, y, None)[:, -1] != 0).all()
    assert (bijection.inverse(y)[0] - x).abs().max() < 1e-9


def test_on_the_way_back_a_value_that_is_out_of_range_leaves_those_before_it_alone():
    bijection = awake(Autoregressive(5, (7,)))
    y = torch.randn(3, 5).double()
    far = y.clone()
    far[:, 3:] = math.inf
    assert torch.equal(bijection.inverse(far)[0][:, :3], bijection.inverse(y)[0][:, :3])


@pytest.mark.parametrize("name", [*MASKED, *COUPLINGS])
@pytest.mark.parametrize("sign", [-1, 1])
def test_scales_are_bounded_whatever_the_network_says(name, sign):
    case = CASES[name]
    bijection = case.make().double()
    last = bijection.network.last if isinstance(bijection, Autoregressive) else bijection.network[-1]
    torch.nn.init.constant_(last.bias, sign * 1e6)
    x, context = case.rows()
    for move in (bijection, bijection.inverse):
        moved, log_det = move(x, context)
        assert moved.isfinite().all()
        assert (log_det.abs() <= 3 * case.n + 1e-9).all()
    assert (bijection(x, context)[1] * sign > 0).all()


# How space is stretched.


@every
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_the_log_determinant_is_that_of_autograds_jacobian(name, way):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows()
    move = getattr(bijection, way)
    expected = torch.linalg.slogdet(jacobian(move, x, context)).logabsdet
    found = move(x, context)[1]
    assert torch.allclose(found, expected, rtol=0, atol=1e-9)
    assert name in STIFF or found.std() > 0.01


def strictly_before(bijection: Bijection, x: Tensor, context: Tensor | None = None) -> bool:
    """Whether the log-scale and the shift of a value depend on the values before it alone, not on its own."""

    def numbers(x: Tensor) -> Tensor:
        return bijection.network(x, context).sum(0)

    by_x = torch.autograd.functional.jacobian(numbers, x).abs().amax(2)
    return not by_x.triu().any()


@pytest.mark.parametrize("name", [*MASKED, *MASKED_OTHERWISE])
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_an_autoregressive_jacobian_is_triangular(name, way):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows()
    rows = jacobian(getattr(bijection, way), x, context)
    assert not rows.triu(1).any()
    assert (rows.diagonal(dim1=1, dim2=2) > 0).all()
    below = torch.ones(case.n, case.n).tril(-1).bool()
    assert name in ("masked-narrow", "masked-spline-short") or (rows[:, below] != 0).all()
    assert strictly_before(bijection, x, context)


def test_a_mask_of_up_to_and_including_would_break_the_laws():
    right = awake(Autoregressive(4, (7,)))
    wrong = copy.deepcopy(right)
    masks = autoregressive_masks(range(4), (7,), 2)
    degrees = torch.arange(7) % 3
    assert torch.equal(masks[-1], (torch.arange(4)[:, None] > degrees).float().repeat(2, 1))
    wrong.network.last.mask.copy_((torch.arange(4)[:, None] >= degrees).repeat(2, 1))
    x = torch.randn(N_ROWS, 4).double()
    for bijection, lawful in ((right, True), (wrong, False)):
        y, log_det = bijection(x)
        true = torch.linalg.slogdet(jacobian(bijection, x, None)).logabsdet
        assert strictly_before(bijection, x) == lawful
        assert torch.allclose(log_det, true, rtol=0, atol=1e-9) == lawful
        assert bool((bijection.inverse(y)[0] - x).abs().max() < 1e-9) == lawful


PLANE = {
    "masked": Case(lambda: Autoregressive(2, (7,)), 2),
    "masked-context": Case(lambda: Autoregressive(2, (7,), context_size=3), 2, 3),
    "coupling": Case(lambda: Coupling(2, (7,)), 2),
    "coupling-flip-context": Case(lambda: Coupling(2, (7,), context_size=3, flip=True), 2, 3),
    "masked-spline": Case(lambda: Autoregressive(2, (7,), transformer=Spline(4, 2.0)), 2),
    "coupling-spline": Case(lambda: Coupling(2, (7,), transformer=Spline(4, 2.0)), 2),
    "chain": Case(lambda: mixed(2, 0), 2),
    "inverse-chain-context": Case(lambda: Inverse(mixed(2, 2)), 2, 2),
}


@pytest.mark.parametrize("name", PLANE)
@torch.no_grad()
def test_a_normal_that_is_pushed_through_stays_a_density_and_the_right_one(name):
    """Its integral is 1, and its mean is what draws that were pushed through have."""
    case = PLANE[name]
    bijection = awake(case.make(), 0.3)
    _, context = case.rows(1)
    line = torch.linspace(-16, 16, 401, dtype=torch.float64)
    y = torch.cartesian_prod(line, line)
    x, log_det = bijection.inverse(y, None if context is None else context.expand(len(y), -1))
    log_density = log_det - 0.5 * x.square().sum(1) - math.log(2 * math.pi)
    weight = log_density.exp() * (line[1] - line[0]) ** 2
    assert abs(weight.sum() - 1) < (1e-3 if "spline" in name else 1e-5)  # splines have bends
    draws = bijection(torch.randn(200_000, 2).double(), None if context is None else context.expand(200_000, -1))[0]
    error = (weight @ y - draws.mean(0)) / (draws.std(0) / math.sqrt(200_000))
    assert (error.abs() < 5).all()


# What they are made of.


@every
def test_one_is_the_inverse_of_its_inverse(name):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows()
    turned = Inverse(bijection)
    for ours, theirs in ((turned, bijection.inverse), (turned.inverse, bijection)):
        for a, b in zip(ours(x, context), theirs(x, context), strict=True):
            assert torch.equal(a, b)


def test_a_chain_is_one_after_the_other_and_back_in_the_other_order():
    first, second, third = awake(Autoregressive(4, (5,))), Permutation([2, 0, 3, 1]), awake(Coupling(4, (5,)))
    chain = Chain(first, second, third)
    x = torch.randn(N_ROWS, 4).double()
    a, by_first = first(x)
    b, _ = second(a)
    c, by_third = third(b)
    y, log_det = chain(x)
    assert torch.equal(y, c)
    assert torch.allclose(log_det, by_first + by_third)
    assert torch.allclose(chain.inverse(y)[0], x)
    nested = Chain(first, Chain(second, third))
    assert torch.equal(nested(x)[0], y)


def test_a_permutation_puts_values_where_it_says():
    x = torch.tensor([[10.0, 11.0, 12.0]])
    assert Permutation([2, 0, 1])(x)[0].tolist() == [[12.0, 10.0, 11.0]]
    assert Permutation([2, 0, 1]).inverse(x)[0].tolist() == [[11.0, 12.0, 10.0]]
    assert Permutation.reversal(3)(x)[0].tolist() == [[12.0, 11.0, 10.0]]


def test_a_shuffle_is_its_seeds_own_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    orders = [Permutation.shuffle(20, seed).order.tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert torch.equal(torch.get_rng_state(), before)
    # Weights that were trained behind one order are worth nothing behind another.
    assert Permutation.shuffle(8, 0).order.tolist() == [3, 7, 5, 2, 4, 1, 6, 0]


@pytest.mark.parametrize("order", [[0, 0], [1, 2], [0, 2, 3], [-1, 0]])
def test_a_permutation_holds_each_value_once(order):
    with pytest.raises(ValueError, match="once"):
        Permutation(order)


def test_a_single_value_has_nothing_to_be_coupled_with():
    with pytest.raises(ValueError, match="at least 2"):
        Coupling(1)


# As parts of a model.


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("shuffle", "cycle", "marginals")])
def test_it_starts_as_the_identity_but_for_the_order(name):
    case = CASES[name]
    bijection = case.make()
    steps = list(bijection.modules())
    x, context = case.rows()
    bijection = bijection.double()
    y, log_det = bijection(x, context)
    moved = any(isinstance(step, Permutation) for step in steps)
    tolerance = 1e-14 if "spline" in name else 0.0
    assert torch.allclose(y.sort(1).values, x.sort(1).values) if moved else (y - x).abs().max() <= tolerance
    assert log_det.abs().max() <= 10 * tolerance


@every
def test_rows_are_strangers(name):
    case = CASES[name]
    bijection, (x, context) = awake(case.make(), 0.3), case.rows(33)
    shuffled = torch.randperm(33)
    for move in (bijection, bijection.inverse):
        together = move(x, context)
        apart = [move(x[i : i + 1], None if context is None else context[i : i + 1]) for i in range(33)]
        other = move(x[shuffled], None if context is None else context[shuffled])
        for i, whole in enumerate(together):
            assert torch.allclose(whole, torch.cat([part[i] for part in apart]), rtol=0, atol=1e-11)
            assert torch.allclose(whole[shuffled], other[i], rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "name", [name for name in CASES if name not in ("masked-one", "masked-spline-one", "masked-narrow")]
)
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_the_gradient_reaches_every_weight_that_counts(name, way):
    """And none that is masked out. Every entry, so that no unit is dead either."""
    case = CASES[name]
    bijection, (x, context) = awake(case.make(), 0.4), case.rows(400)
    y, log_det = getattr(bijection, way)(2 * x, context)  # as far as the outermost pieces of splines
    if not list(bijection.parameters()):
        return
    (y.square().sum() + log_det.sin().sum()).backward()
    masks = {id(module.weight): module.mask for module in bijection.modules() if hasattr(module, "mask")}
    for parameter in bijection.parameters():
        alive = masks.get(id(parameter), torch.ones_like(parameter)) > 0
        if isinstance(bijection, Triangular) and parameter is bijection.below:
            alive = alive.tril(-1)
        assert torch.equal(parameter.grad != 0, alive)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].context_size])
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_every_value_that_moves_hears_of_all_of_the_context(name, way):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows()
    move = getattr(bijection, way)
    by_context = torch.autograd.functional.jacobian(lambda context: move(x, context)[0].sum(0), context)
    heard = (by_context != 0).any(1)  # (n, context_size)
    kept = torch.zeros(case.n, dtype=torch.bool)
    if isinstance(bijection, Coupling):
        kept[bijection.sizes[0] :] = bijection.flip
        kept[: bijection.sizes[0]] = not bijection.flip
    assert torch.equal(heard, ~kept[:, None].expand_as(heard))


@pytest.mark.parametrize("name", [*MASKED, *COUPLINGS])
def test_a_context_is_given_where_one_was_built_for_and_nowhere_else(name):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows()
    wrong = x if context is None else None
    for move in (bijection, bijection.inverse):
        with pytest.raises(ValueError, match="built for"):
            move(x, wrong)


@every
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_log_determinants_are_no_rougher_than_float32(name, precision):
    """However the network runs, and whatever it is given."""
    case = CASES[name]
    bijection = awake(case.make(), 0.3).float()
    x, context = (None if part is None else part.to(precision) for part in case.rows())
    with torch.autocast("cpu", torch.bfloat16):
        for move in (bijection, bijection.inverse):
            moved, log_det = move(x, context)
            assert log_det.dtype == torch.float32
            assert precision != torch.float32 or moved.dtype == torch.float32


@every
def test_it_is_built_without_memory_and_saves_its_weights_only(name):
    case = CASES[name]
    with torch.device("meta"):
        outline = case.make()
    bijection = awake(case.make())
    kept = bijection.state_dict()
    assert {key: tensor.shape for key, tensor in outline.state_dict().items()} == {
        key: tensor.shape for key, tensor in kept.items()
    }
    assert kept.keys() == dict(bijection.named_parameters()).keys()
    again, (x, context) = case.make().double(), case.rows()
    again.load_state_dict(kept)
    assert torch.equal(again(x, context)[0], bijection(x, context)[0])
