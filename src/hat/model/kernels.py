"""The compiled parts of training on the processor, where a compiler made them."""

from functools import cache
from importlib import import_module
from types import ModuleType


@cache
def kernels() -> ModuleType | None:
    """The module `hat.model._kernels`; None in an installation without a compiler."""
    try:
        return import_module("hat.model._kernels")
    except ImportError:
        return None
