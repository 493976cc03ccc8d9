"""The work that is timed: whole decodes of random sentences by an extracted model."""

import time
from collections.abc import Callable, Sequence

from hat.architecture import Architecture, ModelConfig
from hat.errors import HatError
from hat.hardware.protocol import MeasureProtocol, forced_options, random_sources
from hat.runtime import Artefact, DecodeOptions, Engine, EngineSettings, load_engine

# Milliseconds that one call takes, on the device that the architecture is measured for.
Timer = Callable[[Callable[[], object], Architecture], float]


def wall_clock(call: Callable[[], object], architecture: Architecture) -> float:
    """The Timer of this machine."""
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def decode_exactly(engine: Engine, sources: Sequence[Sequence[int]], options: DecodeOptions) -> None:
    """Decode for as many steps as `forced_options` says. Raises HatError where the engine does not."""
    found = engine.translate(sources, options)
    if any(len(hypotheses[0].tokens) != options.min_length for hypotheses in found):
        raise HatError(f"{engine.name} did not decode exactly {options.min_length} steps")


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
        self._options = [forced_options(protocol.beam, steps) for steps in protocol.target_lengths]

    def __call__(self) -> None:
        if self._engine is None:
            artefact = self._artefact or Artefact.random(
                self._config, seed=0, precision=self._protocol.precision
            )
            settings = EngineSettings(self._protocol.threads)
            self._engine = load_engine(self._protocol.engine, artefact, settings)
        for sources, options in zip(self._sources, self._options, strict=True):
            decode_exactly(self._engine, sources, options)

    def close(self) -> None:
        """Give back the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
