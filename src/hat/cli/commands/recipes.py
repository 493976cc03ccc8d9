"""`hat recipe`: the built-in recipes, as files to edit."""

from typing import Annotated

import typer

from hat.cli.choices import recipes as recipe_choices
from hat.cli.options import examples

EXAMPLES = examples("hat recipe multi30k > my.yaml", "hat run my.yaml --set data.root=~/corpora/multi30k")


def recipe(
    name: Annotated[
        str,
        typer.Argument(help="A built-in recipe; `hat run --list` shows them.", autocompletion=recipe_choices),
    ],
) -> None:
    """Print a built-in recipe with its comments, to be saved and edited."""
    from hat.zoo import recipe_text

    typer.echo(recipe_text(name), nl=False)


def list_recipes() -> None:
    """Print the built-in recipes, each with the first line of its comment."""
    from hat.lines import split_lines
    from hat.zoo import recipe_names, recipe_text

    width = max(map(len, recipe_names()))
    for name in recipe_names():
        about = split_lines(recipe_text(name))[0].lstrip("# ")
        typer.echo(f"{name:{width}}  {about}")
