"""The network: one definition, for SubTransformers trained alone, run on lent weights, or exported.

Post-norm encoder–decoder (Vaswani et al. 2017) with the freedoms of HAT (section 3.1): every layer
has its own sizes, and a decoder layer attends to the last n encoder layers, laid end to end in time.
Axes: B batch, S source length, T target length, K beam, D embedding, Q qkv_dim, H heads, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hat.architecture import DecoderLayer, EncoderLayer, ModelConfig
from hat.model.layers import NO_DROPOUT, CrossAttention, Dropout, FastDropout, SelfAttention
from hat.model.state import Cache, DecoderState, Encoded, Memory
from hat.model.translation_model import PAD, TranslationModel, causal_mask


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

    def memory(self, encoded: Encoded) -> Memory:
        """Keys, values and mask of the encoder layers this layer attends to: last, second last, …"""
        outputs = torch.cat(encoded.layers[: -self.attended - 1 : -1], dim=1)
        mask = None if encoded.real is None else encoded.real.repeat(1, self.attended)[:, None, None, :]
        return Memory(*self.cross_attention.memory(outputs), mask)

    def forward(self, x: Tensor, self_mask: Tensor, memory: Memory) -> Tensor:
        x = self.self_attention_norm(x + self.drop(self.self_attention(x, self_mask)))
        x = self.cross_attention_norm(
            x + self.drop(self.cross_attention(x, (memory.keys, memory.values), memory.mask))
        )
        return self.ffn_norm(x + self.drop(self.fc2(F.relu(self.fc1(x)))))  # type: ignore[no-any-return]

    def step(self, x: Tensor, cache: Cache, memory: Memory) -> Tensor:
        """One position of B·K hypotheses, x (B·K, 1, D). In cross-attention a sentence's K hypotheses
        are K queries to the same keys, so that nothing is copied per beam."""
        x = self.self_attention_norm(x + self.self_attention(x, cache.mask, cache))
        beams = x.view(memory.keys.shape[0], -1, x.shape[-1])  # (B, K, D)
        beams = self.cross_attention(beams, (memory.keys, memory.values), memory.mask)
        x = self.cross_attention_norm(x + beams.view_as(x))
        return self.ffn_norm(x + self.fc2(F.relu(self.fc1(x))))  # type: ignore[no-any-return]


class Transformer(TranslationModel):
    """The network of one architecture. Weight names and shapes: `hat.architecture.weight_shapes`."""

    def __init__(self, config: ModelConfig, dropout: Dropout = NO_DROPOUT) -> None:
        super().__init__(config)
        architecture = config.transformer
        enc, dec, qkv = architecture.encoder_dim, architecture.decoder_dim, architecture.qkv_dim
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

    def encode(self, source: Tensor) -> Encoded:
        real = source.ne(PAD)
        mask = None if bool(real.all()) else real[:, None, None, :]
        x = self.drop_source(self.embed_source(source))
        layers = []
        for block in self.encoder:
            x = block(x, mask)
            layers.append(x)
        return Encoded(layers, None if mask is None else real)

    def decode(self, target_in: Tensor, encoded: Encoded) -> Tensor:
        x = self.drop_target(self.embed_target(target_in))
        mask = causal_mask(target_in)
        for block in self.decoder:
            assert isinstance(block, DecoderBlock)
            x = block(x, mask, block.memory(encoded))
        return self.logits(x)

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
