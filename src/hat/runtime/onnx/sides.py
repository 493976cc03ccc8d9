"""The parts of all families' ONNX graphs: both sides' embeddings, attentions, and the best words.

Tokens of a batch lie in one axis except within attention, the scale of attention scores is in the
query's weights, and a decoder step starts by following each hypothesis to its parent's keys and values.
"""

from math import log, pi

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from hat.architecture import ModelConfig
from hat.runtime.artefact import Artefact
from hat.runtime.onnx.builder import GraphBuilder
from hat.runtime.onnx.interface import NEGATIVE_BIAS, POSITION, first_keys, present
from hat.tokens import PAD

TOP_GROUP = 64  # words; measured the same from 32 to 128


class Side(GraphBuilder):
    """The parts that the graphs of encoder and decoder share."""

    def __init__(self, artefact: Artefact) -> None:
        super().__init__(artefact)
        self.config: ModelConfig = artefact.config.model

    def query_factors(self, projections: int, qkv_dim: int, heads: int) -> NDArray[np.float32]:
        """1/√d for the outputs of the first of a layer's projections, the queries; 1 for the others."""
        factors = np.ones(projections * qkv_dim, np.float32)
        factors[:qkv_dim] = (qkv_dim // heads) ** -0.5
        return factors

    def attend(self, q: str, k: str, v: str, bias: str | None) -> str:
        """q (…, T, d), k (…, d, S), v (…, S, d), bias (…, S) → (…, T, d)."""
        scores = self.op("MatMul", q, k)
        if bias is not None:
            scores = self.op("Add", scores, bias)
        return self.op("MatMul", self.op("Softmax", scores, axis=-1), v)

    def positions(self, numbers: str, dim: int, super_dim: int) -> str:
        """Rows (…, dim) of the position table for numbers (…, 1) or (1); computed in float64 like the other
        engines' table, but without a last row."""
        frequencies, phases = _sinusoids(dim, super_dim)
        numbers = self.op("Cast", numbers, to=TensorProto.DOUBLE)
        angles = self.op("Mul", numbers, self.constant("freq", frequencies))
        waves = self.op("Sin", self.op("Add", angles, self.constant("phase", phases)))
        return self.op("Cast", waves, to=TensorProto.FLOAT)

    def rows(self, tokens: str, role: str, dim: int) -> str:
        """The embeddings of `tokens` (N) times √dim: (N, dim)."""
        root, rank = dim**0.5, self.config.embedding_rank
        if rank is None:
            return self.lookup(tokens, self.embedding(role), dim, root)
        rows = self.lookup(tokens, self.embedding(role), rank, 1.0)
        return self.linear(rows, f"{role}_factor", np.full(dim, root, np.float32))

    def embedding(self, role: str) -> str:
        """Name of the embeddings of `role`: "source", "target" or "output"."""
        return "embedding" if self.config.embeddings == "shared" else f"{role}_embedding"


class EncoderSide(Side):
    """The encoder up to its first layer, its attention, and keys and values for the decoder."""

    def embedded(self) -> str:
        """Embeddings with positions (N, D) of the N = B × S tokens; `source_bias` is an output."""
        dim = self.config.architecture.encoder_dim
        self._size = self.op("Shape", "source")
        real = self.op("Not", self.op("Equal", "source", self.integers(PAD)))
        self.real = self.op("Cast", real, to=TensorProto.INT64)
        self._bias = self._source_bias(self.real)
        tokens = self.op("Reshape", "source", self.integers(-1))
        x = self.rows(tokens, "source", dim)
        return self.op("Add", x, self._positions(self.real, dim))

    def _source_bias(self, real: str) -> str:
        padding = self.op("Sub", self.integers(1), real)
        factor = self.constant("negative_bias", np.float32(NEGATIVE_BIAS))
        bias = self.op("Mul", self.op("Cast", padding, to=TensorProto.FLOAT), factor)
        return self.op("Unsqueeze", bias, self.integers(1, 2), name="source_bias")

    def _positions(self, real: str, dim: int) -> str:
        """Real tokens count from PAD + 1, whichever side the padding is on."""
        counts = self.op("CumSum", real, self.constant("axis", np.int64(1)))
        numbers = self.op("Add", self.op("Mul", counts, real), self.integers(PAD))
        column = self.op("Reshape", numbers, self.integers(-1, 1))
        return self.positions(column, dim, self.config.encoder_super_dim)

    def shape(self, *last: int) -> str:
        """The shape (B, S, *last)."""
        return self.op("Concat", self._size, self.integers(*last), axis=0)

    def self_attention(self, x: str, name: str, heads: int) -> str:
        """Attention of x (N, D) to its sentence: (N, D)."""
        width = self.width(f"{name}.qkv")
        qkv = self.linear(x, f"{name}.qkv", self.query_factors(3, width, heads))
        in_heads = self.op("Reshape", qkv, self.shape(3 * heads, width // heads))
        split = self.op("Transpose", in_heads, perm=[0, 2, 1, 3])
        names = [f"{name}.{part}" for part in ("queries", "keys", "values")]
        q, k, v = self.ops("Split", split, self.integers(heads, heads, heads), names=names, axis=1)
        y = self.attend(q, self.op("Transpose", k, perm=[0, 1, 3, 2]), v, self._bias)
        y = self.op("Reshape", self.op("Transpose", y, perm=[0, 2, 1, 3]), self.integers(-1, width))
        return self.linear(y, f"{name}.out", inner=True)

    def memory(self, encoded: str, name: str, heads: int, outputs: tuple[str, str]) -> None:
        """Keys and values of the attention `name` to the encoder's states (N, D), as graph outputs."""
        width = self.width(f"{name}.kv")
        [kv] = self.spoiled(self.linear(encoded, f"{name}.kv", inner=True))
        sentences = self.op("Slice", self._size, self.integers(0), self.integers(1))
        shape = self.op("Concat", sentences, self.integers(-1, 2 * heads, width // heads), axis=0)
        split = self.op("Transpose", self.op("Reshape", kv, shape), perm=[0, 2, 1, 3])
        keys, values = outputs
        names = [f"{name}.keys", values]
        k, _ = self.ops("Split", split, self.integers(heads, heads), names=names, axis=1)
        self.op("Transpose", k, perm=[0, 1, 3, 2], name=keys)


class DecoderSide(Side):
    """The decoder's step up to its first layer, its attentions, and the best words after the last."""

    def embedded(self) -> str:
        """Embeddings with positions (R, D) of the last tokens."""
        dim = self.config.architecture.decoder_dim
        keys = first_keys(self.config)
        done = POSITION if keys is None else self.op("Shape", keys, start=2, end=3)
        number = self.op("Add", done, self.integers(PAD + 1))
        self._sentences = self.op("Shape", "source_bias", start=0, end=1)
        x = self.rows("tokens", "target", dim)
        return self.op("Add", x, self.positions(number, dim, self.config.decoder_super_dim))

    def followed(self, cache: str, new: str, axis: int) -> str:
        """The cached positions of each hypothesis's parent, and a new one."""
        return self.op("Concat", self.op("Gather", cache, "parents"), new, axis=axis, name=present(cache))

    def self_attention(self, x: str, name: str, heads: int, caches: tuple[str, str]) -> str:
        """Attention of x (R, D) to the positions before it and itself: (R, D)."""
        width = self.width(f"{name}.qkv")
        qkv = self.linear(x, f"{name}.qkv", self.query_factors(3, width, heads))
        split = self.op("Reshape", qkv, self.integers(-1, 3 * heads, 1, width // heads))
        names = [f"{name}.{part}" for part in ("query", "key", "value")]
        q, k, v = self.ops("Split", split, self.integers(heads, heads, heads), names=names, axis=1)
        keys, values = (self.followed(cache, new, 2) for cache, new in zip(caches, (k, v), strict=True))
        y = self.attend(q, self.op("Transpose", keys, perm=[0, 1, 3, 2]), values, None)
        return self.linear(self.op("Reshape", y, self.integers(-1, width)), f"{name}.out", inner=True)

    def cross_attention(self, x: str, name: str, heads: int, memory: tuple[str, str], attended: int) -> str:
        """Attention of x (R, D) to the last `attended` encoder layers: (R, D). The K hypotheses of a
        sentence are K queries to the same keys: nothing is copied per beam."""
        width = self.width(f"{name}.q")
        q = self.linear(x, f"{name}.q", self.query_factors(1, width, heads))
        shape = self.op("Concat", self._sentences, self.integers(-1, heads, width // heads), axis=0)
        q = self.op("Transpose", self.op("Reshape", q, shape), perm=[0, 2, 1, 3])
        bias = "source_bias"
        if attended > 1:
            bias = self.op("Concat", *[bias] * attended, axis=3)
        y = self.attend(q, *memory, bias)
        y = self.op("Reshape", self.op("Transpose", y, perm=[0, 2, 1, 3]), self.integers(-1, width))
        return self.linear(y, f"{name}.out", inner=True)

    def best(self, x: str) -> None:
        """The best words after x (R, D), as graph outputs.

        LogSoftmax and not ReduceLogSumExp, which onnxruntime computes ten times slower."""
        rank = self.config.embedding_rank
        if rank:
            x = self.linear(x, "output_factor", inner=True)
        logits = self.project(x, self.embedding("output"), rank or self.config.architecture.decoder_dim)
        log_probs = self.op("LogSoftmax", logits, axis=-1)
        wanted = self.op("GatherElements", log_probs, "wanted", axis=1)
        if self.config.target_vocab % TOP_GROUP:
            best, _ = self.ops("TopK", log_probs, "candidates", names=["best", "words"])
        else:
            best = self._best_of_groups(log_probs)
        for value, name in zip(self.spoiled(best, wanted), ("log_probs", "wanted_log_probs"), strict=True):
            self.op("Identity", value, name=name)

    def _best_of_groups(self, log_probs: str) -> str:
        """The C best of all words lie in the C groups with the best maxima; onnxruntime finds them in
        half the time of a TopK over the whole vocabulary. Group g has the words g, g + G, g + 2G, …"""
        groups = self.config.target_vocab // TOP_GROUP
        members = self.op("Reshape", log_probs, self.integers(0, TOP_GROUP, groups))
        maxima = self.op("ReduceMax", members, axes=[1], keepdims=0)
        count = self.op("Min", "candidates", self.integers(groups))
        _, chosen = self.ops("TopK", maxima, count, names=["group_maxima", "groups"])
        firsts = self.constant("group_steps", groups * np.arange(TOP_GROUP)[:, None])
        entries = self.op("Add", self.op("Unsqueeze", chosen, self.integers(1)), firsts)
        entries = self.op("Reshape", entries, self.integers(0, -1))
        values = self.op("GatherElements", log_probs, entries, axis=1)
        best, places = self.ops("TopK", values, "candidates", names=["best", "places"])
        self.op("GatherElements", entries, places, axis=1, name="words")
        return best


def _sinusoids(dim: int, super_dim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequency and phase of each column: sines, then cosines, then a zero column where the
    SuperTransformer's width is odd; the first `dim` of them."""
    half = super_dim // 2
    frequencies = np.exp(np.arange(half) * (-log(10000) / max(half - 1, 1)))
    columns = np.concatenate((frequencies, frequencies, np.zeros(super_dim % 2)))
    phases = np.concatenate((np.zeros(half), np.full(half, pi / 2), np.zeros(super_dim % 2)))
    return columns[:dim], phases[:dim]
