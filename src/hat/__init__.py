"""HAT: from parallel text and a device to the fastest model that is still good enough."""

from typing import TYPE_CHECKING

from hat import lazy_names as _lazy_names
from hat import threads as _threads
from hat.version import __version__

if TYPE_CHECKING:
    from hat.errors import HatError, UserError
    from hat.recipe import Recipe
    from hat.run import FinishedModel, Run
    from hat.runtime import Score, Translation, Translator

__all__ = [
    "FinishedModel",
    "HatError",
    "Recipe",
    "Run",
    "Score",
    "Translation",
    "Translator",
    "UserError",
    "__version__",
]

# Set here, since PyTorch and onnxruntime read it when they are loaded, by whatever module.
_threads.set_openmp_defaults()

__getattr__ = _lazy_names.importer(
    "hat",
    {
        "hat.errors": ("HatError", "UserError"),
        "hat.recipe": ("Recipe",),
        "hat.run": ("FinishedModel", "Run"),
        "hat.runtime": ("Score", "Translation", "Translator"),
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
