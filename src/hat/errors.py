"""The family of HAT's exceptions. The command line prints the message alone; `--debug` adds the traceback.

A message may quote text from outside: a file, a device, the command line. `visible`, `shown` and `named` make
such text safe to print, and the exceptions apply the same rule to their whole message.
"""

import shlex
import unicodedata

# Limits of one message: characters of a line, and lines.
LONGEST_LINE, MOST_LINES = 2000, 40
# Control and format characters, lone surrogates, separators of lines and paragraphs: a terminal obeys or
# hides them. The joiners used in some scripts and in emoji are text.
HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
JOINERS = "\u200c\u200d"


class HatError(Exception):
    """A failure that is not the user's mistake, with a message of one line. Exit code 1."""

    exit_code = 1

    def __str__(self) -> str:
        return readable(super().__str__())


class UserError(HatError):
    """A mistake of the user. The message says what was wrong, where, and what would be right. Exit code 2."""

    exit_code = 2


class DiskFull(HatError):
    """The disk has no room for a file; no setting is wrong."""


def visible(text: object) -> str:
    r"""Text on one line of a terminal: its control and format characters as escapes, for example \x1b."""
    plain = str(text)
    return plain if plain.isprintable() else "".join(map(_visible, plain))


def visible_lines(text: object) -> str:
    """Text of several lines for a terminal, each made `visible`."""
    return "\n".join(map(visible, str(text).split("\n")))


def readable(message: str) -> str:
    """A message of one or more lines, each made `visible`; the number and length of the lines are limited."""
    lines = list(map(_shortened, visible_lines(message).split("\n")))
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {len(lines) - MOST_LINES} more lines"]
    return "\n".join(lines)


def shown(value: object) -> str:
    """A value that was read from somewhere, for a message: its repr, cut where it is long."""
    return _cut(repr(value), 100)


def named(text: object) -> str:
    """A name that was read from somewhere, for a message: as it is, or its repr if not printable; cut."""
    plain = str(text)
    return _cut(plain if plain.isprintable() else repr(plain), 200)


def command(*words: object) -> str:
    """A command line to suggest, quoted so that every shell, zsh included, reads it literally."""
    return shlex.join(str(word) for word in words)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN or character in JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _shortened(line: str) -> str:
    """A long line without its middle, since a message begins with the place and ends with the remedy."""
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]}…{line[-half:]}"
