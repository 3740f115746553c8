"""The optimizer: gradient descent whose steps are equally long in all directions of a layer's weights.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

from typing import Callable, Iterable, overload

import torch
from torch import Tensor


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return the matrix (M, N) that has the directions of `matrix` (M, N), all of them about equally strong.

    In terms of the singular value decomposition, every singular value becomes about 1 (from 0.7 to 1.2). Five steps of
    a Newton-Schulz iteration come close enough, and need nothing but products of small matrices.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T).T
    gram = matrix @ matrix.T  # (M, M), whose eigenvalues are the squares of the singular values
    identity = torch.eye(len(gram), device=gram.device)
    scale = 1 / (gram.trace() + 1e-14)  # brings the singular values into 0..1
    gram, result = gram * scale, identity * scale.sqrt()
    for _ in range(5):
        polynomial = 3.4445 * identity - 4.775 * gram + 2.0315 * gram @ gram
        gram, result = polynomial @ gram @ polynomial, polynomial @ result
    return result @ matrix


class Muon(torch.optim.Optimizer):
    """Gradient descent with momentum whose steps for a layer's weights are orthogonalized.

    The gradients of a layer point mostly in a few directions, and the rest would be learned slowly. Biases and the
    parameters of batch norm, which are no matrices, take the plain step and no weight decay.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Change all parameters that have a gradient by one step; `closure`, if given, computes loss and gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["velocity"] = torch.zeros_like(parameter)
                velocity = state["velocity"]
                velocity.mul_(momentum).add_(parameter.grad)
                step = parameter.grad + momentum * velocity  # Nesterov's form: it looks one step ahead
                if parameter.ndim > 1:
                    step = orthogonalize(step.flatten(start_dim=1)).reshape(parameter.shape)
                    parameter.mul_(1 - lr * group["weight_decay"])
                parameter.sub_(lr * step)
        return loss
