"""`hat import-checkpoint` and `hat import-config`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hat.architecture import Architecture
from hat.interop import load_reference_checkpoint
from hat.model import beam_search
from hat.recipe.recipe import Search
from hat.runtime import Artefact
from hat.space import DesignSpace
from hat.zoo import published_models, space
from tests.cli.conftest import Hat, give
from tests.golden.golden_case import SETTINGS, checkpoint, every_case, every_tag, read_case, read_json
from tests.interop.conftest import save  # noqa: F401 (a fixture)
from tests.interop.published_checkpoint import Save, published_args, published_tensors
from tests.interop.published_settings import CHOICES, MODEL, SEARCH, WMT_TRAINING, subtransformer
from tests.runtime.tiny_bpe import LINES, train_bpe


def write(path: Path, settings: object) -> Path:
    path.write_text(yaml.safe_dump(settings))
    return path


@every_case
def test_golden_models_arrive_unchanged(hat: Hat, tmp_path: Path, tag: str, case: str) -> None:
    golden = read_case(tag, case)
    arch = write(tmp_path / "sub.yml", subtransformer(golden.architecture))
    assert hat("import-checkpoint", checkpoint(tag), "--arch", arch, "--out", tmp_path / "model").code == 0
    artefact = Artefact.load(tmp_path / "model")
    model = golden.network.extract(golden.architecture)
    assert artefact.config.model == model.config
    for name, weight in model.named_parameters():
        assert np.array_equal(artefact.weights[name], weight.detach().numpy())
    # The decoding defaults are those of the published test scripts; the recording's bound is its own.
    setting = {"wmt": "beam4_lenpen0.6", "iwslt": "default"}[tag]
    options = replace(artefact.config.decode, min_length=2, max_length_offset=21)
    assert replace(options, nbest=options.beam) == SETTINGS[setting]
    for sentence, ranked in enumerate(beam_search(model, golden.source, options)):
        expected = golden.arrays[f"gen_{setting}_s{sentence}_h0_tokens"].tolist()
        assert list(ranked[0].tokens) == expected


@every_tag
def test_import_export_translate(hat: Hat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str) -> None:
    meta = read_json(f"{tag}_meta.json")
    sizes = (120, 120) if tag == "wmt" else (meta["n_src"], meta["n_tgt"])
    names = ("source.dict.txt", "target.dict.txt")
    for name, size in zip(names, sizes, strict=True):
        train_bpe(tmp_path, (name,), merges=200, size=size)  # all, so that @-@ is one piece
    dictionaries = ["--dict", tmp_path / names[0]]
    if tag == "iwslt":
        dictionaries += ["--dict", tmp_path / names[1]]
    arch = write(tmp_path / "arch.json", meta["configs"]["e40_d32_mixed"])
    model, small = tmp_path / "model", tmp_path / "int8"
    codes = ("--bpe-codes", tmp_path / "codes.bpe")
    given = ("--arch", arch, *dictionaries, *codes, "--source-lang", "en", "--out", model)
    assert hat("import-checkpoint", checkpoint(tag), *given).code == 0
    assert hat("export", model, "--precision", "int8", "--out", small).code == 0
    config = json.loads((small / "config.json").read_text())
    assert config["tokenizer"]["kind"] == "moses-bpe"
    assert config["tokenizer"]["joint"] is (tag == "wmt")
    assert config["tokenizer"]["moses"]["dash"] == "@-@"
    for folder in (model, small):
        give(monkeypatch, "".join(f"{line}\n" for line in LINES).encode())
        result = hat("translate", folder, "--engine", "torch", "--max-length", 9)
        assert (result.code, len(result.out.splitlines())) == (0, len(LINES)), result.err


def test_the_checkpoints_own_subtransformer(hat: Hat, save: Save, tmp_path: Path) -> None:  # noqa: F811
    own = {
        "encoder_embed_dim_subtransformer": 10,
        "decoder_embed_dim_subtransformer": 12,
        "encoder_layer_num_subtransformer": 2,
        "decoder_layer_num_subtransformer": 1,
        "encoder_ffn_embed_dim_all_subtransformer": [3, 5],
        "decoder_ffn_embed_dim_all_subtransformer": [4],
        "encoder_self_attention_heads_all_subtransformer": [2, 4],
        "decoder_self_attention_heads_all_subtransformer": [2],
        "decoder_ende_attention_heads_all_subtransformer": [1],
        "decoder_arbitrary_ende_attn_all_subtransformer": [1],
    }
    path = save(args=published_args(train_subtransformer=True, source_lang="fi", **own))
    result = hat("import-checkpoint", path, "--out", tmp_path / "model")
    assert "architecture: the checkpoint's settings" in result.out
    assert "no tokenizer" in result.out
    config = Artefact.load(tmp_path / "model").config
    assert config.model.architecture.encoder.embed_dim == 10
    assert config.model.architecture.decoder.layers[0].encoder_layers_attended == 2
    assert (config.source_language, config.target_language) == ("fi", "und")
    # Trained for none: the whole SuperTransformer.
    path = save(args=published_args(train_subtransformer=False, encoder_embed_dim_subtransformer=None))
    assert hat("import-checkpoint", path, "--out", tmp_path / "model").code == 0
    largest = load_reference_checkpoint(path).config.architecture
    assert Artefact.load(tmp_path / "model").config.model.architecture == largest


Bad = Callable[[Save, Path], list[object]]


def _cut(save: Save, tmp_path: Path) -> list[object]:  # noqa: F811
    path = save()
    path.write_bytes(path.read_bytes()[:3000])
    return [path]


def _missing(save: Save, tmp_path: Path) -> list[object]:  # noqa: F811
    tensors = published_tensors()
    del tensors["decoder.layers.0.fc1.weight"]
    return [save(tensors)]


def _object(save: Save, tmp_path: Path) -> list[object]:  # noqa: F811
    return [save(hook=tmp_path)]


def _wider(save: Save, tmp_path: Path) -> list[object]:  # noqa: F811
    path = save()
    value = load_reference_checkpoint(path).config.architecture.to_dict()
    value["encoder"]["layers"][0]["ffn_dim"] = 7
    return [path, "--arch", write(tmp_path / "a.yaml", value)]


def _deeper(save: Save, tmp_path: Path) -> list[object]:  # noqa: F811
    path = save()
    value = load_reference_checkpoint(path).config.architecture.to_dict()
    value["encoder"]["layers"].append({"ffn_dim": 2, "heads": 1})
    return [path, "--arch", write(tmp_path / "a.yaml", value)]


def _dictionary(save: Save, tmp_path: Path) -> list[object]:  # noqa: F811
    train_bpe(tmp_path)
    return [save(), "--dict", tmp_path / "joint.dict.txt", "--bpe-codes", tmp_path / "codes.bpe"]


def _codes_alone(save: Save, tmp_path: Path) -> list[object]:  # noqa: F811
    return [save(), "--bpe-codes", tmp_path / "codes.bpe"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (_cut, r"model.pt: cut short, damaged, or not a published checkpoint"),
        (_missing, "model.pt: tensor decoder.layers.0.fc1.weight is missing"),
        (_object, "model.pt: refused: holds pathlib."),
        (_wider, "a.yaml: outside the SuperTransformer: encoder.0.fc1.weight needs (7, 12), it has (6, 12)"),
        (_deeper, "a.yaml: outside the SuperTransformer: encoder.2.self_attention.qkv.weight needs"),
        (_dictionary, "pieces with the four special ones; the checkpoint has 11 for the source side"),
        (_codes_alone, "needs one or two dictionaries (--dict) and the merges (--bpe-codes)"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    hat: Hat,
    save: Save,  # noqa: F811
    tmp_path: Path,
    case: Bad,
    message: str,
) -> None:
    result = hat("import-checkpoint", *case(save, tmp_path), "--out", tmp_path / "out" / "model")
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_an_architecture_arrives_as_a_file_of_ours(hat: Hat, tmp_path: Path) -> None:
    architecture = Architecture.from_dict(published_models()[0]["architecture"])
    path, out = write(tmp_path / "sub.yml", subtransformer(architecture)), tmp_path / "arch.yaml"
    assert hat("import-config", path, "--out", out).code == 0
    assert Architecture.load(out) == architecture
    assert json.loads(hat("cost", out, "--json").out)["parameters"] == published_models()[0]["params"]
    both = write(tmp_path / "both.yml", {**WMT_TRAINING, **subtransformer(architecture)})
    assert hat("import-config", both, "--out", out).code == 0
    assert Architecture.load(out) == architecture


def test_sections_of_a_recipe(hat: Hat, tmp_path: Path) -> None:
    result = hat("import-config", write(tmp_path / "space0.yml", {**WMT_TRAINING, **MODEL, **CHOICES}))
    assert "#   arch: transformersuper_wmt_en_de" in result.out
    sections: dict[str, Any] = yaml.safe_load(result.out)
    assert DesignSpace.from_dict(sections["space"]) == space("wmt-space0")
    result = hat("import-config", write(tmp_path / "evo.yml", SEARCH))
    assert "# predictor is not a section of a recipe" in result.out
    assert Search(**yaml.safe_load(result.out)["search"]).constraints == ["200ms"]
    assert "Left out" not in result.out
    unlimited = {key: value for key, value in SEARCH.items() if key != "latency-constraint"}
    result = hat("import-config", write(tmp_path / "evo.yml", unlimited))
    assert "#   latency-constraint: the original's default, -1, admits no model" in result.out
    assert "constraints" not in yaml.safe_load(result.out)["search"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SEARCH, "parent-size": 200}, "parents: 200 of a population of 125"),
        ({**WMT_TRAINING, "max-update": 0}, "super_training.updates: Input should be greater than 0, not 0"),
        ({**CHOICES, "qkv-dim": 500}, "space.encoder_heads: 8 heads"),
        ({"x": 1}, "none of its keys"),
    ],
)
def test_impossible_settings(hat: Hat, tmp_path: Path, settings: object, message: str) -> None:
    result = hat("import-config", write(tmp_path / "c.yml", settings), "--out", tmp_path / "o.yaml")
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "o.yaml").exists()


def test_impossible_settings_have_their_line(hat: Hat, tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    for settings, key in (
        (SEARCH, "latency-constraint: -1"),
        (WMT_TRAINING, "max-update: 0"),
        (CHOICES, "encoder-self-attention-heads-choice: [3]"),
    ):
        others = {name: value for name, value in settings.items() if not key.startswith(f"{name}:")}
        path.write_text(f"{yaml.safe_dump(others)}{key}\n")
        line = len(path.read_text().splitlines())
        assert f"c.yml:{line}: " in hat("import-config", path).err


def test_the_file_itself_is_not_overwritten(hat: Hat, tmp_path: Path) -> None:
    path = write(tmp_path / "evo.yml", SEARCH)
    assert "would be lost" in hat("import-config", path, "--out", path).err
    notes = tmp_path / "notes.yaml"
    notes.write_text("years of work")
    assert "exists and is not" in hat("import-config", path, "--out", notes).err
    assert notes.read_text() == "years of work"
