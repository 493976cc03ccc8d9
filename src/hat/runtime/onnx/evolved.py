"""The Evolved Transformer as two ONNX graphs: the same equations as in `hat.model.evolved`."""

import numpy as np
from onnx import ModelProto, TensorProto

from hat.architecture import EvolvedArchitecture
from hat.architecture.evolved import LONG, MERGE, NEAR, SHORT
from hat.runtime.onnx.interface import decoder_ports, encoder_ports, present
from hat.runtime.onnx.sides import DecoderSide, EncoderSide, Side

TO_THE_END = np.iinfo(np.int64).max


class _Evolved(Side):
    """The parts of both sides. Depthwise weights, of few bytes and no product of matrices, stay float32."""

    @property
    def architecture(self) -> EvolvedArchitecture:
        architecture = self.config.architecture
        assert isinstance(architecture, EvolvedArchitecture)
        return architecture

    def residual(self, x: str, *parts: str) -> str:
        for part in parts:
            x = self.op("Add", x, part)
        return x

    def add_to_first(self, wide: str, narrow: str, missing: int) -> str:
        """`narrow` added to all but the last `missing` columns of `wide`."""
        return self.op("Add", wide, self.widened(narrow, missing))

    def widened(self, x: str, missing: int) -> str:
        """x (N, C) with `missing` more columns of zeros."""
        return self.op("Pad", x, self.integers(0, 0, 0, missing))


class EncoderGraph(_Evolved, EncoderSide):
    """The encoder, with the keys and values of every attention to it."""

    def build(self) -> ModelProto:
        architecture = self.architecture
        x = self.embedded()
        real = self.op("Cast", self.op("Reshape", self.real, self.integers(-1, 1)), to=TensorProto.FLOAT)
        for index in range(architecture.encoder_cells):
            x = self._cell(x, f"encoder.{index}", real)
        [x] = self.spoiled(x)
        encoded = self.layer_norm(x, "encoder_norm")
        for index in range(architecture.decoder_cells):
            for kind, attention in (("first", "first_cross_attention"), ("cross", "cross_attention")):
                outputs = f"{kind}_keys.{index}", f"{kind}_values.{index}"
                self.memory(encoded, f"decoder.{index}.{attention}", architecture.heads, outputs)
        return self.model("encoder", encoder_ports(self.config))

    def _cell(self, x: str, name: str, real: str) -> str:
        d = self.architecture.embed_dim
        gated = self.linear(self.layer_norm(x, f"{name}.gated_norm"), f"{name}.gated")
        names = [f"{name}.values", f"{name}.gates"]
        values, gates = self.ops("Split", gated, self.integers(d, d), names=names, axis=1)
        x = self.residual(x, self.op("Mul", values, self.op("Sigmoid", gates)))
        x = self.residual(x, self._branches(x, name, real))
        n = self.layer_norm(x, f"{name}.self_attention_norm")
        x = self.residual(x, self.self_attention(n, f"{name}.self_attention", self.architecture.heads))
        hidden = self.op("Relu", self.linear(self.layer_norm(x, f"{name}.ffn_norm"), f"{name}.fc1"))
        return self.residual(x, self.linear(hidden, f"{name}.fc2", inner=True))

    def _branches(self, x: str, name: str, real: str) -> str:
        d = self.architecture.embed_dim
        n = self.op("Mul", self.layer_norm(x, f"{name}.branch_norm"), real)
        wide = self.op("Relu", self.linear(n, f"{name}.wide"))
        around = self.op("Concat", *self._shifted(n, d, NEAR), axis=2)
        around = self.op("Reshape", around, self.integers(-1, NEAR * d))
        near = self.op("Relu", self.linear(around, f"{name}.near"))
        n = self.add_to_first(wide, near, 4 * d - d // 2)
        n = self.op("Mul", self.layer_norm(n, f"{name}.merge_norm"), real)
        n = self._depthwise(n, f"{name}.merge", 4 * d)
        return self.widened(self.linear(n, f"{name}.merge.pointwise", inner=True), d - d // 2)

    def _shifted(self, x: str, dim: int, positions: int) -> list[str]:
        """x (N, dim) at each of `positions` around every position, zeros beyond: (B, S, dim) each."""
        half = positions // 2
        in_time = self.op("Reshape", x, self.shape(dim))
        padded = self.op("Pad", in_time, self.integers(0, half, 0, 0, half, 0))
        ends = [start - positions + 1 if start < positions - 1 else TO_THE_END for start in range(positions)]
        return [
            self.op("Slice", padded, self.integers(start), self.integers(end), self.integers(1))
            for start, end in enumerate(ends)
        ]

    def _depthwise(self, x: str, name: str, dim: int) -> str:
        """One product a position: onnxruntime's Conv with as many groups as channels takes twice as long."""
        weights = self.floats(f"{name}.depthwise.weight")
        total = ""
        for position, shifted in enumerate(self._shifted(x, dim, MERGE)):
            taps = self.constant(f"{name}.depthwise.{position}", weights[:, position].copy())
            product = self.op("Mul", shifted, taps)
            total = self.op("Add", total, product) if total else product
        return self.op("Reshape", total, self.integers(-1, dim))


class DecoderGraph(_Evolved, DecoderSide):
    """One step of the decoder, for all hypotheses of all sentences."""

    def build(self) -> ModelProto:
        x = self.embedded()
        for index in range(self.architecture.decoder_cells):
            x = self._cell(x, index)
        self.best(self.layer_norm(x, "decoder_norm"))
        return self.model("decoder", decoder_ports(self.config))

    def _cell(self, x: str, index: int) -> str:
        name, heads = f"decoder.{index}", self.architecture.heads
        n = self.layer_norm(x, f"{name}.attention_norm")
        many = f"many_keys.{index}", f"many_values.{index}"
        first = f"first_keys.{index}", f"first_values.{index}"
        x = self.residual(
            x,
            self.self_attention(n, f"{name}.many_headed_attention", self.architecture.many_heads, many),
            self.cross_attention(n, f"{name}.first_cross_attention", heads, first, 1),
        )
        x = self.residual(x, self._branches(x, index))
        n = self.layer_norm(x, f"{name}.self_attention_norm")
        caches = f"self_keys.{index}", f"self_values.{index}"
        x = self.residual(x, self.self_attention(n, f"{name}.self_attention", heads, caches))
        n = self.layer_norm(x, f"{name}.cross_attention_norm")
        memory = f"cross_keys.{index}", f"cross_values.{index}"
        x = self.residual(x, self.cross_attention(n, f"{name}.cross_attention", heads, memory, 1))
        hidden = self.linear(self.layer_norm(x, f"{name}.ffn_norm"), f"{name}.fc1")
        hidden = self.op("Mul", hidden, self.op("Sigmoid", hidden))
        hidden = self.layer_norm(hidden, f"{name}.hidden_norm")
        return self.residual(x, self.linear(hidden, f"{name}.fc2", inner=True))

    def _branches(self, x: str, index: int) -> str:
        name, d = f"decoder.{index}", self.architecture.embed_dim
        seen = self._window(self.layer_norm(x, f"{name}.branch_norm"), f"branch_window.{index}")
        long = self.op("Relu", self._separable(seen, f"{name}.long"))
        last = self.op("Slice", seen, self.integers(LONG - SHORT), self.integers(LONG), self.integers(1))
        n = self.add_to_first(long, self._separable(last, f"{name}.short"), 2 * d - d // 2)
        seen = self._window(self.layer_norm(n, f"{name}.merge_norm"), f"merge_window.{index}")
        return self._separable(seen, f"{name}.merge")

    def _window(self, x: str, cache: str) -> str:
        """x (R, C) after the positions before it (R, size + 1, C); all but the first are an output."""
        before = self.op("Gather", cache, "parents")
        seen = self.op("Concat", before, self.op("Unsqueeze", x, self.integers(1)), axis=1)
        end = self.integers(TO_THE_END)
        self.op("Slice", seen, self.integers(1), end, self.integers(1), name=present(cache))
        return seen

    def _separable(self, seen: str, name: str) -> str:
        """A separable convolution of (R, positions, C) at its last position: (R, O)."""
        weights = self.floats(f"{name}.depthwise.weight")
        taps = self.constant(f"{name}.depthwise", np.ascontiguousarray(weights.T))
        y = self.op("ReduceSum", self.op("Mul", seen, taps), self.integers(1), keepdims=0)
        return self.linear(y, f"{name}.pointwise", inner=True)
