"""The cost of a precision in BLEU: the trained models of a finished run, by engine and precision.

python benchmarks/deployed_quality.py RUN_FOLDER [--output FILE]
"""

import tempfile
from datetime import date
from pathlib import Path

from hat import Run
from hat.evaluation import score
from hat.runtime import Artefact, Translator, available_threads, runs
from reports import RESULTS, parser, save_record

VARIANTS = (
    ("torch", "float32"),
    ("native", "float32"),
    ("native", "bfloat16"),
    ("native", "int8"),
    ("onnxruntime", "int8"),
)


def bleu(artefact: Artefact, engine: str, text: tuple[list[str], list[str]], scratch: Path) -> float:
    """Score of the test text (source, target lines) as one engine translates it with an artefact, written to
    `scratch`."""
    source, target = text
    artefact.save(scratch)
    with Translator.load(scratch, engine=engine, threads=available_threads()) as translator:
        translated = translator.translate(source, batch=32)
    return score([str(one) for one in translated], target).bleu


def main() -> None:
    line = parser(__doc__)
    line.add_argument("run", type=Path)
    line.add_argument("--output", type=Path)
    options = line.parse_args()
    run, rows = Run(options.run), []
    text = run.test_text()
    with tempfile.TemporaryDirectory() as scratch:
        for name, model in run.models().items():
            trained = Artefact.load(model.trained)
            scores = {
                f"{engine} {precision}": round(
                    bleu(trained.at_precision(precision), engine, text, Path(scratch) / "model"), 2
                )
                for engine, precision in VARIANTS
                if runs(engine, trained.config.model.architecture)
            }
            cells = (f"{variant} {value:.2f}" for variant, value in scores.items())
            print(name, *cells, sep="  ", flush=True)
            rows.append({"model": name, **scores})
    default = RESULTS / f"deployed-quality-{run.recipe.name}-{date.today()}.json"
    save_record(options.output or default, run=run.recipe.name, bleu=rows)


if __name__ == "__main__":
    main()
