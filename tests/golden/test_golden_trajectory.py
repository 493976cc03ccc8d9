"""Eight recorded updates, through the training loop."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hat.data import TokenStore, write_store
from hat.interop import architecture_from_reference
from hat.model import SuperTransformer
from hat.training.loop import train
from hat.training.loss import Network
from hat.training.settings import TrainingSettings
from tests.golden.golden_case import (
    GoldenCase,
    every_tag,
    published_norms,
    read_case,
    read_json,
    without_dropout,
)

UPDATE, FINAL = 1e-5, 2e-4  # relative


class RecordedSampling:
    """Trains a SuperTransformer through the recorded configurations."""

    distils = False

    def __init__(self, model: SuperTransformer, updates: list[dict[str, Any]]) -> None:
        self.model = model
        self.module = model.largest
        qkv_dim = model.config.architecture.qkv_dim
        self.architectures = [architecture_from_reference(u["config"], qkv_dim) for u in updates]

    def networks(self, update: int) -> list[Network]:
        return [partial(self.model, self.architectures[update])]

    def validated(self) -> Mapping[str, Network]:
        return {"largest": partial(self.model, self.model.config.architecture)}


class EndOfRecordError(Exception):
    """Ends the training: the schedule's 20 updates are more than were recorded."""


@every_tag
def test_trajectory(tag: str, tmp_path: Path) -> None:
    record = read_json(f"{tag}_trajectory.json")
    golden = read_case(tag, "largest")
    model = without_dropout(golden.network)
    trainee = RecordedSampling(model, record["updates"])
    batch = one_batch(golden, tmp_path / "store")

    def stop(done: float, total: float, note: str) -> None:
        if done == len(record["updates"]):
            raise EndOfRecordError

    with pytest.raises(EndOfRecordError):
        train(
            trainee, (batch, batch), settings=settings(record["args"]), folder=tmp_path / "run", progress=stop
        )

    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    for ours, theirs in zip(log, record["updates"], strict=True):
        assert ours["learning_rate"] == pytest.approx(theirs["lr"], rel=1e-9)
        loss = theirs["loss_sum"] / theirs["ntokens"]
        assert ours["loss"] == pytest.approx(loss, rel=UPDATE)
        assert ours["gradient_norm"] == pytest.approx(theirs["grad_norm"], rel=UPDATE)
    norms = published_norms(model.largest.named_parameters())
    expected = {name: record["final_param_norms"][name] for name in norms}
    assert norms == pytest.approx(expected, rel=FINAL)


def settings(args: dict[str, Any]) -> TrainingSettings:
    """The recorded optimiser and schedule, under our names."""
    inverse_sqrt = args["lr_scheduler"] == "inverse_sqrt"
    return TrainingSettings(
        updates=args["max_update"],
        schedule="inverse-sqrt" if inverse_sqrt else "cosine",
        learning_rate=args["lr"][0] if inverse_sqrt else args["max_lr"],
        floor_learning_rate=args["warmup_init_lr"],
        warmup=args["warmup_updates"],
        label_smoothing=args["label_smoothing"],
        clip_norm=args["clip_norm"],
        weight_decay=args["weight_decay"],
        precision="fp32",
    )


def one_batch(golden: GoldenCase, folder: Path) -> TokenStore:
    """The recorded batch as a token store, whose sentences come without </s>."""
    sources, targets = (
        [[token for token in row if token not in (1, 2)] for row in rows.tolist()]
        for rows in (golden.source, golden.target_out)
    )
    config = golden.network.config
    return write_store(folder, [(sources, targets)], (config.source_vocab, config.target_vocab))
