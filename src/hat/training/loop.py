"""The training loop: deterministic from its seed, resumable at any update to the same bytes."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from math import isfinite, log, sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from hat.data import Batch, TokenStore, collate, epoch_batches, sequential_batches
from hat.errors import HatError
from hat.files import read_json, write_json
from hat.model import TranslationModel
from hat.progress import Progress, silent
from hat.training.checkpoint import (
    load_checkpoint,
    load_tensors,
    load_weights,
    save_checkpoint,
    save_tensors,
)
from hat.training.device import autocast, training_device
from hat.training.distillation import Distillation
from hat.training.journal import Journal, Position
from hat.training.loss import Network, batch_loss, tensors, validation_loss
from hat.training.schedule import learning_rate
from hat.training.settings import TrainingSettings
from hat.training.stopping import Stopped, stop_requests
from hat.training.threads import TrainingThreads, Trial
from hat.training.trainees import Trainee

CHECKPOINT, MODEL, SUMMARY = "checkpoint.safetensors", "model.safetensors", "training.json"
BETAS, EPSILON = (0.9, 0.98), 1e-8

# A teacher's labels of the training text, and of the validation text.
Lessons = tuple[Distillation, Distillation]


@dataclass(frozen=True)
class TrainingResult:
    """`loss`: validation loss of the weights kept, nats per token; `kept`: which those are."""

    loss: float
    kept: str
    updates: int
    history: list[dict[str, Any]]


def train(
    trainee: Trainee,
    train_store: TokenStore,
    valid_store: TokenStore,
    settings: TrainingSettings,
    folder: Path,
    seed: int = 0,
    progress: Progress = silent,
    lessons: Lessons | None = None,
) -> TrainingResult:
    """Train, leaving the kept weights in the trainee and in folder/model.safetensors.

    `lessons`: a teacher's labels of both texts, to learn from and to be judged by as well. Training continues
    from folder/checkpoint.safetensors if there is one, and ends in the same bytes as an uninterrupted
    training on the same machine with the same numbers of threads, which folder/threads.json records; not on a
    GPU, which sums in no fixed order.
    Raises HatError if the loss diverges, Stopped after SIGTERM or SIGINT, UserError for a damaged checkpoint
    or damaged labels.
    """
    if (folder / SUMMARY).exists():
        return _finished(trainee, folder)
    trainee.module.to(training_device())
    taught, judged = lessons or (None, None)
    threads = TrainingThreads(folder, settings.threads, _trial(trainee, train_store, settings, seed, taught))
    optimizer = optim.AdamW(
        trainee.module.parameters(),
        betas=(0.9, 0.98),
        eps=1e-8,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    position = Position()
    if (folder / CHECKPOINT).exists():
        position = Position(**load_checkpoint(folder / CHECKPOINT, trainee.module, optimizer))
    valid = [collate(valid_store, rows) for rows in sequential_batches(valid_store, settings.batch_tokens)]
    judge = _Judge(valid, settings, judged)
    with stop_requests() as stop, Journal(folder, position) as journal:
        batches = _batches(train_store, settings.batch_tokens, seed, position)
        while position.update < settings.updates and not _out_of_patience(position, settings):
            with threads.update():
                _update(trainee, optimizer, batches, settings, seed, position, journal, taught)
            if position.update % settings.validate_every == 0 or position.update == settings.updates:
                _validate(trainee, judge, position, folder, journal)
                _prune_snapshots(folder, position, settings.average)
            if stop or threads.due or position.update % settings.checkpoint_every == 0:
                save_checkpoint(folder / CHECKPOINT, trainee.module, optimizer, asdict(position))
            if stop:
                raise Stopped(stop[0])
            if threads.due:
                threads.measure_again()
            progress(position.update, settings.updates, journal.note)
    return _keep(trainee, judge, settings.average, position, folder)


def _update(
    trainee: Trainee,
    optimizer: optim.Optimizer,
    batches: Iterator[Batch],
    settings: TrainingSettings,
    seed: int,
    position: Position,
    journal: Journal,
    distillation: Distillation | None,
) -> None:
    """One optimiser update: gradients of the loss per target token over `accumulate` batches."""
    started = time.perf_counter()
    torch.manual_seed(seed + position.update)  # all randomness of an update, so resuming needs no state
    trainee.module.train()
    networks = trainee.networks(position.update)
    optimizer.zero_grad()
    loss_sum, count = 0.0, 0
    for _ in range(settings.accumulate):
        batch = next(batches)
        loss_sum += _add_gradients(networks, batch, settings, distillation)
        count += batch.target_tokens
    norm = apply_gradients(trainee.module, optimizer, count, settings, position.update)
    mean = loss_sum / count / len(networks)
    if not (isfinite(mean) and isfinite(norm)):
        raise HatError(
            f"training diverged at update {position.update}: loss {mean}, gradient norm {norm}; "
            "a lower learning_rate, a longer warmup or clip_norm 1 may help"
        )
    position.update += 1
    position.tokens += count
    journal.update(position, mean, norm, count, time.perf_counter() - started, optimizer)


def _add_gradients(
    networks: list[Network], batch: Batch, settings: TrainingSettings, distillation: Distillation | None
) -> float:
    """Add the gradients of the networks' losses on a batch to theirs; returns the sum of these losses."""
    loss_sum = 0.0
    source, target_in, target_out = tensors(batch)
    for network in networks:
        with autocast(settings):
            logits = network(source, target_in)
        loss = batch_loss(logits, target_out, batch, settings.label_smoothing, distillation)
        loss.backward()  # type: ignore[no-untyped-call]
        loss_sum += float(loss.detach())
    return loss_sum


def _trial(
    trainee: Trainee,
    store: TokenStore,
    settings: TrainingSettings,
    seed: int,
    distillation: Distillation | None,
) -> Trial:
    """The work of an update without its last step, which would change the weights."""
    batches = cache(lambda: epoch_batches(store, settings.batch_tokens, seed, 0))

    def trial(update: int) -> None:
        trainee.module.train()
        batch = collate(store, batches()[update % len(batches())])
        _add_gradients(trainee.networks(update), batch, settings, distillation)
        trainee.module.zero_grad()

    return trial


def apply_gradients(
    module: nn.Module,
    optimizer: optim.Optimizer,
    tokens: int,
    settings: TrainingSettings,
    update: int,
) -> float:
    """Turn summed gradients into means over `tokens`, clip, and step; returns their norm before clipping."""
    parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.grad /= tokens
    limit = settings.clip_norm or float("inf")
    norm = float(nn.utils.clip_grad_norm_(parameters, limit))
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(update, settings)
        # As published, epsilon joins the root of v before the bias correction (docs/reference.md, Adam).
        group["eps"] = EPSILON / sqrt(1 - BETAS[1] ** (update + 1))
    if isfinite(norm):
        optimizer.step()
    return norm


def _batches(store: TokenStore, budget: int, seed: int, position: Position) -> Iterator[Batch]:
    """Batches from `position` on, for ever; `position` follows."""
    while True:
        epoch = epoch_batches(store, budget, seed, position.epoch)
        while position.batch < len(epoch):
            rows = epoch[position.batch]
            position.batch += 1
            yield collate(store, rows)
        position.epoch, position.batch = position.epoch + 1, 0


@dataclass(frozen=True)
class _Judge:
    """Which weights are best: those of the least loss, as trainings have it, of the validation text."""

    valid: list[Batch]
    settings: TrainingSettings
    distillation: Distillation | None

    def losses(self, trainee: Trainee) -> dict[str, float]:
        trainee.module.eval()
        smoothing = self.settings.label_smoothing
        with autocast(self.settings):
            return {
                name: validation_loss(network, self.valid, smoothing, self.distillation)
                for name, network in trainee.validated().items()
            }


def _validate(
    trainee: Trainee,
    judge: _Judge,
    position: Position,
    folder: Path,
    journal: Journal,
) -> None:
    losses = judge.losses(trainee)
    mean = sum(losses.values()) / len(losses)
    position.history.append({"update": position.update, "loss": mean, **losses})
    journal.validation(position)
    hopeless = 2 * log(_target_vocabulary(trainee.module))
    if not mean < hopeless:
        raise HatError(
            f"training diverged: validation loss {mean:.2f} at update {position.update}; "
            "a lower learning_rate or a longer warmup may help"
        )
    save_tensors(_snapshot(folder, position.update), dict(trainee.module.named_parameters()))


def _target_vocabulary(module: nn.Module) -> int:
    """Size of the target vocabulary of a network."""
    assert isinstance(module, TranslationModel)
    return module.config.target_vocab


def _snapshot(folder: Path, update: int) -> Path:
    return folder / f"snapshot-{update}.safetensors"


def _prune_snapshots(folder: Path, position: Position, average: int) -> None:
    """Keep the best snapshot and the last `average` ones."""
    for record in position.history[:-average]:
        if record != position.best:
            _snapshot(folder, record["update"]).unlink(missing_ok=True)


def _out_of_patience(position: Position, settings: TrainingSettings) -> bool:
    if not settings.patience or not position.history:
        return False
    losses = [record["loss"] for record in position.history]
    return len(losses) - 1 - losses.index(min(losses)) >= settings.patience


def _keep(trainee: Trainee, judge: _Judge, average: int, position: Position, folder: Path) -> TrainingResult:
    """Keep the best snapshot or the average of the last ones, whichever validates better."""
    recent = [record["update"] for record in position.history[-average:]]
    candidates = {f"average of updates {', '.join(map(str, recent))}": _mean(folder, recent)}
    best = position.best["update"]
    candidates[f"update {best}"] = load_tensors(_snapshot(folder, best))[0]
    losses = {}
    for name, weights in candidates.items():
        load_weights(folder, trainee.module, weights)
        values = judge.losses(trainee)
        losses[name] = sum(values.values()) / len(values)
    kept = min(losses, key=lambda name: losses[name])
    load_weights(folder, trainee.module.cpu(), candidates[kept])
    result = TrainingResult(losses[kept], kept, position.update, position.history)
    save_tensors(folder / MODEL, candidates[kept])
    write_json(folder / SUMMARY, {**asdict(result), "target_tokens": position.tokens})
    _clear(folder)
    return result


def _finished(trainee: Trainee, folder: Path) -> TrainingResult:
    """What an earlier call ended with."""
    load_weights(folder / MODEL, trainee.module, load_tensors(folder / MODEL)[0])
    summary = read_json(folder / SUMMARY)
    _clear(folder)
    return TrainingResult(**{name: summary[name] for name in TrainingResult.__dataclass_fields__})


def _clear(folder: Path) -> None:
    """Remove what only an unfinished training needs."""
    for path in (*folder.glob("snapshot-*.safetensors"), folder / CHECKPOINT):
        path.unlink(missing_ok=True)


def _mean(folder: Path, updates: list[int]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for update in updates:
        for name, tensor in load_tensors(_snapshot(folder, update))[0].items():
            total[name] = total[name] + tensor if name in total else tensor
    return {name: tensor / len(updates) for name, tensor in total.items()}
