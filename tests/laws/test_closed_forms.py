"""What is solved at once moves with the data: another origin or another unit changes nothing else."""

import pytest
import torch

from likely.contract import Batch, ClosedFormFitted, ExactDensity, Model, Reconstructor, Sampler
from tests.zoo import ZOO, with_capability

NAMES = with_capability(ClosedFormFitted)


def solved(name: str, x: torch.Tensor) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = ZOO[name].make().double()
    model.solve([Batch(x[:13]), Batch(x[13:])])
    return model.eval()


@pytest.fixture(params=NAMES)
def pair(request):
    """A model of rows, one of the same rows in another unit and from another origin, the rows, and what moved them."""
    x = ZOO[request.param].x()
    origin = torch.linspace(-4, 5, x[0].numel()).double().view(x.shape[1:])
    return solved(request.param, x), solved(request.param, 3 * x + origin), x, lambda rows: 3 * rows + origin


def test_densities_change_by_the_unit_alone(pair):
    model, other, x, moved = pair
    if isinstance(model, ExactDensity):
        change = x[0].numel() * torch.tensor(3.0).double().log()
        torch.testing.assert_close(other.log_prob(moved(x)) + change, model.log_prob(x))


def test_reconstructions_move_with_the_rows(pair):
    model, other, x, moved = pair
    if isinstance(model, Reconstructor):
        torch.testing.assert_close(other.reconstruct(moved(x)), moved(model.reconstruct(x)))


def test_draws_have_the_mean_and_the_variance_of_the_rows(pair):
    """A density that was fitted by maximum likelihood has those of its rows, if it has both to choose."""
    model, _, x, _ = pair
    if isinstance(model, Sampler):
        draws = model.sample(20_000)
        error = x.std(0) / 20_000**0.5
        assert ((draws.mean(0) - x.mean(0)).abs() < 5 * error).all()
        assert draws.var(0).sum().item() == pytest.approx(x.var(0).sum().item(), rel=0.05)
