"""The network: one definition, for SubTransformers trained alone, run on lent weights, or exported.

Encoder–decoder (Vaswani et al. 2017) with the freedoms of HAT (section 3.1): every layer has its own
sizes, and a decoder layer attends to the last n encoder layers, laid end to end in time. Layers normalise
after each residual sum, as published, or before each branch (`ModelConfig.norm`).
Axes: B batch, S source length, T target length, K beam, D embedding, Q qkv_dim, H heads, V vocabulary.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from hat.architecture import AttentionShape, DecoderLayer, EncoderLayer, ModelConfig
from hat.model.layers import NO_DROPOUT, BranchNorm, CrossAttention, Dropout, FastDropout, SelfAttention
from hat.model.recomputation import run_layer
from hat.model.state import Cache, Encoded, Memory, PassCaches
from hat.model.translation_model import TranslationModel
from hat.tokens import PAD


class EncoderBlock(nn.Module):
    """One encoder layer, without the sub-layers that it lacks. `rates.rate` is scaled by width; `unscaled`:
    the rate behind self-attention, which the published code does not scale."""

    def __init__(
        self, dim: int, qkv_dim: int, layer: EncoderLayer, *, pre: bool, rates: Dropout, unscaled: float
    ) -> None:
        super().__init__()
        self.self_attention = _self_attention(dim, layer.self_attention(qkv_dim), rates.attention)
        if self.self_attention is not None:
            self.self_attention_norm = BranchNorm(dim, pre=pre)
        self.ffn_dim = layer.ffn_dim
        if self.ffn_dim:
            self.fc1 = nn.Linear(dim, layer.ffn_dim)
            self.fc2 = nn.Linear(layer.ffn_dim, dim)
            self.ffn_norm = BranchNorm(dim, pre=pre)
        self.passes = layer.passes
        self.drop_attention = FastDropout(unscaled)
        self.drop = FastDropout(rates.rate)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for _ in range(self.passes):
            x = self._run(x, mask)
        return x

    def _run(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.self_attention is not None:
            norm = self.self_attention_norm
            x = norm.after(x + self.drop_attention(self.self_attention(norm.before(x), mask)))
        if self.ffn_dim:
            norm = self.ffn_norm
            x = norm.after(x + self.drop(self.fc2(F.relu(self.fc1(norm.before(x))))))
        return x


class DecoderBlock(nn.Module):
    """One decoder layer, without the sub-layers that it lacks, for a whole target or for one more position of
    it."""

    def __init__(
        self, dim: int, qkv_dim: int, layer: DecoderLayer, *, memory_dim: int, pre: bool, rates: Dropout
    ) -> None:
        super().__init__()
        self.attended, self.passes = layer.encoder_layers_attended, layer.passes
        self.self_attention = _self_attention(dim, layer.self_attention(qkv_dim), rates.attention)
        if self.self_attention is not None:
            self.self_attention_norm = BranchNorm(dim, pre=pre)
        self.cross_attention = _cross_attention(
            dim, layer.cross_attention(qkv_dim), memory_dim=memory_dim, dropout=rates.attention
        )
        if self.cross_attention is not None:
            self.cross_attention_norm = BranchNorm(dim, pre=pre)
        self.ffn_dim = layer.ffn_dim
        if self.ffn_dim:
            self.fc1 = nn.Linear(dim, layer.ffn_dim)
            self.fc2 = nn.Linear(layer.ffn_dim, dim)
            self.ffn_norm = BranchNorm(dim, pre=pre)
        self.drop = FastDropout(rates.rate)

    def memory(self, encoded: Encoded) -> Memory:
        """Keys, values and mask of the encoder layers that this layer attends to."""
        if self.cross_attention is None:
            return Memory.without_keys(encoded.layers[-1])
        return self.cross_attention.memory(*encoded.last(self.attended))

    def cache(self) -> PassCaches:
        """The empty caches of this layer, for incremental decoding."""
        return PassCaches([Cache() for _ in range(self.passes)])

    def forward(
        self, x: Tensor, memory: Memory, mask: Tensor | None, cache: PassCaches | None = None
    ) -> Tensor:
        """x (B, T, D); with the caches of the positions before, x (B·K, 1, D)."""
        for number in range(self.passes):
            x = self._run(x, memory, mask, None if cache is None else cache.passes[number])
        return x

    def _run(self, x: Tensor, memory: Memory, mask: Tensor | None, cache: Cache | None) -> Tensor:
        if self.self_attention is not None:
            norm = self.self_attention_norm
            x = norm.after(x + self.drop(self.self_attention(norm.before(x), mask, cache)))
        if self.cross_attention is not None:
            norm = self.cross_attention_norm
            x = norm.after(x + self.drop(self.cross_attention(norm.before(x), memory)))
        if self.ffn_dim:
            norm = self.ffn_norm
            x = norm.after(x + self.drop(self.fc2(F.relu(self.fc1(norm.before(x))))))
        return x


def _self_attention(dim: int, shape: AttentionShape | None, dropout: float) -> SelfAttention | None:
    if shape is None:
        return None
    return SelfAttention(dim, shape.qkv_dim, heads=shape.heads, dropout=dropout)


def _cross_attention(
    dim: int, shape: AttentionShape | None, *, memory_dim: int, dropout: float
) -> CrossAttention | None:
    if shape is None:
        return None
    return CrossAttention(dim, shape.qkv_dim, memory_dim=memory_dim, heads=shape.heads, dropout=dropout)


class Transformer(TranslationModel):
    """The network of one architecture. Weight names and shapes: `hat.architecture.weight_shapes`."""

    def __init__(self, config: ModelConfig, dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__(config)
        architecture = config.transformer
        enc, dec, qkv = architecture.encoder_dim, architecture.decoder_dim, architecture.qkv_dim
        pre = config.norm == "pre"
        rates = Dropout(dropout.rate * enc / config.encoder_super_dim, dropout.attention)
        self.drop_source = FastDropout(rates.rate)
        self.encoder = nn.ModuleList(
            EncoderBlock(enc, qkv, layer, pre=pre, rates=rates, unscaled=dropout.rate)
            for layer in architecture.encoder.layers
        )
        rates = Dropout(dropout.rate * dec / config.decoder_super_dim, dropout.attention)
        self.drop_target = FastDropout(rates.rate)
        self.decoder = nn.ModuleList(
            DecoderBlock(dec, qkv, layer, memory_dim=enc, pre=pre, rates=rates)
            for layer in architecture.decoder.layers
        )
        self.encoder_norm = nn.LayerNorm(enc) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(dec) if pre else nn.Identity()
        self.reset_parameters()

    def encode(self, source: Tensor) -> Encoded:
        real = source.ne(PAD)
        mask = None if bool(real.all()) else real[:, None, None, :]
        x = self.drop_source(self.embed_source(source))
        layers = []
        for block in self.encoder:
            x = run_layer(block, partial(block, mask=mask), x)
            layers.append(self.encoder_norm(x))
        return Encoded(tuple(layers), None if mask is None else real)
