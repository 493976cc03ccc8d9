"""The one exception family. The command line prints the message alone; `--debug` adds the traceback."""


class HatError(Exception):
    """A failure that is not the user's mistake, told in one line. Exit code 1."""

    exit_code = 1


class UserError(HatError):
    """A mistake of the user's: says what was wrong, where, and what would be right. Exit code 2."""

    exit_code = 2


class DiskFull(HatError):
    """There is no room left where something was being written; nobody's setting is wrong."""


def shown(value: object) -> str:
    """A value that was read from somewhere, for a message: its repr, cut where it is long."""
    return _cut(repr(value), 100)


def named(text: object) -> str:
    """A name that was read from somewhere, for a message: as it is, or its repr where that is not
    printable; cut where it is long."""
    plain = str(text)
    return _cut(plain if plain.isprintable() else repr(plain), 200)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
