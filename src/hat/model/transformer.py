"""The network: one definition, for SubTransformers trained alone, run on lent weights, or exported.

Post-norm encoder–decoder (Vaswani et al. 2017) with the freedoms of HAT (section 3.1): every layer
has its own sizes, and a decoder layer attends to the last n encoder layers, laid end to end in time.
Axes: B batch, S source length, T target length, K beam, D embedding, Q qkv_dim, H heads, V vocabulary.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from math import log, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hat.architecture import DecoderLayer, EncoderLayer, ModelConfig

PAD, EOS = 1, 2


@dataclass(frozen=True)
class Dropout:
    """Dropout probabilities. `rate` is scaled by a side's width over its SuperTransformer's width,
    except on the encoder's self-attention output; `attention` acts on attention weights (item 8)."""

    rate: float = 0.0
    attention: float = 0.0


NO_DROPOUT = Dropout()


class FastDropout(nn.Module):
    """Dropout that draws eight mask bytes at a time: measured four times faster than nn.Dropout on CPUs.

    The rate is rounded to 1/256, and the scale is that of the rounded rate.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.keep = 256 - round(256 * rate)
        self.rate = rate

    @property
    def active_rate(self) -> float:
        return self.rate if self.training else 0.0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.keep == 256:
            return x
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        drawn = words.random_(-(2**63), None).view(torch.uint8)[: x.numel()].view(x.shape)
        return x * drawn.lt(self.keep).to(x.dtype).mul_(256 / self.keep)


class Projections(nn.Module):
    """`count` linear maps of one input, computed as one product. Weight (count, Q, D), bias (count, Q)."""

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(count, outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = F.linear(x, self.weight.flatten(0, 1), self.bias.flatten())
        return y.chunk(self.weight.shape[0], dim=-1)


class Attention(nn.Module):
    """What self- and cross-attention share: heads that partition Q, and the output projection."""

    def __init__(self, dim: int, qkv_dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.drop_weights = FastDropout(dropout)
        self.out = nn.Linear(qkv_dim, dim)

    def split(self, x: Tensor) -> Tensor:  # (B, T, Q) -> (B, H, T, Q/H)
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if self.training and q.device.type == "cpu":
            # Measured at S = T = 16–30, bf16: three to five times faster backwards than the fused kernel.
            scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            y = self.drop_weights(scores.softmax(dim=-1).to(v.dtype)) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, self.drop_weights.active_rate)
        return self.out(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class SelfAttention(Attention):
    """Attention of a sequence to itself. A cache makes it incremental: one new position a call."""

    def __init__(self, dim: int, qkv_dim: int, heads: int, dropout: float) -> None:
        super().__init__(dim, qkv_dim, heads, dropout)
        self.qkv = Projections(3, dim, qkv_dim)

    def forward(self, x: Tensor, mask: Tensor | None, cache: "Cache | None" = None) -> Tensor:
        q, k, v = (self.split(part) for part in self.qkv(x))
        if cache is not None:
            k, v = cache.append(k, v)
        return self.attend(q, k, v, mask)


class CrossAttention(Attention):
    """Attention to encoder layers. `memory` gives keys and values once for all steps of a decode."""

    def __init__(self, dim: int, memory_dim: int, qkv_dim: int, heads: int, dropout: float) -> None:
        super().__init__(dim, qkv_dim, heads, dropout)
        self.q = Projections(1, dim, qkv_dim)
        self.kv = Projections(2, memory_dim, qkv_dim)

    def memory(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        k, v = (self.split(part) for part in self.kv(encoded))
        return k, v

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        (q,) = self.q(x)
        return self.attend(self.split(q), *memory, mask)


class EncoderBlock(nn.Module):
    def __init__(self, dim: int, qkv_dim: int, layer: EncoderLayer, raw: float, rates: Dropout) -> None:
        super().__init__()
        self.self_attention = SelfAttention(dim, qkv_dim, layer.heads, rates.attention)
        self.self_attention_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, layer.ffn_dim)
        self.fc2 = nn.Linear(layer.ffn_dim, dim)
        self.ffn_norm = nn.LayerNorm(dim)
        # The published code leaves this one rate unscaled.
        self.drop_attention = FastDropout(raw)
        self.drop = FastDropout(rates.rate)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.self_attention_norm(x + self.drop_attention(self.self_attention(x, mask)))
        return self.ffn_norm(x + self.drop(self.fc2(F.relu(self.fc1(x)))))  # type: ignore[no-any-return]


class DecoderBlock(nn.Module):
    def __init__(self, dim: int, memory_dim: int, qkv_dim: int, layer: DecoderLayer, rates: Dropout) -> None:
        super().__init__()
        self.attended = layer.encoder_layers_attended
        self.self_attention = SelfAttention(dim, qkv_dim, layer.self_heads, rates.attention)
        self.self_attention_norm = nn.LayerNorm(dim)
        self.cross_attention = CrossAttention(dim, memory_dim, qkv_dim, layer.cross_heads, rates.attention)
        self.cross_attention_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, layer.ffn_dim)
        self.fc2 = nn.Linear(layer.ffn_dim, dim)
        self.ffn_norm = nn.LayerNorm(dim)
        self.drop = FastDropout(rates.rate)

    def memory(self, encoded: "Encoded") -> "Memory":
        """Keys, values and mask of the encoder layers this layer attends to: last, second last, …"""
        outputs = torch.cat(encoded.layers[: -self.attended - 1 : -1], dim=1)
        mask = None if encoded.real is None else encoded.real.repeat(1, self.attended)[:, None, None, :]
        return Memory(*self.cross_attention.memory(outputs), mask)

    def forward(self, x: Tensor, self_mask: Tensor, memory: "Memory") -> Tensor:
        x = self.self_attention_norm(x + self.drop(self.self_attention(x, self_mask)))
        x = self.cross_attention_norm(
            x + self.drop(self.cross_attention(x, (memory.keys, memory.values), memory.mask))
        )
        return self.ffn_norm(x + self.drop(self.fc2(F.relu(self.fc1(x)))))  # type: ignore[no-any-return]

    def step(self, x: Tensor, cache: "Cache", memory: "Memory") -> Tensor:
        """One position of B·K hypotheses, x (B·K, 1, D). In cross-attention a sentence's K hypotheses
        are K queries to the same keys, so that nothing is copied per beam."""
        x = self.self_attention_norm(x + self.self_attention(x, cache.mask, cache))
        beams = x.view(memory.keys.shape[0], -1, x.shape[-1])  # (B, K, D)
        beams = self.cross_attention(beams, (memory.keys, memory.values), memory.mask)
        x = self.cross_attention_norm(x + beams.view_as(x))
        return self.ffn_norm(x + self.fc2(F.relu(self.fc1(x))))  # type: ignore[no-any-return]


@dataclass
class Encoded:
    """Outputs of all encoder layers, each (B, S, D), and which tokens are real (B, S), None = all."""

    layers: list[Tensor]
    real: Tensor | None


@dataclass
class Memory:
    """What one decoder layer attends to: keys and values (B, H, nS, Q/H), mask (B, 1, 1, nS)."""

    keys: Tensor
    values: Tensor
    mask: Tensor | None

    def select(self, rows: Tensor) -> "Memory":
        mask = None if self.mask is None else self.mask[rows]
        return Memory(self.keys[rows], self.values[rows], mask)


@dataclass
class Cache:
    """Self-attention keys and values of the positions decoded so far, (B·K, H, T, Q/H).

    `mask`: which of them may be seen; None = all.
    """

    keys: Tensor | None = None
    values: Tensor | None = None
    mask: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.keys is not None and self.values is not None:
            keys, values = (
                torch.cat((self.keys, keys), dim=2),
                torch.cat((self.values, values), dim=2),
            )
        self.keys, self.values = keys, values
        return keys, values

    def select(self, rows: Tensor) -> None:
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]


@dataclass
class DecoderState:
    """Everything incremental decoding carries from step to step."""

    memories: list[Memory]
    caches: list[Cache]
    length: int = field(default=0)

    def select(self, rows: Tensor, parents: Tensor) -> None:
        """Go on with the sentences `rows` (b), their hypotheses continuing beams `parents` (b, K)."""
        flat = (rows[:, None] * parents.shape[1] + parents).flatten()
        for cache in self.caches:
            cache.select(flat)
        if len(rows) < self.memories[0].keys.shape[0]:
            self.memories = [memory.select(rows) for memory in self.memories]


class Transformer(nn.Module):
    """The network of one architecture. Weight names and shapes: `hat.architecture.weight_shapes`."""

    def __init__(self, config: ModelConfig, dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__()
        self.config = config
        architecture = config.architecture
        enc, dec, qkv = (
            architecture.encoder.embed_dim,
            architecture.decoder.embed_dim,
            architecture.qkv_dim,
        )
        if config.embeddings == "shared":
            self.embedding = nn.Parameter(torch.empty(config.source_vocab, max(enc, dec)))
        else:
            self.source_embedding = nn.Parameter(torch.empty(config.source_vocab, enc))
            self.target_embedding = nn.Parameter(torch.empty(config.target_vocab, dec))
            self.output_embedding = nn.Parameter(torch.empty(config.target_vocab, dec))
        rates = Dropout(dropout.rate * enc / config.encoder_super_dim, dropout.attention)
        self.drop_source = FastDropout(rates.rate)
        self.encoder = nn.ModuleList(
            EncoderBlock(enc, qkv, layer, dropout.rate, rates) for layer in architecture.encoder.layers
        )
        rates = Dropout(dropout.rate * dec / config.decoder_super_dim, dropout.attention)
        self.drop_target = FastDropout(rates.rate)
        self.decoder = nn.ModuleList(
            DecoderBlock(dec, enc, qkv, layer, rates) for layer in architecture.decoder.layers
        )
        self.reset_parameters()

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        """Logits (B, T, V) for source (B, S) and target_in (B, T), padded with 1 on either side."""
        return self.decode(target_in, self.encode(source))

    def encode(self, source: Tensor) -> Encoded:
        """Run the encoder over source (B, S)."""
        real = source.ne(PAD)
        mask = None if bool(real.all()) else real[:, None, None, :]
        dim = self.config.architecture.encoder.embed_dim
        x = self.drop_source(embed(source, self._matrix("source")[:, :dim], self.config.encoder_super_dim))
        layers = []
        for block in self.encoder:
            x = block(x, mask)
            layers.append(x)
        return Encoded(layers, None if mask is None else real)

    def decode(self, target_in: Tensor, encoded: Encoded) -> Tensor:
        """Teacher-forced logits (B, T, V)."""
        x = self.drop_target(embed(target_in, self.target_matrix(), self.config.decoder_super_dim))
        mask = _causal_mask(target_in)
        for block in self.decoder:
            assert isinstance(block, DecoderBlock)
            x = block(x, mask, block.memory(encoded))
        return self.logits(x)

    def start(self, source: Tensor) -> DecoderState:
        """Encode source (B, S) and get ready for `step`."""
        encoded = self.encode(source)
        memories = [block.memory(encoded) for block in self.decoder if isinstance(block, DecoderBlock)]
        return DecoderState(memories, [Cache() for _ in memories])

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Logits (B·K, V) after one more token (B·K) of every hypothesis; `state` moves on."""
        matrix = self.target_matrix()
        dim = matrix.shape[1]
        positions = sinusoids(state.length + 3, self.config.decoder_super_dim, matrix.dtype, matrix.device)
        x = sqrt(dim) * F.embedding(tokens[:, None], matrix) + positions[state.length + PAD + 1, :dim]
        for block, cache, memory in zip(self.decoder, state.caches, state.memories, strict=True):
            assert isinstance(block, DecoderBlock)
            x = block.step(x, cache, memory)
        state.length += 1
        return self.logits(x[:, 0])

    def logits(self, x: Tensor) -> Tensor:
        """Output projection: (…, D) -> (…, V)."""
        return F.linear(x, self._matrix("output")[:, : x.shape[-1]])

    def target_matrix(self) -> Tensor:
        """Embeddings of target tokens (V, D)."""
        return self._matrix("target")[:, : self.config.architecture.decoder.embed_dim]

    def _matrix(self, role: str) -> Tensor:
        name = "embedding" if self.config.embeddings == "shared" else f"{role}_embedding"
        return getattr(self, name)  # type: ignore[no-any-return]

    def reset_parameters(self) -> None:
        """Initialise as published (REFERENCE item 10); an attention's q, k, v count as one matrix."""
        for name, parameter in self.named_parameters():
            if name.endswith("embedding"):
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
                if not parameter.is_meta:
                    nn.init.zeros_(parameter.data[PAD])
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith("norm.weight"):
                nn.init.ones_(parameter)
            elif parameter.dim() == 3:
                bound = sqrt(6 / (3 * parameter.shape[1] + parameter.shape[2]))
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.xavier_uniform_(parameter)


def embed(tokens: Tensor, matrix: Tensor, super_dim: int) -> Tensor:
    """Scaled embeddings plus positions: tokens (B, L), matrix (V, D) -> (B, L, D).

    Positions count real tokens from PAD + 1, whichever side the padding is on; a pad has none.
    """
    real = tokens.ne(PAD).long()
    positions = real.cumsum(dim=1) * real + PAD
    table = sinusoids(tokens.shape[1] + 2, super_dim, matrix.dtype, matrix.device)[:, : matrix.shape[1]]
    return sqrt(matrix.shape[1]) * F.embedding(tokens, matrix, padding_idx=PAD) + table[positions]


def sinusoids(rows: int, dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """At least `rows` rows of the position table, (rows, dim): dim/2 sines, then dim/2 cosines.

    Row PAD is zero. Built at the SuperTransformer's width; users slice it (REFERENCE item 6).
    """
    return _sinusoid_table(max(256, 1 << (rows - 1).bit_length()), dim, dtype, device)


@lru_cache(maxsize=16)
def _sinusoid_table(rows: int, dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    half = dim // 2
    with torch.inference_mode(False):  # the table is shared with training, which autograd must accept
        frequencies = torch.exp(torch.arange(half, dtype=torch.float64) * (-log(10000) / max(half - 1, 1)))
        angles = torch.arange(rows, dtype=torch.float64)[:, None] * frequencies
        table = F.pad(torch.cat((angles.sin(), angles.cos()), dim=1), (0, dim % 2))
        table[PAD] = 0
        return table.to(device=device, dtype=dtype)


def _causal_mask(target_in: Tensor) -> Tensor:
    """Which positions each one sees: (T, T), or (B, 1, T, T) where padding comes first; a pad sees itself."""
    length = target_in.shape[1]
    square = torch.ones(length, length, dtype=torch.bool, device=target_in.device)
    real = target_in.ne(PAD)
    if bool(real[:, 0].all()):
        return square.tril()
    return (square.tril() & real[:, None, :] | square.triu().tril())[:, None]
