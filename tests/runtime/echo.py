"""An engine that needs no model."""

from collections.abc import Sequence

from hat.runtime import DecodeOptions, Hypothesis


class Echo:
    """Translates every sentence into itself; the r-th best hypothesis repeats it r times.

    A given translation scores minus its ids.
    """

    name = "echo"

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.options: list[DecodeOptions] = []
        self.closed = 0

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        self.batches.append([len(source) for source in sources])
        self.options.append(options)
        assert all(source[-1] == 2 and len(source) > 1 for source in sources)
        return [[self._repeat(source, rank) for rank in range(1, options.nbest + 1)] for source in sources]

    def _repeat(self, source: Sequence[int], times: int) -> Hypothesis:
        tokens = (*(tuple(source[:-1]) * times), 2)
        return Hypothesis(tokens, -float(times), (-float(times),) * len(tokens))

    def score(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        self.batches.append([len(source) for source in sources])
        assert len(sources) == len(targets)
        assert all(ids[-1] == 2 for ids in [*sources, *targets])
        return [tuple(-float(token) for token in target) for target in targets]

    def close(self) -> None:
        self.closed += 1
