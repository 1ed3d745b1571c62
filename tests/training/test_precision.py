"""Every model trains in bfloat16 and in float64; whatever networks run in, what is minimized is float32 at least."""

import numpy as np
import pytest
import torch

import likely
from likely.contract import Batch, GradientFitted
from likely.rng import seeded
from likely.training import TrainConfig, train
from tests.zoo import ZOO

GRADIENT = [name for name, entry in ZOO.items() if issubclass(type(entry.make()), GradientFitted) and entry.registered]


@pytest.mark.parametrize("name", GRADIENT)
def test_in_bfloat16_an_objective_is_near_itself_and_no_sum_is_rounded(name):
    model, x = ZOO[name].model().float(), ZOO[name].x().float()
    with seeded("start"):
        model.initialize(Batch(x))
    for player in model.players():
        with seeded("noise"):
            precise = model(x, None, player)
        with seeded("noise"), torch.autocast("cpu", torch.bfloat16):
            rough = model(x, None, player)
        assert {rough.total.dtype, *(term.dtype for term in rough.terms.values())} == {torch.float32}
        assert (rough.total - precise.total).abs().mean() < 0.04 * precise.total.abs().mean()


@pytest.mark.parametrize("precision", ["bfloat16", "float64"])
@pytest.mark.parametrize("name", GRADIENT)
def test_every_model_trains_in_every_precision(name, precision):
    dtype = torch.float64 if precision == "float64" else torch.float32
    model, x = ZOO[name].make().to(dtype), ZOO[name].x().to(dtype)
    history = train(model, x, TrainConfig(epochs=1, batch_size=16, precision=precision))
    assert history.precision == precision
    values = [value for value in model.state_dict().values() if value.is_floating_point()]
    assert {value.dtype for value in values} == {dtype}
    assert all(value.isfinite().all() for value in values)


def test_a_table_is_matched_in_bfloat16_as_in_float32():
    x = np.random.default_rng(0).normal(size=(300, 3)) @ np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0], [0.0, 0.0, 0.1]])
    rough, precise = (
        likely.fit("flow_matching", x, train=TrainConfig(epochs=0.01, precision=precision), calibrate="none")
        for precision in ("bfloat16", "float32")
    )
    assert (rough.history.precision, rough.history.best_step) == ("bfloat16", 1)
    np.testing.assert_allclose(rough.log_prob(x).mean(), precise.log_prob(x).mean(), atol=0.02)
