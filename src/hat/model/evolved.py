"""The Evolved Transformer (So et al., ICML 2019), to compare with.

Pre-norm cells as in its authors' implementation: layer normalization before every part and after the
last cell of each side, dropout after every part, branch and hidden layer. Embeddings, positions and
output projection are those of all networks here. A decoder cell runs the same lines over a whole target
and over one more position, of which its cache holds the predecessors.
Axes: B batch, S source length, T target length, K beam, D embedding, H heads.
"""

from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hat.architecture import EvolvedArchitecture, ModelConfig
from hat.architecture.evolved import CAUSAL_MERGE, LONG, MERGE, NEAR, SHORT
from hat.errors import UserError
from hat.model.layers import NO_DROPOUT, CrossAttention, Dropout, FastDropout, Projections, SelfAttention
from hat.model.recomputation import run_layer
from hat.model.state import Cache, Encoded, Memory
from hat.model.translation_model import DecoderModule, TranslationModel, causal_mask
from hat.tokens import PAD


class Depthwise(nn.Module):
    """Each channel's own convolution: (B, L + positions - 1, C) -> (B, L, C). Weight (C, positions)."""

    def __init__(self, positions: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, positions))

    def forward(self, x: Tensor) -> Tensor:
        # One product a position: measured on a CPU faster than conv1d, in decoding many times.
        first, *others = self.weight.t().contiguous().unbind()
        length = x.shape[1] - len(others)
        y = x[:, :length] * first
        for position, weight in enumerate(others, start=1):
            y = torch.addcmul(y, x[:, position : position + length], weight)
        return y


class Separable(nn.Module):
    """A separable convolution: (B, L + positions - 1, I) -> (B, L, O)."""

    def __init__(self, positions: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = Depthwise(positions, inputs)
        self.pointwise = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))  # type: ignore[no-any-return]


class EncoderCell(nn.Module):
    def __init__(self, dim: int, *, heads: int, rates: Dropout) -> None:
        super().__init__()
        self.gated_norm = nn.LayerNorm(dim)
        self.gated = Projections(2, dim, dim)
        self.branch_norm = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, 4 * dim)
        self.near = nn.Linear(NEAR * dim, dim // 2)
        self.merge_norm = nn.LayerNorm(4 * dim)
        self.merge = Separable(MERGE, 4 * dim, dim // 2)
        self.self_attention_norm = nn.LayerNorm(dim)
        self.self_attention = SelfAttention(dim, dim, heads=heads, dropout=rates.attention)
        self.ffn_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.drop = FastDropout(rates.rate)

    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor | None) -> Tensor:
        values, gates = self.gated(self.gated_norm(x))
        x = x + self.drop(values * gates.sigmoid())
        x = x + self.drop(self.branches(x, real))
        x = x + self.drop(self.self_attention(self.self_attention_norm(x), mask))
        x = x + self.drop(self.fc2(self.drop(F.relu(self.fc1(self.ffn_norm(x))))))
        return x

    def branches(self, x: Tensor, real: Tensor | None) -> Tensor:
        """A wide layer beside a narrow convolution, and a separable convolution of their sum, for the first
        half of the channels only."""
        n = _hide(self.branch_norm(x), real)
        wide, near = F.relu(self.wide(n)), F.relu(self.near(_neighbours(n)))
        n = _hide(self.merge_norm(_add_to_first(self.drop(wide), self.drop(near))), real)
        merged = self.merge(F.pad(n, (0, 0, MERGE // 2, MERGE // 2)))
        return F.pad(merged, (0, x.shape[-1] - merged.shape[-1]))


class DecoderCell(nn.Module):
    def __init__(self, dim: int, *, heads: int, many_heads: int, rates: Dropout) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.many_headed_attention = SelfAttention(dim, dim, heads=many_heads, dropout=rates.attention)
        self.first_cross_attention = CrossAttention(
            dim, dim, memory_dim=dim, heads=heads, dropout=rates.attention
        )
        self.branch_norm = nn.LayerNorm(dim)
        self.long = Separable(LONG, dim, 2 * dim)
        self.short = Separable(SHORT, dim, dim // 2)
        self.merge_norm = nn.LayerNorm(2 * dim)
        self.merge = Separable(CAUSAL_MERGE, 2 * dim, dim)
        self.self_attention_norm = nn.LayerNorm(dim)
        self.self_attention = SelfAttention(dim, dim, heads=heads, dropout=rates.attention)
        self.cross_attention_norm = nn.LayerNorm(dim)
        self.cross_attention = CrossAttention(dim, dim, memory_dim=dim, heads=heads, dropout=rates.attention)
        self.ffn_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.hidden_norm = nn.LayerNorm(4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.drop = FastDropout(rates.rate)

    def memory(self, encoded: Encoded) -> "CellMemory":
        """Keys, values and mask of both attentions to the encoder."""
        last = encoded.last(1)
        return CellMemory(self.first_cross_attention.memory(*last), self.cross_attention.memory(*last))

    def cache(self) -> "CellCache":
        """The empty cache of this cell."""
        return CellCache()

    def forward(
        self,
        x: Tensor,
        memory: "CellMemory",
        mask: Tensor | None,
        cache: "CellCache",
        real: Tensor | None = None,
    ) -> Tensor:
        """`real` (B, T): false where the target is padded, which the convolutions must not see."""
        n = self.attention_norm(x)
        itself = self.many_headed_attention(n, mask, cache.many_headed)
        x = x + self.drop(itself) + self.drop(self.first_cross_attention(n, memory.first))
        x = x + self.drop(self.branches(x, cache, real))
        x = x + self.drop(self.self_attention(self.self_attention_norm(x), mask, cache.self_attention))
        x = x + self.drop(self.cross_attention(self.cross_attention_norm(x), memory.second))
        hidden = self.drop(F.silu(self.fc1(self.ffn_norm(x))))
        x = x + self.drop(self.fc2(self.hidden_norm(hidden)))
        return x

    def branches(self, x: Tensor, cache: "CellCache", real: Tensor | None) -> Tensor:
        """A long and a short causal separable convolution, and another one of their sum."""
        n = cache.branches.follow(_hide(self.branch_norm(x), real))
        long, short = F.relu(self.long(n)), self.short(n[:, LONG - SHORT :])
        n = _hide(self.merge_norm(_add_to_first(self.drop(long), self.drop(short))), real)
        return self.merge(cache.merge.follow(n))  # type: ignore[no-any-return]


@dataclass
class Window:
    """The last `size` positions (N, size, C), needed by the next causal convolution; at first none."""

    size: int
    past: Tensor | None = None

    def follow(self, x: Tensor) -> Tensor:
        """x (N, L, C) behind the positions before it, zeros at first: (N, size + L, C)."""
        x = F.pad(x, (0, 0, self.size, 0)) if self.past is None else torch.cat((self.past, x), dim=1)
        self.past = x[:, -self.size :]
        return x

    def select(self, rows: Tensor) -> None:
        if self.past is not None:
            self.past = self.past[rows]


@dataclass
class CellMemory:
    """The memories of a decoder cell's two attentions to the encoder."""

    first: Memory
    second: Memory

    @property
    def sentences(self) -> int:
        return self.first.sentences

    def select(self, rows: Tensor) -> "CellMemory":
        return CellMemory(self.first.select(rows), self.second.select(rows))


@dataclass
class CellCache:
    """A decoder cell's state: the positions that it has seen."""

    many_headed: Cache = field(default_factory=Cache)
    branches: Window = field(default_factory=lambda: Window(LONG - 1))
    merge: Window = field(default_factory=lambda: Window(CAUSAL_MERGE - 1))
    self_attention: Cache = field(default_factory=Cache)

    def select(self, rows: Tensor) -> None:
        for part in (self.many_headed, self.branches, self.merge, self.self_attention):
            part.select(rows)


class EvolvedTransformer(TranslationModel):
    """The network of an `EvolvedArchitecture`. Raises UserError for another family's configuration."""

    def __init__(self, config: ModelConfig, dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__(config)
        architecture = config.architecture
        if not isinstance(architecture, EvolvedArchitecture):
            raise UserError("for Evolved Transformers only")
        self.drop_source = self.drop_target = FastDropout(dropout.rate)
        dim, heads, many_heads = architecture.embed_dim, architecture.heads, architecture.many_heads
        self.encoder = nn.ModuleList(
            EncoderCell(dim, heads=heads, rates=dropout) for _ in range(architecture.encoder_cells)
        )
        self.encoder_norm = nn.LayerNorm(dim)
        self.decoder = nn.ModuleList(
            DecoderCell(dim, heads=heads, many_heads=many_heads, rates=dropout)
            for _ in range(architecture.decoder_cells)
        )
        self.decoder_norm = nn.LayerNorm(dim)
        self.reset_parameters()

    def encode(self, source: Tensor) -> Encoded:
        real = source.ne(PAD)
        hidden = None if bool(real.all()) else real
        mask = None if hidden is None else hidden[:, None, None, :]
        x = self.drop_source(self.embed_source(source))
        for cell in self.encoder:
            x = run_layer(cell, partial(cell, mask=mask, real=hidden), x)
        return Encoded((self.encoder_norm(x),), hidden)

    def decode(self, target_in: Tensor, encoded: Encoded) -> Tensor:
        real = target_in.ne(PAD)
        # No convolution sees what comes later, so padding after the target needs no hiding.
        hidden = None if bool(real[:, 0].all()) else real
        mask = causal_mask(target_in)
        x = self.drop_target(self.embed_target(target_in))
        for cell in self.layers():
            x = run_layer(cell, partial(_run_cell, cell, encoded, mask, hidden), x)
        return self.logits(self.decoder_norm(x))

    def reset_parameters(self) -> None:
        """Initialise as the other networks do; values and gates each count as a matrix, and depthwise weights
        get the variance that keeps the variance of their input."""
        super().reset_parameters()
        for module in self.modules():
            if isinstance(module, Depthwise):
                bound = (3 / module.weight.shape[1]) ** 0.5
                nn.init.uniform_(module.weight, -bound, bound)
            elif isinstance(module, EncoderCell):
                for matrix in module.gated.weight:
                    nn.init.xavier_uniform_(matrix)


def _run_cell(cell: DecoderModule, encoded: Encoded, mask: Tensor, real: Tensor | None, x: Tensor) -> Tensor:
    """The output of a decoder cell for a whole target x (B, T, D)."""
    return cell(x, cell.memory(encoded), mask, cell.cache(), real)


def _hide(x: Tensor, real: Tensor | None) -> Tensor:
    """x (N, L, C) with zeros in place of padding, where `real` (N, L) is false: convolutions see none."""
    return x if real is None else x * real[..., None]


def _neighbours(x: Tensor) -> Tensor:
    """Each position between its neighbours: (N, L, C) -> (N, L, NEAR · C)."""
    padded = F.pad(x, (0, 0, NEAR // 2, NEAR // 2))
    return torch.cat([padded[:, start : start + x.shape[1]] for start in range(NEAR)], dim=-1)


def _add_to_first(wide: Tensor, narrow: Tensor) -> Tensor:
    """`narrow` added to the first channels of `wide`."""
    return wide + F.pad(narrow, (0, wide.shape[-1] - narrow.shape[-1]))
