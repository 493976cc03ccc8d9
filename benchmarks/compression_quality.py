"""The quality that k-means costs and that fine-tuning of the centroids gives back: the found models of a
finished run in the native engine.

    python benchmarks/compression_quality.py RUN_FOLDER [--updates 200] [--output FILE]

Beside the BLEU of the test text the log-probability that its reference loses, in nats a token: BLEU goes
up and down by some tenths with any change of weights, this does not. Sizes in bytes: of the artefact, and
as the paper counts.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from deployed_quality import bleu
from hat import Run
from hat.compression import sizes_of
from hat.files import read_json
from hat.pipeline import fine_tune
from hat.runtime import Artefact, CodeBooks, Translator, available_threads, usual_books
from reports import RESULTS, parser, save_record

ONE, USUAL = CodeBooks(), usual_books("kmeans4")
# Label → precision, code books, whether the centroids are fine-tuned too.
VARIANTS: dict[str, tuple[str, CodeBooks, bool]] = {
    "float32": ("float32", ONE, False),
    "int8": ("int8", ONE, False),
    "8 bits": ("kmeans8", ONE, False),
    **{f"{bits} bits": (f"kmeans{bits}", USUAL, False) for bits in (4, 3, 2)},
    "4 bits, k-means++": ("kmeans4", replace(USUAL, initialization="k-means++"), False),
    "4 bits, a code book per matrix": ("kmeans4", ONE, False),
    "4 bits, embeddings int8": ("kmeans4", replace(USUAL, embeddings="int8"), False),
    "4 bits, fine-tuned": ("kmeans4", USUAL, True),
    "4 bits, a code book per matrix, fine-tuned": ("kmeans4", ONE, True),
    "2 bits, fine-tuned": ("kmeans2", USUAL, True),
}


def rows(run: Path, name: str, artefact: Artefact, updates: int) -> Iterator[dict[str, Any]]:
    """One row for each variant of a model."""
    text, whole = Run(run).test_text(), None
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary) / "model"
        for label, (precision, books, tuned) in VARIANTS.items():
            if tuned and not updates:
                continue
            smaller = artefact.at_precision(precision, books)
            if tuned:
                smaller = fine_tune(run, smaller, updates)
            score, nats = bleu(smaller, "native", text, scratch), loss(scratch, text)
            whole = whole or (score, nats)
            sizes = sizes_of(scratch, artefact.config.model, precision)
            yield {
                "model": name,
                "variant": label,
                "bleu": round(score, 2),
                "difference": round(score - whole[0], 2),
                "nats lost": round(nats - whole[1], 4),
                "bytes": sizes.total,
                "bytes as published": sizes.published,
            }


def loss(folder: Path, text: tuple[list[str], list[str]]) -> float:
    """Minus the log-probability of the references of the test text, in nats a token."""
    pairs = zip(*text, strict=True)
    with Translator.load(folder, engine="native", threads=available_threads()) as translator:
        scores = [score for scored in translator.score([*pairs]) for score in scored.token_scores]
    return -sum(scores) / len(scores)


def main() -> None:
    line = parser(__doc__)
    line.add_argument("run", type=Path)
    line.add_argument("--updates", type=int, default=200, help="of fine-tuning; 0: none")
    line.add_argument("--output", type=Path)
    options = line.parse_args()
    report = read_json(options.run / "report.json")
    found = [model["name"] for model in report["models"] if model["kind"] == "found"]
    folders = read_json(options.run / "models.json")["trained"]
    table = []
    for name in found:
        for row in rows(options.run, name, Artefact.load(options.run / folders[name]), options.updates):
            print(*row.values(), sep="  ", flush=True)
            table.append(row)
    save_record(
        options.output or RESULTS / f"compression-quality-{report['run']}-{date.today()}.json",
        run=report["run"],
        fine_tuning_updates=options.updates,
        rows=table,
        load_average=os.getloadavg()[0],
    )


if __name__ == "__main__":
    main()
