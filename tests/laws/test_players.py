"""Players: while one of them moves, the others stand still."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from likely.adversarial import NonSaturating, Relativistic
from likely.contract import Batch, GradientFitted
from likely.models import GAN, VAEGAN, AdversarialAutoencoder
from likely.rng import seeded
from likely.training import TrainConfig
from likely.training.optimizer import PlayerOptimizer
from tests.zoo import ZOO


def players_of(name: str) -> list[str]:
    model = ZOO[name].make()
    return list(model.players()) if isinstance(model, GradientFitted) else []


TURNS = [(name, player) for name in ZOO if len(players_of(name)) > 1 for player in players_of(name)]


def of_others(model: GradientFitted, player: str) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers that are not the player's: buffers are whose the parameters are that they stand beside."""
    own = {id(parameter) for parameter in model.players()[player].parameters}
    for name, parameter in model.named_parameters():
        if id(parameter) not in own:
            yield name, parameter
    for name, buffer in model.named_buffers():
        module = beside(model, name)
        if module is model or not {id(parameter) for parameter in module.parameters()} & own:
            yield name, buffer


def beside(model: nn.Module, name: str) -> nn.Module:
    """The smallest module that holds a buffer and some parameter."""
    path = name.split(".")[:-1]
    while path and not list(model.get_submodule(".".join(path)).parameters()):
        path.pop()
    return model.get_submodule(".".join(path))


@pytest.mark.parametrize(("name", "player"), TURNS)
def test_a_step_leaves_the_others_parameters_buffers_and_gradients_alone(name: str, player: str) -> None:
    model, x = ZOO[name].model(), ZOO[name].x()
    assert isinstance(model, GradientFitted)
    model.initialize(Batch(x))
    optimizers = {each: PlayerOptimizer(model, it, TrainConfig()) for each, it in model.players().items()}
    model.train()
    before = {each: value.detach().clone() for each, value in of_others(model, player)}
    own = {id(parameter) for parameter in model.players()[player].parameters}
    for parameter in model.parameters():  # as training does while a player moves
        parameter.requires_grad_(id(parameter) in own)
    moved = {each: p.detach().clone() for each, p in optimizers[player].parameters.items()}
    for _ in range(2):
        optimizers[player].step(model(x, player=player).total, 1.0)
    for each, value in of_others(model, player):
        assert torch.equal(value, before[each]), each
        assert value.grad is None, each
    for each, parameter in optimizers[player].parameters.items():
        assert not torch.equal(parameter, moved[each]), each


@pytest.mark.parametrize("name", sorted({name for name, _ in TURNS}))
def test_looking_at_rows_held_out_moves_nothing(name: str) -> None:
    model, x = ZOO[name].model(), ZOO[name].x()
    assert isinstance(model, GradientFitted)
    before = {each: value.clone() for each, value in model.state_dict().items()}
    with torch.no_grad():
        for player in model.players():
            model(x, player=player)
    for each, value in model.state_dict().items():
        assert torch.equal(value, before[each]), each


@pytest.mark.parametrize("kind", [GAN, VAEGAN, AdversarialAutoencoder])
def test_slopes_are_taken_beside_the_conditions_of_their_own_rows(kind: type[GAN]) -> None:
    x, condition = torch.randn(4, 3).double(), torch.eye(3).double()[[0, 1, 2, 0]]
    with seeded("weights"):
        model = kind((3,), condition_shape=(3,)).double()

    def paid(penalized: float) -> Tensor:
        model.game = NonSaturating(penalty=0.7, penalized=penalized)
        with seeded("turn"):
            return model(x, condition, "critic").terms["penalty"]

    torch.testing.assert_close(paid(0.5), 2 * paid(1.0) * torch.tensor([1, 1, 0, 0]))


@pytest.mark.parametrize(
    ("kind", "opponent"), [(GAN, "generator"), (VAEGAN, "decoder"), (AdversarialAutoencoder, "encoder")]
)
def test_a_relativistic_game_does_not_care_where_scores_begin(kind: type[GAN], opponent: str) -> None:
    x = torch.randn(6, 3).double()
    with seeded("weights"):
        model = kind((3,), game=Relativistic()).double()

    def lost(shift: float, player: str) -> Tensor:
        with torch.no_grad():
            model.critic.head.bias.fill_(shift)
        with seeded("turn"):
            return model(x, player=player).total

    for player in ("critic", opponent):
        torch.testing.assert_close(lost(3.0, player), lost(0.0, player))
    model.game = NonSaturating()
    assert (lost(3.0, opponent) - lost(0.0, opponent)).abs().min() > 0.1
