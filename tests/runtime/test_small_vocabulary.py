"""Vocabularies no larger than the beam: every engine finds the same hypotheses."""

from dataclasses import replace

import numpy as np
import pytest

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.runtime import Artefact, DecodeOptions, EngineSettings, load_engine

SOURCES = [[3, 2], [2], [3, 3, 0, 2]]


def tiny_artefact(words: int, seed: int) -> Artefact:
    encoder, decoder = Encoder(8, (EncoderLayer(12, 2),)), Decoder(8, (DecoderLayer(12, 2, 2),))
    artefact = Artefact.random(ModelConfig(Architecture(8, encoder, decoder), words, words), seed)
    values = np.random.default_rng(seed)
    noisy = {
        name: (weight + 0.5 * values.standard_normal(weight.shape)).astype(np.float32)
        for name, weight in artefact.weights.items()
    }
    return replace(artefact, weights=noisy)


@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
@pytest.mark.parametrize("words", [4, 5, 6, 8])
def test_beams_wider_than_the_vocabulary_find_what_torch_finds(words: int, engine: str) -> None:
    if engine == "native":
        pytest.importorskip("hat.runtime._native", reason="the native engine is not built")
    for seed in range(2):
        artefact = tiny_artefact(words, seed)
        reference, other = (load_engine(name, artefact, EngineSettings()) for name in ("torch", engine))
        for beam in (words - 1, words, words + 1, 3 * words):
            for shortest, longest in ((1, 1), (1, 7), (2, 3), (4, 7)):
                options = DecodeOptions(beam=beam, nbest=beam, min_length=shortest, max_length_offset=longest)
                expected, found = (one.translate(SOURCES, options) for one in (reference, other))
                for some, others in zip(found, expected, strict=True):
                    assert [h.tokens for h in some] == [h.tokens for h in others], (seed, options)
                    assert [h.score for h in some] == pytest.approx([h.score for h in others], abs=1e-4)
