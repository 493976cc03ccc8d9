"""CUDA graphs without a GPU: a recorded step's operations are kept, and run again on the same tensors."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Operations that wait for the device or have an output whose size depends on values: a recording fails there.
NEVER_RECORDED = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default}


class Graph(TorchDispatchMode):
    """In place of torch.cuda.CUDAGraph. As a context it records."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in NEVER_RECORDED:
            raise RuntimeError(f"{func} cannot be recorded")
        result = func(*args, **(kwargs or {}))
        self._steps.append((func, args, kwargs or {}, tensors(result)))
        return result

    def replay(self) -> None:
        """Run the operations again, each with the tensors that it had and into the tensors that it made."""
        for func, args, kwargs, outputs in self._steps:
            for output, new in zip(outputs, tensors(func(*args, **kwargs)), strict=True):
                # Views and operations in place have put their values there already.
                if new.untyped_storage().data_ptr() != output.untyped_storage().data_ptr():
                    output.copy_(new)


def tensors(result: Any) -> list[Tensor]:
    """The tensors of an operation's result."""
    outputs = result if isinstance(result, tuple | list) else [result]
    return [one for one in outputs if isinstance(one, Tensor)]


class Stream:
    """In place of torch.cuda.Stream."""

    def wait_stream(self, other: "Stream") -> None:
        """Everything here runs in order."""


@contextmanager
def recording(graph: Graph, capture_error_mode: str) -> Iterator[None]:
    """In place of torch.cuda.graph."""
    assert capture_error_mode == "thread_local"
    with graph:
        yield


def pretend_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `hat.model.StaticDecoder` record on the processor."""
    for name, stand_in in {
        "CUDAGraph": Graph,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: nullcontext(),
        "graph": recording,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
