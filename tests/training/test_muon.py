"""Muon: orthogonal directions, the steps of the library's, and steps of lent corners."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hat.training import train
from hat.training.muon import Muon, orthogonal
from hat.training.optimizer import optimizers
from tests.training.tiny import evolved, settings, stores, sub, supernet

RATE = 0.02


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape))


def muon(*parameters: nn.Parameter, dtype: torch.dtype = torch.float32, weight_decay: float = 0.0) -> Muon:
    optimizer = Muon(parameters, weight_decay=weight_decay, dtype=dtype)
    optimizer.param_groups[0]["lr"] = RATE
    return optimizer


@pytest.mark.parametrize("shape", [(3, 40, 40), (1, 64, 16), (2, 16, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_directions_are_nearly_orthogonal(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape), dtype))
    assert values.quantile(0.1) > 0.6, "all but the smallest of a square matrix come near 1"
    assert values.max() < 1.3


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 48)])
def test_steps_of_a_matrix_are_those_of_the_library(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = parameter(*shape)
    before = ours.detach().clone()
    reference = nn.Parameter(before.clone())
    optimizer = muon(ours, dtype=torch.bfloat16, weight_decay=0.1)
    library = torch.optim.Muon([reference], lr=RATE, weight_decay=0.1, momentum=0.95)
    optimizer.grad_scale = torch.tensor(7.0)
    for _ in range(4):
        gradient = torch.randn(shape)
        ours.grad, reference.grad = 7 * gradient, gradient
        optimizer.step()
        library.step()
    # Both round to bf16, in another order.
    assert (ours - reference).norm() < 0.05 * (ours - before).norm()


def test_each_matrix_of_a_stack_is_a_matrix_of_its_own() -> None:
    torch.manual_seed(0)
    stack = parameter(3, 8, 12)
    alone = [nn.Parameter(matrix.clone()) for matrix in stack.detach()]
    optimizer = muon(stack, *alone)
    for _ in range(3):
        stack.grad = torch.randn(3, 8, 12)
        for matrix, gradient in zip(alone, stack.grad, strict=True):
            matrix.grad = gradient
        optimizer.step()
    torch.testing.assert_close(stack, torch.stack(list(alone)), rtol=0, atol=1e-6)


def test_a_lent_corner_has_the_steps_of_a_matrix_of_its_size() -> None:
    torch.manual_seed(0)
    whole, unlent = parameter(2, 8, 12), parameter(8, 8)
    corner = nn.Parameter(whole.detach()[:, :6, :4].clone())
    before = whole.detach().clone()
    optimizer = muon(whole, corner, unlent)
    unlent.grad = torch.zeros(8, 8)
    kept = unlent.detach().clone()
    for _ in range(3):
        corner.grad = torch.randn(2, 6, 4)
        whole.grad = torch.zeros(2, 8, 12)
        whole.grad[:, :6, :4] = corner.grad
        optimizer.step()
    torch.testing.assert_close(whole[:, :6, :4], corner, rtol=0, atol=1e-6)
    outside = torch.ones(8, 12, dtype=torch.bool)
    outside[:6, :4] = False
    assert torch.equal(whole[:, outside], before[:, outside])
    assert torch.equal(unlent, kept), "a weight whose gradient is zero stays"


def test_a_gradient_that_is_not_a_number_is_not_taken_for_zero() -> None:
    weight = parameter(4, 4)
    weight.grad = torch.full((4, 4), float("nan"))
    muon(weight).step()
    assert weight.isnan().all()


def test_embeddings_biases_and_depthwise_convolutions_are_adams() -> None:
    module = evolved().module
    adam, of_matrices = optimizers(module, settings(optimizer="muon"))
    names = {id(one): name for name, one in module.named_parameters()}

    def of(optimizer: torch.optim.Optimizer) -> set[str]:
        return {names[id(one)] for group in optimizer.param_groups for one in group["params"]}

    assert of(adam) | of(of_matrices) == set(names.values())
    assert {"embedding", "encoder.0.self_attention.qkv.bias", "encoder.0.merge.depthwise.weight"} <= of(adam)
    assert {"encoder.0.self_attention.qkv.weight", "encoder.0.fc1.weight"} <= of(of_matrices)


def test_muon_learns_more_in_each_update(tmp_path: Path) -> None:
    texts = stores(tmp_path, 3000)

    def loss(**changes: object) -> float:
        plan = settings(updates=150, batch_tokens=600, validate_every=150, warmup=20, **changes)
        return train(sub(0.0), texts, settings=plan, folder=tmp_path / str(len(changes))).loss

    assert loss(optimizer="muon") < loss() - 0.2


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in module.named_parameters()}


def test_a_supertransformer_trains_with_muon(tmp_path: Path) -> None:
    trainee = supernet()
    before = weights(trainee.module)
    train(trainee, stores(tmp_path), settings=settings(optimizer="muon"), folder=tmp_path / "run")
    assert all(not torch.equal(after, before[name]) for name, after in weights(trainee.module).items())
