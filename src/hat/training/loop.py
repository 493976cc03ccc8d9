"""The training loop: deterministic from its seed, resumable at any update to the same bytes."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from functools import cache, partial
from math import isfinite
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from hat.data import Batch, TokenStore, collate, epoch_batches, sequential_batches
from hat.data.batches import Ids
from hat.errors import HatError
from hat.progress import Progress, silent
from hat.training.accelerator import accelerator, autocast, tensors
from hat.training.checkpoint import load_checkpoint, save_checkpoint
from hat.training.distributed import ALONE, World
from hat.training.journal import Journal, Position
from hat.training.loss import Lesson, Network, batch_loss, imitation_loss
from hat.training.memory import kept_memory
from hat.training.one_pass import OnePassAdamW
from hat.training.optimizer import apply_gradients, gradients, optimizers, set_gradients
from hat.training.processes import world_of
from hat.training.settings import TrainingSettings
from hat.training.task import Lessons, Task
from hat.training.threads import TrainingThreads, Trial
from hat.training.trainees import SubTrainee, SuperTrainee, Trainee
from hat.training.validation import CHECKPOINT, SUMMARY, TrainingResult, Validator, finished_result


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
    bytes as an uninterrupted training on the same machine with the same numbers of processes and threads,
    which the folder records; not on a GPU, which sums in no fixed order.
    Raises HatError if the loss diverges or another process ends, Stopped after SIGTERM or SIGINT, UserError
    for a damaged checkpoint or damaged labels.
    """
    if (folder / SUMMARY).exists():
        return finished_result(trainee, folder)
    task = Task(trainee, texts, settings, seed, lessons)

    with world_of(task, folder, work=partial(take_part, folder=folder), rehearsal=_rehearsal) as world:
        return take_part(world, task, folder=folder, progress=progress)


def take_part(world: World, task: Task, *, folder: Path, progress: Progress = silent) -> TrainingResult:
    """The part that one process has in a training; only the first one writes."""
    trainee, settings, (train_store, valid_store) = task.trainee, task.settings, task.texts
    trainee.module.to(accelerator())
    lesson, valid_lesson = task.lessons or (None, None)
    updater = Updater(trainee, settings, lesson=lesson, seed=task.seed, world=world)
    threads = _threads(updater, train_store, folder)
    position = Position()
    if world.main and (folder / CHECKPOINT).exists():
        position = Position(**load_checkpoint(folder / CHECKPOINT, trainee.module, updater.optimizers))
    position = Position(**world.from_main(asdict(position)))
    world.copy_weights(trainee.module)
    world.copy_optimizers(updater.optimizers)
    valid = sequential_batches(valid_store, settings.batch_tokens)[world.rank :: world.size]
    validator = Validator(
        trainee,
        [collate(valid_store, rows) for rows in valid],
        settings=settings,
        lesson=valid_lesson,
        folder=folder,
        world=world,
    )
    journal = Journal(folder, position) if world.main else None
    with kept_memory(), stop_requests() as stop:
        batches = batches_of(task, world, position)
        while position.update < settings.updates and not validator.out_of_patience(position):
            with threads.update():
                updater.update(position, next(batches), journal)
            if position.update % settings.validate_every == 0 or position.update == settings.updates:
                validator.validate(position, journal)
            stopped = world.largest(stop[0] if stop else 0)
            due = stopped or threads.due or position.update % settings.checkpoint_every == 0
            if due and world.main:
                save_checkpoint(folder / CHECKPOINT, trainee.module, updater.optimizers, asdict(position))
            if stopped:
                raise Stopped(stopped)
            if threads.due:
                threads.measure_again()
            progress(position.update, settings.updates, journal.note if journal else "")
    return validator.keep(position)


class Updater:
    """Optimiser updates of a trainee, from `lesson` too where there is one."""

    def __init__(
        self,
        trainee: Trainee,
        settings: TrainingSettings,
        *,
        lesson: Lesson | None = None,
        seed: int = 0,
        world: World = ALONE,
    ) -> None:
        self.trainee, self.settings, self.lesson, self.seed = trainee, settings, lesson, seed
        self.world = world
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

    def update(self, position: Position, batches: Sequence[Batch], journal: Journal | None) -> None:
        """`learn`, and record it in position and journal. Raises HatError if the training diverges."""
        started = time.perf_counter()
        mean, norm, count = self.learn(position.update, batches)
        if not (isfinite(mean) and isfinite(norm)):
            raise HatError(
                f"training diverged at update {position.update}: loss {mean}, gradient norm {norm}; "
                "a lower learning_rate, a longer warmup or clip_norm 1 may help"
            )
        position.update += 1
        position.tokens += count
        if journal:
            journal.update(
                position,
                loss=mean,
                norm=norm,
                tokens=count,
                seconds=time.perf_counter() - started,
                learning_rate=self.optimizers[0].param_groups[0]["lr"],
            )

    def learn(self, update: int, batches: Sequence[Batch]) -> tuple[float, float, int]:
        """One update by the loss per target token of all processes' batches, of which `batches` are this
        one's; returns that loss, the gradient's norm, and the number of tokens."""
        # All randomness of an update, so that resuming needs no generator's state.
        torch.manual_seed(self.world.seed(self.seed + update))
        module = self.trainee.module.train()
        networks = self.networks(update)
        self.zero_grad()
        loss_sum, tokens = 0.0, 0
        for batch in batches:
            loss_sum += self.add_gradients(networks, batch)
            tokens += batch.target_tokens
        if self.world.size > 1:
            weights, precision = dict(module.named_parameters()), self.settings.exchange_precision
            summed = self.world.sum_gradients(
                gradients(module, self.optimizers), weights, precision=precision
            )
            set_gradients(module, self.optimizers, summed)
        loss_sum, total = self.world.sums(loss_sum, tokens)
        norm = self.step(int(total) * len(networks), update)
        return loss_sum / total / len(networks), norm, int(total)

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


def _threads(updater: Updater, store: TokenStore, folder: Path) -> TrainingThreads:
    """The threads of this process; only one without others measures and records their number."""
    world, trial = updater.world, _trial(updater, store)
    if world.size == 1:
        return TrainingThreads(folder, updater.settings.threads, trial)
    return TrainingThreads(None, world.threads, trial)


def _trial(updater: Updater, store: TokenStore) -> Trial:
    """The work of an update without its last step, which would change the weights."""
    batches = cache(lambda: epoch_batches(store, updater.settings.batch_tokens, updater.seed, 0))

    def trial(update: int) -> None:
        updater.trainee.module.train()
        batch = collate(store, batches()[update % len(batches())])
        updater.add_gradients(updater.networks(update), batch)
        updater.zero_grad()

    return trial


def _rehearsal(task: Task) -> Callable[[World, int], object]:
    """Updates of a copy of the trainee, by the processes of any world."""
    store, settings = task.texts[0], task.settings
    lesson = task.lessons[0] if task.lessons else None
    updater = Updater(deepcopy(task.trainee), settings, lesson=lesson, seed=task.seed)
    epoch = epoch_batches(store, settings.batch_tokens, task.seed, 0)

    def update(world: World, number: int) -> None:
        first = number * settings.accumulate
        rows = [epoch[place % len(epoch)] for place in range(first, first + settings.accumulate)]
        updater.world = world
        updater.learn(number, [collate(store, some) for some in world.share(rows)])

    return update


def batches_of(task: Task, world: World, position: Position) -> Iterator[list[Batch]]:
    """This process's batches of one update after another, from `position` on, without end; `position`
    follows."""
    store, settings = task.texts[0], task.settings
    epoch = epoch_batches(store, settings.batch_tokens, task.seed, position.epoch)
    while True:
        rows: list[Ids] = []
        while len(rows) < settings.accumulate:
            if position.batch == len(epoch):
                position.epoch, position.batch = position.epoch + 1, 0
                epoch = epoch_batches(store, settings.batch_tokens, task.seed, position.epoch)
            rows.append(epoch[position.batch])
            position.batch += 1
        yield [collate(store, some) for some in world.share(rows)]
