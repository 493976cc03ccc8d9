"""The work that is timed: whole decodes of random sentences by an extracted model."""

import time
from collections.abc import Callable

from hat.architecture import Architecture, ModelConfig
from hat.errors import HatError
from hat.hardware.protocol import MeasureProtocol, forced_options, random_sources
from hat.runtime import Artefact, Engine, EngineSettings, load_engine

# Milliseconds that one call takes, on the device that the architecture is measured for.
Timer = Callable[[Callable[[], object], Architecture], float]


def wall_clock(call: Callable[[], object], architecture: Architecture) -> float:
    """The Timer of this machine."""
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


class Decoding:
    """Calling it decodes each of the protocol's pairs once.

    The engine is made at the first call, so that a Timer which never calls costs nothing.
    """

    def __init__(
        self, config: ModelConfig, protocol: MeasureProtocol, artefact: Artefact | None = None
    ) -> None:
        """Over `artefact`, by default a model of random weights."""
        self._config, self._protocol, self._artefact = config, protocol, artefact
        self._engine: Engine | None = None
        self._sources = random_sources(protocol, config.source_vocab, seed=0)

    def __call__(self) -> None:
        if self._engine is None:
            artefact = self._artefact or Artefact.random(
                self._config, seed=0, precision=self._protocol.precision
            )
            settings = EngineSettings(self._protocol.threads)
            self._engine = load_engine(self._protocol.engine, artefact, settings)
        for sources, steps in zip(self._sources, self._protocol.target_lengths, strict=True):
            found = self._engine.translate(sources, forced_options(self._protocol.beam, steps))
            if any(len(hypotheses[0].tokens) != steps for hypotheses in found):
                raise HatError(f"{self._engine.name} did not decode exactly {steps} steps")

    def close(self) -> None:
        """Give back the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
