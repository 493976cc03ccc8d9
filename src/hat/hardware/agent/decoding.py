"""The timed work: whole decodes of random sentences by an extracted model."""

import time
from collections.abc import Sequence

from hat.errors import HatError
from hat.hardware.protocol import MeasureProtocol, forced_options, random_sources
from hat.runtime import Artefact, DecodeOptions, Engine, EngineSettings, load_engine


def decode_exactly(engine: Engine, sources: Sequence[Sequence[int]], options: DecodeOptions) -> None:
    """Decode with `forced_options`. Raises HatError where the engine takes another number of steps."""
    translations = engine.translate(sources, options)
    if any(len(hypotheses[0].tokens) != options.min_length for hypotheses in translations):
        raise HatError(f"{engine.name} did not decode exactly {options.min_length} steps")


class Decoding:
    """An artefact in the protocol's engine, ready to be timed."""

    def __init__(self, artefact: Artefact, protocol: MeasureProtocol) -> None:
        """Raises UserError where the engine cannot run here."""
        settings = EngineSettings(protocol.threads, protocol.accelerator)
        self._engine = load_engine(protocol.engine, artefact, settings)
        sources = random_sources(protocol, artefact.config.model.source_vocab, seed=0)
        self._whole = [
            (source, forced_options(protocol.beam, steps))
            for source, steps in zip(sources, protocol.target_lengths, strict=True)
        ]
        self._first = [(source, forced_options(protocol.beam, 1)) for source in sources]

    def time(self, *, first: bool = False) -> list[float]:
        """Milliseconds that decoding a batch takes, for each of the protocol's pairs of lengths.

        `first`: only the encoder and the first step. A GPU has finished when its tokens have arrived.
        """
        pairs_ms = []
        for sources, options in self._first if first else self._whole:
            start = time.perf_counter()
            decode_exactly(self._engine, sources, options)
            pairs_ms.append(1000 * (time.perf_counter() - start))
        return pairs_ms

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()
