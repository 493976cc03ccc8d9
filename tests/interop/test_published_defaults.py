"""Keys left out have the original's defaults; what HAT cannot express is refused by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hat.errors import UserError
from hat.interop import PublishedFile, read_published_yaml
from hat.interop.published_options import (
    ALIASES,
    ARCHITECTURES,
    DEFAULTS,
    FIXED,
    FIXED_TRAINING,
    IGNORED,
    SCHEDULES,
    Fixed,
)
from hat.training import TrainingSettings
from hat.zoo import space
from tests.interop.published_settings import CHOICES, IWSLT_TRAINING, MODEL, WMT_TRAINING, subtransformer

# The least that the published trainer takes for a training that HAT can express.
LEAST = {
    "optimizer": "adam",
    "adam-betas": "(0.9, 0.98)",
    "criterion": "label_smoothed_cross_entropy",
    "max-update": 100,
    "lr-scheduler": "inverse_sqrt",
}
# A file that has a section of each kind, so that the rest of it is filled in.
ASKING: dict[str, dict[str, Any]] = {
    "training": LEAST,
    "measure": {"latcpu": True},
    "search": {"evo-iter": 30},
    "evaluate": {"beam": 5},
    "predictor": {"hidden-dim": 400},
}


def read(tmp_path: Path, settings: dict[str, Any], **options: int) -> PublishedFile:
    path = tmp_path / "c.yml"
    path.write_text(yaml.safe_dump(settings))
    return read_published_yaml(path, **options)


@pytest.mark.parametrize(
    ("section", "name"), [(section, name) for section, names in DEFAULTS.items() for name in names]
)
def test_an_option_left_out_has_the_originals_default(tmp_path: Path, section: str, name: str) -> None:
    asking, default = ASKING[section], DEFAULTS[section][name]
    key = name.replace("_", "-")
    left_out, told = read(tmp_path, asking), read(tmp_path, {**asking, key: default})
    assert left_out == told
    other = (
        (not default)
        if isinstance(default, bool)
        else default / 2
        if name == "label_smoothing"
        else default + 1
    )
    if name == "label_smoothing":
        other = 0.25
    assert read(tmp_path, {**asking, key: other}) != told  # it is read


def test_the_least_training_is_the_originals(tmp_path: Path) -> None:
    sections = read(tmp_path, LEAST, gpus=1).sections
    assert sections == {
        "data": {"vocabulary": {"joint": False}},
        "super_training": {
            "updates": 100,
            "schedule": "inverse-sqrt",
            "learning_rate": 0.25,
            "floor_learning_rate": 0,
            "warmup": 4000,
            "label_smoothing": 0.0,
            "clip_norm": 25.0,
            "weight_decay": 0.0,
            "dropout": 0.1,
            "attention_dropout": 0.0,
            "accumulate": 1,
            "precision": "fp32",
        },
    }
    TrainingSettings(**sections["super_training"])


def test_the_cosines_own_defaults(tmp_path: Path) -> None:
    cosine = {**LEAST, "lr-scheduler": "cosine", "lr": 1e-6, "max-lr": 1e-3}
    training = read(tmp_path, cosine).sections["super_training"]
    assert (training["warmup"], training["floor_learning_rate"], training["learning_rate"]) == (0, 1e-6, 1e-3)
    del cosine["lr"]
    with pytest.raises(UserError, match=r"max-lr: 0\.001 is not more than lr, 0\.25"):
        read(tmp_path, cosine)
    assert SCHEDULES["inverse_sqrt"]["warmup_updates"] == 4000


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_dropout_is_the_architectures_where_it_is_left_out(tmp_path: Path, arch: str) -> None:
    training = read(tmp_path, {**LEAST, "arch": arch}).sections["super_training"]
    assert {name: training[name] for name in ("dropout", "attention_dropout")} == ARCHITECTURES[arch]
    told = read(tmp_path, {**LEAST, "arch": arch, "dropout": 0.2}).sections["super_training"]
    assert told["dropout"] == 0.2


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ({}, "fp32"),
        ({"fp16": False}, "fp32"),
        ({"fp16": True}, "auto"),
        ({"memory-efficient-fp16": True}, "auto"),
        ({"bf16": True, "fp16": False}, "bf16"),
        ({"memory-efficient-bf16": True}, "bf16"),
    ],
)
def test_precision(tmp_path: Path, flags: dict[str, bool], precision: str) -> None:
    training = read(tmp_path, {**LEAST, **flags}).sections["super_training"]
    assert TrainingSettings(**training).precision == precision


@pytest.mark.parametrize("name", FIXED)
def test_what_changes_the_network_or_decoding_is_refused(tmp_path: Path, name: str) -> None:
    _assert_only_the_supported(tmp_path, name, FIXED[name])


@pytest.mark.parametrize("name", FIXED_TRAINING)
def test_what_changes_the_training_is_refused(tmp_path: Path, name: str) -> None:
    _assert_only_the_supported(tmp_path, name, FIXED_TRAINING[name])


def _assert_only_the_supported(tmp_path: Path, name: str, fixed: Fixed) -> None:
    key = name.replace("_", "-")
    without = {k: v for k, v in WMT_TRAINING.items() if k not in (key, "label-smoothing")}
    for value in fixed.supported:
        read(tmp_path, {**without, key: value})
    if set(fixed.supported) != {False, True}:
        with pytest.raises(UserError, match=rf"c\.yml:\d+: {key}: 'another'; only"):
            read(tmp_path, {**without, key: "another"})
    if fixed.default not in fixed.supported:
        with pytest.raises(UserError, match=rf"c\.yml:\d+: {key}: left out, so .*, the original's default"):
            read(tmp_path, without)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**WMT_TRAINING, "encoder-n-experts": 4}, "unknown key encoder-n-experts"),
        ({**CHOICES, "encoder-n-experts-choice": [1, 2]}, "unknown key encoder-n-experts-choice"),
        ({**WMT_TRAINING, "encoder-n-experts-all-subtransformer": [1]}, "unknown key encoder-n-exp"),
        ({**WMT_TRAINING, "arch": "transformersuper_wmt_en_de_moe"}, "arch: 'transformersuper_.*_moe'; the"),
        ({**CHOICES, "arch": "automoe"}, "arch: 'automoe'; the ones known here are transformersuper"),
        ({**WMT_TRAINING, "arch": "transformersuper_wmt_en_de_big_t2t"}, "arch: .*t2t'; the"),  # pre-norm
        ({**WMT_TRAINING, "arch": ["transformersuper"]}, r"arch: \['transformersuper'\]; the"),
        ({**WMT_TRAINING, "quant-noise-pq": 0.1, "layernorm-embedding": True}, "unknown key layernorm"),
        ({**WMT_TRAINING, "warmup-init-lr": 1e-5}, "warmup-init-lr: 1e-05, but lr is 1e-07"),
        ({**WMT_TRAINING, "min-lr": 1e-6}, "min-lr: 1e-06 ends the training early; here it goes on to 1e-07"),
        ({**IWSLT_TRAINING, "min-lr": 0.0002}, "min-lr: 0.0002 ends .* to 0.000141"),
        ({**WMT_TRAINING, "lr": [0.1, 0.2]}, r"lr: \[0\.1, 0\.2\] is not a number"),
        ({**WMT_TRAINING, "update-freq": "nan"}, "update-freq: nan is not a number"),
        ({**WMT_TRAINING, "lr": ".inf"}, "lr: '.inf' is not a number"),
        ({**subtransformer(space("wmt-space0").largest()), "qkv-dim": 12.5}, r"qkv-dim: 12\.5 is not a list"),
        ({**WMT_TRAINING, "update-freq": 0.3}, "update-freq: .*not a positive whole number"),
        ({**WMT_TRAINING, "fp16": True, "bf16": True}, "fp16 and bf16: both"),
        ({**WMT_TRAINING, "batch-size": 64}, "max-sentences: 64; only None"),
        ({**WMT_TRAINING, "learning-rate": 1}, "lr: the same option as another key"),
        ({**MODEL, **CHOICES, "encoder-embed-dim": 768}, "encoder-embed-dim: 768, but the largest"),
        ({**IWSLT_TRAINING, "warmup-updates": 0}, "warmup-updates: 0; inverse_sqrt needs"),
        ({**IWSLT_TRAINING, "share-decoder-input-output-embed": True}, "share-decoder-input"),
        ({**LEAST, "criterion": "cross_entropy", "label-smoothing": 0.1}, "label-smoothing: no option"),
        ({**CHOICES, "lr-scheduler": "cosine"}, "missing key max-update"),
        ({**CHOICES, "encoder-embed-dim": 640, "decoder-embed-dim": 512}, "missing key qkv-dim"),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_refused_by_name(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=rf"c\.yml:\d+: {message}"):
        read(tmp_path, settings)


def test_what_changes_nothing_is_listed(tmp_path: Path) -> None:
    ignored = IGNORED - {"arch", "train_subtransformer", "latcpu", "latgpu"}  # which say something too
    found = read(tmp_path, {**LEAST, **{name.replace("_", "-"): 1 for name in ignored}})
    assert found.left.keys() == ignored
    assert found.sections == read(tmp_path, LEAST).sections


@pytest.mark.parametrize("alias", ["learning-rate", "wd"])
def test_an_option_goes_by_its_other_names_too(tmp_path: Path, alias: str) -> None:
    name = ALIASES[alias.replace("-", "_")].replace("_", "-")
    assert read(tmp_path, {**LEAST, alias: 0.01}) == read(tmp_path, {**LEAST, name: 0.01})


def test_a_search_on_fewer_validation_sentences(tmp_path: Path) -> None:
    search = read(tmp_path, {"evo-iter": 30, "valid-cnt-max": 3000}).sections["search"]
    assert search["validation_sentences"] == 3000


def test_queries_are_as_wide_as_the_embeddings_where_nobody_says(tmp_path: Path) -> None:
    whole = {**MODEL, **CHOICES}
    del whole["qkv-dim"]
    assert read(tmp_path, whole).sections["space"]["qkv_dim"] == [640]
    assert read(tmp_path, whole, qkv_dim=256).sections["space"]["qkv_dim"] == [256]


def test_queries_are_as_wide_as_the_networks_embeddings_where_nobody_says_either(tmp_path: Path) -> None:
    for arch, width in (("transformersuper_wmt_en_de_big", 1024), ("transformersuper_iwslt_de_en", 512)):
        assert read(tmp_path, {**CHOICES, "arch": arch}).sections["space"]["qkv_dim"] == [width]


def test_what_the_original_cannot_do_without_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, LEAST).absent.keys() == {"max_tokens"}
    assert read(tmp_path, {"evo-iter": 30}).absent.keys() == {"latency_constraint"}
    assert not read(tmp_path, {"evo-iter": 30, "latency-constraint": 200}).absent
    assert not read(tmp_path, {**LEAST, "max-tokens": 4096}).absent
    assert not read(tmp_path, CHOICES).absent


def test_a_learning_rate_that_is_never_reached_changes_nothing(tmp_path: Path) -> None:
    for training in (WMT_TRAINING, IWSLT_TRAINING):
        assert read(tmp_path, {**training, "min-lr": 1e-9}) == read(tmp_path, training)
    assert read(tmp_path, {**CHOICES, "min-lr": 1}).sections.keys() == {"space"}


def test_norwegian_is_a_language(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("source-lang: no\nlatcpu: no\nshare-all-embeddings: no\nlat-dataset-size: 9\n")
    assert read_published_yaml(path).sections["data"] == {
        "source_language": "no",
        "vocabulary": {"joint": False},
    }


def test_whole_files_that_leave_options_out(tmp_path: Path) -> None:
    wmt = {"arch": "transformersuper_wmt_en_de", "share-all-embeddings": True, "lr": 0.0007}
    absent = read(tmp_path, {**LEAST, **wmt}).sections
    training = absent["super_training"]
    assert (training["label_smoothing"], training["warmup"], training["learning_rate"]) == (0, 4000, 0.0007)
    assert absent["data"] == {"vocabulary": {"joint": True}}
    iwslt = {"arch": "transformersuper_iwslt_de_en", "source-lang": "de", "target-lang": "en"}
    brain = read(tmp_path, {**LEAST, **iwslt, "fp16": False, "bf16": True}).sections
    assert brain["super_training"]["precision"] == "bf16"
    assert brain["data"]["vocabulary"] == {"joint": False}
