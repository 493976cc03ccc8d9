from collections.abc import Sequence
from typing import Any

class AdamW:
    def __init__(self, beta1: float, beta2: float) -> None: ...
    def add(self, weights: Any, mean: Any, square: Any, copy: Any) -> int: ...
    def norm(self, gradients: Sequence[Any], threads: int) -> float: ...
    def step(
        self,
        indices: Sequence[int],
        gradients: Sequence[Any],
        steps: Sequence[float],
        divisor: float,
        learning_rate: float,
        epsilon: float,
        weight_decay: float,
        threads: int,
    ) -> None: ...

def smoothed_loss(
    logits: Any, target: Any, smoothing: float, pad: int, gradient: Any, threads: int
) -> float: ...
def attention(q: Any, k: Any, v: Any, mask: Any, out: Any, threads: int) -> None: ...
def attention_gradients(
    q: Any, k: Any, v: Any, mask: Any, slope: Any, dq: Any, dk: Any, dv: Any, threads: int
) -> None: ...
