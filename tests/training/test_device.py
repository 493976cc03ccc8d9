"""Where trainings run. Without a GPU, PyTorch's "meta" device stands for one: it computes shapes only,
and refuses a product of what lies there with what lies elsewhere."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hat.data import collate
from hat.search.evaluate import candidate_loss
from hat.training import Distillation, Trainee, TrainingSettings, train, write_soft_labels
from hat.training import device as device_module
from hat.training.device import training_device, uses_bf16
from hat.training.loss import label_smoothed_loss, tensors
from tests.training.test_loop import SPACE, evolved, sub, supernet
from tests.training.tiny import settings, stores


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    auto, fixed = (TrainingSettings(updates=1, precision=name) for name in ("auto", "fp32"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training_device().type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training_device().type == "cuda"
    for supported in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, s=supported: s)
        assert uses_bf16(auto) == supported
    assert not uses_bf16(fixed)


@pytest.mark.parametrize("trainee", [sub(), evolved(), supernet()], ids=["sub", "evolved", "super"])
def test_all_of_an_update_lies_on_one_device(
    tmp_path: Path, trainee: Trainee, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = stores(tmp_path, 100)
    labels = write_soft_labels(sub().module, text, tmp_path / "labels", 3)
    monkeypatch.setattr("hat.training.loss.training_device", lambda: torch.device("meta"))
    # Only values could tell whether there is padding; there is.
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: False)
    rows = np.array([3, 17, 25])
    source, target_in, target = tensors(collate(text, rows))
    assert {one.device.type for one in (source, target_in, target)} == {"meta"}
    trainee.module.to("meta").train()
    for network in trainee.networks(1):
        logits = network(source, target_in)
        loss = label_smoothed_loss(logits, target, 0.1)
        # Which of the target tokens are real decides a shape, which "meta" cannot tell.
        ids, probabilities = (torch.from_numpy(array).to(logits.device) for array in labels.batch(rows))
        assert (probabilities * logits.gather(-1, ids)).sum().device == logits.device
        loss.backward()
    with pytest.raises(RuntimeError, match="device"):
        trainee.networks(1)[0](source.new_ones(source.shape, device="cpu"), target_in)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU")
@pytest.mark.parametrize("trainee", [sub(), evolved(), supernet()], ids=["sub", "evolved", "super"])
def test_training_on_a_gpu(tmp_path: Path, trainee: Trainee) -> None:
    text, valid = stores(tmp_path)
    teacher = sub().module
    distillation = Distillation(write_soft_labels(teacher, text, tmp_path / "labels", 3), 0.5)
    result = train(trainee, text, valid, settings(), tmp_path / "run", distillation=distillation)
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
    for name in ("hat.training.loss", "hat.search.evaluate"):
        monkeypatch.setattr(f"{name}.training_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(device_module, "training_device", lambda: torch.device("cpu"))
    assert found == pytest.approx(candidate_loss(supernet().model, batches, plan)(SPACE.smallest()), rel=1e-4)
