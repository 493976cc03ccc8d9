"""Building blocks of an ONNX graph: nodes, constants, and the products whose form depends on the precision.

float32 (and bfloat16, whose weights are expanded) uses standard operators only. int8 (and k-means, whose
weights are expanded to int8) uses DynamicQuantizeMatMul of onnxruntime's domain com.microsoft, which
quantizes its input (one scale for all rows) and multiplies in one kernel. Measured on one AVX-512 VNNI
thread, in turn: as fast as the kernel to which onnxruntime fuses DynamicQuantizeLinear and MatMulInteger; 1.5
to 2.5 times as fast as MatMulNBits for 30 rows and more; as fast as that at 5 rows, where the time is that of
reading the weights.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hat.architecture import weight_shapes
from hat.errors import UserError
from hat.runtime.artefact import Artefact
from hat.runtime.onnx.interface import Ports, onnx_precision
from hat.runtime.weights.int8_view import Int8View
from hat.runtime.weights.precision import SCALE, Array, Weights, is_kmeans, unpack
from hat.version import __version__

# A sum of this many terms of 255 · 127 still fits into 32 bits; onnxruntime's activations go from 0 to 255.
MOST_INT8_INPUTS = (2**31 - 1) // (255 * 127)
OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8  # that of opset 17; older runtimes refuse later ones
CONTRIB = "com.microsoft"
TYPES = {"float": TensorProto.FLOAT, "int64": TensorProto.INT64}


class GraphBuilder:
    """Collects the nodes and constants of one graph over an artefact's weights. Values are strings, their
    names in the graph: a method that computes a value returns its name."""

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        precision = artefact.config.precision
        self.int8 = onnx_precision(precision) == "int8"
        self._weights: Weights = Int8View(artefact) if is_kmeans(precision) else artefact.weights
        self._shapes = weight_shapes(artefact.config.model)
        self._nodes: list[NodeProto] = []
        self._names: set[str] = set()  # of values
        self._watched: list[str] = []  # (N, 1) each: sums over rows that `spoiled` checks
        self._constants: dict[str, TensorProto] = {}

    def op(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """One node with one output, called `name` (by default a running number)."""
        name = name or f"{kind}.{len(self._nodes)}"
        return self.ops(kind, *inputs, names=[name], domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *inputs: str, names: list[str], domain: str = "", **attributes: Any
    ) -> list[str]:
        """One node with the outputs `names`; those that are taken, by an earlier pass of a layer, get a
        number."""
        names = [f"{name}.{len(self._nodes)}" if name in self._names else name for name in names]
        self._names.update(names)
        self._nodes.append(helper.make_node(kind, inputs, names, names[0], domain=domain, **attributes))
        return names

    def constant(self, name: str, value: Array | np.generic) -> str:
        """A constant, which is made once for each name."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def integers(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.constant(f"integers{list(values)}", np.array(values, np.int64))

    def width(self, name: str) -> int:
        """The number of outputs of each of a layer's stacked projections."""
        return self._shapes[f"{name}.weight"][1]

    def linear(
        self, x: str, name: str, factors: NDArray[np.float32] | None = None, inner: bool = False
    ) -> str:
        """x (N, I) times a layer's weight, plus its bias, if any: (N, O); stacked ones lie side by side.

        `factors` (O): multiplied with the outputs. `inner`: True if x is made within a branch; `spoiled`
        finds infinities and NaN of any other x in the residual stream.
        """
        weight, bias = f"{name}.weight", f"{name}.bias"
        matrix = self._stored(weight)
        matrix = matrix.reshape(-1, matrix.shape[-1])
        by = np.ones(len(matrix), np.float32) if factors is None else factors
        added = [self.constant(bias, self._stored(bias).ravel() * by)] if bias in self._shapes else []
        if not self.int8:
            return self.op("Gemm", x, self.constant(weight, matrix * by[:, None]), *added, transB=1)
        _check_width(weight, matrix.shape[1])
        if inner:
            self.watch(x)
        values = self.constant(weight, matrix.T)
        scales = self.constant(weight + SCALE, self._stored(weight + SCALE).ravel() * by)
        return self.op(
            "DynamicQuantizeMatMul", x, values, scales, *(["", *added] if added else []), domain=CONTRIB
        )

    def layer_norm(self, x: str, name: str) -> str:
        """Layer normalization over the last axis."""
        parts = (f"{name}.weight", f"{name}.bias")
        constants = [self.constant(part, self._stored(part)) for part in parts]
        return self.op("LayerNormalization", x, *constants, epsilon=1e-5)

    def lookup(self, tokens: str, matrix: str, columns: int, factor: float) -> str:
        """The first columns of the rows `tokens` (N) of an embedding, times `factor`: (N, columns)."""
        rows = self.op("Gather", self._table(matrix, columns), tokens)
        if not self.int8:
            return self.op("Mul", rows, self.constant("factor", np.float32(factor)))
        rows = self.op("Cast", rows, to=TensorProto.FLOAT)
        scales = self.constant(
            f"{matrix}.row_scale", self._stored(matrix + SCALE)[:, None] * np.float32(factor)
        )
        return self.op("Mul", rows, self.op("Gather", scales, tokens))

    def project(self, x: str, matrix: str, dim: int) -> str:
        """x (N, dim) times the first `dim` columns of an embedding, transposed: logits (N, V)."""
        table = self._table(matrix, dim)
        if not self.int8:
            return self.op("Gemm", x, table, transB=1)
        _check_width(matrix, dim)
        self.watch(x)
        # onnxruntime transposes the constant once, when it loads the graph.
        columns = self.op("Transpose", table, perm=[1, 0])
        scales = self.constant(f"{matrix}.scale", self._stored(matrix + SCALE))
        return self.op("DynamicQuantizeMatMul", x, columns, scales, domain=CONTRIB)

    def watch(self, x: str) -> None:
        """Let `spoiled` check x (N, I), the input of an int8 product; float32 products hide no NaN."""
        if self.int8:
            self._watched.append(self.op("ReduceSum", x, self.integers(1)))

    def spoiled(self, *values: str) -> list[str]:
        """Each of `values` (N, …), with NaN in the rows in which an input watched since the last call is not
        finite. Without them a translation would be made of overflowed numbers, since quantizing hides
        infinities and NaN."""
        sums, self._watched = self._watched, []
        if not sums:
            return list(values)
        spoil = self.op("Mul", self.op("Sum", *sums), self.constant("zero", np.float32(0)))
        return [self.op("Add", value, spoil) for value in values]

    def model(self, name: str, ports: Ports) -> ModelProto:
        """The finished model."""
        inputs, outputs = (
            [helper.make_tensor_value_info(port.name, TYPES[port.type], port.shape) for port in side]
            for side in ports
        )
        constants = list(self._constants.values())
        graph: GraphProto = helper.make_graph(self._nodes, name, inputs, outputs, constants)
        opsets = {"": OPSET} | ({CONTRIB: 1} if self.int8 else {})
        config = self.artefact.config
        model: ModelProto = helper.make_model(
            graph,
            producer_name="hardware-aware-transformers",
            producer_version=__version__,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid(*opset) for opset in opsets.items()],
        )
        metadata = {
            "architecture": config.model.architecture.short_hash(),
            "source_language": config.source_language,
            "target_language": config.target_language,
            "precision": "int8" if self.int8 else "float32",
        }
        helper.set_model_props(model, metadata)
        return model

    def floats(self, name: str) -> NDArray[np.float32]:
        """A weight in float32, whatever the precision."""
        return unpack(name, self._shapes[name], self._weights)

    def _stored(self, name: str) -> Array:
        return self._weights[name] if self.int8 else self.floats(name)

    def _table(self, matrix: str, dim: int) -> str:
        return self.constant(matrix, self._stored(matrix)[:, :dim])


def _check_width(weight: str, inputs: int) -> None:
    if inputs > MOST_INT8_INPUTS:
        raise UserError(
            f"{weight}: {inputs} inputs are more than {MOST_INT8_INPUTS}, the most without overflow in "
            "onnxruntime's int8 products; use float32 or bfloat16"
        )
