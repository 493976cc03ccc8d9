"""The names that `hat` and its rooms export, and what else a script imports."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """A name that a script imports of HAT; none if it imports a module."""

    where: str
    module: str
    name: str | None


def imports(path: Path) -> Iterator[Import]:
    """Everything that a script imports of HAT, at its top or later."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "hat":
                    yield Import(f"{path.name}:{node.lineno}", alias.name, None)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hat":
            for alias in node.names:
                yield Import(f"{path.name}:{node.lineno}", str(node.module), alias.name)


def misuse(one: Import) -> str | None:
    """The mistake of an import of something private; None if it is public: `import hat`, a name of `hat`, or
    one that a room exports."""
    module, name = one.module, one.name
    if module.count(".") > 1:
        return f"{one.where}: {module} is an inner module; its room should export {name}"
    if name is None:
        return None if module == "hat" else f"{one.where}: import names from {module} instead"
    if name.startswith("_"):
        return f"{one.where}: {name} is private"
    exported = getattr(import_module(module), "__all__", [name])
    return None if module == "hat" or name in exported else f"{one.where}: {module} does not export {name}"
