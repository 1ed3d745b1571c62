"""VAEGAN: whose gradient goes where, as algorithm 1 of the paper has it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.adversarial import NonSaturating
from likely.models import VAEGAN


def little(**settings) -> tuple[VAEGAN, Tensor]:
    torch.manual_seed(0)
    model = VAEGAN((5,), 2, game=NonSaturating(penalty=0.0), width=8, **settings).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model, torch.randn(12, 5).double()


def passes(model: VAEGAN, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstructions by a draw of q(z | x), draws, and the divergence from the prior: by hand, in this order."""
    loc, log_scale = model.encoder(model.rows.inside(x)).chunk(2, 1)
    again = model.decoder(loc + log_scale.exp() * torch.randn_like(loc))
    drawn = model.decoder(torch.randn_like(loc))
    q = torch.distributions.Normal(loc, log_scale.exp())
    rate = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    return again, drawn, rate


def found_and_by_hand(model: VAEGAN, x: Tensor, player: str) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    torch.manual_seed(3)
    total = model(x, player=player).total
    torch.manual_seed(3)
    return total, passes(model, x)


def unlike(model: VAEGAN, x: Tensor, again: Tensor) -> Tensor:
    return 0.5 * (model.critic(x)[1] - model.critic(again)[1]).square().sum(1)


def gradients(model: nn.Module, total: Tensor) -> dict[str, bool]:
    """Which parts a gradient reaches, though all would take one."""
    model.zero_grad()
    total.mean().backward()
    parts = {"encoder": model.encoder, "decoder": model.decoder, "critic": model.critic}
    return {
        name: any(p.grad is not None and bool(p.grad.any()) for p in part.parameters()) for name, part in parts.items()
    }


def test_the_encoder_lowers_the_divergence_and_what_is_unlike_in_features():
    model, x = little()
    total, (again, _, rate) = found_and_by_hand(model, x, "encoder")
    torch.testing.assert_close(total, rate + unlike(model, x, again))


def test_the_decoder_lowers_the_weighted_unlikeness_and_plays_with_both_kinds_of_made_rows():
    model, x = little(similarity=0.3)
    total, (again, drawn, _) = found_and_by_hand(model, x, "decoder")
    game = 0.5 * (F.softplus(-model.critic(again)[0]) + F.softplus(-model.critic(drawn)[0]))
    torch.testing.assert_close(total, 0.3 * unlike(model, x, again) + game)


def test_the_critic_plays_and_does_not_learn_to_find_rows_alike():
    model, x = little()
    total, (again, drawn, _) = found_and_by_hand(model, x, "critic")
    made = 0.5 * (F.softplus(model.critic(again)[0]) + F.softplus(model.critic(drawn)[0]))
    torch.testing.assert_close(total, F.softplus(-model.critic(x)[0]) + made)


@pytest.mark.parametrize(
    ("player", "reached"),
    [("encoder", {"encoder", "decoder", "critic"}), ("decoder", {"decoder", "critic"}), ("critic", {"critic"})],
)
def test_gradients_go_back_through_what_a_player_stands_before_and_no_further(player, reached):
    """The encoder learns through decoder and critic, the decoder through the critic, which both leave as it is."""
    model, x = little()
    found = gradients(model, model(x, player=player).total)
    assert {name for name, there in found.items() if there} == reached
    own = {id(p) for p in model.players()[player].parameters}
    assert own == {id(p) for p in getattr(model, player).parameters()}


def test_the_game_does_not_reach_the_encoder():
    """A critic of which only the score changes leaves what the encoder lowers as it was."""
    model, x = little()
    before = found_and_by_hand(model, x, "encoder")[0]
    with torch.no_grad():
        model.critic.head.weight.add_(1.0)
    torch.testing.assert_close(found_and_by_hand(model, x, "encoder")[0], before)
    assert not torch.allclose(found_and_by_hand(model, x, "decoder")[0], before)


def test_what_is_decoded_keeps_within_bounds_and_without_similarity_it_is_no_vaegan():
    model = VAEGAN((1, 4, 4), 2, width=8, bounds=(0.0, 1.0))
    rows = model.decode(100 * torch.randn(50, 2))
    assert 0 <= rows.min() < 0.2
    assert 0.8 < rows.max() <= 1
    with pytest.raises(ValueError, match="similarity must be positive, got 0; without it, fit gan"):
        VAEGAN((5,), similarity=0)
