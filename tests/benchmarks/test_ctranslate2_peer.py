"""The CTranslate2 model that our engines are timed against is the same model."""

import random
from pathlib import Path

import pytest
import torch

from hat.architecture import ModelConfig
from hat.errors import HatError, UserError
from hat.hardware import MeasureProtocol
from hat.hardware.protocol import random_sources
from hat.model import SuperTransformer
from hat.model.engine import TorchEngine
from hat.runtime import Artefact, ArtefactConfig, DecodeOptions, EngineSettings
from hat.tokens import EOS, PAD
from tests.model.networks import SPACE

ctranslate2 = pytest.importorskip("ctranslate2", reason="the peer of the benchmarks is not installed")

from benchmarks import ctranslate2_peer as peer  # noqa: E402

VOCAB, LONGEST = 9, 30
SOURCES = [[4, EOS], [4, 5, 6, 7, EOS], [3, 3, EOS], [8, 4, 8, 5, 7, 7, 6, 5, 4, EOS]]
NAMES = peer.vocabulary(VOCAB)


def artefact(seed: int, embeddings: str) -> Artefact:
    """A model with unequal widths, as far as CTranslate2 goes; so few words that it soon ends."""
    torch.manual_seed(seed)
    network = SuperTransformer(ModelConfig(SPACE.largest(), VOCAB, VOCAB, embeddings=embeddings)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model = network.extract(peer.expressible(SPACE.sample(random.Random(seed)), heads=2))
    weights = {name: weight.detach().numpy() for name, weight in model.state_dict().items()}
    return Artefact(ArtefactConfig(model.config), weights)


def load(model: Artefact, folder: Path) -> "ctranslate2.Translator":
    peer.convert(model, folder)
    return ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=1)


@pytest.mark.parametrize("embeddings", ["shared", "separate"])
def test_same_best_hypotheses_and_scores(tmp_path: Path, embeddings: str) -> None:
    compared = {"ended": 0, "words": 0, "cut": 0}
    for seed in range(6):
        model = artefact(seed, embeddings)
        engine, translator = TorchEngine(model, EngineSettings()), load(model, tmp_path / str(seed))
        for beam in (1, 4):
            ours = engine.translate(
                SOURCES, DecodeOptions(beam=beam, min_length=1, max_length_offset=LONGEST + 1)
            )
            theirs = translator.translate_batch(
                [[NAMES[token] for token in source] for source in SOURCES],
                beam_size=beam,
                min_decoding_length=0,
                max_decoding_length=LONGEST,
                return_scores=True,
            )
            for source, (own, *_), other in zip(SOURCES, ours, theirs, strict=True):
                words = [NAMES.index(name) for name in other.hypotheses[0]]
                if PAD in words:  # we never say it, they do not know it
                    continue
                if len(words) < LONGEST:
                    assert own.tokens == (*words, EOS)
                    assert own.score == pytest.approx(other.scores[0], abs=1e-4)
                    compared["ended"] += 1
                    compared["words"] += len(words)
                else:  # theirs are cut without </s>
                    (scores,) = engine.score([source], [words])
                    assert sum(scores) / LONGEST == pytest.approx(other.scores[0], abs=1e-4)
                    compared["cut"] += 1
    assert compared["ended"] > 10, compared
    assert compared["words"] > 5, compared
    assert compared["cut"] > 20, compared


def test_forced_to_a_number_of_steps(tmp_path: Path) -> None:
    translator = load(artefact(3, "shared"), tmp_path / "peer")
    protocol = MeasureProtocol((5,), (7,), beam=3, batch=4)
    (sources,) = random_sources(protocol, VOCAB, seed=0)
    peer.forced(translator, protocol, sources_at_once=2)(sources)
    too_long = peer.forced(_Longer(translator), protocol)
    with pytest.raises(HatError, match="exactly 7 steps"):
        too_long(sources)


def test_what_it_cannot_express_is_refused(tmp_path: Path) -> None:
    model = Artefact.random(ModelConfig(SPACE.largest(), VOCAB, VOCAB), 0)
    with pytest.raises(UserError, match="one head count"):
        peer.convert(model, tmp_path / "peer")
    cut = peer.expressible(SPACE.largest(), heads=4)
    assert {layer.encoder_layers_attended for layer in cut.decoder.layers} == {1}
    assert cut.decoder.layers[0].ffn_dim == SPACE.largest().decoder.layers[0].ffn_dim


class _Longer:
    """A translator that stops one step late."""

    def __init__(self, translator: "ctranslate2.Translator") -> None:
        self._translator = translator

    def translate_batch(self, sources: list[list[str]], **options: int) -> list[object]:
        for name in ("min_decoding_length", "max_decoding_length"):
            options[name] += 1
        return self._translator.translate_batch(sources, **options)  # type: ignore[no-any-return]
