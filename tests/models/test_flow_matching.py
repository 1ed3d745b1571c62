"""Flow matching against closed forms: a normal distribution, whose field, density and conditionals are known."""

import math

import pytest
import torch
from torch import nn

from likely.contract import Batch
from likely.corruptions import Downsampling, Erasing, GaussianNoise, Grayscale, LinearOperator, Truncation
from likely.errors import UserError
from likely.models import FlowMatching
from likely.models.flow_matching import _drawn_times
from likely.networks.residual_mlp import ResidualMLP
from likely.networks.unet import UNet
from likely.training import TrainConfig, train
from likely.transport import GaussianPath

SMALL = ResidualMLP(32, 2)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class ClosedForm(nn.Module):
    """In place of the network: the residual of the field of N(0, I) to N(mean, covariance), in a path's coordinates."""

    def __init__(self, path, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        super().__init__()
        self.path, self.mean = [path], path.coordinates(mean.view(1, *path.x_shape))
        turned = path.turned(path.turned(covariance).T)
        self.covariance = turned / path.scale**2

    def velocity(self, t, w):
        """mean + (t S - (1 - t) I) C^-1 (w - t mean), C = (1 - t)^2 I + t^2 S: Lipman et al. (2023), by Bayes' rule."""
        eye, t = torch.eye(w.shape[1], dtype=w.dtype), t[:, None, None]
        marginal = (1 - t) ** 2 * eye + t**2 * self.covariance
        off = (w - t[:, 0] * self.mean)[:, :, None]
        slope = t * self.covariance - (1 - t) * eye
        return self.mean + (slope @ torch.linalg.solve(marginal, off)).squeeze(2)

    def forward(self, u, t, context):
        slope, root, residual = self.path[0].marginal(t)
        w = u.flatten(1) * root
        return ((self.velocity(t, w) - slope * w) / residual).view_as(u)


def normal(shape: tuple[int, ...]) -> torch.distributions.MultivariateNormal:
    n = math.prod(shape)
    factor = torch.randn(n, n, dtype=torch.float64) / math.sqrt(n)
    covariance = factor @ factor.T + 0.1 * torch.eye(n, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(torch.randn(n, dtype=torch.float64), covariance)


def of_normal(shape: tuple[int, ...], *, started: bool, **arguments) -> tuple[FlowMatching, object]:
    """A model whose field is that of a normal: its own start, or any path with the closed form as its network."""
    p = normal(shape)
    model = FlowMatching(shape, network=SMALL, **arguments)
    model.path = GaussianPath(shape, rotated=True)
    model = model.double().eval()
    model.path.start(p.sample((500,)).view(-1, *shape))
    if started:
        values, vectors = torch.linalg.eigh(p.covariance_matrix)
        model.path.location.copy_(p.mean)
        model.path.scale.copy_(values.mean().sqrt())
        model.path.variances.copy_(values / values.mean())
        model.path.rotation.copy_(vectors)
    else:
        model.residual = ClosedForm(model.path, p.mean, p.covariance_matrix)
    return model, p


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_the_density_of_a_normal_pair_is_that_of_the_normal(started, tolerance):
    model, p = of_normal((2, 3), started=started, tolerance=tolerance)
    x = p.sample((50,)) * 1.5
    found = model.estimate(x.view(-1, 2, 3))
    assert found.method == "exact trace"
    assert not found.error.any()
    off = (found.value - p.log_prob(x)).abs()
    assert off.max() < 20 * tolerance * (1 + p.log_prob(x).abs().max())


@pytest.mark.parametrize("started", [True, False])
def test_codes_of_a_normal_pair_are_standard_normal_and_lead_back(started):
    model, p = of_normal((4,), started=started, tolerance=1e-6)
    x = p.sample((4000,))
    z = model.encode(x)
    assert torch.allclose(z.mean(0), torch.zeros(4).double(), atol=4 / math.sqrt(4000))
    assert torch.allclose(torch.cov(z.T), torch.eye(4).double(), atol=6 / math.sqrt(4000))
    assert torch.allclose(model.decode(z), x, atol=1e-4)


def test_samples_of_a_normal_pair_have_its_mean_and_covariance():
    for steps in (None, 20):
        model, p = of_normal((3,), started=False, steps=steps)
        x = model.sample(20_000)
        error = 5 * p.variance.max().sqrt() / math.sqrt(20_000)
        assert (x.mean(0) - p.mean).abs().max() < error
        assert (torch.cov(x.T) - p.covariance_matrix).abs().max() < 3 * p.variance.max() / math.sqrt(20_000) * 2


def test_more_steps_come_nearer_to_the_solver():
    found = {}
    for steps in (2, 8, None):
        torch.manual_seed(1)
        model, _ = of_normal((3,), started=False, steps=steps, tolerance=1e-7)
        torch.manual_seed(2)
        found[steps] = model.sample(100)
    near, far = ((found[steps] - found[None]).abs().max() for steps in (8, 2))
    assert 1e-6 < near < far / 8


def bent(model: FlowMatching) -> FlowMatching:
    """With weights everywhere, so that its field is that of no normal."""
    for name, parameter in model.residual.named_parameters():
        scale = 0.05 if name.startswith("embedding") else 0.3
        parameter.data.add_(scale * torch.randn_like(parameter))
    return model.double().eval()


def test_a_density_integrates_to_one():
    for n, points in ((1, 401), (2, 51)):
        model = bent(FlowMatching((n,), network=ResidualMLP(16, 1), tolerance=1e-4))
        model.path.start(normal((n,)).sample((500,)))
        drawn = model.sample(2000)
        low, high = drawn.amin(0) - 3 * drawn.std(0), drawn.amax(0) + 3 * drawn.std(0)
        axes = [torch.linspace(a, b, points, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
        grid = torch.cartesian_prod(*axes).view(-1, n)
        mass = model.log_prob_bound(grid).exp().sum() * math.prod(axis[1] - axis[0] for axis in axes)
        assert mass.item() == pytest.approx(1, abs=2e-3)
        # And it is no normal any more, so that the trace has something to say.
        z = model.encode(drawn[:100])
        plain = torch.distributions.Normal(0, 1).log_prob(z).sum(1) + model.path.log_det()
        assert (model.log_prob_bound(drawn[:100]) - plain).std() > 0.05


def test_estimates_along_random_lines_are_right_in_mean_and_know_their_error():
    arguments = {"network": ResidualMLP(8, 1), "tolerance": 1e-3}
    model = bent(FlowMatching((2, 3), **arguments))
    estimating = FlowMatching((2, 3), **arguments, max_exact_trace=5).double().eval()
    estimating.load_state_dict(model.state_dict())
    x = torch.randn(12, 2, 3, dtype=torch.float64)
    exact = model.estimate(x).value
    found = estimating.estimate(x, n_samples=150)
    assert (model.method, found.method) == ("exact trace", "Hutchinson")
    assert (found.error > 0).all()
    assert ((found.value - exact).abs() < 4.5 * found.error + 1e-3).all()
    each = [estimating.estimate(x, n_samples=8) for _ in range(16)]
    told = torch.stack([estimate.error for estimate in each]).square().mean(0)
    spread = torch.stack([estimate.value for estimate in each]).var(0)
    assert 0.5 < (told.mean() / spread.mean()).item() < 2
    assert estimating.estimate(x, n_samples=1).error.isnan().all()


def test_it_starts_as_the_normal_distribution_of_the_rows():
    rows = normal((5,)).sample((10_000,))
    model = FlowMatching((5,), network=SMALL).double().eval()
    model.initialize(Batch(rows))
    p = torch.distributions.MultivariateNormal(rows.mean(0), torch.cov(rows.T))
    # Shrinkage of a covariance that ten thousand rows tell is next to none.
    assert (model.log_prob_bound(rows[:100]) - p.log_prob(rows[:100])).abs().max() < 0.05


def test_what_the_network_has_to_give_is_of_variance_one_and_nothing_it_can_tell_where_data_is_normal():
    model, p = of_normal((4,), started=True)
    w_1 = model.path.coordinates(p.sample((40_000,)))
    for t in (0.0, 0.02, 0.5, 0.98, 1.0):
        times, w_0 = torch.full((40_000,), t).double(), torch.randn_like(w_1)
        target = model.path.residual_target(times, w_0, w_1)
        slope, root, residual = model.path.marginal(times)
        w_t = (1 - t) * w_0 + t * w_1
        assert torch.allclose(target * residual + slope * w_t, w_1 - w_0, atol=1e-9)
        assert torch.allclose(torch.cov(target.T), torch.eye(4).double(), atol=0.04)
        assert (target.T @ (w_t / root)).abs().max() / 40_000 < 0.03


def test_the_field_learned_on_a_normal_pair_is_its_closed_form():
    """From a start that knows nothing of the data: mean 0, variance 1, though it has neither."""
    mean, factor = torch.tensor([1.0, -2.0]), torch.tensor([[0.6, 0.0], [0.5, 0.3]])
    x = mean + torch.randn(20_000, 2) @ factor.T
    model = FlowMatching((2,), network=ResidualMLP(64, 2))
    model.initialize = lambda batch: None
    train(model, x, TrainConfig(epochs=12, batch_size=256, patience=None))
    known = ClosedForm(model.path, mean, factor @ factor.T)
    t, w_0 = torch.rand(2000), torch.randn(2000, 2)
    w = (1 - t[:, None]) * w_0 + t[:, None] * x[:2000]
    field = known.velocity(t, w)
    with torch.no_grad():
        off = (model.velocity(t, w, None) - field).square().mean() / field.var()
    assert off < 0.02


def test_times_cover_all_of_the_way_and_dwell_in_its_middle():
    t = torch.cat([_drawn_times(torch.zeros(n, 1)) for n in (1, 7, 20_000)])
    assert ((t >= 0) & (t <= 1)).all()
    # Of a quarter, a tenth lies within a twentieth of the ends; of the others, those beyond 2.94 of a normal.
    ends = ((t < 0.05) | (t > 0.95)).float().mean().item()
    assert ends == pytest.approx(0.25 * 0.1 + 0.75 * 0.0033, abs=0.005)
    assert t.median().item() == pytest.approx(0.5, abs=0.02)


def restored(shape, corruption, *, started=True, n=1500, **arguments):
    """Draws given one y, their mean and covariance, and the posterior's."""
    model, p = of_normal(shape, started=started, **arguments)
    operator = corruption.draw(p.sample((1,)).view(1, *shape))
    y = operator.apply(p.sample((1,)).view(1, *shape))
    same = operator.rows(torch.zeros(n, dtype=torch.long))
    noise = torch.randn(n, math.prod(shape), dtype=torch.float64)
    draws = model.draw_given(y.expand(n, *y.shape[1:]), same, noise).flatten(1)
    basis = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
    a = operator.rows(torch.zeros(len(basis), dtype=torch.long)).apply(basis).nan_to_num(0).flatten(1).T
    known = a.abs().sum(1) > 0
    a, b = a[known], y.flatten()[known]
    s = p.covariance_matrix
    gain = s @ a.T @ torch.linalg.inv(a @ s @ a.T)
    return draws, p.mean + gain @ (b - a @ p.mean), s - gain @ a @ s


@pytest.mark.parametrize(
    ("shape", "corruption"),
    [((5,), Erasing(0.5)), ((5,), Truncation(0.4)), ((2, 4), Downsampling(2)), ((3, 1, 2), Grayscale())],
)
@torch.no_grad()
def test_restorations_of_a_normal_are_draws_of_its_posterior(shape, corruption):
    draws, mean, covariance = restored(shape, corruption, guidance_steps=40)
    error = covariance.diagonal().clamp_min(0).sqrt() / math.sqrt(len(draws))
    assert ((draws.mean(0) - mean).abs() < 5 * error + 2e-3).all()
    assert (torch.cov(draws.T) - covariance).abs().max() < 0.15 * covariance.abs().max() + 2e-3


@pytest.mark.parametrize("corruption", [Erasing(0.5), Downsampling(2), Truncation(0.5)])
def test_what_is_restored_is_mapped_to_y_by_a_convolutional_field_too(corruption):
    model = FlowMatching((1, 7, 6), network=UNet((4, 6)), guidance_steps=5).double().eval()
    x = torch.rand(6, 1, 7, 6, dtype=torch.float64)
    model.initialize(Batch(x))
    operator = corruption.draw(x)
    assert isinstance(operator, LinearOperator)
    found = model.restore(operator.apply(x), operator)
    torch.testing.assert_close(operator.apply(found), operator.apply(x), equal_nan=True)


def test_noise_is_not_restored_and_the_error_says_what_is():
    model, x = FlowMatching((3,), network=SMALL), torch.zeros(2, 3)
    with pytest.raises(UserError, match=r"linear operator .* got Added; for noise fit denoising_autoencoder"):
        model.restore(x, GaussianNoise(0.1).draw(x))


def test_labels_move_samples_and_densities():
    label = torch.randint(2, (4000,))
    x = torch.randn(4000, 2) * 0.3 + 2.0 * (2 * label[:, None] - 1)
    given = nn.functional.one_hot(label, 2).float()
    model = FlowMatching((2,), network=ResidualMLP(32, 2), condition_shape=(2,))
    from likely.data.feed import TensorFeed

    train(model, TensorFeed(x, given), TrainConfig(epochs=15, batch_size=128))
    for k in (0, 1):
        condition = torch.eye(2)[k].expand(500, 2)
        drawn = model.sample(500, condition)
        assert ((drawn.mean(1) > 0) == (k == 1)).float().mean() > 0.98
    right = model.log_prob_bound(x[:200], given[:200])
    wrong = model.log_prob_bound(x[:200], given[:200].flip(1))
    assert (right > wrong).float().mean() > 0.98
    assert (model.sample(2000).mean(1) > 0).float().mean().item() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 0.0}, "tolerance must be positive, got 0"),
        ({"steps": 0}, "steps must be at least 1, got steps=0"),
        ({"guidance_steps": 0}, "guidance_steps=0"),
        ({"network": UNet()}, "UNet takes images"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FlowMatching((3,), **arguments)


def test_the_network_is_chosen_by_the_shape():
    assert [type(FlowMatching(shape).network) for shape in ((5,), (1, 8, 8))] == [ResidualMLP] * 2
    assert type(FlowMatching((1, 16, 20)).network) is UNet
    assert [len(UNet()._channels((3, side, side))) for side in (16, 28, 32, 64, 128)] == [1, 2, 2, 3, 4]
