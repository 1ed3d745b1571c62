"""Spectral normalization against the singular value decomposition."""

import copy

import torch
from torch import nn

from likely.adversarial import iterate, normalize_spectra, spectral_norms


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 4), nn.Flatten(), nn.Linear(24, 5)).double()


def test_norms_are_those_of_the_decomposition_after_training_steps() -> None:
    critic = network()
    normalize_spectra(critic)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3)
    for _ in range(150):
        optimizer.zero_grad()
        critic(torch.randn(16, 2, 7, 7, dtype=torch.float64)).square().mean().neg().backward()
        optimizer.step()
        iterate(critic)
    assert len(spectral_norms(critic)) == 3
    for norm, weight in spectral_norms(critic):
        largest = torch.linalg.matrix_norm(weight.reshape(len(weight), -1), 2)
        torch.testing.assert_close(norm, largest, rtol=0.01, atol=0)
    for layer in (critic[0], critic[2], critic[4]):
        largest = torch.linalg.matrix_norm(layer.weight.reshape(len(layer.weight), -1), 2)
        torch.testing.assert_close(largest, torch.ones_like(largest), rtol=0.01, atol=0)


def test_nothing_moves_in_forward_and_all_of_it_is_saved() -> None:
    critic = network()
    normalize_spectra(critic)
    x = torch.randn(4, 2, 7, 7, dtype=torch.float64)
    before = copy.deepcopy(critic.state_dict())
    assert sum(name.endswith((".u", ".v")) for name in before) == 6
    first, second = critic.train()(x), critic.eval()(x)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for name, value in critic.state_dict().items():
        assert torch.equal(value, before[name]), name
    iterate(critic)
    assert not torch.equal(
        critic.state_dict()["0.parametrizations.weight.0.u"], before["0.parametrizations.weight.0.u"]
    )


def test_an_average_over_steps_that_shortens_the_vectors_changes_nothing() -> None:
    critic = network()
    normalize_spectra(critic)
    iterate(critic, 50)
    expected = [norm for norm, _ in spectral_norms(critic)]
    with torch.no_grad():
        for name, buffer in critic.named_buffers():
            if name.endswith((".u", ".v")):
                buffer.mul_(0.3)
    torch.testing.assert_close([norm for norm, _ in spectral_norms(critic)], expected)
