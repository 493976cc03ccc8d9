"""Commands that read YAML or JSON refuse odd content in one line, with file and line, and exit code 2."""

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Hat
from tests.yaml_bomb import bomb

ODD = {
    "aliases": (bomb(9), 5),
    "itself": ("a: 1\nb: &x [*x]", 2),
    "date": ("a: 1\nb: !!timestamp 2024-99-99", 2),
    "number": ("a: 1\nb: !!int foo", 2),
    "huge": ("a: 1\nb: " + "9" * 5000, 2),
    "nan": ("a: 1\nb: .nan", 2),
    "tag": ("a: 1\nb: !!python/name:os.system", 2),
    "deep": ("a: 1\nb: " + "[" * 5000, 2),
    "bytes": ("a: 1\nb: \udcff", 2),
    "control": ("a: 1\nb: \x1b[31m", 2),
    "long": ("a: 1\n" + "k" * 200_000 + ": [", 2),
}
READERS = (
    ("cost",),
    ("bench-engines",),
    ("run",),
    ("prepare",),
    ("import-config",),
    ("predict",),
    ("device", "list", "--devices"),
    ("device", "check", "local", "--devices"),
)


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_odd_yaml_is_refused_with_its_line(
    hat: Hat, tmp_path: Path, command: tuple[str, ...], kind: str
) -> None:
    text, line = ODD[kind]
    path = tmp_path / "odd.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    result = hat(*command, path)
    assert (result.code, result.out) == (2, "")
    assert re.fullmatch(rf"hat: error: {path}:{line}: [^\x00-\x1f]+\n", result.err), result.err[:500]
    assert len(result.err) < 600


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n"format": NaN}', 2),
        ('{\n"format": 1,\n"format": 1}', 3),
        ("[\n" * 5000, 101),
        ('{\n"a": ' + "9" * 5000 + "}", 2),
        ('{\n"a": "\udcff"}', 2),
        ("{\n" + '"' + "k" * 200_000 + '": 1,\n}', 3),
    ],
)
def test_odd_json_is_refused_with_its_line(
    hat: Hat, model: Path, tmp_path: Path, text: str, line: int
) -> None:
    (tmp_path / "model").mkdir()
    for file in ("model.safetensors",):
        (tmp_path / "model" / file).write_bytes((model / file).read_bytes())
    path = tmp_path / "model" / "config.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    result = hat("translate", tmp_path / "model")
    assert result.code == 2
    assert result.err.startswith(f"hat: error: {path}:{line}: ")
    assert len(result.err) < 600
