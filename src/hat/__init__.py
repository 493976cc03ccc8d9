"""HAT: from parallel text and a device to the fastest model that is still good enough."""

from typing import TYPE_CHECKING

from hat import threads as _threads
from hat.version import __version__

if TYPE_CHECKING:
    from hat.errors import HatError, UserError
    from hat.runtime import Score, Translation, Translator

__all__ = ["HatError", "Score", "Translation", "Translator", "UserError", "__version__"]

_HOMES = {
    "HatError": "hat.errors",
    "Score": "hat.runtime",
    "Translation": "hat.runtime",
    "Translator": "hat.runtime",
    "UserError": "hat.errors",
}

# Set here, since PyTorch and onnxruntime read it when they are loaded, by whatever module.
_threads.set_openmp_defaults()


def __getattr__(name: str) -> object:
    # On first use, so that `import hat` stays light (PEP 562).
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
