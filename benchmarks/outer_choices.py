"""Precision and beam, the choices beside the architecture: quality lost against time and bytes saved.

    python benchmarks/outer_choices.py RUN_FOLDER [--candidates 3] [--sentences 200] [--output FILE]

The candidates are architectures that the run's searches evaluated, spread over the front of inherited loss
and predicted latency. With inherited weights, rounded to each precision, they translate the first sentences
of the validation text one by one in the native engine on one thread. Time is the least processor time of
three passes, divided by the sentences; loss is that of the references in the same engine, in nats a token.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any

from hat import Run
from hat.architecture import Architecture
from hat.evaluation import score
from hat.model import SuperTransformer
from hat.runtime import Artefact, CodeBooks, Translator, usual_books
from hat.strict_json import parse_json
from reports import RESULTS, parser, save_record, table

# Name → precision and the form of the code books.
PRECISIONS: dict[str, tuple[str, CodeBooks | None]] = {
    "float32": ("float32", None),
    "bfloat16": ("bfloat16", None),
    "int8": ("int8", None),
    "4 bits": ("kmeans4", None),
    "4 bits, embeddings int8": ("kmeans4", replace(usual_books("kmeans4"), embeddings="int8")),
}
BEAMS = (1, 2, 3, 4, 5)
PASSES = 3
WIDEST = BEAMS[-1]
USUAL = {"precision": "int8", "beam": WIDEST}
Text = tuple[Sequence[str], Sequence[str]]
Row = dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """An architecture with its inherited loss and its predicted latency in ms."""

    architecture: Architecture
    loss: float
    latency: float


def front(evaluated: Sequence[Evaluated]) -> list[Evaluated]:
    """Those of which no other is as fast and better, the fastest first."""
    best: list[Evaluated] = []
    for one in sorted(evaluated, key=lambda one: (one.latency, one.loss)):
        if not best or one.loss < best[-1].loss:
            best.append(one)
    return best


def spread(candidates: Sequence[Evaluated], count: int) -> list[Evaluated]:
    """At most `count` of the candidates at even distances, the first and the last among them."""
    last = len(candidates) - 1
    return [
        candidates[place] for place in sorted({round(last * n / max(count - 1, 1)) for n in range(count)})
    ]


def rows(name: str, artefact: Artefact, text: Text) -> Iterator[Row]:
    """One row for each precision and beam of a float32 artefact."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        for label, (precision, books) in PRECISIONS.items():
            artefact.at_precision(precision, books).save(folder)
            with Translator.load(folder, engine="native", threads=1) as translator:
                loss = _loss(translator, text)
                for beam in BEAMS:
                    chrf, milliseconds = _translated(translator, text, beam)
                    yield {
                        "candidate": name,
                        "precision": label,
                        "beam": beam,
                        "loss": loss,
                        "chrf": chrf,
                        "milliseconds": milliseconds,
                        "bytes": (folder / "model.safetensors").stat().st_size,
                    }


def _loss(translator: Translator, text: Text) -> float:
    scored = translator.score([*zip(*text, strict=True)])
    scores = [score for one in scored for score in one.token_scores]
    return -sum(scores) / len(scores)


def _translated(translator: Translator, text: Text, beam: int) -> tuple[float, float]:
    """chrF, and milliseconds of processor time a sentence."""
    sources, references = text
    taken = []
    for _ in range(PASSES):
        started = time.process_time()
        translated = [*map(str, translator.translate(sources, beam=beam, batch=1))]
        taken.append(time.process_time() - started)
    return score(translated, references).chrf, 1000 * min(taken) / len(sources)


def chosen(measured: Sequence[Row]) -> list[Row]:
    """The front of chrF and time over all candidates, precisions and beams, the fastest first."""
    best: list[Row] = []
    for row in sorted(measured, key=lambda row: (row["milliseconds"], -row["chrf"])):
        if not best or row["chrf"] > best[-1]["chrf"]:
            best.append(row)
    return best


def markdown(measured: Sequence[Row]) -> str:
    """Means over the candidates: beams at int8 beside the widest, precisions beside int8, and the front."""
    beams = [
        [
            str(beam),
            f"{difference(measured, 'chrf', beam=beam):+.2f}",
            f"{ratio(measured, 'milliseconds', beam=beam):.2f}",
        ]
        for beam in BEAMS
    ]
    precisions = [
        [
            name,
            f"{difference(measured, 'loss', precision=name):+.3f}",
            f"{difference(measured, 'chrf', precision=name):+.2f}",
            *(f"{ratio(measured, key, precision=name):.2f}" for key in ("milliseconds", "bytes")),
        ]
        for name in PRECISIONS
    ]
    on_front = [
        [
            row["candidate"],
            row["precision"],
            str(row["beam"]),
            f"{row['chrf']:.1f}",
            f"{row['milliseconds']:.3f}",
        ]
        for row in chosen(measured)
    ]
    return "\n\n".join(
        (
            table(["beam (int8)", f"chrF against beam {WIDEST}", "time by that"], beams),
            table(["precision", "loss against int8", "chrF", "time by that", "bytes by that"], precisions),
            table(["on the front: candidate", "precision", "beam", "chrF", "ms"], on_front),
        )
    )


def difference(measured: Sequence[Row], key: str, **choice: Any) -> float:
    """Mean of the differences of a choice to the usual one, over the candidates."""
    return fmean(row[key] - usual[key] for row, usual in _beside_usual(measured, choice))


def ratio(measured: Sequence[Row], key: str, **choice: Any) -> float:
    """Mean of the ratios of a choice to the usual one, over the candidates."""
    return fmean(row[key] / usual[key] for row, usual in _beside_usual(measured, choice))


def _beside_usual(measured: Sequence[Row], choice: Mapping[str, Any]) -> Iterator[tuple[Row, Row]]:
    """The row of each candidate with the choice, and the one with the usual choices only."""
    for candidate in dict.fromkeys(row["candidate"] for row in measured):
        rows = [row for row in measured if row["candidate"] == candidate]
        yield _row(rows, USUAL | choice), _row(rows, USUAL)


def _row(rows: Sequence[Row], choice: Mapping[str, Any]) -> Row:
    return next(row for row in rows if row.items() >= choice.items())


def candidates(run: Run, count: int) -> tuple[dict[str, Artefact], Text]:
    """Name → float32 artefact with inherited weights, and the validation text, of a finished run."""
    losses: dict[Architecture, float] = {}
    for memo in sorted((run.folder / "losses").glob("*/evaluated.jsonl")):
        for line in memo.read_text("utf-8").splitlines():
            record = parse_json(line, str(memo))
            losses[Architecture.from_dict(record["architecture"])] = record["loss"]
    latencies = run.predictor().predict([*losses])
    evaluated = [
        Evaluated(one, loss, float(latency))
        for (one, loss), latency in zip(losses.items(), latencies, strict=True)
    ]
    network = run.super_transformer()
    like = Artefact.load(next(iter(run.models().values())).trained)
    found = {
        f"{one.latency:.2f} ms": inherited(network, one.architecture, like)
        for one in spread(front(evaluated), count)
    }
    return found, run.validation_text()


def inherited(network: SuperTransformer, architecture: Architecture, like: Artefact) -> Artefact:
    """A SubTransformer with inherited weights, with the tokenizer and the languages of `like`."""
    model = network.extract(architecture)
    weights = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    return replace(like, config=replace(like.config, model=model.config), weights=weights)


def main() -> None:
    line = parser(__doc__)
    line.add_argument("run", type=Path)
    line.add_argument("--candidates", type=int, default=3)
    line.add_argument("--sentences", type=int, default=200)
    line.add_argument("--output", type=Path)
    options = line.parse_args()
    run = Run(options.run)
    artefacts, (sources, references) = candidates(run, options.candidates)
    text = sources[: options.sentences], references[: options.sentences]
    measured = [row for name, artefact in artefacts.items() for row in rows(name, artefact, text)]
    print(markdown(measured))
    name = run.recipe.name
    default = RESULTS / f"outer-choices-{name}-{date.today()}.json"
    save_record(options.output or default, run=name, sentences=len(text[0]), rows=measured)


if __name__ == "__main__":
    main()
