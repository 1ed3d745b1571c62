"""What bijections of images and signals owe: a way back, the truth about volumes, and every pixel in its place."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from likely.bijections import (
    ActNorm,
    Bijection,
    Chain,
    ImageCoupling,
    InvertibleConvolution,
    Logit,
    MultiScale,
    Scale,
    Spline,
    Squeeze,
)
from likely.flows import Glow, RealNVP
from likely.flows.images import real_nvp_of_images
from likely.networks.conditioner import ConvolutionalConditioner

N_ROWS = 5


@dataclass(frozen=True)
class Case:
    make: Callable[[], Bijection]
    x_shape: tuple[int, ...]
    context_shape: tuple[int, ...] = ()
    interval: tuple[float, float] | None = None

    def rows(self, n_rows: int = N_ROWS) -> tuple[Tensor, Tensor | None]:
        x = torch.randn(n_rows, *self.x_shape).double()
        if self.interval:
            low, high = self.interval
            x = low + (high - low) * torch.rand_like(x)
        return x, torch.randn(n_rows, *self.context_shape).double() if self.context_shape else None


def two_scales() -> MultiScale:
    first, second = Squeeze((1, 4, 6)), Squeeze((2, 2, 3))
    return MultiScale(
        [
            Scale(Chain(first, ImageCoupling((4, 2, 3), width=5)), (4, 2, 3)),
            Scale(Chain(second, ImageCoupling((4, 1, 3), width=5)), (4, 1, 3)),
        ]
    )


FIXED = {
    "squeeze": Case(lambda: Squeeze((2, 4, 6)), (2, 4, 6)),
    "squeeze-one-odd-side": Case(lambda: Squeeze((2, 6, 5)), (2, 6, 5)),
    "squeeze-odd": Case(lambda: Squeeze((3, 3, 5)), (3, 3, 5)),
    "squeeze-signal": Case(lambda: Squeeze((2, 8)), (2, 8)),
    "convolution": Case(lambda: InvertibleConvolution(4), (4, 3, 2)),
    "convolution-one": Case(lambda: InvertibleConvolution(1), (1, 3, 2)),
    "convolution-signal": Case(lambda: InvertibleConvolution(3), (3, 5)),
}
BENT = {
    "logit": Case(lambda: Logit(0.0, 1.0), (2, 3), interval=(0.0, 1.0)),
    "logit-elsewhere": Case(lambda: Logit(-2.0, 5.0, margin=1e-3), (1, 2, 3), interval=(-2.0, 5.0)),
    "logit-without-margin": Case(lambda: Logit(0.0, 1.0, margin=0.0), (4,), interval=(0.01, 0.99)),
}
COUPLINGS = {
    "board": Case(lambda: ImageCoupling((2, 3, 4), mask="checkerboard", width=5), (2, 3, 4)),
    "board-flip": Case(lambda: ImageCoupling((1, 3, 3), mask="checkerboard", width=5, flip=True), (1, 3, 3)),
    "board-signal": Case(lambda: ImageCoupling((1, 5), mask="checkerboard", width=5), (1, 5)),
    "channels": Case(lambda: ImageCoupling((4, 3, 2), width=5), (4, 3, 2)),
    "channels-odd-flip": Case(lambda: ImageCoupling((3, 2, 2), width=5, flip=True, blocks=2), (3, 2, 2)),
    "channels-plain": Case(lambda: ImageCoupling((2, 2, 3), width=5, blocks=0), (2, 2, 3)),
    "channels-spline": Case(lambda: ImageCoupling((2, 2, 2), Spline(4), width=5), (2, 2, 2)),
    "board-spline": Case(lambda: ImageCoupling((1, 2, 3), Spline(4), mask="checkerboard", width=5), (1, 2, 3)),
    "channels-signal": Case(lambda: ImageCoupling((3, 4), width=5), (3, 4)),
    "board-context": Case(
        lambda: ImageCoupling((1, 3, 2), mask="checkerboard", width=5, context_size=3), (1, 3, 2), (3,)
    ),
    "channels-map": Case(lambda: ImageCoupling((2, 3, 2), width=5, context_size=3), (2, 3, 2), (3, 3, 2)),
}
WHOLE = {
    "two-scales": Case(two_scales, (1, 4, 6)),
    "glow": Case(lambda: Glow(2, 4).build((1, 8, 4), 0), (1, 8, 4)),
    "glow-colors-context": Case(lambda: Glow(2, 4).build((3, 4, 3), 2), (3, 4, 3), (2,)),
    "glow-spline": Case(lambda: Glow(2, 4, bins=4).build((1, 4, 4), 0), (1, 4, 4)),
    "glow-signal": Case(lambda: Glow(2, 4).build((1, 12), 0), (1, 12)),
    "glow-one-channel": Case(lambda: Glow(2, 4).build((1, 3, 3), 0), (1, 3, 3)),
    "real-nvp": Case(lambda: real_nvp_of_images((1, 8, 4), 0, layers=2, width=4), (1, 8, 4)),
    "real-nvp-context": Case(lambda: real_nvp_of_images((2, 4, 3), 2, layers=3, width=4), (2, 4, 3), (2,)),
    "real-nvp-signal": Case(lambda: real_nvp_of_images((2, 8), 0, layers=2, width=4), (2, 8)),
    "real-nvp-pixel": Case(lambda: real_nvp_of_images((3, 1, 1), 0, layers=2, width=4), (3, 1, 1)),
}
CASES = {**FIXED, **BENT, **COUPLINGS, **WHOLE}
every = pytest.mark.parametrize("name", CASES)


def awake(bijection: Bijection, size: float = 0.15) -> Bijection:
    """Every weight random, in float64: at its start a coupling is the identity, of which anything is true."""
    for parameter in bijection.parameters():
        torch.nn.init.normal_(parameter, 0, size)
    return bijection.double()


def jacobian(move: Callable[..., tuple[Tensor, Tensor]], x: Tensor, context: Tensor | None) -> Tensor:
    """(batch, n, n), by autograd."""

    def summed(x: Tensor) -> Tensor:
        return move(x, context)[0].flatten(1).sum(0)

    return torch.autograd.functional.jacobian(summed, x).movedim(1, 0).flatten(2)


@every
def test_what_is_moved_comes_back(name):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows()
    y, there = bijection(x, context)
    back, home = bijection.inverse(y, context)
    assert back.shape == x.shape
    assert (back - x).abs().max() < 1e-9
    assert (there + home).abs().max() < 1e-9
    assert there.shape == home.shape == (N_ROWS,)
    assert torch.allclose(bijection(back, context)[0], y, rtol=0, atol=1e-9)


@every
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_the_log_determinant_is_that_of_autograds_jacobian(name, way):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows()
    value = x if way == "forward" else bijection(x, context)[0].detach()
    move = getattr(bijection, way)
    expected = torch.linalg.slogdet(jacobian(move, value, context)).logabsdet
    found = move(value, context)[1]
    assert torch.allclose(found, expected, rtol=0, atol=1e-9)
    assert name in FIXED or found.std() > 0.01


@every
def test_rows_are_strangers(name):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows(9)
    together = bijection(x, context)
    apart = [bijection(x[i : i + 1], None if context is None else context[i : i + 1]) for i in range(9)]
    for i, whole in enumerate(together):
        assert torch.allclose(whole, torch.cat([part[i] for part in apart]), rtol=0, atol=1e-11)


@every
def test_log_determinants_are_no_rougher_than_float32(name):
    """However the networks run; and nothing that is to come back is rounded to bfloat16."""
    case = CASES[name]
    bijection = awake(case.make()).float()
    x, context = (None if part is None else part.float() for part in case.rows())
    with torch.autocast("cpu", torch.bfloat16):
        y, log_det = bijection(x, context)
        back, home = bijection.inverse(y, context)
    assert {y.dtype, log_det.dtype, back.dtype, home.dtype} == {torch.float32}
    assert name not in FIXED or (back - x).abs().max() < 1e-4


@every
def test_it_is_built_without_memory_and_weights_are_all_it_needs(name):
    case = CASES[name]
    with torch.device("meta"):
        outline = case.make()
    bijection, again = awake(case.make()), case.make().double()
    kept = bijection.state_dict()
    assert {key: tensor.shape for key, tensor in outline.state_dict().items()} == {
        key: tensor.shape for key, tensor in kept.items()
    }
    again.load_state_dict(kept)
    x, context = case.rows()
    assert torch.equal(again(x, context)[0], bijection(x, context)[0])


@pytest.mark.parametrize("name", [*COUPLINGS, *WHOLE])
def test_the_gradient_reaches_every_parameter(name):
    case = CASES[name]
    bijection, (x, context) = awake(case.make()), case.rows()
    y, log_det = bijection(x, context)
    (y.square().sum() + log_det.sin().sum()).backward()
    for key, parameter in bijection.named_parameters():
        assert parameter.grad.any() or parameter.numel() == 1 or key.endswith(("lower", "upper")), key


@pytest.mark.parametrize("name", COUPLINGS)
def test_a_coupling_starts_as_the_identity_keeps_half_and_moves_the_other_by_it(name):
    case = CASES[name]
    coupling, (x, context) = case.make().double(), case.rows()
    assert torch.allclose(coupling(x, context)[0], x, rtol=0, atol=1e-12)
    coupling = awake(coupling)
    slopes = jacobian(coupling, x, context)
    kept = (slopes == torch.eye(slopes.shape[1]).double()).all(2).all(0)
    n_places = x[0, 0].numel()
    n_even = (n_places + 1) // 2  # fields of a chessboard
    n_of_board = len(x[0]) * (n_places - n_even if coupling.flip else n_even)
    n_of_channels = n_places * coupling.sizes[1 if coupling.flip else 0]
    assert kept.sum() == (n_of_board if coupling.mask == "checkerboard" else n_of_channels)
    moved = slopes[:, ~kept]
    within = moved[:, :, ~kept]
    assert not (within - torch.diag_embed(within.diagonal(dim1=1, dim2=2))).any()
    assert (moved[:, :, kept] != 0).any(2).all()


def test_a_context_is_given_where_one_was_built_for_and_nowhere_else():
    x, context = torch.randn(2, 2, 3, 3), torch.randn(2, 4)
    with pytest.raises(ValueError, match=r"built for a context \(batch, 4\)"):
        ImageCoupling((2, 3, 3), context_size=4)(x)
    with pytest.raises(ValueError, match="built for no context"):
        ImageCoupling((2, 3, 3))(x, context)


def test_squeezing_goes_down_by_halves_and_leaves_odd_sides():
    shapes = [(1, 28, 28)]
    for _ in range(3):
        shapes.append(Squeeze(shapes[-1]).out_shape)
    assert shapes[1:] == [(4, 14, 14), (16, 7, 7), (16, 7, 7)]
    assert Squeeze((2, 6, 5)).out_shape == (4, 3, 5)
    with pytest.raises(ValueError, match="images"):
        Squeeze((5,))


def test_the_halves_of_squeezed_channels_are_those_of_a_chessboard():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    squeezed = Squeeze((1, 4, 4))(x)[0]
    assert squeezed[0, :, 0, 0].tolist() == [0, 5, 1, 4]
    parity = (torch.arange(4)[:, None] + torch.arange(4)) % 2
    even = set(x[0, 0][parity == 0].tolist())
    assert set(squeezed[0, :2].flatten().tolist()) == even
    colors = torch.stack([x[0, 0], x[0, 0] + 100]).unsqueeze(0)
    assert Squeeze((2, 4, 4))(colors)[0][0, :4, 0, 0].tolist() == [0, 100, 5, 105]


def test_an_invertible_convolution_starts_as_a_rotation_that_the_seed_decides():
    def started(seed: int) -> Tensor:
        torch.manual_seed(seed)
        eye = torch.eye(6).view(6, 6, 1, 1)
        return InvertibleConvolution(6)(eye)[0].flatten(1)

    first, again, other = started(0), started(0), started(1)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.allclose(first @ first.T, torch.eye(6), atol=1e-5)
    assert abs(InvertibleConvolution(6)(torch.randn(2, 6, 3, 3))[1]).max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_logit_is_finite_at_both_ends_and_symmetric(dtype):
    for margin in (0.0, 1e-6, 0.05):
        y, log_det = Logit(-1.0, 3.0, margin)(torch.tensor([[-1.0], [3.0]], dtype=dtype))
        assert y.isfinite().all()
        assert log_det.isfinite().all()
        assert torch.allclose(y[0], -y[1], rtol=1e-2)
    assert Logit(-1.0, 3.0, 0.05)(torch.tensor([[3.0]]))[0].item() == pytest.approx(math.log(21), rel=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Logit(1.0, 1.0), "low < high"),
        (lambda: Logit(0.0, 1.0, -0.1), "margin"),
        (lambda: MultiScale([]), "at least one scale"),
        (lambda: ImageCoupling((1, 4, 4)), "nothing to couple"),
        (lambda: ImageCoupling((3, 1, 1), mask="checkerboard"), "nothing to couple"),
        (lambda: Glow(0), "steps"),
        (lambda: Glow().build((5,), 0), "takes images"),
        (lambda: real_nvp_of_images((5,), 0), "takes images"),
        (lambda: RealNVP().build((1, 1, 1), 0), "nothing to couple"),
    ],
)
def test_what_makes_no_sense_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_half_of_the_channels_leave_after_a_scale_and_stand_first():
    nothing = [Scale(Chain(), (5, 2, 2)), Scale(Chain(), (3, 2, 2)), Scale(Chain(), (2, 2, 2))]
    x = torch.randn(2, 5, 2, 2)
    y = MultiScale(nothing)(x)[0]
    assert torch.equal(y, x.flatten(1))
    first = ImageCoupling((2, 2, 2), width=4)
    two = MultiScale([Scale(Squeeze((1, 4, 4)), (4, 2, 2)), Scale(awake(first).float(), (2, 2, 2))])
    x = torch.randn(2, 1, 4, 4)
    squeezed = Squeeze((1, 4, 4))(x)[0]
    assert torch.equal(two(x)[0][:, :8], squeezed[:, :2].flatten(1))


@pytest.mark.parametrize("name", WHOLE)
def test_a_start_from_rows_makes_what_each_normalization_gives_standard(name):
    case = CASES[name]
    bijection, (x, context) = case.make().double(), case.rows(64)
    seen: list[Tensor] = []
    for module in bijection.modules():
        if isinstance(module, ActNorm):
            module.register_forward_hook(lambda module, given, gave: seen.append(gave[0]))
    bijection.start(3 * x + 2, context)
    seen.clear()
    bijection(3 * x + 2, context)
    assert seen or name == "two-scales"
    for y in seen:
        over = [axis for axis in range(y.ndim) if axis != 1]
        assert y.mean(over).abs().max() < 1e-9
        assert (y.std(over, correction=0) - 1).abs().max() < 1e-9


@pytest.mark.parametrize("design", [Glow(2, 4), RealNVP()])
def test_a_whole_flow_lets_every_pixel_speak_of_every_other_nearby(design):
    """No half of an image is moved without the other: every pixel of x reaches base variables at every scale."""
    bijection = design.build((1, 8, 8), 0)
    bijection = awake(bijection, 0.15)
    slopes = jacobian(bijection, torch.randn(2, 1, 8, 8).double(), None)
    assert ((slopes != 0).sum(1) > 16).all()


def test_a_network_knows_where_it_is_only_by_its_places():
    network = ConvolutionalConditioner((1, 9, 9), 1, width=4, blocks=1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    with torch.no_grad():
        network.place.zero_()
    x = torch.zeros(1, 1, 9, 9)
    middle = network(x)[0, 0, 4:5, 4:5]
    assert torch.allclose(network(x)[0, 0, 4:5, 4:6], middle.expand(1, 2), atol=1e-6)
    with torch.no_grad():
        network.place.normal_()
    assert not torch.allclose(network(x)[0, 0, 4, 4], network(x)[0, 0, 4, 5], atol=1e-3)
