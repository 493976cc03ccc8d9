"""The base of all networks: embeddings with positions, the ways to run the decoder, the output projection,
initial weights. Axes: B batch, S source length, T target length, K beam, D embedding, V vocabulary."""

from functools import lru_cache, partial
from math import log, sqrt
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hat.architecture import ModelConfig
from hat.model.recomputation import run_layer
from hat.model.state import DecoderState, Encoded
from hat.tokens import PAD


class DecoderModule(Protocol):
    """One layer of a family's decoder, for a whole target x (B, T, D) or, with the cache of the positions
    before, for one more position x (B·K, 1, D)."""

    def memory(self, encoded: Encoded) -> Any:
        """The layer's view of the source, a `LayerMemory`."""

    def cache(self) -> Any:
        """The empty `LayerCache` of this layer."""

    def __call__(self, x: Tensor, memory: Any, mask: Tensor | None, *cache: Any) -> Tensor:
        """The layer's output, of the shape of x; `mask` of its self-attention: None lets x see all."""


class RoundedEmbedding(nn.Parameter):
    """The columns of a shared embedding matrix that the output projection needs, in bf16. Tokens are looked
    up in `exact`, the whole matrix in float32."""

    exact: Tensor


class TranslationModel(nn.Module):
    """An encoder and a decoder between their embeddings.

    A family sets `decoder`, a list of `DecoderModule`s, with the dropout before and the norm after it, and
    defines `encode`. Weight names and shapes: `hat.architecture.weight_shapes`.
    """

    decoder: nn.ModuleList
    drop_target: nn.Module
    decoder_norm: nn.Module

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        enc, dec, rank = (
            config.architecture.encoder_dim,
            config.architecture.decoder_dim,
            config.embedding_rank,
        )
        if config.embeddings == "shared":
            self.embedding = nn.Parameter(torch.empty(config.source_vocab, rank or max(enc, dec)))
        else:
            self.source_embedding = nn.Parameter(torch.empty(config.source_vocab, rank or enc))
            self.target_embedding = nn.Parameter(torch.empty(config.target_vocab, rank or dec))
            self.output_embedding = nn.Parameter(torch.empty(config.target_vocab, rank or dec))
        self.source_factor = nn.Linear(rank, enc, bias=False) if rank else nn.Identity()
        self.target_factor = nn.Linear(rank, dec, bias=False) if rank else nn.Identity()
        self.output_factor = nn.Linear(dec, rank, bias=False) if rank else nn.Identity()

    def forward(self, source: Tensor, target_in: Tensor) -> Tensor:
        """Logits (B, T, V) for source (B, S) and target_in (B, T), padded with 1 on either side."""
        return self.decode(target_in, self.encode(source))

    def encode(self, source: Tensor) -> Encoded:
        """Run the encoder over source (B, S)."""
        raise NotImplementedError

    def decode(self, target_in: Tensor, encoded: Encoded) -> Tensor:
        """Teacher-forced logits (B, T, V)."""
        x = self.drop_target(self.embed_target(target_in))
        mask = causal_mask(target_in)
        for layer in self.layers():
            x = run_layer(layer, partial(_run_layer, layer, encoded, mask), x)
        return self.logits(self.decoder_norm(x))

    def start(self, source: Tensor) -> DecoderState[Any, Any]:
        """Encode source (B, S) and get ready for `step`."""
        encoded = self.encode(source)
        layers = self.layers()
        return DecoderState([layer.memory(encoded) for layer in layers], [layer.cache() for layer in layers])

    def step(self, tokens: Tensor, state: DecoderState[Any, Any]) -> Tensor:
        """Logits (B·K, V) after one more token (B·K) of every hypothesis; `state` moves on."""
        x = self.embed_next(tokens, state.length)
        for layer, memory, cache in zip(self.layers(), state.memories, state.caches, strict=True):
            x = layer(x, memory, None, cache)
        state.length += 1
        return self.logits(self.decoder_norm(x)[:, 0])

    def layers(self) -> list[DecoderModule]:
        """The decoder's layers, from the target upwards."""
        return cast("list[DecoderModule]", list(self.decoder))

    def embed_source(self, source: Tensor) -> Tensor:
        """Source tokens (B, S) -> (B, S, D)."""
        width = self.config.architecture.encoder_dim
        return self._embed("source", source, width, self.config.encoder_super_dim)

    def embed_target(self, target_in: Tensor) -> Tensor:
        """Target tokens (B, T) -> (B, T, D)."""
        width = self.config.architecture.decoder_dim
        return self._embed("target", target_in, width, self.config.decoder_super_dim)

    def _embed(self, role: str, tokens: Tensor, width: int, super_dim: int) -> Tensor:
        # The gradient of a shared matrix is that of the output projection, to which a few rows are added.
        # On a GPU these would be waited for, since pads are not among them.
        sparse = self.config.embeddings == "shared" and tokens.device.type == "cpu"
        matrix, rank = self._matrix(role), self.config.embedding_rank
        if isinstance(matrix, RoundedEmbedding):
            matrix = matrix.exact
        rows = F.embedding(tokens, matrix, padding_idx=PAD, sparse=sparse)[..., : rank or width]
        factor = self.source_factor if role == "source" else self.target_factor
        table = sinusoids(tokens.shape[1] + 2, super_dim, matrix.dtype, matrix.device)[:, :width]
        return sqrt(width) * cast("Tensor", factor(rows)) + table[numbers(tokens)]

    def embed_next(self, tokens: Tensor, length: int) -> Tensor:
        """The tokens (N) that follow `length` others -> (N, 1, D)."""
        return self.embed_at(tokens, self.target_positions(length + 1)[length])

    def embed_at(self, tokens: Tensor, position: Tensor) -> Tensor:
        """The tokens (N) at one position of the target, a row of `target_positions` -> (N, 1, D)."""
        rows = self.target_factor(F.embedding(tokens[:, None], self.target_matrix()))
        return sqrt(self.config.architecture.decoder_dim) * cast("Tensor", rows) + position

    def target_positions(self, length: int) -> Tensor:
        """The rows of the position table for `length` target tokens or more: (length or more, D)."""
        matrix = self.target_matrix()
        table = sinusoids(length + PAD + 1, self.config.decoder_super_dim, matrix.dtype, matrix.device)
        return table[PAD + 1 :, : self.config.architecture.decoder_dim]

    def logits(self, x: Tensor) -> Tensor:
        """Output projection: (…, D) -> (…, V)."""
        x = self.output_factor(x)
        return F.linear(x, self._matrix("output")[:, : x.shape[-1]])

    def target_matrix(self) -> Tensor:
        """Embeddings of target tokens: (V, D), or (V, r) before the factor."""
        return self._matrix("target")[:, : self.config.embedding_rank or self.config.architecture.decoder_dim]

    def _matrix(self, role: str) -> Tensor:
        name = "embedding" if self.config.embeddings == "shared" else f"{role}_embedding"
        return getattr(self, name)  # type: ignore[no-any-return]

    def reset_parameters(self) -> None:
        """Initialise as published, q, k, v as one matrix (docs/reference.md, Initialisation)."""
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


def _run_layer(layer: DecoderModule, encoded: Encoded, mask: Tensor, x: Tensor) -> Tensor:
    """The output of a decoder layer for a whole target x (B, T, D)."""
    return layer(x, layer.memory(encoded), mask)


def numbers(tokens: Tensor) -> Tensor:
    """The rows of the position table for tokens (B, L): real tokens count from PAD + 1, whichever side the
    padding is on; a pad has the row PAD, which is zero."""
    real = tokens.ne(PAD).long()
    return real.cumsum(dim=1) * real + PAD


def sinusoids(rows: int, dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """At least `rows` rows of the position table, (rows, dim): dim/2 sines, then dim/2 cosines.

    Row PAD is zero. Built at the SuperTransformer's width; users slice it (docs/reference.md, Positions).
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


def causal_mask(target_in: Tensor) -> Tensor:
    """The mask of target self-attention, query × key: (T, T), or (B, 1, T, T) where padding comes first, in
    which a pad sees itself."""
    length = target_in.shape[1]
    square = torch.ones(length, length, dtype=torch.bool, device=target_in.device)
    real = target_in.ne(PAD)
    if bool(real[:, 0].all()):
        return square.tril()
    return (square.tril() & real[:, None, :] | square.triu().tril())[:, None]
