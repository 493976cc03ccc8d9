"""The accelerator of trainings. Without a GPU, PyTorch's "meta" device stands for one: it computes shapes
only, and refuses a product of what lies there with what lies elsewhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.data import collate
from hat.search.evaluate import candidate_loss
from hat.training import Trainee, TrainingSettings, train
from hat.training.accelerator import accelerator, tensors, uses_bf16
from hat.training.loss import label_smoothed_loss
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU")
def test_training_on_a_gpu(tmp_path: Path) -> None:
    text, valid = stores(tmp_path)
    labels = lessons(sub().module, tmp_path, text, valid)
    for make in KINDS:
        trainee = make()
        folder = tmp_path / make.__name__
        result = train(trainee, (text, valid), settings=settings(), folder=folder, lessons=labels)
        assert result.history[-1]["loss"] < result.history[0]["loss"]
        assert {one.device.type for one in trainee.module.parameters()} == {"cpu"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU")
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
