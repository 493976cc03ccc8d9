"""Common to all commands: help, errors, exit codes, the missing extra."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

import hat as package
from hat.cli import app as tree
from hat.errors import HatError, UserError
from hat.zoo import recipe_names, recipe_text
from tests.cli.conftest import Hat

COMMANDS = (
    *("run", "prepare", "train-super", "measure", "fit", "search", "train", "evaluate"),
    *("status", "translate", "export", "recipe", "cost", "import-checkpoint", "import-config"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(hat: Hat, command: str) -> None:
    result = hat(command, "--help")
    assert result.code == 0
    assert "Examples:" in result.out
    assert f"hat {command}" in result.out


def test_help_lists_all_commands(hat: Hat) -> None:
    shown = hat("--help").out
    assert all(command in shown for command in COMMANDS)
    assert hat("--version").out == f"hat {package.__version__}\n"


def test_usage_errors(hat: Hat) -> None:
    assert hat("fly").code == 2
    assert hat("run", "--fly").code == 2
    assert hat("recipe").code == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("a: wrong\nb: wrong"), 2, "hat: error: a: wrong\nhat: error: b: wrong\n"),
        (HatError("no luck"), 1, "hat: error: no luck\n"),
        (OSError(errno.ENOSPC, "No space", "/x/y"), 1, "hat: error: /x/y: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "error: /x: Permission denied"),
        (ValueError("oops"), 1, "hat: error: ValueError: oops (--debug shows the traceback)\n"),
    ],
)
def test_errors_are_one_line_each(
    hat: Hat, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, message: str
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("hat.zoo.recipe_text", fail)
    result = hat("recipe", "demo")
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err
    for arguments in (("--debug", "recipe", "demo"), ("recipe", "demo", "--debug")):
        result = hat(*arguments)
        assert result.code == code
        assert "Traceback" in result.err


@pytest.mark.parametrize("arguments", [("recipe", "demo"), ("zoo", "list", "--json"), ("--help",)])
def test_output_to_a_full_disk_is_one_line(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "hat.cli", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "hat: error: standard output: the disk is full\n"


def test_recipes(hat: Hat) -> None:
    for name in recipe_names():
        assert hat("recipe", name).out == recipe_text(name)
    listed = hat("run", "--list").out.splitlines()
    assert [line.split()[0] for line in listed] == recipe_names()
    assert "the built-in ones are demo" in hat("recipe", "none").err
    assert "hat run --list" in hat("run").err


def test_command_tree_is_exported() -> None:
    assert tree.info.name == "hat"
