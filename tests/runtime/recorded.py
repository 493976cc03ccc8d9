"""Translations of some random models by the torch engine, recorded for machines that have no PyTorch.

`python -m tests.runtime.recorded` writes the record anew, where the random models have changed.
"""

import json
from pathlib import Path
from typing import Any

from hat.runtime import Artefact, DecodeOptions, Engine, EngineSettings, Hypothesis
from tests.runtime.random_models import random_artefact, sources

RECORD = Path(__file__).with_name("recorded.json")
# Both kinds of embeddings, beams from greedy to 8.
SEEDS = (0, 1, 2, 4, 7)
PRECISIONS = ("float32", "bfloat16", "int8", "kmeans4")


def case(seed: int, precision: str) -> tuple[Artefact, list[list[int]], DecodeOptions]:
    """A model, a ragged batch and how to search."""
    artefact = random_artefact(seed, precision)
    options = DecodeOptions(
        beam=1 + seed, nbest=1 + seed // 2, length_penalty=0.8, max_length_factor=1.5, max_length_offset=3
    )
    return artefact, sources(artefact, seed), options


def expected(seed: int, precision: str) -> list[list[Hypothesis]]:
    """The recorded outputs of a case."""
    found = json.loads(RECORD.read_text("utf-8"))[f"{seed} {precision}"]
    return [
        [Hypothesis(tuple(tokens), score, tuple(scores)) for tokens, score, scores in ranked]
        for ranked in found
    ]


def translated(engine: Engine, batch: list[list[int]], options: DecodeOptions) -> list[list[Any]]:
    """Translations as they are recorded: tokens, score, scores of the tokens."""
    return [
        [[one.tokens, round(one.score, 6), [round(score, 6) for score in one.token_scores]] for one in ranked]
        for ranked in engine.translate(batch, options)
    ]


def main() -> None:
    """Write the record."""
    from hat.model.engine import TorchEngine  # noqa: PLC0415 (the record is read without it)

    lines = []
    for seed in SEEDS:
        for precision in PRECISIONS:
            artefact, batch, options = case(seed, precision)
            found = translated(TorchEngine(artefact, EngineSettings(1)), batch, options)
            lines.append(f'"{seed} {precision}": {json.dumps(found, separators=(",", ":"))}')
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
