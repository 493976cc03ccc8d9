"""The network as two ONNX graphs, with the inputs and outputs that `onnx_interface` lists.

The same equations as in `hat.model.transformer`, in few nodes: the scale of attention scores is in
the query's weights, tokens of a batch lie in one axis except within attention, and a decoder step
starts by following each hypothesis to its parent's keys and values.
"""

from math import log, pi

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from hat.architecture import DecoderLayer, ModelConfig
from hat.runtime.artefact import Artefact
from hat.runtime.onnx_builder import GraphBuilder
from hat.runtime.onnx_interface import NEGATIVE_BIAS, decoder_ports, encoder_ports
from hat.runtime.tokenizer import PAD

TOP_BLOCK = 64  # words; measured the same from 32 to 128


def encoder_model(artefact: Artefact) -> ModelProto:
    """The encoder, with the keys and values of every cross-attention."""
    return _Encoder(artefact).build()


def decoder_model(artefact: Artefact) -> ModelProto:
    """One step of the decoder, for all hypotheses of all sentences."""
    return _Decoder(artefact).build()


class _Side(GraphBuilder):
    """What encoder and decoder share."""

    def __init__(self, artefact: Artefact) -> None:
        super().__init__(artefact)
        self.config: ModelConfig = artefact.config.model
        self.qkv = self.config.transformer.qkv_dim

    def query_factors(self, outputs: int, heads: int) -> NDArray[np.float32]:
        """1/√d for the first qkv_dim outputs of a projection, the queries; 1 for the others."""
        factors = np.ones(outputs, np.float32)
        factors[: self.qkv] = (self.qkv // heads) ** -0.5
        return factors

    def attend(self, q: str, k: str, v: str, bias: str | None) -> str:
        """q (…, T, d), k (…, d, S), v (…, S, d), bias (…, S) → (…, T, d)."""
        scores = self.op("MatMul", q, k)
        if bias is not None:
            scores = self.op("Add", scores, bias)
        return self.op("MatMul", self.op("Softmax", scores, axis=-1), v)

    def feed_forward(self, x: str, name: str) -> str:
        y = self.linear(self.op("Relu", self.linear(x, f"{name}.fc1")), f"{name}.fc2")
        return self.layer_norm(self.op("Add", x, y), f"{name}.ffn_norm")

    def positions(self, numbers: str, dim: int, super_dim: int) -> str:
        """Rows (…, dim) of the position table for numbers (…, 1) or (1); computed in float64, as the
        table of the other engines is, and without its end."""
        frequencies, phases = _sinusoids(dim, super_dim)
        angles = self.op(
            "Mul", self.op("Cast", numbers, to=TensorProto.DOUBLE), self.constant("freq", frequencies)
        )
        waves = self.op("Sin", self.op("Add", angles, self.constant("phase", phases)))
        return self.op("Cast", waves, to=TensorProto.FLOAT)

    def embedding(self, role: str) -> str:
        return "embedding" if self.config.embeddings == "shared" else f"{role}_embedding"


class _Encoder(_Side):
    def build(self) -> ModelProto:
        dim = self.config.transformer.encoder.embed_dim
        self.size = self.op("Shape", "source")
        real = self.op(
            "Cast", self.op("Not", self.op("Equal", "source", self.integers(PAD))), to=TensorProto.INT64
        )
        bias = self._source_bias(real)
        tokens = self.op("Reshape", "source", self.integers(-1))
        x = self.op("Add", self.lookup(tokens, self.embedding("source"), dim), self._positions(real, dim))
        layers = []
        for index, layer in enumerate(self.config.transformer.encoder.layers):
            x = self._block(x, f"encoder.{index}", layer.heads, bias)
            layers.append(x)
        for index, decoder_layer in enumerate(self.config.transformer.decoder.layers):
            self._memory(layers, index, decoder_layer)
        return self.model("encoder", encoder_ports(self.config))

    def _source_bias(self, real: str) -> str:
        padding = self.op("Sub", self.integers(1), real)
        factor = self.constant("negative_bias", np.float32(NEGATIVE_BIAS))
        bias = self.op("Mul", self.op("Cast", padding, to=TensorProto.FLOAT), factor)
        return self.op("Unsqueeze", bias, self.integers(1, 2), name="source_bias")

    def _positions(self, real: str, dim: int) -> str:
        """Real tokens count from PAD + 1, whichever side the padding is on."""
        counts = self.op("CumSum", real, self.constant("axis", np.int64(1)))
        numbers = self.op("Add", self.op("Mul", counts, real), self.integers(PAD))
        return self.positions(
            self.op("Reshape", numbers, self.integers(-1, 1)), dim, self.config.encoder_super_dim
        )

    def _shape(self, *last: int) -> str:
        """The shape (B, S, *last)."""
        return self.op("Concat", self.size, self.integers(*last), axis=0)

    def _block(self, x: str, name: str, heads: int, bias: str) -> str:
        width = self.qkv // heads
        qkv = self.linear(x, f"{name}.self_attention.qkv", self.query_factors(3 * self.qkv, heads))
        split = self.op(
            "Transpose", self.op("Reshape", qkv, self._shape(3 * heads, width)), perm=[0, 2, 1, 3]
        )
        names = [f"{name}.{part}" for part in "qkv"]
        q, k, v = self.ops("Split", split, self.integers(heads, heads, heads), names=names, axis=1)
        y = self.attend(q, self.op("Transpose", k, perm=[0, 1, 3, 2]), v, bias)
        y = self.op("Reshape", self.op("Transpose", y, perm=[0, 2, 1, 3]), self.integers(-1, self.qkv))
        y = self.linear(y, f"{name}.self_attention.out")
        return self.feed_forward(self.layer_norm(self.op("Add", x, y), f"{name}.self_attention_norm"), name)

    def _memory(self, layers: list[str], index: int, layer: DecoderLayer) -> None:
        dim, heads, width = (
            self.config.transformer.encoder.embed_dim,
            layer.cross_heads,
            self.qkv // layer.cross_heads,
        )
        attended = layers[: -layer.encoder_layers_attended - 1 : -1]  # last, second last, …
        encoded = attended[0]
        if len(attended) > 1:
            in_time = self.op("Concat", *(self.op("Reshape", x, self._shape(dim)) for x in attended), axis=1)
            encoded = self.op("Reshape", in_time, self.integers(-1, dim))
        kv = self.linear(encoded, f"decoder.{index}.cross_attention.kv")
        sentences = self.op("Slice", self.size, self.integers(0), self.integers(1))
        shape = self.op("Concat", sentences, self.integers(-1, 2 * heads, width), axis=0)
        split = self.op("Transpose", self.op("Reshape", kv, shape), perm=[0, 2, 1, 3])
        names = [f"memory.{index}.k", f"cross_values.{index}"]
        keys, _ = self.ops("Split", split, self.integers(heads, heads), names=names, axis=1)
        self.op("Transpose", keys, perm=[0, 1, 3, 2], name=f"cross_keys.{index}")


class _Decoder(_Side):
    def build(self) -> ModelProto:
        dim = self.config.transformer.decoder.embed_dim
        done = self.op("Shape", "self_keys.0", start=2, end=3)
        number = self.op("Add", done, self.integers(PAD + 1))
        self.sentences = self.op("Shape", "source_bias", start=0, end=1)
        x = self.lookup("tokens", self.embedding("target"), dim)
        x = self.op("Add", x, self.positions(number, dim, self.config.decoder_super_dim))
        for index, layer in enumerate(self.config.transformer.decoder.layers):
            name = f"decoder.{index}"
            x = self._self_attention(x, index, layer.self_heads)
            x = self._cross_attention(x, index, layer)
            x = self.feed_forward(x, name)
        self._best(self.project(x, self.embedding("output"), dim))
        return self.model("decoder", decoder_ports(self.config))

    def _self_attention(self, x: str, index: int, heads: int) -> str:
        name = f"decoder.{index}"
        qkv = self.linear(x, f"{name}.self_attention.qkv", self.query_factors(3 * self.qkv, heads))
        split = self.op("Reshape", qkv, self.integers(-1, 3 * heads, 1, self.qkv // heads))
        names = [f"{name}.{part}" for part in "qkv"]
        q, k, v = self.ops("Split", split, self.integers(heads, heads, heads), names=names, axis=1)
        keys, values = (
            self.op(
                "Concat",
                self.op("Gather", f"self_{part}.{index}", "parents"),
                new,
                name=f"present_{part}.{index}",
                axis=2,
            )
            for part, new in (("keys", k), ("values", v))
        )
        y = self.attend(q, self.op("Transpose", keys, perm=[0, 1, 3, 2]), values, None)
        y = self.linear(self.op("Reshape", y, self.integers(-1, self.qkv)), f"{name}.self_attention.out")
        return self.layer_norm(self.op("Add", x, y), f"{name}.self_attention_norm")

    def _cross_attention(self, x: str, index: int, layer: DecoderLayer) -> str:
        """The K hypotheses of a sentence are K queries to the same keys: nothing is copied per beam."""
        name, heads = f"decoder.{index}", layer.cross_heads
        q = self.linear(x, f"{name}.cross_attention.q", self.query_factors(self.qkv, heads))
        shape = self.op("Concat", self.sentences, self.integers(-1, heads, self.qkv // heads), axis=0)
        q = self.op("Transpose", self.op("Reshape", q, shape), perm=[0, 2, 1, 3])
        bias, attended = "source_bias", layer.encoder_layers_attended
        if attended > 1:
            bias = self.op("Concat", *[bias] * attended, axis=3)
        y = self.attend(q, f"cross_keys.{index}", f"cross_values.{index}", bias)
        y = self.op("Reshape", self.op("Transpose", y, perm=[0, 2, 1, 3]), self.integers(-1, self.qkv))
        y = self.linear(y, f"{name}.cross_attention.out")
        return self.layer_norm(self.op("Add", x, y), f"{name}.cross_attention_norm")

    def _best(self, logits: str) -> None:
        """LogSoftmax and not ReduceLogSumExp, which onnxruntime computes ten times slower."""
        log_probs = self.op("LogSoftmax", logits, axis=-1)
        self.op("GatherElements", log_probs, "wanted", name="wanted_log_probs", axis=1)
        if self.config.target_vocab % TOP_BLOCK:
            self.ops("TopK", log_probs, "candidates", names=["log_probs", "words"])
        else:
            self._best_of_blocks(log_probs)

    def _best_of_blocks(self, log_probs: str) -> None:
        """The C best of all words lie in the C blocks with the best maxima; onnxruntime finds them in
        half the time of a TopK over the whole vocabulary."""
        blocks = self.op("Reshape", log_probs, self.integers(0, -1, TOP_BLOCK))
        count = self.op("Min", "candidates", self.integers(self.config.target_vocab // TOP_BLOCK))
        maxima = self.op("ReduceMax", blocks, axes=[2], keepdims=0)
        _, chosen = self.ops("TopK", maxima, count, names=["block_maxima", "blocks"])
        entries = self.op("GatherND", blocks, self.op("Unsqueeze", chosen, self.integers(2)), batch_dims=1)
        entries = self.op("Reshape", entries, self.integers(0, -1))
        _, places = self.ops("TopK", entries, "candidates", names=["log_probs", "places"])
        size = self.integers(TOP_BLOCK)
        block = self.op("GatherElements", chosen, self.op("Div", places, size), axis=1)
        self.op("Add", self.op("Mul", block, size), self.op("Mod", places, size), name="words")


def _sinusoids(dim: int, super_dim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequency and phase of each column: sines, then cosines, then a zero column where the
    SuperTransformer's width is odd; the first `dim` of them."""
    half = super_dim // 2
    frequencies = np.exp(np.arange(half) * (-log(10000) / max(half - 1, 1)))
    columns = np.concatenate((frequencies, frequencies, np.zeros(super_dim % 2)))
    phases = np.concatenate((np.zeros(half), np.full(half, pi / 2), np.zeros(super_dim % 2)))
    return columns[:dim], phases[:dim]
