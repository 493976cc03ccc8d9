"""The folder in which a page's commands run: the programs it needs, and files under the names it uses."""

import csv
import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from hat.architecture import Architecture
from hat.data.builtin import write_builtin
from hat.data.settings import BuiltinSizes
from hat.predictor.features import paper_features
from hat.predictor.published_sets import COLUMNS
from hat.runtime import Artefact
from hat.space import DesignSpace
from hat.zoo.models import model
from tests.docs.blocks import ROOT, Block
from tests.interop.published_checkpoint import predictor_tensors, published_args, published_tensors
from tests.interop.published_settings import CHOICES, MODEL
from tests.pipeline.tiny import TINY, flops_timer
from tests.predictor.test_ranking import entries, simulated
from tests.runtime.tiny_bpe import train_bpe

SECONDS = 300
PIECES = 120  # of the published models' dictionary
SENTENCES = "A dog runs.\nTwo men talk.\n"


class Scratch:
    """A folder, and how blocks run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / ".programs"
        programs.mkdir(parents=True, exist_ok=True)
        (programs / "hat").write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.docs.tiny_hat "$@"\n')
        (programs / "hat").chmod(stat.S_IRWXU)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder / ".home"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "100",
        }

    def run(self, block: Block) -> None:
        """Run a block of commands or of Python. Raises AssertionError with what it printed if it fails."""
        shell = ("bash", "-eu", "-o", "pipefail", "-c") if block.language == "sh" else (sys.executable, "-c")
        done = subprocess.run(
            [*shell, block.text],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, (
            f"{block}: exit code {done.returncode}\n{block.text}\n{done.stdout}{done.stderr}"
        )


def text(folder: Path) -> None:
    """Parallel text, and sentences to translate."""
    write_builtin(folder, BuiltinSizes(train=1500, valid=40, test=20), seed=1)
    for name in ("train", "valid", "test"):
        pairs = zip(
            *((folder / f"{name}.{code}").read_text().splitlines() for code in ("en", "de")), strict=True
        )
        (folder / f"{name}.tsv").write_text("".join("\t".join(pair) + "\n" for pair in pairs))
    (folder / "in.txt").write_text(SENTENCES)


def devices(folder: Path) -> None:
    """This machine, declared under the names of the pages' devices."""
    declared = {name: {"threads": 1} for name in ("pi", "nano")}
    (folder / "devices.yaml").write_text(yaml.safe_dump({"devices": declared}))


def published(folder: Path) -> None:
    """Small files in the formats of the published code, under the names of its own."""
    train_bpe(folder, ("dict.en.txt",), size=PIECES)
    (folder / "codes.bpe").rename(folder / "code")
    tensors = published_tensors()
    for side in ("encoder", "decoder"):
        embeddings = torch.randn(PIECES, tensors[f"{side}.embed_tokens.weight"].shape[1])
        tensors[f"{side}.embed_tokens.weight"] = embeddings
    tensors["decoder.embed_tokens.weight"] = tensors["encoder.embed_tokens.weight"]
    for name in ("HAT_wmt14ende_sub.pt", "HAT_wmt14ende_super_space0.pt"):
        torch.save({"args": published_args(), "model": tensors}, folder / name)
    torch.save(predictor_tensors(), folder / "wmt14ende_cpu_xeon.pt")
    space = folder / "configs" / "wmt14.en-de" / "supertransformer" / "space0.yml"
    space.parent.mkdir(parents=True)
    space.write_text(yaml.safe_dump({**MODEL, **CHOICES}))


def latencies(folder: Path) -> None:
    """A published set of latencies, under the name of one of them."""
    space, rng = DesignSpace.from_dict(TINY["space"], "space"), random.Random(0)
    chosen = [space.sample(rng) for _ in range(40)]
    with (folder / "wmt14ende_cpu_raspberrypi_all.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for averages, one in zip(paper_features(chosen), chosen, strict=True):
            writer.writerow([*averages, 10.0, flops_timer(one, (30, 30)), 0.1, 0.1])


def architecture(folder: Path) -> None:
    """An architecture file."""
    known = model("transformer-base").architecture
    assert isinstance(known, Architecture)
    (folder / "arch.yaml").write_text(yaml.safe_dump(known.to_dict()))


def qualities(folder: Path) -> None:
    (folder / "qualities.json").write_text(json.dumps(entries(simulated(0, 12))))


FILES: tuple[Callable[[Path], None], ...] = (text, devices, published, latencies, architecture, qualities)


def furnish(folder: Path, run: Path) -> Scratch:
    """A scratch folder with everything that a page may name: `run` is a finished one, runs/my there."""
    folder.mkdir(parents=True, exist_ok=True)
    for files in FILES:
        files(folder)
    shutil.copytree(run, folder / "runs" / "my")
    catalogue = yaml.safe_load((run / "models.json").read_text())
    artefact = Artefact.load(run / catalogue["trained"][catalogue["default"]])
    artefact.at_precision("int8").save(folder / "model")
    return Scratch(folder)
