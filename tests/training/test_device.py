"""The accelerator of trainings. Without a GPU, PyTorch's "meta" device stands for one: it computes shapes
only, and refuses a product of what lies there with what lies elsewhere."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hat.data import collate
from hat.model.layers import FastDropout
from hat.search.evaluate import candidate_loss
from hat.training import Trainee, TrainingSettings, train
from hat.training.accelerator import accelerator, tensors, uses_bf16
from hat.training.loss import imitation_loss, label_smoothed_loss
from hat.training.optimizer import apply_gradients
from tests.gpu import on_gpu
from tests.training.tiny import SPACE, evolved, lessons, settings, stores, sub, supernet

KINDS = (sub, evolved, supernet)


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    auto, fixed = (TrainingSettings(updates=1, precision=name) for name in ("auto", "fp32"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert accelerator().type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert accelerator().type == "cuda"
    for supported in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, s=supported: s)
        assert uses_bf16(auto) == supported
    assert not uses_bf16(fixed)


@pytest.mark.parametrize("make", KINDS)
def test_all_of_an_update_lies_on_one_device(
    tmp_path: Path, make: Callable[[], Trainee], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = stores(tmp_path, 100)
    trainee = make()
    monkeypatch.setattr("hat.training.accelerator.accelerator", lambda: torch.device("meta"))
    # Only values could tell whether there is padding; there is.
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: False)
    source, target_in, target = tensors(collate(text, np.array([3, 17, 25])))
    assert {one.device.type for one in (source, target_in, target)} == {"meta"}
    trainee.module.to("meta").train()
    for network in trainee.networks(1):
        label_smoothed_loss(network(source, target_in), target, 0.1).backward()
    with pytest.raises(RuntimeError, match="device"):
        trainee.networks(1)[0](source.new_ones(source.shape, device="cpu"), target_in)


class Counter(TorchDispatchMode):
    """Counts operations."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_a_gpu_computes_the_loss_of_a_large_batch_in_few_operations() -> None:
    logits = torch.empty(64, 64, 32768, device="meta", requires_grad=True)
    target = torch.empty(64, 64, dtype=torch.long, device="meta")
    with Counter() as operations:
        torch.autograd.backward(label_smoothed_loss(logits, target, 0.1))
        torch.autograd.backward(imitation_loss(logits, target, logits.detach()))
    assert operations.count < 150


def test_the_divisor_of_gradients_lies_where_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    module = torch.nn.Linear(2, 2, device="meta")
    for parameter in module.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer: Any = SimpleNamespace(param_groups=[{}], step=lambda: None)
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda gradients: 1.0)
    apply_gradients(module, [optimizer], settings=settings(), tokens=3, update=1)
    assert optimizer.grad_scale.device.type == "meta"
    assert optimizer.grad_scale.dtype == torch.float32


@on_gpu
def test_updates_on_a_gpu_are_those_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = stores(tmp_path)
    plan = settings(updates=10, clip_norm=0.5, weight_decay=0.1, validate_every=5)
    monkeypatch.setattr(FastDropout, "forward", lambda self, x: x)  # each draws numbers of its own
    for make in KINDS:
        histories = []
        for place in ("cuda", "cpu"):
            for module in ("accelerator", "loop", "threads"):
                monkeypatch.setattr(f"hat.training.{module}.accelerator", partial(torch.device, place))
            result = train(make(), texts, settings=plan, folder=tmp_path / f"{make.__name__}-{place}")
            histories.append([record["loss"] for record in result.history])
        assert histories[0] == pytest.approx(histories[1], rel=1e-3)


@on_gpu
def test_a_training_on_a_gpu_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(done: float, total: float, note: str) -> None:
        if done == 18:
            raise KilledError

    texts = stores(tmp_path)
    whole = train(supernet(), texts, settings=settings(), folder=tmp_path / "whole")
    with pytest.raises(KilledError):
        train(supernet(), texts, settings=settings(), folder=tmp_path / "cut", progress=kill)
    cut = train(supernet(), texts, settings=settings(), folder=tmp_path / "cut")
    losses = [[record["loss"] for record in result.history] for result in (cut, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)  # a GPU sums in no fixed order


@on_gpu
def test_training_on_a_gpu(tmp_path: Path) -> None:
    text, valid = stores(tmp_path)
    labels = lessons(sub().module, tmp_path, text, valid)
    for make in KINDS:
        trainee = make()
        folder = tmp_path / make.__name__
        result = train(trainee, (text, valid), settings=settings(), folder=folder, lessons=labels)
        assert result.history[-1]["loss"] < result.history[0]["loss"]
        assert {one.device.type for one in trainee.module.parameters()} == {"cpu"}


@on_gpu
def test_candidates_on_a_gpu_lose_as_on_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = stores(tmp_path, 100)
    batches = [collate(text, np.arange(20))]
    plan = TrainingSettings(updates=1, precision="fp32")
    found = candidate_loss(supernet().model, batches, plan)(SPACE.smallest())
    for name in ("hat.training.accelerator", "hat.search.evaluate"):
        monkeypatch.setattr(f"{name}.accelerator", lambda: torch.device("cpu"))
    assert found == pytest.approx(candidate_loss(supernet().model, batches, plan)(SPACE.smallest()), rel=1e-4)
