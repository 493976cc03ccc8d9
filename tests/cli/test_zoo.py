"""`hat zoo`."""

import json
import re
from pathlib import Path

from hat.architecture import Architecture
from hat.zoo import published_models
from hat.zoo.models import SOURCES, models
from tests.cli.conftest import Hat

MODEL = published_models()[5]


def test_every_figure_of_the_list_is_marked(hat: Hat) -> None:
    lines = hat("zoo", "list").out.splitlines()
    results = [result for one in models() for result in one.results]
    assert len(lines) == len(results) + 2  # the columns' names, and what the marks mean
    for line in lines[1:-1]:
        figures = re.findall(r"(?<=\s)[\d,.]+(?:M|G|MB)?(?=\s|$)", line)
        assert figures
        assert len(re.findall(r"(?<=\s)[\d,.]+(?:M|G|MB)? [psmc](?=\s|$)", line)) == len(figures), line
    for meaning in SOURCES.values():
        assert meaning in lines[-1]


def test_filters_and_json(hat: Hat) -> None:
    found = json.loads(hat("zoo", "list", "--task", "wmt14.en-de", "--device", "titan-xp", "--json").out)
    assert len(found) == 5
    [result] = found[0]["results"]
    assert (result["task"], result["device"]) == ("wmt14.en-de", "titan-xp")
    assert all(figure["source"] == "published" for figure in result["figures"].values())
    wrong = hat("zoo", "list", "--device", "x")
    assert (wrong.code, len(wrong.err.splitlines())) == (2, 1)


def test_show(hat: Hat) -> None:
    text = hat("zoo", "show", MODEL["name"]).out
    assert f"{MODEL['params']:,} parameters, {MODEL['flops']:,} FLOPs at 30 tokens" in text
    assert f"bleu: {MODEL['bleu']} (published)" in text
    record = json.loads(hat("zoo", "show", MODEL["name"], "--json").out)
    assert Architecture.from_dict(record["architecture"]) == Architecture.from_dict(MODEL["architecture"])
    assert record["cost"]["flops"] == MODEL["flops"]
    assert "secondary source" in hat("zoo", "show", "transformer-big").out
    assert hat("zoo", "show", "nobody").code == 2


def test_another_family_is_shown_and_exported(hat: Hat, tmp_path: Path) -> None:
    assert "family evolved\nembed_dim 512\nheads 8" in hat("zoo", "show", "evolved-transformer").out
    out = tmp_path / "arch.yaml"
    assert hat("zoo", "export", "evolved-transformer", "--out", out).code == 0
    assert json.loads(hat("cost", out, "--json").out)["flops"] == 2_853_212_394


def test_export(hat: Hat, tmp_path: Path) -> None:
    out = tmp_path / "arch.yaml"
    assert hat("zoo", "export", MODEL["name"], "--out", out).code == 0
    assert Architecture.load(out) == Architecture.from_dict(MODEL["architecture"])
    assert json.loads(hat("cost", out, "--json").out)["parameters"] == MODEL["params"]
    assert hat("zoo", "export", "transformer-big", "--out", out).code == 0
    out.write_text("# my own\n" + out.read_text())
    result = hat("zoo", "export", MODEL["name"], "--out", out)
    assert (result.code, "exists and is not an unchanged file of hat's" in result.err) == (2, True)
    assert out.read_text().startswith("# my own")
    assert hat("zoo", "export", "nobody", "--out", tmp_path / "none.yaml").code == 2
    assert not (tmp_path / "none.yaml").exists()
