"""GAN and InfoGAN: what each game leaves behind, what conditions and codes do, and how a collapse is told."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from likely.adversarial import Game, NonSaturating, Wasserstein, spectral_norms
from likely.adversarial.collapse import remarks_on, told_apart, variety
from likely.adversarial.games import squared_slopes
from likely.contract import Batch
from likely.data.feed import TensorFeed
from likely.models import GAN, InfoGAN
from likely.registry import Spec
from likely.rng import seeded
from likely.training import History, TrainConfig, train

CENTERS = torch.tensor([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
GAMES = ["gan", "rpgan", "lsgan", "wgan-gp", "sngan"]


def clusters(n: int = 900) -> tuple[Tensor, Tensor]:
    """Three clusters of spread 0.3, (n, 2), and which a row is of, one-hot (n, 3)."""
    with seeded("clusters"):
        of = torch.randint(3, (n,))
        return CENTERS[of] + 0.3 * torch.randn(n, 2), torch.eye(3)[of]


def trained(model: GAN | InfoGAN, steps: int, data: object = None) -> History:
    config = TrainConfig(epochs=steps * 64 * model_batches(model) / 810, batch_size=64, device="cpu")
    return train(model, clusters()[0] if data is None else data, config)


def model_batches(model: GAN | InfoGAN) -> int:
    return sum(player.steps for player in model.players().values())


@pytest.fixture(scope="module")
def presets() -> dict[str, GAN]:
    models = {}
    for name in GAMES:
        with seeded("weights"):
            models[name] = Spec(name, width=32, z_size=4).build((2,))
        trained(models[name], 300 if name == "wgan-gp" else 150)  # its slope takes a while to come to 1
    return models


def test_least_squares_scores_are_probabilities_where_those_of_its_parent_are_log_odds(presets):
    x = clusters()[0]
    with torch.no_grad():
        means = {name: model.critic(model.rows.inside(x))[0].mean().item() for name, model in presets.items()}
    # Of rows and made rows alike an even chance is 1/2, and log-odds of 0.
    assert 0.35 < means["lsgan"] < 0.8
    assert not 0.35 < means["gan"] < 0.8 or abs(means["gan"] - 0.5) > abs(means["lsgan"] - 0.5)


def test_rpgan_sets_rows_beside_each_other_where_its_parent_scores_them_one_by_one(presets):
    def objective(model: GAN, shift: float) -> Tensor:
        with torch.no_grad(), seeded("noise"):
            model.critic.head.bias += shift
            total = model(clusters()[0], player="generator").total
            model.critic.head.bias -= shift
        return total

    moved = {name: objective(presets[name], 5.0) - objective(presets[name], 0.0) for name in ("gan", "rpgan")}
    assert moved["rpgan"].abs().max() < 1e-4
    assert moved["gan"].abs().min() > 0.01


def test_the_critic_of_wgan_gp_has_slope_one_where_its_parents_does_not(presets):
    def slope(model: GAN) -> float:
        with seeded("points"):
            real, fake = model.rows.inside(clusters()[0]), model.rows.inside(model.sample(900))
            points = real + torch.rand(900, 1) * (fake - real)
        return squared_slopes(lambda rows: model.critic(rows)[0], points).sqrt().mean().item()

    assert slope(presets["wgan-gp"]) == pytest.approx(1, abs=0.15)
    assert slope(presets["gan"]) != pytest.approx(1, abs=0.15)


def test_the_critic_of_sngan_stretches_nothing_where_its_parents_does(presets):
    def largest(model: GAN) -> list[float]:
        layers = [m for m in model.critic.modules() if isinstance(m, torch.nn.Linear)]
        return [torch.linalg.matrix_norm(layer.weight.detach(), 2).item() for layer in layers]

    assert len(spectral_norms(presets["sngan"].critic)) == 4
    assert largest(presets["sngan"]) == pytest.approx([1] * 4, rel=0.01)
    assert max(largest(presets["gan"])) > 1.2


@pytest.mark.parametrize("name", GAMES)
def test_samples_are_what_codes_decode_to(presets, name):
    model = presets[name]
    with seeded("draw"):
        x = model.sample(5)
    with seeded("draw"), torch.no_grad():
        torch.testing.assert_close(model.decode(torch.randn(5, 4)), x)


def test_what_is_made_lies_within_the_bounds_and_reaches_both():
    with seeded("weights"):
        model = GAN((1, 3, 3), 4, width=8, bounds=(-2.0, 6.0)).double().eval()
        z = 30 * torch.randn(400, 4, dtype=torch.float64)
    with torch.no_grad():
        x = model.decode(z)
    assert -2 <= x.min() < -1.5
    assert 5.5 < x.max() <= 6


def test_numbers_without_bounds_are_made_at_the_scale_of_the_first_rows():
    with seeded("weights"):
        model = GAN((2,), 4, width=8)
    x = torch.tensor([100.0, -0.01]) + torch.tensor([50.0, 0.001]) * torch.randn(500, 2)
    model.initialize(Batch(x))
    torch.testing.assert_close(model.rows.inside(x).mean(0), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(model.rows.inside(x).std(0), torch.ones(2), atol=1e-2, rtol=0)
    torch.testing.assert_close(model.rows.outside(model.rows.inside(x)), x)


def test_a_conditional_gan_makes_what_it_is_told_and_one_without_condition_does_not():
    x, condition = clusters()
    with seeded("weights"):
        told, untold = GAN((2,), 4, width=32, condition_shape=(3,)), GAN((2,), 4, width=32)
    trained(told, 400, TensorFeed(x, condition))
    trained(untold, 50)
    with seeded("draw"):
        given, free = told.sample(900, condition), untold.sample(900)

    def right(made: Tensor) -> float:
        return (torch.cdist(made, CENTERS).argmin(1) == condition.argmax(1)).float().mean().item()

    assert right(given) > 0.95
    assert right(free) < 0.6


def test_the_critic_judges_a_row_by_how_it_goes_with_its_condition():
    with seeded("weights"):
        model = GAN((2,), 3, width=8, condition_shape=(3,)).double()
    x, conditions = torch.randn(4, 2).double(), torch.eye(3).double()[[0, 1, 2, 0]]
    scores, features = model.critic(x, conditions)
    free = model.critic.head(features).squeeze(1)
    projected = (features @ model.critic.projection.weight / math.sqrt(8))[range(4), [0, 1, 2, 0]]
    torch.testing.assert_close(scores, free + projected)


def test_what_is_made_of_colored_images_stays_various_while_the_critic_is_far_ahead():
    """Smooth pictures with a little noise, as photographs are: whose every pixel a critic can tell at once."""
    with seeded("pictures"):
        smooth = F.interpolate(torch.randn(600, 3, 3, 3), size=(16, 16), mode="bilinear")
        x = (0.5 + 0.25 * smooth + 0.03 * torch.randn(600, 3, 16, 16)).clamp(0, 1)

    def spread(game: Game | None) -> float:
        with seeded("weights"):
            model = GAN((3, 16, 16), bounds=(0, 1), width=16, game=game)
        rows = train(model, x, TrainConfig(epochs=150 * 2 * 32 / 540, batch_size=32, device="cpu")).rows
        return rows[-1]["validation/generator/spread"]

    assert spread(None) > 0.6
    assert spread(NonSaturating(penalty=1.0)) < 0.45


# Codes


@pytest.fixture(scope="module")
def informed() -> dict[float, tuple[InfoGAN, History]]:
    """By the weight of the information."""
    made = {}
    for weight in (1.0, 0.0):
        with seeded("weights"):
            model = InfoGAN((2,), categories=(3,), n_continuous=0, noise_size=4, weight=weight, width=32)
        made[weight] = model, trained(model, 300)
    return made


def test_rows_tell_their_code_only_where_information_is_worth_something(informed):
    def read(model: InfoGAN) -> float:
        with seeded("codes"):
            codes = model.draw_codes(600)
            seen = model.encode(model.sample_given(codes))
        return (seen.argmax(1) == codes.argmax(1)).float().mean().item()

    assert read(informed[1.0][0]) > 0.95
    assert read(informed[0.0][0]) < 0.8


def test_information_is_a_bound_that_rises_to_that_of_the_choice(informed):
    last = informed[1.0][1].rows[-1]["validation/generator/information"]
    first = informed[1.0][1].rows[0]["validation/generator/information"]
    assert first < 0.2
    assert last > 0.9 * math.log(3)


def test_codes_that_are_read_are_probabilities_and_means():
    with torch.no_grad():
        z = InfoGAN((2,), categories=(3, 2), n_continuous=1, width=8).encode(clusters()[0])
    assert z.shape == (900, 6)
    torch.testing.assert_close(z[:, :3].sum(1), torch.ones(900))
    torch.testing.assert_close(z[:, 3:5].sum(1), torch.ones(900))


def test_a_code_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"one of them at least; got categories=\(\), n_continuous=0"):
        InfoGAN((2,), categories=(), n_continuous=0)
    with pytest.raises(ValueError, match=r"z must have shape \(batch, 12\), got \(3, 2\)"):
        InfoGAN((2,)).sample_given(torch.zeros(3, 2))


# Collapse


def test_a_generator_that_collapses_is_told_and_one_that_does_not_is_not():
    with seeded("weights"):
        wild = GAN((2,), 4, width=32, game=NonSaturating(penalty=0), learning_rate=0.5)
        calm = GAN((2,), 4, width=32)
    warned, quiet = trained(wild, 100), trained(calm, 500)
    assert len(warned.warnings) == 1
    assert warned.warnings[0].startswith("THE GENERATOR HAS COLLAPSED")
    assert wild.sample(100).std(0).max() < 0.1 * clusters()[0].std(0).min()
    assert quiet.warnings == []


def test_a_critic_that_has_won_is_told():
    lost = {"validation/critic/told_apart": 1.0, "validation/generator/spread": 1.0}
    assert remarks_on([lost])[0].startswith("THE CRITIC HAS WON")
    assert remarks_on([lost | {"validation/critic/told_apart": 0.9}]) == []
    assert remarks_on([]) == []


def test_variety_is_one_for_rows_themselves_and_little_for_few_of_them():
    real = clusters()[0][:400]
    same = {name: value.mean().item() for name, value in variety(real, real.flip(0)).items()}
    assert same == pytest.approx({"spread": 1, "apart": 1, "reach": 1}, abs=1e-3)
    few = {name: value.mean().item() for name, value in variety(real, real[:1].repeat(400, 1)).items()}
    assert few["spread"] == pytest.approx(0, abs=1e-6)
    assert few["apart"] == pytest.approx(0, abs=1e-3)
    assert few["reach"] < 0.1
    one = real[torch.cdist(real, CENTERS).argmin(1) == 0].repeat(4, 1)[:400] + 0.05 * torch.randn(400, 2)
    third = {name: value.mean().item() for name, value in variety(real, one).items()}
    assert third["spread"] < 0.05
    assert third["reach"] == pytest.approx(1 / 3, abs=0.1)


def test_told_apart_is_the_share_of_pairs():
    share = told_apart(torch.tensor([1.0, 0.0]), torch.tensor([0.5, -1.0]))["told_apart"]
    torch.testing.assert_close(share, torch.full((2,), 0.75))


def test_the_games_of_presets_are_those_of_their_names():
    assert Spec("wgan-gp").resolve().arguments["game"] == Wasserstein()
