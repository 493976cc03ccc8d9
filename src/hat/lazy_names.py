"""Public names of a package that are imported on first use, so that importing the package stays light."""

from collections.abc import Callable, Mapping
from importlib import import_module


def importer(package: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """The `__getattr__` (PEP 562) of a package. `homes`: module (.NAME in the package itself) →
    the names that it holds."""
    modules = {name: module for module, names in homes.items() for name in names}

    def find(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(modules[name], package), name)

    return find
