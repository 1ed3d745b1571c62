"""What every model owes whoever calls it: answers that depend on the row alone, and refusals that explain."""

import copy
import itertools
import json

import pytest
import torch

from likely.contract import (
    BoundedDensity,
    Decoder,
    Encoder,
    Energy,
    EstimatedDensity,
    ExactDensity,
    GradientFitted,
    Model,
    Reconstructor,
    Sampler,
)
from likely.registry import MODELS, Spec, model_class
from likely.rng import stream
from tests.zoo import CONDITIONAL, EVERY, ZOO, with_capability

ANSWERS = {
    Encoder: lambda model, x, c: model.encode(x, c),
    Decoder: lambda model, x, c: model.decode(codes(model, len(x)), c),
    Reconstructor: lambda model, x, c: model.reconstruct(x, c),
    ExactDensity: lambda model, x, c: model.log_prob(x, c),
    BoundedDensity: lambda model, x, c: model.log_prob_bound(x, c, n_samples=3),
    Energy: lambda model, x, c: model.energy(x, c),
}
CASES = [(name, capability) for capability in ANSWERS for name in with_capability(capability, of=EVERY)]


def codes(model: Model, n: int) -> torch.Tensor:
    own = next(itertools.chain(model.parameters(), model.buffers()))
    noise = torch.randn(n, *model.z_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return noise.to(own)


@torch.no_grad()
def answer(
    name: str, capability: type, x: torch.Tensor, condition: torch.Tensor | None, model: Model | None = None
) -> torch.Tensor:
    with stream("test"):
        return ANSWERS[capability](model or EVERY[name].model(), x, condition)


def many(rows: torch.Tensor | None, n: int) -> torch.Tensor | None:
    """Rows over and over again, n of them."""
    return None if rows is None else rows.repeat(-(-n // len(rows)), *[1] * (rows.ndim - 1))[:n]


def taken(rows: torch.Tensor | None, index) -> torch.Tensor | None:
    return None if rows is None else rows[index]


def test_every_registered_model_is_in_the_zoo():
    assert {entry.registered for entry in ZOO.values()} - {None} == set(MODELS)
    assert all(isinstance(entry.make(), model_class(entry.registered)) for entry in ZOO.values() if entry.registered)


@pytest.mark.parametrize(("name", "capability"), [case for case in CASES if case[1] is not Decoder])
def test_rows_are_strangers(name, capability):
    """Whatever stands beside a row, in whatever order and however many, its answer is the same."""
    model, x, c = EVERY[name].model(), many(EVERY[name].x(), 257), many(EVERY[name].condition(), 257)
    together = answer(name, capability, x, c, model)
    assert torch.allclose(
        answer(name, capability, x[:1], taken(c, slice(1)), model), together[:1], rtol=1e-10, atol=1e-10
    )
    order = torch.randperm(257, generator=torch.Generator().manual_seed(5))
    shuffled = answer(name, capability, x[order], taken(c, order), model)
    assert torch.allclose(shuffled, together[order], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "capability"), CASES)
def test_the_same_question_has_the_same_answer_and_changes_nothing(name, capability):
    model, x, c = EVERY[name].model(), EVERY[name].x(), EVERY[name].condition()
    before, x_before = copy.deepcopy(model.state_dict()), x.clone()
    first, second = answer(name, capability, x, c, model), answer(name, capability, x, c, model)
    assert torch.equal(first, second)
    assert torch.equal(x, x_before)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@torch.no_grad()
def several_answers(name: str, capability: type, dtype: torch.dtype) -> torch.Tensor:
    """What a few rows are answered in this precision, in double: (n, rows, ...), more than once where it is random."""
    entry, n = EVERY[name], 4 if capability in (BoundedDensity, Energy) else 1
    model, x, c = entry.model().to(dtype), entry.x()[:4].to(dtype), taken(entry.condition(), slice(4))
    torch.manual_seed(7)
    answers = torch.stack([ANSWERS[capability](model, x, None if c is None else c.to(dtype)) for _ in range(n)])
    assert answers.dtype == dtype
    return answers.double()


@pytest.mark.parametrize(("name", "capability"), [case for case in CASES if case[0] in ZOO])
def test_float32_gives_the_same_answers_up_to_rounding(name, capability):
    single, double = (several_answers(name, capability, dtype) for dtype in (torch.float32, torch.float64))
    by_chance = 0.0 if len(single) == 1 else ((single.var(0) + double.var(0)) / len(single)).sqrt()
    by_solver = 5e-3 if issubclass(EVERY[name].kind(), EstimatedDensity) else 0.0  # it takes other steps
    apart = (single.mean(0) - double.mean(0)).abs()
    assert (apart < (1e-4 + by_solver) * double.abs().mean() + 6 * by_chance).all()


@pytest.mark.parametrize(("name", "capability"), CASES if torch.cuda.is_available() else [])
def test_a_gpu_gives_the_same_answers_up_to_rounding(name, capability):
    entry = EVERY[name]
    x, c = entry.x(), entry.condition()
    there = answer(name, capability, x.cuda(), None if c is None else c.cuda(), entry.model().cuda())
    assert there.is_cuda
    assert torch.allclose(there.cpu(), answer(name, capability, x, c), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("name", "capability"), [case for case in CASES if case[0] in CONDITIONAL])
def test_the_condition_counts(name, capability):
    """Each class has answers of its own, whatever it is that is asked."""
    model, x = EVERY[name].model(), EVERY[name].x()
    classes = [torch.eye(3).double()[[k] * len(x)] for k in range(3)]
    first, second, third = [answer(name, capability, x, c, model) for c in classes]
    assert not torch.allclose(first, second, rtol=1e-6)
    assert not torch.allclose(first, third, rtol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_a_wrong_shape_is_refused_with_the_right_one(name):
    model, x, c = EVERY[name].model(), EVERY[name].x(), EVERY[name].condition()
    wanted = ", ".join(map(str, model.x_shape))
    for capability, ask in ANSWERS.items():
        if isinstance(model, capability) and capability is not Decoder:
            with pytest.raises(ValueError, match=r"must have shape \(batch, " + wanted):
                ask(model, x.unsqueeze(-1), c)
            with pytest.raises(ValueError, match=r"must be torch\.float64"):
                ask(model, x.float(), c)


@pytest.mark.parametrize(("name", "capability"), CASES)
def test_a_wrong_condition_is_refused(name, capability):
    model, x = EVERY[name].model(), EVERY[name].x()
    if name not in CONDITIONAL:
        with pytest.raises(ValueError, match="takes no condition"):
            answer(name, capability, x, torch.zeros(40, 1).double(), model)
        return
    with pytest.raises(ValueError, match="needs a condition of shape"):
        answer(name, capability, x, None, model)
    with pytest.raises(ValueError, match=r"condition must have shape \(40, 3\)"):
        answer(name, capability, x, torch.zeros(40, 4).double(), model)
    with pytest.raises(ValueError, match=r"condition must have shape \(40, 3\)"):
        answer(name, capability, x, torch.zeros(39, 3).double(), model)


@pytest.mark.parametrize("name", with_capability(Sampler, of=EVERY))
def test_samples_have_the_shape_of_x(name):
    model = EVERY[name].model()
    draws = model.sample(6)
    assert draws.shape == (6, *model.x_shape)
    assert draws.dtype == torch.float64
    assert draws.isfinite().all()
    assert not torch.equal(draws, model.sample(6))


@pytest.mark.parametrize("name", with_capability(GradientFitted, of=EVERY))
def test_the_gradient_reaches_every_parameter_of_the_player_and_no_other(name):
    model, x, c = EVERY[name].model().train(), EVERY[name].x(), EVERY[name].condition()
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
        model(x, c, player_name).total.mean().backward()
        for parameter_name, parameter in model.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            assert reached == (id(parameter) in own), f"{player_name}: {parameter_name}"


@pytest.mark.parametrize("name", with_capability(GradientFitted, of=EVERY))
def test_the_objective_is_row_by_row_with_finite_terms(name):
    model, x, c = EVERY[name].model(), EVERY[name].x(), EVERY[name].condition()
    for player in model.players():
        objective = model(x, c, player)
        assert objective.total.shape == (len(x),)
        assert all(term.shape == (len(x),) and term.isfinite().all() for term in objective.terms.values())


@pytest.mark.parametrize("name", EVERY)
def test_config_rebuilds_the_model(name):
    model = EVERY[name].model()
    twin = type(model)(**model.config()).double()
    twin.load_state_dict(model.state_dict())
    assert twin.config() == model.config()


@pytest.mark.parametrize("name", [name for name, entry in EVERY.items() if entry.registered])
def test_a_file_can_hold_the_model_and_loading_knows_its_tensors_before_it_allocates_any(name):
    model, registered = EVERY[name].model(), EVERY[name].registered
    given = {"condition_shape": model.condition_shape} if name in CONDITIONAL else {}
    arguments = {key: value for key, value in model.config().items() if key not in {"x_shape", *given}}
    spec = Spec.from_json(json.loads(json.dumps(Spec(registered, **arguments).to_json())))
    with torch.device("meta"):
        blueprint = spec.build(model.x_shape, **given)
    wanted = {key: tensor.shape for key, tensor in model.state_dict().items()}
    assert {key: tensor.shape for key, tensor in blueprint.state_dict().items()} == wanted
    assert all(tensor.is_meta for tensor in blueprint.state_dict().values())


def test_an_incomplete_model_cannot_be_made():
    class Promising(ExactDensity):
        pass

    with pytest.raises(TypeError, match="_log_prob"):
        Promising((2,))
