"""Text from outside on a terminal and in Markdown: as it is, never as markup, never obeyed."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hat.cli.progress import Terminal
from hat.errors import command
from hat.hardware import Device
from hat.report import Table, print_report, print_status, to_markdown
from hat.report.tables import markdown
from tests.cli.conftest import Hat
from tests.report.example import report

__all__ = ["report"]  # a fixture

ESCAPES = "\x1b[31m\x9b2J\x07\u202e"
SHOWN = r"\x1b[31m\x9b2J\x07\u202e"
NAMES = ("a[/b]", "[red]x", "[link=x]y[/link]", ":warning:", "a\\[b", f"e{ESCAPES}")


def suggested(stage: str, name: str) -> str:
    """A command as it is shown: quoted for the shell, then made visible."""
    return command("hat", stage, f"runs/{name}").replace(ESCAPES, SHOWN)


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", NAMES)
def test_progress_shows_names_and_notes_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    shown = name.replace(ESCAPES, SHOWN)
    for stream in (io.StringIO(), Tty()):
        terminal = Terminal(stream)
        with terminal.working(f"{name} step") as progress:
            progress(1, 2, f"{name} note")
        terminal.say(f"said {name}")
        written = stream.getvalue()
        assert f"said {shown}\n" in written
        assert f"{shown} step: done in" in written
        assert ESCAPES not in written
        if stream.isatty():
            assert f"{shown} note" in written


@pytest.mark.parametrize("name", NAMES)
def test_status_and_report_show_names_as_they_are(
    name: str, report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = {
        "stage": "train",
        "step": f"train/{name}",
        "state": "to do",
        "changes": (f"changed {name}",),
        "cost": {"wall_seconds": 1.0, "device_seconds": 1.0},
        "skipped_updates": 0,
    }
    shown = name.replace(ESCAPES, SHOWN)
    print_status(Path("runs") / name, [step])
    out = capsys.readouterr().out
    assert f"train/{shown}" in out
    assert f"changed {shown}" in out
    assert f"`{suggested('train', name)}` alone" in out
    assert f"runs/{shown}\n" in out.replace(" ", "")
    report["folder"] = f"runs/{name}"
    report["environment"]["cpu"] = name
    report["samples"] = [{"source": f"{name} s", "reference": f"{name} r", "translation": f"{name} t"}]
    (tmp_path / "report.json").write_text(json.dumps(report))
    print_report(tmp_path)
    out = capsys.readouterr().out
    assert f"timed on {shown} with" in out
    assert f"source: {shown} s\n" in out
    assert f"{suggested('status', name)}\n" in out


def test_markdown_holds_text_and_no_markup(report: dict[str, Any]) -> None:
    report["run"] = "<b>run</b>"
    report["models"][0]["name"] = "a|b `c` <img src=x> [d](e) *f* _g_"
    report["environment"]["cpu"] = f"<script>&amp; {ESCAPES}\n# heading"
    hostile = "```\n# heading\n<script>alert(1)</script> ````` | x"
    report["samples"] = [{"source": hostile, "reference": "r\n```", "translation": "t"}]
    lines = to_markdown(report).split("\n")
    assert lines[0] == "# &lt;b&gt;run&lt;/b&gt;"
    [row] = [line for line in lines if line.startswith("| a")]
    assert row.startswith(r"| a\|b \`c\` &lt;img src=x&gt; \[d\](e) \*f* \_g_ |")
    [note] = [line for line in lines if "timed on" in line]
    escaped = SHOWN.replace("\\", "\\\\").replace("[", r"\[")
    assert rf"timed on &lt;script&gt;&amp;amp; {escaped}\\n# heading with" in note
    assert "<" not in note
    fences = [index for index, line in enumerate(lines) if line.startswith("``````") and set(line) == {"`"}]
    assert len(fences) == 2
    inside = lines[fences[0] + 1 : fences[1]]
    assert any(r"source: ```\n# heading\n<script>alert(1)</script> ````` | x" in line for line in inside)
    assert sum(line.startswith("# ") for line in lines) == 1


def test_markdown_leaves_plain_text_alone() -> None:
    for text in ("hat-60pct*", "0.27 ± 0.02", "snake_case", "nrefs:1|case:mixed", "60 % = 0.25 ms", "a – b"):
        assert markdown(text) == text
    assert markdown("* translates by default") == r"\* translates by default"
    assert Table("t", ("a",), ()).rows == ()


@pytest.mark.parametrize("name", NAMES)
def test_errors_show_names_as_they_are(hat: Hat, name: str) -> None:
    shown = name.replace(ESCAPES, SHOWN)
    for arguments in (
        ("cost", f"{name}.yaml"),
        ("run", f"./{name}.yaml"),
        ("run", "demo", "--set", f"seed={name}"),
    ):
        result = hat(*arguments)
        assert result.code == 2
        assert shown.replace("\\", "") in result.err.replace("\\", "")
        assert ESCAPES[0] not in result.err
    for arguments in (
        (f"--{name}",),
        ("run", f"--{name}"),
        ("doctor", name),
        ("predict", "a", name),
        (name,),
    ):
        result = hat(*arguments)
        assert result.code == 2
        assert not set("\x1b\x9b\x07\u202e") & set(result.err)


@pytest.mark.parametrize("command", ["cost", "run", "status", "translate", "import-config"])
def test_a_name_of_two_lines_is_printed_on_one(hat: Hat, command: str) -> None:
    result = hat(command, f"a\nhat: error: {ESCAPES}")
    assert result.code == 2
    assert result.err.startswith(f"hat: error: a\\nhat: error: {SHOWN}: ")
    assert len(result.err.splitlines()) == 1


def test_a_device_is_shown_as_it_is(hat: Hat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for name in NAMES:
        device = Device("odd", about=f"{name} GPU")
        monkeypatch.setattr("hat.hardware.known_devices", lambda file, one=device: {"odd": one})
        monkeypatch.setattr("hat.hardware.device_named", lambda name, file, one=device: one)
        for arguments in (("device", "list"), ("device", "show", "odd")):
            assert f"{name.replace(ESCAPES, SHOWN)} GPU" in hat(*arguments).out


def test_a_terminal_is_shown_translations_and_a_file_gets_them(
    hat: Hat, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hat.cli.commands.translate._rendered", lambda number, translation, nbest: [ESCAPES])
    monkeypatch.setattr("hat.cli.commands.translate.input_lines", lambda: iter(["The dog sleeps."]))
    assert hat("translate", model).out == f"{ESCAPES}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert hat("translate", model).out == f"{SHOWN}\n"
