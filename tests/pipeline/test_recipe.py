"""Recipes: errors name file, line and key; overrides; paths."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hat.architecture import EvolvedArchitecture, cost
from hat.errors import UserError
from hat.recipe.baselines import BASELINES, Baseline
from hat.recipe.constraint import Constraint
from hat.recipe.distillation import Distillation
from hat.recipe.file import design_space, load_recipe, save_recipe
from hat.recipe.paths import path_mark
from hat.recipe.recipe import Recipe
from hat.zoo import recipe_names


def write(tmp_path: Path, recipe: object) -> str:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return str(path)


def changed(recipe: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    node = recipe
    *parents, last = key.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    return recipe


EVOLVED = {"name": "et", "kind": "evolved", "embed_dim": 16, "heads": 2, "encoder_cells": 1}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sedd", 1, r"r\.yaml:\d+: sedd: unknown key; the known keys are name, seed, data"),
        ("data.vocabulary.sise", 9, r"data\.vocabulary\.sise: unknown key; the known keys are kind, size"),
        ("super_training.updats", 9, r"super_training\.updats: unknown key.*updates, batch_tokens"),
        ("super_training.updates", "many", r"r\.yaml:\d+: super_training\.updates: .*'many'"),
        ("super_training.updates", -1, r"super_training\.updates: .*greater than 0"),
        ("device.threads", 10**12, r"device\.threads: .* 1024"),
        (
            "search.constraints",
            ["fast"],
            r"search\.constraints: 'fast' is not a limit on latency; write it like 60ms",
        ),
        ("search.constraints", ["60%", "60 %"], r"the same constraint twice"),
        (
            "search.constraints",
            [200],
            r"search\.constraints: '200' is not a limit on latency: the unit is missing; .* 200ms",
        ),
        (
            "search.constraints",
            ["12.5"],
            r"constraints: '12\.5' is not a limit on latency: .* 12\.5ms, or 12\.5% of",
        ),
        (
            "search.constraints",
            200,
            r"search\.constraints: 200 is not a list; write it like \[12\.5ms, 60%\]",
        ),
        ("search.parents", 99, r"search: parents: 99 of a population of 6"),
        ("baselines", [{"name": "x"}], r"baselines\.0\.encoder_layers: missing"),
        (
            "baselines",
            [{"name": "x"}],
            r"this section needs it \(its keys are name, training, kind, encoder_layers",
        ),
        (
            "baselines",
            [{"name": "x", "kind": "rnn"}],
            r"0: kind: 'rnn'; the choices are transformer, evolved",
        ),
        ("baselines", [{**EVOLVED, "ffn_dim": 9}], r"baselines\.0\.ffn_dim: unknown key; .* encoder_cells"),
        ("baselines", [{**EVOLVED, "heads": 3}], r"baselines\.0: heads: 3 heads do not divide embed_dim 16"),
        ("baselines", [{**EVOLVED, "name": "a b"}], r"baselines\.0\.name: 'a b' cannot name a folder"),
        (
            "baselines",
            [{**EVOLVED, "training": {"updats": 9}}],
            r"0\.training\.updats: unknown key; the known keys are updates, batch_tokens",
        ),
        ("baselines", [{**EVOLVED, "training": {"updates": 0}}], r"0\.training\.updates: .*greater than 0"),
        ("baselines", [{**EVOLVED, "training": 9}], r"0\.training: .*, not 9"),
        ("space", "huge", r"no design space 'huge'; the built-in ones are"),
        ("space", [], r"r\.yaml:\d+: space: expected the name of a design space, or its choices, not \[\]$"),
        ("device.engine", "foo", r"device\.engine: no engine is called 'foo'; the engines are auto, native"),
        ("device.precision", "kmeans9", r"device\.precision: 'kmeans9'; the choices are float32, .*kmeans8"),
        ("space.qkv_dim", [30], r"heads .*do not divide qkv_dim 30"),
        ("space.encoder_layers_attended", [3], r"attends to more layers"),
        ("data.corpus", "files", r"data: corpus files needs train, valid, test"),
        ("data.train", {"source": "a"}, r"data\.train: give either source and target, or tsv"),
        (
            "super_training.learning_rate",
            "inf",
            r"super_training\.learning_rate: .* finite number, not 'inf'",
        ),
        ("evaluate.length_penalty", "-inf", r"evaluate\.length_penalty: .* not '-inf'"),
        ("data.cleaning", {"max_ratio": "nan"}, r"data\.cleaning\.max_ratio: .* not 'nan'"),
        ("name", "../x", r"'\.\./x' cannot name a folder"),
        ("train.mode", "magic", r"train\.mode: .*'fine-tune' or 'scratch'"),
    ],
)
def test_bad_recipes(tmp_path: Path, tiny: dict[str, Any], key: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe(write(tmp_path, changed(tiny, key, value)))


def test_a_baseline_changes_its_training(tmp_path: Path, tiny: dict[str, Any]) -> None:
    tiny["baselines"] = [{**EVOLVED, "training": {"learning_rate": 0.003}}, {**EVOLVED, "name": "other"}]
    recipe = load_recipe(write(tmp_path, tiny))
    changed, other = (one.training for one in recipe.baselines)
    assert changed == recipe.baseline_training.model_copy(update={"learning_rate": 0.003})
    assert other is None


def test_every_mistake_has_its_line(tmp_path: Path, tiny: dict[str, Any]) -> None:
    tiny["sedd"] = 1
    tiny["measure"]["runds"] = 2
    path = write(tmp_path, tiny)
    with pytest.raises(UserError) as caught:
        load_recipe(path)
    lines = str(caught.value).splitlines()
    text = Path(path).read_text().splitlines()
    assert len(lines) == 2
    for line, key in zip(sorted(lines), ("runds", "sedd"), strict=True):
        number = int(line.removeprefix(f"{path}:").split(":")[0])
        assert text[number - 1].strip().startswith(key)


def test_a_key_twice(tmp_path: Path, tiny: dict[str, Any]) -> None:
    path = Path(write(tmp_path, tiny))
    text = path.read_text()
    path.write_text(f"{text}search: {{}}\n")
    line = len(text.splitlines()) + 1
    with pytest.raises(UserError, match=rf"r\.yaml:{line}: the key search twice"):
        load_recipe(str(path))


def test_two_models_of_one_name(tmp_path: Path, tiny: dict[str, Any]) -> None:
    for name in ("hat-70pct", "largest", "latencies"):
        tiny["baselines"][0]["name"] = name
        with pytest.raises(UserError, match=f"{name} is taken"):
            load_recipe(write(tmp_path, tiny))


def test_transformer_big_is_a_baseline_and_so_is_one_of_any_qkv_dim() -> None:
    layers = {"name": "x", "encoder_layers": 6, "decoder_layers": 6}
    big = Baseline(**layers, embed_dim=1024, ffn_dim=4096, heads=16).architecture()
    assert cost(big).parameters == pytest.approx(176e6, rel=0.005)
    assert cost(big).flops == pytest.approx(10.6e9, rel=0.005)
    narrow = Baseline(**layers, embed_dim=640, qkv_dim=512, ffn_dim=2048, heads=8).architecture()
    assert (narrow.qkv_dim, narrow.encoder_dim, narrow.decoder_dim) == (512, 640, 640)


def test_an_evolved_transformer_is_a_baseline(tmp_path: Path, tiny: dict[str, Any]) -> None:
    tiny["baselines"].append(EVOLVED)
    recipe = load_recipe(write(tmp_path, tiny))
    assert [one.architecture() for one in recipe.baselines][1] == EvolvedArchitecture(16, 2, 1, 4)
    save_recipe(tmp_path / "again.yaml", recipe)
    assert load_recipe(str(tmp_path / "again.yaml")) == recipe
    tiny["device"] = {"latencies": "published.csv"}
    with pytest.raises(UserError, match="et: published latencies say nothing about an Evolved Transformer"):
        load_recipe(write(tmp_path, tiny))


def test_heads_must_divide(tmp_path: Path, tiny: dict[str, Any]) -> None:
    tiny["baselines"][0]["heads"] = 3
    with pytest.raises(UserError, match=r"baselines\.0: .*3 heads do not divide qkv_dim 32"):
        load_recipe(write(tmp_path, tiny))


def test_a_path_that_cannot_be_is_told(tmp_path: Path, tiny: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"r\.yaml:\d+: data\.root: '~nobody-here/x' is not a path here: "):
        load_recipe(write(tmp_path, changed(tiny, "data.root", "~nobody-here/x")))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "name: [", "a: b: c"])
def test_no_recipe_at_all(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"r\.yaml"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nseed: 2024-99-99", r"r\.yaml:2: seed: .* not '2024-99-99'$"),
        ("name: x\nseed: !!int foo", r"^\S*r\.yaml:2: 'foo' is not a whole number"),
        ("name: &x [*x]", r"^\S*r\.yaml:1: an alias inside the part that it repeats$"),
        (f"name: x\n{'k' * 1000}: 1", r"r\.yaml:2: k*…: unknown key"),
        (f"name: x\nseed: {'v' * 10**5}", r"r\.yaml:2: seed: .* not 'v*…$"),
    ],
)
def test_odd_values_are_told_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        load_recipe(str(path))
    assert any(re.search(message, line) for line in str(refused.value).splitlines())
    assert len(str(refused.value)) < 2000


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such recipe file"):
        load_recipe(str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match=r"built-in recipe \(.*demo"):
        load_recipe("dmeo")


def test_overrides(recipe_file: Path) -> None:
    recipe = load_recipe(
        str(recipe_file),
        [
            "super_training.updates=7",
            "search.constraints=[50%, 12.5ms]",
            "baselines.0.name=other",
            "data.cleaning.max_ratio=4",
        ],
    )
    assert recipe.super_training.updates == 7
    assert recipe.search.constraints == ["50%", "12.5ms"]
    assert recipe.baselines[0].name == "other"
    assert recipe.data.cleaning.max_ratio == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "write it as key=value"),
        ("=3", "write it as key=value"),
        ("seed.x=3", "seed is 1, which has no parts"),
        ("baselines.7.name=x", "number from 0 to 0"),
        ("baselines.٣.name=x", "number from 0 to 0"),
        (f"baselines.{'9' * 5000}.name=x", "number from 0 to 0"),
        ("seed=[", r"^--set seed=\[: not a YAML value: "),
        ("seed=!!int foo", "^--set seed=!!int foo: not a YAML value: 'foo' is not a whole number"),
        ("seed=&x [*x]", "^--set .*: an alias inside the part that it repeats"),
        ("seed=.nan", "^--set .*: '.nan' is not a finite number"),
        (f"seed={'[' * 9999}", "^--set .*: nested deeper than 50 levels$"),
        (f"seed{'.x' * 9999}=1", "^--set .*: no key of a recipe has more than 20 parts$"),
        ("seed..x=1", "write it as key=value"),
        ("seed=2024-13-01", r"\.yaml: seed: .* not '2024-13-01' \(from --set seed=2024-13-01\)$"),
        ("seed=2024-12-01", r"\.yaml: seed: .* not '2024-12-01' \(from --set seed=2024-12-01\)$"),
        ("search={runs: 1}", r"search\.runs: unknown key.*\(from --set search={runs: 1}\)$"),
        (f"sedd={'x' * 10**5}", r"sedd: unknown key.*\(from --set sedd=x*…\)$"),
        ("sedd=3", "sedd: unknown key"),
    ],
)
def test_bad_overrides(recipe_file: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        load_recipe(str(recipe_file), ["seed=1", override])
    assert len(str(refused.value)) < 1500


def test_root_is_relative_to_the_recipe(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPORA", "texts")
    path = write(tmp_path, changed(tiny, "data.root", "$CORPORA/x"))
    assert load_recipe(path).data.root == str(tmp_path.resolve() / "texts" / "x")
    monkeypatch.setenv("HOME", "/home/me")
    assert load_recipe(path, ["data.root=~/y"]).data.root == "/home/me/y"


def test_what_is_no_path_is_told_with_its_line_or_option(tmp_path: Path, tiny: dict[str, Any]) -> None:
    path = write(tmp_path, changed(tiny, "data.root", "~nobody-here/x"))
    line = next(n for n, text in enumerate(Path(path).read_text().splitlines(), 1) if "nobody" in text)
    with pytest.raises(UserError, match=rf"\.yaml:{line}: data\.root: '~nobody-here/x' is not a path here"):
        load_recipe(path)
    with pytest.raises(UserError, match=r"\.yaml: data\.cache: .* \(from --set data\.cache=~nobody-here\)$"):
        load_recipe(path, ["data.root=x", "data.cache=~nobody-here"])
    with pytest.raises(UserError, match=r"\.yaml: space: .* 'huge'; .* \(from --set space=huge\)$"):
        load_recipe(path, ["data.root=x", "space=huge"])


def test_every_path_is_relative_to_the_recipe_and_absolute_when_loaded(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB", "lab")
    monkeypatch.setenv("HOME", "/home/me")
    tiny["device"] = {"name": "pi", "file": "$LAB/devices.yaml", "latencies": "../pi.csv"}
    tiny["data"] |= {"root": "text", "offline": "disk", "cache": "~/cache"}
    tiny["distillation"] = {"teacher": "./teacher"}
    (tmp_path / "recipes").mkdir()
    recipe = load_recipe(write(tmp_path / "recipes", tiny))
    folder = tmp_path.resolve()
    assert recipe.device.file == str(folder / "recipes" / "lab" / "devices.yaml")
    assert recipe.device.latencies == str(folder / "pi.csv")
    assert recipe.data.root == str(folder / "recipes" / "text")
    assert recipe.data.offline == str(folder / "recipes" / "disk")
    assert recipe.data.cache == "/home/me/cache"
    assert recipe.distillation is not None
    assert recipe.distillation.teacher == str(folder / "recipes" / "teacher")
    assert load_recipe(write(tmp_path, tiny), ["distillation.teacher=base"]).distillation == Distillation(
        teacher="base"
    )


def test_no_field_of_text_is_forgotten_that_holds_a_path() -> None:
    """A new field of text is either a RecipePath or named here."""
    no_paths = {
        *(
            "Recipe.name",
            "Recipe.space",
            "DeviceSettings.precision",
            "DeviceSettings.name",
            "DeviceSettings.engine",
        ),
        *("Data.source_language", "Data.target_language", "Data.mirrors"),
        # Relative to data.root, which is absolute.
        *("CorpusFiles.source", "CorpusFiles.target", "CorpusFiles.tsv"),
        *("Archive.url", "Archive.name", "Archive.sha256"),
        *("Extract.archive", "Extract.source", "Extract.target", "Extract.tsv"),
        *("Search.constraints", *(f"{section.__name__}.name" for section in BASELINES.values())),
    }
    marked, others = set(), set()
    for section, name, field in fields(Recipe):
        if path_mark(field):
            marked.add(f"{section.__name__}.{name}")
        elif str in parts(field.annotation):
            others.add(f"{section.__name__}.{name}")
    assert others == no_paths
    assert marked == {
        *("Data.root", "Data.offline", "Data.cache"),
        *("DeviceSettings.file", "DeviceSettings.latencies", "Distillation.teacher"),
    }


def fields(section: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str, FieldInfo]]:
    """All fields of a section, and of the sections in it."""
    for name, field in section.model_fields.items():
        yield section, name, field
        for kind in parts(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from fields(kind)


def parts(annotation: Any) -> list[Any]:
    """A type and all that it is made of, but not the keys and values of mappings."""
    if get_origin(annotation) is dict:
        return [dict]
    return [annotation, *(part for one in get_args(annotation) for part in parts(one))]


def test_the_file_that_declares_the_device_is_remembered(
    tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices.yaml").write_text("devices: {pi: {threads: 1}}")
    path = write(tmp_path, tiny)
    assert load_recipe(path).device.file is None
    assert load_recipe(path, ["device.name=pi"]).device.file == str(tmp_path / "devices.yaml")
    assert load_recipe(path, ["device.name=other"]).device.file is None


def test_saved_recipe_reads_back_equal(tmp_path: Path, recipe_file: Path) -> None:
    recipe = load_recipe(str(recipe_file))
    save_recipe(tmp_path / "saved.yaml", recipe)
    assert load_recipe(str(tmp_path / "saved.yaml")) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_built_in_recipes(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    space = design_space(recipe)
    assert space.smallest() in space


def test_every_field_is_described() -> None:
    def undescribed(section: type[BaseModel]) -> list[str]:
        found = []
        for name, field in section.model_fields.items():
            if not field.description:
                found.append(f"{section.__name__}.{name}")
            kinds = (field.annotation, *get_args(field.annotation))
            for kind in kinds:
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    found += undescribed(kind)
        return found

    assert undescribed(Recipe) == []


def test_constraints() -> None:
    for text, name, limit in (("60%", "hat-60pct", 30), ("12.5 ms", "hat-12.5ms", 12.5)):
        constraint = Constraint.parse(text)
        assert (constraint.text, constraint.name) == (text.replace(" ", ""), name)
        assert constraint == Constraint.parse(f"latency = {text}")
        assert constraint.limits[0].of(50) == limit
    for text in ("0%", "-3ms", "12", "ms", "1e3ms"):
        with pytest.raises(ValueError, match="not a limit on latency"):
            Constraint.parse(text)


def test_limits_on_several_costs_make_one_constraint_in_any_order() -> None:
    one, other = (Constraint.parse(t) for t in ("40ms and memory=64MB", "memory = 64 MB  and  latency=40ms"))
    assert one == other
    assert (one.text, one.name) == ("latency=40ms and memory=64MB", "hat-40ms-memory-64MB")
    assert [limit.of(200) for limit in one.limits] == [40, 64e6]
    shares = Constraint.parse("size=60% and parameters=3M and flops=1.5G")
    assert shares.name == "hat-size-60pct-parameters-3M-flops-1.5G"
    assert [limit.of(200) for limit in shares.limits] == [120, 3e6, 1.5e9]


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (
            "[200]",
            "'200' is not a limit on latency: the unit is missing; write it like 200ms, or 200% of",
        ),
        ("[sise=8MB]", "no cost is called 'sise'; the costs are latency, memory, size, parameters, flops"),
        (
            "[size=8]",
            "'size=8' is not a limit on size: the unit is missing; write it like 8kB, 8MB, 8GB, or 8% of",
        ),
        (
            "[memory=40ms]",
            "is not a limit on memory; write it like 40kB, 40MB, 40GB, or 40% of the largest's",
        ),
        (
            "[parameters=3MB]",
            "is not a limit on parameters; write it like 3, 3k, 3M, 3G, or 3% of the largest's",
        ),
        ("['60%, memory=64MB']", "limits of one model are joined by `and`, not by commas"),
        ("[60% and 40ms]", "latency is limited twice; give each cost one limit"),
        ("[60%, latency=60%]", "the same constraint twice"),
        ("[60% and]", "is not a limit on latency"),
    ],
)
def test_an_impossible_constraint_is_refused_in_one_line(
    recipe_file: Path, constraints: str, message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as told:
        load_recipe(str(recipe_file), [f"search.constraints={constraints}"])
    assert "\n" not in str(told.value)
    assert "search: constraints" in str(told.value) or "search.constraints" in str(told.value)
