"""The optimizer against steps computed by hand."""

from __future__ import annotations

import pytest
import torch

from digits.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(32, 9), (64, 288), (128, 3136), (10, 128)])
def test_orthogonalize_keeps_directions_and_evens_out_their_strength(shape):
    torch.manual_seed(0)
    strengths = torch.linspace(1, 0.05, min(shape))
    left = torch.linalg.qr(torch.randn(shape[0], len(strengths)))[0]
    right = torch.linalg.qr(torch.randn(shape[1], len(strengths)))[0]
    result = orthogonalize(left * strengths @ right.T)
    assert result.shape == shape
    along = left.T @ result @ right  # diagonal: how strong each direction is afterwards
    assert along.diagonal().min() > 0.5 and along.diagonal().max() < 1.3
    assert (along - along.diagonal().diag()).abs().max() < 1e-3
    torch.testing.assert_close(result, left @ along @ right.T, rtol=0, atol=1e-3)


def test_muon_steps():
    """With momentum 0 a vector takes the plain step; a matrix that is orthogonal already one of about its size."""
    vector, matrix = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.zeros(2, 2))
    optimizer = Muon([vector, matrix], lr=0.1, momentum=0, weight_decay=0)
    vector.grad, matrix.grad = torch.tensor([1.0, -2.0]), 1000 * torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    optimizer.step()
    torch.testing.assert_close(vector.detach(), torch.tensor([0.9, 1.2]))
    size = matrix.detach().norm() / 2**0.5
    assert 0.05 < size < 0.13
    torch.testing.assert_close(matrix.detach() / size, -matrix.grad / 1000, rtol=0, atol=1e-3)


def test_muon_remembers_its_steps_and_decays_matrices_alone():
    """The steps are in the state that is saved, with which another optimizer goes on."""
    vector, matrix, state = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.ones(1, 1)), None
    for expected in (-0.15, -0.325):  # 1 + 0.5 * 1, then 1 + 0.5 * 1.5, times 0.1
        optimizer = Muon([vector, matrix], lr=0.1, momentum=0.5, weight_decay=1)
        if state is not None:
            optimizer.load_state_dict(state)
        vector.grad, matrix.grad = torch.ones(1), torch.zeros(1, 1)
        optimizer.step()
        state = optimizer.state_dict()
        torch.testing.assert_close(vector.detach(), torch.tensor([expected]))
    torch.testing.assert_close(matrix.detach(), torch.tensor([[0.81]]))


def test_muon_keeps_the_interface_of_an_optimizer():
    """A closure computes the gradients and its loss is returned; a parameter without a gradient stays as it is."""
    used, unused = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    optimizer = Muon([used, unused], lr=0.1, momentum=0, weight_decay=0)

    def closure() -> float:
        loss = 3 * used.sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 3 and optimizer.step() is None
    torch.testing.assert_close(used.detach(), torch.tensor([0.4]))
    torch.testing.assert_close(unused.detach(), torch.tensor([1.0]))
