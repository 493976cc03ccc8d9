"""Embeddings and output projection as products of two matrices: all engines translate alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hat.architecture import Architecture, ModelConfig, cost, weight_counts
from hat.errors import UserError
from hat.predictor.features import TERMS, features
from hat.runtime import Artefact, DecodeOptions, Engine, EngineSettings
from tests.runtime.random_models import assert_equal, random_artefact, sources

_native = pytest.importorskip("hat.runtime._native", reason="the native engine is not built")
pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from hat.model.engine import TorchEngine  # noqa: E402
from hat.runtime.engines.native import NativeEngine  # noqa: E402
from hat.runtime.onnx.engine import OnnxEngine  # noqa: E402

SETS = [entry["name"] for entry in _native.instruction_sets() if entry["built"] and entry["supported"]]
# Narrower than both sides, wider than both, and no multiple of anything.
RANKS = (7, 40, 16)


def engines(artefact: Artefact) -> list[Engine]:
    """The native engine with every instruction set, and onnxruntime."""
    found: list[Engine] = [
        NativeEngine(artefact, EngineSettings(1 + number % 3, instruction_set=name))
        for number, name in enumerate(SETS)
    ]
    return [*found, OnnxEngine(artefact, EngineSettings())]


@pytest.mark.parametrize("seed", range(12))
def test_float32_is_equal_in_all_engines(seed: int) -> None:
    artefact = random_artefact(seed, embedding_rank=RANKS[seed % 3])
    batch, beam = sources(artefact, seed), 1 + seed % 5
    options = DecodeOptions(beam=beam, nbest=beam, max_length_factor=1.5, max_length_offset=3)
    reference = TorchEngine(artefact, EngineSettings(1))
    expected = reference.translate(batch, options)
    targets = [hypotheses[0].tokens for hypotheses in expected]
    scores = np.concatenate(reference.score(batch, targets))
    for engine in engines(artefact):
        assert_equal(engine.translate(batch, options), expected)
        assert np.concatenate(engine.score(batch, targets)) == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("precision", ["int8", "bfloat16", "kmeans4", "kmeans7"])
def test_low_precision_is_near_its_own_weights_in_float32(precision: str) -> None:
    for seed, rank in enumerate(RANKS):
        artefact = random_artefact(seed, precision, embedding_rank=rank)
        batch = sources(artefact, seed)
        targets = [[*(3 + token % 37 for token in source[:-1]), 2] for source in batch]
        exact = np.concatenate(TorchEngine(artefact, EngineSettings(1)).score(batch, targets))
        for engine in engines(artefact):
            differences = np.abs(np.concatenate(engine.score(batch, targets)) - exact)
            assert differences.mean() < 0.05, engine.name
            assert differences.max() < 0.4, engine.name


@pytest.mark.parametrize("precision", ["int8", "bfloat16", "float32", "kmeans4"])
def test_instruction_sets_agree(precision: str) -> None:
    same = [name for name in SETS if precision != "bfloat16" or name != "avx512bf16"]
    for seed, rank in enumerate(RANKS):
        artefact = random_artefact(seed, precision, embedding_rank=rank)
        batch = sources(artefact, seed)
        targets = [[*(3 + token % 37 for token in source[:-1]), 2] for source in batch]
        first, *others = (
            np.concatenate(
                NativeEngine(artefact, EngineSettings(1, instruction_set=name)).score(batch, targets)
            )
            for name in same
        )
        # Sums in another order now and then round an activation to the next of its 255 steps.
        for scores in others:
            assert np.abs(scores - first).mean() < (0.01 if precision in ("int8", "kmeans4") else 1e-4)


def test_an_artefact_needs_its_factors(tmp_path: Path) -> None:
    artefact = random_artefact(1, "int8", embedding_rank=7)
    artefact.save(tmp_path / "model")
    loaded = Artefact.load(tmp_path / "model")
    assert loaded.config == artefact.config
    assert loaded.config.to_dict()["architecture"]["embedding_rank"] == 7
    plain = replace(artefact.config.model.transformer, embedding_rank=None)
    model = replace(artefact.config.model, architecture=plain)
    with pytest.raises(UserError, match=r"unknown tensor source_factor\.weight"):
        replace(artefact, config=replace(artefact.config, model=model)).save(tmp_path / "other")


@pytest.mark.parametrize("rank", [0, -1, True, 2.5, "8"])
def test_an_impossible_rank_is_refused_by_name(rank: object) -> None:
    plan = random_artefact(1).config.model.transformer.to_dict()
    with pytest.raises(UserError, match=r"architecture\.embedding_rank: "):
        Architecture.from_dict(plan | {"embedding_rank": rank})


def test_a_rank_saves_weights_of_embeddings_and_no_others() -> None:
    plain = random_artefact(1).config.model.transformer
    factored = replace(plain, embedding_rank=4)
    (without, before), (same, after) = (
        weight_counts(ModelConfig(one, 1000, 1000)) for one in (plain, factored)
    )
    enc, dec = plain.encoder_dim, plain.decoder_dim
    assert same == without == cost(plain).parameters
    assert after - same == 1000 * 4 + 4 * (enc + 2 * dec)
    assert before - without == 1000 * max(enc, dec)
    # The factors of both embeddings; that of the output projection counts with it, and not here.
    assert cost(factored, 30).flops - cost(plain, 30).flops == 2 * 30 * 4 * (enc + dec)


def test_the_predictors_features_know_the_rank() -> None:
    plain = random_artefact(1).config.model.transformer
    one, other = (features([replace(plain, embedding_rank=rank)], [(1, 1)])[0] for rank in (4, 6))
    changed = {name: b - a for name, a, b in zip(TERMS, one, other, strict=True) if a != b}
    enc, dec = plain.encoder_dim, plain.decoder_dim
    assert changed == {"encoder_ffn": enc, "decoder_ffn": 2 * dec, "output_projection": 2}
