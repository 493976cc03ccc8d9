"""The order of the source at git revisions: files and lines by room, import circles, the longest function.

Room: a package of `hat`, "ground" for the modules beside the packages, "native" for C++. Circles: sets of
modules that import one another, however late the import. Lines: of .py, .cpp, .h and .txt files.

    python benchmarks/house.py [REVISION …]
"""

import ast
import io
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath, PurePosixPath

from reports import parser, table

SUFFIXES = (".py", ".cpp", ".h", ".txt")


def sources(revision: str) -> dict[PurePosixPath, str]:
    """Path → text of the source files in src and native (tests excepted) at a git revision."""
    done = subprocess.run(["git", "archive", revision, "src", "native"], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        files = {PurePosixPath(one.name): archive.extractfile(one) for one in archive if one.isfile()}
    kept = {
        path: file for path, file in files.items() if path.suffix in SUFFIXES and "tests" not in path.parts
    }
    return {path: file.read().decode() for path, file in kept.items() if file}


def room(path: PurePosixPath) -> str:
    """The room of a source file."""
    if path.parts[0] == "native":
        return "native"
    return path.parts[2] if len(path.parts) > 3 else "ground"


def functions(text: str) -> Iterator[tuple[int, str]]:
    """Lines and name of each function of a Python module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield node.end_lineno - node.lineno + 1, node.name


def module_name(path: PurePath) -> str:
    """The dotted name of a Python file below src."""
    return ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__")


def packages_around(module: str) -> set[str]:
    """The packages that a module is in."""
    parts = module.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def import_graph(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """Module → modules that it imports anywhere: in functions and for type checkers too. `texts`: sources.

    `from package import name` is an import of the module package.name if there is one, else of the package's
    __init__. Python also runs the __init__ of each package around an imported module, so these count as
    imported too, except for those around the importing module, which have begun to run before.
    """
    graph = {}
    for module, text in texts.items():
        imported = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names} & texts.keys()
            elif isinstance(node, ast.ImportFrom) and node.module in texts:
                inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                imported |= {full if full in texts else node.module for full in inner.values()}
        around = {package for name in imported for package in packages_around(name)}
        graph[module] = (imported | (around - packages_around(module))) - {module}
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The sets of several modules in which each one reaches every other."""
    reached = {module: set[str]() for module in graph}
    for module, seen in reached.items():
        todo = [module]
        while todo:
            new = graph[todo.pop()] - seen
            seen.update(new)
            todo += new
    found = {
        frozenset(other for other in seen if module in reached[other])
        for module, seen in reached.items()
        if module in seen
    }
    return sorted(sorted(modules) for modules in found)


def markdown(revision: str) -> str:
    """The figures of one revision as Markdown."""
    files = sources(revision)
    python = {path: text for path, text in files.items() if path.suffix == ".py"}
    lines, count = Counter[str](), Counter[str]()
    for path, text in files.items():
        lines[room(path)] += text.count("\n")
        count[room(path)] += 1
    graph = import_graph({module_name(path): text for path, text in python.items()})
    length, longest = max(found for text in python.values() for found in functions(text))
    rows = [[name, str(count[name]), f"{lines[name]:,}"] for name in sorted(count)]
    rows.append(["all", str(sum(count.values())), f"{sum(lines.values()):,}"])
    rooms = table(["room", "files", "lines"], rows, "---")
    order = f"Import circles: {len(circles(graph))}. Longest function in Python: {longest}, {length} lines."
    return f"## {revision}\n\n{rooms}\n\n{order}\n"


def main() -> None:
    line = parser(__doc__)
    line.add_argument("revisions", nargs="*", default=["HEAD"], metavar="REVISION")
    for revision in line.parse_args().revisions:
        print(markdown(revision))


if __name__ == "__main__":
    main()
