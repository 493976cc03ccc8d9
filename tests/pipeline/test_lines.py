"""Text of any content through a run: pairs stay pairs."""

import lzma
from pathlib import Path
from typing import Any

import pytest
import yaml

from hat.errors import UserError
from hat.pipeline import load_recipe, run
from hat.pipeline.models.scoring import read_pair
from hat.pipeline.steps.results import TEST, VALIDATION
from hat.zoo import recipe_names

# One wherever somebody else would end a line, on another line of each side.
SPLITTERS = ("\r", "\u2028", "\x85", "\x0b", "\x0c", "\x1c")


def corpus(count: int) -> list[tuple[str, str]]:
    pairs = [(f"the tower {n} is open", f"der Turm {n} ist offen") for n in range(count)]
    for number, mark in enumerate(SPLITTERS):
        source, target = pairs[2 * number]
        pairs[2 * number] = (source.replace(" is", f"{mark}is"), target)
        source, target = pairs[2 * number + 1]
        pairs[2 * number + 1] = (source, target.replace(" ist", f"{mark}ist"))
    return pairs


def write_texts(folder: Path, parts: dict[str, list[tuple[str, str]]], *, end: str) -> dict[str, Any]:
    """One file a side for each part, whose lines end with `end`; returns the recipe's entries of them."""
    data = {}
    for name, pairs in parts.items():
        data[name] = {side: f"{name}.{side}" for side in ("source", "target")}
        for file, sentences in zip(data[name].values(), zip(*pairs, strict=True), strict=True):
            (folder / file).write_bytes("".join(f"{sentence}{end}" for sentence in sentences).encode())
    return data


def write_recipe(tiny: dict[str, Any], folder: Path, data: dict[str, Any]) -> Path:
    recipe = tiny | {"data": {"corpus": "files", "vocabulary": {"size": 60}, **data}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "recipe.yaml"


def prepared(recipe: Path, root: Path) -> Path:
    run(load_recipe(str(recipe)), root, stages=["prepare"])
    [report] = root.glob("steps/prepare/*/report.json")
    return report.parent


def test_pairs_stay_pairs_whatever_is_inside_their_sentences(tiny: dict[str, Any], tmp_path: Path) -> None:
    pairs = corpus(100)
    data = write_texts(tmp_path, dict.fromkeys(("train", "valid", "test"), pairs), end="\r\n")
    folder = prepared(write_recipe(tiny, tmp_path, data), tmp_path / "run")
    for names in (TEST, VALIDATION):
        assert list(zip(*read_pair(folder, names), strict=True)) == pairs


def test_a_carriage_return_shifts_no_reference(tiny: dict[str, Any], tmp_path: Path) -> None:
    """One in a source and one in a reference, on different lines, where lines end with a line feed."""
    pairs = [(f"the tower {n} is open", f"der Turm {n} ist offen") for n in range(140)]
    parts = {"train": pairs[:100], "valid": pairs[100:120], "test": pairs[120:]}
    clean = [list(side) for side in zip(*parts["test"], strict=True)]
    broken = [list(side) for side in clean]
    broken[0][1] = broken[0][1].replace("the", "the\r")
    broken[1][17] = broken[1][17].replace("der", "der\r")
    parts["test"] = list(zip(*broken, strict=True))
    data = write_texts(tmp_path, parts, end="\n")
    folder = prepared(write_recipe(tiny, tmp_path, data), tmp_path / "run")
    for found, sentences in zip(read_pair(folder, TEST), clean, strict=True):
        assert [line.replace("\r", "") for line in found] == sentences


def test_columns_of_a_compressed_tsv(tiny: dict[str, Any], tmp_path: Path) -> None:
    pairs = corpus(100)
    rows = "".join(f"0.9\t{target}\t{source}\n" for source, target in pairs)
    (tmp_path / "ALL.TSV").write_bytes(lzma.compress(rows.encode()))
    part = {"tsv": "ALL.TSV", "columns": [3, 2]}
    recipe = write_recipe(tiny, tmp_path, dict.fromkeys(("train", "valid", "test"), part))
    folder = prepared(recipe, tmp_path / "run")
    assert list(zip(*read_pair(folder, TEST), strict=True)) == pairs
    # Other columns are another text.
    other = {"tsv": "ALL.TSV", "columns": [2, 3]}
    write_recipe(tiny, tmp_path, {"train": part, "valid": part, "test": other})
    run(load_recipe(str(recipe)), tmp_path / "run", stages=["prepare"])
    assert len([*(tmp_path / "run").glob("steps/prepare/*/report.json")]) == 2


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"tsv": "a", "columns": [1]}, "columns"),
        ({"tsv": "a", "columns": [0, 1]}, r"columns: \[0, 1\] are not two different ones, counted from 1"),
        ({"tsv": "a", "columns": [2, 2]}, r"columns: \[2, 2\] are not two different ones, counted from 1"),
        ({"source": "a", "target": "b", "columns": [1, 2]}, "columns: only a tsv has them"),
    ],
)
def test_columns_that_cannot_be(
    tiny: dict[str, Any], tmp_path: Path, part: dict[str, Any], message: str
) -> None:
    recipe = write_recipe(tiny, tmp_path, {"train": part, "valid": {"tsv": "v"}, "test": {"tsv": "t"}})
    with pytest.raises(UserError, match=message):
        load_recipe(str(recipe))


def test_the_built_in_recipes_download_over_https() -> None:
    for name in recipe_names():
        data = load_recipe(name).data
        urls = [archive.url for archive in data.acquire.archives] if data.acquire else []
        assert all(url.startswith("https://") for url in (*urls, *data.mirrors)), name
