"""What a precision costs in BLEU: the trained models of a finished run, by engine and precision.

python benchmarks/deployed_quality.py RUN_FOLDER [--output FILE]
"""

import argparse
import tempfile
from datetime import date
from pathlib import Path

from hat import Run
from hat.evaluation import score
from hat.files import write_json
from hat.hardware import environment
from hat.runtime import Artefact, Translator, available_threads, runs

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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
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
            print(
                name, *(f"{variant} {value:.2f}" for variant, value in scores.items()), sep="  ", flush=True
            )
            rows.append({"model": name, **scores})
    default = Path(__file__).parent / "results" / f"deployed-quality-{run.recipe.name}-{date.today()}.json"
    record = {"date": str(date.today()), "run": run.recipe.name, "bleu": rows, "environment": environment()}
    write_json(options.output or default, record)


if __name__ == "__main__":
    main()
