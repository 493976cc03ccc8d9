"""Engines timed in turn."""

from dataclasses import replace

import pytest

from hat.architecture import ModelConfig
from hat.errors import HatError, UserError
from hat.hardware import MeasureProtocol
from hat.hardware.measuring.side_by_side import forced, summary, time_engines, time_in_turn
from hat.runtime import ENGINES, Artefact, DecodeOptions, Hypothesis
from tests.cli.conftest import ARCHITECTURE

PROTOCOL = MeasureProtocol((5,), (4,), beam=2, batch=3, warmup=1, rounds=2)


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    return Artefact.random(ModelConfig(ARCHITECTURE, 40, 40), 0)


def test_in_turn_on_the_same_new_sources() -> None:
    seen: list[tuple[str, list[list[int]]]] = []
    runs = {name: lambda sources, name=name: seen.append((name, sources)) for name in "AB"}
    times = time_in_turn(runs, PROTOCOL, 40)
    assert [name for name, _ in seen] == list("ABABAB")
    assert {name: len(own) for name, own in times.items()} == {"A": 2, "B": 2}
    rounds = [sources for name, sources in seen if name == "A"]
    assert rounds == [sources for name, sources in seen if name == "B"]
    assert rounds[0] != rounds[1] != rounds[2]
    assert all(len(source) == 5 and source[-1] == 2 for sources in rounds for source in sources)
    assert all(len(sources) == 3 for sources in rounds)


def test_summary_of_known_times() -> None:
    found = summary(PROTOCOL, "cpu", [10.0, 20.0, 30.0])
    assert (found.median_ms, found.p10_ms, found.p90_ms) == (20.0, 12.0, 28.0)
    assert found.tokens_per_second == pytest.approx(3 * 4 / 0.020)
    assert (found.source_length, found.steps, found.runs) == (5, 4, 3)


def test_a_row_for_every_engine_and_number_of_threads(artefact: Artefact) -> None:
    times, absent = time_engines(artefact, PROTOCOL, ["torch"], [1, 2])
    assert [(row.engine, row.threads, row.precision, row.runs) for row in times] == [
        ("torch", 1, "float32", 2),
        ("torch", 2, "float32", 2),
    ]
    assert not absent


def test_an_engine_that_cannot_run_is_reported_and_fatal_only_alone(
    artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent_engine = replace(ENGINES["onnxruntime"], module="no_such_module")
    monkeypatch.setitem(ENGINES, "onnxruntime", absent_engine)
    times, absent = time_engines(artefact, PROTOCOL, ["onnxruntime", "torch"], [1])
    assert [row.engine for row in times] == ["torch"]
    assert "no_such_module" in absent["onnxruntime"]
    with pytest.raises(UserError, match=r"none of the engines can run.*no_such_module"):
        time_engines(artefact, PROTOCOL, ["onnxruntime"], [1])


def test_an_engine_that_stops_early_is_not_timed() -> None:
    class Early:
        name = "early"

        def translate(self, sources: list[list[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
            assert options.min_length == options.max_length(len(sources[0])) == 4
            return [[Hypothesis((5, 2), -1.0, (-1.0, -1.0))] for _ in sources]

    with pytest.raises(HatError, match="early did not decode exactly 4 steps"):
        time_in_turn({"early": forced(Early(), PROTOCOL)}, PROTOCOL, 40)  # type: ignore[arg-type]
