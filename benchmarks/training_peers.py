"""Speed of training against Marian's and JoeyNMT's trainers, in turn in one run.

A Transformer 6+2 of width 256 (FFN 1,024, 4 heads, shared embeddings of 4,000 words) on random sentences of
14 words, batches of about 4,000 target tokens. A turn is a new process that trains a few updates; its rate
leaves out the first two. Results: benchmarks/results/training-peers-DATE/{report.md,report.json}. The peers
live in environments of their own, named by their interpreters:

    python3.11 -m venv /tmp/marian && /tmp/marian/bin/pip install pymarian==1.12.31     # 600 MB
    python -m venv /tmp/joeynmt && /tmp/joeynmt/bin/pip install joeynmt importlib_metadata -c constraints.txt
    python benchmarks/training_peers.py --marian /tmp/marian/bin/python --joeynmt /tmp/joeynmt/bin/python
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from engine_report import paired_ratio
from hat.architecture import Architecture, ModelConfig
from hat.cli import Terminal
from hat.data import epoch_batches, write_store
from hat.errors import UserError
from hat.files import read_json, write_json, write_text
from hat.hardware import environment
from hat.model import Dropout, Transformer
from hat.threads import COUNTS, available_threads
from hat.training import SubTrainee, TrainingSettings, train

VOCABULARY, WORDS, SENTENCES, BATCH = 4000, 14, 8000, 4000
DIM, FFN, HEADS, ENCODER, DECODER, DROPOUT, SMOOTHING = 256, 1024, 4, 6, 2, 0.1, 0.1
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
SKIPPED = 2  # updates that a process needs to warm up
NEVER = 10**6

MARIAN = "import sys; from pymarian import Trainer; Trainer(' '.join(sys.argv[1:])).train()"


def write_texts(folder: Path) -> None:
    """Random sentences for all trainers: token ids as JSON, the same as words, and vocabularies."""
    rng = random.Random(0)

    def sentence(mean: float) -> list[int]:
        length = max(1, round(rng.gauss(mean, mean / 3)))
        return [len(SPECIAL) + int((VOCABULARY - len(SPECIAL)) * rng.random() ** 3) for _ in range(length)]

    sources = [sentence(WORDS) for _ in range(SENTENCES)]
    targets = [sentence(len(source)) for source in sources]
    write_json(folder / "ids.json", [sources, targets])
    for name, sentences in (("src", sources), ("tgt", targets)):
        lines = [" ".join(f"w{word}" for word in words) for words in sentences]
        write_text(folder / f"train.{name}", "\n".join(lines) + "\n")
        write_text(folder / f"valid.{name}", "\n".join(lines[:2]) + "\n")
    words = [f"w{word}" for word in range(len(SPECIAL), VOCABULARY)]
    write_text(folder / "joeynmt.txt", "\n".join(words) + "\n")
    write_text(folder / "marian.yml", yaml.safe_dump({w: n for n, w in enumerate(["</s>", "<unk>", *words])}))


def our_turn(folder: Path, precision: str, *, threads: int, updates: int) -> None:
    """Train this version of HAT, and print the rate as JSON."""
    sources, targets = read_json(folder / "ids.json")
    with tempfile.TemporaryDirectory() as made:
        stores = [
            write_store(Path(made, name), [(sources[:count], targets[:count])], (VOCABULARY, VOCABULARY))
            for name, count in (("train", SENTENCES), ("valid", 2))
        ]
        settings = TrainingSettings(
            updates=updates,
            batch_tokens=BATCH,
            threads=threads,
            precision=precision,  # type: ignore[arg-type]
            validate_every=NEVER,
            checkpoint_every=NEVER,
        )
        budget = settings.batch_tokens
        batches = epoch_batches(stores[0], budget, 0, 0)[SKIPPED:updates]
        tokens = sum(len(targets[row]) + 1 for rows in batches for row in rows)
        ends: list[float] = []
        train(
            SubTrainee(Transformer(ModelConfig(network(), VOCABULARY, VOCABULARY), Dropout(DROPOUT))),
            (stores[0], stores[1]),
            settings=settings,
            folder=Path(made, "training"),
            progress=lambda *_: ends.append(time.perf_counter()),
        )
    print(json.dumps(tokens / (ends[updates - 1] - ends[SKIPPED - 1])))


def network() -> Architecture:
    """The network that all train."""
    layer = {"ffn_dim": FFN, "heads": HEADS}
    row = {"ffn_dim": FFN, "self_heads": HEADS, "cross_heads": HEADS, "encoder_layers_attended": 1}
    sides = {"encoder": (layer, ENCODER), "decoder": (row, DECODER)}
    plan = {name: {"embed_dim": DIM, "layers": [one] * depth} for name, (one, depth) in sides.items()}
    return Architecture.from_dict({"qkv_dim": DIM, **plan})


def ours(folder: Path, precision: str, *, threads: int, updates: int) -> float:
    """Target tokens per second of one turn of this version."""
    command = [sys.executable, __file__, "--turn", precision, "--texts", str(folder)]
    output = run([*command, "--threads", str(threads), "--updates", str(updates)], folder, threads)
    return float(output.splitlines()[-1])


def marian(python: str, folder: Path, *, threads: int, updates: int) -> float:
    """Target words per second that Marian reports, the median of its updates."""
    options = {
        "type": "transformer",
        "model": "marian.npz",
        "train-sets": "train.src train.tgt",
        "vocabs": "marian.yml marian.yml",
        "dim-emb": DIM,
        "transformer-dim-ffn": FFN,
        "transformer-heads": HEADS,
        "transformer-dropout": DROPOUT,
        "enc-depth": ENCODER,
        "dec-depth": DECODER,
        "label-smoothing": SMOOTHING,
        "mini-batch": BATCH,
        "mini-batch-words": BATCH,
        "workspace": 4000,
        "cpu-threads": threads,
        "disp-freq": "1u",
        "after": f"{updates}u",
        "save-freq": f"{NEVER}u",
    }
    flags = ["--tied-embeddings-all", "--overwrite", "--no-restore-corpus", "--no-reload"]
    words = [word for name, value in options.items() for word in (f"--{name}", *str(value).split())]
    return reported(run([python, "-c", MARIAN, *words, *flags], folder, threads), r"([\d.]+) words/s")


def joeynmt(python: str, folder: Path, *, threads: int, updates: int) -> float:
    """Target tokens per second that JoeyNMT reports, the median of its updates."""
    side = {"level": "word", "voc_limit": VOCABULARY, "voc_file": "joeynmt.txt"}
    stack = {"type": "transformer", "hidden_size": DIM, "ff_size": FFN, "num_heads": HEADS}
    stack |= {"embeddings": {"embedding_dim": DIM, "scale": True}, "dropout": DROPOUT}
    config = {
        "name": "peer",
        "use_cuda": False,
        "data": {
            "train": "train",
            "dev": "valid",
            "dataset_type": "plain",
            "src": {"lang": "src", **side},
            "trg": {"lang": "tgt", **side},
        },
        "model": {
            "encoder": stack | {"num_layers": ENCODER},
            "decoder": stack | {"num_layers": DECODER},
            "tied_embeddings": True,
            "tied_softmax": True,
        },
        "training": {
            "model_dir": "joeynmt",
            "overwrite": True,
            "batch_size": BATCH,
            "batch_type": "token",
            "normalization": "tokens",
            "label_smoothing": SMOOTHING,
            "learning_rate": 0.0003,
            "scheduling": "warmupinversesquareroot",
            "learning_rate_warmup": 4000,
            "updates": updates,
            "logging_freq": 1,
            "validation_freq": NEVER,
        },
        "testing": {"beam_size": 1},
    }
    write_text(folder / "joeynmt.yaml", yaml.safe_dump(config))
    output = run([python, "-m", "joeynmt", "train", "joeynmt.yaml", "--skip-test"], folder, threads)
    return reported(output, r"Tokens per Sec:\s+([\d.]+)")


def run(command: Sequence[str], folder: Path, threads: int) -> str:
    """The output of a trainer. Raises UserError with its last lines if it fails."""
    plain = {name: value for name, value in os.environ.items() if name not in COUNTS}
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=plain | dict.fromkeys(COUNTS, str(threads)),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-5:])
        raise UserError(f"{' '.join(command[:3])} ended with status {done.returncode}:\n{last}")
    return done.stdout


def reported(output: str, pattern: str) -> float:
    """The median of the rates that a trainer printed, without those of the warm-up."""
    rates = [float(rate) for rate in re.findall(pattern, output)][SKIPPED:]
    if not rates:
        last = "\n".join(output.splitlines()[-5:])
        raise UserError(f"no rate beyond the first {SKIPPED} updates in the trainer's output:\n{last}")
    return statistics.median(rates)


def measure(
    contenders: Mapping[str, Callable[..., float]], *, threads: int, turns: int, updates: int
) -> dict[str, Any]:
    """Rates of every contender, in turn."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    with Terminal().working(f"{threads} thread(s)") as progress:
        for turn in range(turns):
            for number, (name, rate) in enumerate(contenders.items()):
                progress(turn * len(contenders) + number, turns * len(contenders), name)
                rates[name].append(rate(threads=threads, updates=updates))
    return {"threads": threads, "rates": rates}


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    machine = report["environment"]
    lines = [
        f"# Speed of training beside its peers, {report['date']}",
        "",
        f"{machine['cpu']} ({', '.join(machine['flags'])}), {machine['cores_allowed']} cores, load "
        f"{machine['load_average']:.1f} at the start; PyTorch {machine['torch']}; {report['versions']}.",
        "",
        "A Transformer 6+2 of width 256, batches of about 4,000 target tokens; median of turns. Gain: bf16's "
        "rate over the contender's, paired by turn, with its 95% interval where there are six turns or more.",
        "",
        "| threads | trainer | target tokens/s | gain of bf16 | 95% |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in report["rows"]:
        best = row["rates"]["HAT, bf16"]
        for name, rates in row["rates"].items():
            gain, low, high = paired_ratio(best, rates)
            interval = f"{low:.2f}–{high:.2f}" if high < NEVER else "unknown"
            rate = statistics.median(rates)
            lines.append(f"| {row['threads']} | {name} | {rate:,.0f} | {gain:.2f} | {interval} |")
    return "\n".join(lines) + "\n"


def version(python: str, package: str) -> str:
    """A package and its version in another environment."""
    code = f"from importlib.metadata import version; print('{package}', version('{package}'))"
    return subprocess.run([python, "-c", code], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--marian", help="a Python interpreter with pymarian")
    parser.add_argument("--joeynmt", help="a Python interpreter with joeynmt")
    parser.add_argument("--threads", default=",".join(map(str, sorted({1, available_threads()}))))
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--updates", type=int, default=10, help="of a turn")
    parser.add_argument(
        "--turn", help="train HAT in this precision and print the rate (a turn's own process)"
    )
    parser.add_argument("--texts", type=Path, help="the folder of a turn's sentences")
    default = Path(__file__).parent / "results" / f"training-peers-{date.today()}"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    if options.turn:
        torch.set_num_threads(int(options.threads))
        our_turn(options.texts, options.turn, threads=int(options.threads), updates=options.updates)
        return
    machine, rows = environment(), []
    with tempfile.TemporaryDirectory(prefix="training-peers-") as made:
        folder = Path(made)
        write_texts(folder)
        contenders = {f"HAT, {precision}": partial(ours, folder, precision) for precision in ("bf16", "fp32")}
        versions = []
        for name, peer, python in (
            ("Marian, float32", marian, options.marian),
            ("JoeyNMT, float32", joeynmt, options.joeynmt),
        ):
            if python:
                contenders[name] = partial(peer, python, folder)
                versions.append(version(python, peer.__name__.replace("marian", "pymarian")))
        for threads in map(int, options.threads.split(",")):
            rows.append(measure(contenders, threads=threads, turns=options.turns, updates=options.updates))
            report = {"date": str(date.today()), "environment": machine, "rows": rows}
            report |= {"versions": ", ".join(versions) or "no peers"}
            write_json(options.output / "report.json", report)
            write_text(options.output / "report.md", markdown(report))
    print(markdown(report))


if __name__ == "__main__":
    main()
