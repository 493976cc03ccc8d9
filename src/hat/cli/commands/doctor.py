"""`hat doctor`: this machine, and the engines that run on it."""

import os
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer

from hat.cli.options import AsJson, examples, json_text
from hat.engine_specs import ENGINES, EngineSpec
from hat.errors import visible_lines
from hat.version import __version__

DISTRIBUTION = "hardware-aware-transformers"
Row = tuple[str, str | None]

EXAMPLES = examples("hat doctor", "hat doctor --json", "HAT_NATIVE_ISA=generic hat doctor")


def doctor(as_json: AsJson = False) -> None:
    """Show this machine, the engines that run on it, and the kernels that they use.

    Exit code 0 if at least one engine works, 1 if none does.
    """
    findings = _findings()
    typer.echo(json_text(findings) if as_json else visible_lines(_text(findings)))
    if not any(engine["works"] for engine in findings["engines"].values()):
        raise typer.Exit(1)


def _findings() -> dict[str, Any]:
    from hat.hardware import environment

    return {
        "machine": environment(),
        "instruction_set": _instruction_set(),
        "engines": {name: _engine(spec) for name, spec in ENGINES.items()},
        "training": _training(),
    }


def _instruction_set() -> dict[str, Any] | None:
    """The native engine's instruction sets, the chosen one and the reason; None without the engine.

    `chosen` is None where the one that the environment variable names cannot run.
    """
    try:
        native, module = import_module("hat.runtime.engines.native"), import_module("hat.runtime._native")
    except ImportError:
        return None
    forced = os.environ.get(native.VARIABLE)
    why = f"forced by {native.VARIABLE}={forced}" if forced else "detected: the best that can run here"
    try:
        chosen = module.choose(forced or "auto")
    except ValueError as error:
        chosen, why = None, f"{why}; {error}"
    return {"chosen": chosen, "why": why, "forced": forced, "sets": module.instruction_sets()}


def _engine(spec: EngineSpec) -> dict[str, Any]:
    """The state of an engine: it works, with its library's version, or the reason and the remedy."""
    from hat.runtime.engines import reason_of

    try:
        import_module(spec.module)
    except (ImportError, OSError) as error:  # OSError: a shared library that does not load
        return {"works": False, "version": None, "reason": f"{reason_of(error)}: {spec.install}"}
    version = str(import_module(spec.library).__version__) if spec.library else __version__
    kernels = _instruction_set() if spec.instruction_sets else None
    works = kernels is None or kernels["chosen"] is not None
    return {"works": works, "version": version, "reason": None if works else "no kernels to run with"}


def _training() -> dict[str, Any]:
    """The state of the [train] extra: `installed`, and the versions of its packages (None: missing)."""
    from importlib.metadata import PackageNotFoundError, requires

    from hat.hardware import installed_version

    try:
        required = [line for line in requires(DISTRIBUTION) or [] if re.search(r"extra == .train.", line)]
    except PackageNotFoundError:  # run from a source tree that is not installed
        return {"installed": False, "packages": {}}
    names = (re.match(r"[\w.-]+", line) for line in required if not _is_for_older_python(line))
    packages = {name.group(): installed_version(name.group()) for name in names if name}
    return {"installed": all(packages.values()), "packages": packages}


def _is_for_older_python(requirement: str) -> bool:
    """True if a package is needed only by Python versions older than this one."""
    limit = re.search(r"python_version < .(\d+)\.(\d+).", requirement)
    return limit is not None and sys.version_info[:2] >= (int(limit[1]), int(limit[2]))


def _text(findings: dict[str, Any]) -> str:
    machine, training = findings["machine"], findings["training"]
    missing = [name for name, version in training["packages"].items() if version is None]
    train = "installed" if training["installed"] else f"missing {', '.join(missing) or DISTRIBUTION}"
    if missing:
        train += f"; pip install '{DISTRIBUTION}[train]'"
    software, processor, memory = machine_rows(machine)
    lines = [
        software,
        processor,
        ("threads", f"{machine['cores_allowed']} for this process, of {machine['cores']}"),
        memory,
        *_kernel_lines(findings["instruction_set"]),
        *((f"engine {name}", _engine_text(engine)) for name, engine in findings["engines"].items()),
        ("engine auto", _auto_text(findings["engines"])),
        ("training", train),
    ]
    return "\n".join(f"{label:<20} {text}" for label, text in lines)


def machine_rows(machine: Mapping[str, Any]) -> tuple[Row, Row, Row]:
    """Labels and texts for an environment's software, processor and memory; None where that is unknown."""
    flags = " ".join(machine["flags"]) or "no vector extension that HAT knows of"
    system, memory = f"{machine['system']} {machine['machine']}", machine["memory_bytes"]
    return (
        ("hat", f"{machine['hat']}, Python {machine['python']}, {system}"),
        ("processor", f"{machine['cpu']}: {flags}"),
        ("memory", None if memory is None else f"{memory / 2**30:.1f} GiB"),
    )


def _kernel_lines(kernels: dict[str, Any] | None) -> list[tuple[str, str]]:
    if kernels is None:
        return []
    sets = (f"{isa['name']} ({_state(isa['built'], isa['supported'])})" for isa in kernels["sets"])
    return [
        ("native kernels", f"{kernels['chosen'] or 'none'}, {kernels['why']}"),
        ("instruction sets", ", ".join(sets)),
    ]


def _state(built: bool, supported: bool) -> str:
    if not built:
        return "not built" if supported else "neither built nor on this processor"
    return "yes" if supported else "not on this processor"


def _auto_text(engines: dict[str, Any]) -> str:
    """The engine that "auto" stands for: the first that is installed, even if its kernels are refused."""
    installed = [name for name, engine in engines.items() if engine["version"]]
    if not installed:
        return "no engine works here"
    first = installed[0]
    return f"takes {first}" if engines[first]["works"] else f"stops at {first}, which is installed"


def _engine_text(engine: dict[str, Any]) -> str:
    return f"works, {engine['version']}" if engine["works"] else f"does not work: {engine['reason']}"
