"""The message of a command whose packages are not installed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from hat.errors import UserError


def training_extra(command: str) -> AbstractContextManager[None]:
    """A context for imports of rooms that need the [train] extra. Raises UserError if it is missing."""
    return optional_extra(command, "train")


@contextmanager
def optional_extra(command: str, extra: str) -> Iterator[None]:
    """A context for code that needs the packages of an extra. Raises UserError if one is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "hat":
            raise
        raise UserError(
            f"`hat {command}` needs {error.name}, which is not installed: "
            f"pip install 'hardware-aware-transformers[{extra}]'"
        ) from error
