"""Groups of commands, as `--help` shows them."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typer.core import TyperGroup


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
