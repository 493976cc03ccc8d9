"""The torch engine: its scores, its two ways of decoding, its use from several threads."""

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from unittest.mock import patch

import pytest
import torch

from hat.errors import UserError
from hat.model import SuperTransformer, Transformer, beam_search
from hat.model.engine import TorchEngine
from hat.model.static_decode import StaticDecoder
from hat.runtime import Artefact, ArtefactConfig, DecodeOptions, EngineSettings
from tests.gpu import on_gpu
from tests.model.networks import SOURCES, SPACE, WIDE_SPACE, assert_same, padded, perturbed
from tests.model.pretend_graphs import pretend_graphs

OPTIONS = DecodeOptions(beam=3, nbest=3, max_length_factor=1.0, max_length_offset=4)
EMBEDDINGS = ("shared", "separate")


@pytest.fixture(scope="module", params=EMBEDDINGS)
def network(request: pytest.FixtureRequest) -> SuperTransformer:
    return perturbed(request.param, torch.float32)


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    model = perturbed("shared", torch.float32).extract(SPACE.smallest())
    weights = {name: weight.detach().numpy() for name, weight in model.state_dict().items()}
    return Artefact(ArtefactConfig(model.config), weights)


def sub_network(network: SuperTransformer, rng: random.Random) -> Transformer:
    return network.extract(SPACE.sample(rng)).eval()


@pytest.mark.parametrize("seed", range(6))
def test_static_decoder_is_beam_search_over_random_architectures(
    network: SuperTransformer, seed: int
) -> None:
    rng = random.Random(seed)
    model = sub_network(network, rng)
    decoder = StaticDecoder(model, capture=False)
    for beam in rng.sample(range(1, 9), 3):  # the same buffers serve all beams
        sources = rng.sample(SOURCES, rng.randint(1, len(SOURCES)))
        options = DecodeOptions(beam=beam, nbest=beam, max_length_factor=1.2, max_length_offset=3)
        source = padded(sources)
        assert_same(beam_search(decoder, source, options), beam_search(model, source, options))


@pytest.mark.parametrize("seed", range(6))
def test_static_decoder_is_beam_search_over_layers_without_some_parts(seed: int) -> None:
    rng = random.Random(seed)
    network = perturbed(EMBEDDINGS[seed % 2], torch.float32, WIDE_SPACE)
    architecture = WIDE_SPACE.sample(rng)
    model = network.extract(architecture).eval()
    source = padded(SOURCES)
    assert_same(
        beam_search(StaticDecoder(model, capture=False), source, OPTIONS), beam_search(model, source, OPTIONS)
    )


def test_static_decoder_outgrows_its_cache(network: SuperTransformer) -> None:
    model = network.extract(SPACE.largest()).eval()
    options = DecodeOptions(beam=2, min_length=70, max_length_offset=70)
    decoder = StaticDecoder(model, capture=False)
    source = padded(SOURCES[:2])
    assert_same(beam_search(decoder, source, options), beam_search(model, source, options))


def test_few_workspaces_are_kept(network: SuperTransformer) -> None:
    decoder = StaticDecoder(network.extract(SPACE.smallest()).eval(), capture=False)
    for count in (1, 2, 4, 8, 16):
        beam_search(decoder, padded([SOURCES[0]] * count), DecodeOptions(beam=1, max_length_offset=2))
    assert [key[0] for key in decoder._workspaces] == [2, 4, 8, 16]


@pytest.mark.parametrize("seed", range(4))
def test_recorded_steps_decode_as_those_that_run_one_by_one(
    network: SuperTransformer, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_graphs(monkeypatch)
    rng = random.Random(seed)
    model = sub_network(network, rng)
    decoder = StaticDecoder(model, capture=True)
    # Sentences end at different steps, so that fewer go on, in a recording of their own.
    for factor in (1.0, 6.0, 0.5):  # the second outgrows the cache, which the third finds enlarged
        options = DecodeOptions(beam=3, nbest=3, max_length_factor=factor, max_length_offset=4)
        source = padded(rng.sample(SOURCES, 4))
        assert_same(beam_search(decoder, source, options), beam_search(model, source, options))
    assert decoder.capture


@pytest.mark.skipif(torch.cuda.is_available(), reason="here recording works")
def test_where_steps_cannot_be_recorded_they_run_one_by_one(network: SuperTransformer) -> None:
    model = network.extract(SPACE.smallest()).eval()
    decoder = StaticDecoder(model, capture=True)
    source = padded(SOURCES)
    assert_same(beam_search(decoder, source, OPTIONS), beam_search(model, source, OPTIONS))
    assert not decoder.capture


def test_scores_are_those_of_the_search(artefact: Artefact) -> None:
    engine = TorchEngine(artefact, EngineSettings())
    found = [hypotheses[-1] for hypotheses in engine.translate(SOURCES, OPTIONS)]
    assert len({len(hypothesis.tokens) for hypothesis in found}) > 1
    scores = engine.score(SOURCES, [hypothesis.tokens for hypothesis in found])
    for own, hypothesis in zip(scores, found, strict=True):
        assert own == pytest.approx(hypothesis.token_scores, abs=1e-5)


def test_nothing_in_nothing_out(artefact: Artefact) -> None:
    engine = TorchEngine(artefact, EngineSettings())
    assert engine.translate([], OPTIONS) == []
    assert engine.score([], []) == []


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_every_precision_runs_and_is_near_float32(artefact: Artefact, precision: str) -> None:
    exact, rounded = (
        TorchEngine(model, EngineSettings()).score(SOURCES, SOURCES)
        for model in (artefact, artefact.at_precision(precision))
    )
    differences = [abs(a - b) for x, y in zip(exact, rounded, strict=True) for a, b in zip(x, y, strict=True)]
    assert 0 < max(differences) < 0.2


def test_several_threads_may_use_one_engine(artefact: Artefact) -> None:
    engine = TorchEngine(artefact, EngineSettings())
    engine.decoder = StaticDecoder(engine.model, capture=False)  # whose buffers threads would share
    expected = [engine.translate([source], OPTIONS) for source in SOURCES]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda source: engine.translate([source], OPTIONS), SOURCES * 4))
    assert found == expected * 4


def test_cuda_without_a_gpu_is_the_users_error(artefact: Artefact) -> None:
    with patch("torch.cuda.is_available", return_value=False), pytest.raises(UserError) as error:
        TorchEngine(artefact, EngineSettings(device="cuda"))
    assert "no CUDA GPU" in str(error.value)
    assert "\n" not in str(error.value)


@on_gpu
def test_on_a_gpu_recorded_steps_decode_as_on_the_cpu() -> None:
    for embeddings, seed in product(EMBEDDINGS, range(4)):
        model = sub_network(perturbed(embeddings, torch.float32), random.Random(seed))
        source = padded(SOURCES)
        expected = beam_search(model, source, OPTIONS)
        decoder = StaticDecoder(model.to("cuda"), capture=True)
        for _ in range(2):  # recording, then replaying
            assert_same(beam_search(decoder, source.to("cuda"), OPTIONS), expected)
        assert decoder.capture


@on_gpu
def test_on_a_gpu_short_translations_follow_long_ones() -> None:
    model = sub_network(perturbed("shared", torch.float32), random.Random(1))
    source = padded(SOURCES)
    lengths = [DecodeOptions(beam=3, min_length=n, max_length_offset=n) for n in (70, 4, 40)]
    expected = [beam_search(model, source, options) for options in lengths]
    decoder = StaticDecoder(model.to("cuda"), capture=True)
    for options, there in zip(lengths, expected, strict=True):
        assert_same(beam_search(decoder, source.to("cuda"), options), there)
    assert decoder.capture


@on_gpu
def test_on_a_gpu_half_precision_scores_nearly_the_same(artefact: Artefact) -> None:
    engine = TorchEngine(artefact, EngineSettings(device="cuda"))
    assert all(hypotheses[0].tokens[-1] == 2 for hypotheses in engine.translate(SOURCES, OPTIONS))
    exact = TorchEngine(artefact, EngineSettings()).score(SOURCES, SOURCES)
    for half, full in zip(engine.score(SOURCES, SOURCES), exact, strict=True):
        assert half == pytest.approx(full, abs=0.3)
