"""Updates whose loss or gradient is not finite: they are skipped, smaller steps follow, and a training that
does not recover ends with a diagnosis."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hat.data import Batch
from hat.errors import HatError
from hat.model import TranslationModel
from hat.training.accelerator import autocast, tensors
from hat.training.journal import Position
from hat.training.loss import Network
from hat.training.settings import TrainingSettings

# A skipped update multiplies the learning rate by BACKOFF, for so many updates from then on.
BACKOFF, BACKOFF_UPDATES = 0.5, 100
# Updates skipped in a row, after which the next ones would be too; and in all, beside a share of all updates.
MOST_IN_A_ROW, MOST_SKIPPED, MOST_SHARE = 5, 10, 0.01


def rate_factor(position: Position) -> float:
    """The factor of the learning rate at a position: 1 unless an update was skipped shortly before."""
    return position.rate_factor if position.update < position.rate_until else 1.0


def note_skipped(position: Position) -> str:
    """Note in the position, of the next update, that the last one was skipped; returns what follows from
    that, in words."""
    position.rate_factor = BACKOFF * rate_factor(position)
    position.rate_until = position.update + BACKOFF_UPDATES
    position.skipped += 1
    position.skipped_in_a_row += 1
    return (
        f"skipped, with weights and optimiser as before; learning rate × {position.rate_factor:g} until "
        f"update {position.rate_until:,} (skipped so far: {position.skipped:,})"
    )


def is_hopeless(position: Position, settings: TrainingSettings) -> bool:
    """True if the training has skipped too many updates, in a row or in all."""
    most = MOST_SKIPPED + MOST_SHARE * settings.updates
    return position.skipped_in_a_row >= MOST_IN_A_ROW or position.skipped > most


def diverged(position: Position, problem: str, origin: str) -> HatError:
    """The error that ends a training. `problem`: loss and gradient norm; `origin`: the first part that was
    not finite."""
    return HatError(
        f"training diverged at update {position.update}: {problem}; first not finite: {origin}; skipped "
        f"updates: {position.skipped_in_a_row} in a row, {position.skipped} in all; a lower learning_rate, a "
        "longer warmup, clip_norm 1 or precision fp32 may help"
    )


def first_not_finite(
    module: nn.Module,
    networks: Sequence[Network],
    batches: Sequence[Batch],
    *,
    gradients: Mapping[str, Tensor],
    settings: TrainingSettings,
) -> str:
    """The first part of an update that is not finite: weights of `module`, an output of a layer, one of the
    update's `gradients`, by name, or the loss. The caller sets the
    update's random seed."""
    for name, weight in module.named_parameters():
        if not weight.isfinite().all():
            return f"weights {name}"
    for batch in batches:
        source, target_in, _ = tensors(batch)
        for network in networks:
            with _watched_outputs() as found, torch.no_grad(), autocast(settings):
                network(source, target_in)
            if found:
                return f"the output of {found[0]}"
    # The pass backward begins at the last layers.
    for name, _ in reversed(list(module.named_parameters())):
        if name in gradients and not gradients[name].isfinite().all():
            return f"the gradient of {name}"
    return "the loss"


@contextmanager
def _watched_outputs() -> Iterator[list[str]]:
    """Context that collects the names of layers whose output is not finite, in the order of computation."""
    names: dict[nn.Module, str] = {}
    found: list[str] = []

    def enter(module: nn.Module, _: object) -> None:
        if isinstance(module, TranslationModel):  # the network itself, whose layers follow
            names.update({layer: name or "the network" for name, layer in module.named_modules()})

    def leave(module: nn.Module, _: object, output: object) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        finite = all(bool(one.isfinite().all()) for one in outputs if isinstance(one, Tensor))
        if module in names and not finite:
            found.append(names[module])

    hooks = (
        nn.modules.module.register_module_forward_pre_hook(enter),
        nn.modules.module.register_module_forward_hook(leave),
    )
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
