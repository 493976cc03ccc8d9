"""Groups of commands, as `--help` shows them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from hat.errors import visible_lines

# Of every mistake on the command line; typer gives it no public name.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


@contextmanager
def _visible_mistakes() -> Iterator[None]:
    """Around parsing: messages quote the command line, which may hold what a terminal obeys."""
    try:
        yield
    except UsageError as error:
        vars(error)["message"] = visible_lines(vars(error)["message"])
        raise


class Group(TyperGroup):
    """Commands, each with the whole first sentence of its help, under the titles of `sections`.

    `sections`: title → names in their order; commands of no section come last.
    """

    sections: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help."""
        placed = {name for names in self.sections.values() for name in names}
        others = [name for name in self.commands if name not in placed]
        for title, names in {**self.sections, "Commands": others}.items():
            rows = [(name, self.commands[name].get_short_help_str(limit=200)) for name in names]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """As the base class; mistakes are safe to print."""
        with _visible_mistakes():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """As the base class, which parses what follows the command; mistakes are safe to print."""
        with _visible_mistakes():
            return super().invoke(ctx)
