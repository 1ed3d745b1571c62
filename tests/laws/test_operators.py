"""What operators owe whoever restores: projections that land where they should, by the shortest way, row by row.

The oracle is a matrix: a linear operator is applied to every basis vector, and the pseudo-inverse of what comes out
gives the nearest point.
"""

import math

import pytest
import torch

from likely.corruptions import (
    Corruption,
    Downsampling,
    Erasing,
    GaussianNoise,
    Grayscale,
    LinearOperator,
    Operator,
    SaltAndPepper,
    Truncation,
    ZeroMasking,
    finish,
    start,
)
from likely.registry import PARTS, part_class

SHAPES = [(1, 7, 5), (3, 8, 8), (12,), (2, 9)]
CORRUPTIONS = [
    GaussianNoise(0.3),
    GaussianNoise(0.5, min_scale=0.1),
    ZeroMasking(0.4),
    SaltAndPepper(0.3),
    Erasing(0.5),
    Erasing(box=(3, 2)),
    Erasing(box=(4,)),
    Truncation(),
    Truncation(0.3),
    Downsampling(2),
    Downsampling(3),
    Downsampling(10**9),
    Grayscale(),
    Grayscale((1 / 3, 1 / 3, 1 / 3)),
]
N = 6


def fits(corruption: Corruption, shape: tuple[int, ...]) -> bool:
    try:
        corruption.check(shape)
    except ValueError:
        return False
    return True


CASES = [
    pytest.param(corruption, shape, id=f"{corruption}-{shape}")
    for corruption in CORRUPTIONS
    for shape in SHAPES
    if fits(corruption, shape)
]
LINEAR = [case for case in CASES if not isinstance(case.values[0], GaussianNoise | SaltAndPepper)]


def rows(shape: tuple[int, ...], n: int = N) -> torch.Tensor:
    return torch.randn(n, *shape, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def drawn(corruption: Corruption, shape: tuple[int, ...]) -> tuple[Operator, torch.Tensor, torch.Tensor]:
    """An operator, rows it was not drawn from, and a y that came from still other rows."""
    operator = corruption.draw(rows(shape))
    return operator, rows(shape), operator.apply(rows(shape))


def matrix_of(operator: Operator, row: int, shape: tuple[int, ...]) -> torch.Tensor:
    """A (n_values_of_y, n_values_of_x) of one row, NaN read as a row of A that constrains nothing."""
    n = math.prod(shape)
    basis = torch.eye(n, dtype=torch.float64).view(n, *shape)
    same = operator.rows(torch.full((n,), row))
    return same.apply(basis).nan_to_num(0.0).flatten(1).T


def test_every_corruption_and_every_shape_is_tried():
    known = {part_class(name) for name in PARTS}
    assert {type(case.values[0]) for case in CASES} == {part for part in known if issubclass(part, Corruption)}
    assert {case.values[1] for case in CASES} == set(SHAPES)


@pytest.mark.parametrize(("corruption", "shape"), CASES)
def test_the_same_operator_gives_the_same_y(corruption, shape):
    x = rows(shape)
    operator = corruption.draw(x)
    first = operator.apply(x)
    assert torch.equal(first.nan_to_num(9.0), operator.apply(x).nan_to_num(9.0))
    assert first.shape[1:] == corruption.y_shape(shape)
    assert first.dtype == x.dtype


@pytest.mark.parametrize(("corruption", "shape"), LINEAR)
def test_a_projection_lands_on_y(corruption, shape):
    operator, x, y = drawn(corruption, shape)
    assert isinstance(operator, LinearOperator)
    again = operator.apply(operator.project(x, y))
    assert torch.equal(again.isnan(), y.isnan())
    torch.testing.assert_close(again, y, equal_nan=True)


@pytest.mark.parametrize(("corruption", "shape"), LINEAR)
def test_a_projection_stays_where_it_is(corruption, shape):
    operator, x, y = drawn(corruption, shape)
    once = operator.project(x, y)
    torch.testing.assert_close(operator.project(once, y), once)


@pytest.mark.parametrize(("corruption", "shape"), LINEAR)
def test_a_projection_is_the_nearest_point(corruption, shape):
    operator, x, y = drawn(corruption, shape)
    found = operator.project(x, y)
    for row in range(N):
        a = matrix_of(operator, row, shape)
        target = y[row].nan_to_num(0.0).flatten()
        nearest = x[row].flatten() + torch.linalg.pinv(a) @ (target - a @ x[row].flatten())
        torch.testing.assert_close(found[row].flatten(), nearest)


@pytest.mark.parametrize(("corruption", "shape"), LINEAR)
def test_the_start_is_the_smallest_x_and_the_finish_a_projection(corruption, shape):
    operator, x, y = drawn(corruption, shape)
    begun = start(y, operator)
    assert begun.isfinite().all()
    torch.testing.assert_close(begun, operator.project(torch.zeros_like(x), y))
    torch.testing.assert_close(finish(x, y, operator), operator.project(x, y))


@pytest.mark.parametrize("corruption", [GaussianNoise(0.3), SaltAndPepper(0.3)])
def test_noise_is_no_constraint(corruption):
    operator, x, y = drawn(corruption, (3, 8, 8))
    assert start(y, operator) is y
    assert finish(x, y, operator) is x


@pytest.mark.parametrize(("corruption", "shape"), CASES)
def test_rows_are_strangers(corruption, shape):
    """Each row of y and of a projection is that of the row alone, with the operator's own row."""
    operator, x, y = drawn(corruption, shape)
    order = torch.randperm(N)
    some, one = operator.rows(order), operator.rows(slice(2, 3))
    torch.testing.assert_close(some.apply(x[order]), operator.apply(x)[order], equal_nan=True)
    torch.testing.assert_close(one.apply(x[2:3]), operator.apply(x)[2:3], equal_nan=True)
    if isinstance(operator, LinearOperator):
        torch.testing.assert_close(some.project(x[order], y[order]), operator.project(x, y)[order])


@pytest.mark.parametrize(("corruption", "shape"), CASES)
def test_what_y_tells_of_its_operator_is_true(corruption, shape):
    """The operator behind y is the one that was drawn, where y tells; of noise it promises nothing."""
    operator, x, y = drawn(corruption, shape)
    behind = corruption.behind(y, shape)
    if isinstance(behind, LinearOperator):
        torch.testing.assert_close(behind.project(x, y), operator.project(x, y))
    else:
        assert torch.equal(behind.apply(x), x)


@pytest.mark.parametrize("corruption", [Downsampling(2), Grayscale()])
def test_what_is_missing_from_y_constrains_nothing(corruption):
    operator, x, y = drawn(corruption, (3, 8, 8))
    y[:, :, 1:3, 0] = torch.nan
    known = ~y.isnan()
    moved = operator.project(x, y)
    assert moved.isfinite().all()
    torch.testing.assert_close(operator.apply(moved)[known], y[known])
    torch.testing.assert_close(operator.apply(moved)[~known], operator.apply(x)[~known])


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=str)
def test_draws_differ_between_rows_and_between_calls(corruption):
    shape = next(case for case in [(3, 8, 8), (2, 9)] if fits(corruption, case))
    x = rows(shape)[:1].expand(200, *shape)
    first, second = (corruption.draw(x).apply(x).nan_to_num(9.0) for _ in range(2))
    random = not isinstance(corruption, Downsampling | Grayscale | Truncation)
    assert torch.equal(first, second) != random
    assert (len(first.flatten(1).unique(dim=0)) > 1) == random


# How often, and how much. Five standard errors, over a million values.

X = torch.full((1000, 1, 25, 40), 0.4, dtype=torch.float64)


def share_error(p: float, n: int = X.numel()) -> float:
    return 5 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_as_many_values_are_lost_as_was_said(p):
    zeros = (ZeroMasking(p).draw(X).apply(X) == 0).double().mean()
    erased = Erasing(p).draw(X).apply(X).isnan().double().mean()
    changed = SaltAndPepper(p).draw(X).apply(X)
    assert abs(zeros - p) <= share_error(p)
    assert abs(erased - p) <= share_error(p)
    assert abs((changed != 0.4).double().mean() - p) <= share_error(p)
    assert abs((changed == 1).double().mean() - p / 2) <= share_error(p / 2)
    assert abs((changed == 0).double().mean() - p / 2) <= share_error(p / 2)


def test_a_pixel_is_erased_with_all_its_channels():
    x = torch.zeros(500, 3, 8, 8)
    lost = Erasing(0.3).draw(x).apply(x).isnan()
    assert torch.equal(lost, lost[:, :1].expand_as(lost))
    assert abs(lost.double().mean() - 0.3) <= share_error(0.3, 500 * 64)


def test_a_box_is_whole_and_may_stand_anywhere():
    x = torch.zeros(2000, 2, 5, 6)
    lost = Erasing(box=(2, 3)).draw(x).apply(x).isnan()
    assert (lost.flatten(1).sum(1) == 2 * 2 * 3).all()
    down, across = lost[:, 0].any(2), lost[:, 0].any(1)
    assert (down.sum(1) == 2).all()
    assert (across.sum(1) == 3).all()
    corners = down.int().argmax(1) * 10 + across.int().argmax(1)
    counts = corners.unique(return_counts=True)[1]
    assert len(counts) == 4 * 4
    assert ((counts - 125).abs() < 5 * math.sqrt(125)).all()


def test_noise_is_as_strong_as_was_said_and_as_strong_everywhere():
    off = GaussianNoise(0.3).draw(X).apply(X) - X
    assert abs(off.mean()) < 5 * 0.3 / math.sqrt(X.numel())
    assert abs(off.std() / 0.3 - 1) < 5 / math.sqrt(2 * X.numel())
    assert off.min() < -0.4  # nothing is clipped: x is 0.4


def test_scales_are_drawn_row_by_row_and_evenly():
    scales = (GaussianNoise(0.5, min_scale=0.1).draw(X).apply(X) - X).flatten(1).std(1)
    assert 0.08 < scales.min() < 0.13
    assert 0.47 < scales.max() < 0.53
    assert abs(scales.mean() - 0.3) < 5 * 0.4 / math.sqrt(12 * len(scales))


@pytest.mark.parametrize(
    ("corruption", "shape"),
    [
        (Downsampling(2), (12,)),
        (Grayscale(), (1, 8, 8)),
        (Grayscale(), (3, 8)),
        (Erasing(box=(3, 3)), (12,)),
        (Erasing(box=(9, 1)), (1, 8, 8)),
    ],
)
def test_what_cannot_happen_to_rows_is_refused(corruption, shape):
    with pytest.raises(ValueError, match=type(corruption).__name__):
        corruption.draw(rows(shape))


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianNoise(0.0),
        lambda: GaussianNoise(0.1, min_scale=0.2),
        lambda: ZeroMasking(1.5),
        lambda: SaltAndPepper(-0.1),
        lambda: Erasing(0.5, box=(2, 2)),
        lambda: Erasing(box=(0, 2)),
        lambda: Downsampling(1),
        lambda: Grayscale((1.0, 1.0, 1.0)),
    ],
)
def test_settings_without_sense_are_refused(make):
    with pytest.raises(ValueError):
        make()
