"""The message of a command whose packages are not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from hat.errors import UserError


@contextmanager
def optional_packages(command: str, extra: str = "train") -> Iterator[None]:
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
