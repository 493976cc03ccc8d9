"""The training loop: deterministic from its seed, resumable at any update to the same bytes."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from math import isfinite
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from hat.data import Batch, TokenStore, collate, epoch_batches, sequential_batches
from hat.errors import HatError
from hat.progress import Progress, silent
from hat.training.accelerator import accelerator, autocast, tensors
from hat.training.checkpoint import load_checkpoint, save_checkpoint
from hat.training.journal import Journal, Position
from hat.training.loss import Lesson, Network, batch_loss, imitation_loss
from hat.training.memory import kept_memory
from hat.training.one_pass import OnePassAdamW
from hat.training.optimizer import apply_gradients, optimizers
from hat.training.settings import TrainingSettings
from hat.training.threads import TrainingThreads, Trial
from hat.training.trainees import SubTrainee, SuperTrainee, Trainee
from hat.training.validation import CHECKPOINT, SUMMARY, TrainingResult, Validator, finished_result

# A teacher's lessons on the training text and on the validation text.
Lessons = tuple[Lesson, Lesson]


class Stopped(HatError):
    """A signal asked to stop; a checkpoint has been written. Exit code as shells give: 128 + signal."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped after writing a checkpoint; the same command goes on from here")
        self.exit_code = 128 + number


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them, so that the update under way can finish."""
    requests: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        requests.append(number)

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: signals are someone else's business
        previous = {}
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def train(
    trainee: Trainee,
    texts: tuple[TokenStore, TokenStore],
    *,
    settings: TrainingSettings,
    folder: Path,
    seed: int = 0,
    progress: Progress = silent,
    lessons: Lessons | None = None,
) -> TrainingResult:
    """Train, leaving the kept weights in the trainee and in folder/model.safetensors.

    `texts`: for training and for validation; `lessons`: a teacher's labels of each, to learn from and to be
    judged by. Training continues from folder/checkpoint.safetensors if there is one, and ends in the same
    bytes as an uninterrupted training on the same machine with the same numbers of threads, which
    folder/threads.json records; not on a GPU, which sums in no fixed order.
    Raises HatError if the loss diverges, Stopped after SIGTERM or SIGINT, UserError for a damaged checkpoint
    or damaged labels.
    """
    if (folder / SUMMARY).exists():
        return finished_result(trainee, folder)
    trainee.module.to(accelerator())
    train_store, valid_store = texts
    lesson, valid_lesson = lessons or (None, None)
    updater = Updater(trainee, settings, lesson=lesson, seed=seed)
    threads = TrainingThreads(folder, settings.threads, _trial(updater, train_store))
    position = Position()
    if (folder / CHECKPOINT).exists():
        position = Position(**load_checkpoint(folder / CHECKPOINT, trainee.module, updater.optimizers))
    valid = [collate(valid_store, rows) for rows in sequential_batches(valid_store, settings.batch_tokens)]
    validator = Validator(trainee, valid, settings=settings, lesson=valid_lesson, folder=folder)
    journal = Journal(folder, position)
    with kept_memory(), stop_requests() as stop:
        batches = _batches(train_store, settings.batch_tokens, seed, position)
        while position.update < settings.updates and not validator.out_of_patience(position):
            with threads.update():
                updater.update(position, batches, journal)
            if position.update % settings.validate_every == 0 or position.update == settings.updates:
                validator.validate(position, journal)
            if stop or threads.due or position.update % settings.checkpoint_every == 0:
                save_checkpoint(folder / CHECKPOINT, trainee.module, updater.optimizers, asdict(position))
            if stop:
                raise Stopped(stop[0])
            if threads.due:
                threads.measure_again()
            progress(position.update, settings.updates, journal.note)
    return validator.keep(position)


class Updater:
    """Optimiser updates of a trainee, from `lesson` too where there is one."""

    def __init__(
        self, trainee: Trainee, settings: TrainingSettings, *, lesson: Lesson | None = None, seed: int = 0
    ) -> None:
        self.trainee, self.settings, self.lesson, self.seed = trainee, settings, lesson, seed
        lends = isinstance(trainee, SubTrainee | SuperTrainee)
        self.optimizers = optimizers(trainee.module, settings, lends=lends)

    def networks(self, update: int) -> list[Network]:
        """The networks of an update, on the weights that the optimiser lends where it does."""
        optimizer, trainee = self.optimizers[0], self.trainee
        if isinstance(optimizer, OnePassAdamW) and isinstance(trainee, SubTrainee | SuperTrainee):
            return trainee.networks(update, lend=optimizer.lend)
        return trainee.networks(update)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def update(self, position: Position, batches: Iterator[Batch], journal: Journal) -> None:
        """One update by the loss per target token of `accumulate` batches. Raises HatError if it diverges."""
        started = time.perf_counter()
        # All randomness of an update, so that resuming needs no generator's state.
        torch.manual_seed(self.seed + position.update)
        self.trainee.module.train()
        networks = self.networks(position.update)
        self.zero_grad()
        loss_sum, count = 0.0, 0
        for _ in range(self.settings.accumulate):
            batch = next(batches)
            loss_sum += self.add_gradients(networks, batch)
            count += batch.target_tokens
        norm = self.step(count * len(networks), position.update)
        mean = loss_sum / count / len(networks)
        if not (isfinite(mean) and isfinite(norm)):
            raise HatError(
                f"training diverged at update {position.update}: loss {mean}, gradient norm {norm}; "
                "a lower learning_rate, a longer warmup or clip_norm 1 may help"
            )
        position.update += 1
        position.tokens += count
        journal.update(
            position,
            loss=mean,
            norm=norm,
            tokens=count,
            seconds=time.perf_counter() - started,
            learning_rate=self.optimizers[0].param_groups[0]["lr"],
        )

    def add_gradients(self, networks: list[Network], batch: Batch) -> float:
        """Add up the gradients of the networks' losses on a batch; returns the sum of these losses."""
        loss_sum = 0.0
        source, target_in, target = tensors(batch)
        smoothing = self.settings.label_smoothing
        teacher: Tensor | None = None
        for network in networks:
            with autocast(self.settings):
                logits = network(source, target_in)
            if teacher is None:
                loss = batch_loss(logits, target, batch=batch, smoothing=smoothing, lesson=self.lesson)
            else:
                loss = imitation_loss(logits, target, teacher)
            torch.autograd.backward(loss)
            if self.trainee.distils and teacher is None:
                teacher = logits.detach()
            loss_sum += float(loss.detach())
        return loss_sum

    def step(self, tokens: int, update: int) -> float:
        """`apply_gradients` with this updater's optimisers and settings."""
        return apply_gradients(
            self.trainee.module, self.optimizers, settings=self.settings, tokens=tokens, update=update
        )


def _trial(updater: Updater, store: TokenStore) -> Trial:
    """The work of an update without its last step, which would change the weights."""
    batches = cache(lambda: epoch_batches(store, updater.settings.batch_tokens, updater.seed, 0))

    def trial(update: int) -> None:
        updater.trainee.module.train()
        batch = collate(store, batches()[update % len(batches())])
        updater.add_gradients(updater.networks(update), batch)
        updater.zero_grad()

    return trial


def _batches(store: TokenStore, budget: int, seed: int, position: Position) -> Iterator[Batch]:
    """Batches from `position` on, without end; `position` follows."""
    while True:
        epoch = epoch_batches(store, budget, seed, position.epoch)
        while position.batch < len(epoch):
            rows = epoch[position.batch]
            position.batch += 1
            yield collate(store, rows)
        position.epoch, position.batch = position.epoch + 1, 0
