"""`hat doctor`: what this machine offers and which engines run on it."""

import json
import os
import re
import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from hat import __version__
from hat.errors import visible_lines

DISTRIBUTION = "hardware-aware-transformers"
# ruff: noqa: PLC0415 (the rooms are imported when the command runs: help needs none of them)

# The remedy where the native engine is absent.
NO_MODULE = (
    "this install has no compiled module; install HAT again where a C++ compiler works "
    "(pip install -v shows the compiler's messages)"
)
EXAMPLES = """
Examples:

    hat doctor

    hat doctor --json

    HAT_NATIVE_ISA=generic hat doctor
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog=EXAMPLES)(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what this machine offers, which engines run on it and which kernels they take.

    Exit code 0 when at least one engine works, 1 when none does.
    """
    findings = _findings()
    typer.echo(json.dumps(findings, indent=1) if as_json else visible_lines(_text(findings)))
    if not any(engine["works"] for engine in findings["engines"].values()):
        raise typer.Exit(1)


def _findings() -> dict[str, Any]:
    from hat.hardware import environment
    from hat.runtime.engine import ENGINES

    return {
        "machine": environment(),
        "instruction_set": _instruction_set(),
        "engines": {name: _engine(name) for name in ENGINES},
        "training": _training(),
    }


def _instruction_set() -> dict[str, Any] | None:
    """The native engine's kernels: all sets, the chosen one (None where the wanted one cannot run) and
    why. None without the engine."""
    try:
        native, module = import_module("hat.runtime.native"), import_module("hat.runtime._native")
    except ImportError:
        return None
    forced = os.environ.get(native.VARIABLE)
    why = f"forced by {native.VARIABLE}={forced}" if forced else "detected: the best that can run here"
    try:
        chosen = module.choose(forced or "auto")
    except ValueError as error:
        chosen, why = None, f"{why}; {error}"
    return {"chosen": chosen, "why": why, "forced": forced, "sets": module.instruction_sets()}


def _engine(name: str) -> dict[str, Any]:
    """Whether an engine works, its library's version, and otherwise the reason and what to do."""
    from hat.runtime.engine import ENGINES, INSTALL, reason_of

    try:
        import_module(ENGINES[name][0])
    except (ImportError, OSError) as error:  # OSError: a shared library that does not load
        remedy = NO_MODULE if name == "native" else INSTALL[name]
        return {"works": False, "version": None, "reason": f"{reason_of(error)}: {remedy}"}
    if name != "native":
        return {"works": True, "version": str(import_module(name).__version__), "reason": None}
    kernels = _instruction_set()
    runs = kernels is not None and kernels["chosen"] is not None
    return {"works": runs, "version": __version__, "reason": None if runs else "no kernels to run with"}


def _training() -> dict[str, Any]:
    """Whether the [train] extra is installed, with the versions found (None: missing)."""
    from importlib.metadata import PackageNotFoundError, requires

    from hat.hardware import installed_version

    try:
        wanted = [line for line in requires(DISTRIBUTION) or [] if re.search(r"extra == .train.", line)]
    except PackageNotFoundError:  # run from a source tree that is not installed
        return {"installed": False, "packages": {}}
    names = [
        match.group()
        for line in wanted
        if not _is_for_older_python(line) and (match := re.match(r"[\w.-]+", line))
    ]
    packages = {name: installed_version(name) for name in names}
    return {"installed": all(packages.values()), "packages": packages}


def _is_for_older_python(requirement: str) -> bool:
    """True if a package is needed only by Python versions older than this one."""
    found = re.search(r"python_version < .(\d+)\.(\d+).", requirement)
    return found is not None and sys.version_info[:2] >= (int(found[1]), int(found[2]))


def _text(findings: dict[str, Any]) -> str:
    machine, training = findings["machine"], findings["training"]
    missing = [name for name, found in training["packages"].items() if found is None]
    train = "installed" if training["installed"] else f"missing {', '.join(missing) or DISTRIBUTION}"
    if missing:
        train += f"; pip install '{DISTRIBUTION}[train]'"
    lines = [
        ("hat", f"{machine['hat']}, Python {machine['python']}, {machine['system']} {machine['machine']}"),
        (
            "processor",
            f"{machine['cpu']}: {' '.join(machine['flags']) or 'no vector extension that HAT knows of'}",
        ),
        ("threads", f"{machine['cores_allowed']} for this process, of {machine['cores']}"),
        ("memory", f"{machine['memory_bytes'] / 2**30:.1f} GiB"),
        *_kernel_lines(findings["instruction_set"]),
        *((f"engine {name}", _engine_text(engine)) for name, engine in findings["engines"].items()),
        ("engine auto", _auto_text(findings["engines"])),
        ("training", train),
    ]
    return "\n".join(f"{label:<20} {text}" for label, text in lines)


def _kernel_lines(found: dict[str, Any] | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    sets = (f"{one['name']} ({_state(one['built'], one['supported'])})" for one in found["sets"])
    return [
        ("native kernels", f"{found['chosen'] or 'none'}, {found['why']}"),
        ("instruction sets", ", ".join(sets)),
    ]


def _state(built: bool, supported: bool) -> str:
    if not built:
        return "not built" if supported else "neither built nor on this processor"
    return "yes" if supported else "not on this processor"


def _auto_text(engines: dict[str, Any]) -> str:
    """Which engine "auto" takes: the first that is installed, even where its kernels are refused."""
    installed = [name for name, engine in engines.items() if engine["version"]]
    if not installed:
        return "no engine works here"
    first = installed[0]
    return f"takes {first}" if engines[first]["works"] else f"stops at {first}, which is installed"


def _engine_text(engine: dict[str, Any]) -> str:
    return f"works, {engine['version']}" if engine["works"] else f"does not work: {engine['reason']}"
