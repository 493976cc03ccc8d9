"""The layers of all networks: dropout, normalization of residual branches, projections, attention.

Axes: B batch, S source length, T target length, K beam, D embedding, Q qkv_dim, H heads, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hat.model.kernels import kernels
from hat.model.state import Cache, Memory


@dataclass(frozen=True)
class Dropout:
    """Dropout probabilities. `rate` is scaled by a side's width over its SuperTransformer's width,
    except on the encoder's self-attention output; `attention` acts on attention weights (docs/reference.md,
    Dropout)."""

    rate: float = 0.0
    attention: float = 0.0


NO_DROPOUT = Dropout()


class FastDropout(nn.Module):
    """Dropout that draws eight mask bytes at a time: measured four times faster than nn.Dropout on CPUs.

    The rate is rounded to 1/256, and the scale is that of the rounded rate.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.keep, self.rate = 256 - round(256 * rate), rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.keep == 256:
            return x
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        drawn = words.random_(-(2**63), None).view(torch.uint8)[: x.numel()].view(x.shape)
        return x * drawn.lt(self.keep).to(x.dtype).mul_(256 / self.keep)


class BranchNorm(nn.LayerNorm):
    """Layer normalization of a residual branch, y = after(x + branch(before(x))): before the branch
    (`pre`), or after the sum, as published."""

    def __init__(self, dim: int, *, pre: bool) -> None:
        super().__init__(dim)
        self.pre = pre

    def before(self, x: Tensor) -> Tensor:
        return self.forward(x) if self.pre else x

    def after(self, x: Tensor) -> Tensor:
        return x if self.pre else self.forward(x)


class Projections(nn.Module):
    """`count` linear maps of one input, computed as one product. Weight (count, Q, D), bias (count, Q)."""

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(count, outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = F.linear(x, self.weight.flatten(0, 1), self.bias.flatten())
        return y.chunk(self.weight.shape[0], dim=-1)


class HeadAttention(torch.autograd.Function):
    """Attention of queries (B, H, T, Q/H) to keys and values (B, H, S, Q/H) in bf16, by kernels that keep the
    scores of a head in a core's cache. Outputs and gradients have the memory of (B, T, H, Q/H), as their
    users need it."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """The outputs (B, H, T, Q/H); `mask` (B or 1, 1, T or 1, S) is true for keys that are seen."""
        module = kernels()
        assert module is not None
        ctx.save_for_backward(q, k, v, mask)
        out = _like(q)
        module.attention(q.detach(), k.detach(), v.detach(), mask, out, torch.get_num_threads())
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The gradients of q, k and v."""
        module = kernels()
        assert module is not None
        q, k, v, mask = ctx.saved_tensors
        (slope,) = slopes
        heads = q.detach(), k.detach(), v.detach()
        dq, dk, dv = (_like(one) for one in heads)
        slope = slope if slope.stride(-1) == 1 else slope.contiguous()
        module.attention_gradients(*heads, mask, slope, dq, dk, dv, torch.get_num_threads())
        return dq, dk, dv, None


def _like(heads: Tensor) -> Tensor:
    """An empty tensor (B, H, T, Q/H) with the memory of (B, T, H, Q/H)."""
    return heads.new_empty(heads.transpose(1, 2).shape).transpose(1, 2)


class Attention(nn.Module):
    """The part that self- and cross-attention share: heads that partition Q, and the output projection."""

    def __init__(self, dim: int, qkv_dim: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.drop_weights = FastDropout(dropout)
        self.out = nn.Linear(qkv_dim, dim)

    def split(self, x: Tensor) -> Tensor:  # (B, T, Q) -> (B, H, T, Q/H)
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        bf16 = q.device.type == "cpu" and q.dtype == torch.bfloat16
        if self.training and bf16 and not self.drop_weights.rate and kernels():
            mask = None if mask is None else mask.reshape(-1, 1, *mask.shape[-2:])
            y = HeadAttention.apply(q, k, v, mask)  # type: ignore[no-untyped-call]
        elif self.training and q.device.type == "cpu":
            # Measured at S = T = 16–30, bf16: three to five times faster backwards than the fused kernel.
            scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            y = self.drop_weights(scores.softmax(dim=-1).to(v.dtype)) @ v
        else:
            rate = self.drop_weights.rate if self.training else 0.0
            y = F.scaled_dot_product_attention(q, k, v, mask, rate)
        return self.out(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class SelfAttention(Attention):
    """Attention of a sequence to itself. A cache makes it incremental: one new position a call."""

    def __init__(self, dim: int, qkv_dim: int, *, heads: int, dropout: float) -> None:
        super().__init__(dim, qkv_dim, heads=heads, dropout=dropout)
        self.qkv = Projections(3, dim, qkv_dim)

    def forward(self, x: Tensor, mask: Tensor | None, cache: Cache | None = None) -> Tensor:
        q, k, v = (self.split(part) for part in self.qkv(x))
        if cache is not None:
            k, v = cache.append(k, v)
        return self.attend(q, k, v, mask)


class CrossAttention(Attention):
    """Attention to encoder layers. `memory` gives keys and values once for all steps of a decode."""

    def __init__(self, dim: int, qkv_dim: int, *, memory_dim: int, heads: int, dropout: float) -> None:
        super().__init__(dim, qkv_dim, heads=heads, dropout=dropout)
        self.q = Projections(1, dim, qkv_dim)
        self.kv = Projections(2, memory_dim, qkv_dim)

    def memory(self, encoded: Tensor, mask: Tensor | None) -> Memory:
        """Keys and values of `encoded` (B, nS, D), which `mask` (B, 1, 1, nS) shows in part."""
        k, v = (self.split(part) for part in self.kv(encoded))
        return Memory(k, v, mask)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """x (N, T, D) attends to B sentences, each of N/B adjacent rows. A sentence's hypotheses are queries
        to the same keys, so nothing is copied per beam."""
        (q,) = self.q(x.view(memory.sentences, -1, x.shape[-1]))
        return self.attend(self.split(q), memory.keys, memory.values, memory.mask).view_as(x)
