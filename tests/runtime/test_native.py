"""The native engine: on every instruction set of this machine the translations of the torch engine.

Without PyTorch (on a board, or under qemu-user) what compares with it is skipped; sets are then held equal
to each other.
"""

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

from hat.architecture import (
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    ModelConfig,
    weight_shapes,
)
from hat.errors import UserError
from hat.runtime import Artefact, CodeBooks, DecodeOptions, Engine, EngineSettings
from hat.runtime.weights.int8_view import Int8View
from hat.runtime.weights.precision import is_matrix
from tests.runtime.random_models import assert_equal, random_artefact, sources

_native = pytest.importorskip("hat.runtime._native", reason="the native engine is not built")

from hat.runtime.engines.native import VARIABLE, NativeEngine  # noqa: E402

SETS = [entry["name"] for entry in _native.instruction_sets() if entry["built"] and entry["supported"]]


def native(artefact: Artefact, threads: int = 1, name: str = "auto") -> NativeEngine:
    return NativeEngine(artefact, EngineSettings(threads, instruction_set=name))


def torch_engine(artefact: Artefact) -> Engine:
    module = pytest.importorskip("hat.model.engine", reason="PyTorch is not installed")
    return module.TorchEngine(artefact, EngineSettings(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("seed", range(24))
def test_float32_equals_torch(seed: int, uneven: bool) -> None:
    """Over heads, widths, depths, attended layers, beams 1–8, ragged batches, 1–4 threads, every set."""
    artefact = random_artefact(seed, uneven=uneven)
    batch, beam, threads = sources(artefact, seed), 1 + seed % 8, 1 + seed % 4
    reference = torch_engine(artefact)
    for options in (
        DecodeOptions(beam=beam, nbest=beam, max_length_factor=1.5, max_length_offset=3),
        DecodeOptions(beam=beam, length_penalty=0.3, min_length=6, max_length_offset=6),
    ):
        expected = reference.translate(batch, options)
        targets = [hypotheses[0].tokens for hypotheses in expected]
        scores = reference.score(batch, targets)
        for name in SETS:
            engine = native(artefact, threads, name)
            assert engine.instruction_set == name
            assert_equal(engine.translate(batch, options), expected)
            for found, wanted in zip(engine.score(batch, targets), scores, strict=True):
                assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("precision", ["int8", "bfloat16", "kmeans4", "kmeans7"])
@pytest.mark.parametrize("seed", range(4))
def test_low_precision_is_near_its_own_weights_in_float32(seed: int, precision: str, uneven: bool) -> None:
    artefact = random_artefact(seed, precision, uneven)
    batch = sources(artefact, seed)
    targets = sources(artefact, seed + 1, (6, 3, 9, 2))
    if artefact.config.model.embeddings == "separate":
        targets = [[min(token, 39) for token in target] for target in targets]
    exact = torch_engine(artefact).score(batch, targets)
    for name in SETS:
        found = native(artefact, 2, name).score(batch, targets)
        differences = np.abs(np.concatenate(found) - np.concatenate(exact))
        # Activations rounded to 8 bits in every product; a wrong scale or offset is off by whole nats.
        assert differences.mean() < 0.05, name
        assert differences.max() < 0.4, name


@pytest.mark.parametrize("precision", ["int8", "bfloat16", "float32", "kmeans4"])
def test_instruction_sets_agree(precision: str) -> None:
    artefact = random_artefact(5, precision)
    batch, targets = sources(artefact, 5), sources(artefact, 6)
    # bfloat16 is multiplied exactly where the processor lacks it, from rounded activations where it has it.
    same = [name for name in SETS if precision != "bfloat16" or name != "avx512bf16"]
    expected = native(artefact, 1, same[-1]).score(batch, targets)
    # Sums in another order now and then round an activation to the next of its 255 steps.
    tolerance = 0.01 if precision in ("int8", "kmeans4") else 1e-4
    for name in same:
        found = native(artefact, 1, name).score(batch, targets)
        assert np.abs(np.concatenate(found) - np.concatenate(expected)).mean() < tolerance, name


@pytest.mark.parametrize("bits", [1, 3, 4, 5])
@pytest.mark.parametrize("books", [CodeBooks(), CodeBooks(0, "int8"), CodeBooks(32, "float32")])
def test_weights_looked_up_are_those_expanded(bits: int, books: CodeBooks) -> None:
    """To the bit, on every set: the same integers are multiplied and added."""
    artefact = random_artefact(9).at_precision(f"kmeans{bits}", books)
    int8 = replace(artefact, config=replace(artefact.config, precision="int8"), weights=Int8View(artefact))
    batch, targets = sources(artefact, 9), sources(artefact, 10)
    for name in SETS:
        assert native(artefact, 2, name).score(batch, targets) == native(int8, 2, name).score(batch, targets)


def test_codes_of_four_bits_stay_four_bits() -> None:
    layer, decoder = EncoderLayer(128, 4), DecoderLayer(128, 4, 4)
    model = ModelConfig(Architecture(128, Encoder(128, (layer,)), Decoder(128, (decoder,))), 512, 512)
    matrices = sum(prod(shape) for name, shape in weight_shapes(model).items() if is_matrix(name, shape))
    for name in SETS:
        packed = native(Artefact.random(model, 1, "kmeans4"), name=name).memory_bytes[0]
        bits = 8 if name == "generic" else 4
        assert matrices * bits / 8 < packed < matrices * bits / 8 * 1.2, name


@pytest.mark.parametrize("precision", ["int8", "kmeans4"])
def test_threads_and_batches_change_nothing(precision: str) -> None:
    artefact = random_artefact(7, precision)
    batch = sources(artefact, 7, tuple(range(1, 24)))
    options = DecodeOptions(beam=3, nbest=3, max_length_offset=15)
    together = native(artefact, 1).translate(batch, options)
    # To the bit. Two threads get sentences of their own here, three a share of every product.
    assert native(artefact, 2).translate(batch, options) == together
    assert native(artefact, 3).translate(batch, options) == together
    engine = native(artefact, 2)
    assert [engine.translate([source], options)[0] for source in batch] == together


def test_weights_need_not_lie_in_order() -> None:
    artefact = random_artefact(4, "int8")
    turned = {name: np.asfortranarray(weight) for name, weight in artefact.weights.items()}
    batch, targets = sources(artefact, 4), sources(artefact, 5)
    assert native(replace(artefact, weights=turned)).score(batch, targets) == native(artefact).score(
        batch, targets
    )


def test_long_sentences_and_more_than_one_group() -> None:
    """Sources of 300 tokens, encoded in several groups, and hypotheses beyond the first positions."""
    artefact = random_artefact(3)
    batch = sources(artefact, 3, (300, 290, 2))
    options = DecodeOptions(beam=2, min_length=270, max_length_offset=280)
    expected = torch_engine(artefact).translate(batch, options)
    found = native(artefact, 2).translate(batch, options)
    assert [len(h[0].tokens) for h in found] == [len(h[0].tokens) for h in expected]
    targets = [h[0].tokens for h in expected]
    scores = native(artefact).score(batch, targets)
    for one, hypotheses in zip(scores, expected, strict=True):
        assert one == pytest.approx(hypotheses[0].token_scores, abs=5e-4)


def test_several_engines_from_several_threads() -> None:
    artefacts = [random_artefact(seed, "int8") for seed in (1, 2)]
    engines = [native(artefact, 2) for artefact in artefacts]
    batches = [sources(artefact, 1) for artefact in artefacts]
    options = DecodeOptions(beam=2, max_length_offset=8)
    expected = [engine.translate(batch, options) for engine, batch in zip(engines, batches, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(engines[i % 2].translate, batches[i % 2], options) for i in range(12)]
        assert [job.result() for job in jobs] == [expected[i % 2] for i in range(12)]


def test_the_variable_and_the_setting_force_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = random_artefact(1)
    monkeypatch.setenv(VARIABLE, SETS[-1])
    assert native(artefact).instruction_set == SETS[-1]
    assert native(artefact, name=SETS[0]).instruction_set == SETS[0]
    monkeypatch.setenv(VARIABLE, "abacus")
    with pytest.raises(UserError, match=f"'abacus'.*choices.*auto.*{SETS[0]}"):
        native(artefact)


def test_bad_tokens_and_weights_are_refused() -> None:
    artefact = random_artefact(2)
    engine = native(artefact)
    with pytest.raises(UserError, match="source token 40 is outside the vocabulary of 40"):
        engine.translate([[40, 2]], DecodeOptions())
    with pytest.raises(UserError, match="source without tokens"):
        engine.translate([[]], DecodeOptions())
    with pytest.raises(UserError, match="target token -1"):
        engine.score([[5, 2]], [[-1]])
    assert engine.translate([], DecodeOptions()) == []
    broken = {name: np.array(weight) for name, weight in artefact.weights.items()}
    broken["decoder.0.fc1.weight"][0, 0] = np.nan
    with pytest.raises(UserError, match=r"decoder\.0\.fc1\.weight holds a number that is not finite"):
        native(replace(artefact, weights=broken))


MEMORY = """
import gc, re, sys
from pathlib import Path
from hat.runtime import Artefact, DecodeOptions, EngineSettings
from hat.runtime.engines.native import NativeEngine
def resident():
    return 1024 * int(re.search(r"VmRSS:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
small = Artefact.load(Path(sys.argv[2]))
NativeEngine(small, EngineSettings(1)).translate([[5, 2]], DecodeOptions())  # libraries and their tables
before = resident()
engine = NativeEngine(Artefact.load(Path(sys.argv[1])), EngineSettings(1))
packed, _ = engine.memory_bytes
engine.translate([[*range(4, 33), 2]], DecodeOptions(min_length=30, max_length_offset=30))
gc.collect()
print(packed, engine.memory_bytes[1], resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_only_the_packed_weights_stay_in_memory(tmp_path: Path) -> None:
    layer, decoder = EncoderLayer(2048, 8), DecoderLayer(3072, 8, 8)
    architecture = Architecture(512, Encoder(512, (layer,) * 6), Decoder(512, (decoder,)))
    Artefact.random(ModelConfig(architecture, 32768, 32768), 1).at_precision("int8").save(tmp_path / "m")
    random_artefact(1).save(tmp_path / "small")
    gc.collect()
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "m"), str(tmp_path / "small")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    packed, caches, grown = map(int, done.stdout.split())
    assert packed > 40e6
    assert grown <= 1.3 * packed + caches
