"""The interface of engines, their choice, and the native engine."""

from hat.runtime.engines.engine import Engine, EngineSettings
from hat.runtime.engines.loading import (
    check_engine,
    installed_engine,
    load_engine,
    load_onnx_export,
    reason_of,
    runs,
)
from hat.runtime.engines.origin import Origin, forked_after_torch

__all__ = [
    "Engine",
    "EngineSettings",
    "Origin",
    "check_engine",
    "forked_after_torch",
    "installed_engine",
    "load_engine",
    "load_onnx_export",
    "reason_of",
    "runs",
]
