"""Networks of games, beyond what every model's laws say of them."""

import pytest
import torch

from likely.networks.critics import build_critic
from likely.networks.generators import build_generator


@pytest.mark.parametrize("side", [28, 48], ids=["plain", "residual"])
def test_a_critic_judges_parts_of_an_image_by_each_other(side):
    """Corners whose windows never meet: a score that was a sum over places would take each for itself."""
    torch.manual_seed(0)
    critic = build_critic((1, side, side), width=4).double()
    neither = torch.zeros(1, 1, side, side, dtype=torch.float64)
    first, second, both = neither.clone(), neither.clone(), neither.clone()
    for image in (first, both):
        image[..., :3, :3] = 1
    for image in (second, both):
        image[..., -3:, -3:] = 1
    score = [critic(image)[0].item() for image in (neither, first, second, both)]
    assert abs(score[0] - score[1] - score[2] + score[3]) > 1e-4


@pytest.mark.parametrize("side", [28, 48], ids=["plain", "residual"])
def test_values_of_the_noise_decide_together_what_a_part_of_the_image_is(side):
    """Before anything else is normalized or rectified: not each by a map of its own."""
    torch.manual_seed(0)
    generator = build_generator((1, side, side), 6, width=4).double()
    z = torch.randn(2, 6, dtype=torch.float64)
    before = []
    start = next(layer for layer in generator.trunk if isinstance(layer, torch.nn.Unflatten))
    start.register_forward_hook(lambda module, inputs, output: before.append(output))
    generator(torch.stack([0 * z[0], z[0], z[1], z[0] + z[1]]))
    none, one, other, both = before[0]
    assert (none - one - other + both).abs().max() > 1e-2
