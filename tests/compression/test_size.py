"""The size of a model: the paper's arithmetic, and the bytes on the disk."""

from pathlib import Path

import pytest

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.compression import published_bytes, sizes_of
from hat.runtime import PRECISIONS, Artefact
from hat.zoo import published_models

BIG = Architecture(
    1024,
    Encoder(1024, (EncoderLayer(4096, 16),) * 6),
    Decoder(1024, (DecoderLayer(4096, 16, 16),) * 6),
)
VOCAB = 40000  # no part of the paper's sizes


def megabytes(architecture: Architecture, precision: str) -> int:
    return round(published_bytes(ModelConfig(architecture, VOCAB, VOCAB), precision) / 1e6)


def test_the_papers_25_times() -> None:
    """Transformer-Big 705 MB; HAT on WMT'14 En-Fr 227 MB, 57 at 8 bits, 28 at 4: 25 times smaller."""
    [hat] = {
        Architecture.from_dict(model["architecture"])
        for model in published_models()
        if (model["task"], model["bleu"]) == ("wmt14.en-fr", 41.8)
    }
    assert megabytes(BIG, "float32") == 705
    assert [megabytes(hat, p) for p in ("float32", "kmeans8", "kmeans4")] == [227, 57, 28]
    config = [ModelConfig(architecture, VOCAB, VOCAB) for architecture in (BIG, hat)]
    assert round(published_bytes(config[0]) / published_bytes(config[1], "kmeans4")) == 25


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_on_the_disk(precision: str, tmp_path: Path) -> None:
    layer, decoder = EncoderLayer(96, 2), DecoderLayer(96, 2, 2)
    model = ModelConfig(Architecture(64, Encoder(64, (layer,)), Decoder(64, (decoder,))), 500, 500)
    Artefact.random(model, 1, precision).save(tmp_path / "model")
    (tmp_path / "model" / "tokenizer").mkdir()
    (tmp_path / "model" / "tokenizer" / "joint.model").write_bytes(b"x" * 1234)
    found = sizes_of(tmp_path / "model", model, precision)
    assert found.files["tokenizer/joint.model"] == 1234
    assert found.total == sum(p.stat().st_size for p in (tmp_path / "model").rglob("*.*"))
    Artefact.random(model, 1).save(tmp_path / "whole")
    header = (tmp_path / "whole" / "model.safetensors").stat().st_size + 1234 - found.float32_bytes
    assert -found.files["config.json"] < header < 10_000
    assert found.published < found.published_float32 or precision == "float32"
    assert found.published < found.total
