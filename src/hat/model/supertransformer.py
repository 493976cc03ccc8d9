"""Weight sharing: one set of weights, of which every SubTransformer uses the leading corner."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hat.architecture import Architecture, ModelConfig, weight_shapes
from hat.errors import UserError
from hat.model.layers import NO_DROPOUT, Dropout
from hat.model.transformer import Transformer


class Corner(torch.autograd.Function):
    """The leading corner of a weight, contiguous. Its gradient is written into the whole's in one pass."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The corner of the given shape."""
        ctx.whole = weight.shape
        return weight[tuple(map(slice, shape))].contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient of the whole weight: zero outside the corner."""
        (corner,) = gradients
        whole = corner.new_empty(ctx.whole)
        rest = whole
        for axis, size in enumerate(corner.shape):
            rest.narrow(axis, size, rest.shape[axis] - size).zero_()
            rest = rest.narrow(axis, 0, size)
        rest.copy_(corner)
        return whole, None


# Gives the leading corner, of a shape, of the weight of a name. Of a shared embedding it is asked for the
# columns that the output projection needs.
Lend = Callable[[str, tuple[int, ...]], Tensor]


def borrow(config: ModelConfig, lend: Lend) -> dict[str, Tensor]:
    """All weights of a network from `lend`, by name."""
    shapes = dict(weight_shapes(config))
    if "embedding" in shapes:
        shapes["embedding"] = (config.target_vocab, config.embedding_rank or config.architecture.decoder_dim)
    return {name: lend(name, shape) for name, shape in shapes.items()}


class SuperTransformer(nn.Module):
    """Holds the weights of the largest SubTransformer and lends them (HAT, section 3.2).

    `config.architecture` is the largest one; its widths become the `*_super_dim` of all.
    """

    def __init__(self, config: ModelConfig, dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__()
        self.config = config
        self.dropout = dropout
        self.largest = Transformer(config, dropout)

    def sub_config(self, architecture: Architecture) -> ModelConfig:
        """The configuration of one of its SubTransformers."""
        return replace(self.config, architecture=architecture)

    def lend(self, architecture: Architecture) -> dict[str, Tensor]:
        """Name → weight of a SubTransformer, through which gradients reach the shared weights.

        The weights are contiguous, so that products give the same bits as in the extracted model.
        Raises UserError if the architecture does not fit inside the SuperTransformer.
        """
        shared = dict(self.largest.named_parameters())
        lent = {}
        for name, shape in weight_shapes(self.sub_config(architecture)).items():
            if name not in shared or any(n > m for n, m in zip(shape, shared[name].shape, strict=True)):
                have = tuple(shared[name].shape) if name in shared else "nothing"
                raise UserError(f"outside the SuperTransformer: {name} needs {shape}, it has {have}")
            weight = shared[name]
            lent[name] = weight if weight.shape == shape else Corner.apply(weight, shape)  # type: ignore[no-untyped-call]
        return lent

    def forward(
        self, architecture: Architecture, source: Tensor, target_in: Tensor, *, lend: Lend | None = None
    ) -> Tensor:
        """Logits (B, T, V) of a SubTransformer run on lent weights, its own or those of `lend`."""
        config = self.sub_config(architecture)
        network = _skeleton(config, self.dropout).train(self.training)
        weights = self.lend(architecture) if lend is None else borrow(config, lend)
        return functional_call(network, weights, (source, target_in))  # type: ignore[no-any-return]

    def extract(self, architecture: Architecture) -> Transformer:
        """The SubTransformer as a separate model, with copies of the lent weights."""
        network = build_empty(self.sub_config(architecture), self.dropout)
        lent = {name: weight.detach().clone() for name, weight in self.lend(architecture).items()}
        network.load_state_dict(lent, assign=True)
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        return network.train(self.training)


def build_empty(config: ModelConfig, dropout: Dropout) -> Transformer:
    """The network without weights, to be filled in."""
    with torch.device("meta"):
        return Transformer(config, dropout)


_skeleton = lru_cache(maxsize=256)(build_empty)
