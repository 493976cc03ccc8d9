"""The timed work."""

from collections.abc import Sequence

import pytest

from hat.architecture import ModelConfig
from hat.errors import HatError
from hat.hardware import MeasureProtocol
from hat.hardware.agent import decoding
from hat.hardware.agent.decoding import Decoding
from hat.runtime import Artefact, DecodeOptions, EngineSettings, Hypothesis

PROTOCOL = MeasureProtocol((10, 30), (12, 28), threads=2, beam=2, batch=3)


class Recorder:
    """An engine that notes what it is asked and decodes as many steps as it was forced to."""

    name = "recorder"

    def __init__(self) -> None:
        self.asked: list[tuple[list[int], DecodeOptions]] = []
        self.extra, self.closed = 0, False

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        self.asked.append(([len(source) for source in sources], options))
        assert all(source[-1] == 2 and min(source[:-1]) > 3 for source in sources)
        steps = options.max_length(len(sources[0])) + self.extra
        return [[Hypothesis((2,) * steps, 0.0, (0.0,) * steps)] for _ in sources]

    def close(self) -> None:
        self.closed = True


def test_whole_decodes_of_batches_at_each_pair_of_lengths(
    models: list[ModelConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    given: list[object] = []
    monkeypatch.setattr(decoding, "load_engine", lambda *arguments: given.append(arguments) or recorder)
    artefact = Artefact.random(min(models, key=lambda model: len(str(model.architecture))), 0)
    work = Decoding(artefact, PROTOCOL)
    assert given == [("torch", artefact, EngineSettings(2, "cpu"))]
    assert len(work.time()) == 2
    assert recorder.asked == [([10] * 3, _forced(12)), ([30] * 3, _forced(28))]
    recorder.asked.clear()
    assert len(work.time(first=True)) == 2
    assert recorder.asked == [([10] * 3, _forced(1)), ([30] * 3, _forced(1))]
    recorder.extra = 1
    with pytest.raises(HatError, match="did not decode exactly 12 steps"):
        work.time()
    work.close()
    assert recorder.closed


def _forced(steps: int) -> DecodeOptions:
    return DecodeOptions(2, 1.0, 1, steps, 0.0, steps)
