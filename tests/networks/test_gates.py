"""Gates."""

import torch

from likely.networks.gates import gate


def test_a_gate_is_a_hyperbolic_tangent_times_a_sigmoid():
    u = torch.randn(3, 8, 4, 5, dtype=torch.float64)
    a, b = u.chunk(2, 1)
    torch.testing.assert_close(gate(u), torch.tanh(-a / 2) * torch.sigmoid(b), rtol=1e-12, atol=1e-12)


def test_the_gradient_of_a_gate():
    u = torch.randn(2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gate, (u,))
    assert torch.autograd.gradcheck(gate, (u.detach().contiguous(memory_format=torch.channels_last).requires_grad_(),))
