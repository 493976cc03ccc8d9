"""Attention by the kernels of training: equal to that of the textbook, and its gradients to autograd's."""

import pytest
import torch
from torch import Tensor

from hat.model.layers import HeadAttention

pytest.importorskip("hat.model._kernels", reason="the kernels of training are not built")


def textbook(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v


@pytest.mark.parametrize(
    ("queries", "keys", "dim"), [(1, 1, 32), (15, 15, 32), (9, 34, 64), (33, 17, 20), (7, 3, 5)]
)
@pytest.mark.parametrize("masked", ["nothing", "keys", "future", "both"])
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_and_gradients_are_the_textbooks(
    queries: int, keys: int, dim: int, masked: str, threads: int
) -> None:
    torch.manual_seed(0)
    sentences, heads = 3, 2
    product = torch.randn(sentences, keys, 2 * heads * dim).bfloat16()
    k, v = (one.unflatten(-1, (heads, dim)).transpose(1, 2) for one in product.chunk(2, -1))
    q = torch.randn(sentences, heads, queries, dim).bfloat16()
    seen = torch.arange(keys) >= torch.tensor([0, keys // 2, keys - 1])[:, None]
    past = torch.ones(queries, keys, dtype=torch.bool).tril(max(0, keys - queries))
    masks = {
        "nothing": None,
        "keys": seen[:, None, None, :],
        "future": past[None, None],
        "both": past & (seen | torch.eye(1, keys, dtype=torch.bool))[:, None, None, :],
    }
    mask, slope = masks[masked], torch.randn(sentences, heads, queries, dim).bfloat16()
    ours = [one.detach().requires_grad_() for one in (q, k, v)]
    exact = [one.detach().double().requires_grad_() for one in (q, k, v)]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = HeadAttention.apply(*ours, mask)  # type: ignore[no-untyped-call]
        found.backward(slope)
    finally:
        torch.set_num_threads(before)
    expected = textbook(*exact, mask)
    expected.backward(slope.double())  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=1e-3)
    for one, reference in zip(ours, exact, strict=True):
        assert one.grad is not None
        assert reference.grad is not None
        torch.testing.assert_close(one.grad.double(), reference.grad, rtol=1e-2, atol=1e-3)


def test_heads_of_another_type_or_shape_are_refused() -> None:
    q, k = torch.randn(1, 2, 3, 4).bfloat16(), torch.randn(1, 2, 5, 4).bfloat16()
    with pytest.raises(ValueError, match="not rows of bfloat16"):
        HeadAttention.apply(q, k, torch.randn(1, 2, 6, 4).bfloat16(), None)  # type: ignore[no-untyped-call]
    with pytest.raises(ValueError, match="not rows of bfloat16"):
        HeadAttention.apply(q.float(), k, k, None)  # type: ignore[no-untyped-call]
    with pytest.raises(ValueError, match="a mask of another shape"):
        HeadAttention.apply(q, k, k, torch.ones(1, 1, 3, 4, dtype=torch.bool))  # type: ignore[no-untyped-call]
