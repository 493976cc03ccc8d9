"""Activation checkpointing: of a layer, training keeps the input only, and computes the rest again backwards.

It costs another pass forward, and saves most of the memory that grows with the batch. Results stay the same
to the last bit: dropout draws the same numbers again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

_RECOMPUTES: ContextVar[bool] = ContextVar("_RECOMPUTES", default=False)


@contextmanager
def recomputation(enabled: bool) -> Iterator[None]:
    """Context in which the layers of all networks are computed again in the pass backward, if `enabled`."""
    token = _RECOMPUTES.set(enabled)
    try:
        yield
    finally:
        _RECOMPUTES.reset(token)


def run_layer(layer: object, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function(x), which runs `layer`; within `recomputation`, without keeping intermediate results."""
    if not _RECOMPUTES.get() or not torch.is_grad_enabled():
        return function(x)
    assert isinstance(layer, nn.Module)
    # Lent weights are the layer's only during the pass forward; backwards they have to be lent once more.
    weights: dict[str, Tensor] = {f"layer.{name}": weight for name, weight in layer.named_parameters()}
    call = _Call(layer, function)
    y: Tensor = checkpoint(lambda x: functional_call(call, weights, (x,)), x, use_reentrant=False)
    return y


class _Call(nn.Module):
    """A function that runs a layer, as a module with the layer's weights."""

    def __init__(self, layer: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
