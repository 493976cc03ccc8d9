"""Groups of commands, and their sections in `--help`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from hat.errors import visible_lines

# The class of every mistake on the command line, for which typer has no public name.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


@contextmanager
def _visible_mistakes() -> Iterator[None]:
    """A context for parsing: its messages quote the command line, which may hold control characters."""
    try:
        yield
    except UsageError as error:
        vars(error)["message"] = visible_lines(vars(error)["message"])
        raise


class Group(TyperGroup):
    """Commands whose help shows each with its whole first sentence, under the titles of `sections`.

    `sections`: title → names of commands in their order; commands of no section come last.
    """

    sections: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, by section."""
        placed = {name for names in self.sections.values() for name in names}
        others = [name for name in self.commands if name not in placed]
        for title, names in {**self.sections, "Commands": others}.items():
            rows = [(name, self.commands[name].get_short_help_str(limit=200)) for name in names]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """As the base class; the messages of mistakes are safe to print."""
        with _visible_mistakes():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """As the base class, which parses the words after the command; mistakes are safe to print."""
        with _visible_mistakes():
            return super().invoke(ctx)
