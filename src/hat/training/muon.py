"""Muon: steps of a matrix in an orthogonal direction (Jordan et al. 2024).

An update by Adam changes a matrix mostly in a few directions, those of the largest gradients. Muon replaces
the momentum of a matrix by the nearest matrix whose singular values are all equal, so that every direction
is learned at the same pace. `torch.optim.Muon` does the same for 2-D parameters, one after another; here
projections of one input are stacked in one parameter, and matrices of the same shape are multiplied together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from math import sqrt

import torch
from torch import Tensor, nn, optim

# The polynomial a·x + b·x³ + c·x⁵ of one iteration (Jordan et al.): of all, the steepest at 0 that keeps
# singular values near 1. Five iterations suffice for gradients.
COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5
MOMENTUM = 0.95
EPSILON = 1e-7


class Muon(optim.Optimizer):
    """Optimiser of matrices (rows, columns) and of stacks of them (count, rows, columns).

    Only the corner of a weight that its gradient fills is changed, and its momentum: of a SuperTransformer,
    the corner that was lent. The rest of the weight is not part of the network whose loss was computed.
    `dtype`: of the iterations' products. The attribute `grad_scale`, a scalar tensor, divides gradients.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, weight_decay: float = 0.0, dtype: torch.dtype
    ) -> None:
        super().__init__(parameters, {"lr": 0.0, "weight_decay": weight_decay})
        self.dtype = dtype
        self.grad_scale: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change all parameters that have a gradient. `closure` is not called."""
        for group in self.param_groups:
            rate, decay = group["lr"], group["weight_decay"]
            moved = [self._corner(parameter) for parameter in group["params"] if parameter.grad is not None]
            for shape, members in _by_shape(moved).items():
                directions = orthogonal(torch.cat([update for _, update in members]), self.dtype)
                # A tall matrix gets longer steps: as much change in each output, however many there are.
                length = rate * sqrt(max(1.0, shape[0] / shape[1]))
                parts = torch.split(directions, [len(update) for _, update in members])
                for (weight, _), direction in zip(members, parts, strict=True):
                    weight.mul_(1 - rate * decay).add_(direction, alpha=-length)

    def _corner(self, parameter: nn.Parameter) -> tuple[Tensor, Tensor]:
        """The corner of a weight that its gradient fills, and its momentum after this update (Nesterov)."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        tensors = (parameter.data, parameter.grad, state["momentum"])
        stacks = [one if one.dim() == 3 else one[None] for one in tensors]
        rows, columns = _filled(stacks[1])
        weight, gradient, momentum = (one[:, :rows, :columns] for one in stacks)
        if self.grad_scale is not None:
            gradient = gradient / self.grad_scale
        momentum.lerp_(gradient, 1 - MOMENTUM)
        return weight, gradient.lerp(momentum, MOMENTUM)


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """The matrices (count, rows, columns) with all singular values near 1, by iterations of Newton–Schulz in
    `dtype`."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPSILON)).to(dtype)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def _by_shape(moved: list[tuple[Tensor, Tensor]]) -> dict[torch.Size, list[tuple[Tensor, Tensor]]]:
    """Weights and updates by the shape of their matrices, without empty ones."""
    found = defaultdict(list)
    for weight, update in moved:
        if update.numel():
            found[update.shape[1:]].append((weight, update))
    return found


def _filled(gradient: Tensor) -> tuple[int, int]:
    """Rows and columns of the leading corner outside which a gradient (count, rows, columns) is zero."""
    filled = gradient.ne(0)
    rows, columns = filled.any(2).any(0).nonzero(), filled.any(1).any(0).nonzero()
    return (int(rows[-1]) + 1, int(columns[-1]) + 1) if len(rows) else (0, 0)
