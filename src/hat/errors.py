"""The one exception family. The command line prints the message alone; `--debug` adds the traceback."""


class HatError(Exception):
    """A failure that is not the user's mistake, told in one line. Exit code 1."""

    exit_code = 1


class UserError(HatError):
    """A mistake of the user's: says what was wrong, where, and what would be right. Exit code 2."""

    exit_code = 2
