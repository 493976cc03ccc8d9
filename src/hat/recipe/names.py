"""Names in a recipe: those of models and corpora become the names of folders and files."""

import re

from hat.errors import shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# The ends of the design space, evaluated with inherited weights beside the final models.
LARGEST, SMALLEST = "largest", "smallest"
# The step that times all models together, beside the steps named after models.
LATENCIES = "latencies"
RESERVED_NAMES = (LARGEST, SMALLEST, LATENCIES)


def check_name(value: str) -> str:
    """`value` if it can name a folder. Raises ValueError."""
    if not NAME.fullmatch(value):
        raise ValueError(f"{shown(value)} cannot name a folder; use letters, digits, '.', '_', '+' and '-'")
    return value
