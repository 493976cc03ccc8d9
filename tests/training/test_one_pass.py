"""AdamW in one pass over memory: the steps of torch's AdamW, from the gradients that lent weights receive."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hat.model import Transformer
from hat.training import SubTrainee, SuperTrainee, train
from hat.training.accelerator import autocast
from hat.training.one_pass import OnePassAdamW, one_pass_fits
from hat.training.optimizer import BETAS, apply_gradients, optimizers
from tests.training.tiny import ARCHITECTURE, CONFIG, VOCAB, evolved, settings, stores, sub, supernet

pytest.importorskip("hat.model._kernels", reason="the kernels of training are not built")

PLAN = settings(precision="bf16", dropout=0.0, weight_decay=0.1)


def one_pass(trainee: SubTrainee | SuperTrainee) -> OnePassAdamW:
    (optimizer,) = optimizers(trainee.module, PLAN, lends=True)
    assert isinstance(optimizer, OnePassAdamW)
    return optimizer


def backward(trainee: SubTrainee | SuperTrainee, update: int, optimizer: OnePassAdamW | None) -> None:
    generator = torch.Generator().manual_seed(update)
    tokens = torch.randint(4, VOCAB, (3, 20), generator=generator)
    for network in trainee.networks(update, lend=optimizer.lend if optimizer else None):
        with autocast(PLAN):
            logits = network(tokens, tokens)
        logits.float().logsumexp(-1).sum().backward()  # type: ignore[no-untyped-call]


def whole(gradient: Tensor, shape: torch.Size) -> Tensor:
    total = torch.zeros(shape)
    total[tuple(map(slice, gradient.shape))] = gradient.float()
    return total


def ranked() -> SubTrainee:
    torch.manual_seed(0)
    return SubTrainee(Transformer(replace(CONFIG, architecture=replace(ARCHITECTURE, embedding_rank=8))))


@pytest.mark.parametrize("make", [sub, supernet, ranked])
# Of the SuperTransformer, update 0 has equal widths, 4 the wider encoder, 7 the wider decoder.
@pytest.mark.parametrize("updates", [[0], [4], [7], [0, 4, 7]])
def test_lent_weights_receive_thegradients_of_shared_ones(
    make: Callable[[], SubTrainee | SuperTrainee], updates: list[int]
) -> None:
    lending, sharing = make(), make()
    lending.module.eval(), sharing.module.eval()  # no dropout
    optimizer = one_pass(lending)
    for number in updates:
        backward(lending, number, optimizer)
        backward(sharing, number, None)
    for name, parameter in sharing.module.named_parameters():
        if parameter.grad is None:
            assert name not in optimizer.gradients
        else:
            found = whole(optimizer.gradients[name], parameter.shape)
            # An embedding's sum is rounded to bf16.
            torch.testing.assert_close(found, parameter.grad, rtol=1e-2, atol=1e-2)
            if len(updates) == 1 and name != "embedding":
                assert torch.equal(found, parameter.grad), name
    norm = torch.nn.utils.get_total_norm([one.float() for one in optimizer.gradients.values()])
    assert optimizer.norm() == pytest.approx(float(norm), rel=1e-6)


def test_steps_are_those_of_torchs_adamw_with_zeros_outside_the_corners() -> None:
    trainee, twin = supernet(), supernet()
    optimizer = one_pass(trainee)
    reference = torch.optim.AdamW(twin.module.parameters(), betas=BETAS, weight_decay=PLAN.weight_decay)
    for update in range(4):
        optimizer.zero_grad()
        backward(trainee, update, optimizer)
        for name, parameter in twin.module.named_parameters():
            gradient = optimizer.gradients.get(name)
            parameter.grad = None if gradient is None else whole(gradient, parameter.shape) / 7
        apply_gradients(trainee.module, [optimizer], settings=PLAN, tokens=7, update=update)
        for group, like in zip(reference.param_groups, optimizer.param_groups, strict=True):
            group["lr"], group["eps"] = like["lr"], like["eps"]
        reference.step()
        for (name, ours), theirs in zip(
            trainee.module.named_parameters(), twin.module.parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
            lent = optimizer.lend(name, ours.shape)
            assert torch.equal(lent, ours.to(lent.dtype)), "copies follow the weights"
    ours, theirs = optimizer.state_dict()["state"], reference.state_dict()["state"]
    assert ours.keys() == theirs.keys()
    for index, state in ours.items():
        assert state.keys() == theirs[index].keys()
        for key, value in state.items():
            torch.testing.assert_close(value, theirs[index][key], rtol=1e-4, atol=1e-7)


def test_the_number_of_threads_changes_no_bit_of_a_step() -> None:
    results, threads = [], torch.get_num_threads()
    trainee = supernet()
    backward(trainee, 0, one_pass(trainee))
    try:
        for count in (1, 2, 3):
            one = supernet()
            optimizer = one_pass(one)
            torch.set_num_threads(1)
            backward(one, 0, optimizer)
            torch.set_num_threads(count)
            norm = apply_gradients(one.module, [optimizer], settings=PLAN, tokens=5, update=9)
            results.append([torch.tensor(norm), *(weight.detach() for weight in one.module.parameters())])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_other_networks_and_precisions_train_as_before() -> None:
    assert not one_pass_fits(evolved().module, PLAN)
    assert not one_pass_fits(sub().module, settings(precision="fp32"))
    assert one_pass_fits(sub().module, PLAN)


def test_a_gradient_that_does_not_fit_is_refused() -> None:
    optimizer = one_pass(sub())
    optimizer.gradients["embedding"] = torch.zeros(VOCAB + 1, 32)
    with pytest.raises(ValueError, match="larger than its weight"):
        optimizer.step()


def test_the_loss_falls_as_in_float32(tmp_path: Path) -> None:
    texts = stores(tmp_path, 1000)
    losses = {
        precision: train(
            sub(0.0),
            texts,
            settings=settings(updates=150, batch_tokens=400, dropout=0.0, precision=precision),
            folder=tmp_path / precision,
        ).loss
        for precision in ("fp32", "bf16")
    }
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
