"""What a precision costs in BLEU: the trained models of a finished run, by engine and precision.

python benchmarks/deployed_quality.py RUN_FOLDER [--output FILE]
"""

import argparse
import tempfile
from datetime import date
from pathlib import Path

from hat.evaluation import score
from hat.files import read_json, write_json
from hat.hardware import environment
from hat.lines import read_lines
from hat.runtime import Artefact, Translator, available_threads, runs

VARIANTS = (
    ("torch", "float32"),
    ("native", "float32"),
    ("native", "bfloat16"),
    ("native", "int8"),
    ("onnxruntime", "int8"),
)


def bleu(artefact: Artefact, engine: str, text: Path, scratch: Path) -> float:
    """Score of the test text as one engine translates it with an artefact, written to `scratch`."""
    artefact.save(scratch)
    with Translator.load(scratch, engine=engine, threads=available_threads()) as translator:
        found = translator.translate(read_lines(text / "test.source.txt"), batch=32)
    return score([str(one) for one in found], read_lines(text / "test.target.txt")).bleu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    text = next(path.parent for path in options.run.glob("steps/prepare/*/manifest.json"))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, folder in read_json(options.run / "models.json")["trained"].items():
            trained = Artefact.load(options.run / folder)
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
    run = read_json(options.run / "report.json")["run"]
    default = Path(__file__).parent / "results" / f"deployed-quality-{run}-{date.today()}.json"
    record = {"date": str(date.today()), "run": run, "bleu": rows, "environment": environment()}
    write_json(options.output or default, record)


if __name__ == "__main__":
    main()
