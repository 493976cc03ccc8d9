"""The published code's YAML files, a whole set of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hat.architecture import Architecture
from hat.errors import UserError
from hat.interop import read_architecture, read_published_yaml
from hat.space import DesignSpace
from hat.training import TrainingSettings
from hat.zoo import published_models, space
from tests.interop.published_settings import (
    CHOICES,
    IWSLT_TRAINING,
    LATENCY,
    LOGGING,
    MODEL,
    PREDICTOR,
    SEARCH,
    WMT_TRAINING,
    subtransformer,
)


def write(tmp_path: Path, settings: object) -> Path:
    path = tmp_path / "c.yml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.mark.parametrize("model", published_models(), ids=lambda model: str(model["name"]))
def test_subtransformers(tmp_path: Path, model: dict[str, Any]) -> None:
    architecture = Architecture.from_dict(model["architecture"])
    path = write(tmp_path, subtransformer(architecture))
    found = read_published_yaml(path)
    assert (found.architecture, found.sections, found.left) == (architecture, {}, {})
    assert read_architecture(path, 8) != architecture  # whose qkv_dim is not told there
    assert read_architecture(path, architecture.qkv_dim) == architecture


def test_supertransformer_of_wmt(tmp_path: Path) -> None:
    found = read_published_yaml(write(tmp_path, {**WMT_TRAINING, **MODEL, **CHOICES}))
    assert found.architecture is None
    assert DesignSpace.from_dict(found.sections["space"]) == space("wmt-space0")
    settings = TrainingSettings(**found.sections["super_training"])
    assert settings == TrainingSettings(
        updates=40000,
        batch_tokens=4096,
        accumulate=128,  # 16 updates' worth on each of 8 GPUs
        schedule="cosine",
        learning_rate=1e-3,
        floor_learning_rate=1e-7,
        warmup=10000,
        dropout=0.3,
        attention_dropout=0.1,
    )
    assert found.sections["data"] == {"vocabulary": {"joint": True}}
    assert found.left.keys() == {"arch", "data", "ddp_backend", "lr_shrink"} | {
        key.replace("-", "_") for key in LOGGING
    }
    few = read_published_yaml(write(tmp_path, WMT_TRAINING), gpus=2)
    assert few.sections["super_training"]["accumulate"] == 32


def test_subtransformer_training_of_iwslt(tmp_path: Path) -> None:
    architecture = Architecture.from_dict(published_models()[-1]["architecture"])
    settings = {**IWSLT_TRAINING, **MODEL, **subtransformer(architecture)}
    found = read_published_yaml(write(tmp_path, settings))
    assert found.architecture == architecture
    # Nothing is tied where the file does not say so.
    languages = {"source_language": "de", "target_language": "en"}
    assert found.sections["data"] == {**languages, "vocabulary": {"joint": False}}
    training = TrainingSettings(**found.sections["sub_training"])
    assert (training.schedule, training.learning_rate, training.warmup) == ("inverse-sqrt", 5e-4, 4000)
    assert (training.clip_norm, training.weight_decay, training.accumulate) == (25, 1e-4, 1)
    assert (training.precision, training.dropout) == ("fp32", 0.375)
    several = read_published_yaml(write(tmp_path, {**IWSLT_TRAINING, "distributed-world-size": 4}))
    assert several.sections["sub_training"]["accumulate"] == 4


def test_latency_data(tmp_path: Path) -> None:
    found = read_published_yaml(write(tmp_path, LATENCY))
    assert found.sections["measure"] == {"samples": 2000, "rounds": 20}
    assert found.sections["space"]["encoder_ffn_dim"] == [3072, 2048, 1024, 512]
    assert found.sections.keys() == {"measure", "space"}


def test_search_and_predictor(tmp_path: Path) -> None:
    found = read_published_yaml(write(tmp_path, SEARCH))
    assert found.sections["search"] == {
        "population": 125,
        "parents": 25,
        "mutations": 50,
        "mutation_probability": 0.3,
        "crossovers": 50,
        "iterations": 30,
        "validation_sentences": 10**9,  # all, where the file does not say
        "constraints": ["200ms"],
    }
    predictor = read_published_yaml(write(tmp_path, PREDICTOR)).sections["predictor"]
    assert predictor["latency_norm"] == 300
    assert (predictor["hidden_dim"], predictor["hidden_layers"], len(predictor["feature_norm"])) == (
        400,
        3,
        10,
    )


def test_names_may_be_those_of_python(tmp_path: Path) -> None:
    underscored = {key.replace("-", "_"): value for key, value in CHOICES.items()}
    assert read_published_yaml(write(tmp_path, underscored)).sections["space"]["qkv_dim"] == [512]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**WMT_TRAINING, "lr-scheduler": "fixed"}, "lr-scheduler: 'fixed'; the choices are cosine"),
        ({**WMT_TRAINING, "optimizer": "sgd"}, "optimizer: 'sgd'; only 'adam' is supported"),
        ({**WMT_TRAINING, "decoder-normalize-before": True}, "decoder-normalize-before: True; only False"),
        ({**WMT_TRAINING, "dropout": "much"}, "dropout: 'much' is not a number"),
        ({**WMT_TRAINING, "max-lr": None}, "missing key max-lr"),
        ({**WMT_TRAINING, "fp16": "yes"}, "fp16: 'yes' is not true or false"),
        ({**CHOICES, "encoder-embed-choice": ["wide"]}, r"encoder-embed-choice: \['wide'\] is not a list"),
        (
            {**CHOICES, "decoder-arbitrary-ende-attn-choice": [0]},
            ".*-choice: 0; the choices are -1, 1, 2",
        ),
        ({"encoder-embed-choice": [640]}, "missing key decoder-embed-choice, encoder-layer-num-choice"),
        ({"encoder-embed-dim-subtransformer": 8}, "missing key encoder-ffn-embed-dim-all-subtransformer"),
        ({"hidden-layers": 3}, r"none of its keys is one of the published code's"),
        ([1], "expected a mapping of the published code's settings"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, settings: object, message: str) -> None:
    with pytest.raises(UserError, match=rf"c\.yml:\d+: {message}"):
        read_published_yaml(write(tmp_path, settings))


def test_mistakes_have_their_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    for key in ("max_lr: 1\nlr-scheduler: fixed", "data: x\nlearning-rate: fast", "data: x\nn-experts: 4"):
        path.write_text(
            "optimizer: adam\nadam-betas: (0.9, 0.98)\nmax-update: 9\n"
            f"{key}\n{'' if 'fixed' in key else 'lr-scheduler: inverse_sqrt'}\n"
        )
        with pytest.raises(UserError, match=r"c\.yml:5: "):
            read_published_yaml(path)


def test_a_file_without_a_subtransformer_is_no_architecture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="describes no SubTransformer"):
        read_architecture(write(tmp_path, SEARCH), 512)
