"""`hat translate`."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from hat.runtime import Translator
from tests.cli.conftest import LINES, Hat


def give(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_lines_in_lines_out(hat: Hat, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Translator.load(model, threads=1) as translator:
        expected = [str(translation) for translation in translator.translate([*LINES, ""])]
    for content in ("\n".join([*LINES, ""]) + "\n", "\r\n".join([*LINES, "", ""])):
        give(monkeypatch, content.encode())
        result = hat("translate", model, "--threads", 1, "--batch", 2)
        assert result.code == 0
        assert result.out.split("\n")[:-1] == expected


def test_nbest(hat: Hat, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "\n".join(LINES[:2]).encode())
    result = hat("translate", model, "--nbest", 3, "--beam", 3, "--lenpen", 0.5, "--threads", 1)
    rows = [line.split(" ||| ") for line in result.out.splitlines()]
    assert [row[0] for row in rows] == ["0"] * 3 + ["1"] * 3
    scores = [float(row[2]) for row in rows]
    assert scores[:3] == sorted(scores[:3], reverse=True)


def test_interactive(hat: Hat, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "\n".join(LINES).encode())
    assert len(hat("translate", model, "-i", "--threads", 1).out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--nbest", 9), "nbest: 9 is more than the beam of 2"),
        (("--engine", "warp"), "no engine is called 'warp'; the engines are"),
        (("--model", "x"), "a single model"),
    ],
)
def test_mistakes(
    hat: Hat,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    message: str,
) -> None:
    give(monkeypatch, b"a\n")
    result = hat("translate", model, *arguments)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_not_utf8(hat: Hat, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, b"fine\nno\xff\n")
    result = hat("translate", model, "--threads", 1)
    assert result.code == 2
    assert "standard input:2: not UTF-8 text (byte 3 of the line)" in result.err


def test_no_model_there(hat: Hat, tmp_path: Path) -> None:
    assert "neither an artefact nor a run folder" in hat("translate", tmp_path).err


def test_reader_that_goes_away(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text(f"{LINES[0]}\n" * 200)
    hat = f"{sys.executable} -m hat.cli translate {model} --engine torch --beam 1 --threads 1 --batch 4"
    command = f"{hat} < {source} | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
