"""The network: one definition, for SubTransformers trained alone, run on lent weights, or exported.

Encoder–decoder (Vaswani et al. 2017) with the freedoms of HAT (section 3.1): every layer has its own
sizes, and a decoder layer attends to the last n encoder layers, laid end to end in time. Layers normalise
after each residual sum, as published, or before each branch (`ModelConfig.norm`).
Axes: B batch, S source length, T target length, K beam, D embedding, Q qkv_dim, H heads, V vocabulary.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hat.architecture import DecoderLayer, EncoderLayer, ModelConfig
from hat.model.layers import NO_DROPOUT, CrossAttention, Dropout, FastDropout, SelfAttention
from hat.model.state import Cache, DecoderState, Encoded, Memory
from hat.model.translation_model import PAD, TranslationModel, causal_mask


class Block(nn.Module):
    """A layer: a chain of residual sums. `pre`: the norm comes before the branch, not after the sum."""

    def __init__(self, pre: bool) -> None:
        super().__init__()
        self.pre = pre

    def add(self, x: Tensor, norm: nn.Module, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """x and a branch from it, normalised where this layer does it."""
        return x + branch(norm(x)) if self.pre else norm(x + branch(x))


class EncoderBlock(Block):
    def __init__(
        self, dim: int, qkv_dim: int, layer: EncoderLayer, pre: bool, raw: float, rates: Dropout
    ) -> None:
        super().__init__(pre)
        self.self_attention = SelfAttention(dim, qkv_dim, layer.heads, rates.attention)
        self.self_attention_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, layer.ffn_dim)
        self.fc2 = nn.Linear(layer.ffn_dim, dim)
        self.ffn_norm = nn.LayerNorm(dim)
        # The published code leaves this one rate unscaled.
        self.drop_attention = FastDropout(raw)
        self.drop = FastDropout(rates.rate)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.add(x, self.self_attention_norm, lambda z: self.drop_attention(self.self_attention(z, mask)))
        return self.add(x, self.ffn_norm, lambda z: self.drop(self.fc2(F.relu(self.fc1(z)))))


class DecoderBlock(Block):
    def __init__(
        self, dim: int, memory_dim: int, qkv_dim: int, layer: DecoderLayer, pre: bool, rates: Dropout
    ) -> None:
        super().__init__(pre)
        self.attended = layer.encoder_layers_attended
        self.self_attention = SelfAttention(dim, qkv_dim, layer.self_heads, rates.attention)
        self.self_attention_norm = nn.LayerNorm(dim)
        self.cross_attention = CrossAttention(dim, memory_dim, qkv_dim, layer.cross_heads, rates.attention)
        self.cross_attention_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, layer.ffn_dim)
        self.fc2 = nn.Linear(layer.ffn_dim, dim)
        self.ffn_norm = nn.LayerNorm(dim)
        self.drop = FastDropout(rates.rate)

    def memory(self, encoded: Encoded) -> Memory:
        """Keys, values and mask of the encoder layers this layer attends to: last, second last, …"""
        outputs = torch.cat(encoded.layers[: -self.attended - 1 : -1], dim=1)
        mask = None if encoded.real is None else encoded.real.repeat(1, self.attended)[:, None, None, :]
        return Memory(*self.cross_attention.memory(outputs), mask)

    def forward(self, x: Tensor, self_mask: Tensor, memory: Memory) -> Tensor:
        keys_values = memory.keys, memory.values
        x = self.add(x, self.self_attention_norm, lambda z: self.drop(self.self_attention(z, self_mask)))
        x = self.add(
            x,
            self.cross_attention_norm,
            lambda z: self.drop(self.cross_attention(z, keys_values, memory.mask)),
        )
        return self.add(x, self.ffn_norm, lambda z: self.drop(self.fc2(F.relu(self.fc1(z)))))

    def step(self, x: Tensor, cache: Cache, memory: Memory) -> Tensor:
        """One position of B·K hypotheses, x (B·K, 1, D). In cross-attention a sentence's K hypotheses
        are K queries to the same keys, so that nothing is copied per beam."""

        def to_memory(z: Tensor) -> Tensor:
            beams = z.view(memory.keys.shape[0], -1, z.shape[-1])  # (B, K, D)
            found: Tensor = self.cross_attention(beams, (memory.keys, memory.values), memory.mask)
            return found.view_as(z)

        x = self.add(x, self.self_attention_norm, lambda z: self.self_attention(z, cache.mask, cache))
        x = self.add(x, self.cross_attention_norm, to_memory)
        return self.add(x, self.ffn_norm, lambda z: self.fc2(F.relu(self.fc1(z))))


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
            EncoderBlock(enc, qkv, layer, pre, dropout.rate, rates) for layer in architecture.encoder.layers
        )
        rates = Dropout(dropout.rate * dec / config.decoder_super_dim, dropout.attention)
        self.drop_target = FastDropout(rates.rate)
        self.decoder = nn.ModuleList(
            DecoderBlock(dec, enc, qkv, layer, pre, rates) for layer in architecture.decoder.layers
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
            x = block(x, mask)
            layers.append(self.encoder_norm(x))
        return Encoded(layers, None if mask is None else real)

    def decode(self, target_in: Tensor, encoded: Encoded) -> Tensor:
        x = self.drop_target(self.embed_target(target_in))
        mask = causal_mask(target_in)
        for block in self.decoder:
            assert isinstance(block, DecoderBlock)
            x = block(x, mask, block.memory(encoded))
        return self.logits(x)

    def logits(self, x: Tensor) -> Tensor:
        """Output projection: (…, D) -> (…, V)."""
        return super().logits(self.decoder_norm(x))

    def start(self, source: Tensor) -> DecoderState[Memory, Cache]:
        encoded = self.encode(source)
        memories = [block.memory(encoded) for block in self.decoder if isinstance(block, DecoderBlock)]
        return DecoderState(memories, [Cache() for _ in memories])

    def step(self, tokens: Tensor, state: DecoderState[Memory, Cache]) -> Tensor:
        x = self.embed_next(tokens, state.length)
        for block, cache, memory in zip(self.decoder, state.caches, state.memories, strict=True):
            assert isinstance(block, DecoderBlock)
            x = block.step(x, cache, memory)
        state.length += 1
        return self.logits(x[:, 0])
