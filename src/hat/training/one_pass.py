"""AdamW in one pass over memory, for training in bf16 on the processor.

Networks compute with bf16 copies of the weights, made once an update instead of at every use. The pass reads
the gradients of the corners that were lent, as they come, and writes weights, moments and copies.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from hat.architecture.weights import EMBEDDING_NAMES
from hat.model import RoundedEmbedding, Transformer
from hat.model.kernels import kernels
from hat.training.accelerator import accelerator, uses_bf16
from hat.training.settings import TrainingSettings


def one_pass_fits(module: nn.Module, settings: TrainingSettings) -> bool:
    """True if `OnePassAdamW` can train the module: a Transformer in bf16 on a processor, with kernels."""
    on_processor = accelerator().type == "cpu" and kernels() is not None
    return on_processor and uses_bf16(settings) and isinstance(module, Transformer)


class OnePassAdamW(optim.AdamW):
    """AdamW for float32 weights of which networks use the bf16 copies that `lend` gives.

    Backward passes leave their gradients in `gradients` by name, not in the parameters' `grad`. As in torch's
    AdamW, a parameter without a gradient is not touched. Outside the corner lent, gradients are 0.
    """

    grad_scale: Tensor  # gradients are divided by it

    def __init__(self, module: nn.Module, *, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(module.parameters(), betas=betas, weight_decay=weight_decay)
        self._weights = dict(module.named_parameters())
        self._copies = {
            name: weight.detach().bfloat16() for name, weight in self._weights.items() if _is_multiplied(name)
        }
        self.gradients: dict[str, Tensor] = {}
        self._rows: dict[str, Tensor] = {}
        self.grad_scale = torch.ones(())
        self._forget_moments()

    def _forget_moments(self) -> None:
        module = kernels()
        assert module is not None
        self._native = module.AdamW(*self.defaults["betas"])
        self._indices: dict[str, int] = {}

    def lend(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The leading corner of a weight for one forward and backward pass, in bf16 if it is multiplied."""
        weight = self._weights[name].detach()
        lent = _corner(self._copies.get(name, weight), shape).contiguous().detach()
        leaf: Tensor = lent
        if name == "embedding":
            leaf = RoundedEmbedding(lent)
            leaf.exact = weight.requires_grad_()
            _when_accumulated(leaf.exact, partial(self._receive_rows, name))
        _when_accumulated(leaf.requires_grad_(), partial(self._receive, name))
        return leaf

    def _receive(self, name: str, leaf: Tensor) -> None:
        """Take the gradient of a corner. The first is kept as it is; more are added up in float32."""
        assert leaf.grad is not None
        gradient, leaf.grad = leaf.grad, None
        total = self.gradients.get(name)
        if total is None:
            self.gradients[name] = gradient.contiguous()
        else:
            whole = self._weights[name].shape
            if total.dtype != torch.float32 or total.shape != whole:
                first, total = total, torch.zeros(whole)
                _corner(total, first.shape).copy_(first)
                self.gradients[name] = total
            _corner(total, gradient.shape).add_(gradient)
        if name in self._rows:
            self._add_rows(name, self._rows.pop(name))

    def _receive_rows(self, name: str, leaf: Tensor) -> None:
        """Take the sparse gradient of the rows of an embedding that were looked up."""
        assert leaf.grad is not None
        rows, leaf.grad = leaf.grad, None
        if name in self.gradients:
            self._add_rows(name, rows)
        else:  # that of the output projection follows
            self._rows[name] = rows

    def _add_rows(self, name: str, rows: Tensor) -> None:
        total, values = self.gradients[name], rows._values()
        tokens, places = torch.unique(rows._indices()[0], return_inverse=True)
        width = total.shape[1]
        if values[:, width:].any():  # the encoder is wider than the decoder
            total = self.gradients[name] = F.pad(total, (0, values.shape[1] - width))
        # Occurrences of a token are added up in float32 before they meet a gradient in bf16.
        sums = values.new_zeros(len(tokens), values.shape[1]).index_add_(0, places, values)
        total[tokens] = (total[tokens] + sums[:, : total.shape[1]]).to(total.dtype)

    def norm(self) -> float:
        """The norm of all gradients, before they are divided."""
        norm: float = self._native.norm(list(self.gradients.values()), torch.get_num_threads())
        return norm

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.gradients.clear()
        self._rows.clear()

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of the parameters that have gradients."""
        (group,) = self.param_groups
        steps = [self._state(name)["step"].add_(1).item() for name in self.gradients]
        self._native.step(
            [self._indices[name] for name in self.gradients],
            list(self.gradients.values()),
            steps,
            divisor=float(self.grad_scale),
            learning_rate=group["lr"],
            epsilon=group["eps"],
            weight_decay=group["weight_decay"],
            threads=torch.get_num_threads(),
        )

    def _state(self, name: str) -> dict[str, Tensor]:
        """The state of a parameter, as torch's AdamW has it."""
        weight = self._weights[name]
        state: dict[str, Tensor] = self.state[weight]
        if not state:
            state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(weight)}
            state |= {"exp_avg_sq": torch.zeros_like(weight)}
        if name not in self._indices:
            moments = state["exp_avg"], state["exp_avg_sq"]
            self._indices[name] = self._native.add(weight.detach(), *moments, self._copies.get(name))
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over moments of the weights, which may have changed too."""
        super().load_state_dict(state_dict)
        self._forget_moments()
        for name, copy in self._copies.items():
            copy.copy_(self._weights[name].detach())


def _is_multiplied(name: str) -> bool:
    """True for weights of products and their biases: not norms, nor embeddings only looked up."""
    looked_up = name in EMBEDDING_NAMES and name not in ("embedding", "output_embedding")
    return not looked_up and "norm" not in name


def _when_accumulated(leaf: Tensor, receive: Callable[[Tensor], None]) -> None:
    leaf.register_post_accumulate_grad_hook(receive)  # type: ignore[no-untyped-call]


def _corner(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    return weight[tuple(map(slice, shape))]
