"""Standard streams of the command line: UTF-8 in every locale; closed, gone, full, told in a line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Nothing but this decides what Python takes for the encoding of its streams.
LOCALE = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
HAT = f"{sys.executable} -m hat.cli"
# Repeats its lines as `hat translate` reads and writes them.
ECHO = """
from hat import cli
cli.app = lambda *_, **__: [cli.streams.print_line(line) for line in cli.streams.{lines}()]
cli.main([])
"""


def shell(command: str, text: bytes = b"", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        input=text,
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=120,
    )


def echo(
    text: bytes, redirected: str = "", lines: str = "input_lines"
) -> "subprocess.CompletedProcess[bytes]":
    return shell(f"{sys.executable} -c '{ECHO.format(lines=lines)}' {redirected}", text, **LOCALE)


def test_text_is_utf8_whatever_the_locale() -> None:
    text = "grün\u2028\x0b\x85 ein\rzwei ∀\n\n日本\n".encode()
    assert echo(text).stdout == text
    assert echo(text, lines="typed_lines").stdout == text


def test_lines_come_as_they_are_but_for_their_ends() -> None:
    assert echo(b"\xef\xbb\xbfone\r\ntwo\xef\xbb\xbf\r\r\nth\0ree\r").stdout == (
        b"one\ntwo\xef\xbb\xbf \nth\0ree \n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"fine\nno\xff\n", "standard input:2: not UTF-8 text (byte 3 of the line)"),
        ("one\n".encode("utf-16"), "standard input:1: this is UTF-16; convert it to UTF-8"),
        (b"\n" + b"a" * (3 << 20), "standard input:2: line over 1,048,576 bytes"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_line(text: bytes, message: str) -> None:
    done = echo(text)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"hat: error: {message}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("redirected", "message"),
    [
        ("<&-", "standard input is closed; give it text, for example < in.txt"),
        ("0>/dev/null", "standard input: cannot be read (Bad file descriptor)"),
    ],
)
def test_input_that_cannot_be_read_is_an_error_of_one_line(redirected: str, message: str) -> None:
    for lines in ("input_lines", "typed_lines"):
        done = echo(b"", redirected, lines)
        assert (done.returncode, done.stderr.decode()) == (2, f"hat: error: {message}\n")


def test_input_that_another_program_made_non_blocking_is_read_to_its_end() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    command = [sys.executable, "-c", ECHO.format(lines="input_lines")]
    with subprocess.Popen(command, stdin=read, stdout=subprocess.PIPE, cwd=ROOT) as process:
        os.close(read)
        assert process.stdout is not None
        for line in (b"one\n", b"two\n"):
            os.write(write, line)
            assert process.stdout.readline() == line
        os.close(write)
    assert process.returncode == 0


COMMANDS = ("--version", "zoo list", "recipe demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_output_is_an_error_of_one_line(command: str) -> None:
    done = shell(f"{HAT} {command} >&-")
    assert done.returncode == 2
    assert done.stderr == b"hat: error: standard output is closed; give it a file or a pipe, or /dev/null\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_goes_away_is_no_error(command: str) -> None:
    done = shell(f"{HAT} {command} | true")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", COMMANDS[:2])
def test_a_full_output_is_an_error_of_one_line(command: str) -> None:
    done = shell(f"{HAT} {command} > /dev/full")
    assert (done.returncode, done.stderr) == (1, b"hat: error: standard output: the disk is full\n")


def test_messages_that_nobody_takes_do_not_end_the_work() -> None:
    for redirected in ("2>&-", "2>/dev/full", "2> >(true)"):
        done = shell(f"{HAT} --version {redirected}")
        assert done.returncode == 0
        assert done.stdout.startswith(b"hat ")
        assert shell(f"{HAT} recipe none {redirected}").returncode == 2


def test_no_file_becomes_the_standard_stream_that_is_closed(tmp_path: Path) -> None:
    script = (
        "import os, sys; from hat.cli.streams import open_streams; open_streams(); "
        f"file = open('{tmp_path}/file', 'w'); assert file.fileno() > 2, file.fileno(); "
        "print('lost', file=sys.stderr); os.write(0, b'lost'); os.write(2, b'lost')"
    )
    assert shell(f'{sys.executable} -c "{script}" <&- 2>&-').returncode == 0
    assert (tmp_path / "file").read_bytes() == b""
