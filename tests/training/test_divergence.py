"""Updates that are not finite: skipped without a trace in weights, followed by smaller steps, diagnosed."""

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from math import nan
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hat.data import TokenStore, collate
from hat.errors import HatError
from hat.training import Trainee, TrainingSettings, Updater, train
from hat.training.checkpoint import read_metadata
from hat.training.divergence import BACKOFF_UPDATES, first_not_finite
from hat.training.journal import Journal, Position
from hat.training.loss import Network
from hat.training.optimizer import gradients as all_gradients
from tests.training.test_recovery import NEWEST, check_same, disturb_after, killed_or_stopped, settings
from tests.training.tiny import stores, sub, supernet

Texts = tuple[TokenStore, TokenStore]


class InfiniteGradient(torch.autograd.Function):
    """A finite value with a gradient that is not."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] / 0.0


SPOILERS: dict[str, Callable[[Tensor], Tensor]] = {
    "loss": lambda logits: logits * nan,
    "gradient": InfiniteGradient.apply,  # type: ignore[dict-item]
}


class Troubled:
    """A trainee whose loss or gradient is not finite at some updates, counted from 1."""

    distils = False

    def __init__(self, trainee: Trainee, *bad: int, spoil: str = "loss") -> None:
        self.trainee, self.module = trainee, trainee.module
        self.bad, self.spoil = bad, SPOILERS[spoil]

    def networks(self, update: int) -> list[Network]:
        networks = self.trainee.networks(update)
        if update + 1 not in self.bad:
            return networks
        return [lambda source, target, one=one: self.spoil(one(source, target)) for one in networks]

    def validated(self) -> Mapping[str, Network]:
        return self.trainee.validated()


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    return stores(tmp_path_factory.mktemp("texts"))


def log(folder: Path, kind: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [row for row in rows if row["kind"] == kind]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_skipped_update_leaves_weights_and_moments_untouched(
    tmp_path: Path, texts: Texts, spoil: str
) -> None:
    trainee = Troubled(sub(), 3, spoil=spoil)
    updater, position = Updater(trainee, settings()), Position()
    journal = Journal(tmp_path, position)

    batches = [collate(texts[0], range(8))]

    def state() -> Any:
        return deepcopy(
            [dict(trainee.module.named_parameters()), updater.optimizers[0].state_dict()["state"]]
        )

    for _ in range(2):
        updater.update(position, batches, journal)
    (weights, moments) = state()
    updater.update(position, batches, journal)
    (weights_after, moments_after) = state()
    assert position.update == 3
    assert all(torch.equal(weights[name], weights_after[name]) for name in weights)
    assert all(
        torch.equal(one, moments_after[index][name])
        for index, known in moments.items()
        for name, one in known.items()
    )
    updater.update(position, batches, journal)
    assert not torch.equal(weights["embedding"], trainee.module.embedding)


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_skipped_update_is_said_and_counted_in_the_journal(
    tmp_path: Path, texts: Texts, spoil: str
) -> None:
    said: list[str] = []
    train(Troubled(sub(), 7, 20, spoil=spoil), texts, settings=settings(), folder=tmp_path, say=said.append)
    numbers = "loss nan, gradient norm nan" if spoil == "loss" else r"loss \d\.\d+, gradient norm (inf|nan)"
    for line, update, factor, so_far in zip(said, (7, 20), ("0.5", "0.25"), (1, 2), strict=True):
        assert re.fullmatch(
            f"update {update}: {numbers}; skipped, with weights and optimiser as before; learning rate × "
            rf"{factor} until update {update + BACKOFF_UPDATES} \(skipped so far: {so_far}\)",
            line,
        )
    rows = log(tmp_path, "skipped")
    assert [(row["update"], row["in_all"]) for row in rows] == [(7, 1), (20, 2)]
    assert rows[0]["loss"] == "nan" or spoil == "gradient"
    assert len(log(tmp_path, "train")) == 28


def test_after_a_skipped_update_the_learning_rate_is_lower_for_the_stated_updates(
    tmp_path: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hat.training.divergence.BACKOFF_UPDATES", 6)
    train(sub(), texts, settings=settings(), folder=tmp_path / "calm")
    train(Troubled(sub(), 7, 10), texts, settings=settings(), folder=tmp_path / "troubled")
    calm = {row["update"]: row["learning_rate"] for row in log(tmp_path / "calm", "train")}
    troubled = {row["update"]: row["learning_rate"] for row in log(tmp_path / "troubled", "train")}
    factors = {update: round(rate / calm[update], 12) for update, rate in troubled.items() if calm[update]}
    expected = dict.fromkeys((8, 9), 0.5) | dict.fromkeys(range(11, 17), 0.25)
    assert factors == {update: expected.get(update, 1.0) for update in factors}
    assert {7, 10}.isdisjoint(troubled)


def test_a_training_with_skipped_updates_that_is_killed_and_resumed_ends_in_the_same_bytes(
    tmp_path: Path, texts: Texts
) -> None:
    def troubled() -> Troubled:
        return Troubled(sub(), 5, 6, 13, 14, 15, 24)

    train(troubled(), texts, settings=settings(), folder=tmp_path / "whole")
    for number, after in enumerate((5, 4, 9, 3, 8)):
        killed_or_stopped(troubled(), texts, tmp_path / "cut", disturb_after(after, gently=number % 2 == 0))
    train(troubled(), texts, settings=settings(), folder=tmp_path / "cut")
    check_same(tmp_path / "cut", tmp_path / "whole")
    assert log(tmp_path / "cut", "skipped") == log(tmp_path / "whole", "skipped")


@pytest.mark.parametrize("make", [sub, supernet])
def test_too_many_skipped_updates_in_a_row_end_the_training_with_a_diagnosis(
    tmp_path: Path, texts: Texts, make: Callable[[], Trainee]
) -> None:
    trainee = Troubled(make(), *range(10, 40))
    problem = "training diverged at update 14: loss nan, gradient norm nan; first not finite: .*; skipped "
    with pytest.raises(
        HatError, match=problem + "updates: 5 in a row, 5 in all; a lower learning_rate, .*clip_norm 1"
    ):
        train(trainee, texts, settings=settings(checkpoint_every=3), folder=tmp_path)
    assert read_metadata(tmp_path / NEWEST)["update"] == 9, "no checkpoint is written amid skipped updates"


def test_too_many_skipped_updates_in_all_end_the_training(tmp_path: Path, texts: Texts) -> None:
    with pytest.raises(HatError, match=r"diverged at update 22: .*1 in a row, 11 in all"):
        train(Troubled(sub(), *range(2, 30, 2)), texts, settings=settings(), folder=tmp_path)


def first_origin(
    trainee: Trainee, texts: Texts, spoilt: Callable[[Network], Network] = lambda one: one
) -> str:
    plan: TrainingSettings = settings()
    batch = collate(texts[0], range(8))
    updater = Updater(trainee, plan)
    networks = [spoilt(one) for one in trainee.networks(0)]
    updater.add_gradients(networks, batch)
    gradients = all_gradients(trainee.module, updater.optimizers)
    return first_not_finite(trainee.module, networks, [batch], gradients=gradients, settings=plan)


@pytest.mark.parametrize("make", [sub, supernet])
def test_the_diagnosis_names_the_first_part_that_is_not_finite(
    texts: Texts, make: Callable[[], Trainee]
) -> None:
    trainee = make()
    fc1, fc2 = trainee.module.encoder[0].fc1, trainee.module.encoder[0].fc2
    with torch.no_grad():
        fc1.bias.fill_(3e38)
        fc2.weight.fill_(3e38)  # finite weights, infinite products
    assert first_origin(trainee, texts) == "the output of encoder.0.fc2"
    with torch.no_grad():
        fc1.weight[0, 0] = nan
    assert first_origin(trainee, texts) == "weights encoder.0.fc1.weight"


def test_the_diagnosis_names_the_gradient_nearest_to_the_loss_and_the_loss(texts: Texts) -> None:
    def spoilt_gradient(network: Network) -> Network:
        return lambda source, target: InfiniteGradient.apply(network(source, target))  # type: ignore[no-any-return]

    def spoilt_loss(network: Network) -> Network:
        return lambda source, target: network(source, target).detach().requires_grad_() * nan

    assert first_origin(sub(), texts, spoilt_gradient) == "the gradient of decoder.0.ffn_norm.bias"
    assert first_origin(sub(), texts, spoilt_loss) == "the loss"
