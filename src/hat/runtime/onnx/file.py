"""The check of an ONNX file before onnxruntime loads it.

A graph is a program, parts of which run while it is loaded: a few bytes can take any amount of memory or
time, or read other files. HAT's exports need few operators, no functions and no other files.
"""

import mmap
from pathlib import Path

from hat.errors import UserError, named
from hat.runtime.protocol_buffer import fields_of

# Operators of the standard domain, and of the domain of onnxruntime.
OPERATORS = {
    *("Add", "Cast", "Concat", "CumSum", "Equal", "Gather", "GatherElements", "Gemm", "Identity"),
    *("LayerNormalization", "LogSoftmax", "MatMul", "Min", "Mul", "Not", "Pad", "ReduceMax", "ReduceSum"),
    *("Relu", "Reshape", "Shape", "Sigmoid", "Sin", "Slice", "Softmax", "Split", "Sub", "Sum", "TopK"),
    *("Transpose", "Unsqueeze", "DynamicQuantizeMatMul"),
}
# Field numbers: those of a model, of its graph, of a node and of a tensor.
GRAPH, FUNCTIONS, NODE, TENSOR, OPERATOR, EXTERNAL = 7, 25, 1, 5, 4, 13


def check_onnx_file(path: Path) -> None:
    """Raises UserError for a file that is not a model, or has a feature that no export of HAT has."""
    try:
        with path.open("rb") as stream:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        feature = _foreign_feature(memoryview(content))
    except (ValueError, OSError) as error:  # ValueError: also for an empty file
        raise UserError(f"{path}: onnxruntime cannot load it ({named(error)})") from error
    if feature:
        raise UserError(f"{path}: {named(feature)}, which no export of HAT has")


def _foreign_feature(model: memoryview) -> str | None:
    """A feature of the model that no export has, or None."""
    for number, content in fields_of(model):
        if number == FUNCTIONS:
            return "has functions"
        if number != GRAPH:
            continue
        for part, inner in fields_of(content):
            if part == NODE:
                for field, text in fields_of(inner):
                    if field == OPERATOR and (name := bytes(text).decode(errors="replace")) not in OPERATORS:
                        return f"has the operator {name}"
            if part == TENSOR and any(field == EXTERNAL for field, _ in fields_of(inner)):
                return "keeps a tensor in another file"
    return None
