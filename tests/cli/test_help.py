"""Help is instant, plain text in groups; completion knows the choices."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest

from hat.architecture import cost as architecture_cost
from hat.architecture.cost import PRECISION_BITS
from hat.cli import app, choices
from hat.cli.app import Commands
from hat.cli.commands.bench_engines import bench_engines
from hat.cli.commands.cost import cost
from hat.cli.commands.export import export
from hat.cli.commands.translate import translate
from hat.errors import command
from hat.export.deploy import FORMATS
from hat.hardware import MeasureProtocol
from hat.recipe import Constraint
from hat.runtime import PRECISIONS, CodeBooks, EngineSettings, Translator
from hat.runtime.weights.code_books import EMBEDDING_FORMS
from hat.runtime.weights.kmeans import INITIALIZATIONS
from hat.zoo import recipe_names, recipe_text
from hat.zoo.models import models
from tests.cli.conftest import Hat
from tests.docs.blocks import PAGES, blocks

COMMANDS = tuple(name for names in Commands.sections.values() for name in names)
GROUPS = ("device", "zoo")
# Nothing that help shows is in these, which take longer to import than all of help takes.
HEAVY = ("numpy", "torch", "rich", "pydantic", "sentencepiece", "safetensors", "sacrebleu", "sklearn")
EVERY_HELP = """
import contextlib, io, sys
from hat.cli import main
for words in {lines!r}:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main([*words, "--help"])
print([name for name in {heavy!r} if name in sys.modules])
"""


def test_help_of_every_command_imports_nothing_heavy() -> None:
    script = EVERY_HELP.format(lines=[(), *((name,) for name in COMMANDS)], heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_groups_every_command(hat: Hat) -> None:
    registered = {command.name for command in app.registered_commands}
    registered |= {group.name for group in app.registered_groups}
    assert set(COMMANDS) == registered
    assert len(COMMANDS) == len(set(COMMANDS))
    shown = hat("--help").out
    positions = [shown.index(f"\n{title}:\n") for title in Commands.sections]
    assert positions == sorted(positions)
    assert "\nCommands:\n" not in shown


def test_help_loses_nothing_to_markup(hat: Hat) -> None:
    assert "Source tokens, </s> included." in hat("bench-engines", "--help").out
    for name in COMMANDS:
        shown = " ".join(hat(name, "--help").out.split())
        commands = app.registered_commands if name not in GROUPS else ()
        for one in commands:
            if one.name == name and one.callback is not None and one.callback.__doc__:
                assert " ".join(one.callback.__doc__.split("\n\n")[0].split()) in shown


def test_help_shows_whole_first_sentences(hat: Hat) -> None:
    for words in ((), *((group,) for group in GROUPS)):
        assert "..." not in hat(*words, "--help").out.replace("ARGS]...", "")


def test_choices_are_those_of_the_rooms() -> None:
    assert choices.PRECISIONS == PRECISIONS
    assert tuple(PRECISION_BITS) == choices.COUNTED_PRECISIONS
    assert choices.FORMATS == FORMATS
    assert choices.EMBEDDING_FORMS == EMBEDDING_FORMS
    assert tuple(INITIALIZATIONS) == choices.INITIALIZATIONS


@pytest.mark.parametrize(
    ("command", "owner", "names"),
    [
        (translate, Translator.load, ("engine", "threads", "instruction_set", "long_input")),
        (translate, Translator.translate_stream, ("batch", "split")),
        (translate, EngineSettings, ("accelerator",)),
        (bench_engines, EngineSettings, ("accelerator",)),
        (bench_engines, MeasureProtocol, ("beam", "batch")),
        (export, CodeBooks, ("embeddings", "initialization")),
        (cost, architecture_cost, ("length",)),
    ],
)
def test_defaults_of_options_are_those_of_the_rooms(
    command: Callable[..., object], owner: Callable[..., object], names: tuple[str, ...]
) -> None:
    options, owned = signature(command).parameters, signature(owner).parameters
    for name in names:
        key = "device" if owner is EngineSettings else name
        assert options[name].default == owned[key].default, name


@pytest.mark.parametrize("name", ["run", "init"])
def test_help_shows_how_limits_on_several_costs_are_joined(hat: Hat, name: str) -> None:
    examples = re.findall(r"search\.constraints=\[(.*?)\]'", hat(name, "--help").out)
    constraints = [Constraint.parse(text) for line in examples for text in line.split(",")]
    assert max(len(constraint.limits) for constraint in constraints) == 2


QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|#.*")


def test_suggested_commands_are_quoted_for_every_shell(hat: Hat) -> None:
    """zsh takes brackets, braces and stars outside quotes for patterns, and refuses what matches nothing."""
    shown = [line for name in COMMANDS for line in hat(name, "--help").out.splitlines()]
    written = [block.text for page in PAGES for block in blocks(page) if block.language == "sh"]
    shown += [line for text in written for line in text.splitlines()]
    shown += [line for name in recipe_names() for line in recipe_text(name).splitlines()]
    shown.append(command("hat", "run", "runs/my [new]", "--set", "search.constraints=[40%]"))
    commands = [line.strip(" #") for line in shown if re.match(r"(#\s*)?\s*(hat|pip|python) ", line)]
    assert len(commands) > 50
    for line in commands:
        assert not set(QUOTED.sub("", line)) & set("[]{}*?"), line


def completed(folder: Path, *words: str) -> list[str]:
    """The words that bash offers for the last one."""
    asked = {
        "_HAT_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-m", "hat.cli"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, **asked}
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run, a recipe and a declared device."""
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    catalogue = {"default": "hat-60pct", "models": {"hat-60pct": "a", "base": "b"}, "trained": {}}
    (run / "models.json").write_text(json.dumps(catalogue))
    (tmp_path / "my.yaml").write_text("name: my\n")
    (tmp_path / "devices.yaml").write_text("devices: {pi: {threads: 4}}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("recipe", ""), recipe_names()),
        (("run", "multi"), ["multi30k", "multi30k-small"]),
        (("run", "my"), ["my.yaml"]),
        (("run", "runs/"), ["runs/one"]),
        (("status", ""), ["runs/one", "runs/"]),
        (("translate", "runs/one", "--model", ""), ["hat-60pct", "base"]),
        (("export", "runs/one", "--model", "b"), ["base"]),
        (("export", "runs/one", "--precision", "kmeans"), [f"kmeans{bits}" for bits in range(1, 9)]),
        (("cost", "--precision", "fl"), ["float32", "float16"]),
        (("translate", "--engine", "o"), ["onnxruntime"]),
        (("translate", "--device", "c"), ["cpu", "cuda"]),
        (("device", "show", "p"), ["pi"]),
        (("measure", "runs/one", "--device", "p"), ["pi"]),
        (("predict", "arch.yaml", "--run", "r"), ["runs/one", "runs/"]),
        (
            ("zoo", "show", "transformer-"),
            sorted({m.name for m in models() if m.name[:12] == "transformer-"}),
        ),
        (("zoo", "list", "--task", "iwslt"), ["iwslt14.de-en"]),
        (("zoo", "list", "--device", "rasp"), ["raspberry-pi-4"]),
    ],
)
def test_completion_knows_the_choices(folder: Path, words: tuple[str, ...], expected: list[str]) -> None:
    assert sorted(completed(folder, "hat", *words)) == sorted(expected)


def test_completion_is_silent_about_files_that_are_wrong(folder: Path) -> None:
    (folder / "devices.yaml").write_text("devices: [")
    (folder / "runs" / "one" / "models.json").write_text("{")
    assert completed(folder, "hat", "device", "show", "") == []
    assert completed(folder, "hat", "translate", "runs/one", "--model", "") == []
