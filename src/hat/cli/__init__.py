"""The `hat` command: its entry point, and the form of its error messages."""

import sys
import traceback
from collections.abc import Sequence

from hat.cli.app import app
from hat.cli.progress import Terminal
from hat.cli.streams import ReaderGone, flush_output, open_streams, silence_followers
from hat.disk import is_full
from hat.errors import HatError, readable, visible, visible_lines

__all__ = ["Terminal", "app", "main"]

# Exit codes after SIGINT and SIGTERM, as shells report them: the message is not an error.
STOPPED = (130, 143)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 the user's mistake, 130 or 143 stopped.

    Of several processes that torchrun has started, only the first one prints, unless `--debug` is given.
    If the reader of the output has gone (`| head -1`), it ends at once, with 0.
    """
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    try:
        open_streams()
        if not debug:
            silence_followers()
        try:
            app([word for word in words if word != "--debug"], prog_name="hat")
        except SystemExit as end:
            flush_output(failed=bool(end.code))
            raise
    except ReaderGone:
        raise SystemExit(0) from None
    except Exception as error:  # the last resort: one line for the user, whatever the error is
        if debug:
            print(visible_lines(traceback.format_exc()), end="", file=sys.stderr)
        _fail(error, words)


def _fail(error: Exception, words: Sequence[str]) -> None:
    flush_output(failed=True)
    message, code = _describe(error)
    message = visible_lines(message)
    for word in (word for word in words if "\n" in word):
        message = message.replace(visible_lines(word), visible(word))  # a quoted word stays on one line
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
