"""HAT: from parallel text and a device to the fastest model that is still good enough."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hat.runtime import Translation, Translator

__version__ = "0.1.0"
__all__ = ["Translation", "Translator", "__version__"]


def __getattr__(name: str) -> object:
    # On first use, so that `import hat` stays light (PEP 562).
    if name in ("Translation", "Translator"):
        from hat import runtime  # noqa: PLC0415

        return getattr(runtime, name)
    raise AttributeError(f"module 'hat' has no attribute {name!r}")
