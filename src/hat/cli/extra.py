"""What a command says when the packages it needs are not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from hat.errors import UserError


@contextmanager
def training_extra(command: str) -> Iterator[None]:
    """Around imports of rooms that need the [train] extra. Raises UserError if it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "hat":
            raise
        raise UserError(
            f"`hat {command}` needs {error.name}, which is not installed: "
            "pip install 'hardware-aware-transformers[train]'"
        ) from error
