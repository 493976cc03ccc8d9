"""Models as ONNX graphs, and the engine that runs them with onnxruntime."""
