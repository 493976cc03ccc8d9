"""The `hat` command: thin commands over the rooms, and what their errors look like."""

import sys
import traceback
from collections.abc import Sequence

from hat.cli.app import app
from hat.cli.streams import ReaderGone, flush_output, open_streams
from hat.disk import is_full
from hat.errors import HatError, readable, visible, visible_lines

__all__ = ["app", "main"]

# Exit codes after SIGINT and SIGTERM, as shells give them: nothing went wrong.
STOPPED = (130, 143)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 the user's mistake, 130 or 143 stopped.

    Where the reader of the output has gone (`| head -1`) it ends at once, with 0.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        open_streams()
        try:
            app([argument for argument in given if argument != "--debug"], prog_name="hat")
        except SystemExit as end:
            flush_output(failed=bool(end.code))
            raise
    except ReaderGone:
        raise SystemExit(0) from None
    except Exception as error:  # the last resort: whatever it is, one line for the person
        if debug:
            print(visible_lines(traceback.format_exc()), end="", file=sys.stderr)
        _fail(error, given)


def _fail(error: Exception, given: Sequence[str]) -> None:
    flush_output(failed=True)
    message, code = _describe(error)
    message = visible_lines(message)
    for name in (argument for argument in given if "\n" in argument):
        message = message.replace(visible_lines(name), visible(name))  # a name with a line end is on one line
    kind = "" if code in STOPPED else "error: "
    for line in readable(message).split("\n"):
        print(f"hat: {kind}{line}", file=sys.stderr)
    raise SystemExit(code) from None


def _describe(error: Exception) -> tuple[str, int]:
    if isinstance(error, HatError):
        return str(error), error.exit_code
    if is_full(error):
        # An error of two paths: the second is the destination of the copy.
        where = getattr(error, "filename2", None) or getattr(error, "filename", None) or "a file"
        return f"{where}: the disk is full; make room and run it again", 1
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}", 1
    return f"{type(error).__name__}: {error} (--debug shows the traceback)", 1
