"""What every model owes whoever calls it: answers that depend on the row alone, and refusals that explain."""

import copy
import json

import pytest
import torch

from likely.contract import (
    BoundedDensity,
    Decoder,
    Encoder,
    Energy,
    ExactDensity,
    GradientFitted,
    Model,
    Reconstructor,
    Sampler,
)
from likely.registry import MODELS, Spec, model_class
from tests.zoo import ZOO, with_capability

ANSWERS = {
    Encoder: lambda model, x: model.encode(x),
    Decoder: lambda model, x: model.decode(codes(model, len(x))),
    Reconstructor: lambda model, x: model.reconstruct(x),
    ExactDensity: lambda model, x: model.log_prob(x),
    BoundedDensity: lambda model, x: model.log_prob_bound(x, n_samples=3),
    Energy: lambda model, x: model.energy(x),
}
CASES = [(name, capability) for capability in ANSWERS for name in with_capability(capability)]


def codes(model: Model, n: int) -> torch.Tensor:
    return torch.randn(n, *model.z_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def answer(name: str, capability: type, x: torch.Tensor, model: Model | None = None) -> torch.Tensor:
    torch.manual_seed(7)
    return ANSWERS[capability](model or ZOO[name].model(), x)


def test_every_registered_model_is_in_the_zoo():
    assert {entry.registered for entry in ZOO.values()} - {None} == set(MODELS)
    assert all(isinstance(entry.make(), model_class(entry.registered)) for entry in ZOO.values() if entry.registered)


@pytest.mark.parametrize(("name", "capability"), [case for case in CASES if case[1] is not Decoder])
def test_rows_are_strangers(name, capability):
    """Whatever stands beside a row, in whatever order and however many, its answer is the same."""
    x = ZOO[name].x().repeat(7, *[1] * (ZOO[name].x().ndim - 1))[:257]
    together = answer(name, capability, x)
    assert torch.allclose(answer(name, capability, x[:1]), together[:1], rtol=1e-10, atol=1e-10)
    shuffled = torch.randperm(257, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(answer(name, capability, x[shuffled]), together[shuffled], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "capability"), CASES)
def test_the_same_question_has_the_same_answer_and_changes_nothing(name, capability):
    model, x = ZOO[name].model(), ZOO[name].x()
    before, x_before = copy.deepcopy(model.state_dict()), x.clone()
    first, second = answer(name, capability, x, model), answer(name, capability, x, model)
    assert torch.equal(first, second)
    assert torch.equal(x, x_before)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ZOO)
def test_a_wrong_shape_is_refused_with_the_right_one(name):
    model, x = ZOO[name].model(), ZOO[name].x()
    wanted = ", ".join(map(str, model.x_shape))
    for capability, ask in ANSWERS.items():
        if isinstance(model, capability) and capability is not Decoder:
            with pytest.raises(ValueError, match=r"must have shape \(batch, " + wanted):
                ask(model, x.unsqueeze(-1))
            with pytest.raises(ValueError, match=r"must be torch\.float64"):
                ask(model, x.float())


@pytest.mark.parametrize("name", with_capability(Encoder))
def test_an_unexpected_condition_is_refused(name):
    with pytest.raises(ValueError, match="takes no condition"):
        ZOO[name].model().encode(ZOO[name].x(), torch.zeros(40, 1))


@pytest.mark.parametrize("name", with_capability(Sampler))
def test_samples_have_the_shape_of_x(name):
    model = ZOO[name].model()
    draws = model.sample(6)
    assert draws.shape == (6, *model.x_shape)
    assert draws.isfinite().all()
    assert not torch.equal(draws, model.sample(6))


@pytest.mark.parametrize("name", with_capability(GradientFitted))
def test_the_gradient_reaches_every_parameter_of_the_player_and_no_other(name):
    model, x = ZOO[name].model().train(), ZOO[name].x()
    with torch.no_grad():  # starting points may hold zeros that stop a gradient
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    players = model.players()
    assert {id(p) for player in players.values() for p in player.parameters} == {id(p) for p in model.parameters()}
    for player_name, player in players.items():
        own = {id(p) for p in player.parameters}
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in own)
            parameter.grad = None
        model(x, player=player_name).total.mean().backward()
        for parameter_name, parameter in model.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            assert reached == (id(parameter) in own), f"{player_name}: {parameter_name}"


@pytest.mark.parametrize("name", with_capability(GradientFitted))
def test_the_objective_is_row_by_row_with_finite_terms(name):
    model, x = ZOO[name].model(), ZOO[name].x()
    for player in model.players():
        objective = model(x, player=player)
        assert objective.total.shape == (len(x),)
        assert all(term.shape == (len(x),) and term.isfinite().all() for term in objective.terms.values())


@pytest.mark.parametrize("name", ZOO)
def test_config_rebuilds_the_model(name):
    model = ZOO[name].model()
    twin = type(model)(**model.config()).double()
    twin.load_state_dict(model.state_dict())
    assert twin.config() == model.config()


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.registered])
def test_a_file_can_hold_the_model_and_loading_knows_its_tensors_before_it_allocates_any(name):
    model, registered = ZOO[name].model(), ZOO[name].registered
    arguments = {key: value for key, value in model.config().items() if key != "x_shape"}
    spec = Spec.from_json(json.loads(json.dumps(Spec(registered, **arguments).to_json())))
    with torch.device("meta"):
        blueprint = spec.build(model.x_shape)
    wanted = {key: tensor.shape for key, tensor in model.state_dict().items()}
    assert {key: tensor.shape for key, tensor in blueprint.state_dict().items()} == wanted
    assert all(tensor.is_meta for tensor in blueprint.state_dict().values())


def test_an_incomplete_model_cannot_be_made():
    class Promising(ExactDensity):
        pass

    with pytest.raises(TypeError, match="_log_prob"):
        Promising((2,))
