"""Models as ONNX graphs, and the engine that runs them with onnxruntime.

`hat.runtime.onnx.graph` makes the graphs and needs the package `onnx`; it is imported by itself.
"""

from hat.runtime.onnx.interface import ONNX_FORMAT, onnx_precision

__all__ = ["ONNX_FORMAT", "onnx_precision"]
