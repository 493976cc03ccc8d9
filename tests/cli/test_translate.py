"""`hat translate`."""

import subprocess
import sys
from pathlib import Path

import pytest

from hat.runtime import Translator
from tests.cli.conftest import LINES, Hat, give

ROOT = Path(__file__).resolve().parents[2]


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
        (("--long-input", "cut"), "long_input: 'cut'; the choices are split, refuse"),
        (("--device", "abacus"), "device: 'abacus'; the choices are cpu, cuda"),
        (("--instruction-set", "avx2"), "instruction_set: 'avx2' is for the native engine only, not torch"),
        (
            ("--max-length", 1),
            "max_length: 1 leaves no room for a translation, which needs at least 2 tokens",
        ),
        (("--max-length", 10**9), "max_length: 1000000000 is more than 65536"),
        (("--threads", 10**12), "threads: 1000000000000 is more than 1024; this process may use"),
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
    result = hat("translate", model, "--engine", "torch", *arguments)
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


# `hat` in a process of its own, with an engine that repeats its input and starts at once.
ECHOING = """
import sys
from hat.cli import main
from hat.runtime.translator import translator
from tests.runtime.echo import Echo
translator.load_engine = lambda *_: Echo()
main(sys.argv[1:])
"""


def start(model: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", ECHOING, "translate", str(model), *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_reader_that_goes_away(model: Path) -> None:
    with start(model, "--batch", "4") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(f"{LINES[0]}\n" * 200)
        process.stdin.flush()
        assert process.stdout.readline() == f"{LINES[0]}\n"
        process.stdout.close()
        process.stdin.close()
        assert (process.wait(60), process.stderr.read()) == (0, "")


def test_a_slow_pipe_is_answered_line_by_line(model: Path) -> None:
    with start(model) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in LINES:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{line}\n"  # hangs where lines are held back
        process.stdin.write(LINES[0])  # the last one may have no newline
        assert process.communicate() == (f"{LINES[0]}\n", "")
    assert process.returncode == 0


def test_ending_while_input_is_still_open(model: Path) -> None:
    with start(model) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write(f"{LINES[0]}\n")
        process.stdin.flush()
        assert process.wait(60) == 0  # although more input might come
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_long_lines(hat: Hat, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = f"{LINES[0]}\n{' '.join(LINES * 20)}\n".encode()
    give(monkeypatch, content)
    assert len(hat("translate", model, "--threads", 1, "--beam", 1).out.splitlines()) == 2
    give(monkeypatch, content)
    result = hat("translate", model, "--engine", "torch", "--long-input", "refuse")
    assert result.code == 2
    assert "line 2: " in result.err
    assert "the most are 256" in result.err


def test_max_length(hat: Hat, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    for most in (2, 8):
        give(monkeypatch, LINES[0].encode())
        [line] = hat("translate", model, "--threads", 1, "--max-length", most).out.splitlines()
        lengths.append(len(line))
    assert lengths[0] < lengths[1]


def test_a_line_of_two_sentences_is_split_and_kept_whole_when_asked(
    hat: Hat, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = f"{LINES[0]}  {LINES[1]}"
    give(monkeypatch, "\n".join(LINES[:2]).encode())
    alone = hat("translate", model, "--threads", 1).out.splitlines()
    give(monkeypatch, pair.encode())
    result = hat("translate", model, "--threads", 1)
    assert result.out == "  ".join(alone) + "\n"
    assert result.err == "hat: lines translated sentence by sentence: 1\n"
    give(monkeypatch, pair.encode())
    with Translator.load(model, threads=1) as translator:
        [whole] = translator.translate([pair], split=False)
    result = hat("translate", model, "--threads", 1, "--no-split")
    assert (result.out, result.err) == (f"{whole}\n", "")


def test_what_became_of_odd_lines_is_said_in_one_line(
    hat: Hat, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [LINES[0], "\U0001f600", "", " ", "日本語", f"{LINES[0][:-1]} \U0001f600.", "tree " * 300]
    give(monkeypatch, "\n".join(lines).encode())
    result = hat("translate", model, "--threads", 1, "--beam", 1)
    found = result.out.removesuffix("\n").split("\n")
    assert len(found) == len(lines)
    assert found[1:5] == lines[1:5]
    assert "\U0001f600" in found[5]
    assert result.err == (
        "hat: lines with a sentence that was cut, being longer than those of the training text: 1; "
        "lines with words unknown to the model, which were copied: 1; "
        "lines without anything known to the model, left unchanged: 2\n"
    )
    give(monkeypatch, "\n".join(LINES).encode())
    assert hat("translate", model, "--threads", 1, "--beam", 1).err == ""
